//! Text: a report for a terminal.

use std::{collections::BTreeMap, fmt::Write};

use super::{Report, stats::Spread};

/// The report, a page of text.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, report);
    out
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    let machine = &report.machine;
    writeln!(out, "load test of swapd {} ({}), {}", report.daemon, report.cluster, report.date)?;
    writeln!(
        out,
        "  from     swapd {} on {} x {}, {}",
        report.version, machine.cores, machine.processor, machine.system
    )?;
    writeln!(out, "  pace     {}", report.pace)?;
    writeln!(out, "  mix      {}, seed {}; wallets: {}", report.mix, report.seed, report.wallets)?;
    writeln!(out)?;
    writeln!(
        out,
        "given {}   accepted {}   refused {}   unanswered {}",
        report.given, report.accepted, report.refused, report.unanswered
    )?;
    writeln!(
        out,
        "confirmed {}   failed {}   stuck {}   duplicates {}",
        report.confirmed,
        report.failed,
        report.stuck,
        report.duplicates.len()
    )?;
    writeln!(
        out,
        "accepted {:.1}/s over {:.1} s, ended {:.1}/s over {:.1} s",
        report.accepted_per_second, report.gave_seconds, report.ended_per_second, report.took_seconds
    )?;
    writeln!(out)?;
    writeln!(
        out,
        "{:<34}{:>9}{:>11}{:>11}{:>11}{:>11}{:>11}",
        "milliseconds", "count", "p50", "p90", "p99", "p99.9", "max"
    )?;
    for (name, spread) in rows(report) {
        let Spread { count, p50, p90, p99, p999, max } = spread;
        let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(millis);
        writeln!(out, "{name:<34}{count:>9}{p50:>11}{p90:>11}{p99:>11}{p999:>11}{max:>11}")?;
    }
    writeln!(out)?;
    counts(out, "HTTP answers", &report.answers)?;
    counts(out, "failures", &report.failures)?;
    match &report.rpc {
        Some(rpc) => {
            writeln!(out, "RPC calls per order")?;
            for (method, calls) in rpc {
                writeln!(out, "  {method:<40} {:>9} {:>9.2}", calls.calls, calls.per_order)?;
            }
        }
        None => writeln!(out, "RPC calls: unknown, the daemon shows no metrics")?,
    }
    if let (Some(own), Some(per_order)) = (report.cpu.generator_seconds, report.cpu.generator_per_order) {
        write!(out, "processor: generator {own:.2} s, {per_order:.0} us an order")?;
        if let (Some(daemon), Some(share)) = (report.cpu.daemon_seconds, report.cpu.generator_share) {
            write!(out, "; daemon {daemon:.2} s; the generator's share {share:.0} %")?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "looked at {} of {} orders and repeated {} keys; signed again {}; stream cut {} times; {} ends asked for",
        report.audited, report.sample, report.repeated_keys, report.signed_again, report.stream_cuts, report.asked_for
    )?;
    for order in &report.stuck_orders {
        writeln!(out, "stuck      {order}")?;
    }
    for sentence in &report.duplicates {
        writeln!(out, "duplicate  {sentence}")?;
    }
    Ok(())
}

/// The rows of the table of times.
pub(super) fn rows(report: &Report) -> [(&'static str, Spread); 9] {
    let (seen, told) = (&report.seen, &report.told);
    [
        ("turn to sent by this client", seen.lateness),
        ("turn to answer", seen.answered),
        ("accepted to signed", seen.stages.signed),
        ("accepted to sent to the chain", seen.stages.sent),
        ("accepted to confirmed", seen.stages.confirmed),
        ("turn to end", seen.ended),
        ("daemon: accepted to signed", told.signed),
        ("daemon: accepted to sent", told.sent),
        ("daemon: accepted to confirmed", told.confirmed),
    ]
}

/// Microseconds as milliseconds.
pub(super) fn millis(micros: u64) -> String {
    format!("{}.{:02}", micros / 1_000, micros % 1_000 / 10)
}

fn counts(out: &mut String, what: &str, counts: &BTreeMap<String, u64>) -> std::fmt::Result {
    if counts.is_empty() {
        return writeln!(out, "{what}: none");
    }
    writeln!(out, "{what}")?;
    counts.iter().try_for_each(|(name, count)| writeln!(out, "  {name:<40} {count:>9}"))
}

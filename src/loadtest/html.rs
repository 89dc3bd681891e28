//! HTML: a report as one page with its plots, which loads nothing from anywhere.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    Report,
    plot::{Line, bars, escape, lines},
    text::{millis, rows},
    timeline::Interval,
};

const STYLE: &str = include_str!("report.css");

/// The report, a page of HTML that is well-formed XML, too.
pub fn html(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut page, report);
    page
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    let machine = &report.machine;
    let verdict = if report.stuck == 0 && report.duplicates.is_empty() { "good" } else { "bad" };
    writeln!(
        out,
        r#"<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>swapd load test, {date}</title><style>{STYLE}</style></head><body>
<h1>Load test of swapd {daemon}</h1>
<p>{date} · {cluster} · {cores} x {processor}, {system} · generator {version}</p>
<p>{pace}. Mix {mix}, seed {seed}; wallets: {wallets}.</p>
<ul class="numbers"><li><b>{confirmed}</b> confirmed</li><li><b>{failed}</b> failed</li><li><b>{refused}</b> refused</li>
<li class="{verdict}"><b>{stuck}</b> stuck</li><li class="{verdict}"><b>{duplicates}</b> duplicates</li>
<li><b>{accepted_rate:.1}</b> accepted/s</li><li><b>{ended_rate:.1}</b> ended/s</li></ul>"#,
        date = escape(&report.date),
        daemon = escape(&report.daemon),
        cluster = escape(&report.cluster),
        cores = machine.cores,
        processor = escape(&machine.processor),
        system = escape(&machine.system),
        version = escape(&report.version),
        pace = escape(&report.pace),
        mix = escape(&report.mix),
        seed = report.seed,
        wallets = escape(&report.wallets),
        confirmed = report.confirmed,
        failed = report.failed,
        refused = report.refused,
        stuck = report.stuck,
        duplicates = report.duplicates.len(),
        accepted_rate = report.accepted_per_second,
        ended_rate = report.ended_per_second,
    )?;
    times(out, report)?;
    figure(out, "Latency by percentile", &percentiles(report))?;
    figure(out, "Throughput over time", &throughput(report))?;
    figure(out, "Latency over time", &latency(report))?;
    counts(out, "Failures by code", &report.failures)?;
    counts(out, "HTTP answers", &report.answers)?;
    rpc(out, report)?;
    notes(out, report)?;
    writeln!(out, "</body></html>")
}

fn times(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        out,
        "<h2>Times</h2><table><thead><tr><th>milliseconds</th><th>count</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th></tr></thead><tbody>"
    )?;
    for (name, spread) in rows(report) {
        write!(out, "<tr><td>{}</td><td>{}</td>", escape(name), spread.count)?;
        for micros in [spread.p50, spread.p90, spread.p99, spread.p999, spread.max] {
            write!(out, "<td>{}</td>", millis(micros))?;
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody></table>")
}

fn figure(out: &mut String, title: &str, svg: &str) -> std::fmt::Result {
    writeln!(out, "<h2>{title}</h2><figure>{svg}</figure>")
}

/// Each step to the right is ten times rarer.
fn percentiles(report: &Report) -> String {
    let place = |percentile: f64| -(1.0 - percentile / 100.0).log10();
    let line = |name, curve: &[(f64, u64)]| Line {
        name,
        points: curve.iter().map(|(percentile, micros)| (place(*percentile), as_millis(*micros))).collect(),
    };
    let ticks: Vec<(f64, String)> = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99]
        .into_iter()
        .filter(|tick| report.answer_curve.iter().any(|(percentile, _)| percentile >= tick))
        .map(|percentile| (place(percentile), percentile.to_string()))
        .collect();
    let drawn = [line("turn to answer", &report.answer_curve), line("accepted to confirmed", &report.confirmed_curve)];
    lines("percentile", "ms", &drawn, &ticks)
}

fn throughput(report: &Report) -> String {
    #[expect(clippy::cast_precision_loss, reason = "counts to look at")]
    let rate = |count: u64| count as f64 / report.interval_seconds.max(1) as f64;
    let drawn = [
        over_time(report, "accepted", |at| rate(at.accepted)),
        over_time(report, "confirmed", |at| rate(at.confirmed)),
        over_time(report, "failed", |at| rate(at.failed)),
    ];
    lines("seconds after the start", "orders/s", &drawn, &[])
}

fn latency(report: &Report) -> String {
    let drawn = [
        over_time(report, "confirmed, p50", |at| as_millis(at.p50)),
        over_time(report, "confirmed, p99", |at| as_millis(at.p99)),
        over_time(report, "answered, p99", |at| as_millis(at.answered_p99)),
    ];
    lines("seconds after the start", "ms", &drawn, &[])
}

fn over_time<'a>(report: &Report, name: &'a str, value: impl Fn(&Interval) -> f64) -> Line<'a> {
    #[expect(clippy::cast_precision_loss, reason = "seconds to look at")]
    let points = report.timeline.iter().map(|at| (at.at as f64, value(at))).collect();
    Line { name, points }
}

fn counts(out: &mut String, title: &str, counts: &BTreeMap<String, u64>) -> std::fmt::Result {
    let counts: Vec<(String, u64)> = counts.iter().map(|(name, count)| (name.clone(), *count)).collect();
    if counts.is_empty() { writeln!(out, "<h2>{title}</h2><p>None.</p>") } else { figure(out, title, &bars(&counts)) }
}

fn rpc(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "<h2>RPC calls per order</h2>")?;
    let Some(rpc) = &report.rpc else { return writeln!(out, "<p>Unknown: the daemon shows no metrics.</p>") };
    writeln!(out, "<table><thead><tr><th>method</th><th>calls</th><th>per order</th></tr></thead><tbody>")?;
    for (method, calls) in rpc {
        writeln!(out, "<tr><td>{}</td><td>{}</td><td>{:.2}</td></tr>", escape(method), calls.calls, calls.per_order)?;
    }
    writeln!(out, "</tbody></table>")
}

fn notes(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        out,
        "<p>Orders looked at afterwards: {} of {}; keys used again: {}; signed again: {}; stream cuts: {}; ends asked for: {}; unanswered: {}.</p>",
        report.audited,
        report.sample,
        report.repeated_keys,
        report.signed_again,
        report.stream_cuts,
        report.asked_for,
        report.unanswered
    )?;
    for sentence in
        report.duplicates.iter().cloned().chain(report.stuck_orders.iter().map(|id| format!("{id} is stuck")))
    {
        writeln!(out, r#"<p class="bad">{}</p>"#, escape(&sentence))?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "times to look at")]
fn as_millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}

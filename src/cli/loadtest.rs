//! `swapd loadtest`: gives a running daemon many orders, shows how it goes, and reports.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use crate::{
    config::{Config, Secret},
    loadtest::{self, Counts, Length, MixText, Pace, Plan, Thresholds, Wallets},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The daemon; by default the address that is configured.
    #[arg(long, env = "SWAPD_URL")]
    url: Option<String>,
    /// The daemon's API key; by default the configured one.
    #[arg(long, env = "SWAPD_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Open loop: so many orders a second, whatever becomes of them.
    #[arg(long, value_parser = positive, conflicts_with = "clients")]
    rate: Option<f64>,
    /// Closed loop: so many clients, each with one order at a time.
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    clients: usize,
    /// How many orders.
    #[arg(long, default_value_t = 100, conflicts_with = "for")]
    orders: u64,
    /// For how long, in place of a number: `30s`, `5m`.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    r#for: Option<Duration>,
    /// Which orders: `SOL/USDC=3,USDC/SOL:out@0.1..2=1` are three parts SOL for USDC and one part USDC for exactly 0.1 to 2
    /// SOL. Amounts are whole tokens of the exact side, 0.001 to 0.01 where none are said.
    #[arg(long, default_value = "SOL/USDC")]
    mix: MixText,
    /// Same seed, same orders.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A wallet that pays; may be given more than once, they take turns. Without any the daemon chooses.
    #[arg(long = "wallet", conflicts_with = "fleet")]
    wallets: Vec<String>,
    /// All wallets that the daemon lists take turns.
    #[arg(long)]
    fleet: bool,
    /// Slippage in basis points; by default the daemon's.
    #[arg(long)]
    slippage_bps: Option<u16>,
    /// Connections of an open loop.
    #[arg(long, default_value_t = 64, value_parser = at_least_one)]
    connections: usize,
    /// The longest wait for an answer.
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// The longest wait for orders to end, after the last one was given.
    #[arg(long, default_value = "90s", value_parser = humantime::parse_duration)]
    drain: Duration,
    /// How many orders are looked at afterwards, for anything done twice.
    #[arg(long, default_value_t = 1_000)]
    audit: usize,
    /// The metrics page of a worker, where the daemon is more than one process. May be given more than once.
    #[arg(long)]
    metrics: Vec<String>,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as a page with plots.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Fail when one order of 100 takes longer than this from accepted to confirmed.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    max_p99: Option<Duration>,
    /// Fail when one of 100 waits longer than this for its answer.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    max_answer_p99: Option<Duration>,
    /// Fail when fewer orders than this end in a second.
    #[arg(long, value_name = "RATE", value_parser = positive)]
    min_rate: Option<f64>,
    /// Fail when more orders than this fail or are refused.
    #[arg(long, value_name = "COUNT")]
    max_failed: Option<u64>,
}

pub(super) async fn run(
    arguments: Arguments,
    config: &Config,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let (json, html) = (arguments.json.clone(), arguments.html.clone());
    let thresholds = Thresholds {
        max_p99: arguments.max_p99,
        max_answer_p99: arguments.max_answer_p99,
        min_rate: arguments.min_rate,
        max_failed: arguments.max_failed,
    };
    let plan = plan(arguments, config);
    let total = match plan.length {
        Length::Orders(orders) => orders,
        Length::For(_) => 0,
    };
    let progress = Progress::new(total);
    let report =
        loadtest::run(plan, shutdown, &|counts, since| progress.at(counts.accepted, &words(counts, since))).await;
    progress.end();
    let report = report?;
    say!("{}", loadtest::text(&report).trim_end());
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&report).context("the report is no JSON")?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = html {
        std::fs::write(&path, loadtest::html(&report)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let broken = report.broken(&thresholds);
    for sentence in &broken {
        say!("FAIL {sentence}");
    }
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn plan(arguments: Arguments, config: &Config) -> Plan {
    let wallets = match (arguments.fleet, arguments.wallets) {
        (true, _) => Wallets::Listed,
        (false, wallets) if wallets.is_empty() => Wallets::Any,
        (false, wallets) => Wallets::These(wallets),
    };
    let configured = config.api.key.as_ref().map(Secret::expose).filter(|key| !key.is_empty());
    Plan {
        url: arguments.url.unwrap_or_else(|| format!("http://{}", config.api.listen)),
        key: arguments.api_key.or_else(|| configured.map(str::to_owned)),
        pace: arguments.rate.map_or(Pace::Clients(arguments.clients), Pace::Rate),
        length: arguments.r#for.map_or(Length::Orders(arguments.orders), Length::For),
        mix: arguments.mix,
        seed: arguments.seed,
        wallets,
        slippage_bps: arguments.slippage_bps,
        connections: arguments.connections,
        timeout: arguments.timeout,
        drain: arguments.drain,
        audit: arguments.audit,
        metrics: arguments.metrics,
    }
}

fn words(counts: Counts, since: Duration) -> String {
    let rate = f64::from(u32::try_from(counts.confirmed).unwrap_or(u32::MAX)) / since.as_secs_f64().max(0.001);
    format!(
        "accepted, {} confirmed, {} failed, {} refused, {} in flight, {rate:.1}/s",
        counts.confirmed,
        counts.failed,
        counts.refused,
        counts.open()
    )
}

fn positive(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate: &f64| rate.is_finite() && *rate > 0.0)
        .ok_or_else(|| "must be above zero".to_owned())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "must be at least 1".to_owned())
}

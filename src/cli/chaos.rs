//! `swapd chaos-rpc`: a proxy in front of a Solana endpoint that fails the way a rules file says.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;

use crate::chaos::{Chaos, Counts, Limits, Options, Rules};

/// How often the counts are printed.
const PERIOD: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The node's JSON-RPC.
    #[arg(long)]
    rpc_url: String,
    /// The node's WebSocket. By default as for Solana's own tools: the same host, and the next port if one is named.
    #[arg(long)]
    ws_url: Option<String>,
    /// Where the proxy's JSON-RPC listens; only this machine is served, port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where the proxy's WebSocket listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    ws_listen: SocketAddr,
    /// Where all chance comes from: the same seed, rules and calls give the same faults.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A TOML file of `[[rules]]`, as in config/chaos.example.toml. Without it nothing fails.
    #[arg(long)]
    rules: Option<PathBuf>,
    /// Answer 429 where the public devnet would.
    #[arg(long)]
    devnet_limits: bool,
    /// Print one JSON line for the URLs and one for each look at the counts.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments, shutdown: CancellationToken) -> anyhow::Result<ExitCode> {
    let rules = match &arguments.rules {
        Some(path) => Rules::read(path).with_context(|| format!("cannot use {}", path.display()))?.rules,
        None => Vec::new(),
    };
    let ws_url = match arguments.ws_url {
        Some(url) => url,
        None => conventional_ws(&arguments.rpc_url).context("--rpc-url is no HTTP URL")?,
    };
    let count = rules.len();
    let chaos = Chaos::start(Options {
        rpc_url: arguments.rpc_url,
        ws_url,
        listen: arguments.listen,
        ws_listen: arguments.ws_listen,
        seed: arguments.seed,
        rules,
        limits: arguments.devnet_limits.then(Limits::devnet),
    })
    .await?;
    let (rpc_url, ws_url) = (chaos.rpc_url(), chaos.ws_url());
    if arguments.json {
        say!("{}", json!({"rpcUrl": rpc_url, "wsUrl": ws_url, "seed": arguments.seed, "rules": count}));
    } else {
        let limits = if arguments.devnet_limits { ", devnet's limits" } else { "" };
        say!("RPC {rpc_url}   WebSocket {ws_url}   seed {}, {count} rules{limits}; Ctrl-C ends it", arguments.seed);
    }
    let mut ticks = interval_at(Instant::now() + PERIOD, PERIOD);
    let mut printed = Counts::default();
    loop {
        let ended = tokio::select! {
            biased;
            () = shutdown.cancelled() => true,
            _ = ticks.tick() => false,
        };
        let counts = chaos.counts();
        if ended || counts != printed {
            print(&counts, arguments.json);
            printed = counts;
        }
        if ended {
            chaos.stop().await;
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn print(counts: &Counts, json: bool) {
    if json {
        say!("{}", json!(counts));
        return;
    }
    say!("{:<36} {:>8} {:>8} {:>8}", "method", "calls", "429", "faults");
    let all = counts.total();
    for (method, it) in counts.methods.iter().map(|(method, it)| (method.as_str(), it)).chain([("all", &all)]) {
        say!("{method:<36} {:>8} {:>8} {:>8}", it.calls, it.limited, it.faults);
    }
    let (refused, cuts, late) = (counts.refused_connections, counts.cuts, counts.late);
    say!("{refused} connections refused, sockets cut {cuts} times, {late} sends delivered late");
}

/// The WebSocket that belongs to an RPC URL by convention.
fn conventional_ws(rpc_url: &str) -> Option<String> {
    let mut url = url::Url::parse(rpc_url).ok()?;
    let scheme = match url.scheme() {
        "http" => "ws",
        "https" => "wss",
        _ => return None,
    };
    url.set_scheme(scheme).ok()?;
    if let Some(port) = url.port() {
        url.set_port(Some(port.checked_add(1)?)).ok()?;
    }
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_where_solanas_tools_look_for_it() {
        let ws = |url| conventional_ws(url);
        assert_eq!(ws("http://127.0.0.1:8899").unwrap(), "ws://127.0.0.1:8900/");
        assert_eq!(ws("https://api.devnet.solana.com").unwrap(), "wss://api.devnet.solana.com/");
        assert_eq!(ws("ftp://example.com"), None);
    }

    #[test]
    fn the_example_rules_can_be_read() {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/config/chaos.example.toml"));
        assert!(Rules::read(&path).unwrap().rules.len() > 20);
    }
}

//! `swapd localnet`: the embedded chain alone, for daemons and tools that connect to it.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::keys_dir;
use crate::{
    app::localnet_options,
    chain::Wallet,
    config::{self, Config, Secret},
    localnet::Localnet,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Length of a slot.
    #[arg(long, default_value = "200ms", value_parser = humantime::parse_duration)]
    slot_time: std::time::Duration,
    /// Port of JSON-RPC; 0 takes any free one.
    #[arg(long, default_value_t = 8899)]
    rpc_port: u16,
    /// Port of the WebSocket; 0 takes any free one.
    #[arg(long, default_value_t = 8900)]
    ws_port: u16,
    /// A genuine program binary in place of the model: ID=FILE.so. May be given more than once.
    #[arg(long = "program")]
    programs: Vec<String>,
    /// A cluster to fetch missing accounts from as they are asked for.
    #[arg(long)]
    clone_from: Option<String>,
    /// Key files whose wallets start with money; by default the configured folder.
    #[arg(long)]
    keys: Option<PathBuf>,
    /// Print what is on the chain as one JSON line.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    arguments: Arguments,
    config: &Config,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let keys = keys_dir(config, arguments.keys);
    let wallets: Vec<_> =
        if keys.is_dir() { Wallet::load_dir(&keys)?.into_iter().map(Arc::new).collect() } else { Vec::new() };
    let section = config::Localnet {
        embed: true,
        slot_time: arguments.slot_time,
        rpc_port: arguments.rpc_port,
        ws_port: arguments.ws_port,
        programs: arguments.programs,
        clone_from: arguments.clone_from.map(Secret::new),
        wallets: 0,
    };
    let options = localnet_options(&section, config.raydium_cpmm.program, &wallets)?;
    let chain = tokio::task::spawn_blocking(move || Localnet::start(options)).await.context("the start panicked")??;
    let scenario = chain.scenario();
    if arguments.json {
        let tokens: Vec<_> =
            scenario.tokens.iter().map(|it| json!({"symbol": it.symbol, "mint": it.mint.to_string()})).collect();
        let pools: Vec<_> =
            scenario.pools.iter().map(|it| json!({"name": it.name, "pool": it.address.to_string()})).collect();
        say!("{}", json!({"rpcUrl": chain.rpc_url(), "wsUrl": chain.ws_url(), "tokens": tokens, "pools": pools}));
    } else {
        say!("RPC {}   WebSocket {}", chain.rpc_url(), chain.ws_url());
        for token in &scenario.tokens {
            say!("token {:<6} {}", token.symbol, token.mint);
        }
        for pool in &scenario.pools {
            say!("pool  {:<12} {}", pool.name, pool.address);
        }
        say!("{} wallets funded; Ctrl-C ends the chain and forgets it", wallets.len());
    }
    shutdown.cancelled().await;
    tokio::task::spawn_blocking(move || chain.stop()).await.context("the stop panicked")?;
    Ok(ExitCode::SUCCESS)
}

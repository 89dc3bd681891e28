//! `swapd demo`: the main job in one command, from an empty machine to a confirmed swap.
//!
//! Boots the whole daemon with an embedded chain on free ports and in a folder of its own, then behaves as a client
//! would: posts an order, listens on the WebSocket, and in the end compares what was quoted with what the chain says
//! the wallet received.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};
use spl_associated_token_account_interface::address::get_associated_token_address;
use tokio_util::sync::CancellationToken;

use super::{client::Client, swap::follow};
use crate::{
    app::{App, Role},
    config::{Config, Secret},
    domain::BaseUnits,
    localnet::Scenario,
};

/// Of the embedded chain's USDC, as of the real one.
const USDC_DECIMALS: u8 = 6;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How much SOL to swap to USDC.
    #[arg(long, default_value = "1.5")]
    amount: String,
    /// One JSON event per line, then the order.
    #[arg(long)]
    json: bool,
    /// A genuine CPMM binary in place of the model: ID=FILE.so, with the id it was built for.
    #[arg(long)]
    program: Option<String>,
}

pub(super) async fn run(arguments: Arguments, shutdown: CancellationToken) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    // Without the environment: what is set there is meant for a daemon, not for a demonstration of its own.
    let mut config = Config::profile("localnet")?;
    config.store.url = Secret::new(format!("sqlite:{}", folder.path().join("swapd.db").display()));
    config.wallets.dir = folder.path().join("keys");
    config.api.listen.set_port(0);
    if let Some(program) = &arguments.program {
        use_program(&mut config, program)?;
    }
    if !arguments.json {
        say!("booting an embedded Solana chain, pools, wallets and the daemon ...");
    }
    let app = App::start(config, Role::All).await?;
    let address = *app.addresses().first().context("the API listens nowhere")?;
    let rpc = app.rpc().clone();
    let stop = shutdown.child_token();
    let daemon = tokio::spawn(app.run(stop.clone()));

    let url = format!("http://{address}");
    let outcome = tokio::select! {
        outcome = trade(&arguments, &url, &rpc) => outcome,
        () = shutdown.cancelled() => Ok(ExitCode::FAILURE),
    };
    stop.cancel();
    daemon.await.context("the daemon panicked")??;
    outcome
}

/// Puts a genuine binary where the model would be; the pools' addresses follow from its id.
fn use_program(config: &mut Config, program: &str) -> anyhow::Result<()> {
    let id = program.split_once('=').context("a program is given as ID=FILE.so")?.0;
    let id = id.parse().with_context(|| format!("{id} is no program id"))?;
    config.raydium_cpmm.program = id;
    config.raydium_cpmm.pools = Scenario::new(id).pools.iter().map(|pool| pool.address.to_string()).collect();
    if let Some(localnet) = &mut config.localnet {
        localnet.programs = vec![program.to_owned()];
    }
    Ok(())
}

async fn trade(arguments: &Arguments, url: &str, rpc: &crate::chain::Rpc) -> anyhow::Result<ExitCode> {
    let client = Client::new(url, None)?;
    if !arguments.json {
        say!("API   {url}");
    }
    let body = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": arguments.amount});
    let order = follow(&client, &body, arguments.json).await?;
    if order["status"] != "confirmed" {
        bail!("the order ended {}: {}", order["status"], order["failure"]);
    }
    let signature = order["txHash"].as_str().context("a confirmed order without a signature")?;
    let on_chain = rpc
        .transaction(&signature.parse().context("the signature is no signature")?)
        .await?
        .context("the chain does not know the signature")?;
    if let Some(error) = on_chain.error {
        bail!("the chain says that {signature} failed: {error}");
    }
    let received = received(&order, &on_chain).context("the chain shows no amount for the wallet")?;
    if !arguments.json {
        say!("signature {signature}");
        say!("slot      {}   fee {} lamports", on_chain.slot, on_chain.fee);
        say!("quoted    {} USDC", order["quoted"]["amountOut"]["ui"].as_str().unwrap_or("?"));
        say!("received  {} USDC, read back from the chain", BaseUnits::new(received).to_ui(USDC_DECIMALS));
        say!("price     {} USDC per SOL", order["executionPrice"].as_str().unwrap_or("?"));
    }
    if order["filled"]["amountOut"]["base"].as_str() != Some(received.to_string().as_str()) {
        bail!("the order says it received {}, the chain says {received}", order["filled"]["amountOut"]["base"]);
    }
    Ok(ExitCode::SUCCESS)
}

/// What the wallet's token account gained in the transaction, from the chain's own records.
fn received(order: &Value, transaction: &crate::chain::LandedTransaction) -> Option<u64> {
    let text = |key: &str| order[key].as_str()?.parse().ok();
    let account = get_associated_token_address(&text("wallet")?, &text("mintOut")?);
    transaction.post_token_balances.iter().filter(|after| after.account == account).find_map(|after| {
        let before = transaction
            .pre_token_balances
            .iter()
            .find(|before| before.account == after.account)
            .map_or(0, |before| before.amount);
        after.amount.checked_sub(before).filter(|gain| *gain > 0)
    })
}

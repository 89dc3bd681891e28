//! Embedded: boots the chain of the `[localnet]` section and points the configuration at it.

use std::sync::Arc;

use anyhow::Context;
use solana_sdk::pubkey::Pubkey;

use crate::{
    chain::Wallet,
    config::{self, Config, Secret},
    localnet::{Localnet, Options},
};

/// Boots the chain of the `[localnet]` section, if there is one, and points the configuration at it.
///
/// # Errors
/// When the section makes no sense or the chain does not start.
pub async fn embed(mut config: Config, wallets: &[Arc<Wallet>]) -> anyhow::Result<(Config, Option<Localnet>)> {
    let Some(section) = &config.localnet else { return Ok((config, None)) };
    let options = localnet_options(section, config.raydium_cpmm.program, wallets)?;
    let chain = tokio::task::spawn_blocking(move || Localnet::start(options))
        .await
        .context("the embedded chain's start panicked")?
        .context("the embedded chain did not start")?;
    config.chain.rpc_url = Secret::new(chain.rpc_url().to_owned());
    config.chain.ws_url = Secret::new(chain.ws_url().to_owned());
    Ok((config, Some(chain)))
}

/// The embedded chain's options from its section.
///
/// # Errors
/// When a program or URL is malformed.
pub fn localnet_options(
    section: &config::Localnet,
    cpmm_program: Pubkey,
    wallets: &[Arc<Wallet>],
) -> anyhow::Result<Options> {
    let programs = section
        .programs
        .iter()
        .map(|text| {
            let (id, file) = text.split_once('=').context("a program is given as ID=FILE.so")?;
            Ok((id.parse().with_context(|| format!("{id} is no program id"))?, file.into()))
        })
        .collect::<anyhow::Result<_>>()?;
    let clone_from =
        section.clone_from.as_ref().map(|url| url.expose().parse().context("`clone_from` is no URL")).transpose()?;
    Ok(Options {
        slot_time: section.slot_time,
        rpc_port: section.rpc_port,
        ws_port: section.ws_port,
        cpmm_program,
        programs,
        clone_from,
        wallets: wallets.iter().map(|wallet| wallet.address()).collect(),
        ..Options::default()
    })
}

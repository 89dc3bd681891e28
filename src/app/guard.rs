//! Guard: is this the cluster we may trade on, and the one our journal is about?
//!
//! Owns the genesis-hash checks. A local chain forgets everything when it ends, so an order that had a signature on the
//! former one can never land: it ends there, with that as its reason. Orders without a signature go on.

use anyhow::{Context, bail};

use super::Outside;
use crate::{
    config::Cluster,
    domain::{OrderEvent, OrderId, OrderStatus},
    engine::Journal,
    store::StoreError,
};

const MAINNET: &str = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";
const DEVNET: &str = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG";
const TESTNET: &str = "4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY";
/// The store's name for the chain its orders are about.
const FACT: &str = "genesis_hash";
const PAGE: u32 = 500;

/// Refuses mainnet always, and any cluster but the configured one.
pub(super) fn check_cluster(genesis: &str, cluster: Cluster) -> anyhow::Result<()> {
    if genesis == MAINNET {
        bail!("the RPC endpoint is on mainnet-beta: swapd never trades there");
    }
    let expected = match cluster {
        Cluster::Devnet => DEVNET,
        Cluster::Testnet => TESTNET,
        Cluster::Local => return Ok(()),
    };
    if genesis != expected {
        bail!("the RPC endpoint is on another cluster: its genesis hash is {genesis}, `{cluster:?}` has {expected}");
    }
    Ok(())
}

/// Compares the chain with the one the stored orders are about.
pub(super) async fn remember_chain(outside: &Outside, journal: &Journal, cluster: Cluster) -> anyhow::Result<()> {
    let genesis = outside.rpc.genesis_hash().await.context("the RPC endpoint cannot be used")?.to_string();
    match outside.store.fact(FACT).await? {
        Some(known) if known == genesis => return Ok(()),
        Some(known) if cluster != Cluster::Local => {
            bail!("the store holds orders of another chain ({known}): use another `store.url` for {cluster:?}");
        }
        Some(_) => end_lost_orders(outside, journal).await?,
        None => {}
    }
    outside.store.set_fact(FACT, &genesis).await?;
    Ok(())
}

/// Ends what had a signature on the former chain, dead letters too: no replay could find out more.
async fn end_lost_orders(outside: &Outside, journal: &Journal) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let page = outside.store.unfinished(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for order in page {
            end_if_lost(outside, journal, order.id).await?;
        }
    }
    let mut before = None;
    loop {
        let page = outside.store.dead_letters(before, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        before = Some(last.order_id);
        for letter in page {
            end_if_lost(outside, journal, letter.order_id).await?;
        }
    }
}

async fn end_if_lost(outside: &Outside, journal: &Journal, id: OrderId) -> anyhow::Result<()> {
    let mut order = match outside.store.order(id).await {
        Ok(Some(order)) => order,
        Ok(None) => return Ok(()),
        // It must not keep the daemon from starting: whoever takes it up sets it aside.
        Err(StoreError::Corrupt(reason)) => {
            tracing::error!(order_id = %id, reason, "cannot be read: nobody can say which chain it was on");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    if let OrderStatus::Submitted { attempt } = &order.status {
        tracing::warn!(order_id = %id, signature = %attempt.signature, "the chain that held it is gone");
        journal.append(&mut order, OrderEvent::ChainReset, None).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_configured_cluster_passes_and_mainnet_never() {
        assert!(check_cluster(DEVNET, Cluster::Devnet).is_ok());
        assert!(check_cluster(DEVNET, Cluster::Testnet).is_err());
        assert!(check_cluster("anything", Cluster::Devnet).is_err());
        assert!(check_cluster("anything", Cluster::Local).is_ok());
        for cluster in [Cluster::Devnet, Cluster::Testnet, Cluster::Local] {
            assert!(check_cluster(MAINNET, cluster).is_err());
        }
    }
}

//! The sections `chain` and `localnet`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Secret;

/// The cluster and how to reach it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// Which cluster this must be; checked by its genesis hash.
    pub cluster: Cluster,
    /// JSON-RPC. Left out when the chain is embedded.
    #[serde(default)]
    pub rpc_url: Secret,
    /// More endpoints of the same cluster, in the order in which they are preferred, after `rpc_url`.
    #[serde(default)]
    pub rpc_urls: Vec<Secret>,
    /// What each endpoint allows one process; none by default.
    #[serde(default)]
    pub limits: Option<Limits>,
    /// WebSocket; without it confirmations are polled only.
    #[serde(default)]
    pub ws_url: Secret,
    /// More WebSockets, as a rule one for each of `rpc_urls`: what one of them does not announce, another may.
    #[serde(default)]
    pub ws_urls: Vec<Secret>,
    /// Longest wait for any call.
    #[serde(default = "defaults::rpc_timeout", with = "humantime_serde")]
    pub rpc_timeout: Duration,
    /// Between two status polls for everything in flight.
    #[serde(default = "defaults::status_poll", with = "humantime_serde")]
    pub status_poll: Duration,
    /// Between two looks at the finalized height.
    #[serde(default = "defaults::height_poll", with = "humantime_serde")]
    pub height_poll: Duration,
    /// Between two sends of the same bytes.
    #[serde(default = "defaults::rebroadcast", with = "humantime_serde")]
    pub rebroadcast: Duration,
    /// Added to that for each order in flight.
    #[serde(default = "defaults::rebroadcast_per_order", with = "humantime_serde")]
    pub rebroadcast_per_order: Duration,
    /// Least priority fee, in micro-lamports per compute unit.
    #[serde(default)]
    pub priority_fee_floor: u64,
    /// Most priority fee, in lamports per transaction.
    #[serde(default = "defaults::priority_fee_cap")]
    pub priority_fee_cap: u64,
}

/// What an endpoint allows.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Calls in ten seconds.
    pub per_10s: u32,
    /// Calls of one method in ten seconds.
    pub per_method_10s: u32,
}

impl Chain {
    /// All endpoints, each once, the preferred one first.
    pub fn endpoints(&self) -> Vec<&str> {
        each_once(&self.rpc_url, &self.rpc_urls)
    }

    /// All sockets, each once.
    pub fn sockets(&self) -> Vec<&str> {
        each_once(&self.ws_url, &self.ws_urls)
    }
}

fn each_once<'a>(first: &'a Secret, more: &'a [Secret]) -> Vec<&'a str> {
    let mut urls = Vec::new();
    for url in std::iter::once(first).chain(more).map(Secret::expose) {
        if !url.is_empty() && !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}

/// The clusters that may be traded on. Mainnet is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cluster {
    /// Solana's devnet.
    Devnet,
    /// Solana's testnet.
    Testnet,
    /// A chain of one's own, whose genesis hash nobody knows beforehand.
    Local,
}

impl Cluster {
    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Devnet => "devnet",
            Self::Testnet => "testnet",
            Self::Local => "local",
        }
    }
}

/// The embedded chain.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Localnet {
    /// Whether it runs in this process. If not, one that runs already is used, at `chain.rpc_url`.
    #[serde(default = "defaults::embed")]
    pub embed: bool,
    /// Length of a slot.
    #[serde(default = "defaults::slot_time", with = "humantime_serde")]
    pub slot_time: Duration,
    /// Port of JSON-RPC; 0 takes any free one.
    #[serde(default)]
    pub rpc_port: u16,
    /// Port of the WebSocket; 0 takes any free one.
    #[serde(default)]
    pub ws_port: u16,
    /// Genuine program binaries: `ID=FILE`.
    #[serde(default)]
    pub programs: Vec<String>,
    /// A cluster to fetch missing accounts from.
    #[serde(default)]
    pub clone_from: Option<Secret>,
    /// Wallets made and funded when the key folder is empty.
    #[serde(default = "defaults::localnet_wallets")]
    pub wallets: usize,
}

mod defaults {
    use std::time::Duration;

    pub const fn rpc_timeout() -> Duration {
        Duration::from_secs(5)
    }
    pub const fn status_poll() -> Duration {
        Duration::from_millis(500)
    }
    pub const fn height_poll() -> Duration {
        Duration::from_secs(2)
    }
    pub const fn rebroadcast() -> Duration {
        Duration::from_secs(2)
    }
    pub const fn rebroadcast_per_order() -> Duration {
        Duration::from_millis(300)
    }
    pub const fn priority_fee_cap() -> u64 {
        100_000
    }
    pub const fn embed() -> bool {
        true
    }
    pub const fn slot_time() -> Duration {
        Duration::from_millis(200)
    }
    pub const fn localnet_wallets() -> usize {
        5
    }
}

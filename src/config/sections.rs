//! Sections: every key there is, with its default.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use solana_sdk::pubkey::Pubkey;

use super::Secret;

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

/// The durable store.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// `sqlite:path` or `postgres://...`.
    pub url: Secret,
}

/// The job queue.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// `memory:` or `redis://...`.
    pub url: Secret,
    /// How long a claim lasts unless it is renewed.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// More waiting jobs than this refuse new orders.
    pub max_depth: u64,
    /// Prefix of every key, so that deployments can share a server.
    pub prefix: String,
}

/// The event bus.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// `local:` or `redis://...`.
    pub url: Secret,
    /// Messages a subscriber may be behind.
    pub capacity: usize,
}

/// The HTTP server.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// Where to listen. Anything but loopback needs `key`.
    pub listen: SocketAddr,
    /// A second place to listen, for clients of the engine that used port 4000.
    pub also_listen: Option<SocketAddr>,
    /// The key that callers must give; without it everybody on this machine may trade.
    pub key: Option<Secret>,
    /// Largest request body, in bytes.
    pub body_limit: usize,
    /// Connections at a time.
    pub max_connections: usize,
    /// Requests in progress at a time.
    pub max_requests: usize,
    /// WebSockets at a time.
    pub max_sockets: usize,
    /// Longest time for one request.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// Web origins that may come in, beside none, `null` and this machine.
    pub origins: Vec<String>,
    /// Whether those pages may read answers across origins, as the older engines' dashboards do.
    pub cors: bool,
}

/// The page that Prometheus reads, beside `/metrics` of the API.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Where it is served without a key, also by a process without an API; nowhere when left out. Any address is
    /// taken: it shows counts and wallets' addresses, and takes no orders.
    pub listen: Option<SocketAddr>,
}

impl Api {
    /// Where it listens.
    pub fn listeners(&self) -> impl Iterator<Item = SocketAddr> {
        std::iter::once(self.listen).chain(self.also_listen)
    }

    /// Whether only programs of this machine can connect.
    pub fn is_private(&self) -> bool {
        self.listeners().all(|listen| listen.ip().is_loopback())
    }
}

/// What orders may say.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Orders {
    /// Slippage when none is given, in basis points.
    pub default_slippage_bps: u16,
    /// Slippage when none is given in the older dialect that has it in percent, in basis points; at most the largest.
    pub percent_slippage_bps: u16,
    /// Largest slippage, in basis points.
    pub max_slippage_bps: u16,
}

/// How orders are executed.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// Orders being routed, built, signed and first sent at the same time.
    pub signers: usize,
    /// Orders of this process that have not ended yet.
    pub max_in_flight: usize,
    /// Signatures per order.
    pub max_signatures: u8,
    /// Tries per order.
    pub max_retries: u8,
    /// The rest after the first failed try; doubled each time.
    #[serde(with = "humantime_serde")]
    pub backoff: Duration,
    /// Which swaps are simulated before they are signed.
    pub simulate: Simulate,
    /// Whether each swap carries a memo with the order's id.
    pub memo: bool,
    /// Times an order is taken up after the same event by somebody who dies of it, before it is set aside.
    pub max_take_ups: u32,
    /// How long a landed swap's details are waited for before it is called confirmed.
    #[serde(with = "humantime_serde")]
    pub details_within: Duration,
    /// Between two looks for orders that nobody drives.
    #[serde(with = "humantime_serde")]
    pub sweep_every: Duration,
    /// An order without an event for this long is looked after.
    #[serde(with = "humantime_serde")]
    pub untouched: Duration,
    /// How long the first Ctrl-C waits for orders in flight.
    #[serde(with = "humantime_serde")]
    pub shutdown_grace: Duration,
    /// How long no answer at all may last before an outcome is called unknown.
    #[serde(with = "humantime_serde")]
    pub unknown_after: Duration,
}

/// Which swaps are simulated before they are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Simulate {
    /// Every one.
    Always,
    /// Those that are not just like one that passed moments ago.
    WhenNeeded,
}

/// How much may be spent, by symbol of the token that is paid.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Caps {
    /// By one order.
    pub per_order: BTreeMap<String, CapAmount>,
    /// By all orders within any hour.
    pub per_hour: BTreeMap<String, CapAmount>,
    /// By all orders of one wallet within any hour.
    pub per_wallet_hour: BTreeMap<String, CapAmount>,
}

/// An amount: `"1.5"` or `5` whole tokens, `{ base = "1500000" }` base units. A fraction is text, so that it is exact.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum CapAmount {
    /// Whole tokens, as text.
    Ui(String),
    /// Whole tokens, without a fraction.
    Whole(u64),
    /// Base units.
    Base {
        /// How many, as text.
        base: String,
    },
}

/// The kill switch.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// As long as this file is there, the processes that see it sign nothing new. Its first line is the reason.
    pub pause_file: Option<PathBuf>,
}

/// Key files.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wallets {
    /// Every `*.json` in it is a wallet.
    pub dir: PathBuf,
    /// Only those whose name without `.json` fits, where `*` stands for anything: `fleet-*`.
    pub only: Option<String>,
    /// One more key: a JSON byte array or base58. Better kept in a file.
    pub key: Option<Secret>,
}

/// How routes are found.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Router {
    /// Venues that have not answered by then are left out.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// What a mock's quote is good for.
    pub mode: Mode,
}

/// What a mock's quote is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// To be shown beside the executable ones.
    QuoteOnly,
    /// To be filled by, marked as simulated.
    Paper,
}

/// Raydium's constant-product pools.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RaydiumCpmm {
    /// The program.
    #[serde(with = "crate::domain::order::as_string")]
    pub program: Pubkey,
    /// Pools to use.
    #[serde(default)]
    pub pools: Vec<String>,
    /// Whether to look for more by `getProgramAccounts`; public endpoints throttle that.
    #[serde(default)]
    pub discover: bool,
}

/// The mock Meteora.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeteoraMock {
    /// Whether it is asked at all.
    pub enabled: bool,
    /// Same seed, same quotes.
    pub seed: u64,
    /// How far its price may be from the live one, either way.
    pub spread_bps: u16,
    /// Its fee.
    pub fee_bps: u16,
    /// Its quickest answer.
    #[serde(with = "humantime_serde")]
    pub latency_min: Duration,
    /// Its slowest answer.
    #[serde(with = "humantime_serde")]
    pub latency_max: Duration,
    /// How many of a thousand questions it fails to answer.
    pub failures_per_mille: u16,
}

/// A token that may be traded; decimals and token program are read from the chain.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The short name in orders.
    pub symbol: String,
    /// The mint.
    #[serde(with = "crate::domain::order::as_string")]
    pub mint: Pubkey,
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

impl Default for Store {
    fn default() -> Self {
        Self { url: Secret::new("sqlite:data/swapd.db".into()) }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            url: Secret::new("memory:".into()),
            lease: Duration::from_secs(1),
            max_depth: 10_000,
            prefix: "swapd:".into(),
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { url: Secret::new("local:".into()), capacity: 4_096 }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            also_listen: None,
            key: None,
            body_limit: 16 * 1024,
            max_connections: 2_048,
            max_requests: 512,
            max_sockets: 8_192,
            request_timeout: Duration::from_secs(10),
            origins: Vec::new(),
            cors: true,
        }
    }
}

impl Default for Orders {
    fn default() -> Self {
        Self { default_slippage_bps: 100, percent_slippage_bps: 50, max_slippage_bps: 1_000 }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            signers: 10,
            max_in_flight: 10_000,
            max_signatures: 3,
            max_retries: 3,
            max_take_ups: 10,
            backoff: Duration::from_millis(500),
            simulate: Simulate::Always,
            memo: true,
            details_within: Duration::from_secs(2),
            sweep_every: Duration::from_secs(1),
            untouched: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(5),
            unknown_after: Duration::from_secs(10),
        }
    }
}

impl Default for Wallets {
    fn default() -> Self {
        Self { dir: PathBuf::from("keys"), only: None, key: None }
    }
}

impl Default for Router {
    fn default() -> Self {
        Self { deadline: Duration::from_millis(1_500), mode: Mode::QuoteOnly }
    }
}

impl Default for MeteoraMock {
    fn default() -> Self {
        Self {
            enabled: true,
            seed: 1,
            spread_bps: 50,
            fee_bps: 25,
            latency_min: Duration::from_millis(5),
            latency_max: Duration::from_millis(60),
            failures_per_mille: 0,
        }
    }
}

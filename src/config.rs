//! Config: what was written in files, environment and flags, checked once and turned into types.
//!
//! Order: the built-in profile or a file, then `SWAPD_*` variables (`SWAPD_STORE__URL`), then the names that the older
//! engines used. Unknown keys are refused. After start nothing reads the environment. Secrets show as `***`.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use serde::{Deserialize, Serialize};
use solana_sdk::pubkey::Pubkey;

mod legacy;

/// The profiles that need no file.
const PROFILES: [(&str, &str); 3] = [
    ("localnet", include_str!("../config/localnet.toml")),
    ("devnet", include_str!("../config/devnet.toml")),
    ("scaled", include_str!("../config/scaled.toml")),
];

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No profile and no file of that name.
    #[error("there is no profile `{0}` and no such file: use localnet, devnet, scaled or the path of a TOML file")]
    NotFound(String),
    /// A key is unknown, missing or of the wrong type.
    #[error("{0}")]
    Invalid(Box<figment::Error>),
    /// Each value is fine, together they make no sense.
    #[error("{0}")]
    Nonsense(String),
}

/// A value that must not be printed.
#[derive(Clone, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub const fn new(value: String) -> Self {
        Self(value)
    }

    /// The secret itself. Only for the place that uses it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Everything there is to configure.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The cluster and how to reach it.
    pub chain: Chain,
    /// The embedded chain; without this section there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub localnet: Option<Localnet>,
    /// The durable store.
    #[serde(default)]
    pub store: Store,
    /// The job queue.
    #[serde(default)]
    pub queue: Queue,
    /// The event bus.
    #[serde(default)]
    pub events: Events,
    /// The HTTP server.
    #[serde(default)]
    pub api: Api,
    /// What orders may say.
    #[serde(default)]
    pub orders: Orders,
    /// How orders are executed.
    #[serde(default)]
    pub engine: Engine,
    /// Key files.
    #[serde(default)]
    pub wallets: Wallets,
    /// How routes are found.
    #[serde(default)]
    pub router: Router,
    /// Raydium's constant-product pools.
    pub raydium_cpmm: RaydiumCpmm,
    /// The mock Meteora.
    #[serde(default)]
    pub meteora_mock: MeteoraMock,
    /// What may be traded.
    pub tokens: Vec<Token>,
}

/// The cluster and how to reach it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// Which cluster this must be; checked by its genesis hash.
    pub cluster: Cluster,
    /// JSON-RPC. Left out when the chain is embedded.
    #[serde(default)]
    pub rpc_url: Secret,
    /// WebSocket; without it confirmations are polled only.
    #[serde(default)]
    pub ws_url: Secret,
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

/// The embedded chain.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Localnet {
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
    /// WebSockets at a time.
    pub max_sockets: usize,
    /// Longest time for one request.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// Web origins that may come in, beside none, `null` and this machine.
    pub origins: Vec<String>,
    /// Whether those pages may read answers across origins.
    pub cors: bool,
}

/// What orders may say.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Orders {
    /// Slippage when none is given, in basis points.
    pub default_slippage_bps: u16,
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
    /// Whether each swap carries a memo with the order's id.
    pub memo: bool,
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

/// Key files.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wallets {
    /// Every `*.json` in it is a wallet.
    pub dir: PathBuf,
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

impl Config {
    /// Reads profiles (`localnet`, `devnet`, `scaled`) and files, a later one over an earlier one, then the environment.
    ///
    /// # Errors
    /// When there is no such profile or file, or a value is unknown, missing, wrong or makes no sense.
    pub fn load(layers: &[String]) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        for layer in layers {
            figment = match PROFILES.iter().find(|(name, _)| name == layer) {
                Some((_, text)) => figment.merge(Toml::string(text)),
                None if std::path::Path::new(layer).is_file() => figment.merge(Toml::file_exact(layer)),
                None => return Err(ConfigError::NotFound(layer.clone())),
            };
        }
        Self::from_figment(
            figment
                .merge(Serialized::defaults(legacy::values(|name| std::env::var(name).ok())))
                .merge(Env::prefixed("SWAPD_").filter(|key| key.as_str().contains("__")).split("__")),
        )
    }

    fn from_figment(figment: Figment) -> Result<Self, ConfigError> {
        let config: Self = figment.extract().map_err(|error| ConfigError::Invalid(Box::new(error)))?;
        config.validate()?;
        Ok(config)
    }

    /// Reads a profile alone, without the environment.
    ///
    /// # Errors
    /// When there is no such profile.
    pub fn profile(name: &str) -> Result<Self, ConfigError> {
        let profile = PROFILES.iter().find(|(known, _)| *known == name);
        let (_, text) = profile.ok_or_else(|| ConfigError::NotFound(name.to_owned()))?;
        Self::from_toml(text)
    }

    /// Reads TOML text alone, without the environment.
    ///
    /// # Errors
    /// As `load`.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::from_figment(Figment::new().merge(Toml::string(text)))
    }

    /// Refuses values that make no sense together.
    ///
    /// # Errors
    /// The first such thing.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let nonsense = |sentence: &str| Err(ConfigError::Nonsense(sentence.to_owned()));
        if self.localnet.is_some() && self.chain.cluster != Cluster::Local {
            return nonsense("an embedded chain is `cluster = \"local\"`");
        }
        if self.localnet.is_none() && self.chain.rpc_url.expose().is_empty() {
            return nonsense("`chain.rpc_url` is missing: name an RPC endpoint or configure an embedded chain");
        }
        for listen in std::iter::once(&self.api.listen).chain(&self.api.also_listen) {
            let keyless = self.api.key.as_ref().is_none_or(|key| key.expose().is_empty());
            if !listen.ip().is_loopback() && keyless {
                return Err(ConfigError::Nonsense(format!(
                    "`api.listen` is {listen}, which others can reach: set `api.key`, or listen on 127.0.0.1"
                )));
            }
        }
        if self.engine.signers == 0 || self.engine.max_in_flight < self.engine.signers {
            return nonsense("`engine.signers` must be at least 1 and at most `engine.max_in_flight`");
        }
        if self.engine.max_signatures == 0 {
            return nonsense("`engine.max_signatures` must be at least 1");
        }
        if self.orders.max_slippage_bps > 10_000 || self.orders.default_slippage_bps > self.orders.max_slippage_bps {
            return nonsense(
                "`orders.default_slippage_bps` must not exceed `max_slippage_bps`, which is at most 10000",
            );
        }
        if self.chain.status_poll.is_zero() || self.engine.sweep_every.is_zero() || self.router.deadline.is_zero() {
            return nonsense("`chain.status_poll`, `engine.sweep_every` and `router.deadline` must be above zero");
        }
        if self.meteora_mock.latency_min > self.meteora_mock.latency_max {
            return nonsense("`meteora_mock.latency_min` exceeds `latency_max`");
        }
        for (at, token) in self.tokens.iter().enumerate() {
            let twice = self.tokens[..at]
                .iter()
                .any(|other| other.symbol.eq_ignore_ascii_case(&token.symbol) || other.mint == token.mint);
            if twice {
                return Err(ConfigError::Nonsense(format!("token {} is configured twice", token.symbol)));
            }
        }
        if self.tokens.len() < 2 {
            return nonsense("at least two `[[tokens]]` are needed to trade");
        }
        Ok(())
    }

    /// Whether queue and bus reach other processes.
    pub fn is_shared(&self) -> bool {
        self.queue.url.expose().starts_with("redis") && self.events.url.expose().starts_with("redis")
    }
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
            lease: Duration::from_secs(2),
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
            max_sockets: 1_024,
            request_timeout: Duration::from_secs(10),
            origins: Vec::new(),
            cors: false,
        }
    }
}

impl Default for Orders {
    fn default() -> Self {
        Self { default_slippage_bps: 100, max_slippage_bps: 1_000 }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            signers: 10,
            max_in_flight: 10_000,
            max_signatures: 3,
            max_retries: 3,
            backoff: Duration::from_millis(500),
            memo: true,
            details_within: Duration::from_secs(2),
            sweep_every: Duration::from_secs(1),
            untouched: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(5),
            unknown_after: Duration::from_secs(10),
        }
    }
}

impl Default for Wallets {
    fn default() -> Self {
        Self { dir: PathBuf::from("keys"), key: None }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_valid_alone_and_scaled() {
        let [localnet, devnet, (_, scaled)] = PROFILES;
        for (name, text) in [localnet, devnet] {
            let config = Config::from_toml(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!config.is_shared());
            let both = Figment::new().merge(Toml::string(text)).merge(Toml::string(scaled));
            assert!(Config::from_figment(both).unwrap().is_shared());
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let text = format!("{}\n[surprise]\nx = 1\n", PROFILES[1].1);
        assert!(matches!(Config::from_toml(&text), Err(ConfigError::Invalid(_))));
    }

    #[test]
    fn a_public_address_needs_a_key() {
        let mut config = Config::from_toml(PROFILES[1].1).unwrap();
        config.api.listen = "0.0.0.0:3000".parse().unwrap();
        assert!(matches!(config.validate(), Err(ConfigError::Nonsense(_))));
        config.api.key = Some(Secret::new("k".into()));
        config.validate().unwrap();
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut config = Config::from_toml(PROFILES[1].1).unwrap();
        config.store.url = Secret::new("postgres://user:hunter2@host/db".into());
        config.wallets.key = Some(Secret::new("hunter2".into()));
        config.api.key = Some(Secret::new("hunter2".into()));
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

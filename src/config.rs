//! Config: what was written in files, environment and flags, checked once and turned into types.
//!
//! Order: the built-in profile or a file, then `SWAPD_*` variables (`SWAPD_STORE__URL`), then the names that the older
//! engines used. Unknown keys are refused. After start nothing reads the environment. Secrets show as `***`.

use std::{fmt, time::Duration};

use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use serde::{Deserialize, Serialize};

mod legacy;
mod sections;

pub use sections::{
    Api, CapAmount, Caps, Chain, Cluster, Control, Engine, Events, Limits, Localnet, MeteoraMock, Metrics, Mode,
    Orders, Queue, RaydiumCpmm, Router, Simulate, Store, Token, Wallets, Webhooks,
};

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
    /// What Prometheus reads.
    #[serde(default)]
    pub metrics: Metrics,
    /// What orders may say.
    #[serde(default)]
    pub orders: Orders,
    /// How orders are executed.
    #[serde(default)]
    pub engine: Engine,
    /// Who is told of orders' events.
    #[serde(default)]
    pub webhooks: Webhooks,
    /// How much may be spent.
    #[serde(default)]
    pub caps: Caps,
    /// The kill switch.
    #[serde(default)]
    pub control: Control,
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
        let mut config: Self = figment.extract().map_err(|error| ConfigError::Invalid(Box::new(error)))?;
        config.localnet = config.localnet.filter(|localnet| localnet.embed);
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

    /// The log filter that the older engines' environment asks for.
    pub fn older_log_filter() -> Option<String> {
        legacy::log_filter(|name| std::env::var(name).ok())
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
        if self.localnet.is_none() && self.chain.endpoints().is_empty() {
            return nonsense("`chain.rpc_url` is missing: name an RPC endpoint or configure an embedded chain");
        }
        if self.localnet.is_some() && !self.chain.rpc_urls.is_empty() {
            return nonsense("an embedded chain is its own endpoint: remove `chain.rpc_urls` or `[localnet]`");
        }
        if self.chain.limits.is_some_and(|limits| limits.per_10s == 0 || limits.per_method_10s == 0) {
            return nonsense("`chain.limits` must be above zero");
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
        let webhooks = &self.webhooks;
        if webhooks.in_flight == 0
            || webhooks.max_tries == 0
            || webhooks.timeout.is_zero()
            || webhooks.backoff.is_zero()
        {
            return nonsense("`webhooks.in_flight`, `.max_tries`, `.timeout` and `.backoff` must be above zero");
        }
        let longest = Duration::from_secs(30 * 24 * 60 * 60);
        if webhooks.longest_backoff < webhooks.backoff || webhooks.longest_backoff > longest {
            return nonsense("`webhooks.longest_backoff` must be from `webhooks.backoff` to 30 days");
        }
        if webhooks.disable_after > longest {
            return nonsense("`webhooks.disable_after` must be at most 30 days");
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

    /// Whether store, queue and bus all reach other processes.
    pub fn is_shared(&self) -> bool {
        let on_redis = |url: &Secret| url.expose().starts_with("redis");
        self.store.url.expose().starts_with("postgres") && on_redis(&self.queue.url) && on_redis(&self.events.url)
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
    fn endpoints_are_taken_in_order_and_once() {
        let mut config = Config::from_toml(PROFILES[1].1).unwrap();
        let urls = |config: &Config| config.chain.endpoints().join(" ");
        config.chain.rpc_url = Secret::new("http://a".into());
        config.chain.rpc_urls = ["http://b", "http://a", "http://b"].map(|url| Secret::new(url.into())).to_vec();
        assert_eq!(urls(&config), "http://a http://b");
        config.chain.rpc_url = Secret::default();
        assert_eq!(urls(&config), "http://b http://a");
        config.chain.ws_url = Secret::new("ws://a".into());
        config.chain.ws_urls = ["ws://b", "ws://a"].map(|url| Secret::new(url.into())).to_vec();
        assert_eq!(config.chain.sockets(), ["ws://a", "ws://b"]);
        config.validate().unwrap();
        config.chain.limits = Some(Limits { per_10s: 100, per_method_10s: 0 });
        assert!(config.validate().is_err());
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
    fn a_local_chain_that_runs_elsewhere_needs_its_address() {
        let elsewhere = PROFILES[0].1.replace("[localnet]", "[localnet]\nembed = false");
        assert!(matches!(Config::from_toml(&elsewhere), Err(ConfigError::Nonsense(_))));
        let named = elsewhere.replace("[chain]", "[chain]\nrpc_url = \"http://127.0.0.1:8899\"");
        assert!(Config::from_toml(&named).unwrap().localnet.is_none());
    }

    #[test]
    fn webhooks_that_could_never_be_served_are_refused() {
        let refused = |change: fn(&mut Webhooks)| {
            let mut config = Config::from_toml(PROFILES[1].1).unwrap();
            change(&mut config.webhooks);
            matches!(config.validate(), Err(ConfigError::Nonsense(_)))
        };
        assert!(!refused(|_| {}));
        assert!(refused(|it| it.in_flight = 0));
        assert!(refused(|it| it.max_tries = 0));
        assert!(refused(|it| it.timeout = Duration::ZERO));
        assert!(refused(|it| it.backoff = Duration::ZERO));
        assert!(refused(|it| it.longest_backoff = it.backoff / 2));
        assert!(refused(|it| it.disable_after = Duration::MAX));
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut config = Config::from_toml(PROFILES[1].1).unwrap();
        config.store.url = Secret::new("postgres://user:hunter2@host/db".into());
        config.chain.rpc_urls = vec![Secret::new("https://host/?api-key=hunter2".into())];
        config.wallets.key = Some(Secret::new("hunter2".into()));
        config.api.key = Some(Secret::new("hunter2".into()));
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

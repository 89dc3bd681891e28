//! Outside: the cluster, the stores and the keys, opened and checked before anything runs.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context, bail};
use solana_sdk::hash::Hash;

use super::guard;
use crate::{
    chain::{ChainError, Rpc, Wallet, rpc::Limits},
    config::{Cluster, Config},
    events::{self, BusOptions, SharedBus},
    queue::{self, QueueOptions, SharedQueue},
    store::{self, SharedStore},
};

/// What every role needs of the outside world, opened and checked.
pub struct Outside {
    /// The cluster.
    pub rpc: Arc<Rpc>,
    /// The truth.
    pub store: SharedStore,
    /// The hint.
    pub queue: SharedQueue,
    /// The courtesy.
    pub bus: SharedBus,
}

impl Outside {
    /// Connects to everything, the cluster first: a wrong one must not be touched any further.
    ///
    /// # Errors
    /// The first thing that is missing or wrong.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let rpc = connect_rpc(config).await?;
        let store = open_store(config).await?;
        // The intake refuses at the configured depth. The queue itself has room for what was admitted at the same moment,
        // by this process and others: an accepted order should not have to wait for the sweeper.
        let overshoot = config.queue.max_depth.saturating_add(config.api.max_requests as u64);
        let options = QueueOptions {
            lease: config.queue.lease,
            max_depth: config.queue.max_depth.saturating_add(overshoot),
            prefix: config.queue.prefix.clone(),
        };
        let queue = queue::open(config.queue.url.expose(), &options).await.context("the job queue cannot be used")?;
        let options = BusOptions { capacity: config.events.capacity, prefix: config.queue.prefix.clone() };
        let bus = events::open(config.events.url.expose(), &options).await.context("the event bus cannot be used")?;
        Ok(Self { rpc, store, queue, bus })
    }
}

/// Connects to the cluster and checks that every endpoint is on the one configured, and none on mainnet. An endpoint
/// that does not answer now is checked before it is used.
///
/// # Errors
/// When none answers, or one is on another cluster.
pub async fn connect_rpc(config: &Config) -> anyhow::Result<Arc<Rpc>> {
    let urls: Vec<String> = config.chain.endpoints().into_iter().map(str::to_owned).collect();
    let limits = config.chain.limits;
    let limits = limits.map(|it| Limits { per_10s: it.per_10s, per_method_10s: it.per_method_10s });
    let rpc = Arc::new(Rpc::over(urls, config.chain.rpc_timeout, limits));
    let genesis = check_endpoints(rpc.genesis_hashes().await, config.chain.cluster)?;
    rpc.trust(&genesis);
    Ok(rpc)
}

/// The genesis hash that all endpoints that answered have.
fn check_endpoints(said: Vec<(String, Result<Hash, ChainError>)>, cluster: Cluster) -> anyhow::Result<Hash> {
    let several = said.len() > 1;
    let mut decided: Option<(String, Hash)> = None;
    let mut silent: Option<ChainError> = None;
    for (name, answer) in said {
        let genesis = match answer {
            Ok(genesis) => genesis,
            Err(error) => {
                if several {
                    tracing::warn!(endpoint = name, %error, "an endpoint is not there: it is checked before it is used");
                }
                silent.get_or_insert(error);
                continue;
            }
        };
        let checked = guard::check_cluster(&genesis.to_string(), cluster);
        if several {
            checked.with_context(|| format!("the endpoint {name} cannot be used"))?;
        } else {
            checked?;
        }
        match &decided {
            Some((first, ours)) if *ours != genesis => {
                bail!("`chain.rpc_urls` mixes clusters: {first} has the genesis hash {ours}, {name} has {genesis}")
            }
            Some(_) => {}
            None => decided = Some((name, genesis)),
        }
    }
    match (decided, silent) {
        (Some((_, genesis)), _) => Ok(genesis),
        (None, Some(error)) => Err(error).context("the RPC endpoint (`chain.rpc_url`) cannot be used"),
        (None, None) => bail!("no RPC endpoint (`chain.rpc_url`) is configured"),
    }
}

/// Opens the durable store.
///
/// # Errors
/// When it cannot be opened or migrated.
pub async fn open_store(config: &Config) -> anyhow::Result<SharedStore> {
    store::open(config.store.url.expose()).await.context("the store (`store.url`) cannot be used")
}

/// Takes an SQLite file for this process alone: its queue is in memory, so two workers on one file would each believe
/// that nobody else drives an order. The lock ends with the process, however that ends.
pub(super) fn lock_store(config: &Config) -> anyhow::Result<Option<fs::File>> {
    let Some(path) = config.store.url.expose().strip_prefix("sqlite:").filter(|path| !path.contains(":memory:")) else {
        return Ok(None);
    };
    let path = path.trim_start_matches("//").split('?').next().unwrap_or_default();
    if let Some(dir) = Path::new(path).parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    }
    let path = format!("{path}.lock");
    let file = fs::File::create(&path).with_context(|| format!("cannot write {path}"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => {
            bail!("another swapd works on this store: stop it, or use another `store.url`")
        }
        Err(fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {path}")),
    }
}

/// Loads the keys of the folder and the one of the configuration.
///
/// # Errors
/// When a key is unreadable, too open or no key, or when there is none and none can be made.
pub fn load_wallets(config: &Config) -> anyhow::Result<Vec<Arc<Wallet>>> {
    let dir = &config.wallets.dir;
    let mut wallets = if dir.is_dir() { Wallet::load_dir(dir)? } else { Vec::new() };
    if let Some(pattern) = &config.wallets.only {
        wallets.retain(|wallet| fits(pattern, wallet.name()));
        if wallets.is_empty() {
            bail!("no wallet in {} fits `wallets.only = \"{pattern}\"`", dir.display());
        }
    }
    if let Some(key) = config.wallets.key.as_ref().filter(|key| !key.expose().is_empty()) {
        wallets.push(Wallet::parse("configured".into(), key.expose(), "`wallets.key`")?);
    }
    if wallets.is_empty() {
        match &config.localnet {
            Some(localnet) => {
                for n in 1..=localnet.wallets {
                    wallets.push(Wallet::create(dir, &format!("localnet-{n}"))?);
                }
            }
            None => bail!(
                "there is no wallet in {}: make one with `swapd wallet new`, fund it, and start again",
                dir.display()
            ),
        }
    }
    Ok(wallets.into_iter().map(Arc::new).collect())
}

/// Whether a name fits a pattern, in which `*` stands for any characters, also none.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|tail| {
            tail.char_indices().map(|(at, _)| at).chain([tail.len()]).any(|at| fits(rest, &tail[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_in_a_wallets_name() {
        for (pattern, name, does_fit) in [
            ("fleet-*", "fleet-001", true),
            ("fleet-*", "treasury", false),
            ("*-1*", "fleet-001", false),
            ("*-*1", "fleet-001", true),
            ("*", "", true),
            ("trader", "trader", true),
            ("trader", "trader-2", false),
            ("", "trader", false),
        ] {
            assert_eq!(fits(pattern, name), does_fit, "{pattern} {name}");
        }
    }

    fn said(name: &str, genesis: Option<u8>) -> (String, Result<Hash, ChainError>) {
        let silent = ChainError::RateLimited { retry_after: None };
        (name.to_owned(), genesis.map(|byte| Hash::new_from_array([byte; 32])).ok_or(silent))
    }

    #[test]
    fn endpoints_on_different_clusters_are_refused_by_name() {
        let mixed = check_endpoints(vec![said("a", Some(1)), said("b", Some(2))], Cluster::Local).unwrap_err();
        assert!(mixed.to_string().contains("mixes clusters: a has"), "{mixed}");
        let other = check_endpoints(vec![said("a", None), said("b", Some(2))], Cluster::Devnet).unwrap_err();
        let sentence = format!("{other:#}");
        assert!(sentence.contains("endpoint b") && sentence.contains("another cluster"), "{sentence}");
    }

    #[test]
    fn one_endpoint_that_answers_is_enough_to_start() {
        let ours = Hash::new_from_array([1; 32]);
        let answers = vec![said("a", None), said("b", Some(1)), said("c", Some(1))];
        assert_eq!(check_endpoints(answers, Cluster::Local).unwrap(), ours);
        let nobody = check_endpoints(vec![said("a", None), said("b", None)], Cluster::Local).unwrap_err();
        assert!(nobody.to_string().contains("chain.rpc_url"), "{nobody}");
    }
}

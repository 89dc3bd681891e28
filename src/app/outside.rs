//! Outside: the cluster, the stores and the keys, opened and checked before anything runs.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context, bail};

use super::guard;
use crate::{
    chain::{Rpc, Wallet},
    config::Config,
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
        let options = QueueOptions {
            lease: config.queue.lease,
            max_depth: config.queue.max_depth,
            prefix: config.queue.prefix.clone(),
        };
        let queue = queue::open(config.queue.url.expose(), &options).await.context("the job queue cannot be used")?;
        let options = BusOptions { capacity: config.events.capacity, prefix: config.queue.prefix.clone() };
        let bus = events::open(config.events.url.expose(), &options).await.context("the event bus cannot be used")?;
        Ok(Self { rpc, store, queue, bus })
    }
}

/// Connects to the cluster and checks that it is the one configured, and not mainnet.
///
/// # Errors
/// When it does not answer or is another one.
pub async fn connect_rpc(config: &Config) -> anyhow::Result<Arc<Rpc>> {
    let rpc = Arc::new(Rpc::new(config.chain.rpc_url.expose().to_owned(), config.chain.rpc_timeout));
    let genesis = rpc.genesis_hash().await.context("the RPC endpoint (`chain.rpc_url`) cannot be used")?;
    guard::check_cluster(&genesis.to_string(), config.chain.cluster)?;
    Ok(rpc)
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
    if let Some(key) = &config.wallets.key {
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

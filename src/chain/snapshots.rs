//! Snapshots: accounts that are quoted from, read once for all who want them at about the same time.
//!
//! Owns the last read of each set of accounts, and how old it may get: two blocks, measured, from the answer on, and no
//! older than the last swap of ours that is known to have landed. What is asked for all the time is read before somebody
//! has to wait for it. Never decides what a quote is good for: the bound of an order holds on the chain, whatever was
//! quoted from.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use solana_sdk::pubkey::Pubkey;
use tokio::time::Instant;

use super::{AccountSnapshot, ChainError, Rpc, Tip, one_read::OneRead};
use crate::domain::Slot;

/// A quote is at least this old when its swap lands: one block to be sent, one to be packed.
const MAX_AGE_BLOCKS: u32 = 2;
/// However slow blocks are.
const MAX_AGE: Duration = Duration::from_secs(1);
/// What is assumed before the block time is known: short, so that the first guess only costs a call.
const FIRST_MAX_AGE: Duration = Duration::from_millis(40);
/// Sets that are remembered. A set is a pair's pools, so this is far above what is configured anywhere.
const SETS: usize = 1_024;

/// The shared reads.
pub struct Snapshots {
    rpc: Arc<Rpc>,
    tip: Arc<Tip>,
    within: Duration,
    sets: Mutex<HashMap<Vec<Pubkey>, Arc<Set>>>,
    /// The newest slot in which something of ours is known to have changed accounts, and since when it is known.
    moved: Mutex<Option<(Slot, Instant)>>,
}

/// Accounts that are read together.
#[derive(Default)]
struct Set {
    read: OneRead<Read>,
    /// When they were last asked for, and when before that.
    asked: Mutex<[Option<Instant>; 2]>,
}

struct Read {
    snapshot: Arc<AccountSnapshot>,
    asked_at: Instant,
    answered_at: Instant,
}

impl Snapshots {
    /// Nothing read yet. Nobody waits for a read longer than `within`: shorter than whoever asks for quotes waits for
    /// them, so that an endpoint that is silent, or lets us wait for our turn, is not taken for a venue that is.
    pub fn new(rpc: Arc<Rpc>, tip: Arc<Tip>, within: Duration) -> Self {
        Self { rpc, tip, within, sets: Mutex::default(), moved: Mutex::default() }
    }

    /// With a tip of its own, where nobody else needs one, and the connection's own time-outs.
    pub fn over(rpc: Arc<Rpc>) -> Arc<Self> {
        let tip = Arc::new(Tip::new(rpc.clone()));
        Arc::new(Self::new(rpc, tip, Duration::MAX))
    }

    /// The connection, for reads that are nobody else's.
    pub const fn rpc(&self) -> &Arc<Rpc> {
        &self.rpc
    }

    /// A swap of ours landed in `slot`: what was read of an earlier one is too old.
    pub fn moved(&self, slot: Slot) {
        {
            let mut moved = lock(&self.moved);
            if moved.is_some_and(|(known, _)| known >= slot) {
                return;
            }
            *moved = Some((slot, Instant::now()));
        }
        for (keys, set) in &*lock(&self.sets) {
            let is_known = set.read.last().is_some_and(|read| self.is_fresh(&read));
            if !is_known && set.is_busy(self.block_time()) {
                set.read.read_ahead(|| self.read_now(keys, set));
            }
        }
    }

    /// Accounts at one slot, at most 100, in the order of `keys`. Whoever wants the same ones shares them.
    ///
    /// # Errors
    /// When there is no answer in time, or more than 100 keys are asked for.
    pub async fn read(&self, keys: &[Pubkey]) -> Result<Arc<AccountSnapshot>, ChainError> {
        let set = self.set(keys);
        set.asked();
        let read_now = || self.read_now(keys, &set);
        let read = set.read.get(|read| self.is_fresh(read), read_now);
        let Ok(read) = tokio::time::timeout(self.within, read).await else {
            return Err(ChainError::TimedOut { method: "getMultipleAccounts", after: self.within });
        };
        let read = read?;
        if read.answered_at.elapsed() > self.max_age() / 2 && set.is_busy(self.block_time()) {
            set.read.read_ahead(read_now);
        }
        Ok(read.snapshot.clone())
    }

    fn read_now(&self, keys: &[Pubkey], set: &Set) -> impl Future<Output = Result<Read, ChainError>> + Send + use<> {
        let (rpc, keys, before) = (self.rpc.clone(), keys.to_vec(), set.read.last());
        async move {
            let asked_at = Instant::now();
            let mut snapshot = Arc::new(rpc.accounts(&keys).await?);
            if let Some(before) = before.filter(|before| before.snapshot.slot > snapshot.slot) {
                // Another node answered, one that is behind: what has been seen cannot be unseen.
                snapshot = before.snapshot.clone();
            }
            Ok(Read { snapshot, asked_at, answered_at: Instant::now() })
        }
    }

    fn set(&self, keys: &[Pubkey]) -> Arc<Set> {
        let mut sets = lock(&self.sets);
        if let Some(set) = sets.get(keys) {
            return set.clone();
        }
        if sets.len() >= SETS {
            sets.clear();
        }
        sets.entry(keys.to_vec()).or_default().clone()
    }

    fn is_fresh(&self, read: &Read) -> bool {
        let moved = *lock(&self.moved);
        // Asked after the landing was known, an older slot is a node that lags: it has nothing newer to tell.
        let is_known_newer = moved.is_some_and(|(slot, since)| read.snapshot.slot < slot && read.asked_at < since);
        read.answered_at.elapsed() <= self.max_age() && !is_known_newer
    }

    fn max_age(&self) -> Duration {
        self.tip.block_time().map_or(FIRST_MAX_AGE, |time| (time * MAX_AGE_BLOCKS).min(MAX_AGE))
    }

    fn block_time(&self) -> Duration {
        self.tip.block_time().unwrap_or_default()
    }
}

impl Set {
    fn asked(&self) {
        let mut asked = lock(&self.asked);
        *asked = [Some(Instant::now()), asked[0]];
    }

    /// Whether it is asked for at least once a block, so that it surely will be again.
    fn is_busy(&self, block_time: Duration) -> bool {
        let [Some(last), Some(before)] = *lock(&self.asked) else { return false };
        last.elapsed() <= block_time && last.duration_since(before) <= block_time
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::future::join_all;
    use serde_json::json;

    use super::*;
    use crate::chain::rpc::node_stub::{Node, Reply, over};

    const PATIENCE: Duration = Duration::from_secs(1);

    /// A node at a slot, whose blocks come every 200 ms as far as the tip can see.
    async fn scene(slot: Arc<AtomicU64>) -> (Node, Snapshots) {
        let node = Node::start(move |method, params| {
            let slot = slot.load(Ordering::Relaxed);
            Reply::Result(match method {
                "getLatestBlockhash" => json!({"context": {"slot": slot}, "value": {
                    "blockhash": Pubkey::default().to_string(), "lastValidBlockHeight": slot + 150,
                }}),
                _ => json!({"context": {"slot": slot}, "value": vec![(); params[0].as_array().unwrap().len()]}),
            })
        })
        .await;
        let rpc = Arc::new(over(&[&node], Duration::from_secs(60)));
        let tip = Arc::new(Tip::new(rpc.clone()));
        (node, Snapshots::new(rpc, tip, PATIENCE))
    }

    fn reads(node: &Node) -> usize {
        node.asked().iter().filter(|method| *method == "getMultipleAccounts").count()
    }

    #[tokio::test(start_paused = true)]
    async fn orders_of_the_same_two_blocks_share_a_read() {
        let slot = Arc::new(AtomicU64::new(100));
        let (node, snapshots) = scene(slot.clone()).await;
        let keys = [Pubkey::new_unique(), Pubkey::new_unique()];
        // Two blockhashes, twenty blocks and four seconds apart.
        snapshots.tip.blockhash().await.unwrap();
        tokio::time::advance(Duration::from_secs(4)).await;
        slot.store(120, Ordering::Relaxed);
        snapshots.tip.blockhash().await.unwrap();
        let block = snapshots.tip.block_time().unwrap();
        assert!(block >= Duration::from_millis(200) && block < Duration::from_millis(205), "{block:?}");

        let together = join_all((0..30).map(|_| snapshots.read(&keys))).await;
        assert!(together.iter().all(|read| read.as_ref().unwrap().accounts.len() == 2));
        assert_eq!(reads(&node), 1);
        tokio::time::advance(block * 2 - Duration::from_millis(1)).await;
        snapshots.read(&keys).await.unwrap();
        assert_eq!(reads(&node), 1);
        tokio::time::advance(Duration::from_millis(2)).await;
        snapshots.read(&keys).await.unwrap();
        assert_eq!(reads(&node), 2);
        snapshots.read(&keys[..1]).await.unwrap();
        assert_eq!(reads(&node), 3, "other accounts are another read");
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_takes_too_long_is_the_endpoints_fault() {
        let (node, snapshots) = scene(Arc::default()).await;
        node.now(|_, _| Reply::Silence);
        let error = snapshots.read(&[Pubkey::new_unique()]).await.unwrap_err();
        assert!(matches!(error, ChainError::TimedOut { after: PATIENCE, .. }), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_before_a_landing_is_read_again_and_a_node_that_lags_only_once() {
        let slot = Arc::new(AtomicU64::new(100));
        let (node, snapshots) = scene(slot.clone()).await;
        let keys = [Pubkey::new_unique()];
        snapshots.read(&keys).await.unwrap();
        snapshots.moved(Slot(100));
        snapshots.read(&keys).await.unwrap();
        assert_eq!(reads(&node), 1, "it was in the block");
        tokio::time::advance(Duration::from_millis(1)).await;
        snapshots.moved(Slot(101));
        assert_eq!(snapshots.read(&keys).await.unwrap().slot, Slot(100));
        snapshots.read(&keys).await.unwrap();
        assert_eq!(reads(&node), 2, "the node has nothing newer, and is not asked for it again at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_is_behind_does_not_bring_back_what_was_before() {
        let slot = Arc::new(AtomicU64::new(100));
        let (node, snapshots) = scene(slot.clone()).await;
        let keys = [Pubkey::new_unique()];
        for (said, seen) in [(100, 100), (98, 100), (101, 101), (100, 101)] {
            slot.store(said, Ordering::Relaxed);
            tokio::time::advance(MAX_AGE * 2).await;
            assert_eq!(snapshots.read(&keys).await.unwrap().slot, Slot(seen));
        }
        assert_eq!(reads(&node), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn accounts_that_every_block_asks_for_are_read_again_before_somebody_waits() {
        let slot = Arc::new(AtomicU64::new(100));
        let (node, snapshots) = scene(slot.clone()).await;
        snapshots.tip.blockhash().await.unwrap();
        tokio::time::advance(Duration::from_secs(4)).await;
        slot.store(120, Ordering::Relaxed);
        snapshots.tip.blockhash().await.unwrap();
        let (busy, idle) = ([Pubkey::new_unique()], [Pubkey::new_unique()]);
        for keys in [&busy, &idle, &busy] {
            snapshots.read(keys).await.unwrap();
        }
        slot.store(121, Ordering::Relaxed);
        tokio::time::advance(Duration::from_millis(1)).await;
        snapshots.moved(Slot(121));
        while reads(&node) < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(snapshots.read(&busy).await.unwrap().slot, Slot(121));
        assert_eq!(reads(&node), 3, "nobody had to ask for it, and what nobody asks for is not read");
        snapshots.read(&idle).await.unwrap();
        assert_eq!(reads(&node), 4);
    }
}

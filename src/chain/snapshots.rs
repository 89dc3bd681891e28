//! Snapshots: accounts that are quoted from, read once for all who want them at about the same time.
//!
//! Owns the last read of each set of accounts, and how old it may get: two blocks, measured, from the answer on, and no
//! older than the last swap of ours that is known to have landed. A socket may tell what a read has become, and it is read
//! again where it does not. What is asked for all the time is read before somebody has to wait for it. Never steps back to
//! an older slot, and never decides what a quote is good for: the bound of an order holds on the chain, whatever was quoted
//! from.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use hashlink::LruCache;
use solana_sdk::pubkey::Pubkey;
use tokio::time::Instant;

use super::{AccountSnapshot, ChainError, Rpc, Tip, Told, one_read::OneRead};
use crate::{domain::Slot, lock::lock};

/// A quote is at least this old when its swap lands: one block to be sent, one to be packed.
const MAX_AGE_BLOCKS: u32 = 2;
/// However slow blocks are.
const MAX_AGE: Duration = Duration::from_secs(1);
/// What is assumed before the block time is known: short, so that the first guess only costs a call.
const FIRST_MAX_AGE: Duration = Duration::from_millis(40);
/// Accounts that so many blocks in a row asked for are read before the next one does. An order alone asks more than once.
const BUSY_BLOCKS: u32 = 3;
/// Sets that are remembered. A set is a pair's pools, so this is far above what is configured anywhere.
const SETS: usize = 1_024;

/// The shared reads.
pub struct Snapshots {
    rpc: Arc<Rpc>,
    tip: Arc<Tip>,
    within: Duration,
    told: Option<Told>,
    /// Those that were asked for last.
    sets: Mutex<LruCache<Vec<Pubkey>, Arc<Set>>>,
    /// The newest slot in which something of ours is known to have changed accounts, and since when it is known.
    moved: Mutex<Option<(Slot, Instant)>>,
}

/// Accounts that are read together.
struct Set {
    read: OneRead<Read>,
    asked: Mutex<Option<Asked>>,
}

/// When accounts were asked for.
#[derive(Clone, Copy)]
struct Asked {
    last: Instant,
    /// Since when no block has gone by without it.
    since: Instant,
}

struct Read {
    snapshot: Arc<AccountSnapshot>,
    /// `None` for what a socket told: it tells when it likes.
    asked_at: Option<Instant>,
    answered_at: Instant,
}

impl Snapshots {
    /// Nothing read yet. Nobody waits for a read longer than `within`: shorter than whoever asks for quotes waits for
    /// them, so that an endpoint that is silent, or lets us wait for our turn, is not taken for a venue that is.
    /// `told` hears of changes, where an endpoint has a socket.
    pub fn new(rpc: Arc<Rpc>, tip: Arc<Tip>, within: Duration, told: Option<Told>) -> Self {
        Self { rpc, tip, within, told, sets: Mutex::new(LruCache::new(SETS)), moved: Mutex::default() }
    }

    /// With a tip of its own, where nobody else needs one, and the connection's own time-outs.
    pub fn over(rpc: Arc<Rpc>) -> Arc<Self> {
        let tip = Arc::new(Tip::new(rpc.clone()));
        Arc::new(Self::new(rpc, tip, Duration::MAX, None))
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
        for (keys, set) in lock(&self.sets).iter() {
            let is_known = set.read.last().is_some_and(|read| self.is_fresh(&read));
            if !is_known && set.is_busy(self.block_time()) {
                set.read.read_ahead(|| read_now(self.rpc.clone(), keys.clone()));
            }
        }
    }

    /// Accounts at one slot, at most 100, in the order of `keys`. Whoever wants the same ones shares them.
    ///
    /// # Errors
    /// When there is no answer in time, or more than 100 keys are asked for.
    pub async fn read(&self, keys: &[Pubkey]) -> Result<Arc<AccountSnapshot>, ChainError> {
        let set = self.set(keys);
        set.asked(self.block_time());
        self.hear(keys, &set);
        let read_now = || read_now(self.rpc.clone(), keys.to_vec());
        let read = set.read.get(|read| self.is_fresh(read), read_now);
        let Ok(read) = tokio::time::timeout(self.within, read).await else {
            return Err(ChainError::TimedOut { method: "getMultipleAccounts", after: self.within });
        };
        let read = read?;
        if read.answered_at.elapsed() > self.max_age() * 3 / 4 && set.is_busy(self.block_time()) {
            set.read.read_ahead(read_now);
        }
        Ok(read.snapshot.clone())
    }

    /// Brings the last read up to date, as far as a socket tells it.
    fn hear(&self, keys: &[Pubkey], set: &Set) {
        let Some(told) = &self.told else { return };
        told.want(keys);
        let Some(last) = set.read.last() else { return };
        if let Some((snapshot, known_at)) = told.since(&last.snapshot, keys) {
            set.read.put(Read { snapshot: Arc::new(snapshot), asked_at: None, answered_at: known_at });
        }
    }

    fn set(&self, keys: &[Pubkey]) -> Arc<Set> {
        let mut sets = lock(&self.sets);
        if let Some(set) = sets.get(keys) {
            return set.clone();
        }
        let set = Arc::new(Set::default());
        sets.insert(keys.to_vec(), set.clone());
        set
    }

    fn is_fresh(&self, read: &Read) -> bool {
        let moved = *lock(&self.moved);
        // Asked after the landing was known, an older slot is a node that lags: it has nothing newer to tell.
        let asked_before = |since| read.asked_at.is_none_or(|asked_at| asked_at < since);
        let is_known_newer = moved.is_some_and(|(slot, since)| read.snapshot.slot < slot && asked_before(since));
        read.answered_at.elapsed() <= self.max_age() && !is_known_newer
    }

    fn max_age(&self) -> Duration {
        self.tip.block_time().map_or(FIRST_MAX_AGE, |time| (time * MAX_AGE_BLOCKS).min(MAX_AGE))
    }

    fn block_time(&self) -> Duration {
        self.tip.block_time().unwrap_or_default()
    }
}

impl Default for Set {
    fn default() -> Self {
        // Another node may answer, one that is behind: what has been seen cannot be unseen.
        let merge = |new: Read, last: &Read| {
            let is_behind = new.snapshot.slot < last.snapshot.slot;
            if is_behind { Read { snapshot: last.snapshot.clone(), ..new } } else { new }
        };
        Self { read: OneRead::merging(merge), asked: Mutex::new(None) }
    }
}

impl Set {
    fn asked(&self, block_time: Duration) {
        let now = Instant::now();
        let mut asked = lock(&self.asked);
        let without_a_gap = asked.filter(|it| now.duration_since(it.last) <= block_time);
        *asked = Some(Asked { last: now, since: without_a_gap.map_or(now, |it| it.since) });
    }

    /// Whether each of the last blocks asked for it, so that the next one surely will.
    fn is_busy(&self, block_time: Duration) -> bool {
        let Some(Asked { last, since }) = *lock(&self.asked) else { return false };
        last.elapsed() <= block_time && since.elapsed() >= block_time * BUSY_BLOCKS
    }
}

async fn read_now(rpc: Arc<Rpc>, keys: Vec<Pubkey>) -> Result<Read, ChainError> {
    let asked_at = Instant::now();
    let snapshot = Arc::new(rpc.accounts(&keys).await?);
    Ok(Read { snapshot, asked_at: Some(asked_at), answered_at: Instant::now() })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::future::join_all;
    use serde_json::json;
    use solana_sdk::{account::Account, sysvar};

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
        (node, Snapshots::new(rpc, tip, PATIENCE, None))
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
        for quarter in 0..4 * BUSY_BLOCKS {
            snapshots.read(&busy).await.unwrap();
            if quarter >= 4 * BUSY_BLOCKS - 2 {
                snapshots.read(&idle).await.unwrap();
            }
            tokio::time::advance(snapshots.block_time() / 4).await;
        }
        let (before, asked) = (reads(&node), node.asked().len());
        slot.store(121, Ordering::Relaxed);
        snapshots.moved(Slot(121));
        node.asked_times(asked + 1).await;
        assert_eq!(snapshots.read(&busy).await.unwrap().slot, Slot(121));
        assert_eq!(reads(&node), before + 1, "nobody had to ask for it, and what few ask for is not read");
        snapshots.read(&idle).await.unwrap();
        assert_eq!(reads(&node), before + 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_socket_tells_saves_the_read_unless_a_swap_of_ours_is_newer() {
        let slot = Arc::new(AtomicU64::new(100));
        let (node, mut snapshots) = scene(slot.clone()).await;
        let told = Told::default();
        snapshots.told = Some(told.clone());
        let keys = [sysvar::clock::ID, Pubkey::new_unique()];
        let tell = |key: usize, slot: u64| told.note(keys[key], Slot(slot), Account::new(slot, 0, &Pubkey::default()));
        told.follow(&keys);
        (96..100).for_each(|block| tell(0, block));
        assert_eq!(snapshots.read(&keys).await.unwrap().slot, Slot(100));
        for block in 100..110 {
            tokio::time::advance(FIRST_MAX_AGE).await;
            tell(1, block);
            tell(0, block);
        }
        let now = snapshots.read(&keys).await.unwrap();
        let held = now.accounts.iter().flatten().map(|account| account.lamports);
        assert_eq!((now.slot, held.collect::<Vec<_>>()), (Slot(108), vec![108, 108]));
        assert_eq!(reads(&node), 1);

        snapshots.moved(Slot(109));
        slot.store(109, Ordering::Relaxed);
        assert_eq!(snapshots.read(&keys).await.unwrap().slot, Slot(109), "block 109 is not told whole yet");
        assert_eq!(reads(&node), 2);
        tokio::time::advance(FIRST_MAX_AGE * 2).await;
        slot.store(112, Ordering::Relaxed);
        assert_eq!(snapshots.read(&keys).await.unwrap().slot, Slot(112), "the socket has fallen silent");
        assert_eq!(reads(&node), 3);
    }

    #[test]
    fn sets_that_nobody_asks_for_any_more_make_room_and_the_others_stay() {
        let snapshots = Snapshots::over(Arc::new(Rpc::new("http://127.0.0.1:9".into(), PATIENCE)));
        let [once, always] = [[Pubkey::new_unique()], [Pubkey::new_unique()]];
        let [first, kept] = [snapshots.set(&once), snapshots.set(&always)];
        for _ in 0..2 * SETS {
            snapshots.set(&[Pubkey::new_unique()]);
            assert!(Arc::ptr_eq(&snapshots.set(&always), &kept));
        }
        assert_eq!(lock(&snapshots.sets).len(), SETS);
        assert!(!Arc::ptr_eq(&snapshots.set(&once), &first));
    }
}

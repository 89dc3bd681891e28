//! Tip: the newest blockhash, shared by all signers, and how fast blocks come.
//!
//! Owns one cached reply, the pace measured between replies, and that of the finalized height, which counts where nobody
//! asks for blockhashes. Never hands out a blockhash that has lost a noticeable part of its life; what "noticeable" means in
//! seconds follows from the measured block time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

use super::{Blockhash, ChainError, Rpc, one_read::OneRead, pace::Pace};
use crate::{domain::BlockHeight, lock::lock};

/// Blocks a blockhash lives. The runtime's constant (150), unchanged by the slot times of 2026.
pub const BLOCKHASH_LIFE: u32 = 150;
/// A cached blockhash is used for at most this many blocks of its life.
const MAX_AGE_BLOCKS: u32 = 8;
const MAX_AGE: Duration = Duration::from_secs(2);
/// With this share of that behind it, the next one is read while this one is still used, so that no order waits for it.
const AHEAD_PERCENT: u32 = 85;
/// Blocks of life that a signature must have before it. What is signed is sent at once, so this is also what a first
/// send has: a transaction near its end can hardly land, and only keeps its order waiting for the proof that it did not.
const LEAST_LIFE: u32 = 60;
/// What is assumed before there is a measurement: short, so that the first guess only costs a call.
const FIRST_BLOCK_TIME: Duration = Duration::from_millis(20);

/// The shared cache.
pub struct Tip {
    rpc: Arc<Rpc>,
    newest: OneRead<Newest>,
    seen: Arc<Mutex<Seen>>,
}

struct Newest {
    blockhash: Blockhash,
    read_at: Instant,
}

/// What the bounds of all replies say together.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    pace: Pace,
    finalized: Pace,
    /// The greatest bound. One far below it comes from a node far behind.
    bound: BlockHeight,
}

impl Tip {
    /// An empty cache.
    pub fn new(rpc: Arc<Rpc>) -> Self {
        Self { rpc, newest: OneRead::default(), seen: Arc::default() }
    }

    /// A blockhash young enough to be signed over. Concurrent callers share one read.
    ///
    /// # Errors
    /// When the cached one is too old and the node does not answer, or is so far behind that its newest is too old.
    pub async fn blockhash(&self) -> Result<Blockhash, ChainError> {
        let read = || {
            let (rpc, seen) = (self.rpc.clone(), self.seen.clone());
            async move {
                let blockhash = rpc.latest_blockhash().await?;
                let read_at = Instant::now();
                let has_life = lock(&seen).note(blockhash.last_valid_block_height, read_at);
                if has_life { Ok(Newest { blockhash, read_at }) } else { Err(ChainError::NodeBehind) }
            }
        };
        let max_age = max_age(self.block_time());
        let newest = self.newest.get(|newest: &Newest| newest.read_at.elapsed() <= max_age, read).await?;
        if newest.read_at.elapsed() > max_age * AHEAD_PERCENT / 100 {
            self.newest.read_ahead(read);
        }
        Ok(newest.blockhash)
    }

    /// Takes in the finalized height that somebody saw at `at`.
    pub fn saw_finalized(&self, height: BlockHeight, at: Instant) {
        lock(&self.seen).finalized.note(height, at);
    }

    /// The measured time between blocks: between replies, and where nobody asks for blockhashes between finalized ones.
    pub fn block_time(&self) -> Option<Duration> {
        let seen = *lock(&self.seen);
        seen.pace.block_time().or(seen.finalized.block_time())
    }

    /// The measured time between finalized blocks.
    pub fn finalized_block_time(&self) -> Option<Duration> {
        lock(&self.seen).finalized.block_time()
    }
}

impl Seen {
    /// Whether a blockhash with this bound has enough life before it, as far as other replies tell.
    fn note(&mut self, bound: BlockHeight, at: Instant) -> bool {
        self.pace.note(bound, at);
        self.bound = self.bound.max(bound);
        self.bound.0 - bound.0 <= u64::from(BLOCKHASH_LIFE - LEAST_LIFE)
    }
}

/// How long a blockhash is used after it was read.
fn max_age(block_time: Option<Duration>) -> Duration {
    (block_time.unwrap_or(FIRST_BLOCK_TIME) * MAX_AGE_BLOCKS).min(MAX_AGE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use solana_sdk::hash::Hash;

    use super::*;
    use crate::chain::rpc::node_stub::{Node, Reply, over};

    /// A node whose chain makes a block each `block_time`.
    async fn node(block_time: Duration) -> Node {
        let start = Instant::now();
        Node::start(move |_, _| {
            let blocks = start.elapsed().as_millis() / block_time.as_millis();
            let height = 1_000 + u64::try_from(blocks).unwrap();
            Reply::Result(json!({"context": {"slot": height}, "value": {
                "blockhash": Hash::new_from_array([7; 32]).to_string(),
                "lastValidBlockHeight": height + u64::from(BLOCKHASH_LIFE),
            }}))
        })
        .await
    }

    /// E.14, 11: what is signed over has at most eight blocks of its life behind it, whatever a block takes.
    #[tokio::test(start_paused = true)]
    async fn a_blockhash_is_read_anew_after_eight_blocks_at_any_block_time() {
        for millis in [150, 200, 400, 2_000] {
            let block_time = Duration::from_millis(millis);
            let node = node(block_time).await;
            let tip = Tip::new(Arc::new(over(&[&node], Duration::from_secs(60))));
            while tip.block_time().is_none() {
                tip.blockhash().await.unwrap();
                tokio::time::advance(Duration::from_millis(100)).await;
            }
            let measured = tip.block_time().unwrap();
            assert!(measured.abs_diff(block_time) <= block_time / 10, "{block_time:?} measured as {measured:?}");
            tokio::time::advance(MAX_AGE * 2).await;
            let young = tip.blockhash().await.unwrap();
            let asked = node.asked().len();
            // Two seconds are the most, also where blocks are slow.
            let age = (block_time * MAX_AGE_BLOCKS).min(MAX_AGE);
            tokio::time::advance(age * 8 / 10).await;
            assert_eq!(tip.blockhash().await.unwrap(), young);
            assert_eq!(node.asked().len(), asked, "{block_time:?}: young enough");
            tokio::time::advance(age * 4 / 10).await;
            tip.blockhash().await.unwrap();
            assert_eq!(node.asked().len(), asked + 1, "{block_time:?}: too old");
        }
    }

    /// E.14, 11: forty per cent of its life at least, which is counted in blocks and needs no clock.
    #[tokio::test(start_paused = true)]
    async fn a_blockhash_of_a_node_far_behind_is_not_signed_over() {
        let node = node(Duration::from_secs(2)).await;
        let rpc = Arc::new(over(&[&node], Duration::from_secs(60)));
        let bound = rpc.latest_blockhash().await.unwrap().last_valid_block_height;
        for (behind, enough) in [(0, true), (90, true), (91, false)] {
            let tip = Tip::new(rpc.clone());
            lock(&tip.seen).note(BlockHeight(bound.0 + behind), Instant::now()); // what another node has said
            assert_eq!(tip.blockhash().await.is_ok(), enough, "{behind} blocks behind");
        }
    }
}

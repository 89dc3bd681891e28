//! Fees: the priority fee to offer for a swap, from what others recently paid for the same accounts.
//!
//! Owns a small cache per pool, which is read again before somebody has to wait for it: the answer takes its time. Never
//! exceeds the cap: the cap is in lamports per transaction, so a tight compute limit leaves room for a higher price.

use std::{
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::TryFutureExt;
use hashlink::LruCache;
use solana_sdk::pubkey::Pubkey;
use tokio::time::Instant;

use super::{Rpc, one_read::OneRead};
use crate::{domain::Lamports, lock::lock};

const MAX_AGE: Duration = Duration::from_secs(20);
/// From this age on the level is read again while it is still offered.
const AHEAD: Duration = Duration::from_secs(10);
/// Pools whose levels are kept. An order may name any pool, so there must be a most.
const POOLS: usize = 1_024;
/// Which of the recent fees is offered: high enough to be served, low enough not to lead.
const PERCENTILE: usize = 75;
const MICRO_LAMPORTS: u128 = 1_000_000;

/// What a transaction offers beside the base fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriorityFee {
    /// Micro-lamports per compute unit.
    pub price: u64,
    /// What that makes for the compute limit asked for, rounded up as the runtime does.
    pub lamports: Lamports,
}

/// The shared cache.
pub struct Fees {
    rpc: Arc<Rpc>,
    floor: u64,
    cap: Lamports,
    /// The pools that were traded last.
    recent: Mutex<LruCache<Pubkey, Arc<OneRead<Level>>>>,
}

/// What others pay in one pool; `None` when nobody could say.
#[derive(Clone, Copy)]
struct Level {
    price: Option<u64>,
    read_at: Instant,
}

impl Level {
    /// Whether it may still be offered.
    fn is_good(&self) -> bool {
        self.read_at.elapsed() <= MAX_AGE
    }

    /// Of now.
    fn new(price: Option<u64>) -> Self {
        Self { price, read_at: Instant::now() }
    }
}

impl Fees {
    /// Offers at least `floor` micro-lamports per unit and at most `cap` lamports per transaction.
    pub fn new(rpc: Arc<Rpc>, floor: u64, cap: Lamports) -> Self {
        Self { rpc, floor, cap, recent: Mutex::new(LruCache::new(POOLS)) }
    }

    /// The most a transaction will offer.
    pub const fn cap(&self) -> Lamports {
        self.cap
    }

    /// The offer for a transaction that writes `contended` and asks for `units`. Without an answer the floor is
    /// offered: an unknown fee level is no reason to stop.
    pub async fn offer(&self, pool: Pubkey, contended: &[Pubkey], units: u32) -> PriorityFee {
        let recent = self.of(pool);
        let read = || {
            let (rpc, contended) = (self.rpc.clone(), contended.to_vec());
            async move { rpc.recent_fees(&contended).await.map(|fees| Level::new(Some(percentile(fees)))) }
        };
        // That nobody can say is kept too, so that not every order waits to learn it; but not by a read ahead, which leaves
        // what is still good.
        let read_now = || {
            read().or_else(|error| {
                tracing::debug!(%error, "no recent fees");
                ready(Ok(Level::new(None)))
            })
        };
        let price = recent.get(Level::is_good, read_now).await.ok().and_then(|level| {
            if level.read_at.elapsed() > AHEAD {
                recent.read_ahead(read);
            }
            level.price
        });
        bounded(price.unwrap_or(0).max(self.floor), units, self.cap)
    }

    fn of(&self, pool: Pubkey) -> Arc<OneRead<Level>> {
        let mut recent = lock(&self.recent);
        if let Some(read) = recent.get(&pool) {
            return read.clone();
        }
        let read = Arc::new(OneRead::default());
        recent.insert(pool, read.clone());
        read
    }
}

fn percentile(mut fees: Vec<u64>) -> u64 {
    if fees.is_empty() {
        return 0;
    }
    fees.sort_unstable();
    fees[(fees.len() - 1) * PERCENTILE / 100]
}

fn bounded(price: u64, units: u32, cap: Lamports) -> PriorityFee {
    let most =
        if units == 0 { u128::from(u64::MAX) } else { u128::from(cap.get()) * MICRO_LAMPORTS / u128::from(units) };
    let price = u128::from(price).min(most);
    let lamports = (price * u128::from(units)).div_ceil(MICRO_LAMPORTS);
    PriorityFee {
        price: u64::try_from(price).expect("at most the u64 it came from"),
        lamports: Lamports::new(u64::try_from(lamports).expect("at most the cap")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::chain::rpc::node_stub::{Node, Reply, over};

    #[tokio::test(start_paused = true)]
    async fn a_new_level_is_read_while_the_former_one_is_still_offered() {
        let mut price = 0_u64;
        let node = Node::start(move |_, _| {
            price += 100;
            Reply::Result(json!([{"slot": 1, "prioritizationFee": price}]))
        })
        .await;
        let fees = Fees::new(Arc::new(over(&[&node], Duration::from_secs(60))), 1, Lamports::new(1_000_000));
        let pool = Pubkey::new_unique();
        let offered = || async { fees.offer(pool, &[pool], 1_000).await.price };
        assert_eq!([offered().await, offered().await], [100, 100]);
        tokio::time::advance(AHEAD + Duration::from_millis(1)).await;
        assert_eq!(offered().await, 100, "nobody waits for the next one");
        soon(async || offered().await == 200).await;
        assert_eq!(node.asked().len(), 2);
        tokio::time::advance(MAX_AGE + Duration::from_millis(1)).await;
        assert_eq!(offered().await, 300, "too old to be offered");
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_ahead_that_fails_leaves_the_level_that_is_still_good() {
        let node = Node::always(Reply::Result(json!([{"slot": 1, "prioritizationFee": 100}]))).await;
        let fees = Fees::new(Arc::new(over(&[&node], Duration::from_secs(60))), 1, Lamports::new(1_000_000));
        let pool = Pubkey::new_unique();
        let offered = || async { fees.offer(pool, &[pool], 1_000).await.price };
        assert_eq!(offered().await, 100);
        tokio::time::advance(AHEAD + Duration::from_millis(1)).await;
        node.now(|_, _| Reply::Error(-32602));
        let begun = Instant::now();
        soon(async || {
            tokio::time::advance(Duration::from_millis(1)).await;
            assert_eq!(offered().await, 100);
            node.asked().len() == 3 // the failure is not kept: it is asked again
        })
        .await;
        assert!(begun.elapsed() > Duration::from_secs(1), "though not at once");
        tokio::time::advance(MAX_AGE).await;
        assert_eq!(offered().await, 1, "too old: the floor");
    }

    /// Looks again until it is so. The paused clock stands still meanwhile: it moves by itself only where nobody has
    /// anything to do.
    async fn soon(condition: impl AsyncFn() -> bool) {
        let begun = std::time::Instant::now();
        while !condition().await {
            assert!(begun.elapsed() < Duration::from_secs(10), "it never came to that");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn levels_of_pools_that_nobody_trades_any_more_make_room_and_the_others_stay() {
        let node = Node::always(Reply::Silence).await;
        let fees = Fees::new(Arc::new(over(&[&node], Duration::from_secs(60))), 1, Lamports::new(1_000_000));
        let [once, always] = [Pubkey::new_unique(), Pubkey::new_unique()];
        let [first, kept] = [fees.of(once), fees.of(always)];
        for _ in 0..2 * POOLS {
            fees.of(Pubkey::new_unique());
            assert!(Arc::ptr_eq(&fees.of(always), &kept));
        }
        assert_eq!(lock(&fees.recent).len(), POOLS);
        assert!(!Arc::ptr_eq(&fees.of(once), &first));
    }

    #[test]
    fn no_recent_fees_mean_zero() {
        assert_eq!(percentile(Vec::new()), 0);
        assert_eq!(percentile(vec![9, 1, 5, 7]), 7);
    }

    proptest! {
        #[test]
        fn an_offer_never_exceeds_the_cap(price in any::<u64>(), units in 0_u32..=1_400_000, cap in 0_u64..=1_000_000_000) {
            prop_assert!(bounded(price, units, Lamports::new(cap)).lamports.get() <= cap);
        }
    }
}

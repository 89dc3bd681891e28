//! Budget: how many calls an endpoint may get in ten seconds, in all and of one method.
//!
//! Owns the buckets. A call waits for its turn instead of drawing a refusal; what decides an order's fate (sends,
//! statuses, heights) goes before what can wait. Never calls anything and never gives up: whoever waits has a time-out.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use tokio::time::Instant;

use crate::lock::lock;

/// The time that limits are about.
const WINDOW: Duration = Duration::from_secs(10);
/// A full bucket holds this share of a window's calls, and refills at that one: together less than the limit, so that
/// no ten seconds see more than it however they are cut, and a little is left for the network's own unevenness.
const BURST_PERCENT: u32 = 25;
const REFILL_PERCENT: u32 = 70;
/// This share of a full bucket is kept for urgent calls.
const RESERVE_PERCENT: u32 = 20;

/// What an endpoint allows in ten seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls in all.
    pub per_10s: u32,
    /// Calls of one method.
    pub per_method_10s: u32,
}

/// Who goes first when there is not enough for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// An order in flight depends on it.
    Urgent,
    /// It can wait, or be done without.
    Ordinary,
}

/// One endpoint's buckets.
pub(super) struct Budget {
    buckets: Option<Mutex<Buckets>>,
}

struct Buckets {
    limits: Limits,
    all: Bucket,
    methods: HashMap<&'static str, Bucket>,
}

impl Budget {
    /// Without limits every call goes at once.
    pub(super) fn new(limits: Option<Limits>) -> Self {
        let buckets = |limits: Limits| Buckets { limits, all: Bucket::new(limits.per_10s), methods: HashMap::new() };
        Self { buckets: limits.map(|limits| Mutex::new(buckets(limits))) }
    }

    /// How long a call would wait now, if nobody else came.
    pub(super) fn wait(&self, method: &'static str, urgency: Urgency) -> Duration {
        self.ask(method, urgency, false)
    }

    /// Waits for a turn and takes it. Cancel-safe: a turn is taken in the moment this returns.
    pub(super) async fn turn(&self, method: &'static str, urgency: Urgency) {
        loop {
            let wait = self.ask(method, urgency, true);
            if wait.is_zero() {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }

    fn ask(&self, method: &'static str, urgency: Urgency, take: bool) -> Duration {
        let Some(buckets) = &self.buckets else { return Duration::ZERO };
        let mut buckets = lock(buckets);
        let Buckets { limits, all, methods } = &mut *buckets;
        let of_method = methods.entry(method).or_insert_with(|| Bucket::new(limits.per_method_10s));
        let now = Instant::now();
        let wait = all.wait(now, urgency).max(of_method.wait(now, urgency));
        if take && wait.is_zero() {
            all.take(now);
            of_method.take(now);
        }
        wait
    }
}

/// A token bucket as one instant: the moment at which it will be full again.
struct Bucket {
    full_at: Instant,
    /// One token's time.
    spacing: Duration,
    burst: u32,
}

impl Bucket {
    fn new(limit: u32) -> Self {
        let limit = limit.max(1);
        Self {
            full_at: Instant::now(),
            spacing: WINDOW * 100 / (limit.saturating_mul(REFILL_PERCENT)),
            burst: (limit.saturating_mul(BURST_PERCENT) / 100).max(1),
        }
    }

    fn wait(&self, now: Instant, urgency: Urgency) -> Duration {
        let reserve = match urgency {
            Urgency::Urgent => 0,
            Urgency::Ordinary => self.burst * RESERVE_PERCENT / 100,
        };
        let may_lack = self.spacing * (self.burst - 1 - reserve);
        self.full_at.saturating_duration_since(now).saturating_sub(may_lack)
    }

    fn take(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + self.spacing;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const PUBLIC: Limits = Limits { per_10s: 100, per_method_10s: 40 };

    #[tokio::test(start_paused = true)]
    async fn no_ten_seconds_see_more_than_the_limit() {
        for limit in [1, 2, 3, 7, 40] {
            let budget = Budget::new(Some(Limits { per_10s: 100, per_method_10s: limit }));
            let mut taken = Vec::new();
            for _ in 0..limit * 5 {
                budget.turn("getSlot", Urgency::Urgent).await;
                taken.push(Instant::now());
            }
            for (at, first) in taken.iter().enumerate() {
                let within = taken[at..].iter().take_while(|later| **later - *first < WINDOW).count();
                assert!(within <= limit as usize, "{within} calls in one window of {limit}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_method_that_is_used_up_keeps_no_other_waiting() {
        let budget = Budget::new(Some(PUBLIC));
        while budget.wait("getSlot", Urgency::Urgent).is_zero() {
            budget.turn("getSlot", Urgency::Urgent).await;
        }
        assert!(budget.wait("getVersion", Urgency::Ordinary).is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_urgent_goes_first_though_it_came_last() {
        let budget = Arc::new(Budget::new(Some(PUBLIC)));
        while budget.wait("simulateTransaction", Urgency::Urgent).is_zero() {
            budget.turn("simulateTransaction", Urgency::Urgent).await;
        }
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = tokio::task::JoinSet::new();
        for urgency in [Urgency::Ordinary, Urgency::Ordinary, Urgency::Urgent, Urgency::Urgent] {
            let (budget, order) = (budget.clone(), order.clone());
            waiting.spawn(async move {
                budget.turn("simulateTransaction", urgency).await;
                order.lock().unwrap().push(urgency);
            });
            tokio::task::yield_now().await;
        }
        waiting.join_all().await;
        use Urgency::{Ordinary, Urgent};
        assert_eq!(*order.lock().unwrap(), [Urgent, Urgent, Ordinary, Ordinary]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_limits_nobody_waits() {
        let budget = Budget::new(None);
        let started = Instant::now();
        for _ in 0..1_000 {
            budget.turn("getSlot", Urgency::Ordinary).await;
        }
        assert_eq!(Instant::now(), started);
    }
}

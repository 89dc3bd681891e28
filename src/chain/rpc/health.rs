//! Health: what one endpoint's recent answers say of the next one.
//!
//! Owns the usual latency per method and the rest after a failure, which grows with each further one. Never asks the
//! endpoint and never refuses a call: it only tells whoever chooses.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use rand::Rng;
use tokio::time::Instant;

use crate::lock::lock;

const FIRST_REST: Duration = Duration::from_millis(250);
const LONGEST_REST: Duration = Duration::from_secs(15);
/// However long a node asks to be left alone.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);
/// A new latency counts for one part in this many.
const SMOOTHING: u32 = 4;

/// One endpoint's state.
#[derive(Default)]
pub(super) struct Health {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    latency: HashMap<&'static str, Duration>,
    failures: u32,
    rests_until: Option<Instant>,
    /// The node itself named this moment.
    told_to_wait_until: Option<Instant>,
}

impl Health {
    /// The usual time of a method's answer, once there was one.
    pub(super) fn latency(&self, method: &str) -> Option<Duration> {
        self.lock().latency.get(method).copied()
    }

    /// Until when it rests; `None` when it does not.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        self.lock().rests_until.filter(|until| *until > Instant::now())
    }

    /// Until when the node asked to be left alone; `None` when it did not, or that is over.
    pub(super) fn told_to_wait_until(&self) -> Option<Instant> {
        self.lock().told_to_wait_until.filter(|until| *until > Instant::now())
    }

    /// It answered. True when it had failed before.
    pub(super) fn answered(&self, method: &'static str, after: Duration) -> bool {
        let mut state = self.lock();
        let usual = state.latency.entry(method).or_insert(after);
        *usual = (*usual * (SMOOTHING - 1) + after) / SMOOTHING;
        state.rests_until = None;
        state.told_to_wait_until = None;
        std::mem::take(&mut state.failures) > 0
    }

    /// It failed, and rests: as long as it said, or longer each time. True for the first failure in a row.
    pub(super) fn failed(&self, retry_after: Option<Duration>) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        let grown = FIRST_REST.saturating_mul(1 << state.failures.min(10)).min(LONGEST_REST);
        let told = retry_after.map(|told| told.min(LONGEST_RETRY_AFTER));
        // Between half of it and all of it, so that many processes do not come back together.
        let rest = told.unwrap_or_else(|| grown.mul_f64(rand::rng().random_range(0.5..=1.0)));
        state.rests_until = state.rests_until.max(Some(now + rest));
        if let Some(told) = told {
            state.told_to_wait_until = state.told_to_wait_until.max(Some(now + told));
        }
        state.failures = state.failures.saturating_add(1);
        state.failures == 1
    }

    /// Nobody waited for its answer any longer. No failure, but it is at least this slow.
    pub(super) fn abandoned(&self, method: &'static str, after: Duration) {
        let mut state = self.lock();
        let usual = state.latency.entry(method).or_default();
        *usual = after.max(*usual);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(health: &Health) -> Duration {
        health.rests_until().map_or(Duration::ZERO, |until| until - Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn rests_grow_are_bounded_and_end_with_an_answer() {
        let health = Health::default();
        assert!(health.failed(None), "the first failure is news");
        let first = rest(&health);
        assert!(first >= FIRST_REST / 2 && first <= FIRST_REST);
        for _ in 0..20 {
            assert!(!health.failed(None));
        }
        assert!(rest(&health) >= LONGEST_REST / 2 && rest(&health) <= LONGEST_REST);
        assert!(health.answered("getSlot", Duration::from_millis(5)));
        assert_eq!(health.rests_until(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_is_as_long_as_the_node_says_and_then_over() {
        let health = Health::default();
        health.failed(Some(Duration::from_secs(7)));
        assert_eq!(rest(&health), Duration::from_secs(7));
        assert!(health.told_to_wait_until().is_some());
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!((health.rests_until(), health.told_to_wait_until()), (None, None));
        health.failed(Some(Duration::from_secs(86_400)));
        assert_eq!(rest(&health), LONGEST_RETRY_AFTER);
    }

    #[test]
    fn latency_follows_the_answers_of_each_method() {
        let health = Health::default();
        health.answered("getSlot", Duration::from_millis(100));
        health.answered("getSlot", Duration::from_millis(20));
        assert_eq!(health.latency("getSlot"), Some(Duration::from_millis(80)));
        assert_eq!(health.latency("getVersion"), None);
        health.abandoned("getSlot", Duration::from_millis(400));
        assert_eq!(health.latency("getSlot"), Some(Duration::from_millis(400)));
    }
}

//! Health: which receivers fail, and when those are probed.
//!
//! Owns what is remembered of failures in a row. A receiver that has failed too often is only probed, a try at a time,
//! until something gets through.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::{Schedule, attempt::dice};
use crate::store::webhooks::WebhookId;

/// Failures in a row after which a receiver is only probed, and how often.
const TRIP: u32 = 10;
const PROBES: Schedule =
    Schedule { backoff: Duration::from_secs(1), longest: Duration::from_secs(60), max_tries: u32::MAX };

/// The receivers that have failed last.
#[derive(Default)]
pub struct Health {
    failing: HashMap<WebhookId, Failing>,
}

/// How often a receiver has failed in a row, and until when it is left alone.
#[derive(Default)]
struct Failing {
    failures: u32,
    until: Option<Instant>,
}

impl Failing {
    const fn is_probed(&self) -> bool {
        self.failures >= TRIP
    }
}

impl Health {
    /// Whether a webhook's receiver is only probed.
    pub fn is_probed(&self, webhook: WebhookId) -> bool {
        self.failing.get(&webhook).is_some_and(Failing::is_probed)
    }

    /// Whether its next probe has to wait.
    pub fn is_left_alone(&self, webhook: WebhookId) -> bool {
        let until = self.failing.get(&webhook).and_then(|failing| failing.until);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Something got through; whether the receiver was probed until then.
    pub fn got_through(&mut self, webhook: WebhookId) -> bool {
        self.failing.remove(&webhook).is_some_and(|failing| failing.is_probed())
    }

    /// A try failed.
    pub fn failed(&mut self, webhook: WebhookId) {
        let failing = self.failing.entry(webhook).or_default();
        failing.failures = failing.failures.saturating_add(1);
        let probes = failing.failures.saturating_sub(TRIP - 1);
        failing.until = failing.is_probed().then(|| Instant::now() + PROBES.wait(probes, dice()));
    }

    /// Forgets all receivers but these.
    pub fn keep(&mut self, webhooks: impl Fn(WebhookId) -> bool) {
        self.failing.retain(|webhook, _| webhooks(*webhook));
    }
}

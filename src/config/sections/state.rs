//! The sections `store`, `queue` and `events`: where state is kept and told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Secret;

/// The durable store.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// `sqlite:path` or `postgres://...`.
    pub url: Secret,
}

/// The job queue.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// `memory:` or `redis://...`.
    pub url: Secret,
    /// How long a claim lasts unless it is renewed.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// More waiting jobs than this refuse new orders.
    pub max_depth: u64,
    /// Prefix of every key, so that deployments can share a server.
    pub prefix: String,
}

/// The event bus.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// `local:` or `redis://...`.
    pub url: Secret,
    /// Messages a subscriber may be behind.
    pub capacity: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self { url: Secret::new("sqlite:data/swapd.db".into()) }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            url: Secret::new("memory:".into()),
            lease: Duration::from_secs(1),
            max_depth: 10_000,
            prefix: "swapd:".into(),
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { url: Secret::new("local:".into()), capacity: 4_096 }
    }
}

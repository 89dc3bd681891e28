//! The section `webhooks`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Who is told of orders' events over HTTP, and how.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhooks {
    /// Whether receivers may be in private networks or on this machine, and speak plain HTTP.
    pub allow_private: bool,
    /// Webhooks there may be.
    pub max: u32,
    /// How long a receiver may take to answer.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Deliveries of one webhook that are under way at the same time.
    pub in_flight: usize,
    /// The rest after a delivery's first failed try; doubled each time.
    #[serde(with = "humantime_serde")]
    pub backoff: Duration,
    /// The longest rest.
    #[serde(with = "humantime_serde")]
    pub longest_backoff: Duration,
    /// Tries of one delivery.
    pub max_tries: u32,
    /// How long nothing may get through before a webhook is disabled.
    #[serde(with = "humantime_serde")]
    pub disable_after: Duration,
    /// Finished deliveries of one webhook that are kept in its log.
    pub keep: u32,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            allow_private: false,
            max: 50,
            timeout: Duration::from_secs(10),
            in_flight: 10,
            backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(60 * 60),
            max_tries: 40,
            disable_after: Duration::from_secs(12 * 60 * 60),
            keep: 1_000,
        }
    }
}

//! What the stories run on: a deployment's queue, opened once per process that shares it.

use std::time::Duration;

use swapd::{
    domain::OrderId,
    queue::{self, Claim, QueueOptions, SharedQueue},
};

use crate::support::{unique_prefix, within_patience};

/// Never runs out during a test.
pub const LONG: Duration = Duration::from_secs(3_600);
/// Runs out soon; tests wait for what follows from that, not for the time.
pub const SHORT: Duration = Duration::from_millis(200);

/// One deployment: all queues opened on it share their jobs, as processes would.
pub struct Backend {
    url: String,
    pub options: QueueOptions,
    memory: Option<SharedQueue>,
}

impl Backend {
    pub fn memory() -> Self {
        Self { url: "memory:".into(), options: QueueOptions::default(), memory: None }
    }

    pub fn redis(url: String) -> Self {
        Self { url, options: QueueOptions { prefix: unique_prefix(), ..QueueOptions::default() }, memory: None }
    }

    pub fn lease(mut self, lease: Duration) -> Self {
        self.options.lease = lease;
        self
    }

    pub fn max_depth(mut self, max_depth: u64) -> Self {
        self.options.max_depth = max_depth;
        self
    }

    pub async fn open(&mut self) -> SharedQueue {
        match &self.memory {
            Some(queue) => queue.clone(),
            None => {
                let queue = queue::open(&self.url, &self.options).await.unwrap();
                self.memory = (self.url == "memory:").then(|| queue.clone());
                queue
            }
        }
    }

    /// For messages: `memory` or `redis`.
    pub fn scheme(&self) -> &str {
        self.url.split(':').next().unwrap_or_default()
    }
}

pub fn ids(n: usize) -> Vec<OrderId> {
    (0..n).map(|_| OrderId::new()).collect()
}

pub async fn claim(queue: &SharedQueue) -> Claim {
    within_patience("a claim", queue.claim(1)).await.unwrap().remove(0)
}

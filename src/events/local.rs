//! Local bus: publishers and subscribers of one process.
//!
//! Owns nothing but the fan-out. Never reaches another process.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{BusError, BusMessage, EventBus, FanOut, Subscription};
use crate::domain::StoredEvent;

/// A bus in this process.
#[derive(Debug)]
pub struct LocalBus {
    fan_out: FanOut,
}

impl LocalBus {
    /// A bus that keeps `capacity` messages for a slow subscriber.
    pub fn new(capacity: usize) -> Self {
        Self { fan_out: FanOut::new(capacity) }
    }
}

#[async_trait]
impl EventBus for LocalBus {
    async fn publish(&self, events: &[Arc<StoredEvent>]) -> Result<(), BusError> {
        self.fan_out.send_all(events);
        Ok(())
    }

    async fn publish_gap(&self) -> Result<(), BusError> {
        self.fan_out.send(BusMessage::Gap);
        Ok(())
    }

    fn subscribe(&self) -> Box<dyn Subscription> {
        self.fan_out.subscribe()
    }

    async fn ping(&self) -> Result<(), BusError> {
        Ok(())
    }

    async fn run(&self, shutdown: CancellationToken) {
        let _closes = self.fan_out.closed.clone().drop_guard();
        shutdown.cancelled().await;
    }
}

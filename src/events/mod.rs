//! Event bus: tells every process that an event was stored. A courtesy: it may lose, repeat or reorder.

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::StoredEvent;

/// What can go wrong with a bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The server did not answer.
    #[error("the event bus is unavailable")]
    Unavailable(#[source] redis::RedisError),
    /// No answer in time.
    #[error("the event bus did not answer in time")]
    TimedOut,
    /// The URL names no bus, or the server cannot be reached.
    #[error("cannot open the event bus: {0}")]
    Open(String),
}

/// What a subscriber hears.
#[derive(Clone, Debug)]
pub enum BusMessage {
    /// An event was stored.
    Event(Arc<StoredEvent>),
    /// Something may have been missed: read the store.
    Gap,
}

/// One subscriber's end.
#[async_trait]
pub trait Subscription: Send {
    /// The next message; `None` when the bus is closed. Cancel-safe.
    async fn next(&mut self) -> Option<BusMessage>;
}

/// The bus's contract.
#[async_trait]
pub trait EventBus: Send + Sync {
    /// Tells the others. A failure loses only promptness.
    async fn publish(&self, event: &Arc<StoredEvent>) -> Result<(), BusError>;

    /// Hears everything published from now on, by any process.
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, BusError>;

    /// Answers when the server does.
    async fn ping(&self) -> Result<(), BusError>;
}

/// A bus behind its contract.
pub type SharedBus = Arc<dyn EventBus>;

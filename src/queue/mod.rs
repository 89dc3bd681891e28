//! Job queue: which orders want a worker. A hint: losing, repeating or reordering a job does no harm.
//!
//! Owns claims: a claimed job belongs to one worker until it is acknowledged or its lease runs out, after which
//! another worker gets it. Never looks at orders.

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::{ErrorCode, OrderId};

/// What can go wrong with a queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// As many jobs wait as the bound allows.
    #[error("the queue is full")]
    Full,
    /// The server did not answer.
    #[error("the queue is unavailable")]
    Unavailable(#[source] redis::RedisError),
    /// No answer in time.
    #[error("the queue did not answer in time")]
    TimedOut,
    /// The queue was closed.
    #[error("the queue is closed")]
    Closed,
    /// The URL names no queue, or the server's settings would lose jobs.
    #[error("cannot open the queue: {0}")]
    Open(String),
}

impl QueueError {
    /// The client's code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Full => ErrorCode::QueueFull,
            Self::Unavailable(_) | Self::TimedOut | Self::Closed => ErrorCode::StoreUnavailable,
            Self::Open(_) => ErrorCode::Internal,
        }
    }
}

/// A job that belongs to this worker until its lease runs out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Whose turn it is.
    pub order_id: OrderId,
    /// The backend's handle (a Redis stream entry id, a counter).
    pub handle: String,
}

/// The queue's contract.
#[async_trait]
pub trait JobQueue: Send + Sync {
    /// Adds jobs. An id that already waits may be added again or left out.
    async fn push(&self, ids: &[OrderId]) -> Result<(), QueueError>;

    /// Waits for a job: one whose lease ran out first, else the oldest waiting.
    /// A dropped call never loses a job: what it had claimed is reclaimed after the lease.
    async fn claim(&self) -> Result<Claim, QueueError>;

    /// Extends the leases of `claims`, in one round trip.
    async fn renew(&self, claims: &[Claim]) -> Result<(), QueueError>;

    /// Takes a job out for good.
    async fn ack(&self, claim: &Claim) -> Result<(), QueueError>;

    /// Jobs that wait or are claimed.
    async fn depth(&self) -> Result<u64, QueueError>;

    /// Answers when the server does.
    async fn ping(&self) -> Result<(), QueueError>;
}

/// A queue behind its contract.
pub type SharedQueue = Arc<dyn JobQueue>;

//! Job queue: which orders want a worker. A hint: losing, repeating or reordering a job does no harm.
//!
//! Owns claims: a claimed job belongs to one worker until it is acknowledged or its lease runs out, after which
//! another worker gets it. Never looks at orders.

mod memory;
mod redis;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    domain::{ErrorCode, OrderId},
    redis_link::{self, LinkError},
};

pub use self::{memory::MemoryQueue, redis::RedisQueue};

/// What can go wrong with a queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// As many jobs wait or are claimed as the bound allows.
    #[error("the queue is full")]
    Full,
    /// The server did not answer, or not with what was asked for.
    #[error("the queue is unavailable")]
    Unavailable(#[from] LinkError),
    /// The URL names no queue, or the server's settings would lose jobs.
    #[error("cannot open the queue: {0}")]
    Open(String),
}

impl QueueError {
    /// The client's code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Full => ErrorCode::QueueFull,
            Self::Unavailable(_) => ErrorCode::StoreUnavailable,
            Self::Open(_) => ErrorCode::Internal,
        }
    }
}

/// A job that belongs to this worker until its lease runs out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Whose turn it is.
    pub order_id: OrderId,
    /// The backend's name for this one claim. A job that is claimed again gets another one, so that whoever lost
    /// it can neither renew nor acknowledge it any more.
    pub handle: String,
    /// Whether nobody had the order before, as far as a queue can know: the job was pushed, not restored in the place of one
    /// that was lost, and nobody claimed it before.
    pub is_first: bool,
}

/// The queue's contract.
#[async_trait]
pub trait JobQueue: Send + Sync {
    /// Adds jobs: all of them or, when that would pass the bound, none (`QueueError::Full`).
    /// An id that waits already is left out; one that is claimed is added, for a turn after this one.
    async fn push(&self, ids: &[OrderId]) -> Result<(), QueueError>;

    /// Adds what was lost: the same as `push`, but an id that is claimed is left out as well. How many were added.
    async fn restore(&self, ids: &[OrderId]) -> Result<usize, QueueError>;

    /// Waits for jobs and takes as many as are there, at least one and at most `most`: those whose lease ran out first,
    /// then the oldest waiting. An outage is waited through for a while before it is an error, so calling again at once is
    /// no busy loop. A dropped call never loses a job: the next call gets it, or after the lease somebody else does.
    async fn claim(&self, most: usize) -> Result<Vec<Claim>, QueueError>;

    /// Starts the leases of `claims` anew, in one round trip. Those that are lost meanwhile stay lost: no error.
    async fn renew(&self, claims: &[Claim]) -> Result<(), QueueError>;

    /// Takes a job out for good. A claim that is lost meanwhile is left to whoever has it: no error.
    async fn ack(&self, claim: &Claim) -> Result<(), QueueError>;

    /// Jobs that wait or are claimed.
    async fn depth(&self) -> Result<u64, QueueError>;

    /// The same as of a few milliseconds ago, where asking costs something, and what was pushed here since.
    async fn depth_lately(&self) -> Result<u64, QueueError> {
        self.depth().await
    }

    /// Answers when the server does.
    async fn ping(&self) -> Result<(), QueueError>;
}

/// A queue behind its contract.
pub type SharedQueue = Arc<dyn JobQueue>;

/// How a queue behaves.
#[derive(Clone, Debug)]
pub struct QueueOptions {
    /// How long a claim holds without being renewed. A worker renews every third of it.
    pub lease: Duration,
    /// Jobs that may wait or be claimed at the same time.
    pub max_depth: u64,
    /// What every key begins with, so that several deployments can share one server.
    pub prefix: String,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self { lease: Duration::from_secs(1), max_depth: 10_000, prefix: "swapd:".into() }
    }
}

/// Opens the queue that the URL's scheme names: `memory:`, or `redis:`, `rediss:` (TLS), `redis+unix:`.
///
/// # Errors
/// When the URL names no queue, the options make no sense, the server cannot be reached or would lose jobs.
pub async fn open(url: &str, options: &QueueOptions) -> Result<SharedQueue, QueueError> {
    if options.lease < Duration::from_millis(10) || options.max_depth == 0 {
        return Err(QueueError::Open("a lease needs at least 10 ms, a queue room for at least one job".into()));
    }
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("memory") => Ok(Arc::new(MemoryQueue::new(options.lease, options.max_depth))),
        Some("redis" | "rediss" | "redis+unix") => {
            let client = redis_link::client(url).map_err(QueueError::Open)?;
            Ok(Arc::new(RedisQueue::open(client, options).await?))
        }
        scheme => Err(QueueError::Open(format!(
            "`{}` names no queue; say `memory:`, `redis://host:port/db` or `rediss://host:port/db`",
            scheme.unwrap_or_default()
        ))),
    }
}

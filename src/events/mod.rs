//! Event bus: tells every process that an event was stored. A courtesy: it may lose, repeat or reorder.
//!
//! Owns the way from one publisher to every subscriber, and says `Gap` whenever something may have been missed: then
//! the store has it. Never stores anything.

mod local;
mod redis;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::StoredEvent,
    redis_link::{self, LinkError},
};

pub use self::{local::LocalBus, redis::RedisBus};

/// What can go wrong with a bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The server did not answer.
    #[error("the event bus is unavailable")]
    Unavailable(#[from] LinkError),
    /// The URL names no bus.
    #[error("cannot open the event bus: {0}")]
    Open(String),
}

/// What a subscriber hears.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Tells everybody of these events, in this order. A failure loses only promptness: the subscribers get a `Gap` as
    /// soon as that is possible.
    async fn publish(&self, events: &[Arc<StoredEvent>]) -> Result<(), BusError>;

    /// Tells everybody that something may have been missed.
    async fn publish_gap(&self) -> Result<(), BusError>;

    /// Hears everything published from now on, by any process. Never waits: while the server is away the
    /// subscription begins with a `Gap` every now and then.
    fn subscribe(&self) -> Box<dyn Subscription>;

    /// Answers when the server does.
    async fn ping(&self) -> Result<(), BusError>;

    /// Carries messages to this process's subscribers until `shutdown`; when it ends, however it ends, the bus is
    /// closed. Run it once, as one of the process's long-lived tasks: without it subscribers hear nothing.
    async fn run(&self, shutdown: CancellationToken);
}

/// A bus behind its contract.
pub type SharedBus = Arc<dyn EventBus>;

/// How a bus behaves.
#[derive(Clone, Debug)]
pub struct BusOptions {
    /// Messages kept for a slow subscriber; who falls further behind gets a `Gap`.
    pub capacity: usize,
    /// What the channel's name begins with, so that several deployments can share one server.
    pub prefix: String,
}

impl Default for BusOptions {
    fn default() -> Self {
        Self { capacity: 4_096, prefix: "swapd:".into() }
    }
}

/// Opens the bus that the URL's scheme names: `local:`, or `redis:`, `rediss:` (TLS), `redis+unix:`.
///
/// # Errors
/// When the URL names no bus, or the server cannot be reached.
pub async fn open(url: &str, options: &BusOptions) -> Result<SharedBus, BusError> {
    if options.capacity == 0 {
        return Err(BusError::Open("a bus needs room for at least one message".into()));
    }
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("local") => Ok(Arc::new(LocalBus::new(options.capacity))),
        Some("redis" | "rediss" | "redis+unix") => {
            let client = redis_link::client(url).map_err(BusError::Open)?;
            let bus = RedisBus::new(client, options);
            bus.ping().await?;
            Ok(Arc::new(bus))
        }
        scheme => Err(BusError::Open(format!(
            "`{}` names no event bus; say `local:`, `redis://host:port/db` or `rediss://host:port/db`",
            scheme.unwrap_or_default()
        ))),
    }
}

/// The fan-out inside one process, which both shapes end in.
#[derive(Debug)]
struct FanOut {
    sender: broadcast::Sender<BusMessage>,
    closed: CancellationToken,
}

impl FanOut {
    fn new(capacity: usize) -> Self {
        Self { sender: broadcast::Sender::new(capacity), closed: CancellationToken::new() }
    }

    fn send(&self, message: BusMessage) {
        let _ = self.sender.send(message); // an error says that nobody listens
    }

    fn send_all(&self, events: &[Arc<StoredEvent>]) {
        for event in events {
            self.send(BusMessage::Event(event.clone()));
        }
    }

    fn subscribe(&self) -> Box<dyn Subscription> {
        Box::new(Listener { receiver: self.sender.subscribe(), closed: self.closed.clone() })
    }
}

struct Listener {
    receiver: broadcast::Receiver<BusMessage>,
    closed: CancellationToken,
}

#[async_trait]
impl Subscription for Listener {
    async fn next(&mut self) -> Option<BusMessage> {
        use broadcast::error::RecvError;
        tokio::select! {
            biased; // what was sent before the end is still heard
            received = self.receiver.recv() => match received {
                Ok(message) => Some(message),
                Err(RecvError::Lagged(_)) => Some(BusMessage::Gap),
                Err(RecvError::Closed) => None,
            },
            () = self.closed.cancelled() => None,
        }
    }
}

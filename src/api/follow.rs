//! Follow: one reader's way through the events, stored ones first, then live ones, each once and in order.
//!
//! Owns the seam between the store and the feed: what is stored while the store is read is heard twice and told once.
//! Never sends anything.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use solana_sdk::pubkey::Pubkey;
use tokio::sync::broadcast::error::RecvError;

use super::feed::{Feed, Frame, OrderReceiver};
use crate::{
    domain::{OrderEvent, OrderId, Status, StoredEvent},
    store::{SharedStore, StoreError},
};

/// Events that one reader takes at once, and holds until they are told: thousands may do so.
const PAGE: u32 = 100;
/// Orders whose owner is remembered by one reader.
const OWNERS: usize = 10_000;

/// Which events of all orders are wanted. Empty fields do not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these orders.
    pub orders: Vec<OrderId>,
    /// Only events with one of these names.
    pub events: Vec<String>,
    /// Only events that leave the order in one of these.
    pub statuses: Vec<Status>,
    /// Only orders that pay this symbol.
    pub token_in: Option<String>,
    /// Only orders that receive this symbol.
    pub token_out: Option<String>,
    /// Only orders that swap one of these symbols for the other.
    pub pair: Option<[String; 2]>,
    /// Only orders that this wallet pays. An order has none until it is routed, unless its client named one.
    pub wallet: Option<Pubkey>,
}

impl Filter {
    /// Whether every event passes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an event has to wait for its turn: it may be told, or tells whose order it is.
    fn concerns(&self, event: &StoredEvent) -> bool {
        self.lets_through(event) || (self.wallet.is_some() && matches!(event.event, OrderEvent::Routed { .. }))
    }

    /// Whether an event passes, as far as the event itself says. Not whose order it is.
    fn lets_through(&self, event: &StoredEvent) -> bool {
        (self.orders.is_empty() || self.orders.contains(&event.order_id))
            && (self.events.is_empty() || self.events.iter().any(|name| name == event.event.name()))
            && (self.statuses.is_empty() || self.statuses.contains(&event.status))
            && self.token_in.as_ref().is_none_or(|symbol| *symbol == event.token_in)
            && self.token_out.as_ref().is_none_or(|symbol| *symbol == event.token_out)
            && self.pair.as_ref().is_none_or(|[a, b]| {
                (*a == event.token_in && *b == event.token_out) || (*b == event.token_in && *a == event.token_out)
            })
    }
}

/// Why there is no next event.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The reader is slower than the events.
    #[error("the reader is slower than the events")]
    Behind,
    /// The stored events cannot be read.
    #[error("the stored events cannot be read")]
    Store(#[from] StoreError),
    /// The feed has gone.
    #[error("the feed has gone")]
    Closed,
}

/// A reader's position.
pub struct Follow {
    feed: Arc<Feed>,
    store: SharedStore,
    scope: Scope,
    /// The cursor up to which everything has been told, waits, or was not wanted.
    seen: u64,
    /// Not told yet.
    waiting: VecDeque<Arc<Frame>>,
    /// Whose orders they are, where that is asked for; nobody's as long as they are not routed.
    owners: HashMap<OrderId, Option<Pubkey>>,
    /// Whether the store has to be read before the feed is listened to (again).
    store_first: bool,
    /// Whether anything live was told since the store was read.
    live: bool,
}

enum Scope {
    Order { id: OrderId, receiver: OrderReceiver, seq: u64 },
    All { filter: Filter },
}

impl Follow {
    /// One order's events with a cursor above `since`, from the first on when that is 0.
    pub async fn order(feed: Arc<Feed>, store: SharedStore, id: OrderId, since: u64) -> Self {
        let receiver = feed.subscribe_order(id);
        feed.position().await; // until the feed runs it passes nothing on, and would begin after what is stored
        let scope = Scope::Order { id, receiver, seq: 0 };
        Self::new(feed, store, scope, since, true)
    }

    /// The events of all orders with a cursor above `since`, or from now on.
    pub async fn matching(feed: Arc<Feed>, store: SharedStore, filter: Filter, since: Option<u64>) -> Self {
        let now = feed.position().await;
        Self::new(feed, store, Scope::All { filter }, since.unwrap_or(now), since.is_some())
    }

    fn new(feed: Arc<Feed>, store: SharedStore, scope: Scope, seen: u64, store_first: bool) -> Self {
        let (waiting, owners) = (VecDeque::new(), HashMap::new());
        Self { feed, store, scope, seen, waiting, owners, store_first, live: false }
    }

    /// The cursor up to which everything has been told.
    pub fn told(&self) -> u64 {
        self.waiting.front().map_or(self.seen, |frame| frame.event.cursor - 1)
    }

    /// The next event. Cancel-safe: a dropped call has told nothing and lost nothing.
    ///
    /// # Errors
    /// When there is none any more; a new follower with `since` goes on where this one ended.
    pub async fn next(&mut self) -> Result<Arc<Frame>, Lost> {
        loop {
            if let Some(frame) = self.waiting.front().cloned() {
                let wanted = self.wants(&frame.event).await?;
                self.waiting.pop_front();
                if wanted {
                    return Ok(frame);
                }
                continue;
            }
            if self.store_first {
                self.read_store().await?;
                continue;
            }
            match &mut self.scope {
                Scope::Order { receiver, seq, .. } => match receiver.recv().await {
                    Ok(frame) if frame.event.cursor <= self.seen => {}
                    Ok(frame) => {
                        self.seen = frame.event.cursor;
                        *seq = frame.event.seq;
                        self.waiting.push_back(frame);
                    }
                    // One order's events are few: the store has what was missed.
                    Err(RecvError::Lagged(_)) => self.store_first = true,
                    Err(RecvError::Closed) => return Err(Lost::Closed),
                },
                Scope::All { .. } => {
                    self.feed.beyond(Some(self.seen)).await;
                    match self.feed.recent(self.seen, PAGE as usize) {
                        Some(frames) => {
                            self.live = true;
                            self.take(frames);
                        }
                        // Missed while the store was read, so the store has it.
                        None if !self.live => self.store_first = true,
                        None => return Err(Lost::Behind),
                    }
                }
            }
        }
    }

    /// Takes frames of all orders, in their turn.
    fn take(&mut self, frames: Vec<Arc<Frame>>) {
        let Scope::All { filter } = &self.scope else { return };
        self.seen = frames.last().map_or(self.seen, |frame| frame.event.cursor);
        self.waiting.extend(frames.into_iter().filter(|frame| filter.concerns(&frame.event)));
    }

    /// Whether an event is told, now that it is its turn. An order's owner is read once: `routed` tells a later one.
    async fn wants(&mut self, event: &StoredEvent) -> Result<bool, StoreError> {
        let Scope::All { filter } = &self.scope else { return Ok(true) };
        let Some(wallet) = filter.wallet else { return Ok(true) };
        let owner = match (&event.event, self.owners.get(&event.order_id)) {
            (OrderEvent::Routed { wallet: Some(owner), .. }, _) => Some(*owner),
            (_, Some(owner)) => *owner,
            (_, None) => self.store.order(event.order_id).await?.and_then(|order| order.wallet),
        };
        if self.owners.len() >= OWNERS {
            self.owners.clear();
        }
        self.owners.insert(event.order_id, owner);
        Ok(owner == Some(wallet) && filter.lets_through(event))
    }

    /// Takes what is recent, or reads the next page from the store; after the last one, the feed has what follows.
    async fn read_store(&mut self) -> Result<(), StoreError> {
        match &mut self.scope {
            Scope::Order { id, seq, .. } => {
                let events = self.store.history(*id, *seq).await?;
                *seq = events.last().map_or(*seq, |event| event.seq);
                let seen = self.seen;
                self.seen = events.last().map_or(seen, |event| seen.max(event.cursor));
                let wanted = events.into_iter().filter(|event| event.cursor > seen);
                self.waiting.extend(wanted.map(|event| self.feed.frame(Arc::new(event))));
                self.store_first = false;
            }
            Scope::All { filter } => {
                if let Some(frames) = self.feed.recent(self.seen, PAGE as usize) {
                    self.store_first = false;
                    self.take(frames);
                } else {
                    let _turn = self.feed.turn().await;
                    let events = self.store.events_since(self.seen, PAGE).await?;
                    self.store_first = events.len() == PAGE as usize;
                    // Set now, so that a page without a wanted event is not read again.
                    self.seen = events.last().map_or(self.seen, |event| event.cursor);
                    let wanted = events.into_iter().filter(|event| filter.concerns(event));
                    self.waiting.extend(wanted.map(|event| self.feed.frame(Arc::new(event))));
                }
            }
        }
        self.live = false;
        Ok(())
    }
}

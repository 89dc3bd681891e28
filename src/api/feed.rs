//! Feed: every event of every order, once each and in cursor order, for all sockets of this process.
//!
//! The bus may lose, repeat and reorder, so a message is only a hint: the next event in line is passed on, anything
//! else makes the feed read the store. Owns the position in the stream and the frames' text, which is written once
//! for all sockets. Events that come together are passed on together: readers are woken once. Survives outages of store
//! and bus; never drops or invents an event.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::extract::ws::Utf8Bytes;
use futures_util::FutureExt;
use tokio::{
    sync::{Semaphore, SemaphorePermit, broadcast, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Views, drain::Drain, recent::Recent};
use crate::{
    domain::{OrderEvent, OrderId, StoredEvent},
    events::{BusMessage, SharedBus, Subscription},
    lock::lock,
    store::{SharedStore, StoreError},
};

/// Events that the feed reads from the store at once.
const PAGE: u32 = 500;
/// Readers that catch up from the store at the same moment. After a restart everybody comes back at once, and requests
/// need the store's other connections.
const CATCHING_UP: usize = 2;
/// Frames kept for a follower of one order. An order has a dozen events; more than this are read from the store.
const ORDER_BUFFER: usize = 32;
/// Events that may wait for those before them, and how long they do before the store is asked for what is missing.
const EARLY: usize = 1_024;
const CROSSING: Duration = Duration::from_millis(10);
/// Events that are passed on together.
const TOGETHER: usize = 256;
/// How often the store is looked at although the bus is silent: what a lost message costs.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The rest after a failed look; doubles up to `LONGEST_REST`.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(2);

/// One event with its text.
#[derive(Debug)]
pub struct Frame {
    /// The event.
    pub event: Arc<StoredEvent>,
    /// Its JSON, as `/v1/stream` sends it.
    pub text: Utf8Bytes,
}

type Sender = broadcast::Sender<Arc<Frame>>;

/// The feed.
pub struct Feed {
    views: Views,
    orders: Mutex<HashMap<OrderId, Sender>>,
    recent: Recent,
    catching_up: Semaphore,
    /// The cursor up to which events have been passed on; `None` until the feed runs.
    position: watch::Sender<Option<u64>>,
    drain: Drain,
}

impl Feed {
    /// A feed that keeps `capacity` frames, for slow readers and for those who come back; a reader who falls further
    /// behind is cut off.
    pub fn new(views: Views, capacity: usize) -> Self {
        Self {
            views,
            orders: Mutex::default(),
            recent: Recent::new(capacity.max(1)),
            catching_up: Semaphore::new(CATCHING_UP),
            position: watch::Sender::new(None),
            drain: Drain::new(),
        }
    }

    /// How fast orders end.
    pub const fn drain(&self) -> &Drain {
        &self.drain
    }

    /// How events are rendered.
    pub const fn views(&self) -> &Views {
        &self.views
    }

    /// Hears the frames of one order from now on.
    pub fn subscribe_order(self: &Arc<Self>, id: OrderId) -> OrderReceiver {
        let receiver = self.orders().entry(id).or_insert_with(|| Sender::new(ORDER_BUFFER)).subscribe();
        OrderReceiver { feed: self.clone(), id, receiver }
    }

    /// The position in the stream; waits until the feed runs. What is stored later is passed on later.
    pub async fn position(&self) -> u64 {
        self.beyond(None).await
    }

    /// The position once it is beyond `seen`. Cancel-safe.
    pub async fn beyond(&self, seen: Option<u64>) -> u64 {
        let mut position = self.position.subscribe();
        let reached = position.wait_for(|position| *position > seen).await;
        // The sender lives in `self`, so this cannot fail.
        reached.ok().and_then(|position| *position).unwrap_or_default()
    }

    /// Whether events up to this cursor have been passed on. `false` may also mean that the feed lags behind the store.
    pub fn has_passed(&self, cursor: u64) -> bool {
        self.position.borrow().is_some_and(|position| cursor <= position)
    }

    /// The first `most` frames with a cursor above `seen`, of those that were passed on; `None` when some are forgotten.
    pub fn recent(&self, seen: u64, most: usize) -> Option<Vec<Arc<Frame>>> {
        self.recent.after(seen, most)
    }

    /// A turn to read the store, for whoever has much to catch up on. Cancel-safe.
    pub async fn turn(&self) -> SemaphorePermit<'_> {
        self.catching_up.acquire().await.expect("nobody closes it")
    }

    /// A stored event as the feed would pass it on.
    pub fn frame(&self, event: Arc<StoredEvent>) -> Arc<Frame> {
        let text = self.views.event_text(&event).into();
        Arc::new(Frame { event, text })
    }

    /// Carries events until `shutdown`. Run it once per process, as one of its long-lived tasks.
    pub async fn run(&self, store: SharedStore, bus: SharedBus, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.carry(store, bus) => {}
        }
    }

    async fn carry(&self, store: SharedStore, bus: SharedBus) {
        // Subscribed before the store is asked, so that nothing falls in between.
        let mut heard = Some(bus.subscribe());
        let mut rest = FIRST_REST;
        let mut last = loop {
            match store.cursor().await {
                Ok(cursor) => break cursor,
                Err(error) => {
                    tracing::warn!(%error, "the feed cannot start yet");
                    tokio::time::sleep(rest).await;
                    rest = (rest * 2).min(LONGEST_REST);
                }
            }
        };
        self.position.send_replace(Some(last));
        rest = FIRST_REST;
        let mut failing = false;
        let mut next_look = Instant::now() + LOOK_EVERY;
        let (mut early, mut crossing) = (BTreeMap::new(), None);
        loop {
            let look = tokio::select! {
                message = next(&mut heard) => {
                    let (mut message, mut in_line, mut missed) = (Some(message), Vec::new(), false);
                    while let Some(next_one) = message {
                        match next_one {
                            Some(BusMessage::Event(event)) if event.cursor <= last => {}
                            Some(BusMessage::Event(event)) if early.len() < EARLY => {
                                early.insert(event.cursor, event);
                                while let Some(event) = early.remove(&(last + 1)) {
                                    last = event.cursor;
                                    in_line.push(event);
                                }
                            }
                            Some(_) => missed = true,
                            None => heard = None,
                        }
                        let goes_on = heard.is_some() && !missed && in_line.len() < TOGETHER;
                        message = if goes_on { next(&mut heard).now_or_never() } else { None };
                    }
                    self.pass_on(in_line);
                    // Two processes' messages cross now and then: what is missing is mostly on its way.
                    crossing = match early.is_empty() {
                        true => None,
                        false => crossing.or_else(|| Some(Instant::now() + CROSSING)),
                    };
                    // While the store fails, its rest decides when to look again.
                    missed && !failing
                }
                () = sleep_until(crossing.filter(|_| !failing).map_or(next_look, |at: Instant| at.min(next_look))) => {
                    if heard.is_none() {
                        heard = Some(bus.subscribe());
                    }
                    true
                }
            };
            if !look {
                continue;
            }
            match self.catch_up(&store, &mut last).await {
                Ok(()) => {
                    early = early.split_off(&(last + 1));
                    crossing = None;
                    if failing {
                        tracing::info!(cursor = last, "the feed has caught up");
                    }
                    (failing, rest) = (false, FIRST_REST);
                    next_look = Instant::now() + LOOK_EVERY;
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, cursor = last, "the feed cannot read the store");
                    }
                    failing = true;
                    next_look = Instant::now() + rest;
                    rest = (rest * 2).min(LONGEST_REST);
                }
            }
        }
    }

    /// Passes on everything that is stored after `last`.
    async fn catch_up(&self, store: &SharedStore, last: &mut u64) -> Result<(), StoreError> {
        loop {
            let page = store.events_since(*last, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            *last = page.last().map_or(*last, |event| event.cursor);
            self.pass_on(page.into_iter().map(Arc::new).collect());
            if is_last {
                return Ok(());
            }
        }
    }

    fn pass_on(&self, events: Vec<Arc<StoredEvent>>) {
        let Some(last) = events.last().map(|event| event.cursor) else { return };
        let frames: Vec<_> = events.into_iter().map(|event| self.frame(event)).collect();
        {
            let followers = self.orders();
            for frame in &frames {
                if let Some(follower) = followers.get(&frame.event.order_id) {
                    let _ = follower.send(frame.clone()); // an error says that nobody listens
                }
            }
        }
        let is_end =
            |event: &StoredEvent| event.status.is_terminal() && !matches!(event.event, OrderEvent::Settled { .. });
        frames.iter().filter(|frame| is_end(&frame.event)).for_each(|_| self.drain.note_end());
        self.recent.push(frames);
        // After that, so that who is told of the position finds what came before it.
        self.position.send_replace(Some(last));
    }

    fn orders(&self) -> MutexGuard<'_, HashMap<OrderId, Sender>> {
        lock(&self.orders)
    }
}

/// The next bus message; without a subscription there is none, ever.
async fn next(heard: &mut Option<Box<dyn Subscription>>) -> Option<BusMessage> {
    match heard {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

/// One follower's end of an order's frames.
pub struct OrderReceiver {
    feed: Arc<Feed>,
    id: OrderId,
    receiver: broadcast::Receiver<Arc<Frame>>,
}

impl OrderReceiver {
    /// The next frame. Cancel-safe.
    ///
    /// # Errors
    /// When this follower fell behind, or the feed has gone.
    pub async fn recv(&mut self) -> Result<Arc<Frame>, broadcast::error::RecvError> {
        self.receiver.recv().await
    }
}

impl Drop for OrderReceiver {
    fn drop(&mut self) {
        let mut orders = self.feed.orders();
        // This receiver still counts.
        if orders.get(&self.id).is_some_and(|sender| sender.receiver_count() <= 1) {
            orders.remove(&self.id);
        }
    }
}

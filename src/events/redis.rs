//! Redis bus: publishers and subscribers of every process of a deployment, over one pub/sub channel.
//!
//! Owns one subscribed connection per process and its fan-out. A message is a list of events with the name of the
//! process that published it: that one has told its own subscribers already. While the server says that nobody else
//! hears it, the name goes alone, which means a `Gap` to whoever comes just then. Pub/sub forgets whoever is away, so
//! every connect, every loss and every publish that failed ends in a `Gap`. Never lets a subscriber believe it heard
//! everything when it may not have.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::StreamExt;
use redis::{Client, cmd};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{BusError, BusMessage, BusOptions, EventBus, FanOut, Subscription};
use crate::{
    domain::StoredEvent,
    redis_link::{LinkError, RedisLink, WAIT},
};

/// How often the subscribed connection is asked whether it still lives, and an owed `Gap` is tried again.
const PULSE: Duration = Duration::from_secs(1);
/// Between connects while the server is away. Subscribers get a `Gap` each time and so live off the store.
const REST: Duration = Duration::from_secs(1);
/// The message that is no event: every process tells its subscribers to read the store.
const GAP: &str = "gap";

/// Room that most events fit into.
const EVENT: usize = 1_024;

/// A bus on a Redis server.
pub struct RedisBus {
    client: Client,
    publisher: RedisLink,
    channel: String,
    /// What this process's own messages begin with.
    name: String,
    fan_out: FanOut,
    /// This process hears its own messages.
    listens: AtomicBool,
    /// Others heard the last message: the next one is worth writing out.
    is_heard: AtomicBool,
    /// An event could not be published: the others do not know that they missed it.
    owes_gap: AtomicBool,
}

impl RedisBus {
    /// A bus that is not connected yet.
    pub fn new(client: Client, options: &BusOptions) -> Self {
        Self {
            publisher: RedisLink::new(client.clone()),
            client,
            channel: format!("{}events", options.prefix),
            name: Uuid::now_v7().simple().to_string(),
            fan_out: FanOut::new(options.capacity),
            listens: AtomicBool::new(false),
            is_heard: AtomicBool::new(true),
            owes_gap: AtomicBool::new(false),
        }
    }

    async fn send(&self, payload: &[u8]) -> Result<(), LinkError> {
        let heard_by = self.publisher.query::<u64>(cmd("PUBLISH").arg(&self.channel).arg(payload)).await?;
        let ourselves = u64::from(self.listens.load(Ordering::Acquire));
        self.is_heard.store(heard_by > ourselves, Ordering::Release);
        Ok(())
    }

    /// One subscribed connection, from connect to loss.
    async fn listen(&self, away: &mut bool) -> LinkError {
        let mut pubsub = match timeout(WAIT, self.client.get_async_pubsub()).await {
            Ok(Ok(pubsub)) => pubsub,
            Ok(Err(error)) => return error.into(),
            Err(_) => return LinkError::TimedOut,
        };
        match timeout(WAIT, pubsub.subscribe(&self.channel)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.into(),
            Err(_) => return LinkError::TimedOut,
        }
        let _listens = Listens::on(&self.listens);
        // What was published before this moment was not heard here.
        self.fan_out.send(BusMessage::Gap);
        if std::mem::take(away) {
            tracing::info!("the event bus is back");
        }
        let (mut sink, mut messages) = pubsub.split();
        let mut pulse = interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => self.pass_on(message.get_payload_bytes()),
                    None => return LinkError::Unavailable(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
                },
                _ = pulse.tick() => {
                    // A peer that vanished without a word is only found by asking.
                    match timeout(WAIT, sink.ping::<redis::Value>()).await {
                        Ok(Ok(_)) => {}
                        Ok(Err(error)) => return error.into(),
                        Err(_) => return LinkError::TimedOut,
                    }
                    self.pay_gap().await;
                }
            }
        }
    }

    /// Tells this process's subscribers what another one published. A message that this version cannot read is still a
    /// sign that something happened.
    fn pass_on(&self, message: &[u8]) {
        if message.starts_with(self.name.as_bytes()) {
            return;
        }
        let events = message.get(self.name.len()..).map(serde_json::from_slice::<Vec<Arc<StoredEvent>>>);
        match events {
            Some(Ok(events)) => self.fan_out.send_all(&events),
            _ => self.fan_out.send(BusMessage::Gap),
        }
    }

    /// Tells every process of events that could not be published.
    async fn pay_gap(&self) {
        if self.owes_gap.swap(false, Ordering::AcqRel) && self.send(GAP.as_bytes()).await.is_err() {
            self.owes_gap.store(true, Ordering::Release);
        }
    }
}

#[async_trait]
impl EventBus for RedisBus {
    async fn publish(&self, events: &[Arc<StoredEvent>]) -> Result<(), BusError> {
        self.fan_out.send_all(events);
        let mut message = self.name.clone().into_bytes();
        if self.is_heard.load(Ordering::Acquire) {
            let events: Vec<&StoredEvent> = events.iter().map(AsRef::as_ref).collect();
            message.reserve(events.len() * EVENT);
            serde_json::to_writer(&mut message, &events).expect("an event has only string keys");
        }
        let unheard = OwesGap(&self.owes_gap);
        self.send(&message).await?;
        std::mem::forget(unheard);
        Ok(())
    }

    async fn publish_gap(&self) -> Result<(), BusError> {
        self.fan_out.send(BusMessage::Gap);
        let unheard = OwesGap(&self.owes_gap);
        self.send(GAP.as_bytes()).await?;
        std::mem::forget(unheard);
        Ok(())
    }

    fn subscribe(&self) -> Box<dyn Subscription> {
        self.fan_out.subscribe()
    }

    async fn ping(&self) -> Result<(), BusError> {
        Ok(self.publisher.query(&cmd("PING")).await?)
    }

    async fn run(&self, shutdown: CancellationToken) {
        let _closes = self.fan_out.closed.clone().drop_guard();
        let live = async {
            let mut away = false;
            loop {
                let error = self.listen(&mut away).await;
                if !std::mem::replace(&mut away, true) {
                    tracing::warn!(%error, "the event bus is away; connecting again every second");
                }
                self.fan_out.send(BusMessage::Gap);
                sleep(REST).await;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = live => {}
        }
    }
}

/// Set as long as this lives.
struct Listens<'a>(&'a AtomicBool);

impl<'a> Listens<'a> {
    fn on(flag: &'a AtomicBool) -> Self {
        flag.store(true, Ordering::Release);
        Self(flag)
    }
}

impl Drop for Listens<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Dropped with a publish that failed or was given up: the others are owed a gap.
struct OwesGap<'a>(&'a AtomicBool);

impl Drop for OwesGap<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

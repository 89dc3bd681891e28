//! The event bus's contract: one story, told in both shapes; then what only Redis can do to it.

use std::sync::Arc;

use futures_util::StreamExt;
use swapd::{
    domain::{OrderId, StoredEvent},
    events::{self, BusMessage, BusOptions, SharedBus, Subscription},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{
    event, eventually,
    servers::{Disk, RedisServer, shared_redis},
    unique_prefix, within_patience,
};

/// One process's bus with its task.
struct Process {
    bus: SharedBus,
    task: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Process {
    /// Opens a bus and waits until it carries messages, so that the first event is not lost to the connecting.
    async fn start(url: &str, prefix: &str, capacity: usize) -> Self {
        let bus = events::open(url, &BusOptions { capacity, prefix: prefix.into() }).await.unwrap();
        let shutdown = CancellationToken::new();
        let mut connected = bus.subscribe();
        let task = tokio::spawn({
            let (bus, shutdown) = (bus.clone(), shutdown.clone());
            async move { bus.run(shutdown).await }
        });
        if url != "local:" {
            assert_eq!(next(&mut connected).await, Some(BusMessage::Gap), "a gap marks the beginning");
        }
        Self { bus, task, shutdown }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        within_patience("the bus's task ends", self.task).await.unwrap();
    }
}

async fn next(subscription: &mut Box<dyn Subscription>) -> Option<BusMessage> {
    within_patience("a message of the bus", subscription.next()).await
}

async fn next_event(subscription: &mut Box<dyn Subscription>) -> Arc<StoredEvent> {
    loop {
        match next(subscription).await {
            Some(BusMessage::Event(event)) => return event,
            Some(BusMessage::Gap) => {}
            None => panic!("the bus closed"),
        }
    }
}

fn order_of_events(n: u64) -> Vec<Arc<StoredEvent>> {
    let order = OrderId::new();
    (1..=n).map(|seq| Arc::new(event(order, seq))).collect()
}

macro_rules! on_every_shape {
    ($($story:ident)*) => {
        mod in_process {
            $(#[tokio::test]
            async fn $story() {
                super::$story("local:").await;
            })*
        }
        mod on_redis {
            $(#[tokio::test]
            async fn $story() {
                super::$story(&super::shared_redis()).await;
            })*
        }
    };
}

on_every_shape! {
    every_subscriber_hears_everything_in_order
    who_falls_behind_gets_a_gap_and_nobody_else_does
    a_subscriber_hears_nothing_from_before
    subscriptions_end_with_the_bus
}

async fn every_subscriber_hears_everything_in_order(url: &str) {
    let process = Process::start(url, &unique_prefix(), 1_000).await;
    let mut subscribers = [process.bus.subscribe(), process.bus.subscribe()];
    let events = order_of_events(500);
    for event in &events {
        process.bus.publish(std::slice::from_ref(event)).await.unwrap();
    }
    for subscriber in &mut subscribers {
        for event in &events {
            assert_eq!(next(subscriber).await, Some(BusMessage::Event(event.clone())));
        }
    }
    process.bus.ping().await.unwrap();
    process.stop().await;
}

async fn who_falls_behind_gets_a_gap_and_nobody_else_does(url: &str) {
    let process = Process::start(url, &unique_prefix(), 4).await;
    let (mut slow, mut quick) = (process.bus.subscribe(), process.bus.subscribe());
    let events = order_of_events(20);
    for event in &events {
        process.bus.publish(std::slice::from_ref(event)).await.unwrap();
        assert_eq!(next(&mut quick).await, Some(BusMessage::Event(event.clone())));
    }
    assert_eq!(next(&mut slow).await, Some(BusMessage::Gap));
    for event in &events[16..] {
        assert_eq!(next(&mut slow).await, Some(BusMessage::Event(event.clone())));
    }
    process.stop().await;
}

async fn a_subscriber_hears_nothing_from_before(url: &str) {
    let process = Process::start(url, &unique_prefix(), 16).await;
    let mut early = process.bus.subscribe();
    let events = order_of_events(2);
    process.bus.publish(&events[0..=0]).await.unwrap();
    assert_eq!(next_event(&mut early).await, events[0]);
    let mut late = process.bus.subscribe();
    process.bus.publish(&events[1..=1]).await.unwrap();
    assert_eq!(next(&mut late).await, Some(BusMessage::Event(events[1].clone())));
    process.stop().await;
}

async fn subscriptions_end_with_the_bus(url: &str) {
    let process = Process::start(url, &unique_prefix(), 16).await;
    let mut subscriber = process.bus.subscribe();
    let bus = process.bus.clone();
    process.stop().await;
    assert_eq!(next(&mut subscriber).await, None);
    assert_eq!(next(&mut bus.subscribe()).await, None);
}

#[tokio::test]
async fn a_bus_whose_task_is_aborted_is_closed() {
    let process = Process::start(&shared_redis(), &unique_prefix(), 16).await;
    let mut subscriber = process.bus.subscribe();
    process.task.abort();
    assert_eq!(next(&mut subscriber).await, None);
}

#[tokio::test]
async fn processes_hear_each_other_and_other_deployments_do_not() {
    let prefix = unique_prefix();
    let one = Process::start(&shared_redis(), &prefix, 100).await;
    let other = Process::start(&shared_redis(), &prefix, 100).await;
    let stranger = Process::start(&shared_redis(), &unique_prefix(), 100).await;
    let (mut at_one, mut at_other) = (one.bus.subscribe(), other.bus.subscribe());
    let mut at_stranger = stranger.bus.subscribe();
    let events = order_of_events(20);
    for pair in events.chunks(2) {
        one.bus.publish(&pair[0..=0]).await.unwrap();
        other.bus.publish(&pair[1..=1]).await.unwrap();
        // Two connections: between them no order is promised, within one it is.
        for subscriber in [&mut at_one, &mut at_other] {
            let mut heard = [next_event(subscriber).await.seq, next_event(subscriber).await.seq];
            heard.sort_unstable();
            assert_eq!(heard, [pair[0].seq, pair[1].seq]);
        }
    }
    stranger.bus.publish(&events[0..=0]).await.unwrap();
    assert_eq!(next_event(&mut at_stranger).await, events[0], "the first thing it hears is its own");
}

#[tokio::test]
async fn events_are_written_out_only_where_somebody_else_hears_them() {
    let prefix = unique_prefix();
    let one = Process::start(&shared_redis(), &prefix, 100).await;
    let mut at_one = one.bus.subscribe();
    let events = order_of_events(4);
    let tell = async |n: usize| one.bus.publish(&events[n..=n]).await.unwrap();
    tell(0).await; // nobody knows yet who hears it
    let client = redis::Client::open(shared_redis()).unwrap();
    let mut messages = client.get_async_pubsub().await.unwrap();
    messages.subscribe(format!("{prefix}events")).await.unwrap();
    let mut messages = messages.into_on_message();
    let other = Process::start(&shared_redis(), &prefix, 100).await;
    let mut at_other = other.bus.subscribe();
    for n in 1..4 {
        tell(n).await;
    }
    assert_eq!(next(&mut at_other).await, Some(BusMessage::Gap), "the first one only says that there is something");
    for event in &events[2..] {
        assert_eq!(next(&mut at_other).await, Some(BusMessage::Event(event.clone())));
    }
    for event in &events {
        assert_eq!(next(&mut at_one).await, Some(BusMessage::Event(event.clone())), "its own process needs no words");
    }
    let mut lengths = Vec::new();
    for _ in 1..4 {
        let message = within_patience("a message", messages.next()).await.unwrap();
        lengths.push(message.get_payload_bytes().len());
    }
    assert!(lengths[0] < 40 && lengths[1..].iter().all(|length| *length > 100), "{lengths:?}");
}

#[tokio::test]
async fn a_restarted_server_means_a_gap_and_then_events_again() {
    let mut server = RedisServer::start(Disk::Fast, &[]);
    let prefix = unique_prefix();
    let one = Process::start(&server.url(), &prefix, 100).await;
    let other = Process::start(&server.url(), &prefix, 100).await;
    let mut subscribers = [one.bus.subscribe(), other.bus.subscribe()];
    let events = order_of_events(2);
    one.bus.publish(&events[0..=0]).await.unwrap();
    for subscriber in &mut subscribers {
        assert_eq!(next(subscriber).await, Some(BusMessage::Event(events[0].clone())));
    }
    server.kill();
    within_patience("a publish fails", one.bus.publish(&events[1..=1])).await.unwrap_err();
    assert_eq!(
        next(&mut subscribers[0]).await,
        Some(BusMessage::Event(events[1].clone())),
        "its own process needs no server"
    );
    for subscriber in &mut subscribers {
        assert_eq!(next(subscriber).await, Some(BusMessage::Gap));
    }
    server.start_again();
    // Nobody can know when the others listen again, so it is published until it is heard.
    for subscriber in &mut subscribers {
        let heard = within_patience("events again", async {
            loop {
                eventually("a publish", || one.bus.publish(&events[1..=1])).await;
                tokio::select! {
                    event = next_event(subscriber) => return event,
                    () = tokio::time::sleep(std::time::Duration::from_millis(50)) => {}
                }
            }
        })
        .await;
        assert_eq!(heard, events[1]);
    }
}

#[tokio::test]
async fn subscribers_live_off_the_store_while_the_server_is_away() {
    let mut server = RedisServer::start(Disk::Fast, &[]);
    let process = Process::start(&server.url(), &unique_prefix(), 100).await;
    server.kill();
    let mut subscriber = process.bus.subscribe();
    for _ in 0..3 {
        assert_eq!(next(&mut subscriber).await, Some(BusMessage::Gap));
    }
    process.stop().await;
}

#[tokio::test]
async fn a_silent_server_is_noticed() {
    let mut server = RedisServer::start(Disk::Fast, &[]);
    let process = Process::start(&server.url(), &unique_prefix(), 100).await;
    let mut subscriber = process.bus.subscribe();
    server.freeze();
    assert_eq!(next(&mut subscriber).await, Some(BusMessage::Gap));
    server.thaw();
    process.stop().await;
}

#[tokio::test]
async fn a_publish_that_failed_becomes_a_gap_for_everybody() {
    let server = RedisServer::start(Disk::Fast, &[]);
    let prefix = unique_prefix();
    let publisher = Process::start(&server.url(), &prefix, 100).await;
    let other = Process::start(&server.url(), &prefix, 100).await;
    let mut subscriber = other.bus.subscribe();
    // A publish that is given up before it is sent: nobody else can notice that but the publisher.
    let events = order_of_events(1);
    let mut unsent = publisher.bus.publish(&events[0..=0]);
    assert!(futures_util::poll!(&mut unsent).is_pending());
    drop(unsent);
    loop {
        if next(&mut subscriber).await == Some(BusMessage::Gap) {
            break;
        }
    }
}

#[tokio::test]
async fn a_message_from_another_version_is_a_gap() {
    let prefix = unique_prefix();
    let process = Process::start(&shared_redis(), &prefix, 100).await;
    let mut subscriber = process.bus.subscribe();
    let mut connection = redis::Client::open(shared_redis()).unwrap().get_connection().unwrap();
    redis::cmd("PUBLISH")
        .arg(format!("{prefix}events"))
        .arg("{\"from\":\"the future\"}")
        .exec(&mut connection)
        .unwrap();
    assert_eq!(next(&mut subscriber).await, Some(BusMessage::Gap));
}

#[tokio::test]
async fn a_url_that_names_no_bus_is_refused() {
    for url in ["memory:", "", "redis://127.0.0.1:1/0", "redis://nowhere.invalid/0"] {
        let opened = within_patience("an answer", events::open(url, &BusOptions::default())).await;
        assert!(opened.is_err(), "{url}");
    }
}

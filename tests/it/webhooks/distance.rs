//! Databases that are far away: however long each way to them takes, deliveries go on.

use std::time::Duration;

use swapd::webhooks::{Settings, Webhooks};

use super::{Ground, Process, wanting};
use crate::support::{
    eventually,
    far::Far,
    receiver::{Receiver, Reply, in_order_and_once, webhook_settings},
    servers, within_patience,
};

/// To the database, and the same back.
const WAY: Duration = Duration::from_millis(20);
/// So many that one after the other they take longer than the lease lasts.
const MANY: usize = 36;

/// A database, seen from beside it and from far away.
struct Distance {
    near: Ground,
    ground: Ground,
    _far: Far,
}

impl Distance {
    async fn new() -> Self {
        let database = servers::fresh_database().await;
        let near = Ground::on(&database).await;
        let (far, url) = Far::before_database(&database, WAY).await;
        Self { near, ground: Ground::on(&url).await, _far: far }
    }

    /// Makes as many webhooks for all events, soon.
    async fn webhooks(&self, receiver: &Receiver, count: usize) {
        let near = Webhooks::new(self.near.store.clone(), many()).unwrap();
        for _ in 0..count {
            near.create(wanting(receiver)).await.unwrap();
        }
    }

    fn process(&self) -> Process {
        self.ground.process(many())
    }
}

fn many() -> Settings {
    Settings { most: 100, in_flight: 10, ..webhook_settings() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_that_are_behind_catch_up() {
    let distance = Distance::new().await;
    distance.near.orders(70).await; // more events than are read at once
    let receiver = Receiver::answering(|_, _| Reply::Hang).await;
    distance.webhooks(&receiver, 5).await;
    let process = distance.process();
    eventually("all of them to have passed the whole history", || async {
        let webhooks = distance.near.store.webhooks().await.unwrap();
        if webhooks.iter().all(|webhook| webhook.cursor == 210) { Ok(()) } else { Err(()) }
    })
    .await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_gets_through_at_once_is_stored() {
    let distance = Distance::new().await;
    distance.near.orders(10).await;
    let receiver = Receiver::start().await;
    distance.webhooks(&receiver, 5).await;
    let process = distance.process();
    let taken = receiver.has_taken(5 * 30).await;
    for webhook in distance.near.store.webhooks().await.unwrap() {
        let id = webhook.id.to_string();
        let of_webhook: Vec<_> = taken.iter().filter(|it| it.header("swapd-webhook-id") == id).cloned().collect();
        in_order_and_once(&of_webhook);
        assert_eq!(of_webhook.len(), 30);
    }
    eventually("all receipts to be stored", || async {
        if distance.near.store.backlogs(None).await.unwrap().is_empty() { Ok(()) } else { Err(()) }
    })
    .await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_webhooks_are_served_while_events_go_on_coming() {
    let distance = Distance::new().await;
    let receiver = Receiver::start().await;
    distance.webhooks(&receiver, MANY).await;
    let process = distance.process();
    let hear = async {
        loop {
            distance.near.orders(1).await; // so that each round has something for each webhook
            let store = &distance.near.store;
            let newest = store.cursor().await.unwrap();
            eventually("a webhook to be past it", || async {
                let webhooks = store.webhooks().await.unwrap();
                if webhooks.iter().any(|webhook| webhook.cursor >= newest) { Ok(()) } else { Err(()) }
            })
            .await;
            let heard = receiver.heard();
            let webhooks: std::collections::HashSet<_> = heard.iter().map(|it| it.header("swapd-webhook-id")).collect();
            if webhooks.len() == MANY {
                return;
            }
        }
    };
    within_patience("every webhook's receiver to hear something", hear).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_until_every_webhook_had_its_turn() {
    let distance = Distance::new().await;
    distance.near.orders(1).await;
    let receiver = Receiver::start().await;
    distance.webhooks(&receiver, MANY).await;
    let process = distance.process();
    receiver.has_heard(1).await;
    process.stop().await;
    let webhooks = distance.near.store.webhooks().await.unwrap();
    assert_eq!(webhooks.last().unwrap().cursor, 0);
}

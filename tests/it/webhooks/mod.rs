//! Webhooks: real receivers on real ports, told of events that are stored here as a worker stores them.

mod api;
mod delivery;
mod distance;
mod failing;
#[cfg(feature = "localnet")]
mod processes;

use std::sync::Arc;

use swapd::{
    domain::{Order, OrderEvent},
    engine::{Announcer, Journal},
    events::{self, BusOptions, SharedBus},
    store::{
        self, SharedStore,
        webhooks::{DeliveryRecord, Webhook},
    },
    webhooks::{NewWebhook, Render, Settings, Webhooks},
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    store_contract::sample,
    support::{receiver::Receiver, within_patience},
};

/// A store and a bus, as all processes have them.
struct Ground {
    store: SharedStore,
    bus: SharedBus,
    journal: Journal,
    _bus: JoinHandle<()>,
    /// Removed when the test ends.
    _folder: Option<TempDir>,
}

impl Ground {
    async fn on(url: &str) -> Self {
        let store = store::open(url).await.unwrap();
        let bus = events::open("local:", &BusOptions::default()).await.unwrap();
        let running = bus.clone();
        let carrying = tokio::spawn(async move { running.run(CancellationToken::new()).await });
        let announcer = Announcer::new(&store, bus.clone());
        tokio::spawn(announcer.run(CancellationToken::new())); // ends with its store
        let journal = Journal::new(store.clone());
        Self { store, bus, journal, _bus: carrying, _folder: None }
    }

    /// On an SQLite file of its own.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("orders.db").display());
        Self { _folder: Some(folder), ..Self::on(&url).await }
    }

    /// With a process that delivers everything to one receiver.
    async fn serving(settings: Settings, receiver: &Receiver) -> (Self, Process, Webhook) {
        let ground = Self::new().await;
        let process = ground.process(settings);
        let webhook = process.webhook(receiver).await;
        (ground, process, webhook)
    }

    /// Stores this many orders with three events each.
    async fn orders(&self, count: usize) -> Vec<Order> {
        let mut orders = Vec::new();
        for _ in 0..count {
            let mut order = sample::order();
            self.journal.create(&order, None).await.unwrap();
            for event in [OrderEvent::Claimed, OrderEvent::Cancelled] {
                self.journal.append(&mut order, event, None).await.unwrap();
            }
            orders.push(order);
        }
        orders
    }

    /// Starts a process that delivers.
    fn process(&self, settings: Settings) -> Process {
        self.rendering(settings, Arc::new(|event: &_| serde_json::to_string(event).unwrap()))
    }

    /// The same, with events as `render` writes them.
    fn rendering(&self, settings: Settings, render: Render) -> Process {
        let webhooks = Arc::new(Webhooks::new(self.store.clone(), settings).unwrap());
        let (deliverer, shutdown) = (webhooks.deliverer(self.bus.clone(), render), CancellationToken::new());
        let stop = shutdown.clone();
        Process { webhooks, shutdown, task: tokio::spawn(async move { deliverer.run(stop).await }) }
    }
}

/// A process, as far as webhooks are concerned.
struct Process {
    webhooks: Arc<Webhooks>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Process {
    /// A webhook for everything there is, from the first event on.
    async fn webhook(&self, receiver: &Receiver) -> Webhook {
        self.webhooks.create(wanting(receiver)).await.unwrap()
    }

    async fn log(&self, webhook: &Webhook) -> Vec<DeliveryRecord> {
        self.webhooks.deliveries(webhook.id, None, None, 200).await.unwrap()
    }

    /// Ends as a signal ends it.
    async fn stop(self) {
        self.shutdown.cancel();
        within_patience("the deliverer's end", self.task).await.unwrap();
    }

    /// Ends as a power cut would end it.
    async fn die(self) {
        self.task.abort();
        assert!(within_patience("the deliverer's end", self.task).await.unwrap_err().is_cancelled());
    }
}

fn wanting(receiver: &Receiver) -> NewWebhook {
    NewWebhook { url: receiver.url.clone(), since: Some(0), ..NewWebhook::default() }
}

//! Deliverer: from the history to the receivers, each event at least once, the events of an order in their order.
//!
//! Owns the one loop that moves webhooks' cursors, starts tries and stores what came of them. Of all processes one works
//! at a time, by a lease in the store; what another begins is what this one has stored. Each webhook has room of its own,
//! so a slow receiver delays nobody else. Survives outages of store, bus and receivers.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    future::ready,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use time::OffsetDateTime;
use tokio::{
    sync::Notify,
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Settings,
    attempt::{UnderWay, attempt},
    health::Health,
    sender::Sender,
};
use crate::{
    domain::StoredEvent,
    events::{SharedBus, Subscription},
    metrics as names,
    store::{
        SharedStore, StoreError,
        webhooks::{Backlog, DeliveryId, EventHead, FanOut, Next, Tried, Webhook, WebhookId},
    },
};

/// How often the store is looked at although nobody says that there is news.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Events read at once for one webhook.
const PAGE: u32 = 200;
/// Deliveries of a webhook that may wait before it moves on along the history.
const WINDOW: u64 = 1_000;
/// Tries stored in one commit: on SQLite orders wait for it.
const STORED_AT_ONCE: usize = 200;
/// The lease's name, how long it lasts, and when what is left of it is renewed.
const LEASE_NAME: &str = "webhooks";
const LEASE_SECONDS: u32 = 6;
const LEASE: Duration = Duration::from_secs(LEASE_SECONDS as u64);
const RENEW_BELOW: Duration = Duration::from_secs(4);
/// Between two looks for deliveries to forget.
const PRUNE_EVERY: Duration = Duration::from_secs(5);
/// How long tries under way may take once nothing new begins.
const LAST_TRIES: Duration = Duration::from_secs(1);

/// An event as the receivers get it.
pub type Render = Arc<dyn Fn(&StoredEvent) -> String + Send + Sync>;

/// Makes the deliveries.
pub struct Deliverer {
    store: SharedStore,
    bus: SharedBus,
    sender: Arc<Sender>,
    render: Render,
    settings: Settings,
    nudge: Arc<Notify>,
    /// This process, to the lease.
    holder: String,
    /// Until when this process surely has it.
    lease: Option<Instant>,
    tries: JoinSet<Tried>,
    under_way: HashMap<Id, UnderWay>,
    /// Tries that are not stored yet.
    unstored: Vec<Tried>,
    health: Health,
    /// What waits for each webhook: counted every now and then, and kept up in between.
    backlogs: HashMap<WebhookId, Backlog>,
    counted: Option<Instant>,
    /// Whether there is more of the history than was read.
    is_behind: bool,
    /// Webhooks with gauges.
    shown: HashSet<WebhookId>,
    /// Those of them that are disabled, which was said.
    disabled: HashSet<WebhookId>,
    /// Webhooks with more finished deliveries than when they were last pruned, as far as is known.
    grown: HashSet<WebhookId>,
    pruned: Option<Instant>,
}

/// The history, as far as one round reads it.
struct History {
    newest: u64,
    /// What follows a cursor.
    pages: HashMap<u64, Vec<EventHead>>,
}

impl Deliverer {
    pub(super) fn new(
        store: SharedStore,
        bus: SharedBus,
        sender: Arc<Sender>,
        render: Render,
        settings: Settings,
        nudge: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            bus,
            sender,
            render,
            settings,
            nudge,
            holder: Uuid::now_v7().to_string(),
            lease: None,
            tries: JoinSet::new(),
            under_way: HashMap::new(),
            unstored: Vec::new(),
            health: Health::default(),
            backlogs: HashMap::new(),
            counted: None,
            is_behind: false,
            shown: HashSet::new(),
            disabled: HashSet::new(),
            grown: HashSet::new(),
            pruned: None,
        }
    }

    /// Delivers until `shutdown`. Run it once per process, as one of its long-lived tasks.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut heard = Some(self.bus.subscribe());
        let mut in_trouble = false;
        loop {
            match self.round(&shutdown).await {
                Ok(()) => in_trouble = false,
                Err(error) => {
                    if !in_trouble {
                        tracing::warn!(%error, "webhooks wait for the store");
                    }
                    in_trouble = true;
                }
            }
            // Who delivers nothing need not hear of every event.
            let listens = self.leads() && !in_trouble;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(ended) = self.tries.join_next_with_id() => self.note(ended),
                // Deliveries may have been asked for again.
                () = self.nudge.notified() => self.counted = None,
                () = ready(()), if self.is_behind && !in_trouble => {}
                () = news(&mut heard), if listens => {}
                () = sleep(LOOK_EVERY) => {
                    heard.get_or_insert_with(|| self.bus.subscribe());
                }
            }
            while let Some(ended) = self.tries.try_join_next_with_id() {
                self.note(ended);
            }
        }
        self.finish().await;
    }

    /// Stores what is known of the tries under way, and lets another process go on at once.
    async fn finish(mut self) {
        let ending = async {
            while let Some(ended) = self.tries.join_next_with_id().await {
                self.note(ended);
            }
        };
        let _cut_off = timeout(LAST_TRIES, ending).await;
        let leave = async {
            self.record().await?;
            self.store.give_lease(LEASE_NAME, &self.holder).await
        };
        if let Err(error) = leave.await {
            tracing::warn!(%error, "the last tries of webhooks are not stored: they are made again");
        }
    }

    /// Does all there is to do now, webhook by webhook. With many of them and a database far away that takes longer than
    /// the lease lasts, and longer than a stop may.
    async fn round(&mut self, shutdown: &CancellationToken) -> Result<(), StoreError> {
        self.record().await?;
        let webhooks = self.store.webhooks().await?;
        if self.counted.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            self.backlogs = self.store.backlogs(None).await?;
            self.counted = Some(Instant::now());
        }
        self.show(&webhooks);
        self.is_behind = false;
        let enabled: Vec<_> = webhooks.into_iter().filter(|webhook| webhook.disabled.is_none()).collect();
        if enabled.is_empty() || !self.goes_on(shutdown).await? {
            return Ok(());
        }
        let mut history = History { newest: self.store.cursor().await?, pages: HashMap::new() };
        for webhook in enabled {
            if !self.goes_on(shutdown).await? {
                return Ok(());
            }
            self.fan_out(&webhook, &mut history).await?;
            if self.backlog(webhook.id).deliveries > 0 && self.goes_on(shutdown).await? {
                self.start(webhook).await?;
            }
        }
        self.prune(shutdown).await
    }

    /// Forgets old deliveries of webhooks that have new ones.
    async fn prune(&mut self, shutdown: &CancellationToken) -> Result<(), StoreError> {
        if self.pruned.is_some_and(|at| at.elapsed() < PRUNE_EVERY) {
            return Ok(());
        }
        for webhook in self.grown.clone() {
            if !self.goes_on(shutdown).await? {
                return Ok(());
            }
            self.store.prune_deliveries(webhook, self.settings.keep).await?;
            self.grown.remove(&webhook);
        }
        self.pruned = Some(Instant::now());
        Ok(())
    }

    /// Whether there is a next step: this process has the lead, and is not to stop.
    async fn goes_on(&mut self, shutdown: &CancellationToken) -> Result<bool, StoreError> {
        Ok(!shutdown.is_cancelled() && self.take_lead().await?)
    }

    /// What waits for a webhook, as far as it is known without counting.
    fn backlog(&self, webhook: WebhookId) -> Backlog {
        self.backlogs.get(&webhook).copied().unwrap_or_default()
    }

    /// Whether this process delivers, as far as it can tell without asking.
    fn leads(&self) -> bool {
        self.lease.is_some_and(|until| Instant::now() < until)
    }

    async fn take_lead(&mut self) -> Result<bool, StoreError> {
        let now = Instant::now();
        if self.lease.is_none_or(|until| until < now + RENEW_BELOW) {
            let (led, taken) = (self.leads(), self.store.take_lease(LEASE_NAME, &self.holder, LEASE_SECONDS).await?);
            self.lease = taken.then_some(now + LEASE);
            if taken && !led {
                self.grown.clone_from(&self.shown); // which of them have grown is not known
            }
        }
        Ok(self.leads())
    }

    /// Moves a webhook along the history, in a commit of its own, so that none is ever too large to be made.
    async fn fan_out(&mut self, webhook: &Webhook, history: &mut History) -> Result<(), StoreError> {
        let Webhook { id, cursor, filter, .. } = webhook;
        if *cursor >= history.newest || self.backlog(*id).deliveries >= WINDOW {
            return Ok(());
        }
        // As a rule all of them are at the same place.
        let page = match history.pages.entry(*cursor) {
            Entry::Occupied(page) => page.into_mut(),
            Entry::Vacant(place) => place.insert(self.store.event_heads(*cursor, PAGE).await?),
        };
        let Some(last) = page.last() else { return Ok(()) };
        self.is_behind |= last.cursor < history.newest;
        let wanted: Vec<_> = page.iter().filter(|event| filter.wants(event)).cloned().collect();
        let (deliveries, now) = (wanted.len() as u64, OffsetDateTime::now_utc());
        self.store.fan_out(&FanOut { webhook: *id, from: *cursor, to: last.cursor, wanted }, now).await?;
        if deliveries > 0 {
            let backlog = self.backlogs.entry(*id).or_default();
            backlog.deliveries += deliveries;
            backlog.oldest.get_or_insert(now);
        }
        Ok(())
    }

    /// Starts the tries of a webhook that are due, as far as it has room.
    async fn start(&mut self, webhook: Webhook) -> Result<(), StoreError> {
        let busy: HashSet<DeliveryId> = self.busy(webhook.id).collect();
        let is_probed = self.health.is_probed(webhook.id);
        let room = if is_probed { 1 } else { self.settings.in_flight }.saturating_sub(busy.len());
        if room == 0 || self.health.is_left_alone(webhook.id) {
            return Ok(());
        }
        let now = OffsetDateTime::now_utc();
        // What is under way still waits in the store.
        let limit = u32::try_from(room + busy.len()).unwrap_or(u32::MAX);
        let latest = now + self.settings.schedule.longest;
        // A probe must not be the one delivery that the receiver does not like.
        let due = self.store.due(webhook.id, now, latest, is_probed, limit).await?;
        let webhook = Arc::new(webhook);
        for due in due.into_iter().filter(|due| !busy.contains(&due.id)).take(room) {
            if !self.leads() {
                return Ok(());
            }
            let under_way = UnderWay::new(webhook.id, &due);
            let work = attempt(self.sender.clone(), self.render.clone(), self.settings.clone(), webhook.clone(), due);
            let task = self.tries.spawn(work);
            self.under_way.insert(task.id(), under_way);
        }
        Ok(())
    }

    /// Deliveries of a webhook that wait in the store only because what came of them is not stored yet.
    fn busy(&self, webhook: WebhookId) -> impl Iterator<Item = DeliveryId> {
        let under_way = self.under_way.values().map(|it| (it.webhook, it.delivery));
        let all = under_way.chain(self.unstored.iter().map(|tried| (tried.webhook, tried.delivery)));
        all.filter(move |(of, _)| *of == webhook).map(|(_, delivery)| delivery)
    }

    /// Takes in what came of a try.
    fn note(&mut self, ended: Result<(Id, Tried), JoinError>) {
        let mut tried = match ended {
            Ok((task, tried)) => {
                self.under_way.remove(&task);
                tried
            }
            Err(error) => {
                tracing::error!(%error, "a try of a webhook ended badly");
                let Some(under_way) = self.under_way.remove(&error.id()) else { return };
                under_way.broke_off(&self.settings)
            }
        };
        let result = match tried.next {
            _ if !tried.judges => "untellable",
            Next::Delivered => "delivered",
            Next::Retry(_) => "retried",
            Next::GiveUp => "given_up",
        };
        metrics::counter!(names::WEBHOOK_TRIES, "result" => result).increment(1);
        if tried.judges {
            names::seconds(names::WEBHOOK_TIME, "result", result, tried.took.unsigned_abs());
            match tried.next {
                // It is back: what was left alone meanwhile need not wait for its own next try.
                Next::Delivered => tried.revives = self.health.got_through(tried.webhook),
                Next::Retry(_) | Next::GiveUp => self.health.failed(tried.webhook),
            }
        }
        self.unstored.push(tried);
    }

    async fn record(&mut self) -> Result<(), StoreError> {
        while !self.unstored.is_empty() {
            let some = self.unstored.len().min(STORED_AT_ONCE);
            self.store.record(&self.unstored[..some]).await?;
            for tried in self.unstored.drain(..some).filter(|tried| !matches!(tried.next, Next::Retry(_))) {
                self.grown.insert(tried.webhook);
                if let Some(backlog) = self.backlogs.get_mut(&tried.webhook) {
                    backlog.deliveries = backlog.deliveries.saturating_sub(1);
                }
            }
        }
        Ok(())
    }

    /// Shows how far the webhooks are.
    fn show(&mut self, webhooks: &[Webhook]) {
        let now = OffsetDateTime::now_utc();
        let there: HashSet<_> = webhooks.iter().map(|webhook| webhook.id).collect();
        for gone in self.shown.difference(&there) {
            gauges(*gone, 0, 0.0);
        }
        for webhook in webhooks {
            let Backlog { deliveries, oldest } = self.backlog(webhook.id);
            let oldest = oldest.filter(|_| webhook.disabled.is_none());
            gauges(webhook.id, deliveries, oldest.map_or(0.0, |at| (now - at).as_seconds_f64().max(0.0)));
        }
        let mut disabled = HashSet::new();
        for webhook in webhooks {
            let Some(why) = &webhook.disabled else { continue };
            if !self.disabled.contains(&webhook.id) {
                tracing::warn!(webhook = %webhook.id, reason = why.reason, "a webhook is disabled");
            }
            disabled.insert(webhook.id);
        }
        metrics::gauge!(names::WEBHOOKS_DISABLED).set(names::as_gauge(disabled.len() as u64));
        self.health.keep(|id| there.contains(&id) && !disabled.contains(&id));
        (self.shown, self.disabled) = (there, disabled);
    }
}

fn gauges(webhook: WebhookId, pending: u64, lag: f64) {
    metrics::gauge!(names::WEBHOOK_PENDING, "webhook" => webhook.to_string()).set(names::as_gauge(pending));
    metrics::gauge!(names::WEBHOOK_LAG, "webhook" => webhook.to_string()).set(lag);
}

/// Returns when there are new events, and takes in all there are.
async fn news(heard: &mut Option<Box<dyn Subscription>>) {
    let Some(subscription) = heard else { return std::future::pending().await };
    if subscription.next().await.is_none() {
        *heard = None;
        return;
    }
    while let Some(Some(_)) = subscription.next().now_or_never() {}
}

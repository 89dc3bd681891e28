//! Webhooks: who is told of orders' events over HTTP, and what has become of each event that is told.
//!
//! Owns the records and their contract. A webhook's cursor is the place in the history up to which every event it wants
//! has a delivery; a delivery waits (`pending`) until it has got through, was given up or was skipped. Never sends
//! anything: when and where to is `crate::webhooks`.

mod backends;
mod record;
mod sql;
mod statements;

use std::{collections::HashMap, fmt};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use super::StoreError;
use crate::domain::{OrderId, Status, StoredEvent, ids::ids};

ids! {
    /// Names a webhook.
    WebhookId,
    /// Names a delivery: the same for every try, so that a receiver can tell a repetition.
    DeliveryId
}

/// What signs a webhook's deliveries. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(String);

impl SigningSecret {
    /// Wraps a secret.
    pub const fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The secret itself. Only for whoever signs with it, and for the one answer that shows it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Which events a webhook wants. An empty list is no condition; an event has to meet all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookFilter {
    /// Events with one of these names.
    pub events: Vec<String>,
    /// Events that leave their order in one of these.
    pub statuses: Vec<Status>,
    /// Events of these orders.
    pub order_ids: Vec<OrderId>,
}

impl WebhookFilter {
    /// Whether an event is wanted.
    pub fn wants(&self, event: &EventHead) -> bool {
        (self.events.is_empty() || self.events.contains(&event.event))
            && (self.statuses.is_empty() || self.statuses.contains(&event.status))
            && (self.order_ids.is_empty() || self.order_ids.contains(&event.order_id))
    }
}

/// Why nothing is sent to a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disabled {
    /// A sentence.
    pub reason: String,
    /// Since when.
    pub at: OffsetDateTime,
}

/// One webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Where deliveries go.
    pub url: String,
    /// What its owner calls it.
    pub description: String,
    /// What they are signed with.
    pub secret: SigningSecret,
    /// Which events are wanted.
    pub filter: WebhookFilter,
    /// Every event up to here was delivered, waits, or is not wanted.
    pub cursor: u64,
    /// Since when nothing has got through.
    pub failing_since: Option<OffsetDateTime>,
    /// Whether it is disabled, and why.
    pub disabled: Option<Disabled>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When its owner last changed it.
    pub updated_at: OffsetDateTime,
}

/// What waits for a webhook's receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries that wait.
    pub deliveries: u64,
    /// When the oldest of them began to wait.
    pub oldest: Option<OffsetDateTime>,
}

/// Where a webhook that was disabled goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Where it stopped: nothing is left out.
    Cursor,
    /// With what happens from now on; what waits is skipped.
    Now,
}

/// What its owner changes of a webhook. What is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookChange {
    /// Where deliveries go.
    pub url: Option<String>,
    /// What it is called.
    pub description: Option<String>,
    /// Which events are wanted from now on.
    pub filter: Option<WebhookFilter>,
    /// Disables it, or lets it go on.
    pub turn: Option<Turn>,
}

/// Whether deliveries are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// No more, for this reason.
    Off(String),
    /// Again.
    On(Resume),
}

/// What a filter looks at: columns that can always be read, whatever is in the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventHead {
    /// Its place among the events of all orders.
    pub cursor: u64,
    /// Whose it is.
    pub order_id: OrderId,
    /// The status it leaves the order in.
    pub status: Status,
    /// Its name.
    pub event: String,
}

/// A step of one webhook along the history.
#[derive(Clone, Debug)]
pub struct FanOut {
    /// Whose.
    pub webhook: WebhookId,
    /// Its cursor before.
    pub from: u64,
    /// Its cursor after.
    pub to: u64,
    /// The events in between that it wants.
    pub wanted: Vec<EventHead>,
}

/// A delivery whose turn it is.
#[derive(Debug)]
pub struct Due {
    /// Which one.
    pub id: DeliveryId,
    /// Tries that failed so far.
    pub tries: u32,
    /// What is to be told; an error when it cannot be read.
    pub event: Result<StoredEvent, StoreError>,
}

/// What one try led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The receiver's HTTP status.
    Status(u16),
    /// Why there was none.
    Error(String),
}

/// What becomes of a delivery after a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It got through.
    Delivered,
    /// It is tried again at this time.
    Retry(OffsetDateTime),
    /// It is given up.
    GiveUp,
}

/// One try, made.
#[derive(Clone, Debug)]
pub struct Tried {
    /// Whose delivery.
    pub webhook: WebhookId,
    /// Which delivery.
    pub delivery: DeliveryId,
    /// When it was made.
    pub at: OffsetDateTime,
    /// What came of it.
    pub answer: Answer,
    /// How long that took.
    pub took: Duration,
    /// What becomes of the delivery.
    pub next: Next,
    /// Whether it says something of the receiver. One that the daemon could not make, or not to its end, does not.
    pub judges: bool,
    /// Whether everything else that waits is due now, too.
    pub revives: bool,
    /// What it may disable its webhook for.
    pub disabling: Option<Disabling>,
}

/// Why a failed try may disable its webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disabling {
    /// A sentence.
    pub reason: String,
    /// Only if nothing has got through since this time; `None`: in any case.
    pub if_failing_since: Option<OffsetDateTime>,
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It waits for its first or next try.
    Pending,
    /// The receiver has it.
    Delivered,
    /// It was tried as often as is allowed.
    Failed,
    /// Its webhook went on without it.
    Skipped,
}

impl DeliveryState {
    /// The stored form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// A delivery in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// Which one.
    pub id: DeliveryId,
    /// What it tells.
    pub event: EventHead,
    /// The event's number among those of its order.
    pub seq: u64,
    /// How far it is.
    pub state: DeliveryState,
    /// When it is tried next, while it waits.
    pub next_try_at: OffsetDateTime,
    /// When it began to wait.
    pub created_at: OffsetDateTime,
    /// Its tries, oldest first; the newest [`ATTEMPTS_KEPT`].
    pub attempts: Vec<AttemptRecord>,
}

/// A try in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// 1 for the first one.
    pub n: u32,
    /// When it was made.
    pub at: OffsetDateTime,
    /// What came of it.
    pub answer: Answer,
    /// How long that took, in milliseconds.
    pub duration_ms: u64,
}

/// Tries kept of one delivery.
pub const ATTEMPTS_KEPT: u32 = 50;

/// What the store keeps of webhooks. Each call is one transaction.
#[async_trait]
pub trait WebhookStore: Send + Sync {
    /// Stores a new webhook unless there are `most` already; whether it is stored.
    async fn create_webhook(&self, webhook: &Webhook, most: u32) -> Result<bool, StoreError>;

    /// All webhooks, oldest first.
    async fn webhooks(&self) -> Result<Vec<Webhook>, StoreError>;

    /// One webhook.
    async fn webhook(&self, id: WebhookId) -> Result<Option<Webhook>, StoreError>;

    /// What waits, for one webhook or all of them; a webhook for which nothing waits is left out. Reads every delivery that
    /// waits.
    async fn backlogs(&self, of: Option<WebhookId>) -> Result<HashMap<WebhookId, Backlog>, StoreError>;

    /// Changes a webhook; false when there is none.
    async fn change_webhook(
        &self,
        id: WebhookId,
        change: &WebhookChange,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError>;

    /// Removes a webhook with its log; false when there is none.
    async fn delete_webhook(&self, id: WebhookId) -> Result<bool, StoreError>;

    /// The heads of events with a cursor above `cursor`, in order, at most `limit`.
    async fn event_heads(&self, cursor: u64, limit: u32) -> Result<Vec<EventHead>, StoreError>;

    /// Makes deliveries of the events that a webhook wants, and moves its cursor past them. A webhook whose cursor is no
    /// longer where the step begins is left alone.
    async fn fan_out(&self, step: &FanOut, now: OffsetDateTime) -> Result<(), StoreError>;

    /// Deliveries of a webhook that may be tried at `now`, at most `limit`: of each order only the first that waits,
    /// oldest first, or least tried first. A next try that is planned for later than `latest` was planned by a clock
    /// that was set back since: it is due, too.
    async fn due(
        &self,
        webhook: WebhookId,
        now: OffsetDateTime,
        latest: OffsetDateTime,
        least_tried_first: bool,
        limit: u32,
    ) -> Result<Vec<Due>, StoreError>;

    /// Stores what tries led to, each of another delivery, in the order in which they ended.
    async fn record(&self, tried: &[Tried]) -> Result<(), StoreError>;

    /// The log of a webhook, newest first: deliveries in `state`, made before `before`, at most `limit`.
    async fn deliveries(
        &self,
        webhook: WebhookId,
        state: Option<DeliveryState>,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<DeliveryRecord>, StoreError>;

    /// Lets a delivery be tried at once, whatever became of it; false when there is none.
    async fn redeliver(&self, webhook: WebhookId, id: DeliveryId, now: OffsetDateTime) -> Result<bool, StoreError>;

    /// Forgets deliveries of a webhook that do not wait any more, but the newest `keep`.
    async fn prune_deliveries(&self, webhook: WebhookId, keep: u32) -> Result<(), StoreError>;

    /// Takes or renews the lease called `name` for whole seconds; false while another has it.
    async fn take_lease(&self, name: &str, holder: &str, seconds: u32) -> Result<bool, StoreError>;

    /// Gives the lease back, if `holder` has it.
    async fn give_lease(&self, name: &str, holder: &str) -> Result<(), StoreError>;
}

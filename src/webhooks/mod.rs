//! Webhooks: tells receivers of orders' events over HTTP.
//!
//! A webhook is kept by the store and served by one process at a time. It belongs to the installation: every key that may
//! trade may change every webhook. Owns what may be asked of webhooks; never changes an order, and no order waits for a
//! receiver.
//!
//! ```text
//! target     where may be sent to                     signature  what proves where a delivery comes from
//! sender     one POST, bounded in every way           schedule   when the next try is, when it was the last
//! attempt    one try, and what an answer means        health     who fails, and when those are probed
//! deliverer  from the history to the receivers, in order, at least once
//! ```

mod attempt;
mod deliverer;
mod health;
mod schedule;
mod sender;
mod signature;
mod target;

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::sync::Notify;

pub use self::{
    deliverer::{Deliverer, Render},
    schedule::Schedule,
    target::TargetRefused,
};
use self::{
    sender::{Outgoing, Sender},
    target::Reach,
};
use crate::{
    domain::ErrorCode,
    events::SharedBus,
    store::{
        SharedStore, StoreError,
        webhooks::{
            Answer, Backlog, DeliveryId, DeliveryRecord, DeliveryState, Turn, Webhook, WebhookChange, WebhookFilter,
            WebhookId,
        },
    },
};

/// The longest that a try which somebody waits for may take.
const TEST_PATIENCE: Duration = Duration::from_secs(5);

/// How webhooks are served.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether receivers may be in private networks or on this machine, and speak plain HTTP.
    pub allow_private: bool,
    /// Webhooks there may be.
    pub most: u32,
    /// How long a receiver may take to answer.
    pub timeout: Duration,
    /// Deliveries of one webhook that are under way at the same time.
    pub in_flight: usize,
    /// When a delivery is tried again.
    pub schedule: Schedule,
    /// How long nothing may get through before a webhook is disabled.
    pub disable_after: Duration,
    /// Deliveries of one webhook that are kept in its log.
    pub keep: u32,
}

/// A webhook that is asked for.
#[derive(Clone, Debug, Default)]
pub struct NewWebhook {
    /// Where deliveries go.
    pub url: String,
    /// What it is called.
    pub description: String,
    /// Which events are wanted.
    pub filter: WebhookFilter,
    /// The cursor after which events are wanted; from now on when left out.
    pub since: Option<u64>,
}

/// Why something is not done with a webhook.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// No such webhook.
    #[error("there is no webhook with this id")]
    NotFound,
    /// No such delivery, or not any more.
    #[error("this webhook has no delivery with this id; finished ones are kept for a while only")]
    NoDelivery,
    /// The URL is none that may be sent to.
    #[error("`url` {0}")]
    Target(#[from] TargetRefused),
    /// The position lies ahead of the newest event.
    #[error("`since` is ahead of the newest event, whose cursor is {0}")]
    Ahead(u64),
    /// As many webhooks as are allowed.
    #[error("there are {0} webhooks, which is the limit: delete one, or raise `webhooks.max`")]
    TooMany(u32),
    /// Nothing is sent to a disabled webhook.
    #[error("the webhook is disabled: enable it first")]
    Disabled,
    /// The store did not answer.
    #[error("the webhooks cannot be read or changed now: try again later")]
    Store(#[from] StoreError),
}

impl WebhookError {
    /// The client's code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound | Self::NoDelivery => ErrorCode::NotFound,
            Self::Target(_) | Self::Ahead(_) => ErrorCode::InvalidRequest,
            Self::TooMany(_) | Self::Disabled => ErrorCode::Conflict,
            Self::Store(error) => error.code(),
        }
    }
}

/// What came of a try that somebody waited for.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// The receiver's answer, or why there was none.
    pub answer: Answer,
    /// How long that took.
    pub took: Duration,
}

/// The webhooks, for those who make and change them.
pub struct Webhooks {
    store: SharedStore,
    sender: Arc<Sender>,
    settings: Settings,
    /// Tells this process's deliverer that there is something to do.
    nudge: Arc<Notify>,
}

impl Webhooks {
    /// Webhooks in `store`. Sends nothing by itself: see [`Webhooks::deliverer`].
    ///
    /// # Errors
    /// When no HTTP client can be made, a defect of the system.
    pub fn new(store: SharedStore, settings: Settings) -> Result<Self, reqwest::Error> {
        let reach = if settings.allow_private { Reach::Anywhere } else { Reach::Public };
        let sender = Arc::new(Sender::new(reach, settings.timeout)?);
        Ok(Self { store, sender, settings, nudge: Arc::new(Notify::new()) })
    }

    /// Who makes the deliveries. Somebody has to run it; in as many processes as there are, one works at a time.
    pub fn deliverer(&self, bus: SharedBus, render: Render) -> Deliverer {
        let (store, sender) = (self.store.clone(), self.sender.clone());
        Deliverer::new(store, bus, sender, render, self.settings.clone(), self.nudge.clone())
    }

    /// Makes a webhook. What is returned is the only place that shows its secret.
    ///
    /// # Errors
    /// `Target`, `Ahead`, `TooMany` or `Store`.
    pub async fn create(&self, new: NewWebhook) -> Result<Webhook, WebhookError> {
        self.sender.reach().admits(&new.url)?;
        let newest = self.store.cursor().await?;
        let cursor = new.since.unwrap_or(newest);
        if cursor > newest {
            return Err(WebhookError::Ahead(newest));
        }
        let now = OffsetDateTime::now_utc();
        let webhook = Webhook {
            id: WebhookId::new(),
            url: new.url,
            description: new.description,
            secret: signature::fresh_secret(),
            filter: new.filter,
            cursor,
            failing_since: None,
            disabled: None,
            created_at: now,
            updated_at: now,
        };
        if !self.store.create_webhook(&webhook, self.settings.most).await? {
            return Err(WebhookError::TooMany(self.settings.most));
        }
        self.nudge.notify_one();
        Ok(webhook)
    }

    /// All of them, oldest first.
    ///
    /// # Errors
    /// `Store`.
    pub async fn list(&self) -> Result<Vec<Webhook>, WebhookError> {
        Ok(self.store.webhooks().await?)
    }

    /// One of them.
    ///
    /// # Errors
    /// `NotFound` or `Store`.
    pub async fn find(&self, id: WebhookId) -> Result<Webhook, WebhookError> {
        self.store.webhook(id).await?.ok_or(WebhookError::NotFound)
    }

    /// What waits for each of them; those for which nothing does are left out.
    ///
    /// # Errors
    /// `Store`.
    pub async fn backlogs(&self) -> Result<HashMap<WebhookId, Backlog>, WebhookError> {
        Ok(self.store.backlogs(None).await?)
    }

    /// What waits for one of them.
    ///
    /// # Errors
    /// `Store`.
    pub async fn backlog(&self, id: WebhookId) -> Result<Backlog, WebhookError> {
        Ok(self.store.backlogs(Some(id)).await?.remove(&id).unwrap_or_default())
    }

    /// Changes one, and shows it as it is then.
    ///
    /// # Errors
    /// `NotFound`, `Target` or `Store`.
    pub async fn change(&self, id: WebhookId, mut change: WebhookChange) -> Result<Webhook, WebhookError> {
        if let Some(url) = &change.url {
            self.sender.reach().admits(url)?;
        }
        if matches!(change.turn, Some(Turn::On(_))) && self.find(id).await?.disabled.is_none() {
            change.turn = None; // it goes on already: nothing is skipped or tried anew
        }
        if !self.store.change_webhook(id, &change, OffsetDateTime::now_utc()).await? {
            return Err(WebhookError::NotFound);
        }
        self.nudge.notify_one();
        self.find(id).await
    }

    /// Removes one, with what waits for it and its log.
    ///
    /// # Errors
    /// `NotFound` or `Store`.
    pub async fn delete(&self, id: WebhookId) -> Result<(), WebhookError> {
        if self.store.delete_webhook(id).await? { Ok(()) } else { Err(WebhookError::NotFound) }
    }

    /// A page of its log, newest first.
    ///
    /// # Errors
    /// `NotFound` or `Store`.
    pub async fn deliveries(
        &self,
        id: WebhookId,
        state: Option<DeliveryState>,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<DeliveryRecord>, WebhookError> {
        self.find(id).await?;
        Ok(self.store.deliveries(id, state, before, limit).await?)
    }

    /// Makes a delivery once more, or the next try of one that waits at once.
    ///
    /// # Errors
    /// `NotFound`, `NoDelivery`, `Disabled` or `Store`.
    pub async fn redeliver(&self, id: WebhookId, delivery: DeliveryId) -> Result<(), WebhookError> {
        if self.find(id).await?.disabled.is_some() {
            return Err(WebhookError::Disabled);
        }
        if !self.store.redeliver(id, delivery, OffsetDateTime::now_utc()).await? {
            return Err(WebhookError::NoDelivery);
        }
        self.nudge.notify_one();
        Ok(())
    }

    /// Sends a `test` event now, once, and waits for the answer. It is not in the log and disables nothing.
    ///
    /// # Errors
    /// `NotFound` or `Store`. What the receiver says is no error.
    pub async fn test(&self, id: WebhookId) -> Result<Rehearsed, WebhookError> {
        let webhook = self.find(id).await?;
        let at = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        let body = json!({ "event": "test", "webhookId": id, "at": at }).to_string();
        let outgoing = Outgoing { webhook: &webhook, delivery: DeliveryId::new(), tries: 0, body };
        let sent = tokio::time::timeout(TEST_PATIENCE, self.sender.send(outgoing)).await;
        let late = || (Answer::Error("no answer in time".into()), TEST_PATIENCE);
        let (answer, took) = sent.unwrap_or_else(|_| late());
        Ok(Rehearsed { answer, took })
    }
}

//! Attempt: one try of a delivery, and what it leads to.
//!
//! Owns the meaning of a receiver's answer. Never stores anything.

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;

use super::{
    Render, Settings,
    sender::{Outgoing, Sender},
};
use crate::store::webhooks::{Answer, DeliveryId, Disabling, Due, Next, Tried, Webhook, WebhookId};

/// A delivery that is being tried.
#[derive(Clone, Copy)]
pub struct UnderWay {
    /// Whose.
    pub webhook: WebhookId,
    /// Which.
    pub delivery: DeliveryId,
    /// Tries that failed before this one.
    tries: u32,
}

impl UnderWay {
    /// The next try of what is due to a webhook.
    pub const fn new(webhook: WebhookId, due: &Due) -> Self {
        Self { webhook, delivery: due.id, tries: due.tries }
    }

    /// What a try has led to that ended by a defect of the daemon's own.
    pub fn broke_off(self, settings: &Settings) -> Tried {
        let answer = Answer::Error("an error of the daemon's own".into());
        self.led_to(settings, OffsetDateTime::now_utc(), answer, Duration::ZERO, false)
    }

    fn led_to(self, settings: &Settings, at: OffsetDateTime, answer: Answer, took: Duration, judges: bool) -> Tried {
        Tried {
            webhook: self.webhook,
            delivery: self.delivery,
            at,
            next: next(settings, &answer, self.tries.saturating_add(1)),
            judges,
            revives: false,
            disabling: disabling(settings, &answer, at).filter(|_| judges),
            answer,
            took: time::Duration::try_from(took).unwrap_or(time::Duration::MAX),
        }
    }
}

/// Makes one try, and decides what it leads to. An event that cannot be read is tried again, too: it may be one of a newer
/// version, which is about to take over.
pub async fn attempt(
    sender: Arc<Sender>,
    render: Render,
    settings: Settings,
    webhook: Arc<Webhook>,
    due: Due,
) -> Tried {
    let (at, under_way) = (OffsetDateTime::now_utc(), UnderWay::new(webhook.id, &due));
    match &due.event {
        Ok(event) => {
            let outgoing = Outgoing { webhook: &webhook, delivery: due.id, tries: due.tries, body: render(event) };
            let (answer, took) = sender.send(outgoing).await;
            under_way.led_to(&settings, at, answer, took, true)
        }
        Err(error) => {
            let answer = Answer::Error(format!("the stored event cannot be told: {error}"));
            under_way.led_to(&settings, at, answer, Duration::ZERO, false)
        }
    }
}

fn next(settings: &Settings, answer: &Answer, tries: u32) -> Next {
    match answer {
        Answer::Status(200..=299) => Next::Delivered,
        _ if tries >= settings.schedule.max_tries => Next::GiveUp,
        _ => Next::Retry(OffsetDateTime::now_utc() + settings.schedule.wait(tries, dice())),
    }
}

/// What an answer may disable the webhook for.
fn disabling(settings: &Settings, answer: &Answer, at: OffsetDateTime) -> Option<Disabling> {
    let last = match answer {
        Answer::Status(200..=299) => return None,
        Answer::Status(410) => {
            let reason = "the receiver answered 410: it is gone for good".to_owned();
            return Some(Disabling { reason, if_failing_since: None });
        }
        Answer::Status(status) => format!("HTTP status {status}"),
        Answer::Error(error) => error.clone(),
    };
    let long = humantime::format_duration(settings.disable_after);
    let reason = format!("nothing has got through for {long}; the last try: {last}");
    Some(Disabling { reason, if_failing_since: Some(at - settings.disable_after) })
}

/// Of a million.
pub fn dice() -> u32 {
    rand::random_range(0..=1_000_000)
}

//! Attempt: one try of a delivery, and what it leads to.
//!
//! Owns the meaning of a receiver's answer. Never stores anything.

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;

use super::{
    Render, Settings,
    sender::{Outgoing, Sender},
};
use crate::store::webhooks::{Answer, Disabling, Due, Next, Tried, Webhook};

/// Makes one try, and decides what it leads to.
pub async fn attempt(
    sender: Arc<Sender>,
    render: Render,
    settings: Settings,
    webhook: Arc<Webhook>,
    due: Due,
) -> Tried {
    let at = OffsetDateTime::now_utc();
    let (answer, took, next, disabling) = match &due.event {
        Ok(event) => {
            let outgoing = Outgoing { webhook: &webhook, delivery: due.id, tries: due.tries, body: render(event) };
            let (answer, took) = sender.send(outgoing).await;
            let next = next(&settings, &answer, due.tries.saturating_add(1));
            let disabling = disabling(&settings, &answer, at);
            (answer, took, next, disabling)
        }
        Err(error) => {
            let answer = Answer::Error(format!("the stored event cannot be told: {error}"));
            (answer, Duration::ZERO, Next::Untellable, None)
        }
    };
    Tried {
        webhook: webhook.id,
        delivery: due.id,
        at,
        answer,
        took: time::Duration::try_from(took).unwrap_or(time::Duration::MAX),
        next,
        revives: false,
        disabling,
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

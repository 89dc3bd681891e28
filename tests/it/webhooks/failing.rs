//! Receivers that make trouble, and addresses that are none of a receiver's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use swapd::{
    store::webhooks::{Answer, DeliveryState, Resume, Turn, Webhook, WebhookChange},
    webhooks::{NewWebhook, Render, Schedule, Settings, TargetRefused, WebhookError},
};
use tempfile::TempDir;

use super::{Ground, Process, wanting};
use crate::support::{
    eventually,
    receiver::{Heard, Receiver, Reply, in_order_and_once, webhook_settings},
    sql,
};

/// Waits until it is disabled; why.
async fn disabled(process: &Process, webhook: &Webhook) -> String {
    eventually("the webhook to be disabled", || async {
        process.webhooks.find(webhook.id).await.unwrap().disabled.ok_or(())
    })
    .await
    .reason
}

async fn enable(process: &Process, webhook: &Webhook, resume: Resume) {
    let change = WebhookChange { turn: Some(Turn::On(resume)), ..WebhookChange::default() };
    let changed = process.webhooks.change(webhook.id, change).await.unwrap();
    assert_eq!((changed.disabled, changed.failing_since), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_for_too_long_is_disabled_and_misses_nothing_once_it_is_back() {
    let settings = Settings { disable_after: Duration::from_millis(400), ..webhook_settings() };
    let is_back = Arc::new(AtomicBool::new(false));
    let back = is_back.clone();
    let receiver =
        Receiver::answering(move |_, _| Reply::Status(if back.load(Ordering::Relaxed) { 200 } else { 503 })).await;
    let (ground, process, webhook) = Ground::serving(settings, &receiver).await;
    ground.orders(10).await;
    let reason = disabled(&process, &webhook).await;
    assert!(reason.contains("for 400ms") && reason.contains("HTTP status 503"), "{reason}");
    let heard = receiver.heard().len();
    ground.orders(1).await;
    let refused = process.webhooks.redeliver(webhook.id, process.log(&webhook).await[0].id).await;
    assert!(matches!(refused, Err(WebhookError::Disabled)), "{refused:?}");
    let waits = process.webhooks.backlog(webhook.id).await.unwrap();
    assert_eq!(waits.deliveries, 30, "all of it waits, and what came later does not even that");
    assert!(receiver.heard().len() <= heard + 4, "nothing new is tried");

    is_back.store(true, Ordering::Relaxed);
    enable(&process, &webhook, Resume::Cursor).await;
    in_order_and_once(&receiver.has_taken(33).await);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_disabled_at_once_and_may_go_on_from_now() {
    let ground = Ground::new().await;
    let process = ground.process(webhook_settings());
    let receiver = Receiver::answering(|_, before| Reply::Status(if before == 0 { 410 } else { 200 })).await;
    let webhook = process.webhooks.create(NewWebhook { since: None, ..wanting(&receiver) }).await.unwrap();
    let mut order = crate::store_contract::sample::order();
    ground.journal.create(&order, None).await.unwrap();
    assert!(disabled(&process, &webhook).await.contains("410"));
    ground.journal.append(&mut order, swapd::domain::OrderEvent::Claimed, None).await.unwrap();
    enable(&process, &webhook, Resume::Now).await;
    ground.journal.append(&mut order, swapd::domain::OrderEvent::Cancelled, None).await.unwrap();
    let taken = receiver.has_taken(1).await;
    assert_eq!((taken[0].seq(), receiver.heard().len()), (3, 2), "what happened meanwhile is skipped");
    assert_eq!(process.log(&webhook).await.last().unwrap().state, DeliveryState::Skipped);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_that_a_receiver_refuses_is_given_up_and_holds_up_only_its_order() {
    let schedule = Schedule { max_tries: 4, ..webhook_settings().schedule };
    let receiver = Receiver::answering(|heard, _| Reply::Status(if heard.cursor() == 2 { 400 } else { 200 })).await;
    let (ground, process, webhook) = Ground::serving(Settings { schedule, ..webhook_settings() }, &receiver).await;
    let orders = ground.orders(5).await;
    let taken = receiver.has_taken(14).await;
    let refused = receiver.heard().iter().filter(|heard| heard.cursor() == 2).count();
    assert_eq!(refused, 4);
    let order = orders[0].id.to_string();
    let of_order: Vec<_> = taken.iter().filter(|heard| heard.order() == order).map(|heard| heard.seq()).collect();
    assert_eq!(of_order, [1, 3]);
    let log = process.log(&webhook).await;
    let given_up: Vec<_> = log.iter().filter(|it| it.state == DeliveryState::Failed).collect();
    assert_eq!((given_up.len(), given_up[0].event.cursor, given_up[0].attempts.len()), (1, 2, 4));
    assert_eq!(process.webhooks.find(webhook.id).await.unwrap().disabled, None);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_was_away_is_probed_and_then_gets_all_that_waits_at_once() {
    // Nobody could wait for a second try of any delivery.
    let hour = Duration::from_secs(3_600);
    let schedule = Schedule { backoff: hour, longest: hour, max_tries: 10 };
    let receiver = Receiver::answering(|_, before| Reply::Status(if before < 12 { 503 } else { 200 })).await;
    let (ground, process, _) = Ground::serving(Settings { schedule, ..webhook_settings() }, &receiver).await;
    ground.orders(20).await;
    in_order_and_once(&receiver.has_taken(60).await);
    assert_eq!(receiver.heard().len(), 72);
    process.stop().await;
}

/// A ground whose database tests may spoil, and its URL.
async fn spoilable() -> (Ground, String, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("orders.db").display());
    (Ground::on(&url).await, url, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_cannot_be_read_are_given_up_and_no_failure_of_the_receiver() {
    let (ground, url, _folder) = spoilable().await;
    ground.orders(5).await;
    sql::execute(&url, "update order_status_history set payload = '{\"event\":\"from the future\"}'").await;
    let schedule = Schedule { max_tries: 2, ..webhook_settings().schedule };
    let process = ground.process(Settings { schedule, ..webhook_settings() });
    let receiver = Receiver::start().await;
    let webhook = process.webhook(&receiver).await;
    let log = eventually("all of them to be given up", || async {
        let log = process.log(&webhook).await;
        if log.len() == 15 && log.iter().all(|it| it.state == DeliveryState::Failed) { Ok(log) } else { Err(()) }
    })
    .await;
    for delivery in &log {
        assert_eq!(delivery.attempts.len(), 2, "{delivery:?}");
        let told = |answer: &Answer| matches!(answer, Answer::Error(reason) if reason.contains("cannot be told"));
        assert!(delivery.attempts.iter().all(|attempt| told(&attempt.answer)), "{delivery:?}");
    }
    assert_eq!(process.webhooks.find(webhook.id).await.unwrap().failing_since, None);
    assert_eq!(receiver.heard().len(), 0);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_newer_version_waits_for_the_process_that_can_read_it() {
    let (ground, url, _folder) = spoilable().await;
    ground.orders(1).await;
    let rename = async |from: &str, to: &str| {
        let renamed = format!("replace(payload, '\"{from}\"', '\"{to}\"')");
        sql::execute(&url, &format!("update order_status_history set payload = {renamed} where cursor = 2")).await;
    };
    rename("claimed", "claimed_by_many").await;
    let older = ground.process(webhook_settings());
    let receiver = Receiver::start().await;
    let webhook = older.webhook(&receiver).await;
    eventually("it to be tried", || async {
        let log = older.log(&webhook).await;
        if log.iter().any(|it| it.event.cursor == 2 && !it.attempts.is_empty()) { Ok(()) } else { Err(()) }
    })
    .await;
    older.stop().await;
    assert_eq!(receiver.taken().len(), 1, "nor is anything told that comes after it");
    rename("claimed_by_many", "claimed").await; // as the newer one reads it
    let newer = ground.process(webhook_settings());
    in_order_and_once(&receiver.has_taken(3).await);
    newer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defect_of_the_daemons_own_costs_one_event_and_is_no_failure_of_the_receiver() {
    let ground = Ground::new().await;
    let schedule = Schedule { max_tries: 3, ..webhook_settings().schedule };
    let render: Render = Arc::new(|event| {
        assert_ne!(event.cursor, 2, "the defect");
        serde_json::to_string(event).unwrap()
    });
    // A failure of the receiver would disable it at once.
    let process = ground.rendering(Settings { schedule, disable_after: Duration::ZERO, ..webhook_settings() }, render);
    let receiver = Receiver::start().await;
    let webhook = process.webhook(&receiver).await;
    ground.orders(1).await;
    let taken = receiver.has_taken(2).await;
    assert_eq!(taken.iter().map(Heard::cursor).collect::<Vec<_>>(), [1, 3]);
    let log = process.log(&webhook).await;
    let spoilt = log.iter().find(|it| it.event.cursor == 2).unwrap();
    assert_eq!((spoilt.state, spoilt.attempts.len()), (DeliveryState::Failed, 3));
    assert_eq!(process.webhooks.find(webhook.id).await.unwrap().disabled, None);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let receiver = Receiver::answering(|_, before| match before {
        0 => Reply::Redirect,
        _ => Reply::Status(200),
    })
    .await;
    let (ground, process, webhook) = Ground::serving(webhook_settings(), &receiver).await;
    ground.orders(1).await;
    receiver.has_taken(3).await;
    assert!(receiver.heard().iter().all(|heard| heard.path == "/hooks"));
    let log = process.log(&webhook).await;
    assert_eq!(log.last().unwrap().attempts[0].answer, Answer::Status(307));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_refused_when_a_webhook_is_made_and_again_when_it_is_served() {
    let ground = Ground::new().await;
    let process = ground.process(Settings { allow_private: false, ..webhook_settings() });
    let receiver = Receiver::start().await;
    for (url, why) in [
        (receiver.url.clone(), TargetRefused::NotTls),
        (receiver.url.replace("http", "https"), TargetRefused::Private),
        (receiver.url.replace("http", "https").replace("127.0.0.1", "localhost"), TargetRefused::Private),
    ] {
        let refused = process.webhooks.create(NewWebhook { url: url.clone(), ..wanting(&receiver) }).await;
        assert!(matches!(&refused, Err(WebhookError::Target(reason)) if *reason == why), "{url}: {refused:?}");
    }
    // One that was made while it was allowed.
    let allowing = ground.process(webhook_settings());
    allowing.shutdown.cancel();
    let webhook = allowing.webhook(&receiver).await;
    allowing.stop().await;
    ground.orders(1).await;
    let tried = eventually("a try", || async {
        let log = process.log(&webhook).await;
        log.last().and_then(|it| it.attempts.first().cloned()).ok_or(())
    })
    .await;
    assert_eq!(tried.answer, Answer::Error(format!("the URL {}", TargetRefused::NotTls)));
    let tested = process.webhooks.test(webhook.id).await.unwrap();
    assert!(matches!(tested.answer, Answer::Error(_)), "{tested:?}");
    assert_eq!(receiver.heard().len(), 0);
    process.stop().await;
}

//! What reaches a receiver: everything it wants, signed, in order, whatever it answers and whoever dies meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use swapd::{
    domain::Status,
    store::webhooks::{Answer, DeliveryState, WebhookFilter},
    webhooks::{NewWebhook, Settings},
};
use time::OffsetDateTime;

use super::{Ground, wanting};
use crate::{
    store_contract::sample,
    support::{
        eventually,
        receiver::{Receiver, Reply, in_order_and_once, webhook_settings},
        servers,
    },
};

/// A story told on both stores.
macro_rules! on_both_stores {
    ($($scenario:ident),+) => {
        mod sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(super::Ground::new().await).await;
            }
        )+}
        mod postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(super::Ground::on(&super::servers::fresh_database().await).await).await;
            }
        )+}
    };
}

on_both_stores![
    every_event_is_delivered_signed_and_in_order_over_errors_and_time_outs,
    a_restart_loses_nothing_and_repeats_only_what_was_not_acknowledged,
    two_processes_deliver_each_event_once_and_one_takes_over
];

async fn every_event_is_delivered_signed_and_in_order_over_errors_and_time_outs(ground: Ground) {
    let process = ground.process(Settings { timeout: Duration::from_millis(300), ..webhook_settings() });
    let receiver = Receiver::answering(|_, before| match before % 7 {
        2 | 3 => Reply::Status(500),
        5 => Reply::Hang,
        _ => Reply::Status(200),
    })
    .await;
    let webhook = process.webhook(&receiver).await;
    ground.orders(10).await;
    let taken = receiver.has_taken(30).await;
    in_order_and_once(&taken);
    assert_eq!(taken.len(), 30);
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let mut names: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for heard in receiver.heard() {
        let at = heard.signed_with(webhook.secret.expose());
        assert!((now - 300..=now).contains(&at), "{at}");
        assert_eq!(heard.header("swapd-webhook-id"), webhook.id.to_string());
        assert_eq!(heard.header("content-type"), "application/json");
        names.entry(heard.cursor()).or_default().insert(heard.header("swapd-delivery-id").to_owned());
    }
    assert!(names.values().all(|ids| ids.len() == 1), "a repeated try has the delivery's id: {names:?}");
    let log = eventually("the last try to be stored", || async {
        let log = process.log(&webhook).await;
        if log.iter().all(|it| it.state == DeliveryState::Delivered) { Ok(log) } else { Err(()) }
    })
    .await;
    let answers: Vec<_> = log.iter().flat_map(|it| &it.attempts).map(|attempt| &attempt.answer).collect();
    assert_eq!(answers.len(), receiver.heard().len());
    assert!(answers.contains(&&Answer::Status(500)));
    assert!(answers.contains(&&Answer::Error("no answer in time".into())));
    process.stop().await;
}

async fn a_restart_loses_nothing_and_repeats_only_what_was_not_acknowledged(ground: Ground) {
    let process = ground.process(webhook_settings());
    let opens = Arc::new(AtomicBool::new(false));
    let is_open = opens.clone();
    let receiver = Receiver::answering(move |_, before| {
        if before < 10 || is_open.load(Ordering::Relaxed) { Reply::Status(200) } else { Reply::Hang }
    })
    .await;
    let webhook = process.webhook(&receiver).await;
    ground.orders(10).await;
    // Ten are acknowledged and stored, four hang, the rest waits.
    receiver.has_heard(14).await;
    eventually("what got through to be stored", || async {
        let log = process.webhooks.deliveries(webhook.id, Some(DeliveryState::Delivered), None, 50).await.unwrap();
        if log.len() == 10 { Ok(()) } else { Err(()) }
    })
    .await;
    process.die().await;
    ground.orders(2).await;
    opens.store(true, Ordering::Relaxed);
    let process = ground.process(webhook_settings());
    let taken = receiver.has_taken(36).await;
    in_order_and_once(&taken);
    assert_eq!((taken.len(), receiver.heard().len()), (36, 40), "only the four that hung are heard twice");
    process.stop().await;
}

async fn two_processes_deliver_each_event_once_and_one_takes_over(ground: Ground) {
    let [first, second] = [ground.process(webhook_settings()), ground.process(webhook_settings())];
    let receiver = Receiver::start().await;
    first.webhook(&receiver).await;
    ground.orders(20).await;
    in_order_and_once(&receiver.has_taken(60).await);
    // Whichever of them delivers: after each stop the other one goes on.
    first.stop().await;
    let third = ground.process(webhook_settings());
    ground.orders(5).await;
    in_order_and_once(&receiver.has_taken(75).await);
    second.stop().await;
    ground.orders(5).await;
    in_order_and_once(&receiver.has_taken(90).await);
    assert_eq!(receiver.heard().len(), 90);
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_receiver_delays_no_other() {
    let ground = Ground::new().await;
    let process = ground.process(Settings { timeout: Duration::from_secs(600), ..webhook_settings() });
    let slow = Receiver::answering(|_, _| Reply::Hang).await;
    let quick = Receiver::start().await;
    process.webhook(&slow).await;
    process.webhook(&quick).await;
    ground.orders(20).await;
    in_order_and_once(&quick.has_taken(60).await);
    assert_eq!(slow.has_heard(4).await.len(), 4, "no more than may be under way");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_bus_does_not_tell_is_delivered_all_the_same() {
    let receiver = Receiver::start().await;
    let (ground, process, _) = Ground::serving(webhook_settings(), &receiver).await;
    for _ in 0..3 {
        sample::stored(&ground.store).await; // past the journal, which would publish it
    }
    in_order_and_once(&receiver.has_taken(3).await);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_a_webhook_wants_is_delivered() {
    let ground = Ground::new().await;
    let process = ground.process(webhook_settings());
    let receiver = Receiver::start().await;
    let old = ground.orders(1).await;
    let wanting = |filter: WebhookFilter, since| NewWebhook { filter, since, ..wanting(&receiver) };
    let ends = WebhookFilter { statuses: vec![Status::Cancelled], ..WebhookFilter::default() };
    let claims = WebhookFilter { events: vec!["claimed".into()], order_ids: vec![old[0].id], ..Default::default() };
    let from_now_on = process.webhooks.create(wanting(ends, None)).await.unwrap();
    let from_the_start = process.webhooks.create(wanting(claims, Some(0))).await.unwrap();
    let new = ground.orders(2).await;
    receiver.has_taken(3).await;
    // A last event that both want would come after everything they do not want.
    let mut heard: Vec<_> = receiver
        .taken()
        .iter()
        .map(|it| (it.header("swapd-webhook-id").to_owned(), it.order().to_owned(), it.body["event"].clone()))
        .collect();
    heard.sort_by_key(|(webhook, order, _)| (webhook.clone(), order.clone()));
    let mut expected = vec![
        (from_now_on.id.to_string(), new[0].id.to_string(), "cancelled".into()),
        (from_now_on.id.to_string(), new[1].id.to_string(), "cancelled".into()),
        (from_the_start.id.to_string(), old[0].id.to_string(), "claimed".into()),
    ];
    expected.sort_by_key(|(webhook, order, _): &(String, String, serde_json::Value)| (webhook.clone(), order.clone()));
    assert_eq!(heard, expected);
    eventually("both to have passed everything", || async {
        let passed = process.webhooks.list().await.unwrap();
        let waits = process.webhooks.backlogs().await.unwrap();
        if passed.iter().all(|it| it.cursor == 9) && waits.is_empty() { Ok(()) } else { Err(()) }
    })
    .await;
    assert_eq!(receiver.heard().len(), 3);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_can_be_made_again_under_its_id() {
    let receiver = Receiver::start().await;
    let (ground, process, webhook) = Ground::serving(webhook_settings(), &receiver).await;
    ground.orders(1).await;
    receiver.has_taken(3).await;
    let log = eventually("the log", || async {
        let log = process.log(&webhook).await;
        if log.iter().all(|it| it.state == DeliveryState::Delivered) { Ok(log) } else { Err(()) }
    })
    .await;
    let first = log.last().unwrap();
    process.webhooks.redeliver(webhook.id, first.id).await.unwrap();
    let taken = receiver.has_taken(4).await;
    assert_eq!(taken[3].header("swapd-delivery-id"), first.id.to_string());
    assert_eq!((taken[3].cursor(), &taken[3].text), (first.event.cursor, &taken[0].text));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_webhook_is_bounded() {
    let receiver = Receiver::start().await;
    let (ground, process, webhook) = Ground::serving(Settings { keep: 5, ..webhook_settings() }, &receiver).await;
    let orders = ground.orders(10).await;
    receiver.has_taken(30).await;
    let log = eventually("old deliveries to be forgotten", || async {
        let log = process.log(&webhook).await;
        if log.len() <= 5 { Ok(log) } else { Err(()) }
    })
    .await;
    assert_eq!(log[0].event.order_id, orders[9].id, "the newest are kept");
    process.stop().await;
    // Another process may keep fewer, and nothing new happens.
    let process = ground.process(Settings { keep: 2, ..webhook_settings() });
    eventually("still more to be forgotten", || async {
        if process.log(&webhook).await.len() <= 2 { Ok(()) } else { Err(()) }
    })
    .await;
    process.stop().await;
}

//! Webhooks: cursors that lose nothing, deliveries in the order of their orders, a bounded log, one holder of a lease.

use std::collections::BTreeSet;

use swapd::{
    domain::{Order, OrderEvent, Status},
    store::{
        SharedStore, StoreError,
        webhooks::{
            ATTEMPTS_KEPT, Answer, Backlog, DeliveryId, DeliveryState, Disabling, Due, EventHead, FanOut, Next, Resume,
            SigningSecret, Tried, Turn, Webhook, WebhookChange, WebhookFilter, WebhookId,
        },
    },
};
use time::{Duration, OffsetDateTime};

use super::{
    open,
    sample::{START, step, stored},
};

/// A stored webhook at the beginning of the history.
async fn webhook(store: &SharedStore) -> Webhook {
    let webhook = Webhook {
        id: WebhookId::new(),
        url: "https://hooks.example/in?k=v".into(),
        description: "a \"desk\"".into(),
        secret: SigningSecret::new("whsec_x".into()),
        filter: WebhookFilter::default(),
        cursor: 0,
        failing_since: None,
        disabled: None,
        created_at: START,
        updated_at: START,
    };
    assert!(store.create_webhook(&webhook, 100).await.unwrap());
    webhook
}

/// Two orders with two events each, told in turns: cursors 1 to 4.
async fn history(store: &SharedStore) -> [Order; 2] {
    let [mut first, mut second] = [stored(store).await, stored(store).await];
    step(store, &mut first, OrderEvent::Claimed).await.unwrap();
    step(store, &mut second, OrderEvent::Claimed).await.unwrap();
    [first, second]
}

/// Moves a webhook past everything there is.
async fn fan_out(store: &SharedStore, id: WebhookId, from: u64) {
    let wanted = store.event_heads(from, 100).await.unwrap();
    let to = wanted.last().map_or(from, |event| event.cursor);
    store.fan_out(&FanOut { webhook: id, from, to, wanted }, START).await.unwrap();
}

/// A store with a webhook for which that history waits.
async fn waiting(url: &str) -> (SharedStore, WebhookId) {
    let store = open(url).await;
    let id = webhook(&store).await.id;
    history(&store).await;
    fan_out(&store, id, 0).await;
    (store, id)
}

async fn due(store: &SharedStore, id: WebhookId, now: OffsetDateTime) -> Vec<Due> {
    store.due(id, now, now + Duration::HOUR, false, 100).await.unwrap()
}

fn cursors(due: &[Due]) -> Vec<u64> {
    due.iter().map(|due| due.event.as_ref().unwrap().cursor).collect()
}

fn tried(webhook: WebhookId, delivery: DeliveryId, next: Next) -> Tried {
    let answer = if next == Next::Delivered { Answer::Status(204) } else { Answer::Error("nobody\0 there".into()) };
    let took = Duration::milliseconds(12);
    Tried { webhook, delivery, at: START, answer, took, next, judges: true, revives: false, disabling: None }
}

/// A try that disables its webhook if nothing has got through for an hour.
fn failing(webhook: WebhookId, delivery: DeliveryId, at: OffsetDateTime) -> Tried {
    let disabling = Disabling { reason: "nothing got through".into(), if_failing_since: Some(at - Duration::HOUR) };
    Tried { at, disabling: Some(disabling), ..tried(webhook, delivery, Next::Retry(at + Duration::DAY)) }
}

pub async fn a_webhook_comes_back_as_it_was_and_as_it_was_changed(url: String) {
    let store = open(&url).await;
    let made = webhook(&store).await;
    let [order, _] = history(&store).await;
    assert_eq!(store.webhook(made.id).await.unwrap().as_ref(), Some(&made));
    assert_eq!(store.webhook(WebhookId::new()).await.unwrap(), None);
    assert!(!store.create_webhook(&Webhook { id: WebhookId::new(), ..made.clone() }, 1).await.unwrap(), "one too many");
    let filter =
        WebhookFilter { events: vec!["landed".into()], statuses: vec![Status::Confirmed], order_ids: vec![order.id] };
    let change = WebhookChange { filter: Some(filter.clone()), description: Some("b".into()), ..Default::default() };
    let later = START + Duration::HOUR;
    assert!(store.change_webhook(made.id, &change, later).await.unwrap());
    assert!(!store.change_webhook(WebhookId::new(), &change, later).await.unwrap());
    let changed = Webhook { filter, description: "b".into(), updated_at: later, ..made.clone() };
    assert_eq!(store.webhooks().await.unwrap(), [changed]);
    fan_out(&store, made.id, 0).await;
    assert!(store.delete_webhook(made.id).await.unwrap(), "with its deliveries");
    assert!(!store.delete_webhook(made.id).await.unwrap());
    assert_eq!(store.webhooks().await.unwrap(), []);
    store.close().await;
}

pub async fn each_event_is_delivered_once_whoever_reads_the_history_twice(url: String) {
    let store = open(&url).await;
    let id = webhook(&store).await.id;
    history(&store).await;
    let heads = store.event_heads(0, 100).await.unwrap();
    assert_eq!(
        heads.iter().map(|head| head.event.as_str()).collect::<Vec<_>>(),
        ["created", "created", "claimed", "claimed"]
    );
    for _ in 0..2 {
        fan_out(&store, id, 0).await;
    }
    // Somebody who is behind cannot move it back, nor make a delivery of what was not wanted.
    let late: Vec<EventHead> = heads[..1].to_vec();
    store.fan_out(&FanOut { webhook: id, from: 0, to: 1, wanted: late }, START).await.unwrap();
    let read = store.webhook(id).await.unwrap().unwrap();
    let waits = Backlog { deliveries: 4, oldest: Some(START) };
    assert_eq!((read.cursor, store.backlogs(Some(id)).await.unwrap()), (4, [(id, waits)].into()));
    store.close().await;
}

pub async fn an_orders_events_wait_for_each_other_and_other_orders_do_not(url: String) {
    let (store, id) = waiting(&url).await;
    let first = due(&store, id, START).await;
    assert_eq!(cursors(&first), [1, 2], "the first of each order");
    let again = START + Duration::seconds(5);
    let results = [tried(id, first[0].id, Next::Retry(again)), tried(id, first[1].id, Next::Delivered)];
    store.record(&results).await.unwrap();
    assert_eq!(cursors(&due(&store, id, START).await), [4], "the other order goes on");
    let both = due(&store, id, again).await;
    assert_eq!((cursors(&both), both[0].tries), (vec![1, 4], 1));
    let probe = store.due(id, again, again + Duration::HOUR, true, 1).await.unwrap();
    assert_eq!(cursors(&probe), [4], "a probe is what was tried least");
    let put_back = START - Duration::HOUR;
    let planned_by_another_clock = store.due(id, put_back, put_back + Duration::MINUTE, false, 100).await.unwrap();
    assert_eq!(cursors(&planned_by_another_clock), [1, 4]);
    store.record(&[tried(id, both[0].id, Next::GiveUp)]).await.unwrap();
    assert_eq!(cursors(&due(&store, id, START).await), [3, 4], "what is given up holds nothing up");
    store.close().await;
}

pub async fn a_receiver_that_is_back_gets_what_waits_at_once(url: String) {
    let store = open(&url).await;
    let [id, other] = [webhook(&store).await.id, webhook(&store).await.id];
    history(&store).await;
    for id in [id, other] {
        fan_out(&store, id, 0).await;
        let first = due(&store, id, START).await;
        let later = Next::Retry(START + Duration::MINUTE);
        store.record(&[tried(id, first[0].id, later), tried(id, first[1].id, later)]).await.unwrap();
        assert!(due(&store, id, START).await.is_empty());
    }
    let first = due(&store, id, START + Duration::MINUTE).await;
    let fails = tried(id, first[1].id, Next::Retry(START + Duration::HOUR));
    let through = Tried { revives: true, ..tried(id, first[0].id, Next::Delivered) };
    store.record(&[fails, through]).await.unwrap();
    assert_eq!(cursors(&due(&store, id, START).await), [2, 3], "also what failed just before");
    assert!(due(&store, other, START).await.is_empty(), "nobody else's");
    store.close().await;
}

pub async fn a_delivery_that_is_asked_for_again_waits_for_nobody(url: String) {
    let (store, id) = waiting(&url).await;
    let first = due(&store, id, START).await;
    store.record(&[tried(id, first[0].id, Next::Delivered)]).await.unwrap();
    assert!(store.redeliver(id, first[0].id, START).await.unwrap());
    assert!(!store.redeliver(WebhookId::new(), first[0].id, START).await.unwrap(), "another webhook's");
    assert_eq!(cursors(&due(&store, id, START).await), [1, 2, 3], "nor does anything wait for it");
    store.record(&[tried(id, first[0].id, Next::Delivered)]).await.unwrap();
    let log = store.deliveries(id, Some(DeliveryState::Delivered), None, 10).await.unwrap();
    assert_eq!((log.len(), log[0].attempts.len()), (1, 2));
    assert_eq!(log[0].attempts.iter().map(|attempt| attempt.n).collect::<Vec<_>>(), [1, 2]);
    store.close().await;
}

pub async fn the_log_says_what_came_of_every_try_and_is_bounded(url: String) {
    let (store, id) = waiting(&url).await;
    let delivery = due(&store, id, START).await[0].id;
    for _ in 0..ATTEMPTS_KEPT + 5 {
        store.record(&[tried(id, delivery, Next::Retry(START))]).await.unwrap();
    }
    store.record(&[tried(id, delivery, Next::Delivered), tried(id, DeliveryId::new(), Next::Delivered)]).await.unwrap();
    let log = store.deliveries(id, None, None, 2).await.unwrap();
    let older = store.deliveries(id, None, Some(log[1].id), 10).await.unwrap();
    assert_eq!(log.iter().chain(&older).map(|it| it.event.cursor).collect::<Vec<_>>(), [4, 3, 2, 1], "newest first");
    let last = &older[1];
    assert_eq!((last.id, last.state, last.seq), (delivery, DeliveryState::Delivered, 1));
    assert_eq!(last.attempts.len(), ATTEMPTS_KEPT as usize);
    let [.., before, newest] = last.attempts.as_slice() else { panic!("tries") };
    assert_eq!((&newest.answer, newest.duration_ms, newest.n), (&Answer::Status(204), 12, ATTEMPTS_KEPT + 6));
    assert_eq!(before.answer, Answer::Error("nobody\u{fffd} there".into()));

    let rest: Vec<_> = store.deliveries(id, Some(DeliveryState::Pending), None, 10).await.unwrap();
    let settle: Vec<_> = rest[..2].iter().map(|it| tried(id, it.id, Next::Delivered)).collect();
    store.record(&settle).await.unwrap();
    store.prune_deliveries(id, 2).await.unwrap();
    let kept: BTreeSet<_> =
        store.deliveries(id, None, None, 10).await.unwrap().iter().map(|it| it.event.cursor).collect();
    assert_eq!(kept, [2, 3, 4].into(), "the newest two that are finished, and what waits");
    store.close().await;
}

pub async fn a_webhook_that_fails_for_long_is_disabled_and_goes_on_as_its_owner_says(url: String) {
    let store = open(&url).await;
    let [patient, hasty] = [webhook(&store).await.id, webhook(&store).await.id];
    history(&store).await;
    for id in [patient, hasty] {
        fan_out(&store, id, 0).await;
        let delivery = due(&store, id, START).await[0].id;
        let fails_at = async |at: OffsetDateTime| {
            store.record(&[failing(id, delivery, at)]).await.unwrap();
            store.webhook(id).await.unwrap().unwrap()
        };
        let once = fails_at(START).await;
        assert_eq!((once.failing_since, once.disabled), (Some(START), None));
        assert_eq!(fails_at(START + Duration::MINUTE * 59).await.disabled, None);
        let disabled = fails_at(START + Duration::HOUR).await.disabled.unwrap();
        assert_eq!((disabled.reason.as_str(), disabled.at), ("nothing got through", START + Duration::HOUR));
    }
    stored(&store).await;
    fan_out(&store, patient, 4).await;
    assert_eq!(store.webhook(patient).await.unwrap().unwrap().cursor, 4, "a disabled one does not move");

    let enable = |resume| WebhookChange { turn: Some(Turn::On(resume)), ..Default::default() };
    assert!(store.change_webhook(patient, &enable(Resume::Cursor), START).await.unwrap());
    assert!(store.change_webhook(hasty, &enable(Resume::Now), START).await.unwrap());
    let [patient, hasty] =
        [store.webhook(patient).await.unwrap().unwrap(), store.webhook(hasty).await.unwrap().unwrap()];
    assert_eq!((patient.cursor, patient.disabled, patient.failing_since), (4, None, None));
    let again = due(&store, patient.id, START).await;
    assert_eq!((cursors(&again), again[0].tries), (vec![1, 2], 0), "at once, and with all its tries");
    assert_eq!(hasty.cursor, 5);
    let backlogs = store.backlogs(None).await.unwrap();
    assert_eq!((backlogs.len(), backlogs[&patient.id].deliveries), (1, 4), "nothing waits for the other one");
    assert_eq!(store.deliveries(hasty.id, Some(DeliveryState::Skipped), None, 10).await.unwrap().len(), 4);
    store.close().await;
}

pub async fn many_tries_of_many_webhooks_are_stored_together(url: String) {
    let store = open(&url).await;
    history(&store).await;
    stored(&store).await;
    let at = |minute: i32| START + Duration::MINUTE * minute;
    let (through, again, ends) = (Next::Delivered, Next::Retry(at(90)), Next::GiveUp);
    let (id, delivery) = (WebhookId::new(), DeliveryId::new()); // each try gets its own below
    let then = |minute, next| Tried { at: at(minute), ..tried(id, delivery, next) };
    let untold = |minute, next| Tried { judges: false, ..then(minute, next) };
    let late = |minute| failing(id, delivery, at(minute));
    let gone = Some(Disabling { reason: "gone".into(), if_failing_since: None });
    // Tries, since when their webhook fails after them, and why it is disabled.
    let cases = [
        (vec![then(0, again), then(1, ends), untold(2, ends)], Some(at(0)), None),
        (vec![then(0, again), then(1, through), then(2, ends)], Some(at(2)), None),
        (vec![untold(0, again), then(1, through), untold(2, again)], None, None),
        (vec![then(0, again), late(59)], Some(at(0)), None),
        (vec![then(0, again), late(60)], Some(at(0)), Some("nothing got through")),
        (vec![then(0, again), late(60), then(61, through)], None, None),
        (vec![Tried { disabling: gone, ..then(0, ends) }, then(1, through), late(60)], Some(at(60)), Some("gone")),
    ];
    let mut together = Vec::new();
    let mut expected = Vec::new();
    for (tries, failing_since, reason) in cases {
        let id = webhook(&store).await.id;
        fan_out(&store, id, 0).await;
        let due = due(&store, id, START).await;
        together.extend(tries.into_iter().zip(due).map(|(it, due)| Tried { webhook: id, delivery: due.id, ..it }));
        expected.push((id, failing_since, reason));
    }
    store.record(&together).await.unwrap();
    for (case, (id, failing_since, reason)) in expected.into_iter().enumerate() {
        let read = store.webhook(id).await.unwrap().unwrap();
        let disabled = read.disabled.as_ref().map(|disabled| disabled.reason.as_str());
        assert_eq!((read.failing_since, disabled), (failing_since, reason), "case {case}");
        let log = store.deliveries(id, None, None, 10).await.unwrap();
        for tried in together.iter().filter(|tried| tried.webhook == id) {
            let delivery = log.iter().find(|delivery| delivery.id == tried.delivery).unwrap();
            let (state, next_try_at) = match tried.next {
                Next::Delivered => (DeliveryState::Delivered, START),
                Next::Retry(at) => (DeliveryState::Pending, at),
                Next::GiveUp => (DeliveryState::Failed, START),
            };
            assert_eq!((delivery.state, delivery.next_try_at), (state, next_try_at), "case {case}");
            assert_eq!(delivery.attempts.iter().map(|it| it.at).collect::<Vec<_>>(), [tried.at], "case {case}");
        }
    }
    store.close().await;
}

pub async fn an_event_that_cannot_be_read_does_not_hide_the_others(url: String) {
    let (store, id) = waiting(&url).await;
    let odd = "update order_status_history set payload = '{\"event\":\"from the future\"}' where cursor = 1";
    crate::support::sql::execute(&url, odd).await;
    let due = due(&store, id, START).await;
    assert!(due[0].event.is_err() && due[1].event.is_ok(), "{due:?}");
    store.close().await;
}

pub async fn a_damaged_try_spoils_no_page_that_it_is_not_on(url: String) {
    let (store, id) = waiting(&url).await;
    let second = due(&store, id, START).await.remove(1).id;
    store.record(&[tried(id, second, Next::Delivered)]).await.unwrap();
    crate::support::sql::execute(&url, "update webhook_attempts set status = -1").await;
    store.deliveries(id, None, None, 10).await.unwrap_err();
    let waiting = store.deliveries(id, Some(DeliveryState::Pending), None, 10).await.unwrap();
    assert_eq!(waiting.iter().map(|it| it.event.cursor).collect::<Vec<_>>(), [4, 3, 1]);
    store.close().await;
}

pub async fn a_webhook_is_changed_while_its_tries_are_stored(url: String) {
    let store = open(&url).await;
    let id = webhook(&store).await.id;
    for _ in 0..10 {
        history(&store).await;
    }
    fan_out(&store, id, 0).await;
    let waiting = store.deliveries(id, None, None, 100).await.unwrap();
    let storing = store.clone();
    let storing = tokio::spawn(async move {
        for _ in 0..50 {
            let tries = waiting.iter().map(|it| tried(id, it.id, Next::Retry(START)));
            storing.record(&tries.collect::<Vec<_>>()).await?;
        }
        Ok::<_, StoreError>(())
    });
    let again = WebhookChange { turn: Some(Turn::On(Resume::Cursor)), ..Default::default() };
    while !storing.is_finished() {
        store.change_webhook(id, &again, START).await.unwrap();
    }
    storing.await.unwrap().unwrap();
    store.close().await;
}

pub async fn a_lease_has_one_holder_until_it_ends(url: String) {
    let store = open(&url).await;
    assert!(store.take_lease("work", "a", 600).await.unwrap());
    assert!(!store.take_lease("work", "b", 600).await.unwrap());
    assert!(store.take_lease("work", "a", 600).await.unwrap(), "renewed");
    assert!(store.take_lease("other", "b", 600).await.unwrap());
    store.give_lease("work", "b").await.unwrap();
    assert!(!store.take_lease("work", "b", 600).await.unwrap(), "only its holder gives it back");
    store.give_lease("work", "a").await.unwrap();
    assert!(store.take_lease("work", "b", 600).await.unwrap());
    // It ends by itself; and one that would last longer than any may was written before the clock was set back.
    assert!(store.take_lease("work", "b", 0).await.unwrap());
    crate::support::eventually("the lease to end", || async {
        if store.take_lease("work", "c", 600).await.unwrap() { Ok(()) } else { Err(()) }
    })
    .await;
    assert!(store.take_lease("work", "d", 1).await.unwrap());
    store.close().await;
}

//! Dead letters: the mark, the way back, and the count of those who took an order up and were never heard of again.

use solana_sdk::pubkey::Pubkey;
use swapd::{
    domain::{Order, OrderEvent, OrderId, OrderStatus, Poison, SetAside, Status, StoredEvent},
    store::{OrderFilter, SharedStore, StoreError},
};
use time::Duration;

use super::{
    open,
    sample::{START, attempt, building, landing, listed, step, stored},
};
use crate::support::sql;

fn stuck() -> OrderEvent {
    OrderEvent::SetAside { cause: Poison::Stuck, reason: "stuck\0".into() }
}

/// An order with a signature that may land.
async fn submitted(store: &SharedStore) -> Order {
    let mut order = building(store, Pubkey::new_unique()).await;
    let attempt = attempt(&order);
    step(store, &mut order, OrderEvent::Signed { attempt }).await.unwrap();
    order
}

/// The event that ends it.
fn landed(order: &Order) -> OrderEvent {
    let OrderStatus::Submitted { attempt } = &order.status else { panic!("it is submitted") };
    OrderEvent::Landed { landing: landing(attempt), fill: None, fee: None }
}

async fn unfinished(store: &SharedStore) -> Vec<OrderId> {
    store.unfinished(None, 100).await.unwrap().into_iter().map(|order| order.id).collect()
}

pub async fn an_order_is_set_aside_and_comes_back_as_it_was(url: String) {
    let store = open(&url).await;
    let other = stored(&store).await;
    let mut order = submitted(&store).await;
    let (before, at) = (order.clone(), START + Duration::HOUR);

    let event = store.mark(order.id, &stuck(), at).await.unwrap().unwrap();
    assert_eq!((event.seq, event.status, event.token_in.as_str(), event.at), (5, Status::Submitted, "SOL", at));
    assert_eq!(store.history(order.id, 4).await.unwrap(), [StoredEvent::clone(&event)]);
    let aside = SetAside { cause: Poison::Stuck, reason: "stuck\u{fffd}".into(), at };
    let read = store.order(order.id).await.unwrap().unwrap();
    assert_eq!((&read.status, read.set_aside.as_ref(), read.version), (&before.status, Some(&aside), 5));
    assert_eq!(store.mark(order.id, &stuck(), at).await.unwrap(), None, "once");
    assert_eq!(unfinished(&store).await, [other.id], "nobody is to drive it");
    assert_eq!(store.dead_letter_count().await.unwrap(), 1);
    let letters = store.dead_letters(None, 10).await.unwrap();
    let letter = &letters[0];
    assert_eq!(
        (letters.len(), letter.order_id, letter.status, &letter.aside),
        (1, order.id, Status::Submitted, &aside)
    );
    assert!(letter.signature.is_some());
    assert_eq!(store.dead_letters(Some(order.id), 10).await.unwrap(), [], "the page after it");

    // Whoever still holds a copy of it cannot move it.
    let landed = landed(&order);
    let refused = step(&store, &mut order, landed.clone()).await;
    assert!(matches!(refused, Err(StoreError::VersionConflict)), "{refused:?}");
    let mut fresh = read;
    assert!(fresh.apply(&landed, at).is_err(), "and who reads it anew sees that it may not");

    let event = store.mark(order.id, &OrderEvent::Replayed, at).await.unwrap().unwrap();
    assert_eq!((event.seq, &event.event), (6, &OrderEvent::Replayed));
    let replayed = store.order(order.id).await.unwrap().unwrap();
    assert_eq!(replayed, Order { version: 6, updated_at: at, ..before });
    assert_eq!(unfinished(&store).await, [other.id, order.id]);
    assert_eq!(store.dead_letter_count().await.unwrap(), 0);
    assert_eq!(store.mark(order.id, &OrderEvent::Replayed, at).await.unwrap(), None);
    store.close().await;
}

pub async fn only_what_has_something_left_to_do_can_be_set_aside(url: String) {
    let store = open(&url).await;
    assert_eq!(store.mark(OrderId::new(), &stuck(), START).await.unwrap(), None);
    let mut ended = stored(&store).await;
    step(&store, &mut ended, OrderEvent::Cancelled).await.unwrap();
    assert_eq!(store.mark(ended.id, &stuck(), START).await.unwrap(), None);
    assert_eq!(store.order(ended.id).await.unwrap().unwrap(), ended);

    let order = stored(&store).await;
    store.mark(order.id, &stuck(), START).await.unwrap().unwrap();
    let mut aside = store.order(order.id).await.unwrap().unwrap();
    step(&store, &mut aside, OrderEvent::Cancelled).await.expect("its user may still call it off");
    assert_eq!(store.dead_letter_count().await.unwrap(), 0, "what has ended waits for nobody");
    assert_eq!(store.order(order.id).await.unwrap().unwrap(), aside);
    store.close().await;
}

pub async fn a_row_that_cannot_be_read_is_set_aside_and_listed(url: String) {
    let store = open(&url).await;
    let mut order = submitted(&store).await;
    let state = sql::text(&url, &format!("select cast(state as text) from orders where id = '{}'", order.id)).await;
    sql::execute(&url, &format!("update orders set state = '{{\"state\":\"odd\"}}' where id = '{}'", order.id)).await;
    assert!(matches!(store.order(order.id).await, Err(StoreError::Corrupt(_))));

    let unreadable = OrderEvent::SetAside { cause: Poison::Unreadable, reason: "odd".into() };
    store.mark(order.id, &unreadable, START + Duration::DAY).await.unwrap().unwrap();
    let letters = store.dead_letters(None, 10).await.unwrap();
    assert_eq!((letters[0].order_id, letters[0].aside.cause), (order.id, Poison::Unreadable));

    sql::execute(&url, &format!("update orders set state = '{state}' where id = '{}'", order.id)).await;
    store.mark(order.id, &OrderEvent::Replayed, START + Duration::DAY).await.unwrap().unwrap();
    order.version += 2;
    order.updated_at = START + Duration::DAY;
    assert_eq!(store.order(order.id).await.unwrap().unwrap(), order);
    store.close().await;
}

pub async fn take_ups_are_counted_until_the_order_moves_or_is_put_down(url: String) {
    let store = open(&url).await;
    let mut order = stored(&store).await;
    let other = stored(&store).await;
    assert_eq!(store.take_up(order.id).await.unwrap(), 1);
    assert_eq!(store.take_up(order.id).await.unwrap(), 2);
    assert_eq!(store.take_up(other.id).await.unwrap(), 1);
    step(&store, &mut order, OrderEvent::Claimed).await.unwrap();
    assert_eq!(store.take_up(order.id).await.unwrap(), 1, "it moved");
    store.put_down(order.id).await.unwrap();
    assert_eq!(store.take_up(order.id).await.unwrap(), 1, "it was left in order");
    store.close().await;

    let store = open(&url).await;
    assert_eq!(store.take_up(order.id).await.unwrap(), 2, "a restart forgets nothing");
    store.mark(order.id, &stuck(), START).await.unwrap().unwrap();
    store.mark(order.id, &OrderEvent::Replayed, START).await.unwrap().unwrap();
    assert_eq!(store.take_up(order.id).await.unwrap(), 1, "a replay begins anew");
    assert_eq!(store.take_up(OrderId::new()).await.unwrap(), 0);
    store.close().await;
}

pub async fn an_unknown_outcome_is_kept_until_there_is_evidence(url: String) {
    let store = open(&url).await;
    let mut order = submitted(&store).await;
    for reason in ["nobody answers", "still nobody"] {
        step(&store, &mut order, OrderEvent::OutcomeUnknown { reason: reason.into() }).await.unwrap();
    }
    let read = store.order(order.id).await.unwrap().unwrap();
    assert_eq!(read, order);
    let unknown = read.unknown.unwrap();
    assert_eq!((unknown.reason.as_str(), unknown.since), ("nobody answers", START + Duration::seconds(4)));
    let landed = landed(&order);
    step(&store, &mut order, landed).await.unwrap();
    let listed = listed(&store, &OrderFilter::default(), 1).await;
    assert_eq!(listed[0].unknown, None);
    store.close().await;
}

//! What stops an order on purpose: a pause, and its own deadline.

use futures_util::future::join_all;
use solana_sdk::pubkey::Pubkey;
use swapd::{
    domain::{ErrorCode, Expiry, Failure, NewOrder, Order, OrderEvent, OrderId, Status},
    store::{PAUSED, StoreError},
};
use time::Duration;

use super::{
    open,
    sample::{START, attempt, building, expired, new_order, routed, step},
};

pub async fn a_paused_store_takes_no_signature_from_anybody(url: String) {
    let stores = [open(&url).await, open(&url).await];
    let mut orders = Vec::new();
    for n in 0..10 {
        orders.push(building(&stores[n % 2], Pubkey::new_unique()).await);
    }
    stores[0].set_fact(PAUSED, "{}").await.unwrap();
    // Signatures and other events in one group: only the signatures are refused.
    let writes = orders.iter_mut().enumerate().map(|(n, order)| {
        let store = stores[n % 2].clone();
        async move {
            let attempt = attempt(order);
            let event = if n < 8 { OrderEvent::Signed { attempt } } else { OrderEvent::Cancelled };
            step(&store, order, event).await.map(|_| n)
        }
    });
    for (n, answer) in join_all(writes).await.into_iter().enumerate() {
        match n {
            0..8 => assert!(matches!(answer, Err(StoreError::Paused)), "{n}: {answer:?}"),
            _ => assert!(answer.is_ok(), "{n}: {answer:?}"),
        }
    }
    for order in &orders[..8] {
        assert_eq!(stores[1].order(order.id).await.unwrap().unwrap().status.name(), Status::Building);
        assert!(stores[1].attempts(order.id).await.unwrap().is_empty());
    }

    stores[1].set_fact(PAUSED, "").await.unwrap();
    let attempt = attempt(&orders[0]);
    step(&stores[0], &mut orders[0], OrderEvent::Signed { attempt }).await.unwrap();
    for store in stores {
        store.close().await;
    }
}

pub async fn overdue_orders_are_found_until_something_is_signed(url: String) {
    let store = open(&url).await;
    let mut orders = Vec::new();
    for ms in [3_000, 1_000, 2_000] {
        let new = NewOrder { expiry: Some(Expiry::In(Duration::milliseconds(ms))), ..new_order() };
        let order = Order::create(OrderId::new(), new, START);
        store.create(&order, None).await.unwrap();
        orders.push(order);
    }
    building(&store, Pubkey::new_unique()).await; // has none, is never overdue
    let overdue = async |ms: i64| store.overdue(START + Duration::milliseconds(ms), 10).await.unwrap();
    assert_eq!(overdue(999).await, []);
    assert_eq!(overdue(1_000).await, [orders[1].id], "the deadline itself is too late");
    assert_eq!(overdue(60_000).await, [orders[1].id, orders[2].id, orders[0].id], "the longest overdue first");
    assert_eq!(store.overdue(START + Duration::MINUTE, 1).await.unwrap(), [orders[1].id]);

    let signed = &mut orders[1];
    step(&store, signed, OrderEvent::Claimed).await.unwrap();
    let event = routed(signed, Pubkey::new_unique(), true);
    step(&store, signed, event).await.unwrap();
    let attempt = attempt(signed);
    step(&store, signed, OrderEvent::Signed { attempt: attempt.clone() }).await.unwrap();
    let failure = Failure::new(ErrorCode::Expired, "late");
    step(&store, &mut orders[2], OrderEvent::Failed { failure }).await.unwrap();
    assert_eq!(overdue(60_000).await, [orders[0].id], "what may land, and what has ended, is nobody's to end");

    step(&store, &mut orders[1], expired(&attempt)).await.unwrap();
    assert_eq!(overdue(60_000).await, [orders[1].id, orders[0].id], "its signature is dead");
    assert_eq!(store.order(orders[1].id).await.unwrap().unwrap().expires_at, orders[1].expires_at);
    store.close().await;
}

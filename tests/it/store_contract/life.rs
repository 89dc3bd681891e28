//! One order's life, and what of it can be read back.

use solana_sdk::pubkey::Pubkey;
use swapd::{
    domain::{
        BaseUnits, Bps, Dialect, ErrorCode, Expiry, Failure, Lamports, NewOrder, Order, OrderEvent, OrderId,
        OrderStatus, PoolWish, Status, StoredEvent, Swap, VenueId,
    },
    store::{Creation, StoreError},
};
use time::Duration;

use super::{
    open,
    sample::{self, START, attempt, building, expired, fill, landing, order, routed, step, stored, token},
};

pub async fn an_order_comes_back_with_every_field(url: String) {
    let store = open(&url).await;
    let plain = order();
    let full = NewOrder {
        dialect: Dialect::Percent,
        token_in: token("wei\"rd ünïcode", 0),
        token_out: token("X", 255),
        swap: Swap::ExactOut(BaseUnits::new(u64::MAX)),
        slippage: Bps::new(10_000).unwrap(),
        limit: Some(BaseUnits::new(u64::MAX - 1)),
        wallet: Some(Pubkey::new_unique()),
        expiry: Some(Expiry::In(Duration::milliseconds(1_500))),
        pool_wish: Some(PoolWish { address: Some("a \"pool\"".into()), base_in: Some(false) }),
        ..sample::new_order()
    };
    let full = Order::create(OrderId::new(), full, START);
    for order in [plain, full] {
        let Creation::New(event) = store.create(&order, None).await.unwrap() else { panic!("a new order") };
        assert_eq!(store.order(order.id).await.unwrap().as_ref(), Some(&order));
        assert_eq!((event.seq, event.status, event.at), (1, Status::Pending, START));
        assert_eq!((&event.token_in, &event.token_out), (&order.token_in.symbol, &order.token_out.symbol));
        assert_eq!(store.history(order.id, 0).await.unwrap(), [StoredEvent::clone(&event)]);
        assert!(matches!(store.create(&order, None).await, Err(StoreError::VersionConflict)));
    }
    assert_eq!(store.order(OrderId::new()).await.unwrap(), None);

    let fine = Order::create(OrderId::new(), sample::new_order(), START + Duration::nanoseconds(999));
    store.create(&fine, None).await.unwrap();
    assert_eq!(store.order(fine.id).await.unwrap().unwrap().created_at, START, "whole microseconds are kept");
    store.close().await;
}

pub async fn an_order_lives_from_created_to_settled(url: String) {
    let store = open(&url).await;
    let mut order = order();
    let Creation::New(created) = store.create(&order, None).await.unwrap() else { panic!("a new order") };
    let mut events = vec![StoredEvent::clone(&created)];
    events.push(step(&store, &mut order, OrderEvent::Claimed).await.unwrap());
    let event = routed(&order, Pubkey::new_unique(), true);
    events.push(step(&store, &mut order, event).await.unwrap());
    assert_eq!(store.order(order.id).await.unwrap().unwrap(), order);

    let attempt = attempt(&order);
    events.push(step(&store, &mut order, OrderEvent::Signed { attempt: attempt.clone() }).await.unwrap());
    let submitted = store.order(order.id).await.unwrap().unwrap();
    assert_eq!(submitted, order, "with the wire bytes");
    assert!(matches!(&submitted.status, OrderStatus::Submitted { attempt: a } if a.wire == attempt.wire));
    let rows = store.attempts(order.id).await.unwrap();
    assert_eq!((&rows[0].attempt, &rows[0].outcome, rows[0].signed_at), (&attempt, &None, order.updated_at));

    events.push(step(&store, &mut order, OrderEvent::Sent { signature: attempt.signature }).await.unwrap());
    assert_eq!(store.order(order.id).await.unwrap().unwrap(), order, "still with the wire bytes");
    let landed = OrderEvent::Landed { landing: landing(&attempt), fill: None, fee: None };
    events.push(step(&store, &mut order, landed).await.unwrap());
    let settled = OrderEvent::Settled { fill: fill(), fee: Lamports::new(5_000) };
    events.push(step(&store, &mut order, settled).await.unwrap());

    let loaded = store.order(order.id).await.unwrap().unwrap();
    let OrderStatus::Confirmed { fill: moved, fee, landing, .. } = &loaded.status else {
        panic!("{:?}", loaded.status)
    };
    assert_eq!((moved.as_ref(), *fee), (Some(&fill()), Some(Lamports::new(5_000))));
    assert_eq!((landing.signature, loaded.version), (attempt.signature, 7));
    let rows = store.attempts(order.id).await.unwrap();
    assert_eq!((rows.len(), rows[0].outcome.as_deref()), (1, Some("landed")));

    let history = store.history(order.id, 0).await.unwrap();
    assert_eq!(history, events, "what was answered is what is read");
    assert!(history.iter().map(|event| event.seq).eq(1..=7));
    assert!(history.windows(2).all(|pair| pair[0].cursor < pair[1].cursor));
    assert_eq!(store.cursor().await.unwrap(), history[6].cursor);
    store.close().await;
}

pub async fn every_attempt_keeps_its_outcome(url: String) {
    let store = open(&url).await;
    let mut order = building(&store, Pubkey::new_unique()).await;
    let first = attempt(&order);
    step(&store, &mut order, OrderEvent::Signed { attempt: first.clone() }).await.unwrap();
    step(&store, &mut order, expired(&first)).await.unwrap();
    let event = routed(&order, Pubkey::new_unique(), true);
    step(&store, &mut order, event).await.unwrap();
    let second = attempt(&order);
    step(&store, &mut order, OrderEvent::Signed { attempt: second.clone() }).await.unwrap();
    assert_eq!(store.order(order.id).await.unwrap().unwrap(), order, "the newest attempt's bytes");
    let failure = Failure::new(ErrorCode::SlippageExceeded, "the price moved");
    step(&store, &mut order, OrderEvent::Rejected { landing: landing(&second), failure }).await.unwrap();
    let rows = store.attempts(order.id).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.outcome.as_deref()).collect::<Vec<_>>(), [Some("expired"), Some("rejected")]);
    assert_eq!(rows.into_iter().map(|row| row.attempt).collect::<Vec<_>>(), [first, second]);
    assert_eq!(store.order(order.id).await.unwrap().unwrap(), order);

    let mut order = building(&store, Pubkey::new_unique()).await;
    let lost = attempt(&order);
    step(&store, &mut order, OrderEvent::Signed { attempt: lost }).await.unwrap();
    step(&store, &mut order, OrderEvent::ChainReset).await.unwrap();
    assert_eq!(store.attempts(order.id).await.unwrap()[0].outcome.as_deref(), Some("chain_reset"));
    store.close().await;
}

pub async fn a_paper_fill_has_no_transaction(url: String) {
    let store = open(&url).await;
    let mut order = stored(&store).await;
    step(&store, &mut order, OrderEvent::Claimed).await.unwrap();
    let event = routed(&order, Pubkey::new_unique(), false);
    step(&store, &mut order, event).await.unwrap();
    step(&store, &mut order, OrderEvent::PaperFilled { venue: VenueId::MeteoraMock, fill: fill() }).await.unwrap();
    assert_eq!(store.order(order.id).await.unwrap().unwrap(), order);
    assert_eq!(store.attempts(order.id).await.unwrap(), []);
    store.close().await;
}

pub async fn odd_characters_do_not_stop_an_order(url: String) {
    let store = open(&url).await;
    let mut order = stored(&store).await;
    let failure = Failure::new(ErrorCode::Internal, "nul \0, quote ' \" \\u0000, emoji \u{1f980}");
    let event = step(&store, &mut order, OrderEvent::Failed { failure }).await.unwrap();
    let OrderEvent::Failed { failure } = &event.event else { panic!("{event:?}") };
    assert_eq!(failure.reason, "nul \u{fffd}, quote ' \" \\u0000, emoji \u{1f980}");
    assert_eq!(store.history(order.id, 1).await.unwrap(), std::slice::from_ref(&event));
    let OrderStatus::Failed { failure: kept, .. } = store.order(order.id).await.unwrap().unwrap().status else {
        panic!("a failed order");
    };
    assert_eq!(kept, *failure);
    store.close().await;
}

pub async fn facts_are_remembered(url: String) {
    let store = open(&url).await;
    assert_eq!(store.fact("genesis").await.unwrap(), None);
    store.set_fact("genesis", "one").await.unwrap();
    let (first, second) = tokio::join!(store.set_fact("genesis", "two"), store.set_fact("other", "three"));
    first.and(second).unwrap();
    assert_eq!(store.fact("genesis").await.unwrap().as_deref(), Some("two"));
    assert_eq!(store.fact("other").await.unwrap().as_deref(), Some("three"));
    store.close().await;
}

pub async fn a_reopened_store_has_everything(url: String) {
    let store = open(&url).await;
    let mut order = building(&store, Pubkey::new_unique()).await;
    let signed = OrderEvent::Signed { attempt: attempt(&order) };
    step(&store, &mut order, signed).await.unwrap();
    store.set_fact("genesis", "hash").await.unwrap();
    let (history, cursor) = (store.history(order.id, 0).await.unwrap(), store.cursor().await.unwrap());
    store.close().await;
    store.close().await; // a second time does nothing
    assert!(matches!(store.order(order.id).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.set_fact("genesis", "late").await, Err(StoreError::Unavailable(_))));

    let store = open(&url).await;
    assert_eq!(store.order(order.id).await.unwrap(), Some(order.clone()));
    assert_eq!(store.history(order.id, 0).await.unwrap(), history);
    assert_eq!(store.cursor().await.unwrap(), cursor);
    assert_eq!(store.fact("genesis").await.unwrap().as_deref(), Some("hash"));
    let event = step(&store, &mut order, OrderEvent::OutcomeUnknown { reason: "silence".into() }).await.unwrap();
    assert_eq!(event.cursor, cursor + 1);
    store.close().await;
}

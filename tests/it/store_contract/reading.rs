//! Reading: histories, the feed of all events, lists, and what is left to do.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use solana_sdk::pubkey::Pubkey;
use swapd::{
    domain::{ErrorCode, Failure, Lamports, NewOrder, Order, OrderEvent, OrderId, Status},
    store::{OrderFilter, SharedStore},
};

use super::{
    open,
    sample::{START, attempt, building, fill, landing, listed, new_order, step, stored, token},
};
use crate::support::sql;

pub async fn history_starts_where_it_is_asked_to(url: String) {
    let store = open(&url).await;
    let order = building(&store, Pubkey::new_unique()).await;
    stored(&store).await;
    let all = store.history(order.id, 0).await.unwrap();
    assert!(all.iter().map(|event| event.seq).eq(1..=3));
    assert_eq!(store.history(order.id, 1).await.unwrap(), all[1..]);
    assert_eq!(store.history(order.id, 3).await.unwrap(), []);
    assert_eq!(store.history(order.id, u64::MAX).await.unwrap(), []);
    assert_eq!(store.history(OrderId::new(), 0).await.unwrap(), []);

    let feed = store.events_since(0, 100).await.unwrap();
    assert_eq!((&feed[..3], feed.len()), (&all[..], 4));
    assert_eq!(store.events_since(feed[0].cursor, 2).await.unwrap(), feed[1..3]);
    assert_eq!(store.events_since(u64::MAX, 2).await.unwrap(), []);
    store.close().await;
}

/// Whoever has read up to a cursor will never see a smaller one appear.
pub async fn a_polling_reader_misses_no_event(url: String) {
    let stores = [open(&url).await, open(&url).await];
    assert_eq!(stores[0].cursor().await.unwrap(), 0);
    let done = AtomicBool::new(false);
    let write = async {
        let writers = (0..8).map(|n| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    building(&store, Pubkey::new_unique()).await;
                }
            })
        });
        join_all(writers).await.into_iter().for_each(Result::unwrap);
        done.store(true, Ordering::Release);
    };
    let read = async {
        let mut seen = Vec::new();
        loop {
            let finished = done.load(Ordering::Acquire);
            let last = seen.last().copied().unwrap_or(0);
            let newest = stores[1].cursor().await.unwrap();
            let events = stores[1].events_since(last, 7).await.unwrap();
            assert!(events.len() == 7 || events.last().map_or(last, |event| event.cursor) >= newest);
            seen.extend(events.iter().map(|event| event.cursor));
            if finished && events.is_empty() {
                return seen;
            }
        }
    };
    let ((), seen) = tokio::join!(write, read);
    assert!(seen.into_iter().eq(1..=240), "8 writers, 10 orders each, 3 events each, each seen once and in order");
    for store in stores {
        store.close().await;
    }
}

pub async fn lists_are_newest_first_filtered_and_paged(url: String) {
    let store = open(&url).await;
    let wallet = Pubkey::new_unique();
    let mut orders = Vec::new();
    for n in 0..12_u8 {
        let token_in = token(if n % 3 == 0 { "SOL" } else { "BONK" }, 5);
        let new = NewOrder { token_in, wallet: (n % 4 == 0).then_some(wallet), ..new_order() };
        let mut order = Order::create(OrderId::new(), new, START);
        store.create(&order, None).await.unwrap();
        match n % 3 {
            0 => drop(step(&store, &mut order, OrderEvent::Cancelled).await.unwrap()),
            1 => drop(step(&store, &mut order, OrderEvent::Claimed).await.unwrap()),
            _ => {}
        }
        orders.insert(0, order);
    }
    let all = OrderFilter::default();
    assert_eq!(listed(&store, &all, 100).await, orders);
    assert_eq!(listed(&store, &all, 0).await, []);

    let some = |filter: OrderFilter, wanted: &dyn Fn(&Order) -> bool| {
        let expected: Vec<_> = orders.iter().filter(|order| wanted(order)).cloned().collect();
        let store = store.clone();
        async move { assert_eq!(listed(&store, &filter, 100).await, expected, "{filter:?}") }
    };
    let statuses = vec![Status::Cancelled, Status::Pending, Status::Cancelled];
    some(OrderFilter { statuses, ..all.clone() }, &|o| o.status.name() != Status::Routing).await;
    some(OrderFilter { statuses: vec![Status::Failed], ..all.clone() }, &|_| false).await;
    some(OrderFilter { token_in: Some("SOL".into()), ..all.clone() }, &|o| o.token_in.symbol == "SOL").await;
    some(OrderFilter { token_out: Some("USDC".into()), ..all.clone() }, &|_| true).await;
    some(OrderFilter { token_out: Some("SOL".into()), ..all.clone() }, &|_| false).await;
    some(OrderFilter { wallet: Some(wallet), ..all.clone() }, &|o| o.wallet == Some(wallet)).await;
    let both = OrderFilter { statuses: vec![Status::Routing], wallet: Some(wallet), ..all.clone() };
    some(both, &|o| o.wallet == Some(wallet) && o.status.name() == Status::Routing).await;

    let mut paged: Vec<Order> = Vec::new();
    loop {
        let statuses = vec![Status::Cancelled, Status::Pending, Status::Routing];
        let before = paged.last().map(|order| order.id);
        let page = listed(&store, &OrderFilter { statuses, before, ..all.clone() }, 5).await;
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, orders);
    store.close().await;
}

pub async fn a_row_that_cannot_be_read_hides_no_other_of_its_page(url: String) {
    let store = open(&url).await;
    let orders = [stored(&store).await, stored(&store).await, stored(&store).await];
    let odd = format!("update orders set state = '{{\"state\":\"odd\"}}' where id = '{}'", orders[1].id);
    sql::execute(&url, &odd).await;
    let page = store.list(&OrderFilter::default(), 10).await.unwrap();
    let [newest, unreadable, oldest] = page.as_slice() else { panic!("{page:?}") };
    assert_eq!((newest.as_ref(), oldest.as_ref()), (Ok(&orders[2]), Ok(&orders[0])));
    let unreadable = unreadable.as_ref().unwrap_err();
    assert_eq!((unreadable.id, unreadable.status), (orders[1].id, Status::Pending));
    assert!(unreadable.reason.contains("state"), "{unreadable:?}");
    store.close().await;
}

pub async fn unfinished_orders_are_found(url: String) {
    let store = open(&url).await;
    let mut fresh = stored(&store).await;
    step(&store, &mut fresh, OrderEvent::Claimed).await.unwrap();
    let pending = stored(&store).await;
    let mut failed = stored(&store).await;
    let failure = Failure::new(ErrorCode::NoRoute, "none");
    step(&store, &mut failed, OrderEvent::Failed { failure }).await.unwrap();
    let mut landed = landed(&store).await;
    let unfinished = async |after, limit| -> Vec<(OrderId, u64)> {
        let page = store.unfinished(after, limit).await.unwrap();
        page.into_iter().map(|order| (order.id, order.version)).collect()
    };
    let all = [(fresh.id, 2), (pending.id, 1), (landed.id, 5)];
    assert_eq!(unfinished(None, 10).await, all, "with the versions by which it shows whether anybody moves them");
    assert_eq!(unfinished(None, 2).await, all[..2]);
    assert_eq!(unfinished(Some(pending.id), 2).await, all[2..]);

    assert_eq!(store.open_count().await.unwrap(), 2, "what landed is not open, though its details are missing");

    step(&store, &mut landed, OrderEvent::Settled { fill: fill(), fee: Lamports::new(1) }).await.unwrap();
    assert_eq!(unfinished(Some(pending.id), 2).await, []);
    store.ping().await.unwrap();
    store.close().await;
}

async fn landed(store: &SharedStore) -> Order {
    let mut order = building(store, Pubkey::new_unique()).await;
    let attempt = attempt(&order);
    step(store, &mut order, OrderEvent::Signed { attempt: attempt.clone() }).await.unwrap();
    let landed = OrderEvent::Landed { landing: landing(&attempt), fill: None, fee: None };
    step(store, &mut order, landed).await.unwrap();
    order
}

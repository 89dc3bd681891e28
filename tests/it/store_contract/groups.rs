//! Many writers at once: who wins, and that one writer's trouble is nobody else's.

use futures_util::{FutureExt, future::join_all};
use solana_sdk::pubkey::Pubkey;
use sqlx::{Connection, PgConnection};
use swapd::{
    domain::{Order, OrderEvent, Status, VenueId},
    store::{Creation, IdempotencyKey, Line, OrderFilter, SharedStore, StoreError},
};
use time::Duration;
use tokio::task::unconstrained;

use super::{
    open,
    sample::{attempt, building, fill, order, routed, step, stored},
};
use crate::support::{servers::fresh_database, within_patience};

pub async fn one_of_many_parallel_appends_wins(url: String) {
    let stores = [open(&url).await, open(&url).await];
    let order = stored(&stores[0]).await;
    let tries = (0..32).map(|n| {
        let (store, mut order) = (stores[n % 2].clone(), order.clone());
        tokio::spawn(async move { step(&store, &mut order, OrderEvent::Claimed).await })
    });
    let answers: Vec<_> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.iter().flat_map(|answer| answer.as_ref().err()).all(|e| matches!(e, StoreError::VersionConflict)));
    assert_eq!(stores[1].history(order.id, 0).await.unwrap().len(), 2);
    assert_eq!(stores[1].order(order.id).await.unwrap().unwrap().version, 2);

    // Neither a version that was skipped nor an order that does not exist.
    let mut ahead = stores[0].order(order.id).await.unwrap().unwrap();
    ahead.version += 2;
    let answer = stores[0].append(&ahead, &OrderEvent::Cancelled, None).await;
    assert!(matches!(answer, Err(StoreError::VersionConflict)));
    let mut nowhere = super::sample::order();
    assert!(matches!(step(&stores[0], &mut nowhere, OrderEvent::Claimed).await, Err(StoreError::VersionConflict)));
    for store in stores {
        store.close().await;
    }
}

pub async fn a_refused_write_leaves_its_group_alone(url: String) {
    let store = open(&url).await;
    let mut orders = Vec::new();
    for _ in 0..20 {
        orders.push(building(&store, Pubkey::new_unique()).await);
    }
    let used = attempt(&orders[0]);
    step(&store, &mut orders[0], OrderEvent::Signed { attempt: used.clone() }).await.unwrap();

    let writes = orders[1..].iter_mut().enumerate().map(|(n, order)| {
        let mut attempt = attempt(order);
        match n {
            3 => order.version += 1,                 // somebody else was faster
            9 => attempt.signature = used.signature, // no two orders share a transaction
            _ => {}
        }
        step(&store, order, OrderEvent::Signed { attempt })
    });
    let answers = join_all(writes).await;
    for (n, answer) in answers.iter().enumerate() {
        match n {
            3 => assert!(matches!(answer, Err(StoreError::VersionConflict)), "{answer:?}"),
            9 => assert!(matches!(answer, Err(StoreError::Refused(_))), "{answer:?}"),
            _ => assert!(answer.is_ok(), "{n}: {answer:?}"),
        }
    }
    for (n, order) in orders[1..].iter().enumerate() {
        let status = if [3, 9].contains(&n) { Status::Building } else { Status::Submitted };
        let kept = store.order(order.id).await.unwrap().unwrap();
        assert_eq!(
            (kept.status.name(), store.history(order.id, 3).await.unwrap().len()),
            match status {
                Status::Building => (status, 0),
                _ => (status, 1),
            }
        );
    }
    let events = store.events_since(0, 1_000).await.unwrap();
    assert!(events.iter().map(|event| event.cursor).eq(1..=20 * 3 + 18), "no cursor is lost to a refused write");
    store.close().await;
}

pub async fn a_dropped_caller_does_not_break_its_group(url: String) {
    let store = open(&url).await;
    let orders: Vec<_> = (0..60).map(|_| order()).collect();
    let mut kept = Vec::new();
    for (n, order) in orders.iter().enumerate() {
        let mut write = Box::pin(unconstrained(store.create(order, None)));
        if n % 2 == 0 {
            drop(write.as_mut().now_or_never()); // asked, then dropped
        } else {
            kept.push(write);
        }
    }
    for answer in join_all(kept).await {
        assert!(matches!(answer, Ok(Creation::New(_))), "{answer:?}");
    }
    for order in &orders {
        let stored = store.order(order.id).await.unwrap();
        let history = store.history(order.id, 0).await.unwrap();
        assert_eq!(usize::from(stored.is_some()), history.len(), "never half");
    }
    store.close().await;
}

pub async fn what_is_handed_over_without_waiting_is_stored_in_its_order(url: String) {
    let store = open(&url).await;
    let mut orders: Vec<_> = join_all((0..40).map(|_| stored(&store))).await;
    let filled = OrderEvent::PaperFilled { venue: VenueId::MeteoraMock, fill: fill() };
    let mut tickets = Vec::new();
    for order in &mut orders {
        let line = Line::default();
        for event in [OrderEvent::Claimed, routed(order, Pubkey::new_unique(), false), filled.clone()] {
            order.apply(&event, order.updated_at + Duration::SECOND).unwrap();
            tickets.push(store.begin(order, &event, None, &line).await.unwrap());
        }
    }
    for ticket in tickets {
        ticket.stored().await.unwrap();
    }
    for order in orders {
        assert_eq!(store.order(order.id).await.unwrap().as_ref(), Some(&order));
        let history = store.history(order.id, 0).await.unwrap();
        assert_eq!(history.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }
    store.close().await;
}

pub async fn after_a_refused_event_nothing_handed_over_is_stored(url: String) {
    let store = open(&url).await;
    let mut order = stored(&store).await;
    let mut behind = order.clone();
    step(&store, &mut order, OrderEvent::Cancelled).await.unwrap();
    let (mut tickets, line) = (Vec::new(), Line::default());
    for event in [OrderEvent::Claimed, routed(&behind, Pubkey::new_unique(), false)] {
        behind.apply(&event, behind.updated_at + Duration::SECOND).unwrap();
        tickets.push(store.begin(&behind, &event, None, &line).await.unwrap());
    }
    for ticket in tickets {
        assert!(matches!(ticket.stored().await, Err(StoreError::VersionConflict)));
    }
    assert_eq!(store.order(order.id).await.unwrap(), Some(order));
    store.close().await;
}

pub async fn commits_are_told_in_the_order_of_their_cursors(url: String) {
    let store = open(&url).await;
    let mut commits = store.commits();
    let mut orders = join_all((0..50).map(|_| stored(&store))).await;
    join_all(orders.iter_mut().map(|order| step(&store, order, OrderEvent::Claimed))).await;
    assert!(matches!(step(&store, &mut order(), OrderEvent::Claimed).await, Err(StoreError::VersionConflict)));
    store.close().await;
    drop(store);
    let mut told = Vec::new();
    while let Ok(group) = commits.recv().await {
        told.extend(group.iter().map(|event| event.cursor));
    }
    assert!(told.into_iter().eq(1..=100), "each once, and nothing that was refused");
}

/// A plan made while the tables are empty must not read whole tables once they have grown.
#[tokio::test]
async fn the_postgres_writer_reads_only_the_rows_it_is_about() {
    const ORDERS: i64 = 400;
    let url = fresh_database().await;
    let store = open(&url).await;
    for _ in 0..ORDERS {
        let mut order = stored(&store).await;
        step(&store, &mut order, OrderEvent::Claimed).await.unwrap();
    }
    store.close().await; // a server process counts what it read when it ends, at the latest
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let counts = "select n_tup_ins, seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_user_tables \
        where relname = 'orders'";
    let read = within_patience("the server has counted", async {
        loop {
            let (written, read): (i64, i64) = sqlx::query_as(counts).fetch_one(&mut connection).await.unwrap();
            if written == ORDERS {
                break read;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await; // between looks
        }
    })
    .await;
    assert!(read <= ORDERS * 8, "{read} rows were read to write {ORDERS} orders twice");
}

pub async fn closing_finishes_the_writes_that_wait(url: String) {
    let store = open(&url).await;
    let orders: Vec<_> = (0..300).map(|_| order()).collect();
    // Unconstrained: a task's budget would end before all of them are asked.
    let mut writes: Vec<_> = orders.iter().map(|order| Box::pin(unconstrained(store.create(order, None)))).collect();
    let answered: Vec<_> = writes.iter_mut().map(|write| write.as_mut().now_or_never()).collect();
    store.close().await;
    for (write, answered) in writes.into_iter().zip(answered) {
        let answer = match answered {
            Some(answer) => answer,
            None => write.await,
        };
        assert!(matches!(answer, Ok(Creation::New(_))), "{answer:?}");
    }
    assert!(matches!(store.create(&order(), None).await, Err(StoreError::Unavailable(_))), "and takes no more");
    let store = open(&url).await;
    assert_eq!(store.open_count().await.unwrap(), 300);
    store.close().await;
}

pub async fn one_key_makes_one_order(url: String) {
    let stores = [open(&url).await, open(&url).await];
    let key = IdempotencyKey { key: "scope/same".into(), body: [7; 32] };
    let creates = (0..100).map(|n| {
        let (store, key, order) = (stores[n % 2].clone(), key.clone(), order());
        tokio::spawn(async move { (order.id, store.create(&order, Some(&key)).await.unwrap()) })
    });
    let answers: Vec<_> = join_all(creates).await.into_iter().map(Result::unwrap).collect();
    let made: Vec<_> = answers.iter().filter(|(_, answer)| matches!(answer, Creation::New(_))).collect();
    let [(id, _)] = made[..] else { panic!("{} orders were made", made.len()) };
    for (asked, answer) in &answers {
        assert!(asked == id || *answer == Creation::Existing(*id), "{answer:?}");
    }
    assert_eq!(stores[0].list(&OrderFilter::default(), 10).await.unwrap().len(), 1);
    for store in stores {
        store.close().await;
    }
}

pub async fn a_key_with_another_body_is_a_conflict(url: String) {
    let store = open(&url).await;
    let key = |key: &str, body| IdempotencyKey { key: key.into(), body: [body; 32] };
    let first = order();
    create(&store, &first, &key("a", 1)).await;
    let again = store.create(&order(), Some(&key("a", 1))).await.unwrap();
    assert_eq!(again, Creation::Existing(first.id));
    assert_eq!(store.create(&order(), Some(&key("a", 2))).await.unwrap(), Creation::KeyConflict(first.id));
    create(&store, &order(), &key("b", 1)).await;
    assert_eq!(store.open_count().await.unwrap(), 2);
    store.close().await;
}

async fn create(store: &SharedStore, order: &Order, key: &IdempotencyKey) {
    assert!(matches!(store.create(order, Some(key)).await.unwrap(), Creation::New(_)));
}

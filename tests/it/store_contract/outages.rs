//! What a store does while its database is locked, read-only or gone.

use futures_util::future::join_all;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use swapd::{
    domain::{ErrorCode, OrderEvent},
    store::{self, StoreError},
};
use tokio_util::sync::CancellationToken;

use super::{
    open,
    sample::{self, order, step, stored},
};
use crate::support::servers::{Disk, PostgresServer, create_database, fresh_database};

#[tokio::test]
async fn a_url_that_names_no_store_is_refused_without_repeating_it() {
    for url in ["", "mysql://user:secret@host/db", "postgres", "sqlite:/proc/no/such/place.db?mode=nonsense"] {
        let error = store::open(url).await.err().expect(url);
        assert!(matches!(error, StoreError::Open(_)), "{error:?}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn a_store_in_memory_keeps_the_contract() {
    let store = open("sqlite::memory:").await;
    let mut order = stored(&store).await;
    step(&store, &mut order, OrderEvent::Claimed).await.unwrap();
    assert_eq!(store.order(order.id).await.unwrap(), Some(order));
    assert_eq!(open("sqlite::memory:").await.cursor().await.unwrap(), 0, "each one is its own");
    store.close().await;
}

#[tokio::test]
async fn a_locked_file_is_unavailable_until_it_is_free_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/orders.db");
    let store = open(&format!("sqlite:{}", path.display())).await;
    let mut order = stored(&store).await;
    let mut other = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    other.execute("begin immediate").await.unwrap();

    let error = step(&store, &mut order, OrderEvent::Claimed).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert_eq!(error.code(), ErrorCode::StoreUnavailable);
    assert_eq!(store.order(order.id).await.unwrap().as_ref(), Some(&order), "readers do not mind");

    other.execute("rollback").await.unwrap();
    step(&store, &mut order, OrderEvent::Claimed).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_read_only_file_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("orders.db").display());
    let store = open(&url).await;
    let mut kept = stored(&store).await;
    let reader = open(&format!("{url}?mode=ro")).await;
    assert_eq!(reader.order(kept.id).await.unwrap().as_ref(), Some(&kept));
    let refused = reader.create(&order(), None).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let refused = step(&reader, &mut kept, OrderEvent::Claimed).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    reader.close().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_is_found_again() {
    let mut server = PostgresServer::start(Disk::Durable);
    let store = open(&create_database(&server.url()).await).await;
    let mut order = stored(&store).await;
    store.ping().await.unwrap();

    server.crash();
    // Many at once, to fill more than one group.
    let writes = (0..600).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.create(&sample::order(), None).await })
    });
    for answer in join_all(writes).await {
        assert!(matches!(answer.unwrap(), Err(StoreError::Unavailable(_))));
    }
    let gone = step(&store, &mut order, OrderEvent::Claimed).await;
    assert!(matches!(gone, Err(StoreError::Unavailable(_))), "{gone:?}");
    let reads = tokio::join!(store.order(order.id), store.cursor(), store.ping());
    assert!(matches!(reads, (Err(StoreError::Unavailable(_)), Err(_), Err(_))), "{reads:?}");

    server.start_again();
    store.ping().await.unwrap();
    step(&store, &mut order, OrderEvent::Claimed).await.unwrap();
    assert_eq!(store.order(order.id).await.unwrap(), Some(order));
    assert_eq!(store.cursor().await.unwrap(), 2, "nothing of what failed was stored");
    store.close().await;
}

/// Another process hangs while it holds the writers' lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_waited_too_long_for_its_turn_is_not_made_afterwards() {
    let url = fresh_database().await;
    let store = open(&url).await;
    stored(&store).await; // the writer has a connection that it keeps
    let mut hung = PgConnection::connect(&url).await.unwrap();
    hung.execute("begin; select pg_advisory_xact_lock(x'737761706401'::bigint)").await.unwrap();

    let order = order();
    let refused = store.create(&order, None).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    hung.execute("rollback").await.unwrap();
    // Groups are written one after another: once this one is, nothing of the first is on its way.
    stored(&store).await;
    assert_eq!(store.order(order.id).await.unwrap(), None, "its caller was told that it is not stored");
    store.close().await;
}

/// Stops and starts while eight writers never pause: none of them is stuck, and what was answered is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_loses_no_answered_write() {
    let mut server = PostgresServer::start(Disk::Durable);
    let store = open(&create_database(&server.url()).await).await;
    let back = CancellationToken::new();
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let (store, back) = (store.clone(), back.clone());
            tokio::spawn(async move {
                let (mut made, mut failed) = (Vec::new(), 0);
                let mut since_back = 0;
                while since_back < 5 {
                    let order = sample::order();
                    match store.create(&order, None).await {
                        Ok(_) => {
                            made.push(order.id);
                            since_back += usize::from(back.is_cancelled());
                        }
                        Err(StoreError::Unavailable(_)) => failed += 1,
                        Err(other) => panic!("{other:?}"),
                    }
                }
                (made, failed)
            })
        })
        .collect();
    while store.cursor().await.unwrap() < 100 {
        tokio::task::yield_now().await;
    }
    server.crash();
    while store.ping().await.is_ok() {}
    server.start_again();
    back.cancel();
    for answer in join_all(writers).await {
        let (made, _failed) = answer.unwrap();
        for id in made {
            assert!(store.order(id).await.unwrap().is_some());
        }
    }
    let (events, cursor) = (store.events_since(0, u32::MAX).await.unwrap(), store.cursor().await.unwrap());
    assert!(events.iter().map(|event| event.cursor).eq(1..=cursor));
    store.close().await;
}

//! What a store does while its database is locked, read-only or gone.

use sqlx::{Connection, Executor, SqliteConnection};
use swapd::{
    domain::{ErrorCode, OrderEvent},
    store::{self, StoreError},
};

use super::{
    open,
    sample::{order, step, stored},
};

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

//! What the tests share: real servers, sample values, and waiting for something to become true.

#[cfg(feature = "localnet")]
pub mod cut;
#[cfg(feature = "localnet")]
pub mod daemon;
pub mod engine;
pub mod far;
pub mod receiver;
pub mod servers;
pub mod sql;

use std::{future::Future, time::Duration};

use swapd::domain::{OrderEvent, OrderId, Status, StoredEvent};
use time::OffsetDateTime;
use tokio::time::timeout;

/// The longest anything may take before a test calls it hung. Far above what it takes: never a measurement.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The value, or a failed test that says what was waited for.
pub async fn within_patience<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}

/// Tries until it succeeds.
pub async fn eventually<T, E, F>(what: &str, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, E>>,
{
    within_patience(what, async {
        loop {
            if let Ok(value) = attempt().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await; // between looks; nothing relies on its length
        }
    })
    .await
}

/// A key prefix that no other test uses, on a server that tests share.
pub fn unique_prefix() -> String {
    format!("test-{}:", OrderId::new())
}

/// The order's event number `seq`.
pub fn event(order_id: OrderId, seq: u64) -> StoredEvent {
    StoredEvent {
        cursor: seq,
        order_id,
        seq,
        status: Status::Routing,
        token_in: "SOL".into(),
        token_out: "USDC".into(),
        at: OffsetDateTime::UNIX_EPOCH,
        event: OrderEvent::Requoted { reason: format!("event {seq}") },
    }
}

//! Deadline: ends orders that were not signed in time.
//!
//! Owns the comparison with the clock, for whoever drives an order, and a task that ends the overdue orders that nobody
//! drives (a jam, an outage, a pause). A signature is never judged here: what is signed is followed to its end.

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Journal, JournalError};
use crate::{
    domain::{ErrorCode, Failure, NextStep, Order, OrderEvent},
    store::{SharedStore, StoreError},
};

/// Overdue orders that are ended in one go.
const PAGE: u32 = 200;

/// An order's deadline on a clock that cannot be set: from the first look on, a clock that is put back gives no order
/// more time. One that is put forward ends it early, which swaps nothing.
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// The order's deadline, seen from now.
    pub(super) fn of(order: &Order) -> Self {
        let now = OffsetDateTime::now_utc().max(order.updated_at);
        Self(order.expires_at.map(|at| Instant::now() + Duration::try_from(at - now).unwrap_or_default()))
    }

    /// Whether nothing may be signed for the order any more.
    pub(super) fn has_passed(&self, order: &Order) -> bool {
        self.0.is_some_and(|at| at <= Instant::now()) || order.is_overdue(OffsetDateTime::now_utc())
    }

    /// Returns when it has passed: never, when there is none.
    pub(super) async fn passed(&self) {
        match self.0 {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

/// How an overdue order ends.
pub(super) fn overdue() -> Failure {
    Failure::new(ErrorCode::Expired, "the order was not signed by its deadline; nothing was swapped")
}

/// Ends overdue orders, whoever should have driven them.
pub struct Deadlines {
    store: SharedStore,
    journal: Journal,
    every: Duration,
}

impl Deadlines {
    /// Looks at the orders in `store` at this interval.
    pub fn new(store: SharedStore, journal: Journal, every: Duration) -> Self {
        Self { store, journal, every }
    }

    /// Looks again and again, until `shutdown`.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let ending = async {
            loop {
                if let Err(error) = self.end_overdue().await {
                    tracing::warn!(%error, "overdue orders are not ended yet");
                }
                tokio::time::sleep(self.every).await;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = ending => {}
        }
    }

    async fn end_overdue(&self) -> Result<(), StoreError> {
        for id in self.store.overdue(OffsetDateTime::now_utc(), PAGE).await? {
            let mut order = match self.store.order(id).await {
                // Whoever drives it sets it aside; the others must not wait for that.
                Err(StoreError::Corrupt(_)) => continue,
                order => match order? {
                    Some(order) => order,
                    None => continue,
                },
            };
            let unsigned = matches!(order.next_step(), NextStep::Claim | NextStep::Route | NextStep::Build);
            if !unsigned || !order.is_overdue(OffsetDateTime::now_utc()) {
                continue;
            }
            match self.journal.append(&mut order, OrderEvent::Failed { failure: overdue() }, None).await {
                // Somebody else moved it: signed it, or ended it for the same reason.
                Ok(_) | Err(JournalError::Illegal(_) | JournalError::Store(StoreError::VersionConflict)) => {}
                Err(JournalError::Store(error)) => return Err(error),
            }
        }
        Ok(())
    }
}

//! Journal: the one door through which an order changes status.
//!
//! Owns the order of things: apply the event, compare-and-swap the row, then tell the others. Never decides which
//! event it is, and never retries: a lost compare-and-swap means that someone else moved the order.

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;

use crate::{
    domain::{IllegalTransition, Order, OrderEvent, OrderId, OrderStatus, StoredEvent},
    events::SharedBus,
    metrics as names,
    store::{Creation, IdempotencyKey, Reservation, SharedStore, StoreError},
};

/// Why an event was not stored. The order given is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The event cannot happen in this state.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The store refused it or did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The door.
#[derive(Clone)]
pub struct Journal {
    store: SharedStore,
    bus: SharedBus,
}

impl Journal {
    /// A door to `store` that tells `bus`.
    pub fn new(store: SharedStore, bus: SharedBus) -> Self {
        Self { store, bus }
    }

    /// Stores a new order.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn create(&self, order: &Order, key: Option<&IdempotencyKey>) -> Result<Creation, StoreError> {
        let creation = self.store.create(order, key).await?;
        if let Creation::New(event) = &creation {
            metrics::counter!(names::ORDER_EVENTS, "event" => event.event.name()).increment(1);
            tracing::info!(order_id = %order.id, kind = order.kind.as_str(), token_in = order.token_in.symbol,
                token_out = order.token_out.symbol, amount = %order.swap.amount(), mode = order.swap.mode(), "accepted");
            self.publish(Arc::new((**event).clone())).await;
        }
        Ok(creation)
    }

    /// Moves `order` by `event`: stored first, then published. With a reservation the promise is checked and stored
    /// in the same commit.
    ///
    /// # Errors
    /// When the event cannot happen, someone else moved the order, or the store does not answer.
    pub async fn append(
        &self,
        order: &mut Order,
        event: OrderEvent,
        reservation: Option<&Reservation>,
    ) -> Result<Arc<StoredEvent>, JournalError> {
        let mut moved = order.clone();
        moved.apply(&event, OffsetDateTime::now_utc())?;
        let stored = Arc::new(self.store.append(&moved, &event, reservation).await?);
        count(order, &moved, &event);
        *order = moved;
        tracing::info!(seq = stored.seq, status = stored.status.as_str(), event = event.name(), "order moved");
        self.publish(stored.clone()).await;
        Ok(stored)
    }

    /// Marks an order as set aside or replayed, whatever its version: stored first, then published. `None` when the
    /// mark does not fit the order.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn mark(&self, id: OrderId, event: OrderEvent) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        let Some(stored) = self.store.mark(id, &event, OffsetDateTime::now_utc()).await? else { return Ok(None) };
        let stored = Arc::new(stored);
        metrics::counter!(names::ORDER_EVENTS, "event" => event.name()).increment(1);
        tracing::info!(order_id = %id, seq = stored.seq, status = stored.status.as_str(), event = event.name(), "marked");
        self.publish(stored.clone()).await;
        Ok(Some(stored))
    }

    /// A lost message only costs promptness: readers also look at the store.
    async fn publish(&self, event: Arc<StoredEvent>) {
        if let Err(error) = self.bus.publish(&event).await {
            tracing::warn!(order_id = %event.order_id, %error, "event stored but not published");
        }
    }
}

/// Counts what happened, and how long it took since the event before.
fn count(before: &Order, after: &Order, event: &OrderEvent) {
    metrics::counter!(names::ORDER_EVENTS, "event" => event.name()).increment(1);
    names::seconds(names::ORDER_STAGE, "event", event.name(), between(before.updated_at, after.updated_at));
    let status = after.status.name();
    if status.is_terminal() && !before.status.name().is_terminal() {
        let code = match &after.status {
            OrderStatus::Failed { failure, .. } => failure.code.as_str(),
            _ => "",
        };
        metrics::counter!(names::ORDERS_ENDED, "status" => status.as_str(), "code" => code).increment(1);
        names::seconds(names::ORDER_TOTAL, "status", status.as_str(), between(after.created_at, after.updated_at));
    }
}

/// The time between two events; none when the clock was set back meanwhile.
fn between(from: OffsetDateTime, to: OffsetDateTime) -> Duration {
    (to - from).try_into().unwrap_or_default()
}

//! Journal: the one door through which an order changes status.
//!
//! Owns the order of things: apply the event, compare-and-swap the row, count. What is stored is told to the others by the
//! announcer. Never decides which event it is, and never retries: a lost compare-and-swap means that someone else moved
//! the order.

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;

use crate::{
    domain::{IllegalTransition, Order, OrderEvent, OrderId, OrderStatus, Status, StoredEvent},
    metrics as names,
    store::{Creation, IdempotencyKey, Line, Reservation, SharedStore, StoreError, Ticket},
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
}

/// An event that is handed over and not yet known to be stored. Dropped, it may be stored or not.
#[must_use = "an event is stored only when its ticket says so"]
pub struct Underway {
    ticket: Ticket,
    step: Step,
}

/// What an event did to its order, as the metrics count it.
struct Step {
    event: &'static str,
    /// Since the event before.
    took: Duration,
    end: Option<End>,
}

struct End {
    status: Status,
    code: &'static str,
    /// Since the order was accepted.
    took: Duration,
}

impl Journal {
    /// A door to `store`.
    pub fn new(store: SharedStore) -> Self {
        Self { store }
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
        }
        Ok(creation)
    }

    /// Moves `order` by `event` once that is stored. With a reservation the promise is checked and stored in the same
    /// commit.
    ///
    /// # Errors
    /// When the event cannot happen, someone else moved the order, or the store does not answer.
    pub async fn append(
        &self,
        order: &mut Order,
        event: OrderEvent,
        reservation: Option<&Reservation>,
    ) -> Result<Arc<StoredEvent>, JournalError> {
        self.append_on(order, event, reservation, &Line::default()).await
    }

    /// The same after events that are handed over on `line`: stored only when all of them are.
    ///
    /// # Errors
    /// As above.
    pub async fn append_on(
        &self,
        order: &mut Order,
        event: OrderEvent,
        reservation: Option<&Reservation>,
        line: &Line,
    ) -> Result<Arc<StoredEvent>, JournalError> {
        let mut moved = order.clone();
        let stored = self.hand_over(&mut moved, event, reservation, line).await?.stored().await?;
        *order = moved;
        Ok(stored)
    }

    /// Moves `order` by `event` ahead of the store, for steps that nothing outside depends on. When the ticket fails, the
    /// order in hand is not the one in the store.
    ///
    /// # Errors
    /// When the event cannot happen or the store does not take it; the order is then as it was.
    pub async fn begin(&self, order: &mut Order, event: OrderEvent, line: &Line) -> Result<Underway, JournalError> {
        self.hand_over(order, event, None, line).await
    }

    async fn hand_over(
        &self,
        order: &mut Order,
        event: OrderEvent,
        reservation: Option<&Reservation>,
        line: &Line,
    ) -> Result<Underway, JournalError> {
        let mut moved = order.clone();
        moved.apply(&event, OffsetDateTime::now_utc())?;
        let ticket = self.store.begin(&moved, &event, reservation, line).await?;
        let step = Step::between(order, &moved, &event);
        *order = moved;
        Ok(Underway { ticket, step })
    }

    /// Marks an order as set aside or replayed, whatever its version. `None` when the mark does not fit the order.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn mark(&self, id: OrderId, event: OrderEvent) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        let Some(stored) = self.store.mark(id, &event, OffsetDateTime::now_utc()).await? else { return Ok(None) };
        metrics::counter!(names::ORDER_EVENTS, "event" => event.name()).increment(1);
        tracing::info!(order_id = %id, seq = stored.seq, status = stored.status.as_str(), event = event.name(), "marked");
        Ok(Some(stored))
    }
}

impl Underway {
    /// Waits for the commit.
    ///
    /// # Errors
    /// When someone else moved the order or the store does not answer.
    pub async fn stored(self) -> Result<Arc<StoredEvent>, StoreError> {
        let stored = self.ticket.stored().await?;
        self.step.count();
        tracing::info!(seq = stored.seq, status = stored.status.as_str(), event = self.step.event, "order moved");
        Ok(stored)
    }
}

impl Step {
    fn between(before: &Order, after: &Order, event: &OrderEvent) -> Self {
        let status = after.status.name();
        let end = (status.is_terminal() && !before.status.name().is_terminal()).then(|| End {
            status,
            code: match &after.status {
                OrderStatus::Failed { failure, .. } => failure.code.as_str(),
                _ => "",
            },
            took: between(after.created_at, after.updated_at),
        });
        Self { event: event.name(), took: between(before.updated_at, after.updated_at), end }
    }

    fn count(&self) {
        metrics::counter!(names::ORDER_EVENTS, "event" => self.event).increment(1);
        names::seconds(names::ORDER_STAGE, "event", self.event, self.took);
        if let Some(End { status, code, took }) = self.end {
            metrics::counter!(names::ORDERS_ENDED, "status" => status.as_str(), "code" => code).increment(1);
            names::seconds(names::ORDER_TOTAL, "status", status.as_str(), took);
        }
    }
}

/// The time between two events; none when the clock was set back meanwhile.
fn between(from: OffsetDateTime, to: OffsetDateTime) -> Duration {
    (to - from).try_into().unwrap_or_default()
}

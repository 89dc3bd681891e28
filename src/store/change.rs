//! Changes: what callers hand to the writer, and what they hear back.
//!
//! Owns the encoding of a write, done by its caller before it waits, so that the one writer only has to decide
//! (`plan`) and to commit.

use std::sync::Arc;

use time::OffsetDateTime;

use super::{
    Creation, IdempotencyKey, Line, Reservation, StoreError,
    rows::{AttemptColumns, FixedColumns, OrderRow, stored_form, stored_time},
};
use crate::domain::{Order, OrderEvent, OrderId, Slot, StoredEvent};

/// One write that waits for its commit.
#[derive(Debug)]
pub(super) enum Change {
    /// An order's next event.
    Event(Box<EventChange>),
    /// A mark on an order whose row may be unreadable.
    Mark(Box<MarkChange>),
    /// Somebody takes the order up, or leaves it in order.
    TakeUp { id: OrderId, up: bool },
    /// Something to remember.
    Fact { name: String, value: String },
}

impl Change {
    /// It is not stored, or nobody knows: its line ends.
    pub(super) fn is_not_stored(&self) {
        if let Self::Event(change) = self {
            change.line.end();
        }
    }
}

/// A mark on an order, whatever its version: the order itself is not read.
#[derive(Debug)]
pub(super) struct MarkChange {
    pub id: OrderId,
    pub at: OffsetDateTime,
    pub event: OrderEvent,
    pub payload: String,
}

impl MarkChange {
    pub(super) fn new(id: OrderId, event: &OrderEvent, at: OffsetDateTime) -> Result<Self, StoreError> {
        let (event, payload) = stored_form(event)?;
        Ok(Self { id, at: stored_time(at), event, payload })
    }
}

/// An order's next event, encoded by the caller so that the writer only has to decide.
#[derive(Debug)]
pub(super) struct EventChange {
    /// The event as it will be read back. Its cursor is given by the plan.
    pub stored: StoredEvent,
    pub payload: String,
    pub row: OrderRow,
    /// Of a new order.
    pub fixed: Option<FixedColumns>,
    pub key: Option<IdempotencyKey>,
    pub reservation: Option<Reservation>,
    pub attempt: Option<AttemptColumns>,
    pub outcome: Option<AttemptOutcome>,
    pub line: Line,
}

/// What became of an order's newest signature. The earlier ones are settled: at most one is ever alive.
#[derive(Debug)]
pub(super) struct AttemptOutcome {
    pub order_id: OrderId,
    pub n: u8,
    pub outcome: &'static str,
    pub slot: Option<Slot>,
}

impl EventChange {
    pub(super) fn created(order: &Order, key: Option<&IdempotencyKey>) -> Result<Self, StoreError> {
        let fixed = Some(FixedColumns::new(order));
        Ok(Self { key: key.cloned(), fixed, ..Self::new(order, &OrderEvent::Created)? })
    }

    pub(super) fn appended(
        order: &Order,
        event: &OrderEvent,
        reservation: Option<&Reservation>,
    ) -> Result<Self, StoreError> {
        let attempt = match event {
            OrderEvent::Signed { attempt } => Some(AttemptColumns::new(order.id, attempt, order.updated_at)),
            _ => None,
        };
        let outcome = match event {
            OrderEvent::Landed { landing, .. } => Some(("landed", Some(landing.slot))),
            OrderEvent::Rejected { landing, .. } => Some(("rejected", Some(landing.slot))),
            OrderEvent::Expired { .. } => Some(("expired", None)),
            OrderEvent::ChainReset => Some(("chain_reset", None)),
            _ => None,
        };
        let outcome =
            outcome.map(|(outcome, slot)| AttemptOutcome { order_id: order.id, n: order.signatures, outcome, slot });
        Ok(Self { reservation: reservation.copied(), attempt, outcome, ..Self::new(order, event)? })
    }

    fn new(order: &Order, event: &OrderEvent) -> Result<Self, StoreError> {
        let (event, payload) = stored_form(event)?;
        let stored = StoredEvent {
            cursor: 0,
            order_id: order.id,
            seq: order.version,
            status: order.status.name(),
            token_in: order.token_in.symbol.clone(),
            token_out: order.token_out.symbol.clone(),
            at: stored_time(order.updated_at),
            event,
        };
        let row = OrderRow::new(order);
        Ok(Self {
            stored,
            payload,
            row,
            fixed: None,
            key: None,
            reservation: None,
            attempt: None,
            outcome: None,
            line: Line::default(),
        })
    }
}

/// What became of a write.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The event is stored.
    Stored(Arc<StoredEvent>),
    /// The idempotency key was used before; nothing is stored.
    KeyUsed(Creation),
    /// The mark does not fit the order as it is; nothing is stored.
    Unmarked,
    /// How often the order was taken up since its last event.
    TakenUp(u32),
    /// The fact is stored.
    Remembered,
}

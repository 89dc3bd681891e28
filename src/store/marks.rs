//! Marks: what a group does to orders without reading them, for rows that may be unreadable.
//!
//! Owns the decisions on setting aside, replaying and counting take-ups; part of `plan`, and pure like it.

use std::sync::Arc;

use time::OffsetDateTime;

use super::{
    change::{MarkChange, Outcome},
    known::Known,
    plan::{Plan, PlannedEvent},
};
use crate::domain::{OrderEvent, OrderId, StoredEvent};

/// What a mark changes of an order's row.
#[derive(Debug)]
pub(super) struct PlannedMark<'a> {
    pub id: OrderId,
    pub version: u64,
    pub last_cursor: u64,
    pub updated_at: OffsetDateTime,
    pub set_aside_at: Option<OffsetDateTime>,
    pub set_aside_cause: Option<&'static str>,
    pub set_aside_reason: Option<&'a str>,
}

/// An order's count of take-ups.
#[derive(Debug)]
pub(super) struct PlannedTakeUp {
    pub id: OrderId,
    pub take_ups: u32,
}

/// Puts a mark on an order or takes it off, if there is something left to do for it and it is not so already.
pub(super) fn mark<'a>(change: &'a MarkChange, known: &mut Known, plan: &mut Plan<'a>) -> Outcome {
    let Some(order) = known.orders.get_mut(&change.id) else { return Outcome::Unmarked };
    let aside = match &change.event {
        OrderEvent::SetAside { cause, reason } => Some((*cause, reason.as_str())),
        _ => None,
    };
    let Some(status) = order.status.filter(|_| order.has_work && order.is_aside != aside.is_some()) else {
        return Outcome::Unmarked;
    };
    known.cursor += 1;
    order.version += 1;
    order.is_aside = aside.is_some();
    order.take_ups = 0;
    plan.take_ups.remove(&change.id);
    if let Some(promise) = &mut order.promise {
        promise.ended_at = status.is_terminal().then_some(known.cursor);
    }
    let stamp = order.updated_at.map_or(change.at, |before| change.at.max(before));
    let marked = PlannedMark {
        id: change.id,
        version: order.version,
        last_cursor: known.cursor,
        updated_at: stamp,
        set_aside_at: aside.map(|_| stamp),
        set_aside_cause: aside.map(|(cause, _)| cause.as_str()),
        set_aside_reason: aside.map(|(_, reason)| reason),
    };
    plan.marks.insert(change.id, marked);
    plan.events.push(PlannedEvent {
        cursor: known.cursor,
        order_id: change.id,
        seq: order.version,
        status,
        event: change.event.name(),
        payload: &change.payload,
        created_at: stamp,
    });
    Outcome::Stored(Arc::new(StoredEvent {
        cursor: known.cursor,
        order_id: change.id,
        seq: order.version,
        status,
        token_in: order.token_in.clone(),
        token_out: order.token_out.clone(),
        at: stamp,
        event: change.event.clone(),
    }))
}

/// Counts a take-up, or ends the count.
pub(super) fn take_up(id: OrderId, up: bool, known: &mut Known, plan: &mut Plan<'_>) -> Outcome {
    let Some(order) = known.orders.get_mut(&id) else { return Outcome::TakenUp(0) };
    order.take_ups = if up { order.take_ups.saturating_add(1) } else { 0 };
    plan.take_ups.insert(id, PlannedTakeUp { id, take_ups: order.take_ups });
    Outcome::TakenUp(order.take_ups)
}

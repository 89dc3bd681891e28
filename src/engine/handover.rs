//! Handover: from the intake to the worker of the same process, so that an order just stored is not read again.
//!
//! Owns a bounded number of orders; when there are more, the oldest is forgotten. Never the truth: who finds nothing
//! reads the store, and what was handed over proves itself by the compare-and-swap of its next event.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
};

use crate::{
    domain::{Order, OrderId},
    lock::lock,
};

/// Orders that wait for this process's worker.
#[derive(Debug)]
pub struct Handover {
    places: usize,
    left: Mutex<Left>,
}

#[derive(Debug, Default)]
struct Left {
    orders: HashMap<OrderId, Order>,
    /// In the order in which they came; those that were taken meanwhile included.
    came: VecDeque<OrderId>,
}

impl Handover {
    /// With places for this many orders.
    pub fn new(places: usize) -> Self {
        Self { places, left: Mutex::default() }
    }

    /// Leaves an order for whoever claims it.
    pub fn leave(&self, order: &Order) {
        if self.places == 0 {
            return;
        }
        let mut left = lock(&self.left);
        if left.came.len() >= self.places
            && let Some(oldest) = left.came.pop_front()
        {
            left.orders.remove(&oldest);
        }
        left.came.push_back(order.id);
        left.orders.insert(order.id, order.clone());
    }

    /// Takes an order that was left here.
    pub fn take(&self, id: OrderId) -> Option<Order> {
        lock(&self.left).orders.remove(&id)
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::domain::samples;

    #[test]
    fn an_order_is_taken_once_and_by_its_own_id() {
        let handover = Handover::new(1);
        let (one, other) = (samples::order(OffsetDateTime::UNIX_EPOCH), samples::order(OffsetDateTime::UNIX_EPOCH));
        handover.leave(&one);
        assert!(handover.take(other.id).is_none());
        assert_eq!(handover.take(one.id).map(|order| order.id), Some(one.id));
        assert!(handover.take(one.id).is_none());
    }

    #[test]
    fn the_oldest_makes_room_for_the_newest() {
        let handover = Handover::new(1);
        let (one, other) = (samples::order(OffsetDateTime::UNIX_EPOCH), samples::order(OffsetDateTime::UNIX_EPOCH));
        handover.leave(&one);
        handover.leave(&other);
        assert!(handover.take(one.id).is_none());
        assert!(handover.take(other.id).is_some());
    }

    #[test]
    fn without_places_nothing_is_kept() {
        let handover = Handover::new(0);
        let order = samples::order(OffsetDateTime::UNIX_EPOCH);
        handover.leave(&order);
        assert!(handover.take(order.id).is_none());
    }
}

//! Places: the bound on waiting orders, kept although many come at once.
//!
//! Owns the number of orders that were let in and are not queued yet. Without it every request that looks at the queue
//! while others are being stored would find the same free place.

use std::sync::atomic::{AtomicU64, Ordering};

/// The room for waiting orders, as far as this process fills it.
pub struct Places {
    most: u64,
    coming: AtomicU64,
}

impl Places {
    /// Room for `most` orders.
    pub const fn new(most: u64) -> Self {
        Self { most, coming: AtomicU64::new(0) }
    }

    /// Takes a place in a queue that has `depth` orders, and holds it until the order is queued.
    ///
    /// # Errors
    /// How many orders wait or are on their way, when that is all there is room for.
    pub fn take(&self, depth: u64) -> Result<Place<'_>, u64> {
        let taken = |coming: u64| depth.saturating_add(coming);
        let coming = self.coming.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |coming| {
            (taken(coming) < self.most).then_some(coming + 1)
        });
        coming.map(|_| Place(&self.coming)).map_err(taken)
    }
}

/// One order's place, as long as it is on its way to the queue.
pub struct Place<'a>(&'a AtomicU64);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_on_their_way_fill_the_room_as_waiting_ones_do() {
        let places = Places::new(3);
        let first = places.take(1).ok();
        assert!(first.is_some());
        let second = places.take(1).ok();
        assert!(second.is_some());
        assert_eq!(places.take(1).err(), Some(3), "one waits and two are coming");
        drop(first);
        assert!(places.take(1).is_ok(), "one gave its place up");
        assert_eq!(places.take(2).err(), Some(3), "or it is queued, and counted there");
        drop(second);
        assert_eq!(places.take(3).err(), Some(3));
    }
}

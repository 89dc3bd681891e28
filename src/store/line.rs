//! Line: events of one order that are handed over one after another without waiting for each to be stored.
//!
//! Owns one fact: whether one of them was not stored. The versions alone do not say it. Where somebody else's event has
//! taken the place of the first, the second would fit on top of that one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A line of events. Clones are the same line.
#[derive(Clone, Debug, Default)]
pub struct Line(Arc<AtomicBool>);

impl Line {
    /// One of its events is not stored, or nobody knows: none after it may be.
    pub(super) fn end(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

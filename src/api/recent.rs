//! Recent: the latest frames, for readers who come back.
//!
//! Owns how many are kept. Thousands who were cut off together resume from here: the store is read, and a frame's text
//! written, once for all of them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use super::feed::Frame;
use crate::lock::lock;

/// Frames in the order of their cursors, without a gap; the oldest are forgotten.
pub struct Recent {
    most: usize,
    frames: Mutex<VecDeque<Arc<Frame>>>,
}

impl Recent {
    /// Keeps `most` frames.
    pub const fn new(most: usize) -> Self {
        Self { most, frames: Mutex::new(VecDeque::new()) }
    }

    /// Takes in the next frames.
    pub fn push(&self, next: Vec<Arc<Frame>>) {
        let mut frames = self.frames();
        frames.extend(next);
        let too_many = frames.len().saturating_sub(self.most);
        let forgotten: Vec<_> = frames.drain(..too_many).collect();
        drop(frames);
        drop(forgotten); // readers need not wait for that
    }

    /// The first `most` frames with a cursor above `seen`, or `None` when some of them may be forgotten.
    pub fn after(&self, seen: u64, most: usize) -> Option<Vec<Arc<Frame>>> {
        let frames = self.frames();
        let oldest = frames.front()?.event.cursor;
        if oldest > seen.saturating_add(1) {
            return None;
        }
        let told = frames.partition_point(|frame| frame.event.cursor <= seen);
        Some(frames.range(told..).take(most).cloned().collect())
    }

    fn frames(&self) -> MutexGuard<'_, VecDeque<Arc<Frame>>> {
        lock(&self.frames)
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::domain::{OrderEvent, OrderId, Status, StoredEvent};

    fn frame(cursor: u64) -> Arc<Frame> {
        let event = StoredEvent {
            cursor,
            order_id: OrderId::new(),
            seq: 1,
            status: Status::Pending,
            event: OrderEvent::Created,
            at: OffsetDateTime::UNIX_EPOCH,
            token_in: "SOL".into(),
            token_out: "USDC".into(),
        };
        Arc::new(Frame { event: Arc::new(event), text: "".into() })
    }

    #[test]
    fn what_is_recent_has_no_gap_or_is_not_given() {
        let recent = Recent::new(3);
        let after = |seen| {
            let frames = recent.after(seen, 3)?;
            Some(frames.iter().map(|frame| frame.event.cursor).collect::<Vec<_>>())
        };
        assert_eq!(after(0), None, "nothing is known yet");
        recent.push(vec![frame(5)]);
        recent.push((6..=8).map(frame).collect());
        assert_eq!(after(4), None, "5 is forgotten");
        assert_eq!(after(5), Some(vec![6, 7, 8]));
        assert_eq!(after(7), Some(vec![8]));
        assert_eq!(after(8), Some(vec![]));
        assert_eq!(after(u64::MAX), Some(vec![]));
        assert_eq!(recent.after(5, 2).map(|frames| frames.len()), Some(2));
    }
}

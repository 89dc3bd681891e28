//! Pace: how fast blocks come, measured.
//!
//! Owns one measurement: the growth of a height over the time it took. Every time that is meant in blocks becomes
//! seconds through it, because clusters have changed their slot time and will again. Never asks anybody.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::BlockHeight;

/// Blocks that a measurement spans at least, so that a block more or less at its ends hardly counts.
const SPAN: u64 = 16;

/// The growth of one height, at one commitment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    since: Option<(BlockHeight, Instant)>,
    block_time: Option<Duration>,
}

impl Pace {
    /// Takes in a height that was seen at `at`. One that does not exceed the former ones tells nothing.
    pub fn note(&mut self, height: BlockHeight, at: Instant) {
        let Some((first, since)) = self.since else {
            self.since = Some((height, at));
            return;
        };
        let grown = height.0.saturating_sub(first.0);
        if grown >= SPAN {
            let grown = u32::try_from(grown).unwrap_or(u32::MAX);
            self.block_time = Some(at.duration_since(since) / grown);
            self.since = Some((height, at));
        }
    }

    /// The time between two blocks, once it could be measured.
    pub const fn block_time(&self) -> Option<Duration> {
        self.block_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is measured of a height that is looked at each `every`.
    fn measured(block_time: Duration, every: Duration) -> Option<Duration> {
        let start = Instant::now();
        let mut pace = Pace::default();
        for look in 0..40 {
            let at = every * look;
            let height = u64::try_from(at.as_millis() / block_time.as_millis()).unwrap();
            pace.note(BlockHeight(1_000 + height), start + at);
        }
        pace.block_time()
    }

    /// E.14, 11.
    #[test]
    fn the_block_time_is_measured_whatever_it_is() {
        for millis in [20, 150, 200, 400, 2_000] {
            let truth = Duration::from_millis(millis);
            for every in [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(60)] {
                let Some(measured) = measured(truth, every) else {
                    assert!(every * 39 < truth * 16, "enough blocks of {truth:?} for a measurement");
                    continue;
                };
                assert!(measured >= truth * 9 / 10 && measured <= truth * 11 / 10, "{truth:?}: {measured:?}");
            }
        }
    }

    #[test]
    fn heights_of_nodes_that_are_behind_or_stand_still_measure_nothing() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        for (height, seconds) in [(100, 0), (90, 1), (100, 2), (101, 3)] {
            pace.note(BlockHeight(height), at(seconds));
            assert_eq!(pace.block_time(), None);
        }
        pace.note(BlockHeight(116), at(8));
        assert_eq!(pace.block_time(), Some(Duration::from_millis(500)));
    }
}

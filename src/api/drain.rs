//! Drain: when a refused caller has a place to hope for.
//!
//! Owns the measured rate at which orders end, and the line of those who were sent away. Each of them is told a time of
//! its own, one order's end after the one before, so that they do not all come back at once.

use std::{sync::Mutex, time::Duration};

use tokio::time::Instant;

use crate::lock::lock;

/// Over how long the rate is measured.
const WINDOW: Duration = Duration::from_secs(10);
/// The longest time a caller is told: what is measured now says little about later.
const LONGEST: Duration = Duration::from_secs(60);

/// The rate at which orders end, as this process hears of it, and who waits for that.
pub struct Drain(Mutex<Inner>);

struct Inner {
    /// Orders that ended in the current window, and in the whole one before it.
    ended: [u32; 2],
    /// When the current window began.
    since: Instant,
    /// When the last caller in the line was told to come back.
    promised: Instant,
}

impl Drain {
    /// Nothing measured yet.
    pub fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(Inner { ended: [0, 0], since: now, promised: now }))
    }

    /// An order has ended.
    pub fn note_end(&self) {
        let mut inner = self.inner();
        inner.turn(Instant::now());
        inner.ended[0] += 1;
    }

    /// How long the next caller should wait; it takes a place in the line.
    pub fn next_place(&self) -> Duration {
        let now = Instant::now();
        let mut inner = self.inner();
        inner.turn(now);
        let next = inner.promised.max(now) + inner.between_ends(now);
        // A place behind the end of the line is the end of the line: it is not made longer by those it turns away.
        inner.promised = next.min(now + LONGEST);
        inner.promised - now
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        lock(&self.0)
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    fn turn(&mut self, now: Instant) {
        let windows = now.duration_since(self.since).as_nanos() / WINDOW.as_nanos();
        if windows == 0 {
            return;
        }
        self.ended = if windows == 1 { [0, self.ended[0]] } else { [0, 0] };
        self.since = now;
    }

    /// The measured time from one order's end to the next.
    fn between_ends(&self, now: Instant) -> Duration {
        let [current, before] = self.ended;
        let measured = now.duration_since(self.since) + if before > 0 { WINDOW } else { Duration::ZERO };
        match current.saturating_add(before) {
            0 => LONGEST,
            ended => measured / ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn refused_callers_are_spread_over_the_ends_to_come() {
        let drain = Drain::new();
        assert_eq!(drain.next_place(), LONGEST, "nothing ends: nobody knows better");
        let drain = Drain::new();
        for _ in 0..20 {
            tokio::time::advance(Duration::from_millis(200)).await;
            drain.note_end();
        }
        let places: Vec<_> = (1..=10).map(|_| drain.next_place().as_millis()).collect();
        assert_eq!(places, [200, 400, 600, 800, 1_000, 1_200, 1_400, 1_600, 1_800, 2_000]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(drain.next_place() < Duration::from_millis(1_300), "the line has moved on");
        for _ in 0..10_000 {
            assert!(drain.next_place() <= LONGEST);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_rate_is_forgotten() {
        let drain = Drain::new();
        for _ in 0..100 {
            drain.note_end();
        }
        tokio::time::advance(WINDOW * 3).await;
        assert_eq!(drain.next_place(), LONGEST);
    }
}

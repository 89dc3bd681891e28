//! Turns: when which order is given.
//!
//! Open loop: order `n` is due `n / rate` seconds after the start, whatever became of the ones before it. Its latency
//! counts from then, also when every connection was busy with a server that stalled: else the stall would hide the very
//! orders that waited for it (coordinated omission). Closed loop: a client's order is due when its last one has ended.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The longest nap of the thread that opens turns, so that it notices the end.
const NAP: Duration = Duration::from_millis(50);

/// How orders follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Open loop: so many a second.
    Rate(f64),
    /// Closed loop: so many clients, each with one order at a time.
    Clients(usize),
}

/// How many orders there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many.
    Orders(u64),
    /// As many as are due within this time.
    For(Duration),
}

/// One order's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The order's number, from 0.
    pub n: u64,
    /// When it is due, after the start.
    pub due: Duration,
}

/// The turns that are left.
pub struct Turns {
    pace: Pace,
    length: Length,
    start: Instant,
    next: AtomicU64,
    /// One permit for each turn that has come and is not taken. Not used in a closed loop.
    open: Semaphore,
    stop: CancellationToken,
}

impl Turns {
    /// From now on, until `stop`.
    pub fn new(pace: Pace, length: Length, stop: CancellationToken) -> Self {
        Self { pace, length, start: Instant::now(), next: AtomicU64::new(0), open: Semaphore::new(0), stop }
    }

    /// When the first order was due.
    pub const fn start(&self) -> Instant {
        self.start
    }

    /// How orders follow each other.
    pub const fn pace(&self) -> Pace {
        self.pace
    }

    /// The next turn, once it has come; `None` when there is no more. Cancel-safe: who is dropped has taken none.
    pub async fn take(&self) -> Option<Turn> {
        if let Pace::Rate(_) = self.pace {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                permit = self.open.acquire() => permit.ok()?.forget(),
            }
        }
        if self.stop.is_cancelled() {
            return None;
        }
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let due = match self.pace {
            Pace::Rate(rate) => due(n, rate),
            Pace::Clients(_) => self.start.elapsed(),
        };
        let is_there = match self.length {
            Length::Orders(orders) => n < orders,
            Length::For(time) => due < time,
        };
        is_there.then_some(Turn { n, due })
    }

    /// Opens the turns of an open loop as they come; returns after the last one. Blocks: a thread's own sleep is exact to
    /// a tenth of a millisecond, a timer's of the runtime to a whole one.
    pub fn open_all(&self, takers: usize) {
        let Pace::Rate(rate) = self.pace else { return };
        let mut opened = 0;
        while !self.stop.is_cancelled() {
            let last = match self.length {
                Length::Orders(orders) => opened >= orders,
                Length::For(time) => due(opened, rate) >= time,
            };
            if last {
                break;
            }
            let wait = due(opened, rate).saturating_sub(self.start.elapsed());
            if wait.is_zero() {
                self.open.add_permits(1);
                opened += 1;
            } else {
                thread::sleep(wait.min(NAP));
            }
        }
        // For each taker one more, to find that there is no turn left.
        self.open.add_permits(takers);
    }
}

/// When order `n` is due after the start; never, when that is too far away to be told.
fn due(n: u64, rate: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 orders")]
    let seconds = n as f64 / rate;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    async fn all(pace: Pace, length: Length) -> Vec<Turn> {
        let turns = Arc::new(Turns::new(pace, length, CancellationToken::new()));
        let opening = turns.clone();
        let opener = tokio::task::spawn_blocking(move || opening.open_all(1));
        let mut taken = Vec::new();
        while let Some(turn) = turns.take().await {
            taken.push(turn);
        }
        opener.await.unwrap();
        taken
    }

    #[tokio::test]
    async fn turns_of_an_open_loop_are_due_by_the_clock_alone() {
        let turns = all(Pace::Rate(1_000.0), Length::Orders(30)).await;
        let expected: Vec<_> = (0..30).map(|n| Turn { n, due: Duration::from_millis(n) }).collect();
        assert_eq!(turns, expected);
        assert_eq!(all(Pace::Rate(1_000.0), Length::For(Duration::from_millis(20))).await, expected[..20]);
    }

    #[tokio::test]
    async fn a_rate_that_is_next_to_nothing_gives_the_first_order_and_waits() {
        for rate in [1e-20, f64::MIN_POSITIVE] {
            let turns = all(Pace::Rate(rate), Length::For(Duration::from_secs(1))).await;
            assert_eq!(turns, [Turn { n: 0, due: Duration::ZERO }]);
        }
    }

    #[tokio::test]
    async fn a_closed_loop_ends_after_its_orders() {
        assert_eq!(all(Pace::Clients(1), Length::Orders(5)).await.len(), 5);
    }

    /// The first order is held by the server until 300 ms after it was due; the others are quick. One connection.
    #[tokio::test]
    async fn a_server_that_stalls_shows_in_everybody_who_waited() {
        let turns = Arc::new(Turns::new(Pace::Rate(1_000.0), Length::Orders(100), CancellationToken::new()));
        let opening = turns.clone();
        let opener = tokio::task::spawn_blocking(move || opening.open_all(1));
        let (mut from_due, mut from_sent) = (Vec::new(), Vec::new());
        while let Some(turn) = turns.take().await {
            let sent = turns.start().elapsed();
            if turn.n == 0 {
                let stalled = Duration::from_millis(300).saturating_sub(turns.start().elapsed());
                tokio::time::sleep(stalled).await;
            }
            let answered = turns.start().elapsed();
            from_due.push(answered - turn.due);
            from_sent.push(answered - sent);
        }
        opener.await.unwrap();
        // Each was due within the first 99 ms and answered after 300.
        assert!(from_due.iter().all(|latency| *latency >= Duration::from_millis(200)), "{from_due:?}");
        from_sent.sort();
        assert!(from_sent[50] < Duration::from_millis(200), "counted from the send the stall hides: {from_sent:?}");
    }
}

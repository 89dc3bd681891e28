//! Sweeper: queues orders that have something left to do and that nobody touches.
//!
//! The queue is a hint that may be lost as a whole; the store knows better. Only orders without a job get one, so that
//! it may be done early: what waits or is driven elsewhere is left alone. Untouched is what keeps its version while this
//! sweeper looks on: the times of events are other machines' and yesterday's clocks, and decide nothing. Each order is
//! looked after at growing intervals, because asking about a long queue costs something too.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::worker::Active;
use crate::{
    domain::OrderId,
    queue::{QueueError, SharedQueue},
    store::{SharedStore, StoreError, Unfinished},
};

const PAGE: u32 = 500;
/// The longest an order waits whose job was lost after it had been looked after many times.
const LONGEST_INTERVAL: Duration = Duration::from_secs(15);

/// When an order counts as untouched.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Between two sweeps.
    pub every: Duration,
    /// An order that did not move for this long, since it was first seen so, is looked after.
    pub untouched: Duration,
    /// The same for what is there at the start: zero when no other process can be at work.
    pub untouched_at_start: Duration,
}

/// Why a sweep ended early. The next one starts anew.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// One process's sweeper.
pub struct Sweeper {
    store: SharedStore,
    queue: SharedQueue,
    active: Active,
    settings: Settings,
    watched: HashMap<OrderId, Watched>,
}

/// An unfinished order since it was last seen to have moved.
#[derive(Clone, Copy)]
struct Watched {
    version: u64,
    due_at: Instant,
    interval: Duration,
    /// The last sweep that met it.
    seen_at: Instant,
}

impl Sweeper {
    /// Looks after every order in `store` that is not among `active`.
    pub fn new(store: SharedStore, queue: SharedQueue, active: Active, settings: Settings) -> Self {
        Self { store, queue, active, settings, watched: HashMap::new() }
    }

    /// Sweeps at once and then at every interval, until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut untouched = self.settings.untouched_at_start;
        loop {
            let swept = tokio::select! {
                () = shutdown.cancelled() => break,
                swept = self.sweep(untouched) => swept,
            };
            match swept {
                Ok(count) => {
                    if count > 0 {
                        tracing::info!(count, "queued unfinished orders that had no job");
                    }
                    untouched = self.settings.untouched;
                }
                Err(error) => tracing::warn!(%error, "sweep ended early"),
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(self.settings.every) => {}
            }
        }
    }

    async fn sweep(&mut self, untouched: Duration) -> Result<usize, SweepError> {
        let now = Instant::now();
        let (mut after, mut count) = (None, 0);
        loop {
            let page = self.store.unfinished(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            let mut due = Vec::new();
            for Unfinished { id, version } in page {
                let fresh =
                    Watched { version, due_at: now + untouched, interval: self.settings.untouched, seen_at: now };
                let watched = self.watched.entry(id).or_insert(fresh);
                if watched.version != version {
                    *watched = fresh;
                }
                watched.seen_at = now;
                if watched.due_at <= now && !self.active.contains(&id) {
                    due.push(id);
                }
            }
            if !due.is_empty() {
                count += self.queue.restore(&due).await?;
            }
            for id in &due {
                let Some(watched) = self.watched.get_mut(id) else { continue };
                watched.interval = (watched.interval * 2).min(LONGEST_INTERVAL).max(self.settings.every);
                watched.due_at = now + watched.interval;
            }
        }
        self.watched.retain(|_, watched| watched.seen_at == now);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use time::{OffsetDateTime, macros::datetime};

    use super::*;
    use crate::{
        domain::{Order, OrderEvent, samples},
        queue::{self, QueueOptions},
        store,
    };

    const HOUR: Duration = Duration::from_secs(3_600);

    async fn stored(store: &SharedStore, at: OffsetDateTime) -> Order {
        let order = samples::order(at);
        store.create(&order, None).await.unwrap();
        order
    }

    #[tokio::test]
    async fn what_does_not_move_is_queued_whatever_its_time_stamp_says() {
        let store = store::open("sqlite::memory:").await.unwrap();
        let queue = queue::open("memory:", &QueueOptions::default()).await.unwrap();
        let settings = Settings { every: HOUR, untouched: HOUR, untouched_at_start: HOUR };
        let mut sweeper = Sweeper::new(store.clone(), queue.clone(), Active::default(), settings);
        let mut old = stored(&store, datetime!(1970-01-01 0:00 UTC)).await;
        stored(&store, datetime!(2199-01-01 0:00 UTC)).await;

        assert_eq!(
            sweeper.sweep(HOUR).await.unwrap(),
            0,
            "both were just seen for the first time, however old they say"
        );
        for watched in sweeper.watched.values_mut() {
            watched.due_at -= HOUR; // an hour later
        }
        old.apply(&OrderEvent::Claimed, datetime!(1970-01-01 0:00 UTC)).unwrap();
        store.append(&old, &OrderEvent::Claimed, None).await.unwrap();
        assert_eq!(sweeper.sweep(HOUR).await.unwrap(), 1, "the other one moved meanwhile");
        assert_eq!(sweeper.sweep(HOUR).await.unwrap(), 0, "not again at once");

        let emptied = queue::open("memory:", &QueueOptions::default()).await.unwrap();
        let mut at_start = Sweeper::new(store, emptied, Active::default(), settings);
        assert_eq!(at_start.sweep(Duration::ZERO).await.unwrap(), 2, "nobody else can be at work");
    }
}

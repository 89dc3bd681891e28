//! Sweeper: queues orders that have something left to do and that nobody touches.
//!
//! The queue is a hint that may be lost as a whole; the store knows better. Only orders without a job get one, so that
//! it may be done early: what waits or is driven elsewhere is left alone. Each order is looked after at growing
//! intervals, because asking about a long queue costs something too.

use std::{collections::HashMap, time::Duration};

use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::worker::Active;
use crate::{
    domain::OrderId,
    queue::{QueueError, SharedQueue},
    store::{SharedStore, StoreError},
};

const PAGE: u32 = 500;
/// The longest an order waits whose job was lost after it had been looked after many times.
const LONGEST_INTERVAL: Duration = Duration::from_secs(15);

/// When an order counts as untouched.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Between two sweeps.
    pub every: Duration,
    /// An order whose last event is older is looked after.
    pub untouched: Duration,
    /// The same for the first sweep after the start: zero when no other process can be at work.
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
    queued: HashMap<OrderId, Queued>,
}

#[derive(Clone, Copy)]
struct Queued {
    again_at: Instant,
    interval: Duration,
}

impl Sweeper {
    /// Looks after every order in `store` that is not among `active`.
    pub fn new(store: SharedStore, queue: SharedQueue, active: Active, settings: Settings) -> Self {
        Self { store, queue, active, settings, queued: HashMap::new() }
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
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "queued unfinished orders that had no job"),
                Err(error) => tracing::warn!(%error, "sweep ended early"),
            }
            untouched = self.settings.untouched;
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(self.settings.every) => {}
            }
        }
    }

    async fn sweep(&mut self, untouched: Duration) -> Result<usize, SweepError> {
        let now = Instant::now();
        let before = OffsetDateTime::now_utc() - untouched;
        self.queued.retain(|_, queued| queued.again_at + LONGEST_INTERVAL > now);
        let (mut after, mut count) = (None, 0);
        loop {
            let page = self.store.unfinished(before, after, PAGE).await?;
            let Some(last) = page.last().copied() else { return Ok(count) };
            let due: Vec<OrderId> = page.into_iter().filter(|id| self.is_due(id, now)).collect();
            if !due.is_empty() {
                count += self.queue.restore(&due).await?;
            }
            for id in &due {
                let interval = self.queued.get(id).map_or(self.settings.untouched, |queued| queued.interval);
                let interval = (interval * 2).clamp(self.settings.every, LONGEST_INTERVAL);
                self.queued.insert(*id, Queued { again_at: now + interval, interval });
            }
            after = Some(last);
        }
    }

    fn is_due(&self, id: &OrderId, now: Instant) -> bool {
        !self.active.contains(id) && self.queued.get(id).is_none_or(|queued| queued.again_at <= now)
    }
}

//! Worker: claims jobs, drives their orders side by side, and keeps the leases of what it drives.
//!
//! A job is claimed only when a signer is free, so a busy worker leaves the rest to others. A claim is kept until its
//! order has nothing left to do; a worker that dies stops renewing and another takes over.

use std::{
    cmp::Ordering,
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::execute::{Drive, Executor, Stop};
use crate::{
    domain::{OrderId, Poison},
    lock::lock,
    metrics as names,
    queue::{Claim, SharedQueue},
};

/// The most jobs claimed at once.
const LARGEST_BATCH: usize = 128;
const MOST_DOUBLINGS: u32 = 6;
/// The rest after the queue did not answer.
const QUEUE_REST: Duration = Duration::from_millis(500);

/// The orders this process drives at the moment, with the claim each is driven under.
#[derive(Clone, Default)]
pub struct Active(Arc<Mutex<HashMap<OrderId, Claim>>>);

impl Active {
    /// Whether this process drives the order.
    pub fn contains(&self, id: &OrderId) -> bool {
        self.lock().contains_key(id)
    }

    /// How many orders this process drives.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether this process drives none.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn claims(&self) -> Vec<Claim> {
        self.lock().values().cloned().collect()
    }

    /// The claim the order is already driven under, if it is; else it is driven under `claim` from now on.
    fn enter(&self, claim: &Claim) -> Result<Entry, Claim> {
        let mut active = self.lock();
        if let Some(other) = active.get(&claim.order_id) {
            return Err(other.clone());
        }
        active.insert(claim.order_id, claim.clone());
        Ok(Entry { active: self.clone(), id: claim.order_id })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<OrderId, Claim>> {
        lock(&self.0)
    }
}

/// Leaves the set when dropped, also when the task that drives the order panics.
struct Entry {
    active: Active,
    id: OrderId,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.active.lock().remove(&self.id);
    }
}

/// How many jobs are claimed at once: no more than a worker's signers take up at once, so that the rest is left to others,
/// unless they turn out to be faster than the queue. Then it grows.
#[derive(Default)]
struct Batch {
    /// How often it has doubled.
    doublings: u32,
}

impl Batch {
    fn size(&self, signers: usize) -> usize {
        (signers << self.doublings).clamp(1, LARGEST_BATCH)
    }

    /// Takes in how long the signers waited for the jobs, and then the jobs for the signers.
    fn learn(&mut self, got: usize, signers_waited: Duration, jobs_waited: Duration) {
        self.doublings = match signers_waited.cmp(&jobs_waited) {
            Ordering::Greater if got >= 2 => (self.doublings + 1).min(MOST_DOUBLINGS),
            Ordering::Less => self.doublings.saturating_sub(1),
            _ => self.doublings,
        };
    }
}

/// One process's worker.
pub struct Worker {
    executor: Arc<Executor>,
    queue: SharedQueue,
    active: Active,
    max_in_flight: usize,
    /// Permits there are when nobody works.
    signers: usize,
    renew_every: Duration,
}

impl Worker {
    /// Drives at most `max_in_flight` orders at a time, renewing their claims every `renew_every`.
    pub fn new(
        executor: Arc<Executor>,
        queue: SharedQueue,
        active: Active,
        max_in_flight: usize,
        renew_every: Duration,
    ) -> Self {
        let signers = executor.signers().available_permits();
        Self { executor, queue, active, max_in_flight, signers, renew_every }
    }

    /// Runs until `stop.soft`, then waits for what it drives, which ends by itself or with `stop.hard`.
    pub async fn run(self: Arc<Self>, stop: Stop) {
        let drained = CancellationToken::new();
        let claiming = async {
            self.clone().claim_and_drive(&stop).await;
            drained.cancel();
        };
        tokio::join!(claiming, self.renew(&drained));
    }

    async fn claim_and_drive(self: Arc<Self>, stop: &Stop) {
        let room = Arc::new(Semaphore::new(self.max_in_flight));
        let mut driving = JoinSet::new();
        let mut batch = Batch::default();
        loop {
            while let Some(ended) = driving.try_join_next() {
                report(ended);
            }
            let jobs = async {
                // Claimed only when a signer is free, but not holding one while the queue is empty: orders that come
                // back from a rest need it.
                drop(room.acquire().await.ok()?);
                drop(self.executor.signers().acquire().await.ok()?);
                Some(self.queue.claim(batch.size(self.signers).min(room.available_permits())).await)
            };
            let asked = Instant::now();
            let claims = tokio::select! {
                biased;
                () = stop.soft.cancelled() => break,
                jobs = jobs => match jobs {
                    Some(claims) => claims,
                    None => break,
                },
            };
            let claims = match claims {
                Ok(claims) => claims,
                Err(error) => {
                    tracing::warn!(%error, "no job can be claimed");
                    tokio::select! {
                        () = stop.soft.cancelled() => break,
                        () = tokio::time::sleep(QUEUE_REST) => continue,
                    }
                }
            };
            let (got, waited) = (claims.len(), asked.elapsed());
            let claimed = Instant::now();
            for (claim, entry) in self.enter(claims).await {
                let place = async {
                    let slot = room.clone().acquire_owned().await.ok()?;
                    Some((slot, self.executor.signers().clone().acquire_owned().await.ok()?))
                };
                let place = tokio::select! {
                    biased;
                    () = stop.soft.cancelled() => None,
                    place = place => place,
                };
                let Some((slot, permit)) = place else { break };
                let (worker, stop) = (self.clone(), stop.clone());
                driving.spawn(async move {
                    let _slot = slot;
                    worker.drive(claim, entry, permit, &stop).await;
                });
            }
            batch.learn(got, waited, claimed.elapsed());
        }
        while let Some(ended) = driving.join_next().await {
            report(ended);
        }
    }

    /// Those of the claims whose orders nobody here drives yet. From now on they are renewed, also while they wait for a
    /// signer.
    async fn enter(&self, claims: Vec<Claim>) -> Vec<(Claim, Entry)> {
        let mut entered = Vec::with_capacity(claims.len());
        for claim in claims {
            match self.active.enter(&claim) {
                Ok(entry) => entered.push((claim, entry)),
                // The same order under a second job: the first one serves it.
                Err(other) if other.handle != claim.handle => self.ack(&claim).await,
                Err(_) => {}
            }
        }
        entered
    }

    async fn drive(&self, claim: Claim, entry: Entry, permit: OwnedSemaphorePermit, stop: &Stop) {
        let id = claim.order_id;
        let driven = AssertUnwindSafe(self.executor.drive(&claim, permit, stop)).catch_unwind().await;
        let driven = match driven {
            Ok(driven) => driven,
            // The panic itself is in the log, which may say more than a client should read.
            Err(_) => self.executor.set_aside(id, Poison::Panicked, "the task that drove it panicked".into()).await,
        };
        match driven {
            Ok(Drive::Done) => self.ack(&claim).await,
            Ok(Drive::Left) => {}
            Err(error) => {
                tracing::warn!(order_id = %claim.order_id, %error, cause = ?std::error::Error::source(&error),
                    "order left where it is until its lease runs out");
            }
        }
        drop(entry);
    }

    async fn ack(&self, claim: &Claim) {
        if let Err(error) = self.queue.ack(claim).await {
            tracing::warn!(order_id = %claim.order_id, %error, "job done but not acknowledged: it will come once more");
        }
    }

    fn count(&self) {
        let busy = self.signers.saturating_sub(self.executor.signers().available_permits());
        metrics::gauge!(names::SIGNERS).set(names::as_gauge(self.signers as u64));
        metrics::gauge!(names::SIGNERS_BUSY).set(names::as_gauge(busy as u64));
        metrics::gauge!(names::DRIVING).set(names::as_gauge(self.active.len() as u64));
    }

    async fn renew(&self, drained: &CancellationToken) {
        let mut ticks = tokio::time::interval(self.renew_every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = drained.cancelled() => break,
                _ = ticks.tick() => {}
            }
            self.count();
            let claims = self.active.claims();
            if !claims.is_empty()
                && let Err(error) = self.queue.renew(&claims).await
            {
                tracing::warn!(%error, claims = claims.len(), "leases not renewed: jobs may come twice, orders do not");
            }
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "an order's task panicked outside of its order");
    }
}

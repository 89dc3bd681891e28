//! Memory queue: the queue inside one process, and the executable specification of every other.
//!
//! Owns its jobs in two lists, waiting and claimed; what may happen to them is pure (`Jobs`), only waiting for it has a
//! clock. Never outlives the process: the store's sweeper brings back what
//! a crash forgets.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{Claim, JobQueue, QueueError};
use crate::{domain::OrderId, lock::lock};

/// A queue in this process. Leases run on tokio's clock.
#[derive(Debug)]
pub struct MemoryQueue {
    lease: Duration,
    max_depth: u64,
    jobs: Mutex<Jobs>,
    pushed: Notify,
}

#[derive(Debug, Default)]
struct Jobs {
    waiting: VecDeque<(OrderId, Origin)>,
    /// The ids in `waiting`, for finding doubles.
    waiting_ids: HashSet<OrderId>,
    /// Claims by their handle's number.
    claimed: HashMap<u64, Held>,
    /// The same by when their leases end: with thousands of them nobody looks through all.
    ends: BTreeSet<(Instant, u64)>,
    claims_made: u64,
}

/// How a job came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Pushed,
    Restored,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    order_id: OrderId,
    until: Instant,
}

impl MemoryQueue {
    /// An empty queue.
    pub fn new(lease: Duration, max_depth: u64) -> Self {
        Self { lease, max_depth, jobs: Mutex::default(), pushed: Notify::new() }
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        lock(&self.jobs)
    }

    fn tell(&self, added: usize) {
        for _ in 0..added {
            self.pushed.notify_one();
        }
    }
}

impl Jobs {
    fn depth(&self) -> u64 {
        (self.waiting.len() + self.claimed.len()) as u64
    }

    /// How many of `ids` were added; `None` when that would pass the bound and none was.
    fn push(&mut self, ids: &[OrderId], origin: Origin, max_depth: u64) -> Option<usize> {
        let mut seen = HashSet::new();
        let missing: Vec<OrderId> =
            ids.iter().filter(|id| !self.waiting_ids.contains(id) && seen.insert(**id)).copied().collect();
        if !missing.is_empty() && self.depth() + missing.len() as u64 > max_depth {
            return None;
        }
        self.waiting_ids.extend(&missing);
        self.waiting.extend(missing.iter().map(|id| (*id, origin)));
        Some(missing.len())
    }

    /// Of `ids`, those that are not claimed.
    fn unclaimed(&self, ids: &[OrderId]) -> Vec<OrderId> {
        let claimed: HashSet<OrderId> = self.claimed.values().map(|held| held.order_id).collect();
        ids.iter().filter(|id| !claimed.contains(id)).copied().collect()
    }

    fn take(&mut self, now: Instant, lease: Duration) -> Option<Claim> {
        let late = self.first_end().filter(|(until, _)| *until <= now);
        let (order_id, is_first) = match late.and_then(|(_, number)| self.release(number)) {
            Some(held) => (held.order_id, false),
            None => {
                let (order_id, origin) = self.waiting.pop_front()?;
                self.waiting_ids.remove(&order_id);
                (order_id, origin == Origin::Pushed)
            }
        };
        self.claims_made += 1;
        self.hold(self.claims_made, Held { order_id, until: now + lease });
        Some(Claim { order_id, handle: self.claims_made.to_string(), is_first })
    }

    /// When the first lease ends, and whose it is.
    fn first_end(&self) -> Option<(Instant, u64)> {
        self.ends.first().copied()
    }

    fn hold(&mut self, number: u64, held: Held) {
        self.ends.insert((held.until, number));
        self.claimed.insert(number, held);
    }

    fn release(&mut self, number: u64) -> Option<Held> {
        let held = self.claimed.remove(&number)?;
        self.ends.remove(&(held.until, number));
        Some(held)
    }

    fn renew(&mut self, claims: &[Claim], until: Instant) {
        for number in claims.iter().filter_map(number) {
            if let Some(held) = self.release(number) {
                self.hold(number, Held { until, ..held });
            }
        }
    }

    fn ack(&mut self, claim: &Claim) {
        number(claim).and_then(|number| self.release(number));
    }
}

/// The number that a claim's handle is.
fn number(claim: &Claim) -> Option<u64> {
    claim.handle.parse().ok()
}

#[async_trait]
impl JobQueue for MemoryQueue {
    async fn push(&self, ids: &[OrderId]) -> Result<(), QueueError> {
        let added = self.jobs().push(ids, Origin::Pushed, self.max_depth).ok_or(QueueError::Full)?;
        self.tell(added);
        Ok(())
    }

    async fn restore(&self, ids: &[OrderId]) -> Result<usize, QueueError> {
        let added = {
            let mut jobs = self.jobs();
            let lost = jobs.unclaimed(ids);
            jobs.push(&lost, Origin::Restored, self.max_depth).ok_or(QueueError::Full)?
        };
        self.tell(added);
        Ok(added)
    }

    async fn claim(&self, most: usize) -> Result<Vec<Claim>, QueueError> {
        loop {
            let pushed = self.pushed.notified();
            let now = Instant::now();
            // A claim that somebody makes after this look ends no sooner than a lease from now.
            let mut look_again = now + self.lease;
            {
                let mut jobs = self.jobs();
                let claims: Vec<Claim> = std::iter::from_fn(|| jobs.take(now, self.lease)).take(most.max(1)).collect();
                if !claims.is_empty() {
                    return Ok(claims);
                }
                if let Some((until, _)) = jobs.first_end() {
                    look_again = look_again.min(until);
                }
            }
            tokio::select! {
                () = pushed => {}
                () = sleep_until(look_again) => {}
            }
        }
    }

    async fn renew(&self, claims: &[Claim]) -> Result<(), QueueError> {
        self.jobs().renew(claims, Instant::now() + self.lease);
        Ok(())
    }

    async fn ack(&self, claim: &Claim) -> Result<(), QueueError> {
        self.jobs().ack(claim);
        Ok(())
    }

    async fn depth(&self) -> Result<u64, QueueError> {
        Ok(self.jobs().depth())
    }

    async fn ping(&self) -> Result<(), QueueError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(2);
    const MOMENT: Duration = Duration::from_nanos(1);

    fn jobs(n: usize) -> (Jobs, Vec<OrderId>, Instant) {
        let ids: Vec<OrderId> = (0..n).map(|_| OrderId::new()).collect();
        let mut jobs = Jobs::default();
        assert_eq!(jobs.push(&ids, Origin::Pushed, 10), Some(n));
        (jobs, ids, Instant::now())
    }

    #[test]
    fn a_claim_holds_until_its_lease_ends_and_not_a_moment_longer() {
        let (mut jobs, ids, now) = jobs(1);
        let first = jobs.take(now, LEASE).unwrap();
        assert_eq!(jobs.take(now + LEASE - MOMENT, LEASE), None);
        let second = jobs.take(now + LEASE, LEASE).unwrap();
        assert_eq!(second.order_id, ids[0]);
        assert_ne!(second.handle, first.handle);
    }

    #[test]
    fn renewing_moves_the_end_of_the_lease_even_after_it_passed() {
        let (mut jobs, _, mut now) = jobs(1);
        let claim = jobs.take(now, LEASE).unwrap();
        for late in [Duration::ZERO, LEASE * 5] {
            now += LEASE - MOMENT + late;
            jobs.renew(std::slice::from_ref(&claim), now + LEASE);
            assert_eq!(jobs.take(now + LEASE - MOMENT, LEASE), None);
        }
    }

    #[test]
    fn what_ended_first_is_reclaimed_first_and_before_anything_that_waits() {
        let (mut jobs, ids, now) = jobs(3);
        let first = jobs.take(now, LEASE).unwrap();
        jobs.take(now, LEASE).unwrap();
        jobs.renew(&[first], now + LEASE + MOMENT);
        let order: Vec<OrderId> = (0..3).map(|_| jobs.take(now + LEASE + MOMENT, LEASE).unwrap().order_id).collect();
        assert_eq!(order, [ids[1], ids[0], ids[2]]);
    }

    #[test]
    fn an_acknowledged_job_never_comes_back() {
        let (mut jobs, _, now) = jobs(1);
        let claim = jobs.take(now, LEASE).unwrap();
        jobs.ack(&claim);
        assert_eq!(jobs.take(now + LEASE * 100, LEASE), None);
        assert_eq!(jobs.depth(), 0);
    }
}

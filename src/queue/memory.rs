//! Memory queue: the queue inside one process, and the executable specification of every other.
//!
//! Owns its jobs in two lists, waiting and claimed. Never outlives the process: the store's sweeper brings back what
//! a crash forgets.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{Claim, JobQueue, QueueError};
use crate::domain::OrderId;

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
    waiting: VecDeque<OrderId>,
    /// The ids in `waiting`, for finding doubles.
    waiting_ids: HashSet<OrderId>,
    claimed: HashMap<String, Held>,
    claims_made: u64,
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
        // Nothing panics while holding it.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Jobs {
    fn depth(&self) -> u64 {
        (self.waiting.len() + self.claimed.len()) as u64
    }

    /// The claim whose lease ends first.
    fn first_to_end(&self) -> Option<(&String, &Held)> {
        self.claimed.iter().min_by_key(|(_, held)| held.until)
    }

    fn take(&mut self, now: Instant, lease: Duration) -> Option<Claim> {
        let late = self.first_to_end().filter(|(_, held)| held.until <= now).map(|(handle, _)| handle.clone());
        let order_id = match late.and_then(|handle| self.claimed.remove(&handle)) {
            Some(held) => held.order_id,
            None => {
                let order_id = self.waiting.pop_front()?;
                self.waiting_ids.remove(&order_id);
                order_id
            }
        };
        self.claims_made += 1;
        let handle = self.claims_made.to_string();
        self.claimed.insert(handle.clone(), Held { order_id, until: now + lease });
        Some(Claim { order_id, handle })
    }
}

#[async_trait]
impl JobQueue for MemoryQueue {
    async fn push(&self, ids: &[OrderId]) -> Result<(), QueueError> {
        let added = {
            let mut jobs = self.jobs();
            let mut seen = HashSet::new();
            let missing: Vec<OrderId> =
                ids.iter().filter(|id| !jobs.waiting_ids.contains(id) && seen.insert(**id)).copied().collect();
            if !missing.is_empty() && jobs.depth() + missing.len() as u64 > self.max_depth {
                return Err(QueueError::Full);
            }
            jobs.waiting_ids.extend(&missing);
            jobs.waiting.extend(&missing);
            missing.len()
        };
        for _ in 0..added {
            self.pushed.notify_one();
        }
        Ok(())
    }

    async fn claim(&self) -> Result<Claim, QueueError> {
        loop {
            let pushed = self.pushed.notified();
            let now = Instant::now();
            // A claim that somebody makes after this look ends no sooner than a lease from now.
            let mut look_again = now + self.lease;
            {
                let mut jobs = self.jobs();
                if let Some(claim) = jobs.take(now, self.lease) {
                    return Ok(claim);
                }
                if let Some((_, held)) = jobs.first_to_end() {
                    look_again = look_again.min(held.until);
                }
            }
            tokio::select! {
                () = pushed => {}
                () = sleep_until(look_again) => {}
            }
        }
    }

    async fn renew(&self, claims: &[Claim]) -> Result<(), QueueError> {
        let until = Instant::now() + self.lease;
        let mut jobs = self.jobs();
        for claim in claims {
            if let Some(held) = jobs.claimed.get_mut(&claim.handle) {
                held.until = until;
            }
        }
        Ok(())
    }

    async fn ack(&self, claim: &Claim) -> Result<(), QueueError> {
        self.jobs().claimed.remove(&claim.handle);
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
    use std::sync::Arc;

    use tokio::time::{advance, timeout};

    use super::*;

    const LEASE: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn a_claim_holds_until_its_lease_ends_and_not_a_moment_longer() {
        let queue = MemoryQueue::new(LEASE, 10);
        let order = OrderId::new();
        queue.push(&[order]).await.unwrap();
        let first = queue.claim().await.unwrap();
        let claimed_at = Instant::now();
        let second = queue.claim().await.unwrap();
        assert_eq!(claimed_at.elapsed(), LEASE);
        assert_eq!(second.order_id, order);
        assert_ne!(second.handle, first.handle);
    }

    #[tokio::test(start_paused = true)]
    async fn renewing_moves_the_end_of_the_lease() {
        let queue = MemoryQueue::new(LEASE, 10);
        queue.push(&[OrderId::new()]).await.unwrap();
        let claim = queue.claim().await.unwrap();
        for _ in 0..10 {
            advance(LEASE / 3).await;
            queue.renew(std::slice::from_ref(&claim)).await.unwrap();
        }
        let renewed_at = Instant::now();
        queue.claim().await.unwrap();
        assert_eq!(renewed_at.elapsed(), LEASE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_ended_first_is_reclaimed_first_and_before_anything_that_waits() {
        let queue = MemoryQueue::new(LEASE, 10);
        let ids = [OrderId::new(), OrderId::new(), OrderId::new()];
        queue.push(&ids).await.unwrap();
        let first = queue.claim().await.unwrap();
        queue.claim().await.unwrap();
        advance(LEASE / 2).await;
        queue.renew(&[first]).await.unwrap();
        advance(LEASE).await;
        let mut order = Vec::new();
        for _ in 0..3 {
            order.push(queue.claim().await.unwrap().order_id);
        }
        assert_eq!(order, [ids[1], ids[0], ids[2]]);
    }

    #[tokio::test(start_paused = true)]
    async fn somebody_who_already_waits_sees_a_later_claims_lease_end() {
        let queue = Arc::new(MemoryQueue::new(LEASE, 10));
        let waiters = [0, 1].map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.claim().await.unwrap() })
        });
        tokio::task::yield_now().await;
        let order = OrderId::new();
        queue.push(&[order]).await.unwrap();
        let pushed_at = Instant::now();
        for waiter in waiters {
            assert_eq!(waiter.await.unwrap().order_id, order);
        }
        assert_eq!(pushed_at.elapsed(), LEASE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_acknowledged_job_never_comes_back() {
        let queue = MemoryQueue::new(LEASE, 10);
        queue.push(&[OrderId::new()]).await.unwrap();
        let claim = queue.claim().await.unwrap();
        queue.ack(&claim).await.unwrap();
        timeout(LEASE * 100, queue.claim()).await.unwrap_err();
    }
}

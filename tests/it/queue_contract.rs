//! The job queue's contract: one story, told on every backend. What only Redis can do to us is in `redis_only`.

mod backend;
mod redis_only;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use swapd::{
    domain::OrderId,
    queue::{Claim, QueueError},
};
use tokio::{task::JoinSet, time::timeout};

use self::backend::{Backend, LONG, SHORT, claim, ids};
use crate::support::{servers::shared_redis, within_patience};

macro_rules! on_every_backend {
    ($($story:ident)*) => {
        mod in_memory {
            $(#[tokio::test]
            async fn $story() {
                super::$story(super::Backend::memory()).await;
            })*
        }
        mod on_redis {
            $(#[tokio::test]
            async fn $story() {
                super::$story(super::Backend::redis(super::shared_redis())).await;
            })*
        }
    };
}

on_every_backend! {
    jobs_are_claimed_in_the_order_they_were_pushed
    a_waiting_claim_gets_what_is_pushed_later
    every_job_has_exactly_one_claimant_among_many
    two_processes_share_the_jobs
    a_job_whose_lease_ran_out_goes_to_somebody_else
    a_renewed_claim_is_kept
    a_lost_claim_can_be_neither_renewed_nor_acknowledged
    a_claim_lost_to_its_own_process_is_lost_as_well
    an_acknowledged_job_is_gone
    a_full_queue_takes_all_or_nothing
    an_id_that_waits_is_left_out_and_a_claimed_one_is_added
    only_an_order_without_a_job_has_one_restored
    a_claim_says_whether_somebody_may_have_had_the_order_before
    a_dropped_claim_loses_nothing
    everybody_who_waits_sees_a_lease_run_out
    what_a_stalled_process_had_taken_goes_to_another
    nothing_is_no_reason_to_fail
    ten_workers_finish_every_job_once
}

async fn jobs_are_claimed_in_the_order_they_were_pushed(backend: Backend) {
    let queue = backend.lease(LONG).open().await;
    let ids = ids(20);
    queue.push(&ids[..5]).await.unwrap();
    queue.push(&ids[5..]).await.unwrap();
    for id in ids {
        assert_eq!(claim(&queue).await.order_id, id);
    }
}

async fn a_waiting_claim_gets_what_is_pushed_later(backend: Backend) {
    let queue = backend.lease(LONG).open().await;
    let order = OrderId::new();
    let (claimed, pushed) = tokio::join!(claim(&queue), async {
        tokio::task::yield_now().await;
        queue.push(&[order]).await
    });
    pushed.unwrap();
    assert_eq!(claimed.order_id, order);
}

async fn every_job_has_exactly_one_claimant_among_many(backend: Backend) {
    let mut backend = backend.lease(LONG);
    let queues = [backend.open().await, backend.open().await];
    let ids = ids(200);
    let mut claimants = JoinSet::new();
    for n in 0..20 {
        let queue = queues[n % 2].clone();
        claimants.spawn(async move {
            let mut mine = Vec::new();
            for _ in 0..10 {
                mine.push(claim(&queue).await.order_id);
            }
            mine
        });
    }
    for some in ids.chunks(7) {
        queues[0].push(some).await.unwrap();
    }
    let claimed = claimants.join_all().await.concat();
    assert_eq!(claimed.len(), ids.len());
    assert_eq!(claimed.into_iter().collect::<HashSet<_>>(), ids.into_iter().collect());
}

async fn two_processes_share_the_jobs(backend: Backend) {
    let mut backend = backend.lease(LONG);
    let (one, other) = (backend.open().await, backend.open().await);
    let ids = ids(4);
    one.push(&ids).await.unwrap();
    for (queue, id) in [(&one, ids[0]), (&other, ids[1]), (&one, ids[2]), (&other, ids[3])] {
        assert_eq!(claim(queue).await.order_id, id);
    }
    assert_eq!(other.depth().await.unwrap(), 4);
}

async fn a_job_whose_lease_ran_out_goes_to_somebody_else(backend: Backend) {
    let mut backend = backend.lease(SHORT);
    let (one, other) = (backend.open().await, backend.open().await);
    let order = OrderId::new();
    one.push(&[order]).await.unwrap();
    let first = claim(&one).await;
    let second = claim(&other).await;
    assert_eq!(second.order_id, order);
    assert_ne!(second.handle, first.handle);
    assert_eq!(one.depth().await.unwrap(), 1);
}

async fn everybody_who_waits_sees_a_lease_run_out(backend: Backend) {
    let queue = backend.lease(SHORT).open().await;
    let waiting: JoinSet<Claim> = (0..3)
        .map(|_| {
            let queue = queue.clone();
            async move { claim(&queue).await }
        })
        .collect();
    let order = OrderId::new();
    queue.push(&[order]).await.unwrap();
    let handles: HashSet<String> = waiting.join_all().await.into_iter().map(|claim| claim.handle).collect();
    assert_eq!(handles.len(), 3);
}

async fn a_renewed_claim_is_kept(backend: Backend) {
    let lease = Duration::from_secs(1);
    let mut backend = backend.lease(lease);
    let (one, other) = (backend.open().await, backend.open().await);
    let ids = ids(2);
    one.push(&ids).await.unwrap();
    let mut kept = claim(&one).await;
    claim(&one).await; // never renewed: its return tells that a lease has passed
    within_patience("the other claim returns", async {
        loop {
            let renewed_at = Instant::now();
            one.renew(std::slice::from_ref(&kept)).await.unwrap();
            match timeout(lease / 10, other.claim(1)).await {
                Err(_) => {}
                Ok(claim) if claim.as_ref().unwrap()[0].order_id == ids[1] => break,
                Ok(claim) => {
                    // Only a machine that stood still for a lease may explain this; then once more.
                    assert!(renewed_at.elapsed() >= lease, "a renewed claim went to somebody else");
                    kept = claim.unwrap().remove(0);
                }
            }
        }
    })
    .await;
    one.ack(&kept).await.unwrap();
    other.ack(&kept).await.unwrap(); // whose it is in the end, should the machine have stood still
    assert_eq!(one.depth().await.unwrap(), 1);
}

async fn a_lost_claim_can_be_neither_renewed_nor_acknowledged(backend: Backend) {
    let mut backend = backend.lease(SHORT);
    let (one, other) = (backend.open().await, backend.open().await);
    one.push(&[OrderId::new()]).await.unwrap();
    let lost = claim(&one).await;
    let held = claim(&other).await;
    one.renew(std::slice::from_ref(&lost)).await.unwrap();
    one.ack(&lost).await.unwrap();
    assert_eq!(one.depth().await.unwrap(), 1);
    other.ack(&held).await.unwrap(); // would do nothing if the renewal above had stolen it
    assert_eq!(one.depth().await.unwrap(), 0);
}

async fn a_claim_lost_to_its_own_process_is_lost_as_well(backend: Backend) {
    let queue = backend.lease(SHORT).open().await;
    queue.push(&[OrderId::new()]).await.unwrap();
    let lost = claim(&queue).await;
    let held = claim(&queue).await;
    queue.ack(&lost).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), 1);
    queue.ack(&held).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), 0);
}

async fn an_acknowledged_job_is_gone(backend: Backend) {
    let queue = backend.lease(SHORT).open().await;
    let ids = ids(3);
    queue.push(&ids).await.unwrap();
    let done = claim(&queue).await;
    assert_eq!(done.order_id, ids[0]);
    queue.ack(&done).await.unwrap();
    queue.ack(&done).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), 2);
    // The others come back again and again as nobody renews them; the acknowledged one does not.
    for _ in 0..4 {
        assert_ne!(claim(&queue).await.order_id, ids[0]);
    }
}

async fn a_full_queue_takes_all_or_nothing(backend: Backend) {
    let queue = backend.lease(LONG).max_depth(3).open().await;
    queue.push(&ids(2)).await.unwrap();
    assert!(matches!(queue.push(&ids(2)).await, Err(QueueError::Full)));
    assert_eq!(queue.depth().await.unwrap(), 2);
    queue.push(&ids(1)).await.unwrap();
    let claimed = claim(&queue).await;
    assert!(matches!(queue.push(&ids(1)).await, Err(QueueError::Full)), "a claimed job still takes room");
    queue.ack(&claimed).await.unwrap();
    queue.push(&ids(1)).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), 3);
}

async fn an_id_that_waits_is_left_out_and_a_claimed_one_is_added(backend: Backend) {
    let queue = backend.lease(LONG).max_depth(3).open().await;
    let ids = ids(2);
    queue.push(&[ids[0], ids[1], ids[0]]).await.unwrap();
    queue.push(&ids).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), 2);
    let first = claim(&queue).await;
    queue.push(&ids).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), 3, "claimed once and waiting once");
    queue.push(&ids).await.unwrap();
    queue.ack(&first).await.unwrap();
    queue.push(&ids).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), 2);
    assert_eq!(claim(&queue).await.order_id, ids[1]);
    assert_eq!(claim(&queue).await.order_id, ids[0]);
}

async fn only_an_order_without_a_job_has_one_restored(backend: Backend) {
    let queue = backend.lease(LONG).max_depth(4).open().await;
    let ids = ids(4);
    queue.push(&ids[..3]).await.unwrap();
    let (claimed, done) = (claim(&queue).await, claim(&queue).await);
    queue.ack(&done).await.unwrap();
    // One is claimed, one is done, one waits, one was never there.
    assert_eq!(queue.restore(&ids).await.unwrap(), 2);
    assert_eq!(queue.restore(&ids).await.unwrap(), 0);
    assert_eq!(queue.depth().await.unwrap(), 4);
    let full = queue.restore(&[OrderId::new()]).await;
    assert!(matches!(full, Err(QueueError::Full)), "{full:?}");
    queue.ack(&claimed).await.unwrap();
    for id in [ids[2], ids[1], ids[3]] {
        assert_eq!(claim(&queue).await.order_id, id);
    }
}

async fn a_claim_says_whether_somebody_may_have_had_the_order_before(backend: Backend) {
    let queue = backend.lease(SHORT).open().await;
    let ids = ids(4);
    queue.push(&ids[..1]).await.unwrap();
    queue.restore(&ids[1..2]).await.unwrap();
    for is_first in [true, false] {
        let claim = claim(&queue).await;
        assert_eq!(claim.is_first, is_first);
        queue.ack(&claim).await.unwrap();
    }
    // The same for somebody who waits already.
    let (claimed, pushed) = tokio::join!(claim(&queue), queue.push(&ids[2..3]));
    pushed.unwrap();
    assert!(claimed.is_first);
    let again = claim(&queue).await; // once the lease has run out
    assert_eq!((again.order_id, again.is_first), (ids[2], false));
    queue.ack(&again).await.unwrap();
    let (claimed, restored) = tokio::join!(claim(&queue), queue.restore(&ids[3..]));
    assert_eq!((claimed.is_first, restored.unwrap()), (false, 1));
}

/// Polls a future at least once and drops it after `turns` turns of the runtime.
async fn given_up_after<T>(turns: usize, future: impl Future<Output = T>) -> Option<T> {
    let patience = async {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        value = future => Some(value),
        () = patience => None,
    }
}

async fn a_dropped_claim_loses_nothing(backend: Backend) {
    let queue = backend.lease(LONG).open().await;
    let ids: HashSet<OrderId> = ids(100).into_iter().collect();
    let mut claimed = HashSet::new();
    let mut dropped = 0;
    for (n, id) in ids.iter().enumerate() {
        // Given up at every stage: before it is sent, while it blocks, while it is answered.
        let (outcome, pushed) =
            tokio::join!(given_up_after(n * 4, queue.claim(1)), queue.push(std::slice::from_ref(id)));
        pushed.unwrap();
        match outcome {
            Some(claim) => assert!(claimed.insert(claim.unwrap()[0].order_id)),
            None => dropped += 1,
        }
    }
    assert!(dropped > 0, "nothing was dropped, so nothing was tested");
    // No lease runs out during this test: what a dropped call had taken comes from the next call.
    while claimed.len() < ids.len() {
        assert!(claimed.insert(claim(&queue).await.order_id));
    }
    assert_eq!(claimed, ids);
}

async fn what_a_stalled_process_had_taken_goes_to_another(backend: Backend) {
    let mut backend = backend.lease(SHORT);
    let (stalled, other) = (backend.open().await, backend.open().await);
    let order = OrderId::new();
    assert!(given_up_after(1, stalled.claim(1)).await.is_none()); // leaves a read under way
    stalled.push(&[order]).await.unwrap();
    let held = claim(&other).await;
    assert_eq!(held.order_id, order);
    // Whoever wakes up late does not believe in what it had taken.
    other.ack(&held).await.unwrap();
    let next = OrderId::new();
    other.push(&[next]).await.unwrap();
    assert_eq!(claim(&stalled).await.order_id, next);
}

async fn nothing_is_no_reason_to_fail(mut backend: Backend) {
    let queue = backend.open().await;
    queue.ping().await.unwrap();
    queue.push(&[]).await.unwrap();
    queue.renew(&[]).await.unwrap();
    let foreign = Claim { order_id: OrderId::new(), handle: "nobody's".into(), is_first: true };
    queue.renew(std::slice::from_ref(&foreign)).await.unwrap();
    queue.ack(&foreign).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), 0);
}

async fn ten_workers_finish_every_job_once(backend: Backend) {
    const JOBS: u64 = 2_000;
    let mut backend = backend.lease(LONG);
    let queue = backend.open().await;
    let finished = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..10 {
        let (queue, finished) = (queue.clone(), finished.clone());
        workers.spawn(async move {
            for _ in 0..JOBS / 10 {
                let claim = claim(&queue).await;
                queue.ack(&claim).await.unwrap();
                finished.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for id in ids(JOBS as usize) {
        queue.push(&[id]).await.unwrap();
    }
    workers.join_all().await;
    let took = began.elapsed();
    assert_eq!(finished.load(Ordering::Relaxed), JOBS);
    assert_eq!(queue.depth().await.unwrap(), 0);
    println!("{}: {JOBS} jobs pushed, claimed and acknowledged in {took:?}", backend.scheme());
}

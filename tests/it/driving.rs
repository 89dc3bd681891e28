//! What a worker makes of orders whose store has more to say than it knows, and of one that nobody survives.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use async_trait::async_trait;
use solana_sdk::{instruction::Instruction, pubkey::Pubkey};
use swapd::{
    chain::LandedTransaction,
    domain::{Failure, Fill, OrderEvent, OrderId, Poison, Quote, QuoteRequest, Status, VenueId},
    engine::{
        Executor, Handover, Journal,
        execute::Stop,
        worker::{Active, Worker},
    },
    queue::{self, QueueOptions, SharedQueue},
    store::{self, SharedStore},
    venue::{SwapPlan, Venue, VenueError},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    store_contract::sample,
    support::{
        engine::{Chain, parts, policy},
        eventually,
    },
};

/// A venue without pools, which does something else first.
struct Asked<F>(F);

#[async_trait]
impl<F: Fn() + Send + Sync> Venue for Asked<F> {
    fn id(&self) -> VenueId {
        VenueId::RaydiumCpmm
    }

    async fn quote(&self, _: &QuoteRequest) -> Result<Quote, VenueError> {
        (self.0)();
        Err(VenueError::NoPool)
    }

    async fn swap_instruction(&self, _: &SwapPlan) -> Result<Instruction, VenueError> {
        Err(VenueError::NoPool)
    }

    async fn contended_accounts(&self, _: &Pubkey) -> Result<Vec<Pubkey>, VenueError> {
        Ok(Vec::new())
    }

    fn fill(&self, _: &Pubkey, _: &LandedTransaction) -> Option<Fill> {
        None
    }

    fn explain(&self, _: &Pubkey, _: u32) -> Option<Failure> {
        None
    }
}

/// A worker whose claims last for the whole test, and its queue.
async fn worker(
    store: &SharedStore,
    handover: Arc<Handover>,
    venue: impl Venue + 'static,
    max_take_ups: u32,
) -> (SharedQueue, JoinSet<()>) {
    let (parts, _) = parts(store, handover, Chain::nowhere(), vec![Arc::new(venue)], Vec::new()).await;
    let lease = Duration::from_secs(3_600);
    let queue = queue::open("memory:", &QueueOptions { lease, ..QueueOptions::default() }).await.unwrap();
    let executor = Arc::new(Executor::new(parts, policy(max_take_ups)));
    let worker = Arc::new(Worker::new(executor, queue.clone(), Active::default(), 10, lease));
    let mut tasks = JoinSet::new();
    tasks.spawn(worker.run(Stop { soft: CancellationToken::new(), hard: CancellationToken::new() }));
    (queue, tasks)
}

async fn has_no_job_left(queue: &SharedQueue) {
    eventually("the job's end", || async { if queue.depth().await.unwrap() == 0 { Ok(()) } else { Err(()) } }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_called_off_behind_the_workers_back_is_done_at_once() {
    let store = store::open("sqlite::memory:").await.unwrap();
    let handover = Arc::new(Handover::new(10));
    let (queue, _tasks) = worker(&store, handover.clone(), Asked(|| ()), 10).await;
    let order = sample::stored(&store).await;
    handover.leave(&order);
    let event = OrderEvent::Cancelled;
    Journal::new(store.clone()).append(&mut order.clone(), event, None).await.unwrap();
    queue.push(&[order.id]).await.unwrap();
    has_no_job_left(&queue).await;
    let history = store.history(order.id, 0).await.unwrap();
    assert_eq!(history.last().map(|event| (event.seq, event.status)), Some((2, Status::Cancelled)));
}

/// A process that takes the order up and freezes for ever as soon as a venue is asked: a death, as far as anybody can see.
fn mortal(url: String, id: OrderId, max_take_ups: u32, deaths: Arc<AtomicU32>) {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = store::open(&url).await.unwrap();
            let dies = Asked(move || {
                deaths.fetch_add(1, Ordering::Relaxed);
                loop {
                    thread::park(); // and with it everything else of this process
                }
            });
            let (queue, mut tasks) = worker(&store, Arc::new(Handover::new(0)), dies, max_take_ups).await;
            queue.restore(&[id]).await.unwrap(); // as a sweeper does: what the last one claimed died with it
            tasks.join_next().await;
        });
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_kills_whoever_routes_it_is_set_aside() {
    const MAX_TAKE_UPS: u32 = 2;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("orders.db").display());
    let store = store::open(&url).await.unwrap();
    let order = sample::stored(&store).await;
    let deaths = Arc::new(AtomicU32::new(0));
    for process in 1..=MAX_TAKE_UPS + 2 {
        mortal(url.clone(), order.id, MAX_TAKE_UPS, deaths.clone());
        eventually("the process to die or to give the order up", || async {
            let is_set_aside = store.dead_letter_count().await.unwrap() > 0;
            if is_set_aside || deaths.load(Ordering::Relaxed) == process { Ok(()) } else { Err(()) }
        })
        .await;
    }
    let letter = store.dead_letters(None, 1).await.unwrap().pop().expect("a dead letter");
    assert_eq!((letter.order_id, letter.status, letter.aside.cause), (order.id, Status::Routing, Poison::Stuck));
    assert_eq!(deaths.load(Ordering::Relaxed), MAX_TAKE_UPS + 1, "the first time is not counted");
}

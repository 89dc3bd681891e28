//! Writer: the one task of a store that commits.
//!
//! Owns the grouping: what waits is gathered, committed in one transaction, and only then answered. While one group is
//! on its way to the disk the next one gathers, so nothing is ever delayed to make a group larger. Never decides what
//! a write does (`plan`), never speaks SQL (the backends), and outlives every error.

use std::{panic::AssertUnwindSafe, time::Duration};

use async_trait::async_trait;
use futures_util::FutureExt;
use time::OffsetDateTime;
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Creation, IdempotencyKey, Reservation, StoreError,
    change::{Change, EventChange, MarkChange, Outcome},
    timed_out,
};
use crate::{
    domain::{Order, OrderEvent, OrderId, StoredEvent},
    metrics as names,
};

/// The most writes of one group: keeps one transaction, and what a refused group costs, small.
const GROUP: usize = 256;
/// Writes that may wait for the writer before callers wait for room.
const WAITING: usize = 4_096;
/// The longest a caller waits, for room and for the commit together.
const PATIENCE: Duration = Duration::from_secs(5);

/// A database that commits groups.
#[async_trait]
pub(super) trait Ledger: Send + Sync + 'static {
    /// Commits all of `changes` in one transaction and says what became of each. An error means that the group is not
    /// stored (or, when the connection broke during the commit, that nobody can say).
    async fn commit(&self, changes: &[Change]) -> Result<Vec<Result<Outcome, StoreError>>, StoreError>;
}

type Answer = Result<Outcome, StoreError>;

struct Waiting {
    change: Change,
    reply: oneshot::Sender<Answer>,
}

/// The callers' end of the writer task.
pub(super) struct Writer {
    queue: mpsc::Sender<Waiting>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the task. It ends with [`Writer::close`], or when the writer is dropped.
    pub(super) fn start(ledger: impl Ledger) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(ledger, waiting, stop.clone()));
        Self { queue, stop, task: Mutex::new(Some(task)) }
    }

    /// Stores a new order. See [`OrderStore::create`](super::OrderStore::create).
    pub(super) async fn create(&self, order: &Order, key: Option<&IdempotencyKey>) -> Result<Creation, StoreError> {
        if order.version != 1 {
            return Err(StoreError::VersionConflict);
        }
        match self.submit(Change::Event(Box::new(EventChange::created(order, key)?))).await? {
            Outcome::Stored(event) => Ok(Creation::New(event)),
            Outcome::KeyUsed(creation) => Ok(creation),
            other => unreachable!("a new order is never answered with {other:?}"),
        }
    }

    /// Marks an order. See [`OrderStore::mark`](super::OrderStore::mark).
    pub(super) async fn mark(
        &self,
        id: OrderId,
        event: &OrderEvent,
        at: OffsetDateTime,
    ) -> Result<Option<StoredEvent>, StoreError> {
        match self.submit(Change::Mark(Box::new(MarkChange::new(id, event, at)?))).await? {
            Outcome::Stored(event) => Ok(Some(*event)),
            Outcome::Unmarked => Ok(None),
            other => unreachable!("a mark is never answered with {other:?}"),
        }
    }

    /// Counts a take-up, or ends the count. See [`OrderStore::take_up`](super::OrderStore::take_up).
    pub(super) async fn take_up(&self, id: OrderId, up: bool) -> Result<u32, StoreError> {
        match self.submit(Change::TakeUp { id, up }).await? {
            Outcome::TakenUp(count) => Ok(count),
            other => unreachable!("a take-up is never answered with {other:?}"),
        }
    }

    /// Stores an order's next event. See [`OrderStore::append`](super::OrderStore::append).
    pub(super) async fn append(
        &self,
        order: &Order,
        event: &OrderEvent,
        reservation: Option<&Reservation>,
    ) -> Result<StoredEvent, StoreError> {
        if order.version < 2 {
            return Err(StoreError::VersionConflict);
        }
        match self.submit(Change::Event(Box::new(EventChange::appended(order, event, reservation)?))).await? {
            Outcome::Stored(event) => Ok(*event),
            other => unreachable!("an append has no key and is never answered with {other:?}"),
        }
    }

    /// Stores a fact. See [`OrderStore::set_fact`](super::OrderStore::set_fact).
    pub(super) async fn set_fact(&self, name: &str, value: &str) -> Result<(), StoreError> {
        self.submit(Change::Fact { name: name.to_owned(), value: value.to_owned() }).await.map(drop)
    }

    /// Answers after the commit. A write whose caller has gone before its group was formed is not made; when this
    /// fails with `Unavailable` the write may have been made or not, never half.
    async fn submit(&self, change: Change) -> Answer {
        let (reply, answer) = oneshot::channel();
        let answered = async {
            self.queue.send(Waiting { change, reply }).await.map_err(|_| sqlx::Error::PoolClosed)?;
            answer.await.map_err(|_| sqlx::Error::WorkerCrashed)?
        };
        timeout(PATIENCE, answered).await.map_err(|_| timed_out())?
    }

    /// Takes no more writes, commits those that wait, and ends the task.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        if let Some(task) = self.task.lock().await.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the store's writer ended badly");
        }
    }
}

async fn run(ledger: impl Ledger, mut waiting: mpsc::Receiver<Waiting>, stop: CancellationToken) {
    let mut group = Vec::with_capacity(GROUP);
    loop {
        let gathered = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            gathered = waiting.recv_many(&mut group, GROUP) => gathered,
        };
        if gathered == 0 {
            return; // the store was dropped
        }
        attempt(&ledger, &mut group).await;
    }
    // What waits now is finished. Only what waits: a caller that nobody polls may hold its place in the channel for
    // ever, and must not keep the store from closing.
    waiting.close();
    while let Ok(write) = waiting.try_recv() {
        group.push(write);
        if group.len() == GROUP {
            attempt(&ledger, &mut group).await;
        }
    }
    attempt(&ledger, &mut group).await;
}

/// Settles a group, whatever happens. A bug in one group must not silence the store: if this panics, the group's
/// callers hear that nobody answers them.
async fn attempt(ledger: &impl Ledger, group: &mut Vec<Waiting>) {
    let (changes, replies): (Vec<_>, Vec<_>) =
        group.drain(..).filter(|write| !write.reply.is_closed()).map(|write| (write.change, write.reply)).unzip();
    if AssertUnwindSafe(settle(ledger, &changes, replies)).catch_unwind().await.is_err() {
        tracing::error!("a group of writes panicked");
    }
}

/// Commits a group and answers its callers.
async fn settle(ledger: &impl Ledger, changes: &[Change], replies: Vec<oneshot::Sender<Answer>>) {
    if changes.is_empty() {
        return;
    }
    let started = Instant::now();
    let committed = ledger.commit(changes).await;
    metrics::histogram!(names::STORE_COMMIT).record(started.elapsed().as_secs_f64());
    metrics::histogram!(names::STORE_GROUP).record(names::as_gauge(changes.len() as u64));
    match committed {
        Ok(answers) => answers.into_iter().zip(replies).for_each(|(answer, reply)| tell(reply, answer)),
        Err(error @ (StoreError::Refused(_) | StoreError::Corrupt(_))) if changes.len() > 1 => {
            tracing::warn!(%error, writes = changes.len(), "a group cannot be written; each write is tried alone");
            settle_alone(ledger, changes, replies).await;
        }
        Err(error) => fail_all(error, replies),
    }
}

/// One write of the group holds something that the database refuses: find it without failing the others.
async fn settle_alone(ledger: &impl Ledger, changes: &[Change], replies: Vec<oneshot::Sender<Answer>>) {
    let mut replies = replies.into_iter();
    for change in changes {
        let Some(reply) = replies.next() else { return };
        match ledger.commit(std::slice::from_ref(change)).await {
            Ok(mut answers) => tell(reply, answers.pop().unwrap_or_else(|| Err(sqlx::Error::WorkerCrashed.into()))),
            Err(error @ StoreError::Unavailable(_)) => {
                tell(reply, Err(error.clone()));
                return fail_all(error, replies.collect());
            }
            Err(error) => tell(reply, Err(error)),
        }
    }
}

fn fail_all(error: StoreError, replies: Vec<oneshot::Sender<Answer>>) {
    for reply in replies {
        tell(reply, Err(error.clone()));
    }
}

fn tell(reply: oneshot::Sender<Answer>, answer: Answer) {
    // The caller may have gone; the write is made all the same.
    let _gone = reply.send(answer);
}

//! Writer: the one task of a store that commits.
//!
//! Owns the grouping: what waits is gathered, committed in one transaction, and only then answered. While one group is
//! on its way to the disk the next one gathers, so nothing is ever delayed to make a group larger. Never decides what
//! a write does (`plan`), never speaks SQL (the backends), and outlives every error.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::FutureExt;
use time::OffsetDateTime;
use tokio::{
    sync::{Mutex, broadcast, mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Creation, IdempotencyKey, Line, Reservation, StoreError,
    change::{Change, EventChange, MarkChange, Outcome},
    timed_out,
};
use crate::{
    domain::{Order, OrderEvent, OrderId, StoredEvent},
    metrics as names,
};

/// The most writes of one group: keeps one transaction, and what a refused group costs, small.
const GROUP: usize = 1_024;
/// Writes that may wait for the writer before callers wait for room.
const WAITING: usize = 4_096;
/// The longest a caller waits, for room and for the commit together.
const PATIENCE: Duration = Duration::from_secs(5);

/// Groups that are kept for whoever tells others of them.
const GROUPS: usize = 1_024;

/// The events of one commit, in the order of their cursors.
pub type Group = Arc<[Arc<StoredEvent>]>;

/// An event on its way to the disk. Dropped, it may be stored or not.
#[must_use = "an event is stored only when its ticket says so"]
#[derive(Debug)]
pub struct Ticket {
    answer: oneshot::Receiver<Answer>,
    until: Instant,
}

impl Ticket {
    /// Waits for the commit.
    ///
    /// # Errors
    /// When the store refuses the event or does not answer.
    pub async fn stored(self) -> Result<Arc<StoredEvent>, StoreError> {
        match self.answer().await? {
            Outcome::Stored(event) => Ok(event),
            other => unreachable!("an append has no key and is never answered with {other:?}"),
        }
    }

    async fn answer(self) -> Answer {
        let answer = timeout_at(self.until, self.answer).await.map_err(|_| timed_out())?;
        answer.map_err(|_| sqlx::Error::WorkerCrashed)?
    }
}

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
    groups: broadcast::Sender<Group>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the task. It ends with [`Writer::close`], or when the writer is dropped.
    pub(super) fn start(ledger: impl Ledger) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        let stop = CancellationToken::new();
        let groups = broadcast::Sender::new(GROUPS);
        let task = tokio::spawn(run(ledger, waiting, groups.clone(), stop.clone()));
        Self { queue, groups, stop, task: Mutex::new(Some(task)) }
    }

    /// See [`OrderStore::commits`](super::OrderStore::commits).
    pub(super) fn commits(&self) -> broadcast::Receiver<Group> {
        self.groups.subscribe()
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
    ) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        match self.submit(Change::Mark(Box::new(MarkChange::new(id, event, at)?))).await? {
            Outcome::Stored(event) => Ok(Some(event)),
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

    /// Hands over an order's next event. See [`OrderStore::begin`](super::OrderStore::begin).
    pub(super) async fn begin(
        &self,
        order: &Order,
        event: &OrderEvent,
        reservation: Option<&Reservation>,
        line: &Line,
    ) -> Result<Ticket, StoreError> {
        let handed_over = async {
            if order.version < 2 {
                return Err(StoreError::VersionConflict);
            }
            let change = EventChange { line: line.clone(), ..EventChange::appended(order, event, reservation)? };
            self.hand_over(Change::Event(Box::new(change))).await
        };
        handed_over.await.inspect_err(|_| line.end())
    }

    /// Stores a fact. See [`OrderStore::set_fact`](super::OrderStore::set_fact).
    pub(super) async fn set_fact(&self, name: &str, value: &str) -> Result<(), StoreError> {
        self.submit(Change::Fact { name: name.to_owned(), value: value.to_owned() }).await.map(drop)
    }

    /// Answers after the commit. A write whose caller has gone before its group was formed is not made; when this
    /// fails with `Unavailable` the write may have been made or not, never half.
    async fn submit(&self, change: Change) -> Answer {
        self.hand_over(change).await?.answer().await
    }

    async fn hand_over(&self, change: Change) -> Result<Ticket, StoreError> {
        let until = Instant::now() + PATIENCE;
        let (reply, answer) = oneshot::channel();
        let taken = timeout_at(until, self.queue.send(Waiting { change, reply })).await.map_err(|_| timed_out())?;
        taken.map_err(|_| sqlx::Error::PoolClosed)?;
        Ok(Ticket { answer, until })
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

async fn run(
    ledger: impl Ledger,
    mut waiting: mpsc::Receiver<Waiting>,
    groups: broadcast::Sender<Group>,
    stop: CancellationToken,
) {
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
        attempt(&ledger, &groups, &mut group).await;
    }
    // What waits now is finished. Only what waits: a caller that nobody polls may hold its place in the channel for
    // ever, and must not keep the store from closing.
    waiting.close();
    while let Ok(write) = waiting.try_recv() {
        group.push(write);
        if group.len() == GROUP {
            attempt(&ledger, &groups, &mut group).await;
        }
    }
    attempt(&ledger, &groups, &mut group).await;
}

/// Settles a group, whatever happens. A bug in one group must not silence the store: if this panics, the group's
/// callers hear that nobody answers them.
async fn attempt(ledger: &impl Ledger, groups: &broadcast::Sender<Group>, group: &mut Vec<Waiting>) {
    let (mut changes, mut replies) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
    for write in group.drain(..) {
        if write.reply.is_closed() {
            write.change.is_not_stored();
        } else {
            changes.push(write.change);
            replies.push(write.reply);
        }
    }
    if AssertUnwindSafe(settle(ledger, groups, &changes, replies)).catch_unwind().await.is_err() {
        changes.iter().for_each(Change::is_not_stored);
        tracing::error!("a group of writes panicked");
    }
}

/// Commits a group, tells of its events and answers its callers.
async fn settle(
    ledger: &impl Ledger,
    groups: &broadcast::Sender<Group>,
    changes: &[Change],
    replies: Vec<oneshot::Sender<Answer>>,
) {
    if changes.is_empty() {
        return;
    }
    let started = Instant::now();
    let committed = ledger.commit(changes).await;
    metrics::histogram!(names::STORE_COMMIT).record(started.elapsed().as_secs_f64());
    metrics::histogram!(names::STORE_GROUP).record(names::as_gauge(changes.len() as u64));
    match committed {
        Ok(answers) => {
            tell_of(groups, &answers);
            answers.into_iter().zip(replies).for_each(|(answer, reply)| tell(reply, answer));
        }
        Err(error @ (StoreError::Refused(_) | StoreError::Corrupt(_))) if changes.len() > 1 => {
            tracing::warn!(%error, writes = changes.len(), "a group cannot be written; each write is tried alone");
            settle_alone(ledger, groups, changes, replies).await;
        }
        Err(error) => {
            changes.iter().for_each(Change::is_not_stored);
            fail_all(error, replies);
        }
    }
}

/// One write of the group holds something that the database refuses: find it without failing the others.
async fn settle_alone(
    ledger: &impl Ledger,
    groups: &broadcast::Sender<Group>,
    changes: &[Change],
    replies: Vec<oneshot::Sender<Answer>>,
) {
    let mut replies = replies.into_iter();
    for (n, change) in changes.iter().enumerate() {
        let Some(reply) = replies.next() else { return };
        match ledger.commit(std::slice::from_ref(change)).await {
            Ok(mut answers) => {
                tell_of(groups, &answers);
                tell(reply, answers.pop().unwrap_or_else(|| Err(sqlx::Error::WorkerCrashed.into())));
            }
            Err(error @ StoreError::Unavailable(_)) => {
                changes[n..].iter().for_each(Change::is_not_stored);
                tell(reply, Err(error.clone()));
                return fail_all(error, replies.collect());
            }
            Err(error) => {
                change.is_not_stored();
                tell(reply, Err(error));
            }
        }
    }
}

/// Tells of what is stored now; an error says that nobody listens.
fn tell_of(groups: &broadcast::Sender<Group>, answers: &[Answer]) {
    let stored = answers.iter().filter_map(|answer| match answer {
        Ok(Outcome::Stored(event)) => Some(event.clone()),
        _ => None,
    });
    let group: Group = stored.collect();
    if !group.is_empty() {
        let _ = groups.send(group);
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

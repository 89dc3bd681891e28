//! One read: what many ask for at the same time is read once.
//!
//! Owns the last answer and at most one read on its way. Whoever comes meanwhile waits for that one; an error is
//! everybody's who waited, and is not kept. A read goes on as long as somebody waits for it; one that was begun ahead, so
//! that nobody has to wait, ends with its owner. Knows nothing of what is read.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use tokio::{task::JoinSet, time::Instant};

use super::ChainError;
use crate::lock::lock;

/// After a read ahead has failed the next one is not begun at once: whoever asks may ask a thousand times a second.
const AHEAD_REST: Duration = Duration::from_secs(1);

type Reading<T> = BoxFuture<'static, Result<Arc<T>, ChainError>>;

/// One shared answer.
pub struct OneRead<T> {
    state: Arc<Mutex<State<T>>>,
    /// What a new answer and the last one make together.
    merge: fn(T, &T) -> T,
    /// The last read that was begun ahead.
    ahead: Mutex<JoinSet<()>>,
}

struct State<T> {
    last: Option<Arc<T>>,
    /// Weak: a read that nobody waits for any more must not pass for a new one later.
    on_its_way: Option<WeakShared<Reading<T>>>,
    /// When a read ahead failed last.
    failed_ahead: Option<Instant>,
}

impl<T> Default for OneRead<T> {
    fn default() -> Self {
        Self::merging(|new, _| new)
    }
}

impl<T> OneRead<T> {
    /// One whose new answer is what `merge` makes of it and the last one.
    pub fn merging(merge: fn(T, &T) -> T) -> Self {
        let state = State { last: None, on_its_way: None, failed_ahead: None };
        Self { state: Arc::new(Mutex::new(state)), merge, ahead: Mutex::default() }
    }
}

impl<T: Send + Sync + 'static> OneRead<T> {
    /// The last answer, however old.
    pub fn last(&self) -> Option<Arc<T>> {
        self.lock().last.clone()
    }

    /// The last answer if it is `fresh`, else that of the read on its way, else of a new one. An answer that came of
    /// another's read and is not fresh enough for this caller is followed by one more read. Cancel-safe.
    ///
    /// # Errors
    /// When the read brought no answer.
    pub async fn get<F>(&self, fresh: impl Fn(&T) -> bool, read: impl Fn() -> F) -> Result<Arc<T>, ChainError>
    where
        F: Future<Output = Result<T, ChainError>> + Send + 'static,
    {
        if let Some(last) = self.last().filter(|last| fresh(last)) {
            return Ok(last);
        }
        let answer = self.reading(&read).await?;
        if fresh(&answer) { Ok(answer) } else { self.reading(&read).await }
    }

    /// Takes in an answer that came another way.
    pub fn put(&self, answer: T) {
        self.lock().keep(answer, self.merge);
    }

    /// Whether a read may be begun ahead: none is on its way, and none that was begun so has just failed.
    pub fn may_read_ahead(&self) -> bool {
        let state = self.lock();
        state.on_its_way().is_none() && state.failed_ahead.is_none_or(|at| at.elapsed() >= AHEAD_REST)
    }

    /// Begins a read that nobody waits for, if that may be: the last answer will soon be too old, and somebody will ask
    /// again. An error leaves the last answer as it is.
    pub fn read_ahead<F>(&self, read: impl Fn() -> F)
    where
        F: Future<Output = Result<T, ChainError>> + Send + 'static,
    {
        if !self.may_read_ahead() {
            return;
        }
        let (reading, state) = (self.reading(read), self.state.clone());
        let mut ahead = lock(&self.ahead);
        while ahead.try_join_next().is_some() {}
        ahead.spawn(async move {
            if let Err(error) = reading.await {
                tracing::debug!(%error, "nothing was read ahead");
                lock(&state).failed_ahead = Some(Instant::now());
            }
        });
    }

    /// The read on its way, or a new one. It does nothing until it is awaited.
    fn reading<F>(&self, read: impl Fn() -> F) -> Shared<Reading<T>>
    where
        F: Future<Output = Result<T, ChainError>> + Send + 'static,
    {
        // Made before the lock is taken, since making it may look at the last answer.
        let (answer, state, merge) = (read(), self.state.clone(), self.merge);
        let new: Shared<Reading<T>> = async move {
            let answer = answer.await?;
            // Kept here and not by those who wait: one of them may be slow, and must not put it over a newer one.
            Ok(lock(&state).keep(answer, merge))
        }
        .boxed()
        .shared();
        let mut state = self.lock();
        state.on_its_way().unwrap_or_else(|| {
            state.on_its_way = new.downgrade();
            new
        })
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }
}

impl<T> State<T> {
    fn keep(&mut self, answer: T, merge: fn(T, &T) -> T) -> Arc<T> {
        let answer = match &self.last {
            Some(last) => merge(answer, last),
            None => answer,
        };
        self.last.insert(Arc::new(answer)).clone()
    }

    fn on_its_way(&self) -> Option<Shared<Reading<T>>> {
        self.on_its_way.as_ref().and_then(WeakShared::upgrade).filter(|reading| reading.peek().is_none())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use futures_util::future::join_all;
    use tokio::time::{sleep, timeout};

    use super::*;

    const READ: Duration = Duration::from_millis(100);

    /// Answers with the number of the read, after a while.
    struct Source {
        reads: Arc<AtomicU32>,
        fails: bool,
        one: OneRead<u32>,
    }

    impl Source {
        fn new(fails: bool) -> Self {
            Self { reads: Arc::default(), fails, one: OneRead::default() }
        }

        fn read(&self) -> impl Fn() -> BoxFuture<'static, Result<u32, ChainError>> {
            let (reads, fails) = (self.reads.clone(), self.fails);
            move || {
                let reads = reads.clone();
                Box::pin(async move {
                    let number = reads.fetch_add(1, Ordering::Relaxed) + 1;
                    sleep(READ).await;
                    if fails { Err(ChainError::NodeBehind) } else { Ok(number) }
                })
            }
        }

        async fn get(&self, fresh: impl Fn(&u32) -> bool) -> Result<u32, ChainError> {
            self.one.get(fresh, self.read()).await.map(|number| *number)
        }

        fn reads(&self) -> u32 {
            self.reads.load(Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_at_the_same_time_shares_one_read_and_its_error() {
        let source = Source::new(false);
        assert!(join_all((0..50).map(|_| source.get(|_| true))).await.iter().all(|it| matches!(it, Ok(1))));
        assert_eq!((source.get(|_| true).await.unwrap(), source.reads()), (1, 1));
        let source = Source::new(true);
        assert!(join_all((0..50).map(|_| source.get(|_| true))).await.iter().all(Result::is_err));
        assert_eq!(source.reads(), 1);
        assert!(source.get(|_| true).await.is_err() && source.reads() == 2, "an error is not kept");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_too_old_is_read_once_more_for_all_who_need_it() {
        let source = Source::new(false);
        let (any, newer) =
            tokio::join!(source.get(|_| true), join_all((0..9).map(|_| source.get(|number| *number > 1))));
        assert_eq!(any.unwrap(), 1);
        assert!(newer.iter().all(|it| matches!(it, Ok(2))), "{newer:?}");
        assert_eq!(source.reads(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_everybody_left_is_not_taken_up_again() {
        let source = Source::new(false);
        assert!(timeout(READ / 2, source.get(|_| true)).await.is_err());
        sleep(READ * 10).await;
        assert_eq!(source.get(|_| true).await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_goes_on_for_those_who_stay() {
        let source = Source::new(false);
        let (left, stayed) = tokio::join!(timeout(READ / 2, source.get(|_| true)), source.get(|_| true));
        assert!(left.is_err());
        assert_eq!((stayed.unwrap(), source.reads()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_ahead_that_fails_is_not_repeated_at_once() {
        let source = Source::new(true);
        source.one.put(7);
        let ahead = async || {
            for _ in 0..10 {
                source.one.read_ahead(source.read());
                sleep(READ).await;
            }
            source.reads()
        };
        assert_eq!(ahead().await, 1);
        sleep(AHEAD_REST).await;
        assert_eq!(ahead().await, 2);
        assert!(
            source.get(|number| *number > 7).await.is_err() && source.reads() == 3,
            "whoever needs it asks at once"
        );
        assert_eq!(source.one.last().as_deref(), Some(&7));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_ahead_is_there_when_it_is_asked_for_and_a_failure_changes_nothing() {
        let source = Source::new(false);
        source.one.read_ahead(source.read());
        source.one.read_ahead(source.read());
        assert_eq!(source.get(|_| true).await.unwrap(), 1, "whoever comes meanwhile waits for the same one");
        source.one.read_ahead(source.read());
        sleep(READ * 2).await;
        assert_eq!((source.one.last().as_deref(), source.reads()), (Some(&2), 2));
        source.one.read_ahead(|| async { Err(ChainError::NodeBehind) });
        sleep(READ).await;
        assert_eq!(source.get(|_| true).await.unwrap(), 2);
    }
}

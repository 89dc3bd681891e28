//! One read: what many ask for at the same time is read once.
//!
//! Owns the last answer and at most one read on its way. Whoever comes meanwhile waits for that one; an error is
//! everybody's who waited, and is not kept. Knows nothing of what is read, and starts nothing of its own: a read goes on
//! as long as somebody waits for it.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};

use super::ChainError;

type Reading<T> = BoxFuture<'static, Result<Arc<T>, ChainError>>;

/// One shared answer.
pub struct OneRead<T>(Mutex<State<T>>);

struct State<T> {
    last: Option<Arc<T>>,
    /// Weak: a read that nobody waits for any more must not pass for a new one later.
    on_its_way: Option<WeakShared<Reading<T>>>,
}

impl<T> Default for OneRead<T> {
    fn default() -> Self {
        Self(Mutex::new(State { last: None, on_its_way: None }))
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
        let answer = self.join(&read).await?;
        if fresh(&answer) { Ok(answer) } else { self.join(&read).await }
    }

    async fn join<F>(&self, read: impl Fn() -> F) -> Result<Arc<T>, ChainError>
    where
        F: Future<Output = Result<T, ChainError>> + Send + 'static,
    {
        // Made before the lock is taken, since making it may look at the last answer. It does nothing until it is awaited.
        let new: Shared<Reading<T>> = read().map(|answer| answer.map(Arc::new)).boxed().shared();
        let reading = {
            let mut state = self.lock();
            let joined = state.on_its_way.as_ref().and_then(WeakShared::upgrade).filter(|it| it.peek().is_none());
            joined.unwrap_or_else(|| {
                state.on_its_way = new.downgrade();
                new
            })
        };
        let answer = reading.await?;
        self.lock().last = Some(answer.clone());
        Ok(answer)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

        async fn get(&self, fresh: impl Fn(&u32) -> bool) -> Result<u32, ChainError> {
            let read = || {
                let (reads, fails) = (self.reads.clone(), self.fails);
                async move {
                    let number = reads.fetch_add(1, Ordering::Relaxed) + 1;
                    sleep(READ).await;
                    if fails { Err(ChainError::NodeBehind) } else { Ok(number) }
                }
            };
            self.one.get(fresh, read).await.map(|number| *number)
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
}

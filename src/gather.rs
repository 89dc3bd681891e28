//! Gather: turns calls that come at about the same time into one.
//!
//! Owns the task that gathers: while one batch is on its way the next one waits, so nothing is ever delayed to make a
//! batch larger. Never looks at what it carries.

use tokio::sync::{mpsc, oneshot};

/// The most of one batch.
const BATCH: usize = 256;
/// Calls that may wait for a batch before their callers wait for room.
const WAITING: usize = 4_096;

/// The callers' end. The task ends with it.
#[derive(Debug)]
pub struct Gather<T, A> {
    calls: mpsc::Sender<(T, oneshot::Sender<A>)>,
}

impl<T: Send + 'static, A: Clone + Send + 'static> Gather<T, A> {
    /// Starts the task that gives batches to `work`; its answer is every caller's.
    pub fn start<W: Future<Output = A> + Send>(work: impl Fn(Vec<T>) -> W + Send + 'static) -> Self {
        let (calls, mut waiting) = mpsc::channel::<(T, oneshot::Sender<A>)>(WAITING);
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while waiting.recv_many(&mut batch, BATCH).await > 0 {
                let (items, replies): (Vec<T>, Vec<_>) = batch.drain(..).unzip();
                let answer = work(items).await;
                for reply in replies {
                    // The caller may have gone; the work is done all the same.
                    let _gone = reply.send(answer.clone());
                }
            }
        });
        Self { calls }
    }

    /// The answer to the batch that this becomes part of; `None` when the work panicked.
    pub async fn call(&self, item: T) -> Option<A> {
        let (reply, answer) = oneshot::channel();
        self.calls.send((item, reply)).await.ok()?;
        answer.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::Duration,
    };

    use futures_util::{FutureExt, future::join_all};
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn what_waits_while_a_batch_is_under_way_becomes_the_next_one() {
        let [begun, open] = [0; 2].map(|permits| Arc::new(Semaphore::new(permits)));
        let batches = Arc::new(Mutex::new(Vec::new()));
        let gather = Gather::start({
            let (begun, open, batches) = (begun.clone(), open.clone(), batches.clone());
            move |items: Vec<u32>| {
                let (begun, open, batches) = (begun.clone(), open.clone(), batches.clone());
                async move {
                    begun.add_permits(1);
                    open.acquire().await.unwrap().forget();
                    batches.lock().unwrap().push(items.clone());
                    items.len()
                }
            }
        });
        let called = async {
            let mut first = Box::pin(gather.call(0));
            assert_eq!(first.as_mut().now_or_never(), None);
            begun.acquire().await.unwrap().forget();
            let mut others = Box::pin(join_all((1..=3).map(|item| gather.call(item))));
            assert_eq!(others.as_mut().now_or_never(), None);
            open.add_permits(2);
            assert_eq!((first.await, others.await), (Some(1), vec![Some(3); 3]));
        };
        tokio::time::timeout(Duration::from_secs(10), called).await.expect("nobody works or answers");
        assert_eq!(*batches.lock().unwrap(), [vec![0], vec![1, 2, 3]]);
    }

    #[tokio::test]
    async fn a_panic_is_no_answer() {
        let gather = Gather::<(), ()>::start(|_| async { panic!("a bug") });
        assert_eq!(gather.call(()).await, None);
    }
}

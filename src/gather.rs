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
    use std::sync::{Arc, Mutex};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn what_waits_while_a_batch_is_under_way_becomes_the_next_one() {
        let (open, batches) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Vec::new())));
        let gather = Arc::new(Gather::start({
            let (open, batches) = (open.clone(), batches.clone());
            move |items: Vec<u32>| {
                let (open, batches) = (open.clone(), batches.clone());
                async move {
                    open.acquire().await.unwrap().forget();
                    batches.lock().unwrap().push(items.clone());
                    items.len()
                }
            }
        }));
        let call = |item| {
            let gather = gather.clone();
            tokio::spawn(async move { gather.call(item).await })
        };
        let first = call(0);
        while gather.calls.capacity() < WAITING || open.available_permits() > 0 {
            tokio::task::yield_now().await; // until the first one is a batch
        }
        tokio::task::yield_now().await;
        let others: Vec<_> = (1..=3).map(call).collect();
        while gather.calls.capacity() > WAITING - 3 {
            tokio::task::yield_now().await;
        }
        open.add_permits(2);
        assert_eq!(first.await.unwrap(), Some(1));
        for other in others {
            assert_eq!(other.await.unwrap(), Some(3));
        }
        assert_eq!(*batches.lock().unwrap(), [vec![0], vec![1, 2, 3]]);
    }

    #[tokio::test]
    async fn a_panic_is_no_answer() {
        let gather = Gather::<(), ()>::start(|_| async { panic!("a bug") });
        assert_eq!(gather.call(()).await, None);
    }
}

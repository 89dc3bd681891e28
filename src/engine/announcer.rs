//! Announcer: tells the bus what this process has stored, in the order of the cursors and a commit at a time.
//!
//! Owns nothing: the store is the truth and says what it committed, the bus is a courtesy. A message that is lost costs
//! promptness only, because readers also look at the store.

use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};
use tokio_util::sync::CancellationToken;

use crate::{
    events::SharedBus,
    store::{Group, SharedStore},
};

/// The way from one process's commits to everybody's bus.
pub struct Announcer {
    commits: Receiver<Group>,
    bus: SharedBus,
}

impl Announcer {
    /// Hears everything that `store` commits from now on.
    pub fn new(store: &SharedStore, bus: SharedBus) -> Self {
        Self { commits: store.commits(), bus }
    }

    /// Runs until `shutdown`, and then tells of what is committed by then.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            // Only the waiting ends there: what was heard is told to its end.
            let heard = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                heard = self.commits.recv() => heard,
            };
            match heard {
                Ok(group) => self.tell(&group).await,
                Err(RecvError::Lagged(groups)) => self.tell_of_gap(groups).await,
                Err(RecvError::Closed) => return,
            }
        }
        loop {
            match self.commits.try_recv() {
                Ok(group) => self.tell(&group).await,
                Err(TryRecvError::Lagged(groups)) => self.tell_of_gap(groups).await,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    async fn tell(&self, group: &Group) {
        if let Err(error) = self.bus.publish(group).await {
            tracing::warn!(events = group.len(), %error, "events stored but not published");
        }
    }

    async fn tell_of_gap(&self, groups: u64) {
        tracing::warn!(groups, "the bus is slower than the store: its readers look there");
        if let Err(error) = self.bus.publish_gap().await {
            tracing::warn!(%error, "nobody could be told");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
        time::Duration,
    };

    use async_trait::async_trait;
    use tokio::sync::{Semaphore, broadcast};

    use super::*;
    use crate::{
        domain::StoredEvent,
        events::{BusError, EventBus, Subscription},
    };

    /// Counts what it is told, each message once it gets a permit.
    struct Slow {
        permits: Semaphore,
        asked: Semaphore,
        groups: AtomicU32,
        gaps: AtomicU32,
    }

    impl Slow {
        fn new(permits: usize) -> Arc<Self> {
            let [groups, gaps] = [0; 2].map(AtomicU32::new);
            Arc::new(Self { permits: Semaphore::new(permits), asked: Semaphore::new(0), groups, gaps })
        }

        async fn count(&self, told: &AtomicU32) -> Result<(), BusError> {
            self.asked.add_permits(1);
            self.permits.acquire().await.unwrap().forget();
            told.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        /// Groups and gaps.
        fn told(&self) -> (u32, u32) {
            (self.groups.load(Ordering::Relaxed), self.gaps.load(Ordering::Relaxed))
        }
    }

    #[async_trait]
    impl EventBus for Slow {
        async fn publish(&self, _: &[Arc<StoredEvent>]) -> Result<(), BusError> {
            self.count(&self.groups).await
        }

        async fn publish_gap(&self) -> Result<(), BusError> {
            self.count(&self.gaps).await
        }

        fn subscribe(&self) -> Box<dyn Subscription> {
            unreachable!("nobody listens")
        }

        async fn ping(&self) -> Result<(), BusError> {
            Ok(())
        }

        async fn run(&self, _: CancellationToken) {}
    }

    fn group() -> Group {
        Arc::new([])
    }

    #[tokio::test]
    async fn what_was_heard_before_the_end_is_told_to_its_end() {
        let (commits, heard) = broadcast::channel(8);
        let (bus, shutdown) = (Slow::new(0), CancellationToken::new());
        let running = tokio::spawn(Announcer { commits: heard, bus: bus.clone() }.run(shutdown.clone()));
        commits.send(group()).unwrap();
        let told = async {
            bus.asked.acquire().await.unwrap().forget();
            shutdown.cancel();
            tokio::task::yield_now().await; // it hears of that before the bus takes the message
            bus.permits.add_permits(1);
            running.await.unwrap();
        };
        tokio::time::timeout(Duration::from_secs(10), told).await.expect("nobody was told, or it does not end");
        assert_eq!(bus.told(), (1, 0));
    }

    #[tokio::test]
    async fn who_fell_behind_before_the_end_still_tells_the_rest() {
        let (commits, heard) = broadcast::channel(2);
        let (bus, shutdown) = (Slow::new(10), CancellationToken::new());
        for _ in 0..5 {
            commits.send(group()).unwrap();
        }
        shutdown.cancel();
        Announcer { commits: heard, bus: bus.clone() }.run(shutdown).await;
        assert_eq!(bus.told(), (2, 1));
    }
}

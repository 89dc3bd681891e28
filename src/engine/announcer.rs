//! Announcer: tells the bus what this process has stored, in the order of the cursors and a commit at a time.
//!
//! Owns nothing: the store is the truth and says what it committed, the bus is a courtesy. A message that is lost costs
//! promptness only, because readers also look at the store.

use tokio::sync::broadcast::{Receiver, error::RecvError};
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
        let live = async {
            loop {
                match self.commits.recv().await {
                    Ok(group) => tell(&self.bus, &group).await,
                    Err(RecvError::Lagged(groups)) => {
                        tracing::warn!(groups, "the bus is slower than the store: its readers look there");
                        if let Err(error) = self.bus.publish_gap().await {
                            tracing::warn!(%error, "nobody could be told");
                        }
                    }
                    Err(RecvError::Closed) => break,
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = live => return,
        }
        while let Ok(group) = self.commits.try_recv() {
            tell(&self.bus, &group).await;
        }
    }
}

async fn tell(bus: &SharedBus, group: &Group) {
    if let Err(error) = bus.publish(group).await {
        tracing::warn!(events = group.len(), %error, "events stored but not published");
    }
}

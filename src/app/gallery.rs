//! Gallery: the threads for those who only listen.
//!
//! Owns a runtime beside the one that trades. An event wakes every socket on the firehose at the same moment; on one
//! runtime thousands of them stand before the next order's step and the next request. Here they wait for each other, and
//! the system shares the processors between the two.

use std::thread::available_parallelism;

use anyhow::Context;
use tokio::runtime::{Builder, Handle, Runtime};

/// The runtime, until this is dropped. It must outlive whatever uses connections that were opened on it.
pub struct Gallery(Option<Runtime>);

impl Gallery {
    /// Threads for half of the processors, and for one at least.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn open() -> anyhow::Result<Self> {
        let threads = available_parallelism().map_or(1, |all| (all.get() / 2).max(1));
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("gallery")
            .enable_all()
            .build()
            .context("no threads for those who listen")?;
        Ok(Self(Some(runtime)))
    }

    /// Where tasks are spawned on it.
    pub fn handle(&self) -> Handle {
        self.0.as_ref().expect("it is there until it is dropped").handle().clone()
    }
}

impl Drop for Gallery {
    fn drop(&mut self) {
        // Dropped by a task of the other runtime, which must not wait.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

//! Halt: has the cluster's finality stopped?
//!
//! Owns one look at the finalized height every few seconds and the flag that follows from it. While finality stands still
//! nothing that was sent can be proven dead or alive for good, so nothing new should be signed. A node that does not
//! answer says nothing of the cluster: such time does not count. Never stops anything itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Rpc, Tip};
use crate::domain::BlockHeight;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// Blocks that the finalized height may lag; the time of so many is what a standstill must exceed.
const BLOCKS: u32 = 40;
const SHORTEST: Duration = Duration::from_secs(10);
/// A block time that was measured over a standstill is a long one: it must not hide the next one.
const LONGEST: Duration = Duration::from_secs(120);

/// Whether finality stands still. Shared with whoever shows it.
#[derive(Clone, Debug, Default)]
pub struct Halt {
    stopped: Arc<AtomicBool>,
}

impl Halt {
    /// The handle, and the task that whoever owns the tasks must run.
    pub fn new(rpc: Arc<Rpc>, tip: Arc<Tip>) -> (Self, HaltTask) {
        let halt = Self::default();
        (halt.clone(), HaltTask { rpc, tip, halt, growth: None })
    }

    /// True while nothing should be signed.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// The flag itself, for whoever tells others.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.stopped.clone()
    }
}

/// The loop behind `Halt`.
pub struct HaltTask {
    rpc: Arc<Rpc>,
    /// Is told every height, so that every role has a block time: an api process reads no blockhashes.
    tip: Arc<Tip>,
    halt: Halt,
    growth: Option<Growth>,
}

/// The greatest finalized height and since when it is the greatest.
#[derive(Clone, Copy, Debug)]
struct Growth {
    height: BlockHeight,
    since: Instant,
}

impl HaltTask {
    /// Looks until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = self.look() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn look(&mut self) {
        // A chain that has just begun has nothing final yet: that is no standstill.
        let seen = self.rpc.finalized_height().await.ok().filter(|height| height.0 > 0);
        let now = Instant::now();
        if let Some(height) = seen {
            self.tip.saw_finalized(height, now);
        }
        let stopped = self.weigh(seen, now, standstill(self.tip.finalized_block_time()));
        if stopped != self.halt.stopped.swap(stopped, Ordering::Relaxed) {
            if stopped {
                tracing::error!(height = ?seen, "the cluster's finality has stopped: nothing is signed until it goes on");
            } else {
                tracing::info!(height = ?seen, "the cluster's finality goes on");
            }
        }
    }

    /// Whether finality stands still, after a look at `now`.
    fn weigh(&mut self, seen: Option<BlockHeight>, now: Instant, limit: Duration) -> bool {
        match (&mut self.growth, seen) {
            (Some(growth), Some(height)) if height <= growth.height => now.duration_since(growth.since) >= limit,
            (growth, Some(height)) => {
                *growth = Some(Growth { height, since: now });
                false
            }
            (growth, None) => {
                if let Some(growth) = growth {
                    growth.since = now;
                }
                self.halt.is_stopped()
            }
        }
    }
}

/// How long the height may stand still.
fn standstill(block_time: Option<Duration>) -> Duration {
    block_time.map_or(SHORTEST, |time| time.saturating_mul(BLOCKS)).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;
    use crate::chain::rpc::node_stub::{Node, Reply, over};

    /// The handle, the task and the tip of a daemon that asks this node.
    fn scene(node: &Node) -> (Halt, HaltTask, Arc<Tip>) {
        let rpc = Arc::new(over(&[node], Duration::from_secs(60)));
        let tip = Arc::new(Tip::new(rpc.clone()));
        let (halt, task) = Halt::new(rpc, tip.clone());
        (halt, task, tip)
    }

    /// What the node says at each look, and whether signing then stands still.
    async fn looks(said: &[Option<u64>]) -> Vec<bool> {
        let next = Arc::new(Mutex::new(Some(0_u64)));
        let says = next.clone();
        let node = Node::start(move |_, _| match *says.lock().unwrap() {
            Some(height) => Reply::Result(json!(height)),
            None => Reply::Error(-32005),
        })
        .await;
        let (halt, mut task, _) = scene(&node);
        let mut stopped = Vec::new();
        for height in said {
            *next.lock().unwrap() = *height;
            task.look().await;
            stopped.push(halt.is_stopped());
            tokio::time::advance(SHORTEST / 2).await;
        }
        stopped
    }

    /// E.14, 12.
    #[tokio::test(start_paused = true)]
    async fn a_height_that_stands_still_stops_signing_until_it_grows() {
        let said = [Some(5), Some(6), Some(6), Some(6), Some(6), Some(7), Some(7)];
        assert_eq!(looks(&said).await, [false, false, false, true, true, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_lags_is_no_growth_and_one_that_is_silent_no_standstill() {
        assert_eq!(looks(&[Some(6), Some(5), Some(6)]).await, [false, false, true]);
        assert_eq!(looks(&[Some(6), None, Some(6), Some(6)]).await, [false, false, false, true]);
        assert_eq!(looks(&[Some(6), Some(6), Some(6), None]).await, [false, false, true, true]);
    }

    #[test]
    fn slow_blocks_get_more_time_and_never_too_much() {
        let after = |millis| standstill(Some(Duration::from_millis(millis)));
        assert_eq!([standstill(None), after(150), after(200)], [SHORTEST; 3]);
        assert_eq!([after(400), after(2_000)], [Duration::from_secs(16), Duration::from_secs(80)]);
        assert_eq!(after(3_600_000), LONGEST);
    }

    /// E.14, 11: the standstill is measured in the blocks of this cluster, whatever they take.
    #[tokio::test(start_paused = true)]
    async fn finality_that_stops_is_noticed_after_forty_blocks_at_any_block_time() {
        for millis in [150, 200, 400, 2_000] {
            let block_time = Duration::from_millis(millis);
            let start = Instant::now();
            let stops_after = Duration::from_secs(100);
            let node = Node::start(move |_, _| {
                let blocks = start.elapsed().min(stops_after).as_millis() / block_time.as_millis();
                Reply::Result(json!(1 + u64::try_from(blocks).unwrap()))
            })
            .await;
            let (halt, mut task, tip) = scene(&node);
            let mut noticed = None;
            while noticed.is_none() {
                task.look().await;
                noticed = halt.is_stopped().then(|| start.elapsed());
                tokio::time::advance(EVERY).await;
            }
            let measured = tip.block_time().expect("known also where nobody asks for a blockhash");
            assert!(measured.abs_diff(block_time) <= block_time / 10, "{block_time:?} measured as {measured:?}");
            let after = noticed.unwrap() - stops_after;
            let meant = (block_time * BLOCKS).max(SHORTEST);
            assert!(after >= meant * 9 / 10 - EVERY && after <= meant * 11 / 10 + EVERY, "{block_time:?}: {after:?}");
        }
    }
}

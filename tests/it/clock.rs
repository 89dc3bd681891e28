//! The wall clock jumps by hours, forward and backward, under a running daemon and between two starts: no order expires,
//! is lost, doubled or left lying for it.
//!
//! Needs `libfaketime` (Debian: `apt-get install faketime`), which gives the real daemon another clock.

use std::{fs, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use swapd::chaos::{Chaos, Fault, Options, Rule, Seen};
use tokio::process::Command;

use crate::support::{
    daemon::{Daemon, Setup, World},
    eventually,
};

const SLOT: Duration = Duration::from_millis(200);

/// The daemon's wall clock, as far from the true one as it is told. Its monotonic clock is the true one.
struct Clock {
    folder: tempfile::TempDir,
}

impl Clock {
    fn new() -> Self {
        let clock = Self { folder: tempfile::tempdir().unwrap() };
        clock.set("+0h");
        clock
    }

    /// `+5h`, `-5h`: relative to the true time.
    fn set(&self, offset: &str) {
        let (new, file) = (self.folder.path().join("new"), self.file());
        fs::write(&new, offset).unwrap();
        fs::rename(new, file).unwrap(); // at once: it is read all the time
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }

    async fn daemon(&self, world: &World, setup: &Setup) -> Daemon {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swapd"));
        command
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
        let mut daemon = Daemon::run(command, &world.config(setup), "all");
        daemon.is_ready().await;
        daemon
    }
}

fn library() -> PathBuf {
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].into_iter().flat_map(|root| {
        let below = fs::read_dir(root).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        below.chain([PathBuf::from(root)])
    });
    folders
        .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.is_file())
        .expect("this test needs `libfaketime`: install it with `apt-get install faketime`")
}

/// The hour that the daemon believes it is, in hours since the epoch.
async fn hour(daemon: &Daemon) -> i64 {
    let (_, health) = daemon.get("/health").await;
    let text = health["timestamp"].as_str().unwrap();
    let at = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap();
    at.unix_timestamp() / 3_600
}

/// Moves the daemon's clock and sees to it that the daemon believes it.
async fn jump(clock: &Clock, daemon: &Daemon, hours: i64) {
    clock.set(&format!("{hours:+}h"));
    let there = time::OffsetDateTime::now_utc().unix_timestamp() / 3_600 + hours;
    eventually("the jump", || async { if hour(daemon).await.abs_diff(there) <= 1 { Ok(()) } else { Err(()) } }).await;
}

fn order(n: usize) -> Value {
    json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountInBase": (100_000_000 + n).to_string()})
}

fn times(order: &Value) -> Vec<&str> {
    order["history"].as_array().unwrap().iter().map(|event| event["at"].as_str().unwrap()).collect()
}

async fn usdc(world: &World) -> u64 {
    world.tokens(&world.wallets[0], "USDC").await
}

/// Every order ended once, and the wallet received what they say, once.
async fn all_swapped_once(world: &World, daemon: &Daemon, ids: &[String], before: u64) {
    let mut received = 0;
    for id in ids {
        let order = daemon.ended(id).await;
        assert_eq!((&order["status"], &order["signatures"]), (&json!("confirmed"), &json!(1)), "{order}");
        assert!(times(&order).is_sorted(), "no event is before the one it follows: {order}");
        received += order["filled"]["amountOut"]["base"].as_str().unwrap().parse::<u64>().unwrap();
    }
    assert_eq!(usdc(world).await - before, received);
}

#[tokio::test(flavor = "multi_thread")]
async fn jumps_under_a_running_daemon_change_nothing() {
    let world = World::start(SLOT, 1).await;
    let (clock, before) = (Clock::new(), usdc(&world).await);
    let daemon = clock.daemon(&world, &world.embedded()).await;
    let mut ids = Vec::new();
    for hours in [0, 5, -5, 30, 0] {
        // Orders of the time before are on their way during the jump.
        for _ in 0..3 {
            ids.push(daemon.order(&order(ids.len())).await);
        }
        jump(&clock, &daemon, hours).await;
    }
    all_swapped_once(&world, &daemon, &ids, before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_stamped_in_the_future_or_long_ago_are_taken_up_after_a_restart() {
    let world = World::start(SLOT, 1).await;
    let chaos = Chaos::start(Options::new(world.chain.rpc_url(), world.chain.ws_url())).await.unwrap();
    let setup = Setup { endpoint: Some((chaos.rpc_url(), chaos.ws_url())), ..world.embedded() };
    let (clock, before) = (Clock::new(), usdc(&world).await);
    let mut ids = Vec::new();
    // The first start stamps its order in the future of the second, and both are long ago for the third.
    for offset in ["+12h", "-12h"] {
        let silent =
            chaos.add(Rule::new(Fault::Drop { seen: Seen::Close, forward: false }).on(&["getSignatureStatuses"]));
        clock.set(offset);
        let mut daemon = clock.daemon(&world, &setup).await;
        let id = daemon.order(&order(ids.len())).await;
        eventually("the order to be sent", || async {
            let (_, order) = daemon.get(&format!("/v1/orders/{id}")).await;
            let history = order["history"].as_array().ok_or(())?;
            if history.iter().any(|event| event["event"] == "sent") { Ok(()) } else { Err(()) }
        })
        .await;
        ids.push(id);
        daemon.kill_9().await;
        chaos.remove(silent.unwrap());
        if offset == "-12h" {
            continue;
        }
        clock.set("-12h");
        let mut daemon = clock.daemon(&world, &setup).await;
        assert_eq!(daemon.ended(&ids[0]).await["status"], "confirmed", "stamped a day ahead of this clock");
        daemon.kill_9().await;
    }
    clock.set("+12h");
    let daemon = clock.daemon(&world, &setup).await;
    all_swapped_once(&world, &daemon, &ids, before).await;
}

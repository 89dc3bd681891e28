//! A measurement, not a check: how long traders wait with and without a crowd of listeners beside them.
//!
//! `cargo test --release --locked --test it what_a_crowd_costs_the_traders -- --ignored --nocapture`

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::task::JoinSet;

use super::{SLOT, Socket, connect, connect_deaf, heard, is_settled, roomy, swap};
use crate::support::daemon::{Daemon, World};

const CROWD: usize = 5_000;
const DEAF: usize = 50;
/// Orders of each measurement, and the least time between two.
const ORDERS: usize = 30;
const EVERY: Duration = Duration::from_millis(120);

/// What traders waited for their answers and for their last frames, sorted.
struct Waits {
    answers: Vec<Duration>,
    frames: Vec<Duration>,
}

/// Places so many orders, each followed to its end on a socket of its own before the next one.
async fn waits(daemon: &Daemon, orders: usize) -> Waits {
    let mut waits = Waits { answers: Vec::new(), frames: Vec::new() };
    let mut pace = tokio::time::interval(EVERY);
    for _ in 0..orders {
        pace.tick().await;
        let began = Instant::now();
        let id = daemon.order(&swap()).await;
        waits.answers.push(began.elapsed());
        let mut socket = connect(daemon, &format!("/v1/stream?orderId={id}"), 1).await.remove(0);
        heard(&mut socket, is_settled).await;
        waits.frames.push(began.elapsed());
    }
    waits.answers.sort();
    waits.frames.sort();
    waits
}

fn report(who: &str, waits: &Waits) {
    let at = |sorted: &[Duration], percent: usize| sorted[(sorted.len() - 1) * percent / 100].as_micros() as f64 / 1e3;
    eprintln!(
        "{who}: POST p50 {:.1} ms, p99 {:.1} ms; last frame p50 {:.1} ms, p99 {:.1} ms",
        at(&waits.answers, 50),
        at(&waits.answers, 99),
        at(&waits.frames, 50),
        at(&waits.frames, 99),
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn what_a_crowd_costs_the_traders() {
    let world = World::start(SLOT, 4).await;
    let daemon = roomy(&world, CROWD + 1).await;
    waits(&daemon, 10).await; // whatever is done once is done now
    report("alone", &waits(&daemon, ORDERS).await);

    let mut reading = JoinSet::new();
    for socket in connect(&daemon, "/v1/stream", CROWD - DEAF).await {
        reading.spawn(read(socket));
    }
    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        deaf.push(connect_deaf(&daemon).await);
    }
    report("among 5,000 listeners, 50 of them deaf", &waits(&daemon, ORDERS).await);
    eprintln!("the daemon's peak memory: {} MB", daemon.peak_memory() >> 20);
}

async fn read(mut socket: Socket) {
    while socket.next().await.is_some() {}
}

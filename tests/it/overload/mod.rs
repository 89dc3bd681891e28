//! Far more than the daemon can do: bounded memory, honest refusals, and no accepted order lost.

mod rate;

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::support::{
    daemon::{Daemon, Setup, World},
    servers,
};

const SLOT: Duration = Duration::from_millis(50);
const POSTS: usize = 2_000;
const AT_ONCE: usize = 200;
/// What the daemon may have had resident at most; a debug build reaches about 60 MB in this flood.
const MOST_MEMORY: u64 = 200 * 1024 * 1024;
/// Jobs that may wait.
const DEPTH: u64 = 20;

/// Posts orders as fast as it can; the ids of the accepted ones.
async fn flood(daemon: &Daemon) -> Vec<String> {
    let client = reqwest::Client::new();
    let url = format!("{}/v1/orders", daemon.url());
    let answers: Vec<_> = stream::iter(0..POSTS)
        .map(|n| {
            let body = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountInBase": (100_000_000 + n).to_string()});
            let request = client.post(&url).json(&body).send();
            async move {
                let answer = request.await.unwrap();
                let wait = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
                (answer.status().as_u16(), wait, answer.json::<Value>().await.unwrap())
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let (mut accepted, mut full, mut busy) = (Vec::new(), 0, 0);
    for (status, wait, body) in answers {
        if status == 201 {
            accepted.push(body["id"].as_str().unwrap().to_owned());
            continue;
        }
        let wait: u64 = wait.unwrap_or_else(|| panic!("{status} without Retry-After: {body}")).parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        match (status, body["error"]["code"].as_str()) {
            (503, Some("queue_full")) => {
                full += 1;
                assert!(body["error"]["queueDepth"].as_u64().is_some_and(|depth| depth >= DEPTH), "{body}");
            }
            (503, Some("overloaded")) => busy += 1,
            _ => panic!("{status}: {body}"),
        }
    }
    eprintln!("{POSTS} posts: {} accepted, {full} found the queue full, {busy} too many requests", accepted.len());
    assert!(full > 0 && accepted.len() as u64 >= DEPTH && accepted.len() < POSTS / 2, "this was no flood");
    accepted
}

async fn ends_what_it_accepts(daemons: &[Daemon]) {
    let daemon = &daemons[0];
    for id in flood(daemon).await {
        let order = daemon.ended(&id).await;
        assert_eq!(order["status"], "confirmed", "{order}");
    }
    for daemon in daemons {
        let peak = daemon.peak_memory();
        eprintln!("peak memory {} MB", peak >> 20);
        assert!(peak < MOST_MEMORY, "{peak} bytes");
    }
}

fn bounded(setup: Setup) -> Setup {
    Setup { max_depth: DEPTH, api: "max_requests = 150".into(), ..setup }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_orders_is_refused_honestly_and_what_is_accepted_ends() {
    let world = World::start(SLOT, 2).await;
    let daemon = Daemon::start(&world, &bounded(world.embedded()), "all").await;
    ends_what_it_accepts(&[daemon]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_orders_over_two_processes_is_refused_honestly_and_what_is_accepted_ends() {
    let world = World::start(SLOT, 2).await;
    let setup = bounded(world.shared(&servers::fresh_database().await, &servers::shared_redis()));
    let api = Daemon::start(&world, &setup, "api").await;
    let worker = Daemon::start(&world, &setup, "worker").await;
    ends_what_it_accepts(&[api, worker]).await;
}

//! Ten times what the daemon can do, offered at an even pace that does not wait for answers.
//!
//! The longer run prints what it measures:
//! `cargo test --release --locked --test it ten_times_the_capacity_for_fifteen_seconds -- --ignored --nocapture`

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use super::{DEPTH, MOST_MEMORY, SLOT, bounded};
use crate::support::{
    daemon::{Daemon, World},
    eventually, within_patience,
};

/// How many times its capacity the daemon is offered.
const TIMES: f64 = 10.0;
/// Orders that the capacity is measured with, and how many of them are under way at the same time.
const SAMPLE: usize = 80;
const AT_ONCE: usize = 15;
/// Orders that may be queued between a request's look at the queue and its own place there.
const LOOKED_LATE: u64 = 5;
/// What a `Retry-After` may say, in seconds.
const PATIENCE: RangeInclusive<u64> = 1..=60;

/// What one POST was answered, and when.
struct Answer {
    status: u16,
    retry_after: Option<u64>,
    body: Value,
    took: Duration,
}

fn swap(n: usize) -> Value {
    json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountInBase": (100_000_000 + n).to_string()})
}

/// Orders a second that end while there is always a next one, heard over one socket: asking for each would be load too.
async fn capacity(daemon: &Daemon) -> f64 {
    let (mut events, _) = connect_async(format!("{}/v1/stream", daemon.ws())).await.unwrap();
    let (client, url) = (reqwest::Client::new(), format!("{}/v1/orders", daemon.url()));
    let mut asked = JoinSet::new();
    let mut place = |n| asked.spawn(ask(client.post(&url).json(&swap(n))));
    for n in 0..AT_ONCE {
        place(n);
    }
    let (mut ended, mut began) = (0, Instant::now());
    while ended < AT_ONCE + SAMPLE {
        let heard = within_patience("an order's end", events.next()).await.expect("the daemon closed").unwrap();
        let Message::Text(text) = heard else { continue };
        if serde_json::from_str::<Value>(&text).unwrap()["event"] != "landed" {
            continue;
        }
        ended += 1;
        place(ended);
        if ended == AT_ONCE {
            began = Instant::now(); // whatever is done once is done now
        }
    }
    let rate = SAMPLE as f64 / began.elapsed().as_secs_f64();
    for answer in asked.join_all().await {
        daemon.ended(answer.body["id"].as_str().expect("below its capacity every order is accepted")).await;
    }
    rate
}

/// Offers `rate` orders a second for `span`, whatever becomes of the earlier ones.
async fn offer(daemon: &Daemon, rate: f64, span: Duration) -> Vec<Answer> {
    let (client, url) = (reqwest::Client::new(), format!("{}/v1/orders", daemon.url()));
    let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    // A tick that came late is made up for: the rate is what counts.
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut asked = JoinSet::new();
    for n in 0..(rate * span.as_secs_f64()) as usize {
        pace.tick().await;
        asked.spawn(ask(client.post(&url).json(&swap(n))));
    }
    asked.join_all().await
}

async fn ask(request: reqwest::RequestBuilder) -> Answer {
    let began = Instant::now();
    let answer = request.send().await.expect("every request is answered");
    let (status, took) = (answer.status().as_u16(), began.elapsed());
    let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
    Answer { status, retry_after, body: answer.json().await.unwrap(), took }
}

/// The accepted orders' ids; every refusal says what it is, when to come again, and how many are waiting.
fn judged(answers: &[Answer]) -> Vec<String> {
    let mut accepted = Vec::new();
    for Answer { status, retry_after, body, .. } in answers {
        if *status == 201 {
            accepted.push(body["id"].as_str().unwrap().to_owned());
            continue;
        }
        assert!(retry_after.is_some_and(|wait| PATIENCE.contains(&wait)), "{status}, {retry_after:?}: {body}");
        match (status, body["error"]["code"].as_str()) {
            (503, Some("queue_full")) => {
                let depth = body["error"]["queueDepth"].as_u64().unwrap();
                assert!((DEPTH..=DEPTH + LOOKED_LATE).contains(&depth), "{body}");
            }
            (503, Some("overloaded")) | (429, Some("rate_limited")) => {}
            _ => panic!("{status}: {body}"),
        }
    }
    assert!(!accepted.is_empty() && accepted.len() < answers.len() / 2, "{} of {}", accepted.len(), answers.len());
    accepted
}

/// USDC of all wallets, in base units.
async fn usdc(world: &World) -> u64 {
    let mut sum = 0;
    for wallet in &world.wallets {
        sum += world.tokens(wallet, "USDC").await;
    }
    sum
}

/// Finds the capacity, offers ten times as much for `span`, and holds what was promised against what came of it.
async fn ten_times_the_capacity(span: Duration) {
    let world = World::start(SLOT, 4).await;
    let daemon = Daemon::start(&world, &bounded(world.embedded()), "all").await;
    let capacity = capacity(&daemon).await;
    let (memory, before) = (daemon.peak_memory(), usdc(&world).await);

    let began = Instant::now();
    let answers = offer(&daemon, capacity * TIMES, span).await;
    let offered = answers.len() as f64 / began.elapsed().as_secs_f64();
    let accepted = judged(&answers);
    let (mut received, mut landed) = (0, Vec::new());
    for id in &accepted {
        let order = daemon.ended(id).await;
        assert_eq!(order["status"], "confirmed", "{order}");
        let ends: Vec<_> =
            order["history"].as_array().unwrap().iter().filter(|event| event["event"] == "landed").collect();
        assert_eq!(ends.len(), 1, "it ended more than once: {order}");
        landed.push(OffsetDateTime::parse(ends[0]["at"].as_str().unwrap(), &Rfc3339).unwrap());
        received += order["filled"]["amountOut"]["base"].as_str().unwrap().parse::<u64>().unwrap();
    }
    landed.sort();
    let served = landed.len() as f64 / (landed[landed.len() - 1] - landed[0]).as_seconds_f64();
    assert_eq!(usdc(&world).await - before, received, "what was accepted was swapped once, and nothing else was");
    let peak = daemon.peak_memory();
    assert!(peak < MOST_MEMORY, "{peak} bytes");

    eprintln!("capacity {capacity:.1} orders/s; offered {offered:.1}/s for {span:?}; ended {served:.1}/s");
    eprintln!("{} posts: {}", answers.len(), summary(&answers));
    eprintln!("peak memory {} MB before, {} MB after", memory >> 20, peak >> 20);

    // Afterwards it is as if nothing had been.
    eventually("it to be ready", || async { if daemon.get("/ready").await.0 == 200 { Ok(()) } else { Err(()) } }).await;
    for n in 0..5 {
        let order = daemon.ended(&daemon.order(&swap(n)).await).await;
        assert_eq!(order["status"], "confirmed", "{order}");
    }
}

/// How often each answer was given, and how long it took.
fn summary(answers: &[Answer]) -> String {
    let mut kinds: BTreeMap<(u16, &str), Vec<Duration>> = BTreeMap::new();
    for answer in answers {
        let code = answer.body["error"]["code"].as_str().unwrap_or("accepted");
        kinds.entry((answer.status, code)).or_default().push(answer.took);
    }
    let lines = kinds.into_iter().map(|((status, code), mut took)| {
        took.sort();
        let at = |percent: usize| took[(took.len() - 1) * percent / 100];
        format!("{} {status} {code} (p50 {:.1?}, p99 {:.1?})", took.len(), at(50), at(99))
    });
    let waits: Vec<u64> = answers.iter().filter_map(|answer| answer.retry_after).collect();
    let depths: Vec<u64> = answers.iter().filter_map(|answer| answer.body["error"]["queueDepth"].as_u64()).collect();
    format!(
        "{}; Retry-After {:?} to {:?} s, queue depth {:?} to {:?}",
        lines.collect::<Vec<_>>().join(", "),
        waits.iter().min(),
        waits.iter().max(),
        depths.iter().min(),
        depths.iter().max(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_the_capacity_is_refused_honestly_and_loses_nothing() {
    ten_times_the_capacity(Duration::from_secs(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn ten_times_the_capacity_for_fifteen_seconds() {
    ten_times_the_capacity(Duration::from_secs(15)).await;
}

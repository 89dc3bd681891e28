//! One idempotency key is one order: for a hundred callers at once, for every api process, and after a restart.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    daemon::{Daemon, World},
    servers,
};

const SLOT: Duration = Duration::from_millis(50);
const POSTS: usize = 100;

fn order(amount: &str) -> Value {
    json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": amount})
}

async fn post(daemon: &Daemon, key: &str, amount: &str) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("{}/v1/orders", daemon.url()));
    let answer = request.header("Idempotency-Key", key).json(&order(amount)).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The id that every caller of `key` was told; exactly `made` of the answers say that the order is new.
async fn one_id(daemons: &[&Daemon], key: &str, made: usize) -> String {
    let answers = join_all((0..POSTS).map(|n| post(daemons[n % daemons.len()], key, "0.5"))).await;
    let fresh = answers.iter().filter(|(status, _)| *status == 201).count();
    let earlier = answers.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!((fresh, earlier), (made, POSTS - made), "{answers:?}");
    let id = answers[0].1["id"].as_str().unwrap().to_owned();
    assert!(answers.iter().all(|(_, order)| order["id"] == id.as_str()));
    id
}

async fn is_conflict(daemons: &[&Daemon], key: &str) {
    for (status, answer) in join_all((0..POSTS).map(|n| post(daemons[n % daemons.len()], key, "0.6"))).await {
        assert_eq!((status, answer["error"]["code"].as_str()), (409, Some("idempotency_conflict")), "{answer}");
    }
}

/// What one key made, told by `daemon`: one order, swapped once.
async fn swapped_once(world: &World, daemon: &Daemon, id: &str, usdc_before: u64) {
    let order = daemon.ended(id).await;
    assert_eq!((&order["status"], &order["signatures"]), (&json!("confirmed"), &json!(1)), "{order}");
    let (_, listed) = daemon.get("/v1/orders").await;
    assert_eq!(listed["orders"].as_array().unwrap().len(), 1, "{listed}");
    let received = order["filled"]["amountOut"]["base"].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(world.tokens(&world.wallets[0], "USDC").await - usdc_before, received);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_posts_with_one_key_are_one_order_also_after_a_restart() {
    let world = World::start(SLOT, 1).await;
    let usdc = world.tokens(&world.wallets[0], "USDC").await;
    let setup = world.embedded();
    let mut daemon = Daemon::start(&world, &setup, "all").await;
    let id = one_id(&[&daemon], "embedded", 1).await;
    is_conflict(&[&daemon], "embedded").await;
    swapped_once(&world, &daemon, &id, usdc).await;

    daemon.kill_9().await;
    let daemon = Daemon::start(&world, &setup, "all").await;
    assert_eq!(one_id(&[&daemon], "embedded", 0).await, id);
    is_conflict(&[&daemon], "embedded").await;
    swapped_once(&world, &daemon, &id, usdc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_posts_with_one_key_to_two_processes_are_one_order_also_after_a_restart() {
    let world = World::start(SLOT, 1).await;
    let usdc = world.tokens(&world.wallets[0], "USDC").await;
    let setup = world.shared(&servers::fresh_database().await, &servers::shared_redis());
    let (mut first, mut second) =
        (Daemon::start(&world, &setup, "api").await, Daemon::start(&world, &setup, "api").await);
    let _worker = Daemon::start(&world, &setup, "worker").await;
    let id = one_id(&[&first, &second], "shared", 1).await;
    is_conflict(&[&first, &second], "shared").await;
    swapped_once(&world, &second, &id, usdc).await;

    first.kill_9().await;
    second.kill_9().await;
    let (first, second) = (Daemon::start(&world, &setup, "api").await, Daemon::start(&world, &setup, "api").await);
    assert_eq!(one_id(&[&first, &second], "shared", 0).await, id);
    is_conflict(&[&first, &second], "shared").await;
    swapped_once(&world, &first, &id, usdc).await;
}

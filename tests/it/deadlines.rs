//! Deadlines of orders: what is not signed in time swaps nothing, what is signed is followed to its proven end.

use std::time::Duration;

use serde_json::{Value, json};
use swapd::chaos::{Chaos, Fault, Options, Rule};

use crate::support::{
    cut::Cut,
    daemon::{Daemon, Setup, World},
    servers,
};

const SLOT: Duration = Duration::from_millis(50);

fn order(expires_in_ms: u64) -> Value {
    json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "0.5", "expiresInMs": expires_in_ms})
}

/// That the order ended by its deadline, and nothing was ever signed for it.
async fn expired_unsigned(daemon: &Daemon, id: &str) {
    let order = daemon.ended(id).await;
    assert_eq!((&order["status"], &order["failure"]["code"]), (&json!("failed"), &json!("expired")), "{order}");
    assert_eq!((&order["signatures"], &order["txHash"]), (&json!(0), &Value::Null), "{order}");
    assert!(order["updatedAt"].as_str() >= order["expiresAt"].as_str(), "{order}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_in_time_is_swapped_and_one_that_comes_too_late_is_refused() {
    let world = World::start(SLOT, 1).await;
    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    let in_time = daemon.ended(&daemon.order(&order(60_000)).await).await;
    assert_eq!(in_time["status"], "confirmed");
    assert!(in_time["expiresAt"].as_str() > in_time["createdAt"].as_str(), "{in_time}");
    let mut late = order(1);
    late.as_object_mut().unwrap().remove("expiresInMs");
    late["expiresAt"] = json!("2020-01-01T00:00:00Z");
    let (status, answer) = daemon.post("/v1/orders", &late).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("invalid_request")), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_wait_for_a_lost_chain_or_a_pause_end_at_their_deadline() {
    let world = World::start(SLOT, 1).await;
    let (cut, url) = Cut::before_url(world.chain.rpc_url()).await;
    let setup = Setup { endpoint: Some((url, world.chain.ws_url().to_owned())), ..world.embedded() };
    let daemon = Daemon::start(&world, &setup, "all").await;
    cut.cut();
    let first = daemon.order(&order(700)).await;
    let paused = daemon.order(&order(5_000)).await;
    expired_unsigned(&daemon, &first).await;
    daemon.post("/v1/control/pause", &json!({})).await;
    cut.mend();
    expired_unsigned(&daemon, &paused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_no_worker_takes_up_ends_at_its_deadline() {
    let world = World::start(SLOT, 1).await;
    let setup = world.shared(&servers::fresh_database().await, &servers::shared_redis());
    let api = Daemon::start(&world, &setup, "api").await;
    let id = api.order(&order(500)).await;
    expired_unsigned(&api, &id).await;
    let _worker = Daemon::start(&world, &setup, "worker").await;
    let next = api.order(&order(60_000)).await;
    assert_eq!(api.ended(&next).await["status"], "confirmed", "the job of the dead order is in nobody's way");
    expired_unsigned(&api, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_order_is_followed_past_its_deadline_and_not_signed_again() {
    let world = World::start(SLOT, 1).await;
    let options = Options::new(world.chain.rpc_url(), world.chain.ws_url());
    let chaos = Chaos::start(options).await.unwrap();
    chaos.add(Rule::new(Fault::Swallow)).unwrap();
    let setup = Setup { endpoint: Some((chaos.rpc_url(), chaos.ws_url())), ..world.embedded() };
    let daemon = Daemon::start(&world, &setup, "all").await;
    let id = daemon.order(&order(3_000)).await;
    let ended = daemon.ended(&id).await;
    assert_eq!((&ended["failure"]["code"], &ended["signatures"]), (&json!("expired"), &json!(1)), "{ended}");
    let events: Vec<_> = ended["history"].as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
    let proven = events.iter().position(|event| event == "expired");
    assert!(proven.is_some_and(|at| events[at + 1] == "failed"), "first the proof, then the end: {events:?}");
}

//! Dry runs: what an order would do, held against the order itself; and that nothing is left of them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    daemon::{Daemon, World},
    servers,
};

const SLOT: Duration = Duration::from_millis(50);

fn base(value: &Value) -> u64 {
    value["base"].as_str().unwrap_or_else(|| panic!("no amount in {value}")).parse().unwrap()
}

async fn rehearsed(daemon: &Daemon, mut order: Value) -> Value {
    order["dryRun"] = json!(true);
    let (status, answer) = daemon.post("/v1/orders", &order).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_the_order_then_does_and_leaves_nothing() {
    let world = World::start(SLOT, 1).await;
    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    for order in [
        json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"}),
        json!({"tokenIn": "USDC", "tokenOut": "SOL", "amountOut": "0.25"}),
        json!({"tokenIn": "SOL", "tokenOut": "LEVY", "amountIn": "0.5"}),
    ] {
        let lamports = world.lamports(&world.wallets[0]).await;
        let (_, before) = daemon.get("/v1/orders").await;
        let dry = rehearsed(&daemon, order.clone()).await;
        assert_eq!((&dry["dryRun"], &dry["simulation"]["ok"]), (&json!(true), &json!(true)), "{dry}");
        assert_eq!((&dry["wallet"], &dry["funds"]["sufficient"]), (&json!(world.wallets[0].to_string()), &json!(true)));
        assert!(dry["simulation"]["computeUnits"].as_u64().unwrap() > 0, "{dry}");
        assert!(dry["quotes"].as_array().is_some_and(|quotes| quotes.len() == 2), "{dry}");
        assert_eq!(daemon.get("/v1/orders").await.1, before, "nothing is stored");
        assert_eq!(world.lamports(&world.wallets[0]).await, lamports, "nothing is sent");

        let done = daemon.ended(&daemon.order(&order).await).await;
        assert_eq!(done["status"], "confirmed", "{done}");
        assert_eq!(dry["simulation"]["received"], done["filled"]["amountOut"], "{dry} {done}");
        assert_eq!(dry["simulation"]["paid"], done["filled"]["amountIn"]);
        assert_eq!((&dry["minOut"], &dry["maxIn"]), (&done["minOut"], &done["maxIn"]));
        assert_eq!(base(&dry["fees"]["total"]), base(&done["networkFee"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_stop_the_order() {
    let world = World::start(SLOT, 1).await;
    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    let poor = rehearsed(&daemon, json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "2000000"})).await;
    assert_eq!((&poor["funds"]["sufficient"], &poor["simulation"]["ok"]), (&json!(false), &json!(false)), "{poor}");
    assert!(poor["simulation"]["failure"]["code"].is_string(), "{poor}");
    let greedy = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1", "minOut": "1000", "dryRun": true});
    let (status, answer) = daemon.post("/v1/orders", &greedy).await;
    assert_eq!((status, &answer["error"]["code"]), (422, &json!("slippage_exceeded")), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_keys_rehearses_for_a_wallet_that_is_named() {
    let world = World::start(SLOT, 1).await;
    let setup = world.shared(&servers::fresh_database().await, &servers::shared_redis());
    let api = Daemon::start(&world, &setup, "api").await;
    let order = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"});
    let mut named = order.clone();
    named["wallet"] = json!(world.wallets[0].to_string());
    let dry = rehearsed(&api, named).await;
    assert_eq!((&dry["simulation"]["ok"], &dry["funds"]["sufficient"]), (&json!(true), &json!(true)), "{dry}");
    let mut nameless = order;
    nameless["dryRun"] = json!(true);
    let (status, answer) = api.post("/v1/orders", &nameless).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("invalid_request")), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("`wallet`"), "{answer}");
}

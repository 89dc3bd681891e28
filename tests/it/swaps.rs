//! Real swaps from order to chain: what was promised is what moved, and nothing else did.

use std::{collections::HashMap, time::Duration};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use swapd::chain::SendAnswer;

use crate::support::{
    daemon::{Daemon, World},
    servers,
};

const SLOT: Duration = Duration::from_millis(50);

fn base(value: &Value) -> i128 {
    value["base"].as_str().unwrap_or_else(|| panic!("no amount in {value}")).parse().unwrap()
}

/// Orders of every kind: both directions, exact in and exact out, with and without a transfer fee.
fn mixed(n: usize) -> Value {
    match n % 6 {
        0 => json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": format!("0.{}", 100 + n)}),
        1 => json!({"tokenIn": "USDC", "tokenOut": "SOL", "amountIn": format!("{}.5", 10 + n)}),
        2 => json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountOut": format!("{}.25", 20 + n)}),
        3 => json!({"tokenIn": "SOL", "tokenOut": "LEVY", "amountIn": format!("0.{}", 200 + n)}),
        4 => json!({"tokenIn": "LEVY", "tokenOut": "USDC", "amountIn": format!("{}", 5 + n)}),
        _ => json!({"tokenIn": "USDC", "tokenOut": "LEVY", "amountOut": format!("{}", 7 + n)}),
    }
}

/// Every wallet's balances: lamports and tokens, by symbol.
async fn balances(world: &World) -> HashMap<(String, &'static str), i128> {
    let mut all = HashMap::new();
    for wallet in &world.wallets {
        all.insert((wallet.to_string(), "SOL"), i128::from(world.lamports(wallet).await));
        for symbol in ["USDC", "LEVY"] {
            all.insert((wallet.to_string(), symbol), i128::from(world.tokens(wallet, symbol).await));
        }
    }
    all
}

/// Runs `count` mixed orders over `daemon` and holds the sum of them against the chain, to the unit.
async fn orders_and_chain_agree(world: &World, daemon: &Daemon, count: usize) {
    let before = balances(world).await;
    let ended: Vec<Value> = stream::iter(0..count)
        .map(|n| async move {
            let id = daemon.order(&mixed(n)).await;
            daemon.ended(&id).await
        })
        .buffer_unordered(count)
        .collect()
        .await;

    let mut expected = before;
    let mut signatures = Vec::new();
    for order in &ended {
        assert_eq!(order["status"], "confirmed", "{order}");
        assert_eq!(order["simulated"], false);
        let wallet = order["wallet"].as_str().unwrap();
        let mut move_by = |symbol: &str, amount: i128| {
            let symbol = ["SOL", "USDC", "LEVY"].into_iter().find(|known| *known == symbol).unwrap();
            *expected.get_mut(&(wallet.to_owned(), symbol)).unwrap() += amount;
        };
        move_by(order["tokenIn"].as_str().unwrap(), -base(&order["filled"]["amountIn"]));
        move_by(order["tokenOut"].as_str().unwrap(), base(&order["filled"]["amountOut"]));
        move_by("SOL", -base(&order["networkFee"]));
        if order["mode"] == "exact_in" {
            assert!(base(&order["filled"]["amountOut"]) >= base(&order["minOut"]), "{order}");
        } else {
            assert!(base(&order["filled"]["amountIn"]) <= base(&order["maxIn"]), "{order}");
        }
        signatures.push(order["txHash"].as_str().unwrap().to_owned());
    }
    signatures.sort();
    signatures.dedup();
    assert_eq!(signatures.len(), count, "each order has a transaction of its own");
    assert_eq!(balances(world).await, expected, "the chain moved something else than the orders say");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_orders_say_is_what_the_chain_moved() {
    let world = World::start(SLOT, 3).await;
    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    orders_and_chain_agree(&world, &daemon, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_over_redis_and_postgres_do_the_same() {
    let world = World::start(SLOT, 5).await;
    let setup = world.shared(&servers::fresh_database().await, &servers::shared_redis());
    let api = Daemon::start(&world, &setup, "api").await;
    let _one = Daemon::start(&world, &setup, "worker").await;
    let _two = Daemon::start(&world, &setup, "worker").await;
    orders_and_chain_agree(&world, &api, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_that_cannot_be_met_ends_the_order_before_anything_is_signed() {
    let world = World::start(SLOT, 1).await;
    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    let before = balances(&world).await;
    for body in [
        json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1", "minOut": "100000"}),
        json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountOut": "100", "maxIn": "0.01"}),
    ] {
        let order = daemon.ended(&daemon.order(&body).await).await;
        assert_eq!(order["status"], "failed");
        assert_eq!(order["failure"]["code"], "slippage_exceeded", "{order}");
        assert_eq!(order["signatures"], 0);
    }
    assert_eq!(balances(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_is_short_ends_the_order_before_any_fee_is_spent() {
    let world = World::start(SLOT, 1).await;
    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    let before = balances(&world).await;
    for body in [
        json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "20000"}),
        json!({"tokenIn": "USDC", "tokenOut": "SOL", "amountIn": "5000000"}),
    ] {
        let order = daemon.ended(&daemon.order(&body).await).await;
        assert_eq!(order["failure"]["code"], "insufficient_funds", "{order}");
        assert_eq!(order["signatures"], 0);
    }
    assert_eq!(balances(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_orders_cannot_promise_the_same_money() {
    let world = World::start(SLOT, 1).await;
    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    let have = world.tokens(&world.wallets[0], "USDC").await;
    let each = have / 3; // four of them are more than the wallet has
    let bodies = (0..4).map(|_| json!({"tokenIn": "USDC", "tokenOut": "SOL", "amountInBase": each.to_string()}));
    let ended: Vec<Value> = stream::iter(bodies)
        .map(|body| {
            let daemon = &daemon;
            async move { daemon.ended(&daemon.order(&body).await).await }
        })
        .buffer_unordered(4)
        .collect()
        .await;
    let confirmed = ended.iter().filter(|order| order["status"] == "confirmed").count();
    let short = ended.iter().filter(|order| order["failure"]["code"] == "insufficient_funds").count();
    // A deep trade moves the price, so one may also end at its bound; none may be signed without the money for it.
    assert!(confirmed <= 3 && short >= 1, "{ended:#?}");
    assert!(ended.iter().all(|order| order["failure"]["code"] != "transaction_failed"), "{ended:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mock_is_asked_and_shown_but_never_executed_unless_it_is_on_paper() {
    let world = World::start(SLOT, 1).await;
    let body = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"});

    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    let order = daemon.ended(&daemon.order(&body).await).await;
    assert_eq!(order["venue"], "raydium_cpmm");
    let routed = order["history"].as_array().unwrap().iter().find(|event| event["event"] == "routed").unwrap();
    let venues: Vec<_> = routed["route"]["quotes"].as_array().unwrap().iter().map(|it| &it["venue"]).collect();
    assert_eq!(venues, ["raydium_cpmm", "meteora_mock"]);
    drop(daemon);

    let mut setup = world.embedded();
    setup.store = setup.store.replace("swapd.db", "paper.db");
    // A price far better than the live one, so that the mock must win where it may.
    setup.more = "[router]\nmode = \"paper\"\n[meteora_mock]\nspread_bps = 0\nfee_bps = 0\n".into();
    let daemon = Daemon::start(&world, &setup, "all").await;
    let before = balances(&world).await;
    let order = daemon.ended(&daemon.order(&body).await).await;
    if order["venue"] == "meteora_mock" {
        assert_eq!(order["simulated"], true);
        assert_eq!(order["txHash"], Value::Null);
        assert_eq!(balances(&world).await, before);
    } else {
        assert_eq!(order["simulated"], false, "equal quotes go to the venue that can execute: {order}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_landed_bytes_again_changes_nothing() {
    let world = World::start(SLOT, 1).await;
    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    let body = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"});
    let order = daemon.ended(&daemon.order(&body).await).await;
    let after = balances(&world).await;
    let store = swapd::store::open(&world.embedded().store).await.unwrap();
    let id = order["id"].as_str().unwrap().parse().unwrap();
    let attempts = store.attempts(id).await.unwrap();
    let attempt = &attempts[0].attempt;
    let answer = world.rpc.send(&attempt.wire, attempt.context_slot).await.unwrap();
    assert_eq!(answer, SendAnswer::AlreadyProcessed);
    assert_eq!(balances(&world).await, after);
}

//! Spend caps on running daemons: refused at the door, and never exceeded by orders that come at once.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    daemon::{Daemon, Setup, World},
    servers,
};

const SLOT: Duration = Duration::from_millis(50);
const CAPS: &str = "[caps]\nper_order = { SOL = 1, USDC = { base = \"50000000\" } }\nper_hour = { SOL = \"2.3\" }\n";

fn order(amount: &str) -> Value {
    json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": amount})
}

async fn caps_hold(world: &World, daemons: &[Daemon]) {
    let daemon = &daemons[0];
    for body in [
        order("1.000000001"),
        json!({"tokenIn": "USDC", "tokenOut": "SOL", "amountInBase": "50000001"}),
        json!({"tokenIn": "USDC", "tokenOut": "SOL", "amountOut": "0.1", "maxIn": "51"}),
    ] {
        let (status, answer) = daemon.post("/v1/orders", &body).await;
        assert_eq!((status, &answer["error"]["code"]), (422, &json!("cap_exceeded")), "{answer}");
    }
    // What an exact output costs is known when it is routed.
    let id = daemon.order(&json!({"tokenIn": "USDC", "tokenOut": "SOL", "amountOut": "1"})).await;
    assert_eq!(daemon.ended(&id).await["failure"]["code"], "cap_exceeded");

    let ended = join_all((0..12).map(|_| async {
        let id = daemon.order(&order("0.5")).await;
        daemon.ended(&id).await
    }))
    .await;
    let swapped = ended.iter().filter(|order| order["status"] == "confirmed").count();
    assert_eq!(swapped, 4, "four times 0.5 SOL stay below 2.3 SOL");
    for order in ended.iter().filter(|order| order["status"] != "confirmed") {
        assert_eq!((&order["failure"]["code"], &order["signatures"]), (&json!("cap_exceeded"), &json!(0)), "{order}");
    }
    let small = daemon.order(&order("0.3")).await;
    assert_eq!(daemon.ended(&small).await["status"], "confirmed", "what is left of the cap may be spent");
    let more = daemon.order(&order("0.000001")).await;
    assert_eq!(daemon.ended(&more).await["failure"]["code"], "cap_exceeded");
    assert_eq!(world.wallets.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_at_once_never_spend_more_than_the_caps() {
    let world = World::start(SLOT, 2).await;
    let setup = Setup { more: CAPS.into(), ..world.embedded() };
    caps_hold(&world, &[Daemon::start(&world, &setup, "all").await]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_at_once_on_many_workers_never_spend_more_than_the_caps() {
    let world = World::start(SLOT, 2).await;
    let shared = world.shared(&servers::fresh_database().await, &servers::shared_redis());
    let setup = Setup { more: CAPS.into(), ..shared };
    let mut daemons = Vec::new();
    for role in ["api", "worker", "worker"] {
        daemons.push(Daemon::start(&world, &setup, role).await);
    }
    caps_hold(&world, &daemons).await;
}

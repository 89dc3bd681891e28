//! Ends that are no crash of the daemon: it is asked to stop, or the local chain itself is gone.

use std::time::Duration;

use serde_json::json;

use super::{audit::Before, load::small};
use crate::support::{
    daemon::{Daemon, World},
    eventually,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_daemon_exits_cleanly_and_a_second_start_carries_on() {
    let world = World::start(Duration::from_millis(50), 1).await;
    let before = Before::read(&world).await;
    let setup = world.embedded();
    let mut daemon = Daemon::start(&world, &setup, "all").await;
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(daemon.order(&small(n)).await);
    }
    assert!(daemon.terminate().await.success(), "{}", daemon.log());

    let daemon = Daemon::start(&world, &setup, "all").await;
    let audit = before.audit(&world, &daemon, &ids).await;
    assert!(audit.violations.is_empty(), "{:#?}", audit.violations);
    assert!(audit.orders.iter().all(|order| order["status"] == "confirmed"), "{:#?}", audit.orders);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_on_a_chain_that_is_gone_end_with_that_reason() {
    let mut world = World::start(Duration::from_millis(400), 1).await;
    let setup = world.embedded();
    let mut daemon = Daemon::start(&world, &setup, "all").await;
    let order = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"});
    let id = daemon.order(&order).await;
    // Created, claimed, routed, signed: not confirmed within the slot.
    eventually("its signature", || async {
        let (_, order) = daemon.get(&format!("/v1/orders/{id}")).await;
        if order["history"].as_array().is_some_and(|history| history.len() >= 4) { Ok(()) } else { Err(()) }
    })
    .await;
    daemon.kill_9().await;

    world.restart_chain().await;
    let daemon = Daemon::start(&world, &setup, "all").await;
    let first = daemon.ended(&id).await;
    // Either it was confirmed just before the kill, or its end says why nobody can know more.
    assert!(first["status"] == "confirmed" || first["failure"]["code"] == "chain_reset", "{first}");
    let second = daemon.ended(&daemon.order(&order).await).await;
    assert_eq!(second["status"], "confirmed");
}

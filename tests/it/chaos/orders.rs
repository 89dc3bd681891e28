//! Whole daemons behind the proxy: what a cluster or a node does to orders, from the request to the end.

use std::time::Duration;

use serde_json::{Value, json};
use swapd::chaos::{Fault, Refusal, Rule, When};

use super::Scene;
use crate::support::{
    daemon::{Daemon, Setup},
    eventually,
};

/// A blockhash lives for 7.5 s.
const SLOT: Duration = Duration::from_millis(50);
/// It lives for 3 s.
const QUICK: Duration = Duration::from_millis(20);

fn order(n: u64) -> Value {
    json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountInBase": (100_000_000 + n).to_string()})
}

impl Scene {
    /// A daemon that knows the chain through the proxy only.
    fn behind(&self) -> Setup {
        Setup { endpoint: Some((self.chaos.rpc_url(), self.chaos.ws_url())), ..self.world.embedded() }
    }

    async fn usdc(&self) -> u64 {
        self.world.tokens(&self.world.wallets[0], "USDC").await
    }
}

/// Asserts that the orders are confirmed, each with one signature, and that the wallet got what they say and no more.
async fn each_swapped_once(scene: &Scene, daemon: &Daemon, ids: &[String], before: u64) {
    let mut received = 0;
    for id in ids {
        let order = daemon.ended(id).await;
        assert_eq!((&order["status"], &order["signatures"]), (&json!("confirmed"), &json!(1)), "{order}");
        received += order["filled"]["amountOut"]["base"].as_str().unwrap().parse::<u64>().unwrap();
    }
    assert_eq!(scene.usdc().await - before, received);
}

/// Waits until the order has had this event.
async fn has_had(daemon: &Daemon, id: &str, event: &str) {
    eventually(event, || async {
        let (_, order) = daemon.get(&format!("/v1/orders/{id}")).await;
        if order["history"].as_array().unwrap().iter().any(|it| it["event"] == event) { Ok(()) } else { Err(()) }
    })
    .await;
}

/// E.14, 12.
#[tokio::test(flavor = "multi_thread")]
async fn while_finality_stands_still_nothing_is_signed_and_then_every_order_is_confirmed_once() {
    let scene = Scene::start(SLOT).await;
    let daemon = Daemon::start(&scene.world, &scene.behind(), "all").await;
    let before = scene.usdc().await;
    eventually("the first final block", || async {
        if scene.truly_finalized("getBlockHeight").await > 0 { Ok(()) } else { Err(()) }
    })
    .await;
    let stopped = scene.fault(Fault::FinalityStops);
    eventually("readiness to say that finality has stopped", || async {
        let (status, answer) = daemon.get("/ready").await;
        if status == 503 && answer["missing"] == json!(["finality"]) { Ok(()) } else { Err(()) }
    })
    .await;
    let sends = scene.calls("sendTransaction");
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(daemon.order(&order(n)).await);
    }
    for id in &ids {
        has_had(&daemon, id, "retrying").await;
        let (_, order) = daemon.get(&format!("/v1/orders/{id}")).await;
        assert_eq!((&order["status"], &order["signatures"]), (&json!("building"), &json!(0)), "{order}");
    }
    assert_eq!((scene.calls("sendTransaction"), scene.usdc().await), (sends, before), "nothing was signed or sent");

    scene.chaos.remove(stopped);
    each_swapped_once(&scene, &daemon, &ids, before).await;
    assert_eq!(daemon.get("/ready").await.0, 200);
}

/// E.14, 3, beyond expiry: the first endpoint never shows what landed, and the second one tells.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_endpoint_hides_beyond_expiry_is_not_signed_again() {
    let scene = Scene::start(QUICK).await;
    let path = scene.world.config(&scene.behind());
    let first = format!("rpc_url = \"{}\"", scene.chaos.rpc_url());
    let both = format!("{first}\nrpc_urls = [\"{}\"]", scene.world.chain.rpc_url());
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace(&first, &both)).unwrap();
    let mut daemon = Daemon::spawn(&path, "all");
    daemon.is_ready().await;
    let before = scene.usdc().await;
    let hidden = scene.fault(Fault::Hide { signatures: Vec::new() });
    let id = daemon.order(&order(0)).await;
    has_had(&daemon, &id, "landed").await;
    scene.chaos.remove(hidden);
    each_swapped_once(&scene, &daemon, &[id], before).await;
}

/// E.14, 8.
#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_arrived_and_was_denied_is_not_signed_again() {
    let scene = Scene::start(SLOT).await;
    let daemon = Daemon::start(&scene.world, &scene.behind(), "all").await;
    let before = scene.usdc().await;
    scene.rule(Rule::new(Fault::AcceptThen502).on(&["sendTransaction"]));
    let id = daemon.order(&order(0)).await;
    each_swapped_once(&scene, &daemon, &[id], before).await;
    assert!(scene.befallen("sendTransaction") > 0);
}

/// E.14, 4 and 6: a refusal to take the first send is no verdict on the order.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_first_send_is_not_signed_again() {
    for refusal in [Refusal::MinContextSlot, Refusal::AlreadyProcessed, Refusal::BlockhashNotFound] {
        let scene = Scene::start(SLOT).await;
        let daemon = Daemon::start(&scene.world, &scene.behind(), "all").await;
        let before = scene.usdc().await;
        scene.rule(Rule::new(Fault::Refuse(refusal)).on(&["sendTransaction"]).when(When::Once));
        let id = daemon.order(&order(0)).await;
        each_swapped_once(&scene, &daemon, &[id], before).await;
        assert_eq!(scene.befallen("sendTransaction"), 1, "{refusal:?}");
    }
}

/// E.14, 15: a transaction that stands in a block without having run (SIMD-0290).
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_a_block_without_effects_is_not_called_executed() {
    let scene = Scene::start(QUICK).await;
    let daemon = Daemon::start(&scene.world, &scene.behind(), "all").await;
    let before = scene.usdc().await;
    scene.fault(Fault::Swallow);
    scene.fault(Fault::NotRun);
    let id = daemon.order(&order(0)).await;
    let order = daemon.ended(&id).await;
    assert_eq!(
        (&order["status"], &order["failure"]["code"]),
        (&json!("failed"), &json!("insufficient_funds")),
        "{order}"
    );
    let events: Vec<_> = order["history"].as_array().unwrap().iter().map(|it| it["event"].as_str().unwrap()).collect();
    assert!(events.ends_with(&["outcome_unknown", "rejected"]), "{events:?}");
    assert_eq!((&order["signatures"], scene.usdc().await), (&json!(1), before));
}

/// E.14, 15: the records are late, and the payer has nothing left, so presence alone is not believed.
#[tokio::test(flavor = "multi_thread")]
async fn a_poor_payers_swap_is_called_executed_when_its_effects_are_seen() {
    let scene = Scene::start(SLOT).await;
    let setup = Setup { more: "[engine]\ndetails_within = \"100ms\"\n".into(), ..scene.behind() };
    let daemon = Daemon::start(&scene.world, &setup, "all").await;
    let before = scene.usdc().await;
    let hidden = scene.rule(Rule::new(Fault::Hide { signatures: Vec::new() }));
    scene.rule(Rule::new(Fault::LoseNotification).on(&["logsNotification"]));
    let id = daemon.order(&order(0)).await;
    eventually("the swap", || async { if scene.usdc().await > before { Ok(()) } else { Err(()) } }).await;
    scene.world.set_lamports(&scene.world.wallets[0], 5_000).await;
    scene.chaos.remove(hidden);
    let records = scene.rule(Rule::new(Fault::Hide { signatures: Vec::new() }).on(&["getTransaction"]));
    has_had(&daemon, &id, "outcome_unknown").await;
    scene.chaos.remove(records);
    each_swapped_once(&scene, &daemon, &[id], before).await;
}

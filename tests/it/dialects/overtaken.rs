//! An order whose price runs away between its signature and its block, as the clients of each older engine hear of it:
//! a whale really moves the pool, and the chain really refuses the swap.

use serde_json::{Value, json};
use swapd::chaos::{Chaos, Fault, Options, Rule, When};

use super::{Client, EXECUTE, SLOT, frames_until, statuses};
use crate::support::{
    daemon::{Daemon, Setup, World},
    eventually,
};

const SEND: &str = "sendTransaction";
const ENDS: [&str; 3] = ["confirmed", "failed", "FAILED"];

/// A client and the way to the chain, on which a transaction can be held up.
struct Overtaken {
    client: Client,
    chaos: Chaos,
}

impl Overtaken {
    async fn start() -> Self {
        let world = World::start(SLOT, 2).await;
        let chaos = Chaos::start(Options::new(world.chain.rpc_url(), world.chain.ws_url())).await.unwrap();
        let setup = Setup { endpoint: Some((chaos.rpc_url(), chaos.ws_url())), ..world.embedded() };
        let daemon = Daemon::start(&world, &setup, "all").await;
        Self { client: Client { world, daemon, http: reqwest::Client::new() }, chaos }
    }

    /// Posts an order that is signed, and whose transaction reaches the chain only after the price has moved by more
    /// than it bears. The order's id.
    async fn order(&self, path: &str, body: &str) -> String {
        let held = self.chaos.add(Rule::new(Fault::Hold { forward: false }).on(&[SEND]).when(When::Once)).unwrap();
        let answer = self.client.post(path, body).await;
        let id = answer.body["orderId"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned();
        eventually("the transaction to be on its way", async || {
            if self.chaos.counts().of(SEND).faults == 1 { Ok(()) } else { Err(()) }
        })
        .await;
        let order = self.client.get(&format!("/v1/orders/{id}")).await.body;
        let routed = order["history"].as_array().unwrap().iter().find(|event| event["event"] == "routed").unwrap();
        let pool = routed["route"]["chosen"]["pool"].as_str().unwrap();
        let whale = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": 2000, "slippage": 5, "poolId": pool});
        let whale = self.client.order(&whale.to_string()).await;
        self.client.until(&whale, &["confirmed"]).await;
        self.chaos.remove(held);
        self.is_refused_by_the_chain(&id).await;
        id
    }

    /// In a block, with an error; signed once, and nothing was swapped.
    async fn is_refused_by_the_chain(&self, id: &str) {
        let order = self.client.until(id, &["failed"]).await;
        assert_eq!(
            (&order["failure"]["code"], &order["signatures"]),
            (&json!("slippage_exceeded"), &json!(1)),
            "{order}"
        );
        assert_eq!((&order["attempts"][0]["outcome"], &order["filled"]), (&json!("rejected"), &Value::Null));
        let signature = order["txHash"].as_str().unwrap().parse().unwrap();
        let landed = self.client.world.rpc.transaction(&signature).await.unwrap().expect("it is on the chain");
        assert!(landed.error.is_some(), "it was to fail");
    }

    /// What a socket of this client hears, from the first frame on.
    async fn heard(&self, path: &str) -> Vec<Value> {
        let mut socket = self.client.socket(path).await;
        let frames = frames_until(&mut socket, &ENDS).await;
        let (last, before) = frames.split_last().unwrap();
        assert!(before.iter().all(|frame| frame.get("error").is_none()), "{before:?}");
        assert_eq!(last.get("txHash"), None, "no swap took place: {last}");
        frames
    }
}

/// What the program's refusal means, for people.
const MOVED: &str = "the price moved past the order's limit before the swap was executed (error 6005)";

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_client_matches_slippage_exceeded() {
    let overtaken = Overtaken::start().await;
    let id = overtaken.order(EXECUTE, r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":1}"#).await;
    let frames = overtaken.heard(&format!("/ws?orderId={id}")).await;
    assert_eq!(statuses(&frames), ["routing", "building", "submitted", "failed"]);
    let code = json!("SLIPPAGE_EXCEEDED");
    assert_eq!((&frames[3]["error"], &frames[3]["data"]["error"]), (&code, &code));
    let row = overtaken.client.get(&format!("/{id}/status")).await.body;
    assert_eq!((&row["status"], &row["failureReason"]), (&json!("failed"), &code));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_client_reads_the_code_and_is_closed() {
    let overtaken = Overtaken::start().await;
    let body = r#"{"type":"market","tokenIn":"SOL","tokenOut":"USDC","amount":1,"slippageBps":100}"#;
    let id = overtaken.order(EXECUTE, body).await;
    let path = format!("{EXECUTE}?orderId={id}");
    let frames = overtaken.heard(&path).await;
    assert_eq!(statuses(&frames), ["pending", "routing", "building", "submitted", "failed"]);
    assert_eq!((&frames[4]["error"], &frames[4]["dex"]), (&json!("slippage_exceeded"), &json!("raydium")));
    let mut socket = overtaken.client.socket(&path).await;
    assert_eq!(frames_until(&mut socket, &ENDS).await, frames);
    assert_eq!(socket.closed().await.0, 1000);
    let shown = overtaken.client.get(&format!("/api/orders/{id}")).await.body;
    assert_eq!(shown["order"]["failure_reason"], "slippage_exceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_percent_client_reads_the_sentence_beside_the_code() {
    let overtaken = Overtaken::start().await;
    let body = r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":1,"slippage":0.5}"#;
    let id = overtaken.order(EXECUTE, body).await;
    let frames = overtaken.heard(&format!("{EXECUTE}?orderId={id}")).await;
    assert_eq!(statuses(&frames), ["pending", "routing", "building", "submitted", "failed"]);
    assert_eq!(frames[4]["code"], "slippage_exceeded");
    assert_eq!(frames[4]["error"], MOVED);
    let row = overtaken.client.get(&format!("/api/orders/{id}")).await.body;
    assert_eq!((&row["status"], &row["errorMessage"]), (&json!("failed"), &frames[4]["error"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_client_reads_the_sentence() {
    let overtaken = Overtaken::start().await;
    let id = overtaken.order(EXECUTE, r#"{"pair":"SOL-USDC","amount":1,"side":"sell"}"#).await;
    let frames = overtaken.heard(&format!("/ws/orders/{id}")).await;
    assert_eq!(statuses(&frames), ["connected", "routing", "routing", "building", "submitted", "failed"]);
    assert_eq!(frames[5]["error"], MOVED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capitals_client_reads_the_reason() {
    let overtaken = Overtaken::start().await;
    let id = overtaken.order("/api/orders", r#"{"inputToken":"SOL","outputToken":"USDC","amount":1}"#).await;
    let frames = overtaken.heard(&format!("/ws/orders/{id}")).await;
    assert_eq!(statuses(&frames), ["ROUTING", "ROUTING_COMPLETE", "BUILDING", "SUBMITTED", "FAILED"]);
    assert_eq!(frames[4]["reason"], MOVED);
    assert_eq!(frames[4].get("error"), None::<&Value>);
}

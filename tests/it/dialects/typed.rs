//! Clients that post typed bodies.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Client, EXECUTE, NOBODY, frames_until, is_time, statuses};

const ENDS: [&str; 2] = ["confirmed", "failed"];
const BODY: &str = r#"{"type":"market","tokenIn":"SOL","tokenOut":"USDC","amount":1,"slippageBps":100}"#;
/// How long the integration tests of typed clients watch the socket: a contract, not a measurement of ours.
const WATCHED: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn the_integration_tests_of_typed_clients_pass() {
    let client = Client::start().await;
    let answer = client.post(EXECUTE, BODY).await;
    assert_eq!(answer.status, 200);
    let id = answer.body["orderId"].as_str().unwrap();

    let path = format!("{EXECUTE}?orderId={id}");
    let watched = timeout(WATCHED, async {
        let mut socket = client.socket(&path).await;
        let frames = frames_until(&mut socket, &ENDS).await;
        assert_eq!(socket.closed().await.0, 1000);
        frames
    });
    let frames = watched.await.expect("the last frame comes while the client watches");
    assert_eq!(statuses(&frames), ["pending", "routing", "building", "submitted", "confirmed"]);
    assert!(frames.iter().all(|frame| frame["orderId"] == id && frame.get("error").is_none()), "{frames:?}");
    assert_eq!((&frames[2]["dex"], &frames[2]["quote"]["dex"]), (&json!("raydium"), &json!("raydium")));
    assert!(frames[2]["quote"]["price"].is_number() && frames[2]["quote"]["fee"].is_number());
    assert_eq!(frames[3]["minOutFactor"], json!(0.99));
    assert!(frames[4]["executedPrice"].is_number() && frames[4]["amountOut"].is_number());
    client.is_on_chain(&frames[4]["txHash"]).await;

    let shown = client.get(&format!("/api/orders/{id}")).await;
    assert_eq!((shown.status, &shown.body["order"]["status"]), (200, &json!("confirmed")));
    let row = &shown.body["order"];
    assert_eq!((&row["id"], &row["amount"], &row["slippage_bps"]), (&json!(id), &json!("1"), &json!(100)));
    assert_eq!((&row["token_in"], &row["token_out"]), (&json!("SOL"), &json!("USDC")));
    let history = shown.body["history"].as_array().unwrap();
    assert_eq!(statuses(history), ["routing", "building", "submitted", "confirmed"]);
    let times = history.iter().chain([row]).map(|it| &it["created_at"]).chain([&row["updated_at"]]);
    assert!(times.into_iter().all(is_time), "{shown:?}");

    let answer = client.post(EXECUTE, r#"{"foo":"bar"}"#).await;
    assert!(answer.status == 400 && answer.body["error"].is_string(), "{answer:?}");
    let without_amount = BODY.replace(r#""amount":1,"#, "");
    let answer = client.post(EXECUTE, &without_amount).await;
    assert_eq!((answer.status, &answer.body["error"][0]["path"]), (400, &json!(["amount"])), "{answer:?}");
    let id = client.order(&BODY.replace(r#","slippageBps":100"#, "")).await;
    assert_eq!(client.get(&format!("/api/orders/{id}")).await.body["order"]["slippage_bps"], 100);
    assert_eq!(client.get(&format!("/api/orders/{NOBODY}")).await.status, 404);

    let mut late = client.socket(&path).await;
    assert_eq!(frames_until(&mut late, &ENDS).await, frames);
    assert_eq!(late.closed().await.0, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sockets_of_a_typed_client_hear_the_same_failure_once() {
    let client = Client::start().await;
    let id = client.order(&BODY.replace(r#""amount":1,"#, r#""amount":40000,"#)).await;
    let path = format!("{EXECUTE}?orderId={id}");
    let (mut one, mut other) = (client.socket(&path).await, client.socket(&path).await);
    let frames = frames_until(&mut one, &ENDS).await;
    assert_eq!(statuses(&frames), ["pending", "routing", "failed"]);
    assert_eq!(frames[2]["error"], "insufficient_funds");
    assert!(frames[..2].iter().all(|frame: &Value| frame.get("error").is_none()));
    assert_eq!(one.closed().await.0, 1000);
    assert_eq!(frames_until(&mut other, &ENDS).await, frames);
    assert_eq!(other.closed().await.0, 1000);
    let shown = client.get(&format!("/api/orders/{id}")).await.body;
    assert_eq!(shown["order"]["failure_reason"], "insufficient_funds");
}

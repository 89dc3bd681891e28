//! Clients that post percent bodies, and orders over a socket.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Client, EXECUTE, frames_until, statuses};

const ENDS: [&str; 2] = ["confirmed", "failed"];
const BODY: &str = r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":0.001,"slippage":0.5}"#;
/// The engine's own pool on devnet.
const DEVNET_POOL: &str = "GoZmddUBTdiyRoGZSfxwX8p5ZNoVhDo42YN996JdDwoi";

#[tokio::test(flavor = "multi_thread")]
async fn the_end_to_end_script_of_percent_clients_passes() {
    let client = Client::start().await;
    let health = client.get("/health").await;
    assert_eq!((health.status, &health.body["status"]), (200, &json!("ok")));
    assert_eq!(health.body["checks"], json!({"postgres": "ok", "redis": "ok"}));
    assert!(health.body["timestamp"].is_string());

    let answer = client.post(EXECUTE, BODY).await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("pending")));
    assert!(answer.body["wsUrl"].as_str().unwrap().contains("ws://"));
    let id = answer.body["orderId"].as_str().unwrap();
    assert_eq!(client.get(&format!("/api/orders/{id}")).await.body["orderId"], id);

    // The script gives an order over the socket sixty seconds and aborts at any frame with an error.
    let mut socket = client.socket(EXECUTE).await;
    socket.say(BODY).await;
    let frames = timeout(Duration::from_secs(60), frames_until(&mut socket, &ENDS)).await.unwrap();
    assert_eq!(statuses(&frames), ["pending", "routing", "building", "submitted", "confirmed"]);
    assert!(frames.iter().all(|frame| frame.get("error").is_none()), "{frames:?}");
    assert!(frames[1..].iter().all(|frame| frame["timeStamp"].is_i64()), "{frames:?}");
    client.is_on_chain(&frames[4]["txHash"]).await;

    let posts = [client.post(EXECUTE, BODY), client.post(EXECUTE, BODY), client.post(EXECUTE, BODY)];
    for answer in futures_util::future::join_all(posts).await {
        assert_eq!(answer.status, 200);
        let id = answer.body["orderId"].as_str().unwrap();
        client.until(id, &ENDS).await;
        let row = client.get(&format!("/api/orders/{id}")).await.body;
        assert_eq!((&row["status"], &row["amountIn"]), (&json!("confirmed"), &json!("0.00100000")), "{row}");
        assert_eq!((&row["slippage"], &row["selectedDex"]), (&json!("0.5000"), &json!("raydium")));
        assert_eq!(row["amountOut"].as_str().unwrap().split_once('.').unwrap().1.len(), 8, "{row}");
        assert!(row["raydiumQuote"]["price"].is_f64() && row["meteoraQuote"]["price"].is_f64(), "{row}");
        client.is_on_chain(&row["txHash"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_commands_of_percent_clients_work() {
    let client = Client::start().await;
    let answer = client.get("/api/orders/non-existent-id").await;
    assert_eq!((answer.status, &answer.body["error"]), (404, &json!("Order not found")));
    let answer = client.get(EXECUTE).await;
    assert_eq!((answer.status, &answer.body["error"]), (400, &json!("Use POST or WebSocket")));

    // Its page is served from somewhere else.
    let page = ("Origin", "http://localhost:5173");
    let asks = [page, ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "content-type")];
    let answer = client.send("OPTIONS", EXECUTE, &asks, "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, page.1));
    let answer = client.send("POST", EXECUTE, &[page, ("Content-Type", "application/json")], BODY).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, page.1));

    let mut socket = client.socket(EXECUTE).await;
    socket.say("no json").await;
    assert_eq!(socket.frame().await, json!({"error": "Invalid JSON"}));
    socket.say(r#"{"tokenIn":"SOL"}"#).await;
    assert_eq!(socket.frame().await, json!({"error": "tokenIn and tokenOut required"}));
    // Two orders on one socket: their frames may mingle, and each is told in full.
    socket.say(r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":0.01}"#).await;
    socket.say(r#"{"tokenIn":"USDC","tokenOut":"SOL","amountIn":"2.5"}"#).await;
    let mut frames = frames_until(&mut socket, &ENDS).await;
    frames.extend(frames_until(&mut socket, &ENDS).await);
    let ids: Vec<_> = frames.iter().filter(|frame| frame["status"] == "pending").map(|it| &it["orderId"]).collect();
    for id in &ids {
        let told: Vec<Value> = frames.iter().filter(|frame| frame["orderId"] == **id).cloned().collect();
        assert_eq!(statuses(&told), ["pending", "routing", "building", "submitted", "confirmed"]);
    }
    assert_eq!(ids.len(), 2);

    // An order that was posted is followed where the answer says.
    let answer = client.post(EXECUTE, BODY).await;
    let url = answer.body["wsUrl"].as_str().unwrap();
    let mut followed = crate::api::served::Socket::open(url, &[]).await.unwrap();
    let frames = frames_until(&mut followed, &ENDS).await;
    assert_eq!((frames[0]["status"].clone(), frames[4]["status"].clone()), (json!("pending"), json!("confirmed")));
    followed.is_silent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_pool_is_used_or_the_order_fails_at_routing() {
    let client = Client::start().await;
    let pools = client.world.scenario().pools.clone();
    let body = |pool: &str, more: &str| {
        format!(r#"{{"tokenIn":"SOL","tokenOut":"USDC","amountIn":0.01,"poolId":"{pool}"{more}}}"#)
    };
    // Not the best of the pair's three pools, and used all the same.
    for (pool, more) in [(&pools[1], ""), (&pools[2], r#","baseIn":true"#)] {
        let address = pool.address.to_string();
        let id = client.order(&body(&address, more)).await;
        let order = client.until(&id, &ENDS).await;
        assert_eq!(
            (&order["status"], &order["attempts"][0]["pool"]),
            (&json!("confirmed"), &json!(address)),
            "{order}"
        );
    }
    let other_pair = pools[3].address.to_string();
    let best = pools[0].address.to_string();
    for (pool, more, says) in [
        ("test-pool", "", "`poolId` is not the address of a pool"),
        (DEVNET_POOL, r#","baseIn":true"#, "the cluster has no such pool"),
        (client.world.wallets[0].to_string().as_str(), "", "cannot be used for this order"),
        (&other_pair, "", "it trades other tokens"),
        (&best, r#","baseIn":false"#, "`baseIn` names the other direction"),
    ] {
        let id = client.order(&body(pool, more)).await;
        let mut socket = client.socket(&format!("{EXECUTE}?orderId={id}")).await;
        let frames = frames_until(&mut socket, &ENDS).await;
        assert_eq!(statuses(&frames), ["pending", "routing", "failed"], "{pool}");
        assert!(frames[2]["error"].as_str().unwrap().contains(says), "{}", frames[2]);
        assert!(client.get(&format!("/api/orders/{id}")).await.body["errorMessage"].as_str().unwrap().contains(says));
    }
}

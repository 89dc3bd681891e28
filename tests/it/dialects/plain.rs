//! Clients that post plain bodies.

use serde_json::json;

use super::{Client, EXECUTE, SLOT, frames_until, is_time, statuses};
use crate::support::{
    daemon::{Daemon, World},
    servers,
};

const ENDS: [&str; 2] = ["confirmed", "failed"];

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_plain_clients_work() {
    let client = Client::start().await;
    assert_eq!(client.get("/").await.body, json!({"message": "Order Execution Engine is running"}));

    let answer = client.post(EXECUTE, r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":14}"#).await;
    assert_eq!((answer.status, &answer.body["message"]), (202, &json!("Order accepted and queued for execution")));
    let id = answer.body["orderId"].as_str().unwrap();
    let mut socket = client.socket(&format!("/ws?orderId={id}")).await;

    let five = r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":5}"#;
    let mut answers = Vec::new();
    for name in ["Idempotency-Key", "idempotency-key"] {
        let headers = [("Content-Type", "application/json"), (name, "test-key-123")];
        answers.push(client.send("POST", EXECUTE, &headers, five).await);
    }
    assert_eq!((answers[0].status, answers[1].status), (202, 200));
    assert_eq!(answers[0].body["orderId"], answers[1].body["orderId"]);

    let answer = client.post(EXECUTE, r#"{"tokenIn":"SOL","tokenOut":"SOL","amount":-1}"#).await;
    assert_eq!((answer.status, &answer.body["error"]), (400, &json!("tokenIn and tokenOut must be different")));

    let mut frames = frames_until(&mut socket, &ENDS).await;
    if frames[0]["status"] == "pending" {
        frames.remove(0); // sent only as long as it is true
    }
    assert_eq!(statuses(&frames), ["routing", "building", "submitted", "confirmed"]);
    assert_eq!((&frames[1]["chosenDex"], &frames[1]["data"]["chosenDex"]), (&json!("raydium"), &json!("raydium")));
    let (end, data) = (&frames[3], &frames[3]["data"]);
    assert_eq!((&end["txHash"], &end["executionPrice"]), (&data["txHash"], &data["executionPrice"]));
    let price = end["executionPrice"].as_f64().unwrap();
    assert!((140.0..160.0).contains(&price), "{price}");
    client.is_on_chain(&end["txHash"]).await;
    socket.is_silent().await;

    for path in [format!("/{id}/status"), format!("/api/orders/{id}/status")] {
        let row = client.get(&path).await;
        assert_eq!((row.status, &row.body["status"], &row.body["txHash"]), (200, &json!("confirmed"), &end["txHash"]));
        assert_eq!((&row.body["amount"], &row.body["id"]), (&json!("14"), &json!(id)));
        assert_eq!((&row.body["tokenIn"], &row.body["tokenOut"]), (&json!("SOL"), &json!("USDC")));
        assert!(is_time(&row.body["createdAt"]) && is_time(&row.body["updatedAt"]), "{row:?}");
    }
    let mut late = client.socket(&format!("/ws?orderId={id}")).await;
    assert_eq!(frames_until(&mut late, &ENDS).await, frames);
    assert_eq!(client.socket("/ws").await.closed().await, (1008, "orderId is required".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_client_hears_pending_until_a_worker_takes_the_order() {
    let world = World::start(SLOT, 1).await;
    let setup = world.shared(&servers::fresh_database().await, &servers::shared_redis());
    let daemon = Daemon::start(&world, &setup, "api").await;
    let client = Client { world, daemon, http: reqwest::Client::new() };
    let id = client.order(r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":0.5}"#).await;
    let mut socket = client.socket(&format!("/ws?orderId={id}")).await;
    assert_eq!(socket.frame().await, json!({"status": "pending"}));
    socket.is_silent().await;
    let _worker = Daemon::start(&client.world, &setup, "worker").await;
    let frames = frames_until(&mut socket, &ENDS).await;
    assert_eq!(statuses(&frames), ["routing", "building", "submitted", "confirmed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_client_hears_that_the_wallet_cannot_pay() {
    let client = Client::start().await;
    let id = client.order(r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":40000}"#).await;
    let mut socket = client.socket(&format!("/ws?orderId={id}")).await;
    let end = frames_until(&mut socket, &ENDS).await.pop().unwrap();
    assert_eq!((&end["status"], &end["error"]), (&json!("failed"), &json!("INSUFFICIENT_FUNDS")));
    let row = client.get(&format!("/{id}/status")).await.body;
    assert_eq!((&row["status"], &row["failureReason"]), (&json!("failed"), &json!("INSUFFICIENT_FUNDS")));
}

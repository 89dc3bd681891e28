//! Clients that read statuses in capitals.

use serde_json::{Value, json};

use super::{Client, NOBODY, frames_until, statuses};

const ENDS: [&str; 2] = ["CONFIRMED", "FAILED"];

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_capitals_clients_work() {
    let client = Client::start().await;
    let answer = client.post("/api/orders", r#"{"inputToken":"SOL","outputToken":"USDC","amount":10}"#).await;
    assert_eq!((answer.status, &answer.body["message"]), (201, &json!("Order queued successfully")));
    let id = answer.body["orderId"].as_str().unwrap();
    let answer = client.post("/api/orders", r#"{"inputToken":"SOL"}"#).await;
    assert_eq!((answer.status, &answer.body["error"]), (400, &json!("Missing required fields")));

    let path = format!("/ws/orders/{id}");
    let (mut socket, mut second) = (client.socket(&path).await, client.socket(&path).await);
    let frames = frames_until(&mut socket, &ENDS).await;
    assert_eq!(statuses(&frames), ["ROUTING", "ROUTING_COMPLETE", "BUILDING", "SUBMITTED", "CONFIRMED"]);
    assert!(frames.iter().all(|frame| frame["type"] == "ORDER_UPDATE" && frame["orderId"] == id), "{frames:?}");
    assert!(frames.iter().all(|frame| frame["timestamp"].is_string()), "{frames:?}");
    assert!(frames[1]["route"] == "RAYDIUM" && frames[1]["price"].is_number(), "{}", frames[1]);
    assert!(frames[4]["finalPrice"].is_number(), "{}", frames[4]);
    client.is_on_chain(&frames[4]["txHash"]).await;
    socket.is_silent().await;
    assert_eq!(frames_until(&mut second, &ENDS).await, frames);
    let mut late = client.socket(&path).await;
    assert_eq!(frames_until(&mut late, &ENDS).await, frames);

    assert_eq!(client.socket("/ws/ping").await.frame().await, json!("pong"));
    let mut nobodys = client.socket(&format!("/ws/orders/{NOBODY}")).await;
    assert_eq!(nobodys.frame().await["status"], "connected");
    assert_eq!(nobodys.closed().await.0, 1008);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capitals_client_hears_that_the_wallet_cannot_pay() {
    let client = Client::start().await;
    let answer = client.post("/api/orders", r#"{"inputToken":"SOL","outputToken":"USDC","amount":40000}"#).await;
    let mut socket = client.socket(&format!("/ws/orders/{}", answer.body["orderId"].as_str().unwrap())).await;
    let frames = frames_until(&mut socket, &ENDS).await;
    assert_eq!(statuses(&frames), ["ROUTING", "FAILED"]);
    assert!(frames[1]["reason"].as_str().unwrap().contains("fund it"), "{}", frames[1]);
    assert_eq!(frames[1].get("error"), None::<&Value>);
}

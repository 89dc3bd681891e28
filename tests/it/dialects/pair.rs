//! Clients that post pairs: a page in a browser, opened as a file.

use serde_json::{Value, json};

use super::{Client, EXECUTE, frames_until, statuses};
use crate::api::served::Socket;

const ENDS: [&str; 2] = ["confirmed", "failed"];
const FILE: (&str, &str) = ("Origin", "null");

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_pair_clients_works() {
    let client = Client::start().await;
    let asks = [FILE, ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "content-type")];
    let answer = client.send("OPTIONS", EXECUTE, &asks, "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, "null"));
    assert!(answer.header("access-control-allow-methods").contains("POST"));
    assert!(answer.header("access-control-allow-headers").contains("content-type"));

    let headers = [FILE, ("Content-Type", "application/json")];
    let body = r#"{"pair":"SOL-USDC","amount":10.5,"side":"buy"}"#;
    let answer = client.send("POST", EXECUTE, &headers, body).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, "null"));
    assert_eq!(answer.body["message"], "Order queued. Connect to WS for updates.");
    let id = answer.body["orderId"].as_str().unwrap();

    let url = format!("{}/ws/orders/{id}", client.daemon.ws());
    let mut socket = Socket::open(&url, &[("origin", "null")]).await.unwrap();
    let frames = frames_until(&mut socket, &ENDS).await;
    assert_eq!(statuses(&frames), ["connected", "routing", "routing", "building", "submitted", "confirmed"]);
    assert_eq!(frames[0]["orderId"], id);
    assert!(frames[1..5].iter().all(|frame| frame["message"].is_string()), "{frames:?}");
    assert!(frames[2]["message"].as_str().unwrap().starts_with("Best Route: Raydium @ $1"), "{}", frames[2]);
    let end = &frames[5];
    let price = end["price"].as_f64().expect("the page formats it as a number");
    assert!(end["dex"] == "Raydium" && (140.0..160.0).contains(&price), "{end}");
    client.is_on_chain(&end["txHash"]).await;
    socket.is_silent().await;

    let row = client.get(&format!("/api/orders/{id}")).await.body;
    assert_eq!((&row["tokenIn"], &row["tokenOut"]), (&json!("USDC"), &json!("SOL")), "as a purchase of SOL pays");

    // A purchase gets exactly what it asked for, and pays at most its bound.
    let order = client.until(id, &["confirmed"]).await;
    assert_eq!((&order["filled"]["amountOut"]["ui"], &order["tokenOut"]), (&json!("10.5"), &json!("SOL")));
    let base = |amount: &Value| amount["base"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(base(&order["filled"]["amountIn"]) <= base(&order["maxIn"]), "{order}");
    assert!(base(&order["maxIn"]) <= base(&order["quoted"]["amountIn"]) / 100 * 102, "{order}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pair_clients_sell_and_are_told_what_is_wrong() {
    let client = Client::start().await;
    let answer = client.post(EXECUTE, r#"{"pair":"SOL-USDC"}"#).await;
    assert!(answer.status == 400 && answer.body["error"].is_string(), "{answer:?}");

    let id = client.order(r#"{"pair":"SOL-USDC","amount":0.5,"side":"sell"}"#).await;
    let mut socket = client.socket(&format!("/ws/orders/{id}")).await;
    let end = frames_until(&mut socket, &ENDS).await.pop().unwrap();
    assert_eq!(end["status"], "confirmed", "{end}");
    assert_eq!(client.until(&id, &["confirmed"]).await["filled"]["amountIn"]["ui"], "0.5");

    let id = client.order(r#"{"pair":"SOL-USDC","amount":40000,"side":"sell"}"#).await;
    let mut socket = client.socket(&format!("/ws/orders/{id}")).await;
    let frames = frames_until(&mut socket, &ENDS).await;
    assert_eq!(statuses(&frames), ["connected", "routing", "failed"]);
    assert!(frames[2]["error"].as_str().unwrap().contains("fund it"), "{}", frames[2]);
}

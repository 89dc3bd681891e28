//! Bodies with `inputToken` and `outputToken`, and statuses in capitals.

use serde_json::{Value, json};
use swapd::domain::{ErrorCode, Failure, OrderEvent, VenueId};

use super::{CAPITALS, ORDERS, posted, statuses, until_confirmed};
use crate::api::{acts, served::Served};

#[tokio::test]
async fn capitals_clients_get_their_replies() {
    let served = Served::start().await;
    let answer = served.post(ORDERS, CAPITALS).await;
    assert_eq!((answer.status, &answer.body["message"]), (201, &json!("Order queued successfully")));
    for body in ["{}", "[]", r#"{"inputToken":"SOL"}"#, r#"{"inputToken":"SOL","outputToken":"USDC","amount":0}"#] {
        let answer = served.post(ORDERS, body).await;
        assert_eq!((answer.status, &answer.body["error"]), (400, &json!("Missing required fields")), "{body}");
    }
    let answer = served.post(ORDERS, r#"{"inputToken":"DOGE","outputToken":"USDC","amount":1}"#).await;
    assert!(answer.body["error"].as_str().unwrap().starts_with("`inputToken` names no configured token"));
    assert_eq!(served.queue.depth().await.unwrap(), 1);
    let mut socket = served.connect("/ws/ping").await;
    assert_eq!(socket.frame().await, json!("pong"));
    socket.is_silent().await;
}

#[tokio::test]
async fn a_capitals_socket_hears_every_frame_whenever_it_connects() {
    let served = Served::start().await;
    let mut order = posted(&served, CAPITALS).await;
    let path = format!("/ws/orders/{}", order.id);
    let (mut one, mut other) = (served.connect(&path).await, served.connect(&path).await);
    one.is_silent().await;
    let attempt = until_confirmed(&served, &mut order).await;
    let frames = one.frames(5).await;
    assert_eq!(statuses(&frames), ["ROUTING", "ROUTING_COMPLETE", "BUILDING", "SUBMITTED", "CONFIRMED"]);
    for frame in &frames {
        assert_eq!((&frame["type"], &frame["orderId"]), (&json!("ORDER_UPDATE"), &json!(order.id)));
        assert!(frame["timestamp"].as_str().unwrap().ends_with('Z'), "{frame}");
    }
    assert_eq!((&frames[1]["route"], &frames[1]["price"]), (&json!("RAYDIUM"), &json!(150.75)));
    assert_eq!(frames[4]["txHash"], attempt.signature.to_string());
    assert_eq!(frames[4]["finalPrice"], json!(150.5));
    assert_eq!(other.frames(5).await, frames, "a second socket takes nothing from the first");
    let mut late = served.connect(&path).await;
    assert_eq!(late.frames(5).await, frames);
    late.is_silent().await;
    one.is_silent().await;
}

#[tokio::test]
async fn a_capitals_socket_names_either_venue_in_capitals() {
    let served = Served::start().await;
    let mut order = posted(&served, CAPITALS).await;
    served.step(&mut order, OrderEvent::Claimed).await;
    let event = acts::routed(&order, VenueId::MeteoraMock);
    served.step(&mut order, event).await;
    let mut socket = served.connect(&format!("/ws/orders/{}", order.id)).await;
    let frames = socket.frames(3).await;
    assert_eq!((&frames[1]["status"], &frames[1]["route"]), (&json!("ROUTING_COMPLETE"), &json!("METEORA")));
}

#[tokio::test]
async fn a_capitals_socket_hears_why_an_order_failed() {
    let served = Served::start().await;
    let mut order = posted(&served, CAPITALS).await;
    served.step(&mut order, OrderEvent::Claimed).await;
    let failure = Failure::new(ErrorCode::InsufficientFunds, "the wallet has too little");
    served.step(&mut order, OrderEvent::Failed { failure }).await;
    let mut socket = served.connect(&format!("/ws/orders/{}", order.id)).await;
    let frames = socket.frames(2).await;
    assert_eq!(statuses(&frames), ["ROUTING", "FAILED"]);
    assert_eq!((&frames[1]["reason"], frames[1].get("error")), (&json!("the wallet has too little"), None::<&Value>));
}

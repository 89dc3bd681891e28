//! Typed bodies.

use std::time::Duration;

use serde_json::json;
use swapd::{
    api::Options,
    domain::{ErrorCode, Failure, Lamports, OrderEvent, VenueId},
};

use super::{EXECUTE, TYPED, posted, statuses, until_confirmed, until_signed};
use crate::api::{acts, served::Served};

#[tokio::test]
async fn typed_clients_get_their_replies() {
    let served = Served::start().await;
    let answer = served.post(EXECUTE, TYPED).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body.as_object().unwrap().keys().collect::<Vec<_>>(), ["orderId"]);
    let answer = served.post(EXECUTE, r#"{"type":"market","tokenIn":"SOL"}"#).await;
    assert_eq!(answer.status, 400);
    let paths: Vec<_> = answer.body["error"].as_array().unwrap().iter().map(|issue| issue["path"][0].clone()).collect();
    assert_eq!(paths, ["tokenOut", "amount"]);
    let answer = served.post(EXECUTE, r#"{"type":"market","tokenIn":"SOL","tokenOut":"DOGE","amount":1}"#).await;
    assert_eq!((answer.status, &answer.body["error"][0]["path"]), (400, &json!(["tokenOut"])));
    assert_eq!(served.get("/api/orders/00000000-0000-0000-0000-000000000000").await.status, 404);
    assert_eq!(served.queue.depth().await.unwrap(), 1);
}

#[tokio::test]
async fn a_typed_client_is_told_that_an_order_could_not_be_stored() {
    let served = Served::start().await;
    served.store.close().await;
    let answer = served.post(EXECUTE, TYPED).await;
    assert_eq!((answer.status, &answer.body["error"]), (500, &json!("internal_error")));
}

#[tokio::test]
async fn a_typed_socket_hears_pending_first_and_is_closed_after_the_end() {
    let served = Served::start().await;
    let mut order = posted(&served, TYPED).await;
    let path = format!("{EXECUTE}?orderId={}", order.id);
    let mut socket = served.connect(&path).await;
    assert_eq!(socket.frame().await, json!({"orderId": order.id, "status": "pending"}));
    let attempt = until_confirmed(&served, &mut order).await;
    let frames = socket.frames(4).await;
    assert_eq!(frames[0], json!({"orderId": order.id, "status": "routing"}));
    assert_eq!(
        frames[1],
        json!({"orderId": order.id, "status": "building", "dex": "raydium",
            "quote": {"dex": "raydium", "price": 150.75, "fee": 0.0025}})
    );
    assert_eq!(frames[2], json!({"orderId": order.id, "status": "submitted", "dex": "raydium", "minOutFactor": 0.99}));
    assert_eq!(
        frames[3],
        json!({"orderId": order.id, "status": "confirmed", "txHash": attempt.signature.to_string(),
            "executedPrice": 150.5, "dex": "raydium", "amountOut": 150.5})
    );
    assert_eq!(socket.closed().await.0, 1000);
    let mut late = served.connect(&path).await;
    assert_eq!(late.frame().await["status"], "pending");
    assert_eq!(late.frames(4).await, frames);
    assert_eq!(late.closed().await.0, 1000);

    let shown = served.get(&format!("/api/orders/{}", order.id)).await.body;
    assert_eq!(shown["order"]["status"], "confirmed");
    assert_eq!((&shown["order"]["amount"], &shown["order"]["slippage_bps"]), (&json!("1"), &json!(100)));
    let history = shown["history"].as_array().unwrap();
    assert_eq!(statuses(history), ["routing", "building", "submitted", "confirmed"]);
    assert_eq!(history[3]["payload"]["txHash"], attempt.signature.to_string());
    assert_eq!((&shown["orderId"], &shown["txHash"]), (&json!(order.id), &json!(attempt.signature.to_string())));
}

#[tokio::test]
async fn confirmed_is_told_with_the_quoted_amounts_when_the_real_ones_do_not_come() {
    let served = Served::with(Options { settle_wait: Duration::from_millis(20), ..Options::default() }, 64).await;
    let mut order = posted(&served, TYPED).await;
    let mut socket = served.connect(&format!("{EXECUTE}?orderId={}", order.id)).await;
    let attempt = until_signed(&served, &mut order).await;
    served.step(&mut order, acts::landed(&attempt, None)).await;
    let frames = socket.frames(5).await;
    assert_eq!((&frames[4]["status"], &frames[4]["executedPrice"]), (&json!("confirmed"), &json!(150.75)));
    assert_eq!(frames[4]["txHash"], attempt.signature.to_string());
    let fill = acts::fill(&order);
    served.step(&mut order, OrderEvent::Settled { fill, fee: Lamports::new(5_000) }).await;
    assert_eq!(socket.closed().await.0, 1000, "one last frame, never a second");
}

#[tokio::test]
async fn a_retried_order_tells_its_moments_again_and_its_end_once() {
    let served = Served::start().await;
    let mut order = posted(&served, TYPED).await;
    served.step(&mut order, OrderEvent::Claimed).await;
    let failure = Failure::new(ErrorCode::VenueUnavailable, "no answer");
    served.step(&mut order, OrderEvent::Retrying { failure, delay_ms: 5 }).await;
    let event = acts::routed(&order, VenueId::RaydiumCpmm);
    served.step(&mut order, event).await;
    served.step(&mut order, OrderEvent::Requoted { reason: "stale".into() }).await;
    let event = acts::routed(&order, VenueId::RaydiumCpmm);
    served.step(&mut order, event).await;
    let failure = Failure::new(ErrorCode::SlippageExceeded, "too far away");
    served.step(&mut order, OrderEvent::Failed { failure }).await;
    let mut socket = served.connect(&format!("{EXECUTE}?orderId={}", order.id)).await;
    let frames = socket.frames(5).await;
    assert_eq!(statuses(&frames), ["pending", "routing", "building", "building", "failed"]);
    assert_eq!((&frames[4]["error"], &frames[4]["dex"]), (&json!("slippage_exceeded"), &json!("raydium")));
    assert_eq!(socket.closed().await.0, 1000);
}

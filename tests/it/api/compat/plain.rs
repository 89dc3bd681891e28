//! Plain bodies.

use std::time::Duration;

use serde_json::{Value, json};
use swapd::{
    api::Options,
    domain::{ErrorCode, Failure, Lamports, OrderEvent, VenueId},
    store::OrderFilter,
};

use super::{EXECUTE, PLAIN, posted, statuses, until_confirmed, until_signed};
use crate::{
    api::{
        acts,
        served::{Answer, Served},
    },
    store_contract::sample,
};

#[tokio::test]
async fn plain_clients_get_their_replies() {
    let served = Served::start().await;
    assert_eq!(served.get("/").await.body, json!({"message": "Order Execution Engine is running"}));
    let answer = served.post(EXECUTE, PLAIN).await;
    assert_eq!((answer.status, &answer.body["message"]), (202, &json!("Order accepted and queued for execution")));

    let keyed = async |name: &str, body: &str| -> Answer {
        let request = served.request("POST", EXECUTE).header("content-type", "application/json");
        served.send(request.header(name, "test-key-123").body(body.to_owned())).await
    };
    let five = r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":5}"#;
    let first = keyed("Idempotency-Key", five).await;
    let again = keyed("idempotency-key", five).await;
    assert_eq!((first.status, again.status), (202, 200));
    assert_eq!(again.body["message"], "Order already accepted");
    assert_eq!(again.body["orderId"], first.body["orderId"]);
    let other = keyed("idempotency-key", PLAIN).await;
    assert_eq!((other.status, &other.body["code"]), (409, &json!("idempotency_conflict")));

    for (body, error) in [
        (r#"{"tokenIn":"SOL","tokenOut":"SOL","amount":-1}"#, "tokenIn and tokenOut must be different"),
        (r#"{"tokenIn":"SOL","amount":1}"#, "tokenIn, tokenOut and amount are required"),
        (r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":"5"}"#, "amount must be a positive number"),
        (r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":5,"orderType":"limit"}"#, "Only market orders are supported"),
    ] {
        let answer = served.post(EXECUTE, body).await;
        assert_eq!((answer.status, &answer.body["error"]), (400, &json!(error)), "{body}");
    }
    let answer = served.post(EXECUTE, r#"{"tokenIn":"DOGE","tokenOut":"USDC","amount":5}"#).await;
    assert_eq!((answer.status, &answer.body["code"]), (400, &json!("unknown_token")));
    assert!(answer.body["error"].is_string());
    assert_eq!(served.store.list(&OrderFilter::default(), 10).await.unwrap().len(), 2);
    assert_eq!(served.queue.depth().await.unwrap(), 2);
}

#[tokio::test]
async fn plain_clients_read_the_order_row() {
    let served = Served::start().await;
    let mut order = posted(&served, PLAIN).await;
    let row = served.get(&format!("/{}/status", order.id)).await.body;
    assert_eq!(
        (&row["status"], &row["amount"], &row["orderType"]),
        (&json!("pending"), &json!("14"), &json!("market"))
    );
    let attempt = until_confirmed(&served, &mut order).await;
    for path in [format!("/{}/status", order.id), format!("/api/orders/{}/status", order.id)] {
        let row = served.get(&path).await.body;
        assert_eq!(row["status"], "confirmed");
        assert_eq!(row["chosenDex"], "raydium");
        assert_eq!(row["executionPrice"], json!(150.5));
        assert_eq!(row["txHash"], attempt.signature.to_string());
        assert_eq!(row["failureReason"], Value::Null);
    }
    for id in ["no-uuid", "00000000-0000-0000-0000-000000000000"] {
        for path in [format!("/{id}/status"), format!("/api/orders/{id}/status"), format!("/api/orders/{id}")] {
            let answer = served.get(&path).await;
            assert_eq!((answer.status, &answer.body["error"]), (404, &json!("Order not found")), "{path}");
            assert_eq!(answer.body["code"], "not_found");
        }
    }
    let answer = served.get("/api/nowhere").await;
    assert_eq!((answer.status, &answer.body["message"]), (404, &json!("Route GET:/api/nowhere not found")));
}

#[tokio::test]
async fn a_plain_socket_hears_live_frames_and_stays_open() {
    let served = Served::start().await;
    let mut order = posted(&served, PLAIN).await;
    let mut socket = served.connect(&format!("/ws?orderId={}", order.id)).await;
    assert_eq!(socket.frame().await, json!({"status": "pending"}));
    socket.is_silent().await;
    let attempt = until_confirmed(&served, &mut order).await;
    let frames = socket.frames(4).await;
    let hash = attempt.signature.to_string();
    assert_eq!(frames[0], json!({"status": "routing"}));
    assert_eq!(frames[1], json!({"status": "building", "chosenDex": "raydium", "data": {"chosenDex": "raydium"}}));
    assert_eq!(frames[2], json!({"status": "submitted"}));
    assert_eq!(
        frames[3],
        json!({"status": "confirmed", "txHash": hash, "executionPrice": 150.5,
            "data": {"txHash": hash, "executionPrice": 150.5}})
    );
    socket.is_silent().await;
    // Whoever comes late hears the same from the first frame on, but no `pending` that is no longer true.
    let mut late = served.connect(&format!("/ws?orderId={}", order.id)).await;
    assert_eq!(late.frames(4).await, frames);
    late.is_silent().await;
}

#[tokio::test]
async fn a_plain_socket_hears_why_an_order_failed() {
    let served = Served::start().await;
    let mut order = posted(&served, PLAIN).await;
    let attempt = until_signed(&served, &mut order).await;
    let failure = Failure::new(ErrorCode::SlippageExceeded, "the price moved");
    served.step(&mut order, OrderEvent::Rejected { landing: acts::landing(&attempt), failure }).await;
    let mut socket = served.connect(&format!("/ws?orderId={}", order.id)).await;
    let frames = socket.frames(4).await;
    assert_eq!(statuses(&frames), ["routing", "building", "submitted", "failed"]);
    assert_eq!(
        (&frames[3]["error"], &frames[3]["data"]["error"]),
        (&json!("SLIPPAGE_EXCEEDED"), &json!("SLIPPAGE_EXCEEDED"))
    );
    assert!(frames[..3].iter().all(|frame| frame.get("error").is_none()));
    socket.is_silent().await;
    assert_eq!(served.get(&format!("/{}/status", order.id)).await.body["failureReason"], "SLIPPAGE_EXCEEDED");

    let mut order = posted(&served, PLAIN).await;
    served.step(&mut order, OrderEvent::Cancelled).await;
    let mut socket = served.connect(&format!("/ws?orderId={}", order.id)).await;
    let frame = socket.frame().await;
    assert_eq!((&frame["status"], &frame["error"]), (&json!("failed"), &json!("CANCELLED")));
}

#[tokio::test]
async fn confirmed_waits_for_the_amounts_really_moved() {
    let served = Served::with(Options { settle_wait: Duration::from_secs(3_600), ..Options::default() }, 64).await;
    let mut order = posted(&served, PLAIN).await;
    let attempt = until_signed(&served, &mut order).await;
    served.step(&mut order, acts::landed(&attempt, None)).await;
    let mut socket = served.connect(&format!("/ws?orderId={}", order.id)).await;
    assert_eq!(statuses(&socket.frames(3).await), ["routing", "building", "submitted"]);
    let row = served.get(&format!("/{}/status", order.id)).await.body;
    assert_eq!((&row["status"], &row["executionPrice"]), (&json!("confirmed"), &json!(150.75)), "as quoted, so far");
    socket.is_silent().await;
    let fill = acts::fill(&order);
    served.step(&mut order, OrderEvent::Settled { fill, fee: Lamports::new(5_000) }).await;
    assert_eq!(socket.frame().await["executionPrice"], json!(150.5));
    let row = served.get(&format!("/{}/status", order.id)).await.body;
    assert_eq!(row["executionPrice"], json!(150.5));
}

#[tokio::test]
async fn after_a_dead_signature_the_new_route_is_told() {
    let served = Served::start().await;
    let mut order = posted(&served, PLAIN).await;
    let attempt = until_signed(&served, &mut order).await;
    served.step(&mut order, sample::expired(&attempt)).await;
    let event = acts::routed(&order, VenueId::MeteoraMock);
    served.step(&mut order, event).await;
    let mut socket = served.connect(&format!("/ws?orderId={}", order.id)).await;
    let frames = socket.frames(4).await;
    assert_eq!(statuses(&frames), ["routing", "building", "submitted", "building"]);
    assert_eq!((&frames[1]["chosenDex"], &frames[3]["chosenDex"]), (&json!("raydium"), &json!("meteora")));
    assert_eq!(served.get(&format!("/{}/status", order.id)).await.body["chosenDex"], "meteora");
}

#[tokio::test]
async fn a_paper_fill_pretends_no_transaction() {
    let served = Served::start().await;
    let mut order = posted(&served, PLAIN).await;
    served.step(&mut order, OrderEvent::Claimed).await;
    let event = acts::routed(&order, VenueId::MeteoraMock);
    served.step(&mut order, event).await;
    let fill = acts::fill(&order);
    served.step(&mut order, OrderEvent::PaperFilled { venue: VenueId::MeteoraMock, fill }).await;
    let mut socket = served.connect(&format!("/ws?orderId={}", order.id)).await;
    let frames = socket.frames(3).await;
    assert_eq!(frames[1]["chosenDex"], "meteora");
    assert_eq!((&frames[2]["status"], &frames[2]["simulated"]), (&json!("confirmed"), &json!(true)));
    assert!(frames[2].get("txHash").is_none());
}

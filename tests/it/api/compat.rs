//! The older engines' clients: what they send and what they look at.

use std::time::Duration;

use serde_json::{Value, json};
use swapd::{
    api::Options,
    domain::{Attempt, ErrorCode, Failure, Lamports, Order, OrderEvent, VenueId},
    store::OrderFilter,
};

use super::{
    acts,
    served::{Answer, Served},
};

const EXECUTE: &str = "/api/orders/execute";
const S0: &str = r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":14}"#;
const S3: &str = r#"{"type":"market","tokenIn":"SOL","tokenOut":"USDC","amount":1,"slippageBps":100}"#;

async fn posted(served: &Served, body: &str) -> Order {
    let answer = served.post(EXECUTE, body).await;
    assert!((200..300).contains(&answer.status), "{answer:?}");
    served.load(answer.body["orderId"].as_str().unwrap()).await
}

async fn until_signed(served: &Served, order: &mut Order) -> Attempt {
    served.step(order, OrderEvent::Claimed).await;
    let event = acts::routed(order, VenueId::RaydiumCpmm);
    served.step(order, event).await;
    let attempt = acts::attempt(order);
    served.step(order, OrderEvent::Signed { attempt: attempt.clone() }).await;
    served.step(order, OrderEvent::Sent { signature: attempt.signature }).await;
    attempt
}

async fn until_confirmed(served: &Served, order: &mut Order) -> Attempt {
    let attempt = until_signed(served, order).await;
    let event = acts::landed(&attempt, Some(acts::fill(order)));
    served.step(order, event).await;
    attempt
}

fn statuses(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["status"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn s0_clients_get_their_replies() {
    let served = Served::start().await;
    assert_eq!(served.get("/").await.body, json!({"message": "Order Execution Engine is running"}));
    let answer = served.post(EXECUTE, S0).await;
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
    let other = keyed("idempotency-key", S0).await;
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
async fn s0_clients_read_the_order_row() {
    let served = Served::start().await;
    let mut order = posted(&served, S0).await;
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
async fn an_s0_socket_hears_live_frames_and_stays_open() {
    let served = Served::start().await;
    let mut order = posted(&served, S0).await;
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
async fn an_s0_socket_hears_why_an_order_failed() {
    let served = Served::start().await;
    let mut order = posted(&served, S0).await;
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

    let mut order = posted(&served, S0).await;
    served.step(&mut order, OrderEvent::Cancelled).await;
    let mut socket = served.connect(&format!("/ws?orderId={}", order.id)).await;
    let frame = socket.frame().await;
    assert_eq!((&frame["status"], &frame["error"]), (&json!("failed"), &json!("CANCELLED")));
}

#[tokio::test]
async fn a_socket_that_names_no_order_is_told_so() {
    let served = Served::start().await;
    assert_eq!(served.connect("/ws").await.closed().await, (1008, "orderId is required".into()));
    assert_eq!(served.connect("/ws?orderId=").await.closed().await, (1008, "orderId is required".into()));
    assert_eq!(served.connect("/ws?orderId=no-uuid").await.closed().await, (1008, "order not found".into()));
    let mut socket = served.connect(EXECUTE).await;
    assert_eq!(socket.frame().await, json!({"status": "failed", "error": "orderId missing"}));
    assert_eq!(socket.closed().await.0, 1008);
    let mut socket = served.connect(&format!("{EXECUTE}?orderId=00000000-0000-0000-0000-000000000000")).await;
    assert_eq!(socket.frame().await["status"], "failed");
    assert_eq!(socket.closed().await.0, 1008);
    let answer = served.get(EXECUTE).await;
    assert_eq!((answer.status, &answer.body["error"]), (400, &json!("Use POST or WebSocket")));
}

#[tokio::test]
async fn s3_clients_get_their_replies() {
    let served = Served::start().await;
    let answer = served.post(EXECUTE, S3).await;
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
async fn bodies_of_no_dialect_get_a_sentence_and_a_list() {
    let served = Served::start().await;
    for body in [
        r#"{"foo":"bar"}"#,
        r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":0.01,"slippage":0.5}"#,
        r#"{"pair":"SOL-USDC","amount":10.5,"side":"buy"}"#,
        "{\"tokenIn\":\"SOL\",}",
        "[]",
        "",
    ] {
        let answer = served.post(EXECUTE, body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(
            answer.body["error"].is_string() && !answer.body["issues"].as_array().unwrap().is_empty(),
            "{answer:?}"
        );
    }
    assert_eq!(served.send(served.request("POST", EXECUTE)).await.status, 400);
    assert_eq!(served.send(served.request("POST", EXECUTE).body(S0)).await.status, 415);
    assert_eq!(served.store.cursor().await.unwrap(), 0);
}

#[tokio::test]
async fn an_s3_socket_hears_pending_first_and_is_closed_after_the_end() {
    let served = Served::start().await;
    let mut order = posted(&served, S3).await;
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
async fn an_order_keeps_its_dialect_on_every_socket() {
    let served = Served::start().await;
    let (s0, s3, own) = (posted(&served, S0).await, posted(&served, S3).await, served.order().await);
    for (path, spoken) in [
        (format!("{EXECUTE}?orderId={}", s0.id), json!({"status": "pending"})),
        (format!("/ws?orderId={}", s3.id), json!({"orderId": s3.id, "status": "pending"})),
        (format!("/ws?orderId={}", own.id), json!({"status": "pending"})),
        (format!("{EXECUTE}?orderId={}", own.id), json!({"orderId": own.id, "status": "pending"})),
    ] {
        assert_eq!(served.connect(&path).await.frame().await, spoken, "{path}");
    }
}

#[tokio::test]
async fn confirmed_waits_for_the_amounts_really_moved() {
    let served = Served::with(Options { settle_wait: Duration::from_secs(3_600), ..Options::default() }, 64).await;
    let mut order = posted(&served, S0).await;
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
async fn confirmed_is_told_with_the_quoted_amounts_when_the_real_ones_do_not_come() {
    let served = Served::with(Options { settle_wait: Duration::from_millis(20), ..Options::default() }, 64).await;
    let mut order = posted(&served, S3).await;
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
    let mut order = posted(&served, S3).await;
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

#[tokio::test]
async fn a_paper_fill_pretends_no_transaction() {
    let served = Served::start().await;
    let mut order = posted(&served, S0).await;
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

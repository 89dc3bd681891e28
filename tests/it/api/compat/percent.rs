//! Percent bodies, over HTTP and over a socket.

use serde_json::{Value, json};
use swapd::{
    api::Options,
    domain::{ErrorCode, Failure, OrderEvent, PoolWish},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{EXECUTE, NOBODY, PERCENT, posted, statuses, until_confirmed, until_signed};
use crate::{
    api::{
        acts,
        served::{Served, Socket},
    },
    support::{eventually, within_patience},
};

#[tokio::test]
async fn percent_clients_get_their_replies() {
    let served = Served::start().await;
    let answer = served.post(EXECUTE, PERCENT).await;
    let id = answer.body["orderId"].as_str().unwrap();
    let url = format!("ws://{}{EXECUTE}?orderId={id}", served.address);
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("pending")));
    assert_eq!(answer.body["wsUrl"], json!(url));
    let mut followed = Socket::open(&url, &[]).await.unwrap();
    assert_eq!(followed.frame().await, json!({"orderId": id, "status": "pending"}));

    let pool = r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":0.01,"poolId":"test-pool","baseIn":true}"#;
    let order = posted(&served, pool).await;
    assert_eq!(order.pool_wish, Some(PoolWish { address: Some("test-pool".into()), base_in: Some(true) }));
    assert_eq!(order.slippage.get(), 50, "half a percent where none is given");

    for (body, error) in [
        (r#"{"amountIn":1}"#, "tokenIn and tokenOut required"),
        (r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":0}"#, "amountIn must be positive"),
    ] {
        let answer = served.post(EXECUTE, body).await;
        assert_eq!((answer.status, &answer.body["error"]), (400, &json!(error)), "{body}");
    }
    for id in ["non-existent-id", NOBODY] {
        let answer = served.get(&format!("/api/orders/{id}")).await;
        assert_eq!(answer.status, 404);
        assert_eq!((&answer.body["error"], &answer.body["code"]), (&json!("Order not found"), &json!("not_found")));
    }
}

#[tokio::test]
async fn a_percent_order_is_read_as_one_flat_row() {
    let served = Served::start().await;
    let mut order = posted(&served, PERCENT).await;
    let path = format!("/api/orders/{}", order.id);
    let row = served.get(&path).await.body;
    assert_eq!((&row["orderId"], &row["status"]), (&json!(order.id), &json!("pending")));
    assert_eq!((&row["amountIn"], &row["slippage"]), (&json!("0.01000000"), &json!("0.5000")));
    for name in ["amountOut", "selectedDex", "txHash", "errorMessage", "raydiumQuote", "meteoraQuote"] {
        assert_eq!(row.get(name), Some(&Value::Null), "{name}");
    }
    let attempt = until_confirmed(&served, &mut order).await;
    let row = served.get(&path).await.body;
    assert_eq!((&row["status"], &row["amountOut"]), (&json!("confirmed"), &json!("1.50500000")));
    assert_eq!((&row["selectedDex"], &row["txHash"]), (&json!("raydium"), &json!(attempt.signature.to_string())));
    assert_eq!(
        row["raydiumQuote"],
        json!({"dex": "raydium", "price": 150.75, "amountOut": 1.5075, "fee": 0.0025, "priceImpact": 0.0003})
    );
    assert!(row["createdAt"].is_string() && row["updatedAt"].is_string());
    assert_eq!(row["order"]["status"], "confirmed", "and what the typed clients read");
}

#[tokio::test]
async fn a_percent_socket_takes_orders_and_tells_them() {
    let served = Served::start().await;
    let mut socket = served.connect(EXECUTE).await;
    for (message, error) in [
        ("{", "Invalid JSON"),
        ("{}", "tokenIn and tokenOut required"),
        (r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":-1}"#, "amountIn must be positive"),
    ] {
        socket.say(message).await;
        assert_eq!(socket.frame().await, json!({"error": error}));
    }
    let mut orders = vec![];
    for _ in 0..2 {
        socket.say(PERCENT).await;
        let accepted = socket.frame().await;
        assert_eq!(accepted["status"], "pending");
        orders.push(served.load(accepted["orderId"].as_str().unwrap()).await);
    }
    for order in &mut orders {
        let attempt = until_confirmed(&served, order).await;
        let frames = socket.frames(4).await;
        assert_eq!(statuses(&frames), ["routing", "building", "submitted", "confirmed"]);
        assert!(frames.iter().all(|frame| frame["orderId"] == json!(order.id)), "{frames:?}");
        assert!(frames.iter().all(|frame| frame["timeStamp"].is_i64() && frame.get("error").is_none()), "{frames:?}");
        assert_eq!(frames[3]["txHash"], attempt.signature.to_string());
    }
    socket.is_silent().await;
    socket.say(PERCENT).await;
    assert_eq!(socket.frame().await["status"], "pending", "it goes on taking orders after the end of others");
    assert_eq!(served.queue.depth().await.unwrap(), 3);
}

#[tokio::test]
async fn a_percent_socket_hears_why_an_order_failed_and_hears_it_again_later() {
    let served = Served::start().await;
    let mut order = posted(&served, PERCENT).await;
    let attempt = until_signed(&served, &mut order).await;
    let failure = Failure::new(ErrorCode::SlippageExceeded, "the price moved");
    served.step(&mut order, OrderEvent::Rejected { landing: acts::landing(&attempt), failure }).await;
    let path = format!("{EXECUTE}?orderId={}", order.id);
    let mut told = vec![];
    for _ in 0..2 {
        let mut socket = served.connect(&path).await;
        let frames = socket.frames(5).await;
        assert_eq!(statuses(&frames), ["pending", "routing", "building", "submitted", "failed"]);
        assert_eq!((&frames[4]["error"], &frames[4]["code"]), (&json!("the price moved"), &json!("slippage_exceeded")));
        assert!(frames[..4].iter().all(|frame| frame.get("error").is_none()));
        socket.is_silent().await;
        told.push(frames);
    }
    assert_eq!(told[0], told[1]);
    let row = served.get(&format!("/api/orders/{}", order.id)).await.body;
    assert_eq!(row["errorMessage"], "the price moved");
}

#[tokio::test]
async fn a_percent_socket_follows_a_bounded_number_of_orders() {
    let served = Served::start().await;
    let mut socket = served.connect(EXECUTE).await;
    for _ in 0..64 {
        socket.say(PERCENT).await;
        assert_eq!(socket.frame().await["status"], "pending");
    }
    socket.say(PERCENT).await;
    assert!(socket.frame().await["error"].as_str().unwrap().starts_with("64 orders"));
    assert_eq!(served.queue.depth().await.unwrap(), 64);
}

#[tokio::test]
async fn an_order_over_a_socket_waits_for_its_turn_like_every_request() {
    let served = Served::with(Options { max_requests: 1, ..Options::default() }, 64).await;
    let mut socket = served.connect(EXECUTE).await;
    // A request in progress: its body never comes.
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    let head =
        "POST /v1/orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    eventually("the request to be in progress", async || {
        if served.get("/v1/tokens").await.status == 503 { Ok(()) } else { Err(()) }
    })
    .await;
    socket.say(PERCENT).await;
    let refused = socket.frame().await;
    assert!(refused["error"].as_str().unwrap().starts_with("as many requests"), "{refused}");
    drop(slow);
    within_patience("the order to be taken", async {
        loop {
            socket.say(PERCENT).await;
            if socket.frame().await["status"] == "pending" {
                break;
            }
        }
    })
    .await;
    assert_eq!(served.queue.depth().await.unwrap(), 1);
}

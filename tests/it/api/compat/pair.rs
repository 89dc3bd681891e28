//! Bodies with `pair` and `side`.

use serde_json::json;
use swapd::domain::{BaseUnits, ErrorCode, Failure, OrderEvent, Swap, VenueId};

use super::{EXECUTE, PAIR, posted, statuses, until_confirmed, until_signed};
use crate::api::{acts, served::Served};

#[tokio::test]
async fn pair_clients_get_their_replies() {
    let served = Served::start().await;
    let answer = served.post(EXECUTE, r#"{"pair":"SOL-USDC","amount":10.5,"side":"buy"}"#).await;
    assert_eq!((answer.status, &answer.body["message"]), (200, &json!("Order queued. Connect to WS for updates.")));
    let order = served.load(answer.body["orderId"].as_str().unwrap()).await;
    assert_eq!((order.token_in.symbol.as_str(), order.token_out.symbol.as_str()), ("USDC", "SOL"));
    assert_eq!(order.swap, Swap::ExactOut(BaseUnits::new(10_500_000_000)));
    for (body, word) in [
        (r#"{"pair":"SOL-USDC"}"#, "amount"),
        (r#"{"pair":"SOL-USDC","amount":1}"#, "side"),
        (r#"{"pair":"SOL","amount":1,"side":"buy"}"#, "pair"),
        (r#"{"pair":"SOL-DOGE","amount":1,"side":"buy"}"#, "`pair` names no configured token"),
    ] {
        let answer = served.post(EXECUTE, body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.body["error"].as_str().unwrap().starts_with(word), "{answer:?}");
    }
}

#[tokio::test]
async fn a_pair_socket_hears_frames_that_its_page_can_show() {
    let served = Served::start().await;
    let mut order = posted(&served, PAIR).await;
    let path = format!("/ws/orders/{}", order.id);
    let mut socket = served.connect(&path).await;
    assert_eq!(socket.frame().await, json!({"status": "connected", "orderId": order.id}));
    let attempt = until_confirmed(&served, &mut order).await;
    let frames = socket.frames(5).await;
    assert_eq!(statuses(&frames), ["routing", "routing", "building", "submitted", "confirmed"]);
    assert_eq!(frames[0]["message"], "Fetching quotes...");
    assert_eq!(frames[1]["message"], "Best Route: Raydium @ $150.75");
    assert!(frames[..4].iter().all(|frame| frame["message"].is_string() && frame.get("orderId").is_none()));
    let hash = attempt.signature.to_string();
    assert_eq!(frames[4], json!({"status": "confirmed", "txHash": hash, "dex": "Raydium", "price": 150.5}));
    socket.is_silent().await;
    let mut late = served.connect(&path).await;
    assert_eq!(late.frames(6).await[1..], frames);
}

#[tokio::test]
async fn a_pair_socket_hears_why_an_order_failed() {
    let served = Served::start().await;
    let mut order = posted(&served, PAIR).await;
    let attempt = until_signed(&served, &mut order).await;
    let failure = Failure::new(ErrorCode::SlippageExceeded, "the price moved");
    served.step(&mut order, OrderEvent::Rejected { landing: acts::landing(&attempt), failure }).await;
    let mut socket = served.connect(&format!("/ws/orders/{}", order.id)).await;
    let frames = socket.frames(6).await;
    assert_eq!((&frames[5]["status"], &frames[5]["error"]), (&json!("failed"), &json!("the price moved")));
    assert!(frames[..5].iter().all(|frame| frame.get("error").is_none()));
}

#[tokio::test]
async fn a_paper_fill_has_text_where_its_page_cuts_a_hash() {
    let served = Served::start().await;
    let mut order = posted(&served, PAIR).await;
    served.step(&mut order, OrderEvent::Claimed).await;
    let event = acts::routed(&order, VenueId::MeteoraMock);
    served.step(&mut order, event).await;
    let fill = acts::fill(&order);
    served.step(&mut order, OrderEvent::PaperFilled { venue: VenueId::MeteoraMock, fill }).await;
    let mut socket = served.connect(&format!("/ws/orders/{}", order.id)).await;
    let frame = socket.frames(5).await.remove(4);
    assert_eq!(
        frame,
        json!({"status": "confirmed", "txHash": "", "dex": "Meteora", "price": 150.5, "simulated": true})
    );
}

//! Following real orders over WebSocket: our own stream, and the frames that clients of older engines know.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::support::{
    daemon::{Daemon, World},
    servers, within_patience,
};

const SLOT: Duration = Duration::from_millis(50);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(daemon: &Daemon, path: &str) -> Socket {
    within_patience("the socket", connect_async(format!("{}{path}", daemon.ws()))).await.unwrap().0
}

/// The next JSON frame; `None` when the server closed.
async fn frame(socket: &mut Socket) -> Option<Value> {
    loop {
        match within_patience("a frame", socket.next()).await?.ok()? {
            Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// Frames up to and including the first that `is_last`.
async fn frames(socket: &mut Socket, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut all = Vec::new();
    while let Some(frame) = frame(socket).await {
        all.push(frame);
        if is_last(all.last().unwrap()) {
            break;
        }
    }
    all
}

fn is_settled(frame: &Value) -> bool {
    frame["event"] == "settled" || (frame["event"] == "landed" && !frame["fill"].is_null())
}

fn names(frames: &[Value], key: &str) -> Vec<String> {
    frames.iter().map(|frame| frame[key].as_str().unwrap_or_default().to_owned()).collect()
}

fn sol_to_usdc() -> Value {
    json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_streamed_step_by_step_with_its_signature_before_the_send() {
    let world = World::start(SLOT, 1).await;
    let setup = world.shared(&servers::fresh_database().await, &servers::shared_redis());
    // The steps are taken in one process and streamed by another.
    let api = Daemon::start(&world, &setup, "api").await;
    let _worker = Daemon::start(&world, &setup, "worker").await;
    let id = api.order(&sol_to_usdc()).await;
    let mut socket = connect(&api, &format!("/v1/stream?orderId={id}")).await;
    let live = frames(&mut socket, is_settled).await;
    let events = names(&live, "event");
    assert_eq!(events[..6], ["created", "claimed", "routed", "signed", "sent", "landed"]);
    let seqs: Vec<_> = live.iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=live.len() as u64).collect::<Vec<_>>());
    let signature = live[3]["txHash"].as_str().unwrap();
    assert_eq!(live[5]["txHash"], signature);

    // Who comes late gets the same from the first frame on.
    let mut late = connect(&api, &format!("/v1/stream?orderId={id}")).await;
    assert_eq!(frames(&mut late, is_settled).await, live);
    let order = api.ended(&id).await;
    assert_eq!(order["history"].as_array().unwrap(), &live);
    assert_eq!(order["txHash"], signature);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_resumes_over_a_restart_without_gap_or_duplicate() {
    let world = World::start(SLOT, 1).await;
    let setup = world.embedded();
    let mut daemon = Daemon::start(&world, &setup, "all").await;
    let mut socket = connect(&daemon, "/v1/stream?since=0").await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(daemon.order(&sol_to_usdc()).await);
    }
    let mut seen = Vec::new();
    for _ in 0..12 {
        seen.push(frame(&mut socket).await.unwrap());
    }
    daemon.kill_9().await;

    let daemon = Daemon::start(&world, &setup, "all").await;
    for id in &ids {
        daemon.ended(id).await;
    }
    let last = seen.last().unwrap()["cursor"].as_u64().unwrap();
    let mut socket = connect(&daemon, &format!("/v1/stream?since={last}")).await;
    let mut open = ids.len() - seen.iter().filter(|frame| is_settled(frame)).count();
    while open > 0 {
        seen.push(frame(&mut socket).await.unwrap());
        open -= usize::from(is_settled(seen.last().unwrap()));
    }
    let cursors: Vec<_> = seen.iter().map(|frame| frame["cursor"].as_u64().unwrap()).collect();
    assert_eq!(cursors, (1..=cursors.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_posts_plain_bodies_sees_its_frames() {
    let world = World::start(SLOT, 1).await;
    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    let (status, answer) =
        daemon.post("/api/orders/execute", &json!({"tokenIn": "SOL", "tokenOut": "USDC", "amount": 14})).await;
    assert_eq!((status, &answer["message"]), (202, &json!("Order accepted and queued for execution")));
    let id = answer["orderId"].as_str().unwrap();
    daemon.ended(id).await; // a fast daemon: the client connects after the end and still sees everything

    let mut socket = connect(&daemon, &format!("/ws?orderId={id}")).await;
    let all = frames(&mut socket, |frame| frame["status"] == "confirmed").await;
    assert_eq!(names(&all, "status"), ["routing", "building", "submitted", "confirmed"]);
    assert_eq!(all[1]["data"]["chosenDex"], "raydium");
    let confirmed = all.last().unwrap();
    assert!(confirmed["data"]["executionPrice"].as_f64().unwrap() > 100.0);
    assert_eq!(confirmed["txHash"], confirmed["data"]["txHash"]);
    assert_eq!(bs58::decode(confirmed["txHash"].as_str().unwrap()).into_vec().unwrap().len(), 64);
    socket.send(Message::Text("ping".into())).await.unwrap();
    assert_eq!(frame(&mut socket).await.unwrap(), json!({"type": "pong"}));

    let (status, row) = daemon.get(&format!("/{id}/status")).await;
    assert_eq!((status, &row["status"], &row["amount"]), (200, &json!("confirmed"), &json!("14")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_posts_typed_bodies_sees_its_frames_and_the_close() {
    let world = World::start(SLOT, 1).await;
    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    let body = json!({"type": "market", "tokenIn": "SOL", "tokenOut": "USDC", "amount": 1, "slippageBps": 100});
    let (status, answer) = daemon.post("/api/orders/execute", &body).await;
    assert_eq!(status, 200);
    let id = answer["orderId"].as_str().unwrap();
    let mut socket = connect(&daemon, &format!("/api/orders/execute?orderId={id}")).await;
    // That engine's own test gives up after 8 s.
    let all = tokio::time::timeout(Duration::from_secs(8), frames(&mut socket, |_| false)).await.unwrap();
    let statuses = names(&all, "status");
    assert_eq!((statuses.first().unwrap().as_str(), statuses.last().unwrap().as_str()), ("pending", "confirmed"));
    assert!(statuses.iter().any(|status| status == "routing"));
    let (status, stored) = daemon.get(&format!("/api/orders/{id}")).await;
    assert_eq!((status, &stored["order"]["status"]), (200, &json!("confirmed")));
    assert!(stored["history"].as_array().unwrap().len() >= 3);
}

//! Each fault of a socket does what it says.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use swapd::chaos::{Fault, Rule, When};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use super::Scene;
use crate::support::within_patience;

const SLOT: Duration = Duration::from_millis(50);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open(scene: &Scene) -> Socket {
    connect_async(scene.chaos.ws_url()).await.unwrap().0
}

/// The next message; `None` when the socket has ended.
async fn heard(socket: &mut Socket) -> Option<Value> {
    loop {
        match within_patience("a message", socket.next()).await {
            Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return None,
        }
    }
}

async fn subscribe(socket: &mut Socket, method: &str, params: Value) {
    let call = json!({"jsonrpc": "2.0", "id": 3, "method": method, "params": params});
    socket.send(Message::text(call.to_string())).await.unwrap();
    let answer = heard(socket).await.unwrap();
    assert!(answer["result"].is_u64(), "{answer}");
}

fn slot(notification: &Value) -> u64 {
    notification["params"]["result"]["slot"].as_u64().unwrap_or_else(|| panic!("no slot in {notification}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_notification_in_three_is_lost_and_the_others_pass() {
    let scene = Scene::start(SLOT).await;
    scene.rule(Rule::new(Fault::LoseNotification).when(When::Every(3)));
    let mut socket = open(&scene).await;
    subscribe(&mut socket, "slotSubscribe", json!([])).await;
    for _ in 0..4 {
        heard(&mut socket).await.unwrap();
    }
    let counts = scene.chaos.counts().of("slotNotification");
    assert!(counts.calls >= 5 && counts.faults == counts.calls / 3, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubled_notification_comes_twice_and_a_late_one_does_not_hold_up_the_next() {
    let scene = Scene::start(SLOT).await;
    scene.rule(Rule::new(Fault::DoubleNotification).when(When::Once));
    let mut socket = open(&scene).await;
    subscribe(&mut socket, "slotSubscribe", json!([])).await;
    let (first, second) = (heard(&mut socket).await.unwrap(), heard(&mut socket).await.unwrap());
    assert_eq!(first, second);

    let late = Duration::from_millis(400);
    scene.rule(Rule::new(Fault::DelayNotification { min: late, max: late }).when(When::Once));
    let mut slots = Vec::new();
    let ordered = |slots: &[u64]| slots.is_sorted();
    while ordered(&slots) {
        slots.push(slot(&heard(&mut socket).await.unwrap()));
    }
    assert_eq!(scene.befallen("slotNotification"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_can_be_wrong_or_come_before_anything_happened() {
    let scene = Scene::start(SLOT).await;
    let confirmed = json!({"commitment": "confirmed"});
    let mut socket = open(&scene).await;
    scene.rule(Rule::new(Fault::WrongNotification { error: json!("BlockhashNotFound") }).when(When::Once));
    let (attempt, _) = scene.transfer().await;
    subscribe(&mut socket, "signatureSubscribe", json!([attempt.signature.to_string(), confirmed])).await;
    scene.world.rpc.send(&attempt.wire, attempt.context_slot).await.unwrap();
    assert_eq!(heard(&mut socket).await.unwrap()["params"]["result"]["value"]["err"], "BlockhashNotFound");

    scene.rule(Rule::new(Fault::EarlyNotification { error: Value::Null }).when(When::Once));
    let (unsent, _) = scene.transfer().await;
    subscribe(&mut socket, "signatureSubscribe", json!([unsent.signature.to_string(), confirmed])).await;
    let early = heard(&mut socket).await.unwrap();
    assert_eq!(early["method"], "signatureNotification");
    assert!(early["params"]["result"]["value"]["err"].is_null(), "{early}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_are_cut_all_at_once_by_a_message_by_hand_or_by_the_clock_and_new_ones_open() {
    let scene = Scene::start(SLOT).await;
    let mut silent = open(&scene).await;
    let mut loud = open(&scene).await;
    subscribe(&mut loud, "slotSubscribe", json!([])).await;
    scene.rule(Rule::new(Fault::CutSockets).when(When::Once));
    assert_eq!(heard(&mut silent).await, None);
    while heard(&mut loud).await.is_some() {}
    assert_eq!(scene.chaos.counts().cuts, 1);

    let mut socket = open(&scene).await;
    subscribe(&mut socket, "slotSubscribe", json!([])).await;
    heard(&mut socket).await.unwrap();
    scene.chaos.cut_sockets();
    while heard(&mut socket).await.is_some() {}

    scene.rule(Rule::new(Fault::CutSocketsEvery(Duration::from_millis(100))).when(When::Times(2)));
    while scene.chaos.counts().cuts < 4 {
        let mut socket = open(&scene).await;
        assert_eq!(heard(&mut socket).await, None);
    }
    let mut socket = open(&scene).await;
    subscribe(&mut socket, "slotSubscribe", json!([])).await;
    assert!(heard(&mut socket).await.is_some());
}

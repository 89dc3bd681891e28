//! The clients of the older engines at a daemon that really swaps: each file runs the commands and scripts of one engine,
//! in their order, and looks at what they look at.

mod capitals;
mod overtaken;
mod pair;
mod percent;
mod plain;
mod typed;

use std::time::Duration;

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    api::served::{Answer, Socket},
    support::{
        daemon::{Daemon, Setup, World},
        eventually,
    },
};

/// The embedded chain's own slot time.
const SLOT: Duration = Duration::from_millis(200);
const EXECUTE: &str = "/api/orders/execute";
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// Whoever ran against an older engine, with curl and websocat.
struct Client {
    world: World,
    daemon: Daemon,
    http: reqwest::Client,
}

impl Client {
    /// With a daemon as it is configured by default.
    async fn start() -> Self {
        let world = World::start(SLOT, 3).await;
        let daemon = Daemon::start(&world, &world.embedded(), "all").await;
        Self { world, daemon, http: reqwest::Client::new() }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let url = format!("{}{path}", self.daemon.url());
        let mut request = self.http.request(method.parse().unwrap(), url).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::to(request).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[("Content-Type", "application/json")], body).await
    }

    /// Posts an order that must be accepted; its id.
    async fn order(&self, body: &str) -> String {
        let answer = self.post(EXECUTE, body).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
        answer.body["orderId"].as_str().unwrap().to_owned()
    }

    async fn socket(&self, path: &str) -> Socket {
        Socket::open(&format!("{}{path}", self.daemon.ws()), &[]).await.unwrap()
    }

    /// The order in our own words, once it has one of these statuses.
    async fn until(&self, id: &str, statuses: &[&str]) -> Value {
        eventually(&format!("order {id} to be one of {statuses:?}"), async || {
            let order = self.get(&format!("/v1/orders/{id}")).await.body;
            if statuses.contains(&order["status"].as_str().unwrap()) { Ok(order) } else { Err(()) }
        })
        .await
    }

    /// That a hash is the signature of a transaction on the chain.
    async fn is_on_chain(&self, hash: &Value) {
        let signature = hash.as_str().unwrap().parse().unwrap();
        assert!(self.world.rpc.transaction(&signature).await.unwrap().is_some(), "{hash} is not on the chain");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_clients_order_is_told_in_its_own_words_on_the_path_of_plain_ones() {
    let client = Client::start().await;
    let (plain, percent) =
        (["routing", "building", "submitted", "confirmed"], r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":0.01}"#);
    let with = |greeting: &[&'static str]| [greeting, &plain].concat();
    let capitals = vec!["ROUTING", "ROUTING_COMPLETE", "BUILDING", "SUBMITTED", "CONFIRMED"];
    for (path, body, expected) in [
        (EXECUTE, percent, with(&["pending"])),
        (EXECUTE, r#"{"type":"market","tokenIn":"SOL","tokenOut":"USDC","amount":0.01}"#, with(&["pending"])),
        (EXECUTE, r#"{"pair":"SOL-USDC","amount":0.01,"side":"sell"}"#, with(&["connected", "routing"])),
        ("/api/orders", r#"{"inputToken":"SOL","outputToken":"USDC","amount":0.01}"#, capitals),
    ] {
        let answer = client.post(path, body).await;
        let id = answer.body["orderId"].as_str().unwrap_or_else(|| panic!("{answer:?}"));
        let mut socket = client.socket(&format!("/ws?orderId={id}")).await;
        assert_eq!(statuses(&frames_until(&mut socket, &["confirmed", "CONFIRMED"]).await), expected, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_either_port_finds_the_same_orders() {
    let world = World::start(SLOT, 1).await;
    let setup = Setup { api: "also_listen = \"127.0.0.1:0\"".into(), ..world.embedded() };
    let daemon = Daemon::start(&world, &setup, "all").await;
    let addresses = daemon.all_logged("listening", "address");
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    let http = reqwest::Client::new();
    let body = json!({"pair": "SOL-USDC", "amount": 0.01, "side": "sell"});
    let answer = Answer::to(http.post(format!("http://{}{EXECUTE}", addresses[0])).json(&body)).await;
    let id = answer.body["orderId"].as_str().unwrap();
    let found = Answer::to(http.get(format!("http://{}/api/orders/{id}", addresses[1]))).await;
    assert_eq!((found.status, &found.body["orderId"]), (200, &json!(id)));
    let mut socket = Socket::open(&format!("ws://{}/ws/orders/{id}", addresses[1]), &[]).await.unwrap();
    assert_eq!(frames_until(&mut socket, &["confirmed", "failed"]).await.pop().unwrap()["status"], "confirmed");
}

/// Frames up to the one with one of these statuses, which has to come: a socket that is closed before fails the test.
async fn frames_until(socket: &mut Socket, last: &[&str]) -> Vec<Value> {
    let mut frames = Vec::new();
    loop {
        let frame = socket.frame().await;
        let status = frame["status"].as_str().expect("every frame has a status").to_owned();
        frames.push(frame);
        if last.contains(&status.as_str()) {
            return frames;
        }
    }
}

fn is_time(text: &Value) -> bool {
    text.as_str().is_some_and(|text| OffsetDateTime::parse(text, &Rfc3339).is_ok())
}

fn statuses(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["status"].as_str().unwrap()).collect()
}

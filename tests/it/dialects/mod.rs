//! The clients of the older engines at a daemon that really swaps: each file runs the commands and scripts of one engine,
//! in their order, and looks at what they look at.

mod capitals;
mod overtaken;
mod pair;
mod percent;
mod plain;
mod typed;

use std::time::Duration;

use serde_json::Value;

use crate::{
    api::served::{Answer, Socket},
    support::{
        daemon::{Daemon, World},
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

fn statuses(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["status"].as_str().unwrap()).collect()
}

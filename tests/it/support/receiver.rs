//! A receiver of webhooks on a port of its own: answers as it is told, and keeps what it hears.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Redirect, Response},
};
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use swapd::webhooks::{Schedule, Settings};
use tokio::{net::TcpListener, task::JoinHandle};

/// Settings under which everything happens soon, on this machine too.
pub fn webhook_settings() -> Settings {
    Settings {
        allow_private: true,
        most: 20,
        timeout: Duration::from_secs(2),
        in_flight: 4,
        schedule: Schedule {
            backoff: Duration::from_millis(20),
            longest: Duration::from_millis(100),
            max_tries: 10_000,
        },
        disable_after: Duration::from_secs(300),
        keep: 1_000,
    }
}

/// What a receiver does with a request.
#[derive(Clone, Copy)]
pub enum Reply {
    Status(u16),
    /// Answers nothing for as long as anybody waits.
    Hang,
    /// Sends the sender elsewhere.
    Redirect,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Heard {
    pub path: String,
    pub headers: HeaderMap,
    pub text: String,
    pub body: Value,
    pub status: Option<u16>,
}

impl Heard {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn cursor(&self) -> u64 {
        self.body["cursor"].as_u64().unwrap_or_default()
    }

    pub fn order(&self) -> &str {
        self.body["orderId"].as_str().unwrap_or_default()
    }

    pub fn seq(&self) -> u64 {
        self.body["seq"].as_u64().unwrap_or_default()
    }

    fn was_taken(&self) -> bool {
        self.status == Some(200)
    }

    /// Verifies the signature as a receiver does; the time it was made at.
    pub fn signed_with(&self, secret: &str) -> i64 {
        let (t, v1) = self.header("swapd-signature").split_once(",v1=").expect("a time and a signature");
        let t = t.strip_prefix("t=").unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{t}.{}", self.text).as_bytes());
        let digest: Vec<u8> =
            (0..v1.len()).step_by(2).map(|at| u8::from_str_radix(&v1[at..at + 2], 16).unwrap()).collect();
        mac.verify_slice(&digest).expect("the signature is the body's");
        t.parse().unwrap()
    }
}

type Script = dyn Fn(&Heard, usize) -> Reply + Send + Sync;

/// The receiver. Dropped, it is gone.
pub struct Receiver {
    pub url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    server: JoinHandle<()>,
}

impl Receiver {
    /// One that takes everything.
    pub async fn start() -> Self {
        Self::answering(|_, _| Reply::Status(200)).await
    }

    /// One that answers by a script, which is told the request and how many came before it.
    pub async fn answering(script: impl Fn(&Heard, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", Arc::new(script)).await
    }

    async fn at(address: &str, script: Arc<Script>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = heard.clone();
        let app = Router::new().fallback(move |uri: Uri, headers: HeaderMap, bytes: Bytes| {
            let (kept, script) = (kept.clone(), script.clone());
            async move { hear(&kept, &*script, uri.path().to_owned(), headers, &bytes).await }
        });
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, heard, server }
    }

    /// Everything it has heard so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// What it has answered with 200.
    pub fn taken(&self) -> Vec<Heard> {
        self.heard().into_iter().filter(Heard::was_taken).collect()
    }

    /// Waits until it has taken this many; all of them.
    pub async fn has_taken(&self, count: usize) -> Vec<Heard> {
        super::eventually("deliveries to get through", || async {
            let taken = self.taken();
            if taken.len() >= count { Ok(taken) } else { Err(()) }
        })
        .await
    }

    /// Waits until it has heard this many, whatever it answered.
    pub async fn has_heard(&self, count: usize) -> Vec<Heard> {
        super::eventually("deliveries to be tried", || async {
            let heard = self.heard();
            if heard.len() >= count { Ok(heard) } else { Err(()) }
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn hear(kept: &Mutex<Vec<Heard>>, script: &Script, path: String, headers: HeaderMap, bytes: &[u8]) -> Response {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let body = serde_json::from_str(&text).unwrap_or_default();
    let mut heard = Heard { path, headers, text, body, status: None };
    let reply = {
        let mut kept = kept.lock().unwrap();
        let reply = script(&heard, kept.len());
        heard.status = match reply {
            Reply::Status(status) => Some(status),
            Reply::Redirect => Some(307),
            Reply::Hang => None,
        };
        kept.push(heard);
        reply
    };
    match reply {
        Reply::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Reply::Redirect => Redirect::temporary("/elsewhere").into_response(),
        Reply::Hang => std::future::pending().await,
    }
}

/// That the events of every order came in their order, each taken once, from the first on.
pub fn in_order_and_once(taken: &[Heard]) {
    let mut last: std::collections::HashMap<&str, u64> = std::collections::HashMap::new();
    for heard in taken {
        let seq = last.entry(heard.order()).or_default();
        assert_eq!(heard.seq(), *seq + 1, "order {}", heard.order());
        *seq = heard.seq();
    }
}

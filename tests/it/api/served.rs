//! A served API over a real store, queue and bus, and clients that talk to it from outside.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::Value;
use solana_sdk::pubkey::Pubkey;
use swapd::{
    api::{self, ApiKey, ApiState, Feed, KeyRing, MetricsPage, Options, Parts, Probes, Switches, Views},
    app::Gallery,
    chain::{Rpc, fees::Fees},
    domain::{Bps, Lamports, Order, OrderEvent, OrderId, Rules, StoredEvent, Token},
    engine::{Admission, Announcer, Control, Handover, Intake, Journal, Rehearsal, Rents, Treasury},
    events::{self, BusOptions, SharedBus},
    queue::{self, QueueOptions, SharedQueue},
    router::{Mode, Router},
    store::{self, SharedStore},
    webhooks::Webhooks,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{self, Message, client::IntoClientRequest, protocol::CloseFrame},
};
use tokio_util::sync::CancellationToken;

use crate::support::{receiver::webhook_settings, within_patience};

/// One process's worth of API.
pub struct Served {
    pub address: SocketAddr,
    pub store: SharedStore,
    pub queue: SharedQueue,
    pub bus: SharedBus,
    pub journal: Journal,
    pub handover: Arc<Handover>,
    pub switches: Arc<Switches>,
    pub shutdown: CancellationToken,
    pub tasks: JoinSet<()>,
    http: reqwest::Client,
    pub gallery: Gallery,
    /// Removed when the test ends.
    _folder: Option<tempfile::TempDir>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub async fn to(request: reqwest::RequestBuilder) -> Self {
        let response = within_patience("an answer", request.send()).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = within_patience("a body", response.text()).await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, headers, body }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of an error in our own shape.
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

pub fn rules() -> Rules {
    let token = |symbol: &str, decimals| Token {
        symbol: symbol.into(),
        mint: Pubkey::new_unique(),
        decimals,
        program: Pubkey::new_unique(),
    };
    Rules {
        tokens: vec![token("SOL", 9), token("USDC", 6), token("FEE", 2)],
        default_slippage: Bps::new(50).unwrap(),
        max_slippage: Bps::new(1_000).unwrap(),
    }
}

impl Served {
    pub async fn start() -> Self {
        Self::with(Options::default(), 1_024).await
    }

    pub async fn with(options: Options, buffer: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("orders.db").display());
        Self { _folder: Some(folder), ..Self::on(&url, "local:", options, buffer).await }
    }

    /// One that demands a key.
    pub async fn keyed(key: &str) -> Self {
        Self::open("sqlite::memory:", "local:", Options::default(), 16, Some(ApiKey::new(key))).await
    }

    pub async fn on(store_url: &str, bus_url: &str, options: Options, buffer: usize) -> Self {
        Self::open(store_url, bus_url, options, buffer, None).await
    }

    async fn open(store_url: &str, bus_url: &str, options: Options, buffer: usize, key: Option<ApiKey>) -> Self {
        let store = store::open(store_url).await.unwrap();
        let queue = queue::open("memory:", &QueueOptions::default()).await.unwrap();
        let bus = events::open(bus_url, &BusOptions::default()).await.unwrap();
        let journal = Journal::new(store.clone());
        let announcer = Announcer::new(&store, bus.clone());
        let rules = Arc::new(rules());
        let control = Arc::new(Control::open(store.clone(), None).await.unwrap());
        let admission = Admission { wallets: None, max_depth: 1_000, caps: Arc::default(), control: control.clone() };
        let handover = Arc::new(Handover::new(10));
        let intake =
            Intake::new(journal.clone(), store.clone(), queue.clone(), rules.clone(), admission, handover.clone());
        let feed = Arc::new(Feed::new(Views::new(rules, "?cluster=devnet"), buffer));
        let switches = Arc::new(Switches::default());
        let probes = Probes::new(store.clone(), queue.clone(), bus.clone(), None, switches.clone());
        let recorder = swapd::metrics::recorder().unwrap();
        let page = MetricsPage::new(recorder, store.clone(), queue.clone(), switches.clone());
        let rpc = Arc::new(Rpc::new("http://127.0.0.1:9".into(), Duration::from_secs(1)));
        let router = Arc::new(Router::new(Vec::new(), Duration::from_secs(1), Mode::QuoteOnly));
        let fees = Arc::new(Fees::new(rpc.clone(), 0, Lamports::default()));
        let free = Lamports::default();
        let rents = Rents { wallet: free, token_account: free, large_token_account: free };
        let treasury = Arc::new(Treasury::new(rpc.clone(), store.clone(), rents, free, Arc::default(), Vec::new()));
        let gallery = Gallery::open().unwrap();
        let parts = Parts {
            keys: Arc::new(KeyRing::open(store.clone(), key).await.unwrap()),
            rehearsal: Arc::new(Rehearsal::new(router.clone(), Vec::new(), rpc, fees, treasury, true)),
            intake: Arc::new(intake),
            store: store.clone(),
            router,
            feed: feed.clone(),
            probes: Arc::new(probes),
            metrics: Arc::new(page),
            control,
            webhooks: Arc::new(Webhooks::new(store.clone(), webhook_settings()).unwrap()),
            holdings: None,
            gallery: gallery.handle(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (feed_store, feed_bus, feed_end) = (store.clone(), bus.clone(), shutdown.clone());
        tasks.spawn(async move { feed.run(feed_store, feed_bus, feed_end).await });
        tasks.spawn(announcer.run(shutdown.clone()));
        let (running_bus, bus_end) = (bus.clone(), shutdown.clone());
        tasks.spawn(async move { running_bus.run(bus_end).await });
        let (state, end) = (ApiState::new(parts, options), shutdown.clone());
        tasks.spawn(async move { api::serve(listener, state, end).await.unwrap() });
        let http = reqwest::Client::new();
        Self { address, store, queue, bus, journal, handover, switches, shutdown, tasks, http, gallery, _folder: None }
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method.parse().unwrap(), format!("http://{}{path}", self.address))
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        Answer::to(request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(self.request("POST", path).header("content-type", "application/json").body(body.to_owned())).await
    }

    /// An accepted order of our own API.
    pub async fn order(&self) -> Order {
        let answer = self.post("/v1/orders", r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":2}"#).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        self.load(answer.body["id"].as_str().unwrap()).await
    }

    pub async fn load(&self, id: &str) -> Order {
        self.store.order(id.parse::<OrderId>().unwrap()).await.unwrap().unwrap()
    }

    /// Moves an order as a worker would.
    pub async fn step(&self, order: &mut Order, event: OrderEvent) -> Arc<StoredEvent> {
        self.journal.append(order, event, None).await.unwrap()
    }

    pub async fn connect(&self, path: &str) -> Socket {
        self.try_connect(path, &[]).await.unwrap()
    }

    /// A socket, or the status it was refused with.
    pub async fn try_connect(&self, path: &str, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
        Socket::open(&format!("ws://{}{path}", self.address), headers).await
    }

    /// Shuts everything down and waits for its end.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        within_patience("the end of every task", async { while self.tasks.join_next().await.is_some() {} }).await;
    }
}

/// A client's socket.
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What a socket said last.
#[derive(Debug)]
pub enum Heard {
    Frame(Value),
    Close(u16, String),
}

impl Socket {
    /// A socket, or the status it was refused with.
    pub async fn open(url: &str, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match within_patience("a handshake", tokio_tungstenite::connect_async(request)).await {
            Ok((stream, _)) => Ok(Self(stream)),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("no handshake: {error}"),
        }
    }

    pub async fn hear(&mut self) -> Heard {
        // Around the whole loop: a ping now and then must not renew the patience.
        let heard = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => {
                        // One older engine says a word that is no JSON.
                        let word = || Value::String(text.to_string());
                        return Heard::Frame(serde_json::from_str(&text).unwrap_or_else(|_| word()));
                    }
                    Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => {
                        return Heard::Close(code.into(), reason.to_string());
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => panic!("neither a frame nor a close with a reason: {other:?}"),
                }
            }
        };
        within_patience("a frame", heard).await
    }

    pub async fn frame(&mut self) -> Value {
        match self.hear().await {
            Heard::Frame(frame) => frame,
            Heard::Close(code, reason) => panic!("closed with {code} {reason} instead of a frame"),
        }
    }

    pub async fn frames(&mut self, count: usize) -> Vec<Value> {
        let mut frames = Vec::new();
        for _ in 0..count {
            frames.push(self.frame().await);
        }
        frames
    }

    pub async fn closed(&mut self) -> (u16, String) {
        match self.hear().await {
            Heard::Close(code, reason) => (code, reason),
            Heard::Frame(frame) => panic!("a frame instead of a close: {frame}"),
        }
    }

    /// That nothing but pings comes, as many as these.
    pub async fn is_pinged(&mut self, times: usize) {
        for _ in 0..times {
            let message = within_patience("a ping", self.0.next()).await.unwrap().unwrap();
            assert!(matches!(message, Message::Ping(_)), "{message:?}");
        }
    }

    pub async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// Whether nothing has come yet.
    pub fn has_heard_nothing(&mut self) -> bool {
        self.0.next().now_or_never().is_none()
    }

    /// That nothing but the answer to a ping comes next: frames before it would have come before it.
    pub async fn is_silent(&mut self) {
        self.say("ping").await;
        assert_eq!(self.frame().await, serde_json::json!({"type": "pong"}));
    }
}

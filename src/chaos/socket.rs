//! Socket: the pubsub side of the proxy.
//!
//! Owns its accept loop, a pair of sockets for each client, the notifications that are late, and the cutting of all
//! pairs. A message that nothing befalls passes as it is.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::http::StatusCode;
use futures_util::{SinkExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, accept_hdr_async, connect_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
    },
};
use tokio_util::sync::CancellationToken;

use super::{
    Fault, Shared,
    http::accept,
    limits::TryIn,
    plan::{Hit, Side},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that takes no message for this long is cut off.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Notifications that may be late at once on a socket; more are not delayed.
const LATE: usize = 4_096;
/// Subscriptions that may wait for their answer, and after it for an early notification.
const EXPECTED: usize = 4_096;

type Client = WebSocketStream<TcpStream>;
type Upstream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Serves until `shutdown`; open sockets are then cut off.
pub(super) async fn serve(mut listener: TcpListener, shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = open.join_next() => {}
            accepted = accept(&mut listener, &shared) => {
                if let Some((stream, room, refused)) = accepted {
                    let shared = shared.clone();
                    open.spawn(async move {
                        if let Some((client, node)) = connect(stream, &shared, refused).await {
                            Pair::new(client, node, &shared).run().await;
                        }
                        drop(room);
                    });
                }
            }
        }
    }
    open.shutdown().await;
}

/// Carries out the periodic cuts until `shutdown`.
pub(super) async fn cut_periodically(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut changes = shared.plan.changes();
    loop {
        let next = shared.plan.next_cut();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            changed = changes.changed() => if changed.is_err() { break },
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                if shared.plan.is_cut_due() {
                    shared.cut_sockets();
                }
            }
        }
    }
}

/// Both sockets, once both handshakes are done.
async fn connect(stream: TcpStream, shared: &Shared, refused: Option<TryIn>) -> Option<(Client, Upstream)> {
    #[expect(clippy::result_large_err, reason = "the library's own callback type")]
    let admit = |_: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let Some(TryIn(seconds)) = refused else { return Ok(response) };
        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        refusal.headers_mut().insert("retry-after", seconds.into());
        Err(refusal)
    };
    let client = timeout(CONNECT_TIMEOUT, accept_hdr_async(stream, admit)).await.ok()?.ok()?;
    match timeout(CONNECT_TIMEOUT, connect_async(shared.ws_url.as_str())).await {
        Ok(Ok((node, _))) => Some((client, node)),
        Ok(Err(_)) | Err(_) => {
            tracing::debug!("the node's socket behind the proxy does not open"); // the error may name the URL
            None
        }
    }
}

/// A client's socket and the node's.
struct Pair<'a> {
    shared: &'a Shared,
    client: Client,
    node: Upstream,
    late: FuturesUnordered<BoxFuture<'static, Message>>,
    /// Errors to announce as soon as the subscription with this request id is answered.
    expected: HashMap<String, Value>,
}

/// A socket has ended, or takes nothing more.
struct Ended;

impl<'a> Pair<'a> {
    fn new(client: Client, node: Upstream, shared: &'a Shared) -> Self {
        Self { shared, client, node, late: FuturesUnordered::new(), expected: HashMap::new() }
    }

    /// Until either socket ends or all are cut. Dropped sockets send no closing frame.
    async fn run(mut self) {
        let mut cuts = self.shared.cuts.subscribe();
        loop {
            let passed = tokio::select! {
                biased;
                _ = cuts.changed() => return,
                Some(message) = self.late.next(), if !self.late.is_empty() => self.tell_client(message).await,
                message = self.client.next() => match message {
                    Some(Ok(message)) => self.client_says(message).await,
                    _ => Err(Ended),
                },
                message = self.node.next() => match message {
                    Some(Ok(message)) => self.node_says(message).await,
                    _ => Err(Ended),
                },
            };
            if passed.is_err() {
                break;
            }
        }
        let _ = timeout(SEND_TIMEOUT, self.client.close(None)).await;
        let _ = timeout(SEND_TIMEOUT, self.node.close(None)).await;
    }

    async fn client_says(&mut self, message: Message) -> Result<(), Ended> {
        let call = parsed(&message);
        if let Some(method) = call["method"].as_str() {
            for hit in self.hits(method) {
                match hit.fault() {
                    Fault::CutSockets => {
                        self.shared.cut_sockets();
                        return Ok(()); // and the loop ends at once
                    }
                    Fault::EarlyNotification { error } if self.expected.len() < EXPECTED => {
                        self.expected.insert(call["id"].to_string(), error.clone());
                    }
                    _ => {}
                }
            }
        }
        match message {
            // Answered by each side's own library.
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            message => sent(timeout(SEND_TIMEOUT, self.node.send(message)).await),
        }
    }

    async fn node_says(&mut self, message: Message) -> Result<(), Ended> {
        if matches!(message, Message::Ping(_) | Message::Pong(_)) {
            return Ok(());
        }
        let content = parsed(&message);
        match content["method"].as_str() {
            Some(method) => self.notification(method, content.clone(), message).await,
            None => {
                let early = self.expected.remove(&content["id"].to_string());
                self.tell_client(message).await?;
                match (early, content["result"].as_u64()) {
                    (Some(error), Some(subscription)) => self.early(subscription, &error).await,
                    _ => Ok(()),
                }
            }
        }
    }

    async fn notification(&mut self, method: &str, mut content: Value, mut message: Message) -> Result<(), Ended> {
        let (mut copies, mut late) = (1, None);
        for hit in self.hits(method) {
            match hit.fault() {
                Fault::CutSockets => {
                    self.shared.cut_sockets();
                    return Ok(());
                }
                Fault::LoseNotification => copies = 0,
                Fault::DoubleNotification if copies > 0 => copies = 2,
                Fault::DelayNotification { min, max } => late = Some(hit.within(*min, *max)),
                Fault::WrongNotification { error } => {
                    if let Some(value) = content.pointer_mut("/params/result/value").filter(|value| value.is_object()) {
                        value["err"] = error.clone();
                        message = Message::text(content.to_string());
                    }
                }
                _ => {}
            }
        }
        for _ in 0..copies {
            match late {
                Some(late) if self.late.len() < LATE => {
                    let (at, message) = (Instant::now() + late, message.clone());
                    self.late.push(Box::pin(async move {
                        sleep_until(at).await;
                        message
                    }));
                }
                _ => self.tell_client(message.clone()).await?,
            }
        }
        Ok(())
    }

    /// What the node never said of a signature.
    async fn early(&mut self, subscription: u64, error: &Value) -> Result<(), Ended> {
        let slot = self.shared.node.slot("confirmed").await.unwrap_or_default();
        let result = json!({"context": {"slot": slot}, "value": {"err": error}});
        let params = json!({"result": result, "subscription": subscription});
        let content = json!({"jsonrpc": "2.0", "method": "signatureNotification", "params": params});
        self.tell_client(Message::text(content.to_string())).await
    }

    fn hits(&self, method: &str) -> Vec<Hit> {
        self.shared.counts.call(method);
        let hits = self.shared.plan.hits(Side::Socket, method, None);
        if !hits.is_empty() {
            self.shared.counts.fault(method);
        }
        hits
    }

    async fn tell_client(&mut self, message: Message) -> Result<(), Ended> {
        sent(timeout(SEND_TIMEOUT, self.client.send(message)).await)
    }
}

fn sent<E, T>(sent: Result<Result<(), E>, T>) -> Result<(), Ended> {
    match sent {
        Ok(Ok(())) => Ok(()),
        _ => Err(Ended),
    }
}

/// A text's JSON; null for anything else.
fn parsed(message: &Message) -> Value {
    match message {
        Message::Text(text) => serde_json::from_str(text).unwrap_or_default(),
        _ => Value::Null,
    }
}

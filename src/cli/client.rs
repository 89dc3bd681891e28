//! Client: talks to a daemon as any other program would, over HTTP and WebSocket.

use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A daemon's address and the key to it.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

impl Client {
    pub(super) fn new(base: &str, key: Option<String>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build().context("no HTTP client")?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), key })
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.answer(self.http.post(format!("{}{path}", self.base)).json(body)).await
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.answer(self.http.get(format!("{}{path}", self.base))).await
    }

    async fn answer(&self, mut request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.with_context(|| format!("no daemon answers at {}", self.base))?;
        let status = response.status();
        let body: Value = response.json().await.context("the daemon's answer is not JSON")?;
        if status.is_success() {
            return Ok(body);
        }
        let error = &body["error"];
        bail!("{} ({})", error["message"].as_str().unwrap_or("refused"), error["code"].as_str().unwrap_or("unknown"));
    }

    /// Opens the event stream at a path under `/v1`.
    pub(super) async fn stream(&self, path: &str) -> anyhow::Result<Stream> {
        let url = format!("{}{path}", self.base.replacen("http", "ws", 1));
        let mut request = url.into_client_request().context("the daemon's address is no URL")?;
        if let Some(key) = &self.key {
            request.headers_mut().insert("x-api-key", key.parse().context("the key has odd characters")?);
        }
        let (socket, _) = tokio::time::timeout(TIMEOUT, connect_async(request))
            .await
            .context("the daemon's stream did not open in time")?
            .context("the daemon's stream cannot be opened")?;
        Ok(Stream { socket })
    }
}

/// Events as they arrive.
pub(super) struct Stream {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Stream {
    /// The next event; `None` when the daemon closed the stream.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        loop {
            match self.socket.next().await.transpose().context("the stream broke")? {
                Some(Message::Text(text)) => {
                    return serde_json::from_str(&text).map(Some).context("an event is not JSON");
                }
                Some(Message::Ping(payload)) => self.socket.send(Message::Pong(payload)).await?,
                Some(Message::Close(_)) | None => return Ok(None),
                Some(_) => {}
            }
        }
    }
}

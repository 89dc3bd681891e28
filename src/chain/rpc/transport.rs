//! Transport: one JSON-RPC question over HTTP, asked once.
//!
//! Stands in for the client library's own sender, which sleeps and asks again up to five times when it is limited: here
//! a limit is an answer, with what the node said about waiting. Owns the connections. Never retries, waits or decides.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
};
use serde::Deserialize;
use serde_json::Value;
use solana_client::rpc_sender::{RpcSender, RpcTransportStats};
use solana_rpc_client_api::{
    client_error::{AnyhowError, Error as ClientError, ErrorKind},
    custom_error::JSON_RPC_SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE,
    request::{RpcError, RpcRequest, RpcResponseErrorData},
    response::RpcSimulateTransactionResult,
};

/// Some endpoints say "too many requests" in the body of an answer.
const TOO_MANY_REQUESTS: i64 = 429;
/// An unused connection is kept this long: reading in bursts needs no new ones, and public nodes count new ones.
const KEPT_OPEN: Duration = Duration::from_secs(20);

/// That the node limits our rate, as its own kind of error inside the client library's.
#[derive(Debug, thiserror::Error)]
#[error("too many requests")]
pub(super) struct Limited {
    /// How long the node wants to be left alone, if it said so.
    pub(super) retry_after: Option<Duration>,
}

/// A way to one URL.
pub(super) struct Transport {
    client: reqwest::Client,
    url: String,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    result: Value,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Value,
}

impl Transport {
    /// Connects lazily. Whoever asks bounds the time of a question; `timeout` bounds that of a new connection.
    pub(super) fn new(url: String, timeout: Duration) -> Self {
        let client = reqwest::Client::builder().connect_timeout(timeout).pool_idle_timeout(KEPT_OPEN).build();
        // The builder fails only when the platform has no TLS at all; the plain client then says so at the first call.
        Self { client: client.unwrap_or_default(), url }
    }
}

#[async_trait]
impl RpcSender for Transport {
    async fn send(&self, request: RpcRequest, params: Value) -> Result<Value, ClientError> {
        let body = request.build_request_json(1, params).to_string();
        let sent = self.client.post(&self.url).header(CONTENT_TYPE, "application/json").body(body).send();
        let response = sent.await?;
        let retry_after = retry_after(response.headers());
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            return Err(limited(retry_after));
        }
        let reply: Reply = response.error_for_status()?.json().await?;
        match reply.error {
            None => Ok(reply.result),
            Some(refusal) if refusal.code == TOO_MANY_REQUESTS => Err(limited(retry_after)),
            Some(refusal) => Err(refusal.into()),
        }
    }

    /// Nobody asks: what calls cost is measured per method in `health`.
    fn get_transport_stats(&self) -> RpcTransportStats {
        RpcTransportStats::default()
    }

    fn url(&self) -> String {
        self.url.clone()
    }
}

impl From<Refusal> for ClientError {
    fn from(refusal: Refusal) -> Self {
        let simulated = (refusal.code == JSON_RPC_SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE)
            .then(|| serde_json::from_value::<RpcSimulateTransactionResult>(refusal.data).ok())
            .flatten();
        let data = simulated.map_or(RpcResponseErrorData::Empty, RpcResponseErrorData::SendTransactionPreflightFailure);
        RpcError::RpcResponseError { code: refusal.code, message: refusal.message, data }.into()
    }
}

fn limited(retry_after: Option<Duration>) -> ClientError {
    ErrorKind::Middleware(AnyhowError::new(Limited { retry_after })).into()
}

/// Only the form in seconds: no node is known to send a date. "Zero" beside "too many requests" says nothing.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

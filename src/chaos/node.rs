//! Node: the real endpoint behind the proxy.
//!
//! Owns the HTTP client, the endpoint's URL (which may hold a key and is never printed) and the blockhashes that
//! passed. Never decides what a client gets to see.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use axum::body::Bytes;
use serde_json::{Value, json};

use super::ChaosError;
use crate::lock::lock;

/// The longest a node may take. A client that wants it quicker has a time-out of its own.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Blockhashes remembered: more than any of them lives.
const HASHES: usize = 512;

pub(super) struct Node {
    http: reqwest::Client,
    url: String,
    /// Answers to `getLatestBlockhash`, by the slot they were given at.
    hashes: Mutex<BTreeMap<u64, Value>>,
}

/// An HTTP answer, as the client gets it if nothing befalls it.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Bytes,
}

impl Reply {
    pub fn json(body: &Value) -> Self {
        Self { status: 200, retry_after: None, body: Bytes::from(body.to_string()) }
    }
}

impl Node {
    pub fn new(url: &str) -> Result<Self, ChaosError> {
        let parsed = url::Url::parse(url).map_err(|_| ChaosError::Url("rpc_url"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(ChaosError::Url("rpc_url"));
        }
        let http = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build().map_err(ChaosError::Client)?;
        Ok(Self { http, url: url.to_owned(), hashes: Mutex::default() })
    }

    /// Hands a call on; HTTP 502 when the node cannot be reached, 504 when it does not answer.
    pub async fn forward(&self, call: Bytes) -> Reply {
        let answered = async {
            let response = self.http.post(&self.url).header("content-type", "application/json").body(call);
            let response = response.send().await?;
            let status = response.status().as_u16();
            let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
            let retry_after = retry_after.map(str::to_owned);
            Ok::<_, reqwest::Error>(Reply { status, retry_after, body: response.bytes().await? })
        };
        answered.await.unwrap_or_else(|error| {
            let error = error.without_url();
            tracing::debug!(%error, "the node behind the proxy does not answer");
            let status = if error.is_timeout() { 504 } else { 502 };
            Reply { status, retry_after: None, body: Bytes::new() }
        })
    }

    /// Asks for something itself; `None` without a result.
    pub async fn ask(&self, method: &str, params: Value) -> Option<Value> {
        let call = json!({"jsonrpc": "2.0", "id": 0, "method": method, "params": params});
        let reply = self.forward(Bytes::from(call.to_string())).await;
        let mut answer: Value = serde_json::from_slice(&reply.body).ok()?;
        answer.get_mut("result").map(Value::take)
    }

    /// The slot of a commitment.
    pub async fn slot(&self, commitment: &str) -> Option<u64> {
        self.ask("getSlot", json!([{"commitment": commitment}])).await?.as_u64()
    }

    /// The block height of a commitment.
    pub async fn height(&self, commitment: &str) -> Option<u64> {
        self.ask("getBlockHeight", json!([{"commitment": commitment}])).await?.as_u64()
    }

    /// Keeps a true answer to `getLatestBlockhash`.
    pub fn remember(&self, result: &Value) {
        let Some(slot) = result["context"]["slot"].as_u64() else { return };
        let mut hashes = lock(&self.hashes);
        hashes.insert(slot, result["value"].clone());
        if hashes.len() > HASHES {
            hashes.pop_first();
        }
    }

    /// The last height at which a transaction over a blockhash may land, if it passed here.
    pub fn bound_of(&self, blockhash: &str) -> Option<u64> {
        let hashes = lock(&self.hashes);
        let value = hashes.values().rev().find(|value| value["blockhash"] == blockhash)?;
        value["lastValidBlockHeight"].as_u64()
    }

    /// The newest blockhash, with its bound, that was given at `slot` or before.
    pub fn blockhash_at(&self, slot: u64) -> Option<Value> {
        let hashes = lock(&self.hashes);
        hashes.range(..=slot).next_back().map(|(_, value)| value.clone())
    }
}

//! Client: gives orders and asks for them, over connections that stay open.
//!
//! Owns the words of HTTP. A refusal and a lost answer are answers here, not errors: they are what is measured.

use std::time::Duration;

use reqwest::{StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::LoadError;

/// What came of giving one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Taken.
    Accepted {
        /// Its id.
        id: Uuid,
        /// When, by the daemon's clock, in microseconds since 1970.
        at: i64,
        /// 201, or 200 when it was there before.
        status: u16,
    },
    /// Not taken.
    Refused {
        /// HTTP status.
        status: u16,
        /// The daemon's code.
        code: String,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// Nobody knows whether it was taken.
    Lost {
        /// What broke.
        reason: &'static str,
    },
}

/// A daemon's address and the key to it.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

impl Client {
    /// Keeps up to `connections` open; each request ends within `timeout`.
    ///
    /// # Errors
    /// When the system has no HTTP client to give.
    pub fn new(base: &str, key: Option<String>, connections: usize, timeout: Duration) -> Result<Self, LoadError> {
        let http = reqwest::Client::builder()
            .http1_only()
            .tcp_nodelay(true)
            .no_proxy()
            .pool_max_idle_per_host(connections)
            .timeout(timeout)
            .build()
            .map_err(LoadError::Http)?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), key })
    }

    /// The daemon's address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The daemon's key.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Gives an order under an idempotency key.
    pub async fn give(&self, key: &str, body: String) -> Answer {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Accepted<'a> {
            id: Uuid,
            created_at: &'a str,
        }
        let request = self
            .http
            .post(format!("{}/v1/orders", self.base))
            .header(header::CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", key)
            .body(body);
        let response = match self.authorized(request).send().await {
            Ok(response) => response,
            Err(error) => return lost(&error),
        };
        let status = response.status();
        let seconds = response.headers().get(header::RETRY_AFTER).and_then(|text| text.to_str().ok()?.parse().ok());
        let bytes = match response.bytes().await {
            Ok(bytes) => bytes,
            Err(error) => return lost(&error),
        };
        if status.is_success() {
            return match serde_json::from_slice::<Accepted<'_>>(&bytes) {
                Ok(accepted) => {
                    Answer::Accepted { id: accepted.id, at: micros(accepted.created_at), status: status.as_u16() }
                }
                Err(_) => Answer::Lost { reason: "unreadable answer" },
            };
        }
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let code = body["error"]["code"].as_str().unwrap_or("unknown").to_owned();
        // It may have been stored: the daemon says that it does not know.
        if code == "store_unavailable" || status == StatusCode::REQUEST_TIMEOUT {
            return Answer::Lost { reason: "store_unavailable" };
        }
        Answer::Refused { status: status.as_u16(), code, retry_after: seconds.map(Duration::from_secs) }
    }

    /// A JSON answer.
    ///
    /// # Errors
    /// When there is none, or it is a refusal.
    pub async fn get(&self, path: &str) -> Result<Value, LoadError> {
        let request = self.authorized(self.http.get(format!("{}{path}", self.base)));
        let response = request.send().await.map_err(|error| LoadError::Http(error.without_url()))?;
        let status = response.status();
        let body: Value = response.json().await.map_err(|error| LoadError::Http(error.without_url()))?;
        if status.is_success() {
            return Ok(body);
        }
        let text = |name: &str| body["error"][name].as_str().unwrap_or("unknown").to_owned();
        Err(LoadError::Refused { code: text("code"), message: text("message") })
    }

    /// A page of text at any address; the key goes only to the daemon's own.
    pub async fn text(&self, url: &str) -> Option<String> {
        let request = self.http.get(url);
        // `http://daemon:80` is also how `http://daemon:8080` and `http://daemon:80@elsewhere` begin.
        let is_own = url.strip_prefix(&self.base).is_some_and(|path| path.starts_with('/'));
        let request = if is_own { self.authorized(request) } else { request };
        request.send().await.ok()?.error_for_status().ok()?.text().await.ok()
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }
}

fn lost(error: &reqwest::Error) -> Answer {
    let reason = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "connection lost"
    };
    Answer::Lost { reason }
}

/// An RFC 3339 time in microseconds since 1970; zero when it is none.
pub fn micros(text: &str) -> i64 {
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .and_then(|at| i64::try_from(at.unix_timestamp_nanos() / 1_000).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::HeaderMap, routing::get};
    use tokio::net::TcpListener;

    use super::*;

    /// A page that says which key came with the question; its port.
    async fn tells_the_key() -> u16 {
        let told = |headers: HeaderMap| async move {
            headers.get(header::AUTHORIZATION).map_or("none".to_owned(), |key| key.to_str().unwrap().to_owned())
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = Router::new().route("/metrics", get(told));
        tokio::spawn(async move { axum::serve(listener, app).await }); // ends with the test's runtime
        port
    }

    #[tokio::test]
    async fn the_key_goes_to_the_daemon_alone_and_to_no_address_that_begins_like_its_own() {
        let port = tells_the_key().await;
        let told = |base: String| async move {
            let client = Client::new(&base, Some("secret".into()), 1, Duration::from_secs(10)).unwrap();
            client.text(&format!("http://127.0.0.1:{port}/metrics")).await.unwrap()
        };
        assert_eq!(told(format!("http://127.0.0.1:{port}/")).await, "Bearer secret");
        assert_eq!(told(format!("http://127.0.0.1:{}", port / 10)).await, "none");
    }
}

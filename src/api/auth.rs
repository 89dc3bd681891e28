//! Authentication: one key for everything that reads or writes orders.
//!
//! Owns where a key is looked for and how it is compared. The key itself is never kept, only its digest; it is never
//! logged, so neither is a query string.

use std::fmt;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{ApiError, ApiState};
use crate::domain::ErrorCode;

/// The configured key, as a digest.
#[derive(Clone)]
pub struct ApiKey([u8; 32]);

impl ApiKey {
    /// Remembers a key.
    pub fn new(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Compares in a time that tells nothing about the key, not even its length.
    pub fn matches(&self, candidate: &str) -> bool {
        Self::new(candidate).0.ct_eq(&self.0).into()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(redacted)")
    }
}

/// The middleware in front of everything but health. The key comes as `Authorization: Bearer <key>` or
/// `X-API-Key: <key>`; a stream may also bring it as `?token=<key>`, because browsers cannot set a stream's headers.
pub async fn guard(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    if let Some(key) = &state.options().api_key
        && !candidate(&request).is_some_and(|candidate| key.matches(&candidate))
    {
        return ApiError::new(
            ErrorCode::Unauthorized,
            "a key is missing or wrong: send `Authorization: Bearer <key>` or `X-API-Key: <key>`",
        )
        .into_response();
    }
    next.run(request).await
}

fn candidate(request: &Request) -> Option<String> {
    let headers = request.headers();
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().to_owned())
    });
    bearer
        .or_else(|| headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::to_owned))
        .or_else(|| if is_stream(headers) { token(request.uri().query()?) } else { None })
}

/// A WebSocket, or what browsers ask Server-Sent Events with.
fn is_stream(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
        || headers.get(header::ACCEPT).is_some_and(|accept| accept == "text/event-stream")
}

fn token(query: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "token").map(|(_, key)| key.into_owned())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_key_is_found_where_clients_can_put_it() {
        let found = |build: &dyn Fn(axum::http::request::Builder) -> axum::http::request::Builder| {
            candidate(&build(Request::builder()).body(Body::empty()).unwrap())
        };
        assert_eq!(found(&|r| r.header("authorization", "Bearer k")).as_deref(), Some("k"));
        assert_eq!(found(&|r| r.header("authorization", "Basic k")), None);
        assert_eq!(found(&|r| r.header("x-api-key", "k")).as_deref(), Some("k"));
        assert_eq!(found(&|r| r.uri("/v1/stream?token=a%2Bb").header("upgrade", "websocket")).as_deref(), Some("a+b"));
        let events =
            |r: axum::http::request::Builder| r.uri("/v1/events?token=k").header("accept", "text/event-stream");
        assert_eq!(found(&events).as_deref(), Some("k"));
        assert_eq!(found(&|r| r.uri("/v1/orders?token=k")), None, "only a stream's query is read");
    }

    #[test]
    fn a_key_matches_only_itself_and_is_never_shown() {
        let key = ApiKey::new("secret");
        assert!(key.matches("secret"));
        assert!(!key.matches("secret2") && !key.matches(""));
        assert!(!format!("{key:?}").contains("secret"));
    }
}

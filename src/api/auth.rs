//! Authentication: who may do what reads or writes orders.
//!
//! Owns where a key is looked for and which scope a request needs. What a key allows is `keys`. A key is never logged,
//! so neither is a query string.

use std::convert::Infallible;

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, header, request::Parts},
};

use super::{ApiError, ApiState, keys::Caller, origin};
use crate::{domain::ErrorCode, store::Scope};

/// Lets a request in, or not. The key comes as `Authorization: Bearer <key>` or `X-API-Key: <key>`; a stream may also
/// bring it as `?token=<key>`, because browsers cannot set a stream's headers. What the handler needs to know of the
/// caller travels with the request.
///
/// # Errors
/// When the caller may not do this.
pub fn admit(state: &ApiState, request: &mut Request) -> Result<(), ApiError> {
    let needed = if request.method().is_safe() { Scope::Read } else { Scope::Trade };
    let caller = state.keys().admit(candidate(request).as_deref())?;
    if caller.is_anyone() && !origin::is_addressed_here(request) {
        return Err(ApiError::new(
            ErrorCode::Forbidden,
            "without a key the daemon is asked for by a name of this machine only, such as localhost",
        ));
    }
    caller.may(needed)?;
    tracing::Span::current().record("caller", &*caller.name);
    request.extensions_mut().insert(caller);
    Ok(())
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().expect("every handler that asks for it is behind a door with a key").clone())
    }
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
}

//! Request envelope: what every request goes through, whichever handler answers it.
//!
//! Owns request ids, the tracing span, the time-out, the origin rule, the writing of error bodies and the headers that
//! every answer has. Never knows what a request is about.

use std::time::Duration;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    ApiError, ApiState, auth,
    error::Shape,
    origin::{self, Origin},
};
use crate::{domain::ErrorCode, metrics as names};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A longer id from a client is not taken over: it would fill our logs.
const LONGEST_REQUEST_ID: usize = 64;

/// What a request needs to get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Nothing.
    Open,
    /// A key, where one is demanded.
    Keyed,
}

/// The middleware around everything, one for all it does: each boxes the request's future once more.
pub async fn envelope(State((door, state)): State<(Door, ApiState)>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let shape = Shape::of(request.uri().path());
    let origin = Origin::of(request.headers(), &state.options().origins);
    let route = request.extensions().get::<MatchedPath>().map_or("none", |path| path.as_str()).to_owned();
    let counted = route.clone();
    let method = request.method().clone();
    let started = Instant::now();
    let span = tracing::info_span!("request", request_id = %id, method = %request.method(), route,
        caller = tracing::field::Empty);
    let response = async {
        let mut response = match origin::refuse(&request, &origin) {
            Some(refusal) => refusal.into_response(),
            None => match origin::preflight(&request, &origin, state.options().cors) {
                Some(answer) => answer,
                None => answer(door, &state, request, next).await,
            },
        };
        if let Some(mut error) = response.extensions_mut().remove::<ApiError>() {
            if error.code() == ErrorCode::QueueFull {
                error = error.retry_after(state.feed().drain().next_place());
            }
            if error.is_ours() {
                tracing::error!(code = error.code().as_str(), error = error.chain(), "request failed");
            } else {
                tracing::debug!(code = error.code().as_str(), error = error.chain(), "request refused");
            }
            // What the router knows beside the error: which methods a path takes.
            let allow = response.headers_mut().remove(header::ALLOW);
            response = error.render(shape, &id);
            response.headers_mut().extend(allow.map(|methods| (header::ALLOW, methods)));
        }
        tracing::debug!(status = response.status().as_u16(), "answered");
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(value) = HeaderValue::from_str(&id) {
            headers.insert(REQUEST_ID, value);
        }
        if state.options().cors {
            origin::share(&mut response, &origin);
        }
        response
    }
    .instrument(span)
    .await;
    count(&counted, &method, response.status(), started.elapsed());
    response
}

fn count(route: &str, method: &Method, status: StatusCode, took: Duration) {
    // A client may call its method what it likes; a metric has room for those that exist.
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::HEAD => "HEAD",
        _ => "other",
    };
    let (route, status) = (route.to_owned(), status.as_u16().to_string());
    names::seconds(names::HTTP_TIME, "route", route.clone(), took);
    metrics::counter!(names::HTTP_REQUESTS, "route" => route, "method" => method, "status" => status).increment(1);
}

/// The handler's answer, within the bounds of time and of requests in progress, or why it is not asked. Health is always
/// answered.
async fn answer(door: Door, state: &ApiState, mut request: Request, next: Next) -> Response {
    let _room = match request.uri().path() {
        "/health" | "/ready" | "/metrics" => None,
        _ => match state.request_room() {
            Ok(room) => Some(room),
            Err(refusal) => return refusal.into_response(),
        },
    };
    if door == Door::Keyed
        && let Err(refusal) = auth::admit(state, &mut request)
    {
        return refusal.into_response();
    }
    match tokio::time::timeout(state.options().request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::timed_out().into_response(),
    }
}

/// The client's own id if it is a sane one, else a fresh one.
fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| {
            (1..=LONGEST_REQUEST_ID).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        })
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sane_request_id_is_taken_over() {
        let with = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(id).unwrap());
            request_id(&headers)
        };
        assert_eq!(with("client-1.a_B"), "client-1.a_B");
        for insane in ["", "a b", "<script>", &"x".repeat(65)] {
            assert_ne!(with(insane), insane);
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}

//! API errors: what a refused request is answered with.
//!
//! Owns the way from an `ErrorCode` to an HTTP status and a JSON body, in our own shape and in the older clients'.
//! A source is logged by `request`, never sent.

use std::{error::Error, sync::Arc, time::Duration};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use crate::{
    domain::{ErrorCode, OrderRefused},
    engine::{CancelError, SubmitError, rehearsal::RehearsalError},
    router::RouteError,
    store::StoreError,
};

/// What a client may wait before it tries again where nothing better is known, in seconds.
const RETRY_AFTER_SECS: u64 = 1;

/// A refusal on its way to the client. As a response it has no body yet: `request` writes it, because only that
/// layer knows the request's id and which shape its path speaks.
#[derive(Clone, Debug)]
pub struct ApiError {
    code: ErrorCode,
    status: StatusCode,
    message: String,
    details: Map<String, Value>,
    compat: Map<String, Value>,
    retry_after: Option<Duration>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// Which shape a path's errors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `{"error":{"code","message","request_id"}}`.
    V1,
    /// `{"error":"<sentence>","code","request_id"}`, which every older client can read.
    Compat,
}

impl Shape {
    /// The shape of a path.
    pub fn of(path: &str) -> Self {
        if path == "/v1" || path.starts_with("/v1/") { Self::V1 } else { Self::Compat }
    }
}

impl ApiError {
    /// An error with its sentence, answered as its code says.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            code,
            status,
            message: message.into(),
            details: Map::new(),
            compat: Map::new(),
            retry_after: None,
            source: None,
        }
    }

    /// No such order. An id that is no UUID names no order either.
    pub fn no_order() -> Self {
        Self::new(ErrorCode::NotFound, "there is no order with this id").compat(json!({"error": "Order not found"}))
    }

    /// The request took too long.
    pub fn timed_out() -> Self {
        Self::new(
            ErrorCode::StoreUnavailable,
            "the answer took too long: try again later, a write with the same Idempotency-Key",
        )
    }

    /// Answered with another status than its code's own.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With more fields in our own shape.
    #[must_use]
    pub fn details(mut self, fields: Value) -> Self {
        if let Value::Object(fields) = fields {
            self.details.extend(fields);
        }
        self
    }

    /// With other or more fields in the older clients' shape.
    #[must_use]
    pub fn compat(mut self, fields: Value) -> Self {
        if let Value::Object(fields) = fields {
            self.compat.extend(fields);
        }
        self
    }

    /// With the time after which another try makes sense.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// With the body that the older engines' web framework gave to what it refused by itself.
    #[must_use]
    pub fn framework(self, code: &str) -> Self {
        let (status, message) = (self.status, self.message.clone());
        self.compat(json!({
            "statusCode": status.as_u16(), "code": code, "error": status.canonical_reason(), "message": message,
        }))
    }

    /// With what is behind it, for the log.
    #[must_use]
    pub fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// Its sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// A field of the older clients' shape.
    #[cfg(test)]
    pub fn compat_field(&self, name: &str) -> Option<&Value> {
        self.compat.get(name)
    }

    /// One line for the log, with every source.
    pub fn chain(&self) -> String {
        let mut line = self.message.clone();
        let mut next = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = next {
            line = format!("{line}: {error}");
            next = error.source();
        }
        line
    }

    /// Whether it is our fault, rather than the caller's or a refusal on purpose.
    pub fn is_ours(&self) -> bool {
        let refusal = matches!(self.code, ErrorCode::QueueFull | ErrorCode::Overloaded | ErrorCode::Paused);
        self.status.is_server_error() && !refusal
    }

    /// Whole seconds, rounded up, so that nobody comes back too early.
    fn wait_secs(&self) -> u64 {
        self.retry_after
            .map_or(RETRY_AFTER_SECS, |wait| wait.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX).max(1))
    }

    /// The answer.
    pub fn render(&self, shape: Shape, request_id: &str) -> Response {
        let body = match shape {
            Shape::V1 => {
                let mut error = Map::new();
                error.insert("code".into(), self.code.as_str().into());
                error.insert("message".into(), self.message.as_str().into());
                error.insert("request_id".into(), request_id.into());
                error.extend(self.details.clone());
                json!({ "error": error })
            }
            Shape::Compat => {
                let mut body = Map::new();
                body.insert("error".into(), self.message.as_str().into());
                body.insert("code".into(), self.code.as_str().into());
                body.insert("request_id".into(), request_id.into());
                body.extend(self.compat.clone());
                Value::Object(body)
            }
        };
        let mut response = (self.status, Json(body)).into_response();
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, self.wait_secs().into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<OrderRefused> for ApiError {
    fn from(refused: OrderRefused) -> Self {
        Self::new(refused.code, refused.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::new(error.code(), "the orders cannot be read now: try again later").because(error)
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        let refusal = Self::new(error.code(), error.to_string());
        match error {
            SubmitError::QueueFull { depth } => {
                let depth = json!({ "queueDepth": depth });
                refusal.details(depth.clone()).compat(depth)
            }
            error => refusal.because(error),
        }
    }
}

impl From<CancelError> for ApiError {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::NotFound(_) => Self::no_order(),
            error => Self::new(error.code(), error.to_string()).because(error),
        }
    }
}

impl From<RehearsalError> for ApiError {
    fn from(error: RehearsalError) -> Self {
        match error {
            RehearsalError::Route(error) => error.into(),
            RehearsalError::Stopped(failure) => Self::new(failure.code, failure.reason),
        }
    }
}

impl From<RouteError> for ApiError {
    fn from(error: RouteError) -> Self {
        Self::new(error.code, error.reason).details(json!({ "quotes": error.quotes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_decides_the_shape_of_its_errors() {
        for (path, shape) in [
            ("/v1/orders", Shape::V1),
            ("/v1/orders/status", Shape::V1),
            ("/v1", Shape::V1),
            ("/nowhere", Shape::Compat),
            ("/api/orders/x", Shape::Compat),
            ("/ws", Shape::Compat),
            ("/abc/status", Shape::Compat),
        ] {
            assert_eq!(Shape::of(path), shape, "{path}");
        }
    }

    #[test]
    fn an_unavailable_part_tells_when_to_try_again_and_hides_its_source() {
        let error = ApiError::timed_out().because(std::io::Error::other("password in here"));
        let response = error.render(Shape::V1, "r");
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert!(error.chain().contains("password"));
        assert!(!error.message().contains("password"));
    }
}

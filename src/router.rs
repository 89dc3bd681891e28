//! Router: asks every venue at once under a deadline and keeps every answer.

use crate::domain::{ErrorCode, QuoteOutcome, QuoteRequest, Route};

/// Why there is no route.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct RouteError {
    /// The client's code: `no_route`, `insufficient_liquidity`, `venue_unavailable` or `rpc_unavailable`.
    pub code: ErrorCode,
    /// A sentence.
    pub reason: String,
    /// What each venue said.
    pub quotes: Vec<QuoteOutcome>,
}

/// Placeholder until the router's branch is merged.
pub struct Router;

impl Router {
    /// The best route.
    ///
    /// # Errors
    /// When no venue can fill the request.
    pub async fn route(&self, _request: &QuoteRequest) -> Result<Route, RouteError> {
        Err(RouteError { code: ErrorCode::NoRoute, reason: "no venue is connected".into(), quotes: Vec::new() })
    }
}

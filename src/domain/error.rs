//! Error codes: the stable names a client matches on, and how each is answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The closed list of codes. Their wire form is stable; their sentences are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request does not say something that can be done.
    InvalidRequest,
    /// No such token symbol or mint is configured.
    UnknownToken,
    /// An amount is not a number, not positive, too precise or too large.
    InvalidAmount,
    /// The slippage is above the configured limit.
    InvalidSlippage,
    /// The body is not JSON, or not of the shape asked for.
    MalformedBody,
    /// The body is not declared as JSON.
    UnsupportedMediaType,
    /// The body is larger than the limit.
    BodyTooLarge,
    /// A key is missing or wrong.
    Unauthorized,
    /// The key's scope, or the page's origin, does not allow this.
    Forbidden,
    /// No such order or path.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The order is past the point where this can be done.
    Conflict,
    /// The idempotency key was used with another body.
    IdempotencyConflict,
    /// No venue can execute this pair.
    NoRoute,
    /// A pool exists but cannot fill the amount.
    InsufficientLiquidity,
    /// No wallet can pay amount, fees and rent.
    InsufficientFunds,
    /// The market is past the user's bound.
    SlippageExceeded,
    /// More than a spend cap allows.
    CapExceeded,
    /// Every signature expired without landing, or the order was not signed by its deadline.
    Expired,
    /// The transaction landed with an error that is none of the above.
    TransactionFailed,
    /// The chain that held the order's signature no longer exists.
    ChainReset,
    /// The caller sends too much.
    RateLimited,
    /// The queue is at its bound.
    QueueFull,
    /// As many requests are in progress as are allowed.
    Overloaded,
    /// The operator has stopped trading: nothing new is signed.
    Paused,
    /// A venue could not be read.
    VenueUnavailable,
    /// No RPC endpoint answered.
    RpcUnavailable,
    /// The store or queue did not answer.
    StoreUnavailable,
    /// Our fault.
    Internal,
}

impl ErrorCode {
    /// The wire form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::UnknownToken => "unknown_token",
            Self::InvalidAmount => "invalid_amount",
            Self::InvalidSlippage => "invalid_slippage",
            Self::MalformedBody => "malformed_body",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::BodyTooLarge => "body_too_large",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::IdempotencyConflict => "idempotency_conflict",
            Self::NoRoute => "no_route",
            Self::InsufficientLiquidity => "insufficient_liquidity",
            Self::InsufficientFunds => "insufficient_funds",
            Self::SlippageExceeded => "slippage_exceeded",
            Self::CapExceeded => "cap_exceeded",
            Self::Expired => "expired",
            Self::TransactionFailed => "transaction_failed",
            Self::ChainReset => "chain_reset",
            Self::RateLimited => "rate_limited",
            Self::QueueFull => "queue_full",
            Self::Overloaded => "overloaded",
            Self::Paused => "paused",
            Self::VenueUnavailable => "venue_unavailable",
            Self::RpcUnavailable => "rpc_unavailable",
            Self::StoreUnavailable => "store_unavailable",
            Self::Internal => "internal",
        }
    }

    /// Whether something outside is down or stopped: a reason to wait, not a try that failed.
    pub const fn is_outage(self) -> bool {
        matches!(self, Self::RpcUnavailable | Self::StoreUnavailable | Self::Paused)
    }

    /// The HTTP status of an answer that carries this code.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidRequest
            | Self::UnknownToken
            | Self::InvalidAmount
            | Self::InvalidSlippage
            | Self::MalformedBody => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict | Self::IdempotencyConflict => 409,
            Self::BodyTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::NoRoute
            | Self::InsufficientLiquidity
            | Self::InsufficientFunds
            | Self::SlippageExceeded
            | Self::CapExceeded
            | Self::Expired
            | Self::TransactionFailed
            | Self::ChainReset => 422,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::QueueFull
            | Self::Overloaded
            | Self::Paused
            | Self::VenueUnavailable
            | Self::RpcUnavailable
            | Self::StoreUnavailable => 503,
        }
    }
}

/// Why an order ended without a swap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// Stable code.
    pub code: ErrorCode,
    /// A sentence a person understands, with what to change where something can be changed.
    pub reason: String,
}

impl Failure {
    /// A failure with its sentence.
    pub fn new(code: ErrorCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_is_the_serialized_form() {
        for code in [ErrorCode::InvalidRequest, ErrorCode::SlippageExceeded, ErrorCode::ChainReset] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}

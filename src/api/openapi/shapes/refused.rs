//! Refusals, in our own shape and in the older engines'.

use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::{ErrorCode, QuoteOutcome};

/// A refusal.
#[derive(ToSchema)]
pub struct Refused {
    error: RefusedBecause,
}

/// Why, in a form for programs and in one for people.
#[derive(ToSchema)]
pub struct RefusedBecause {
    code: ErrorCode,
    /// A sentence that says what to change. Not stable.
    message: String,
    /// As in the header `X-Request-Id`.
    request_id: String,
    /// Every venue's answer, where no route was found.
    quotes: Option<Vec<QuoteOutcome>>,
}

/// A refusal in the older engines' words: a sentence or, to a typed body, a list of issues.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusedOlder {
    /// A sentence, or a list of issues.
    error: Value,
    /// As in `/v1`, or their web framework's for what that refused by itself.
    code: String,
    #[serde(rename = "request_id")]
    request_id: String,
    /// Their web framework's sentence.
    message: Option<String>,
    /// The answer's status, where their web framework repeated it.
    status_code: Option<u16>,
}

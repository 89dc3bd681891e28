//! How an order ended.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

use super::orders::Outcome;
use crate::{
    api::views::{Amount, OrderFields},
    domain::{BaseUnits, Bps, Lamports, QuoteOutcome, Slot, VenueId},
};

/// How an order ended, and why.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    #[serde(flatten)]
    order: OrderFields<'static>,
    /// The router's last decision, as it was made; null when there was none.
    #[schema(required)]
    route: Option<RouteInReceipt>,
    /// How much worse the fill was than its quote, in basis points, rounded up; negative when it was better.
    #[schema(required)]
    realised_slippage_bps: Option<i64>,
    /// Every signature with the chain's answers.
    signatures: Vec<SignatureInReceipt>,
    timings: Timings,
    #[schema(required, format = DateTime)]
    ended_at: Option<String>,
}

/// The router's decision.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteInReceipt {
    reason: String,
    venue: VenueId,
    pool: String,
    context_slot: Slot,
    amount_in: Amount,
    amount_out: Amount,
    price_impact_bps: Bps,
    quotes: Vec<QuoteOutcome>,
}

/// One signature: what bounded it, and what the chain said.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignatureInReceipt {
    n: u8,
    signature: String,
    explorer_url: String,
    wallet: String,
    blockhash: String,
    last_valid_block_height: u64,
    context_slot: Slot,
    limit: BaseUnits,
    compute_units: u32,
    priority_fee: Lamports,
    #[schema(format = DateTime)]
    signed_at: String,
    #[schema(required)]
    outcome: Option<Outcome>,
    /// What was heard of it, in order: that it was sent, landed or expired, each with its proof.
    answers: Vec<Value>,
}

/// Where the time went.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timings {
    /// Milliseconds in each status.
    stages_ms: BTreeMap<String, i64>,
    /// Milliseconds from the first event to the one that ended the order.
    #[schema(required)]
    total_ms: Option<i64>,
}

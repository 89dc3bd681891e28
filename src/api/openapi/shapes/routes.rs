//! Quotes, routes, dry runs, and what may be traded.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    api::views::{Amount, Mode},
    domain::{Bps, Refusal, Slot, Token, VenueId},
};

/// What an order would do now: the route as a quote shows it, and what a simulation of its transaction said.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    #[serde(flatten)]
    route: RouteView,
    /// Always true.
    dry_run: bool,
    /// The wallet that would pay; null where a mock would fill.
    #[schema(required)]
    wallet: Option<String>,
    /// What it would need and has.
    #[schema(required)]
    funds: Option<BTreeMap<String, Value>>,
    /// What the transaction would cost.
    #[schema(required)]
    fees: Option<BTreeMap<String, Amount>>,
    /// Whether it went through, what it used and what it moved.
    #[schema(required)]
    simulation: Option<BTreeMap<String, Value>>,
}

/// What one pool would do with a swap.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuoteView {
    venue: VenueId,
    pool: String,
    /// Whether a transaction for it can be built. A mock's never can.
    executable: bool,
    amount_in: Amount,
    amount_out: Amount,
    /// Output per input in whole tokens.
    #[schema(required)]
    price: Option<String>,
    trade_fee: Amount,
    creator_fee: Amount,
    creator_fee_on_input: bool,
    transfer_fee_in: Amount,
    transfer_fee_out: Amount,
    price_impact_bps: Bps,
    context_slot: Slot,
}

/// One venue's answer.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VenueAnswer {
    venue: VenueId,
    latency_ms: u64,
    #[schema(required)]
    quote: Option<QuoteView>,
    #[schema(required)]
    refusal: Option<Refusal>,
}

/// The route an order would take now: the chosen quote and every venue's answer.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteView {
    #[serde(flatten)]
    chosen: QuoteView,
    token_in: String,
    token_out: String,
    mode: Mode,
    slippage_bps: Bps,
    #[schema(required)]
    min_out: Option<Amount>,
    #[schema(required)]
    max_in: Option<Amount>,
    /// Why it was chosen.
    reason: String,
    quotes: Vec<VenueAnswer>,
}

/// The tokens an order may name.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    tokens: Vec<Token>,
}

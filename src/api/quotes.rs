//! Quotes over REST: what a swap would give now, from every venue.
//!
//! Owns the words of `/v1/quote`. Never stores or reserves anything.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{
    ApiError, ApiState,
    body::{Decimal, Params},
    orders::OrderWords,
};
use crate::domain::{Dialect, Pair, QuoteRequest, validate};

/// What is asked: the fields of an order that have to do with its price.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuoteParams {
    #[serde(default)]
    token_in: String,
    #[serde(default)]
    token_out: String,
    #[serde(alias = "amount")]
    amount_in: Option<String>,
    amount_in_base: Option<String>,
    amount_out: Option<String>,
    amount_out_base: Option<String>,
    slippage_bps: Option<String>,
}

/// `GET /v1/quote`: the route an order would take now, and what every venue said.
pub async fn quote(State(state): State<ApiState>, Params(params): Params<QuoteParams>) -> Result<Response, ApiError> {
    let words = OrderWords {
        token_in: params.token_in,
        token_out: params.token_out,
        amount_in: params.amount_in.map(Decimal),
        amount_in_base: params.amount_in_base.map(Decimal),
        amount_out: params.amount_out.map(Decimal),
        amount_out_base: params.amount_out_base.map(Decimal),
        slippage_bps: params.slippage_bps.map(Decimal),
        ..OrderWords::default()
    };
    let asked = validate(&words.request()?, Dialect::V1, state.intake().rules())?;
    let pair = Pair { mint_in: asked.token_in.mint, mint_out: asked.token_out.mint };
    let route = state.quoting().route(&QuoteRequest { pair, swap: asked.swap }).await?;
    Ok(Json(state.views().route(&asked, &route)).into_response())
}

//! Quotes over REST: what a swap would give now, from every venue.
//!
//! Owns the words of `/v1/quote`. Never stores or reserves anything.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    ApiError, ApiState,
    body::{Decimal, Params},
    openapi::{
        refusals::Quoting,
        shapes::RouteView,
        tag,
        words::{BaseAmount, SlippageBps, TokenName, UiAmount},
    },
    orders::OrderWords,
};
use crate::domain::{Dialect, Pair, QuoteRequest, validate};

/// What is asked: the fields of an order that have to do with its price.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct QuoteParams {
    /// What would be paid.
    #[serde(default)]
    #[param(value_type = TokenName, required, example = "SOL")]
    token_in: String,
    /// What would be received.
    #[serde(default)]
    #[param(value_type = TokenName, required, example = "USDC")]
    token_out: String,
    /// Pay exactly this many tokens; `amount` is another name for it. Of the four amounts exactly one is given.
    #[serde(alias = "amount")]
    #[param(value_type = UiAmount, required = false, example = "1.5")]
    amount_in: Option<String>,
    /// Pay exactly this many base units.
    #[param(value_type = BaseAmount, required = false)]
    amount_in_base: Option<String>,
    /// Receive exactly this many tokens.
    #[param(value_type = UiAmount, required = false)]
    amount_out: Option<String>,
    /// Receive exactly this many base units.
    #[param(value_type = BaseAmount, required = false)]
    amount_out_base: Option<String>,
    /// How far a fill could be from the quote; decides `minOut` or `maxIn`.
    #[param(value_type = SlippageBps, required = false)]
    slippage_bps: Option<String>,
}

/// `GET /v1/quote`: the route an order would take now, and what every venue said.
#[utoipa::path(
    get, path = "/v1/quote", operation_id = "quote", tag = tag::MARKET, params(QuoteParams),
    responses((status = 200, description = "The route", body = RouteView), Quoting)
)]
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

//! Tokens over REST: what may be traded here, and how many decimals an amount has.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{
    ApiState,
    openapi::{shapes::Tokens, tag},
};

/// `GET /v1/tokens`: every token an order may name.
#[utoipa::path(
    get, path = "/v1/tokens", operation_id = "listTokens", tag = tag::MARKET,
    responses((status = 200, description = "The tokens", body = Tokens))
)]
pub async fn tokens(State(state): State<ApiState>) -> Json<Value> {
    Json(json!({ "tokens": state.intake().rules().tokens }))
}

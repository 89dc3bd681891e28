//! Tokens over REST: what may be traded here, and how many decimals an amount has.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::ApiState;

/// `GET /v1/tokens`: every token an order may name.
pub async fn tokens(State(state): State<ApiState>) -> Json<Value> {
    Json(json!({ "tokens": state.intake().rules().tokens }))
}

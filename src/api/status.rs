//! Status over REST: what this daemon is, and where a reader of its events may begin.
//!
//! Owns the words of `/v1/status`. Whether it can do its work is `/ready`'s to say.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{
    ApiError, ApiState,
    openapi::{refusals, shapes::DaemonStatus, tag},
};

/// `GET /v1/status`. What is listed after `cursor` was read, and then followed with `since=cursor`, has no gap.
#[utoipa::path(
    get, path = "/v1/status", operation_id = "showStatus", tag = tag::SERVICE,
    responses((status = 200, description = "What this daemon is", body = DaemonStatus), refusals::Reporting)
)]
pub async fn status(State(state): State<ApiState>) -> Result<Json<Value>, ApiError> {
    let cursor = state.store().cursor().await?;
    let open_orders = state.store().open_count().await?;
    let rules = state.intake().rules();
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "cluster": state.options().cluster,
        "slot": state.probes().slot().await,
        "cursor": cursor,
        "openOrders": open_orders,
        "defaultSlippageBps": rules.default_slippage,
        "maxSlippageBps": rules.max_slippage,
    })))
}

//! Control over HTTP: stops trading, lets it go on, says what holds.
//!
//! Owns the words of `/v1/control`. What a pause does is the engine's.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    ApiError, ApiState,
    body::JsonBytes,
    openapi::{
        refusals::{Controlling, Reporting},
        shapes::ControlView,
        tag,
    },
};
use crate::engine::control::{Cause, Pause};

/// What may be said about a pause.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PauseWords {
    /// Why; shown by `/ready` and here.
    reason: Option<String>,
}

/// `GET /v1/control`: whether trading is paused, and everything that holds it.
#[utoipa::path(
    get, path = "/v1/control", operation_id = "showControl", tag = tag::SERVICE,
    responses((status = 200, description = "The kill switch", body = ControlView))
)]
pub async fn show(State(state): State<ApiState>) -> Response {
    view(&state)
}

/// `POST /v1/control/pause`: once answered, no process signs anything new.
#[utoipa::path(
    post, path = "/v1/control/pause", operation_id = "pauseTrading", tag = tag::SERVICE,
    request_body(content = Option<PauseWords>, example = json!({"reason": "a look at the market"})),
    responses((status = 200, description = "The kill switch", body = ControlView), Controlling)
)]
pub async fn pause(State(state): State<ApiState>, body: JsonBytes) -> Result<Response, ApiError> {
    let words = if body.0.is_empty() { PauseWords::default() } else { body.parse()? };
    state.control().pause(&Pause::now(Cause::Api, words.reason.as_deref())).await?;
    Ok(view(&state))
}

/// `POST /v1/control/resume`: ends the pause of command and API. A pause file holds on until it is removed.
#[utoipa::path(
    post, path = "/v1/control/resume", operation_id = "resumeTrading", tag = tag::SERVICE,
    responses((status = 200, description = "The kill switch", body = ControlView), Reporting)
)]
pub async fn resume(State(state): State<ApiState>) -> Result<Response, ApiError> {
    state.control().resume().await?;
    Ok(view(&state))
}

fn view(state: &ApiState) -> Response {
    let causes = state.control().pauses();
    Json(json!({ "paused": !causes.is_empty(), "causes": causes })).into_response()
}

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

use super::{ApiError, ApiState, body::JsonBytes};
use crate::engine::control::{Cause, Pause};

/// What may be said about a pause.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PauseWords {
    reason: Option<String>,
}

/// `GET /v1/control`: whether trading is paused, and everything that holds it.
pub async fn show(State(state): State<ApiState>) -> Response {
    view(&state)
}

/// `POST /v1/control/pause`: once answered, no process signs anything new.
pub async fn pause(State(state): State<ApiState>, body: JsonBytes) -> Result<Response, ApiError> {
    let words = if body.0.is_empty() { PauseWords::default() } else { body.parse()? };
    state.control().pause(&Pause::now(Cause::Api, words.reason.as_deref())).await?;
    Ok(view(&state))
}

/// `POST /v1/control/resume`: ends the pause of command and API. A pause file holds on until it is removed.
pub async fn resume(State(state): State<ApiState>) -> Result<Response, ApiError> {
    state.control().resume().await?;
    Ok(view(&state))
}

fn view(state: &ApiState) -> Response {
    let causes = state.control().pauses();
    Json(json!({ "paused": !causes.is_empty(), "causes": causes })).into_response()
}

//! Dead letters over REST: which orders wait for a person, and how they are taken up again.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::{
    ApiError, ApiState,
    body::{IdInPath, Params},
    openapi::{
        OrderIdInPath,
        refusals::{Listing, Replaying},
        shapes::{DeadLettersPage, Replayed},
        tag,
    },
    paging::{PageSize, before},
    views::{self, timestamp},
};
use crate::{engine::ReplayError, store::DeadLetter};

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// At most this many.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    #[param(format = "uuid")]
    cursor: Option<String>,
}

/// `GET /v1/dead-letters`: newest first, with the `cursor` of the next page if there is one.
#[utoipa::path(
    get, path = "/v1/dead-letters", operation_id = "listDeadLetters", tag = tag::SERVICE, params(PageParams),
    responses((status = 200, description = "A page of orders that wait for a person", body = DeadLettersPage), Listing)
)]
pub async fn list(State(state): State<ApiState>, Params(params): Params<PageParams>) -> Result<Response, ApiError> {
    let size = PageSize::new(params.limit)?;
    let before = before(params.cursor.as_deref())?;
    let letters = state.store().dead_letters(before, size.and_one()).await?;
    let (letters, next_cursor) = size.cut(letters, |letter| letter.order_id);
    let letters: Vec<_> = letters.iter().map(view).collect();
    Ok(Json(json!({ "deadLetters": letters, "nextCursor": next_cursor })).into_response())
}

/// `POST /v1/dead-letters/{id}/replay`: the order goes on from where it stands.
#[utoipa::path(
    post, path = "/v1/dead-letters/{id}/replay", operation_id = "replayDeadLetter", tag = tag::SERVICE,
    params(OrderIdInPath), responses((status = 200, description = "It goes on", body = Replayed), Replaying)
)]
pub async fn replay(State(state): State<ApiState>, IdInPath(id): IdInPath) -> Result<Response, ApiError> {
    state.intake().replay(id).await?;
    Ok(Json(json!({ "id": id, "replayed": true })).into_response())
}

fn view(letter: &DeadLetter) -> Value {
    json!({
        "id": letter.order_id,
        "status": letter.status,
        "tokenIn": letter.token_in,
        "tokenOut": letter.token_out,
        "txHash": letter.signature,
        "setAside": views::SetAsideView::of(&letter.aside),
        "createdAt": timestamp(letter.created_at),
    })
}

impl From<ReplayError> for ApiError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::NotFound(_) => Self::no_order(),
            error => Self::new(error.code(), error.to_string()).because(error),
        }
    }
}

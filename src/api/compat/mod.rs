//! Compat: the paths and words of the older engines, so that their clients work unchanged.
//!
//! A thin translation over the same intake, feed and store. Which engine's words are spoken is decided by the body of
//! the POST, stored with the order as its `Dialect`, and kept for every later reply and frame. Two dialects are
//! spoken so far; another one is one more file, one more `Dialect` and one more arm in each `match` here and in `live`.

mod fields;
mod live;
mod s0;
mod s3;
mod story;

use axum::{
    Json, Router,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use self::{fields::Fields, story::Story};
use super::{
    ApiError, ApiState, Caller,
    body::{IdInPath, JsonBytes, idempotency_key},
    orders::find,
};
use crate::domain::{Dialect, ErrorCode, OrderId};

/// The older engines' paths, except `GET /`, which needs no key.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/api/orders/execute", get(live::execute).post(execute))
        .route("/api/orders/{id}", get(show))
        .route("/api/orders/{id}/status", get(status))
        .route("/{id}/status", get(status))
        .route("/ws", get(live::ws))
}

/// `GET /`, which one engine's clients use as a health check.
pub async fn greeting() -> Response {
    Json(json!({ "message": "Order Execution Engine is running" })).into_response()
}

/// What kind of body was posted: the first match wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// S4's, which has `pair`.
    Pair,
    /// S1's, which has `amountIn`.
    AmountIn,
    /// S3's, which has `type` or `slippageBps`.
    Typed,
    /// S0's, which has `tokenIn`, `tokenOut` or `amount`.
    Plain,
    /// Nobody's.
    Unknown,
}

impl Body {
    fn of(fields: &Fields) -> Self {
        let has = |names: &[&str]| names.iter().any(|name| fields.value(name).is_some());
        if has(&["pair"]) {
            Self::Pair
        } else if has(&["amountIn"]) {
            Self::AmountIn
        } else if has(&["type", "slippageBps"]) {
            Self::Typed
        } else if has(&["tokenIn", "tokenOut", "amount"]) {
            Self::Plain
        } else {
            Self::Unknown
        }
    }
}

/// `POST /api/orders/execute`.
async fn execute(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    body: JsonBytes,
) -> Result<Response, ApiError> {
    let fields = Fields::read(&body.0).map_err(|message| unreadable(ErrorCode::MalformedBody, &message))?;
    let key = idempotency_key(&headers)?;
    let scoped =
        |dialect: Dialect| key.as_ref().map(|key| format!("{}:{key}", caller.idempotency_scope(dialect.as_str())));
    match Body::of(&fields) {
        Body::Plain => {
            let request = s0::request(&fields, state.intake().rules())?;
            let key = scoped(Dialect::S0);
            let accepted = state.intake().submit(&request, Dialect::S0, key.as_deref()).await.map_err(s0::refused)?;
            Ok(s0::accepted(&accepted))
        }
        Body::Typed => {
            let request = s3::request(&fields)?;
            let key = scoped(Dialect::S3);
            let accepted = state.intake().submit(&request, Dialect::S3, key.as_deref()).await.map_err(s3::refused)?;
            Ok(s3::accepted(&accepted))
        }
        Body::Pair | Body::AmountIn => Err(unreadable(
            ErrorCode::InvalidRequest,
            "this kind of order is not supported here yet: post tokenIn, tokenOut and amount",
        )),
        Body::Unknown => {
            Err(unreadable(ErrorCode::InvalidRequest, "this is no order: post tokenIn, tokenOut and amount"))
        }
    }
}

/// A refusal for clients of every dialect: a sentence, and a list of issues.
fn unreadable(code: ErrorCode, message: &str) -> ApiError {
    let issue = json!({ "code": "custom", "path": Value::Array(Vec::new()), "message": message });
    ApiError::new(code, message).compat(json!({ "issues": [issue] }))
}

/// `GET /{id}/status` and `GET /api/orders/{id}/status`.
async fn status(State(state): State<ApiState>, IdInPath(id): IdInPath) -> Result<Response, ApiError> {
    let (mut story, history) = load(&state, id).await?;
    story.tell(&history);
    Ok(Json(s0::row(&story)).into_response())
}

/// `GET /api/orders/{id}`: one answer that the clients of every dialect can read.
async fn show(State(state): State<ApiState>, IdInPath(id): IdInPath) -> Result<Response, ApiError> {
    let (mut story, history) = load(&state, id).await?;
    let history = s3::history(&mut story, &history);
    let mut view = s0::row(&story);
    view["orderId"] = json!(id);
    view["order"] = s3::order(&story);
    view["history"] = json!(history);
    Ok(Json(view).into_response())
}

async fn load(state: &ApiState, id: OrderId) -> Result<(Story, Vec<crate::domain::StoredEvent>), ApiError> {
    let order = find(state, id).await?;
    let history = state.store().history(id, 0).await?;
    Ok((Story::new(order), history))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_decides_the_dialect_and_the_first_match_wins() {
        for (body, expected) in [
            (r#"{"pair":"SOL-USDC","amount":10.5,"side":"buy"}"#, Body::Pair),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":1,"slippage":0.5}"#, Body::AmountIn),
            (r#"{"type":"market","tokenIn":"SOL","tokenOut":"USDC","amount":1}"#, Body::Typed),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":1,"slippageBps":5}"#, Body::Typed),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":14}"#, Body::Plain),
            (r#"{"amount":14}"#, Body::Plain),
            (r#"{"foo":"bar"}"#, Body::Unknown),
        ] {
            assert_eq!(Body::of(&Fields::read(body.as_bytes()).unwrap()), expected, "{body}");
        }
    }
}

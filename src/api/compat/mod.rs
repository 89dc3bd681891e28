//! Compat: the paths and words of the older engines, so that their clients work unchanged.
//!
//! A thin translation over the same intake, feed and store. Which engine's words are spoken is decided by the body of
//! the POST, stored with the order as its `Dialect`, and kept for every later reply and frame.
//!
//! ```text
//! words     what a dialect has to say; which one a body is written in
//! plain, percent, capitals, typed, pair     the dialects
//! fields    a posted object as JavaScript judged it
//! story     an order's events as the five moments those clients know
//! live      sockets that tell an order        taking    the socket that takes orders
//! ```

mod capitals;
mod fields;
mod live;
mod pair;
mod percent;
mod plain;
mod story;
mod taking;
mod typed;
mod words;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use self::{capitals::Capitals, fields::Fields, story::Story, words::Words};
use super::{
    ApiError, ApiState, Caller,
    body::{IdInPath, JsonBytes, idempotency_key},
    orders::find,
};
use crate::{
    domain::{ErrorCode, OrderId, OrderRefused, StoredEvent},
    engine::Accepted,
    store::Scope,
};

/// The older engines' paths, except `GET /`, which needs no key.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/api/orders/execute", get(live::execute).post(execute))
        .route("/api/orders", post(order))
        .route("/api/orders/{id}", get(show))
        .route("/api/orders/{id}/status", get(status))
        .route("/{id}/status", get(status))
        .route("/ws", get(live::ws))
        .route("/ws/orders/{id}", get(live::ws_order))
        .route("/ws/ping", get(live::ws_ping))
}

/// `GET /`, which one engine's clients use as a health check.
pub async fn greeting() -> Response {
    Json(json!({ "message": "Order Execution Engine is running" })).into_response()
}

/// `POST /api/orders/execute`: in the dialect that the body is written in.
async fn execute(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    body: JsonBytes,
) -> Result<Response, ApiError> {
    let fields = read(&body)?;
    match words::of_body(&fields) {
        Some(words) => answer(&state, &caller, words, &headers, &fields).await,
        None => Err(unreadable(ErrorCode::InvalidRequest, "this is no order: post tokenIn, tokenOut and amount")),
    }
}

/// `POST /api/orders`, where only one dialect is spoken.
async fn order(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    body: JsonBytes,
) -> Result<Response, ApiError> {
    answer(&state, &caller, &Capitals, &headers, &read(&body)?).await
}

fn read(body: &JsonBytes) -> Result<Fields, ApiError> {
    let (message, code) = match body.0.as_slice() {
        [] => ("Body cannot be empty when content-type is set to 'application/json'", "FST_ERR_CTP_EMPTY_JSON_BODY"),
        bytes => match Fields::read(bytes) {
            Ok(fields) => return Ok(fields),
            Err(_) => (
                "Body is not valid JSON but content-type is set to 'application/json'",
                "FST_ERR_CTP_INVALID_JSON_BODY",
            ),
        },
    };
    Err(unreadable(ErrorCode::MalformedBody, message).framework(code))
}

/// A refusal for clients of every dialect: a sentence, and a list of issues.
fn unreadable(code: ErrorCode, message: &str) -> ApiError {
    let issue = json!({ "code": "custom", "path": Value::Array(Vec::new()), "message": message });
    ApiError::new(code, message).compat(json!({ "issues": [issue] }))
}

async fn answer(
    state: &ApiState,
    caller: &Caller,
    words: &'static dyn Words,
    headers: &HeaderMap,
    fields: &Fields,
) -> Result<Response, ApiError> {
    let key = idempotency_key(headers)?;
    let accepted = submit(state, caller, words, fields, key.as_deref()).await?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    Ok(words.accepted(&accepted, host))
}

/// Hands an order to the intake.
async fn submit(
    state: &ApiState,
    caller: &Caller,
    words: &dyn Words,
    fields: &Fields,
    key: Option<&str>,
) -> Result<Accepted, ApiError> {
    // A socket is opened by a GET, for which the door only asks whether the caller may read.
    caller.may(Scope::Trade)?;
    let mut request = words.request(fields, state.intake().rules(), state.options())?;
    request.expires_in_ms = expiry(fields).map_err(|refused| words.refused(refused.into()))?;
    let key = key.map(|key| format!("{}:{key}", caller.idempotency_scope(words.dialect().as_str())));
    let accepted = state.intake().submit(&request, words.dialect(), key.as_deref()).await;
    accepted.map_err(|error| words.refused(error))
}

/// The one field that none of those engines knew and a body of any dialect may have: who asks for a deadline must not
/// trade without one.
fn expiry(fields: &Fields) -> Result<Option<i64>, OrderRefused> {
    if fields.is_absent("expiresInMs") {
        return Ok(None);
    }
    let millis = fields.number("expiresInMs").and_then(|digits| digits.parse().ok());
    let refused =
        || OrderRefused::of("expiresInMs", ErrorCode::InvalidRequest, "must be a whole number of milliseconds");
    millis.map(Some).ok_or_else(refused)
}

/// `GET /{id}/status` and `GET /api/orders/{id}/status`.
async fn status(State(state): State<ApiState>, IdInPath(id): IdInPath) -> Result<Response, ApiError> {
    let (mut story, history) = load(&state, id).await?;
    story.tell(&history);
    Ok(Json(plain::row(&story)).into_response())
}

/// `GET /api/orders/{id}`: one answer that the clients of every dialect can read.
async fn show(State(state): State<ApiState>, IdInPath(id): IdInPath) -> Result<Response, ApiError> {
    let (mut story, history) = load(&state, id).await?;
    let history = typed::history(&mut story, &history);
    let mut view = percent::row(&story);
    if let (Value::Object(view), Value::Object(row)) = (&mut view, plain::row(&story)) {
        view.extend(row);
    }
    view["order"] = typed::order(&story);
    view["history"] = json!(history);
    Ok(Json(view).into_response())
}

async fn load(state: &ApiState, id: OrderId) -> Result<(Story, Vec<StoredEvent>), ApiError> {
    let order = find(state, id).await?;
    let history = state.store().history(id, 0).await?;
    Ok((Story::new(order), history))
}

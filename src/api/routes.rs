//! Routes: which path is answered by whom, and what is answered where there is nothing.
//!
//! Owns the table of paths. Never answers anything itself but the refusals of what does not exist.

use axum::{
    Router,
    http::{Method, Uri},
    middleware::{from_fn_with_state, map_response},
    routing::{get, post},
};
use serde_json::json;

use super::{
    ApiError, ApiState, auth, compat, dashboard, health, orders, quotes, receipt, request, status, stream, tokens,
    wallets,
};
use crate::domain::ErrorCode;

/// Everything under one roof.
pub fn router(state: ApiState) -> Router {
    let keyed = Router::new()
        .route("/v1/orders", get(orders::list).post(orders::submit))
        .route("/v1/orders/{id}", get(orders::show))
        .route("/v1/orders/{id}/cancel", post(orders::cancel))
        .route("/v1/orders/{id}/receipt", get(receipt::receipt))
        .route("/v1/quote", get(quotes::quote))
        .route("/v1/tokens", get(tokens::tokens))
        .route("/v1/wallets", get(wallets::wallets))
        .route("/v1/status", get(status::status))
        .route("/v1/stream", get(stream::stream))
        .merge(compat::routes())
        .merge(state.metrics().clone().router())
        .route_layer(from_fn_with_state(state.clone(), auth::guard));
    Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/", get(dashboard::page_or_greeting))
        .route("/dashboard/{file}", get(dashboard::asset))
        .merge(keyed)
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(map_response(no_sniffing))
        .layer(from_fn_with_state(state.clone(), request::envelope))
        .with_state(state)
}

async fn no_route(method: Method, uri: Uri) -> ApiError {
    let path = uri.path();
    ApiError::new(ErrorCode::NotFound, "there is nothing at this path").compat(json!({
        "message": format!("Route {method}:{path} not found"), "error": "Not Found", "statusCode": 404,
    }))
}

async fn no_method(method: Method) -> ApiError {
    ApiError::new(ErrorCode::MethodNotAllowed, format!("this path does not take {method}"))
}

async fn no_sniffing(mut response: axum::response::Response) -> axum::response::Response {
    use axum::http::{HeaderValue, header};
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

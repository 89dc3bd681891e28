//! Routes: which path is answered by whom, and what is answered where there is nothing.
//!
//! Owns the table of paths. Never answers anything itself but the refusals of what does not exist.

use axum::{
    Router,
    http::{Method, Uri},
    middleware::from_fn_with_state,
    routing::get,
};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiError, ApiState, compat, control, dashboard, dead_letters,
    error::Shape,
    health, openapi, orders, quotes, receipt,
    request::{self, Door},
    sse, status, stream, tokens, wallets, webhooks,
};
use crate::domain::ErrorCode;

/// The paths that need no key. Each is routed and described by its handler's own description.
pub fn open() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
        .routes(routes!(openapi::openapi))
        .routes(routes!(openapi::postman))
}

/// The paths that need a key, in the same way.
pub fn keyed() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(orders::list, orders::submit))
        .routes(routes!(orders::show))
        .routes(routes!(orders::cancel))
        .routes(routes!(receipt::receipt))
        .routes(routes!(quotes::quote))
        .routes(routes!(tokens::tokens))
        .routes(routes!(wallets::wallets))
        .routes(routes!(status::status))
        .routes(routes!(stream::stream))
        .routes(routes!(sse::events))
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::show, webhooks::change, webhooks::delete))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(webhooks::redeliver))
        .routes(routes!(webhooks::test))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::replay))
        .routes(routes!(control::show))
        .routes(routes!(control::pause))
        .routes(routes!(control::resume))
}

/// All that needs no key: the older engines' greeting is described in `openapi`, the pages for people are not.
fn all_open() -> Router<ApiState> {
    Router::from(open())
        .merge(openapi::ui::routes())
        .route("/", get(dashboard::page_or_greeting))
        .route("/dashboard/{file}", get(dashboard::asset))
}

/// All that needs a key.
fn all_keyed() -> Router<ApiState> {
    Router::from(keyed()).merge(compat::routes())
}

/// Everything under one roof.
pub fn router(state: ApiState) -> Router {
    let behind = |door: Door, routes: Router<ApiState>| {
        let envelope = from_fn_with_state((door, state.clone()), request::envelope);
        routes.method_not_allowed_fallback(no_method).layer(envelope)
    };
    let keyed = all_keyed().merge(state.metrics().clone().router());
    behind(Door::Open, all_open().fallback(no_route)).merge(behind(Door::Keyed, keyed)).with_state(state)
}

async fn no_route(method: Method, uri: Uri) -> ApiError {
    let path = uri.path();
    ApiError::new(ErrorCode::NotFound, "there is nothing at this path").compat(json!({
        "message": format!("Route {method}:{path} not found"), "error": "Not Found", "statusCode": 404,
    }))
}

/// To the older engines a path was only what it took.
async fn no_method(method: Method, uri: Uri) -> ApiError {
    match Shape::of(uri.path()) {
        Shape::V1 => ApiError::new(ErrorCode::MethodNotAllowed, format!("this path does not take {method}")),
        Shape::Compat => no_route(method, uri).await,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A router's paths but its fallback's, as it shows them for debugging: there is no other way to ask it.
    fn paths(router: &Router<ApiState>) -> BTreeSet<String> {
        let shown = format!("{router:?}");
        let quoted = shown.split('"').skip(1).step_by(2);
        quoted.filter(|text| text.starts_with('/') && !text.starts_with("/{*")).map(str::to_owned).collect()
    }

    #[test]
    fn every_path_is_described_and_every_described_path_is_routed() {
        let mut routed = paths(&all_open().merge(all_keyed()));
        for page in ["/docs", "/docs/", "/docs/{file}", "/dashboard/{file}"] {
            assert!(routed.remove(page), "the pages for people: {routed:?}");
        }
        routed.insert("/metrics".to_owned()); // has a router of its own, for a listener of its own
        let described: BTreeSet<_> = openapi::document().paths.paths.into_keys().collect();
        assert_eq!(routed, described);
    }
}

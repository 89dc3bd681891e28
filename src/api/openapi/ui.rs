//! UI: the API's description as pages for people, at `/docs/`.
//!
//! Everything they load is part of this binary, and they are told to load nothing else. Not part of the description.

use std::sync::{Arc, LazyLock};

use axum::{
    Router,
    extract::Path,
    http::header,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use utoipa_swagger_ui::Config;

use crate::{
    api::{ApiError, ApiState},
    domain::ErrorCode,
};

/// What the pages may do: run our scripts and talk to us. The library sets styles from its scripts and has its icons
/// in its style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// No bar to load other documents with, and no badge of a validator on another host.
static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    Arc::new(Config::from("/openapi.json").use_base_layout().validator_url("none").try_it_out_enabled(true))
});

/// The pages.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/docs/", get(async || file("index.html")))
        .route("/docs/{file}", get(async |Path(name): Path<String>| file(&name)))
}

fn file(name: &str) -> Response {
    match utoipa_swagger_ui::serve(name, CONFIG.clone()) {
        Ok(Some(file)) => {
            let headers =
                [(header::CONTENT_TYPE, file.content_type.as_str()), (header::CONTENT_SECURITY_POLICY, POLICY)];
            (headers, file.bytes.into_owned()).into_response()
        }
        Ok(None) => ApiError::new(ErrorCode::NotFound, "there is no such page").into_response(),
        Err(error) => {
            tracing::error!(%error, "a page of the documentation cannot be written");
            ApiError::new(ErrorCode::Internal, "the page cannot be written").into_response()
        }
    }
}

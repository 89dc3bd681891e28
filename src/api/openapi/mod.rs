//! OpenAPI: the API's description, generated from the handlers it describes.
//!
//! A path of `/v1` is described beside its handler and routed by the same line of `routes`, so neither can exist
//! without the other; the older engines' paths, whose bodies have no types of their own, are described in `older`.
//! Owns what all operations share: keys, headers, refusals. Never answers for an order.
//!
//! To describe another path: `#[utoipa::path]` on its handler, its refusals in `refusals`, its answer in `shapes`.

mod older;
mod postman;
pub(super) mod refusals;
pub(super) mod shapes;
pub(super) mod ui;
pub(super) mod words;

use axum::{Json, extract::State, response::IntoResponse};
use serde_json::{Value, json};
use utoipa::{
    IntoParams, OpenApi as _,
    openapi::{
        Header, HeaderBuilder, OpenApi, RefOr, Schema,
        path::{Operation, PathItem},
        schema::{ObjectBuilder, Type},
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

use super::{ApiState, metrics, routes};
use crate::domain::ErrorCode;

/// The operations' groups.
pub mod tag {
    /// Orders.
    pub const ORDERS: &str = "orders";
    /// Prices and tokens.
    pub const MARKET: &str = "market";
    /// Events as they happen.
    pub const STREAMS: &str = "streams";
    /// Events that are posted.
    pub const WEBHOOKS: &str = "webhooks";
    /// Health and this document.
    pub const SERVICE: &str = "service";
    /// The older engines.
    pub const OLDER: &str = "older engines";
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "swapd",
        description = "Executes swap orders on Solana devnet: best price, signed once, landed once, every step streamed.\n\n\
            Amounts are answered as `{\"base\":\"1500000\",\"ui\":\"1.5\"}`: base units and whole tokens, both as strings. \
            Times are RFC 3339, prices decimal strings of output per input. A refusal is \
            `{\"error\":{\"code\",\"message\",\"request_id\"}}`; codes are stable, sentences are not."
    ),
    servers((url = "/", description = "The daemon that serves this document")),
    tags(
        (name = tag::ORDERS, description = "Submit, look at and cancel orders"),
        (name = tag::MARKET, description = "What may be traded, and at which price"),
        (name = tag::STREAMS, description = "Every event of every order, as it happens and from any place on"),
        (name = tag::WEBHOOKS, description = "The same events, posted to receivers of their own"),
        (name = tag::SERVICE, description = "Health, metrics, and the description of this API"),
        (name = tag::OLDER, description = "The paths and words of older order engines, on the same orders"),
    ),
    components(schemas(
        shapes::Refused, shapes::RefusedOlder, super::views::OrderView, shapes::Rehearsal, shapes::webhooks::WebhookMade,
        words::TokenName, words::WalletAddress, words::UiAmount, words::BaseAmount, words::SlippageBps, words::EventName,
    ))
)]
struct Frame;

/// The header that makes a POST safe to repeat.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `body::idempotency_key` reads")]
pub struct IdempotencyKey {
    /// Names the request: a second POST with the same key and content is answered with the first one's order, with
    /// other content it is refused. 1 to 255 visible ASCII characters.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, pattern = "^[!-~]+$", required = false)]
    idempotency_key: String,
}

/// The header a browser resumes a stream with.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `sse` reads")]
pub struct LastEventId {
    /// The id of the last event that was read; goes before `since`.
    #[param(rename = "Last-Event-ID", required = false, value_type = u64)]
    last_event_id: String,
}

/// An order's id in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes what `body::IdInPath` reads")]
pub struct OrderIdInPath {
    /// The order's id. Anything that is no id names no order: 404.
    #[param(format = "uuid", example = "00000000-0000-0000-0000-000000000000")]
    id: String,
}

/// The document.
pub fn document() -> OpenApi {
    let mut document = Frame::openapi();
    document.merge(routes::open().into_openapi());
    let mut keyed = routes::keyed().into_openapi();
    keyed.merge(older::Older::openapi());
    keyed.merge(metrics::Described::openapi());
    for operation in operations(&mut keyed) {
        needs_key(operation);
    }
    document.merge(keyed);
    document.merge(older::Open::openapi());
    for operation in operations(&mut document) {
        carries_id(operation);
    }
    let components = document.components.get_or_insert_default();
    for (name, scheme) in schemes() {
        components.security_schemes.insert(name.into(), scheme.into());
    }
    document
}

/// The document of one daemon: with the tokens it trades, and without the choice to send no key where it demands one.
fn tailored(state: &ApiState) -> Value {
    let mut api = document();
    if state.keys().are_demanded() {
        for schemes in operations(&mut api).filter_map(|operation| operation.security.as_mut()) {
            schemes.retain(|scheme| *scheme != SecurityRequirement::default());
        }
    }
    let mut api = json!(api);
    let names = state.intake().rules().tokens.iter().flat_map(|token| [token.symbol.clone(), token.mint.to_string()]);
    api["components"]["schemas"]["TokenName"]["enum"] = names.collect();
    api
}

/// `GET /openapi.json`: the description of this API, OpenAPI 3.1.
///
/// With the tokens that this daemon trades.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = tag::SERVICE,
    responses((status = 200, description = "The document", body = Object))
)]
pub async fn openapi(State(state): State<ApiState>) -> impl IntoResponse {
    Json(tailored(&state))
}

/// `GET /postman.json`: the same as a Postman collection, v2.1.
#[utoipa::path(
    get, path = "/postman.json", operation_id = "postman", tag = tag::SERVICE,
    responses((status = 200, description = "The collection", body = Object))
)]
pub async fn postman() -> impl IntoResponse {
    Json(collection())
}

/// The Postman collection.
pub fn collection() -> Value {
    postman::collection(&json!(document()))
}

fn operations(document: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    document
        .paths
        .paths
        .values_mut()
        .flat_map(|PathItem { get, post, patch, delete, .. }| [get, post, patch, delete].into_iter().flatten())
}

/// With a key, where the daemon has one, or without, where it has none.
fn needs_key(operation: &mut Operation) {
    let schemes = ["bearer", "apiKey"].map(|name| SecurityRequirement::new(name, [""; 0]));
    operation.security = Some(schemes.into_iter().chain([SecurityRequirement::default()]).collect());
    let responses = &mut operation.responses.responses;
    for code in [ErrorCode::Unauthorized, ErrorCode::Forbidden, ErrorCode::RateLimited, ErrorCode::Overloaded] {
        let status = code.http_status();
        responses.entry(status.to_string()).or_insert_with(|| refusals::refusal(status, &[code]).into());
    }
}

/// Every answer names its request.
fn carries_id(operation: &mut Operation) {
    let id = text_header("The request's id: the client's own if it sent a sane one. Name it when something went wrong");
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.headers.insert("X-Request-Id".into(), id.clone().into());
        }
    }
}

fn schemes() -> [(&'static str, SecurityScheme); 2] {
    [
        ("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer))),
        ("apiKey", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")))),
    ]
}

/// A header with a text.
pub(super) fn text_header(description: &str) -> Header {
    let text: Schema = ObjectBuilder::new().schema_type(Type::String).into();
    HeaderBuilder::new().schema(Some(text)).description(Some(description)).build()
}

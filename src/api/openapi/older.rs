//! Older: the older engines' paths, described.
//!
//! Their bodies are read and written as those engines did, field by field and without types of their own, so they are
//! described here and not beside the handlers. A test holds this list against the routes of `compat`.
#![expect(dead_code, reason = "described, never called or built")]

use serde_json::Value;
use utoipa::{
    IntoParams, IntoResponses, PartialSchema, ToSchema,
    openapi::{Ref, RefOr, Schema, schema::AnyOfBuilder},
};

use super::{
    IdempotencyKey, OrderIdInPath,
    shapes::RefusedOlder,
    tag,
    words::{OrderType, Percent, TokenName, UiAmount},
};

/// The paths that need a key.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(execute, execute_socket, submit, show, status, status_at_root, socket, socket_of_path, socket_of_ping),
    components(schemas(RefusedOlder, RefusedSocket, PairOrder, PercentOrder, TypedOrder, PlainOrder))
)]
pub struct Older;

/// The path that needs none.
#[derive(utoipa::OpenApi)]
#[openapi(paths(greeting))]
pub struct Open;

/// An order in the words of one of the older engines: which words, decides how it is answered and told.
/// A body may be one in several words, so this is no choice between them.
struct OlderOrder;

impl PartialSchema for OlderOrder {
    fn schema() -> RefOr<Schema> {
        let words = ["PairOrder", "PercentOrder", "TypedOrder", "PlainOrder"];
        let any = words.into_iter().fold(AnyOfBuilder::new(), |any, word| any.item(Ref::from_schema_name(word)));
        let description = "An order in the words of one of the older engines, which decide how it is told: the first \
            of these that it has a field of its own of.";
        Schema::AnyOf(any.description(Some(description)).build()).into()
    }
}

impl ToSchema for OlderOrder {}

/// `pair` and `side`; the amount counts the first token of the pair.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct PairOrder {
    #[schema(pattern = "^[^-]+-.+$", example = "SOL-USDC")]
    pair: String,
    /// Whole tokens: paid exactly by a sale, received exactly by a purchase.
    #[schema(exclusive_minimum = 0)]
    amount: f64,
    side: Side,
    /// As in `/v1`.
    #[schema(minimum = 1, maximum = 604_800_000)]
    expires_in_ms: Option<i64>,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum Side {
    Buy,
    Sell,
}

/// `amountIn`, with `slippage` in percent.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct PercentOrder {
    token_in: TokenName,
    token_out: TokenName,
    amount_in: UiAmount,
    /// 0.5 when left out.
    #[schema(required = false)]
    slippage: Percent,
    /// The only pool that may be traded in. Judged when the order is routed, not here.
    #[schema(required = false)]
    pool_id: Value,
    /// Whether the pool's first token is paid. Judged when the order is routed, not here.
    #[schema(required = false)]
    base_in: Value,
    /// As in `/v1`.
    #[schema(minimum = 1, maximum = 604_800_000)]
    expires_in_ms: Option<i64>,
}

/// The same as `tokenIn`, `tokenOut`, `amount`, with other names, at a path of its own.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct CapitalsOrder {
    input_token: TokenName,
    output_token: TokenName,
    /// Whole tokens to pay.
    amount: UiAmount,
    /// As in `/v1`.
    #[schema(minimum = 1, maximum = 604_800_000)]
    expires_in_ms: Option<i64>,
}

/// `tokenIn`, `tokenOut`, `amount`, and slippage fixed at one percent.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct PlainOrder {
    token_in: TokenName,
    token_out: TokenName,
    /// Whole tokens to pay.
    #[schema(exclusive_minimum = 0)]
    amount: f64,
    order_type: Option<OrderType>,
    /// As in `/v1`.
    #[schema(minimum = 1, maximum = 604_800_000)]
    expires_in_ms: Option<i64>,
}

/// The same with `type` or `slippageBps`.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct TypedOrder {
    r#type: Market,
    token_in: TokenName,
    token_out: TokenName,
    /// Whole tokens to pay.
    #[schema(exclusive_minimum = 0)]
    amount: f64,
    /// 100 when left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1_000)]
    slippage_bps: u16,
    /// As in `/v1`.
    #[schema(minimum = 1, maximum = 604_800_000)]
    expires_in_ms: Option<i64>,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum Market {
    Market,
}

/// The answer to an accepted order.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct OlderAccepted {
    #[schema(format = "uuid")]
    order_id: String,
    /// Not for typed and percent bodies.
    message: Option<String>,
    /// Only for percent bodies, as the next one.
    status: Option<String>,
    /// The socket that tells the order.
    ws_url: Option<String>,
}

/// An order for the clients of every older engine.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct OlderOrderInFull {
    #[serde(flatten)]
    row: OlderRow,
    #[schema(format = "uuid")]
    order_id: String,
    /// Whole tokens, as a decimal.
    #[schema(required)]
    amount_in: Option<String>,
    /// What was received, as a decimal.
    #[schema(required)]
    amount_out: Option<String>,
    /// In percent, as a decimal.
    slippage: String,
    #[schema(required)]
    selected_dex: Option<String>,
    #[schema(required)]
    error_message: Option<String>,
    #[schema(required)]
    raydium_quote: Option<OlderQuote>,
    #[schema(required)]
    meteora_quote: Option<OlderQuote>,
    /// The order in the words of typed clients.
    #[schema(value_type = Object)]
    order: Value,
    /// What happened to it, oldest first.
    #[schema(value_type = Vec<Object>)]
    history: Value,
}

/// One venue's quote.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct OlderQuote {
    dex: String,
    #[schema(required)]
    price: Option<f64>,
    amount_out: f64,
    /// A part of one of what is paid.
    #[schema(required)]
    fee: Option<f64>,
    /// A part of one.
    #[schema(required)]
    price_impact: Option<f64>,
}

/// An order's row.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct OlderRow {
    #[schema(format = "uuid")]
    id: String,
    order_type: Market,
    token_in: String,
    token_out: String,
    /// Whole tokens, as a decimal.
    #[schema(required)]
    amount: Option<String>,
    /// In lower case.
    status: String,
    #[schema(required)]
    chosen_dex: Option<String>,
    #[schema(required)]
    execution_price: Option<f64>,
    #[schema(required)]
    tx_hash: Option<String>,
    #[schema(required)]
    failure_reason: Option<String>,
    simulated: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// A sign of life.
#[derive(ToSchema)]
struct Greeting {
    #[schema(example = "Order Execution Engine is running")]
    message: String,
}

/// What an older engine's path refuses with.
#[derive(IntoResponses)]
enum RefusedPost {
    /// The body is no order, or not JSON.
    #[response(status = 400)]
    Bad(RefusedOlder),
    /// The key is missing or wrong.
    #[response(status = 401, headers(("WWW-Authenticate" = String)))]
    NoKey(RefusedOlder),
    /// The key was used with other content.
    #[response(status = 409)]
    KeyUsed(RefusedOlder),
    /// The body is too large.
    #[response(status = 413)]
    TooLarge(RefusedOlder),
    /// The body is not declared as JSON.
    #[response(status = 415)]
    NotJson(RefusedOlder),
    /// The order could not be stored.
    #[response(status = 500)]
    Unstored(RefusedOlder),
    /// Too many orders wait, or nothing can be stored.
    #[response(status = 503, headers(("Retry-After" = u64)))]
    Busy(RefusedOlder),
}

/// What a look-up refuses with.
#[derive(IntoResponses)]
enum RefusedGet {
    /// The key is missing or wrong.
    #[response(status = 401, headers(("WWW-Authenticate" = String)))]
    NoKey(RefusedOlder),
    /// There is no such order.
    #[response(status = 404)]
    NotFound(RefusedOlder),
    /// Nothing can be read now.
    #[response(status = 503, headers(("Retry-After" = u64)))]
    Busy(RefusedOlder),
}

/// What a WebSocket refuses with.
#[derive(IntoResponses)]
enum SocketAnswer {
    /// The WebSocket is open.
    #[response(status = 101)]
    Open,
    /// This was no WebSocket handshake.
    #[response(status = 400)]
    NoHandshake(RefusedSocket),
    /// The key is missing or wrong.
    #[response(status = 401, headers(("WWW-Authenticate" = String)))]
    NoKey(RefusedOlder),
    /// Too many sockets are open.
    #[response(status = 503, headers(("Retry-After" = u64)))]
    Busy(RefusedOlder),
}

/// A refusal, sometimes only a sentence.
#[derive(ToSchema)]
struct RefusedSocket {
    error: String,
    code: Option<String>,
}

/// Which order a socket tells.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct SocketOrder {
    /// The order's id. With an unknown one the socket is closed with 1008.
    #[param(rename = "orderId", required = false)]
    order_id: String,
}

/// `GET /`: a greeting, which one engine's clients use as a health check.
#[utoipa::path(
    get, path = "/", operation_id = "olderGreeting", tag = tag::OLDER,
    responses((status = 200, description = "The greeting", body = Greeting))
)]
fn greeting() {}

/// `POST /api/orders/execute`: an order in an older engine's words.
///
/// Plain bodies are answered 202, or 200 for a used key; all others 200.
#[utoipa::path(
    post, path = "/api/orders/execute", operation_id = "olderSubmit", tag = tag::OLDER, params(IdempotencyKey),
    request_body(content = OlderOrder, examples(
        ("plain" = (value = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amount": 0.01}))),
        ("typed" = (value = json!({"type": "market", "tokenIn": "SOL", "tokenOut": "USDC", "amount": 0.01}))),
        ("percent" = (value = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": 0.01, "slippage": 0.5}))),
        ("pair" = (value = json!({"pair": "SOL-USDC", "amount": 0.01, "side": "sell"}))),
    )),
    responses(
        (status = 200, description = "Accepted. A plain body: its key was used before", body = OlderAccepted),
        (status = 202, description = "A plain body: accepted", body = OlderAccepted),
        RefusedPost,
    )
)]
fn execute() {}

/// `POST /api/orders`: an order in the words of the engine that writes statuses in capitals.
#[utoipa::path(
    post, path = "/api/orders", operation_id = "olderSubmitCapitals", tag = tag::OLDER, params(IdempotencyKey),
    request_body(content = CapitalsOrder, examples(
        ("capitals" = (value = json!({"inputToken": "SOL", "outputToken": "USDC", "amount": 0.01}))),
    )),
    responses((status = 201, description = "Accepted, or its key was used before", body = OlderAccepted), RefusedPost)
)]
fn submit() {}

/// `WS /api/orders/execute?orderId=`: tells an order and closes after its last frame.
///
/// Without `orderId` it takes orders: a message is a percent body, and its frames come back. It stays open.
#[utoipa::path(
    get, path = "/api/orders/execute", operation_id = "olderSocketOfTyped", tag = tag::OLDER, params(SocketOrder),
    responses(SocketAnswer)
)]
fn execute_socket() {}

/// `GET /api/orders/{id}`: an order for the clients of every older engine.
#[utoipa::path(
    get, path = "/api/orders/{id}", operation_id = "olderShow", tag = tag::OLDER, params(OrderIdInPath),
    responses((status = 200, description = "The order", body = OlderOrderInFull), RefusedGet)
)]
fn show() {}

/// `GET /api/orders/{id}/status`: an order's row.
#[utoipa::path(
    get, path = "/api/orders/{id}/status", operation_id = "olderStatus", tag = tag::OLDER, params(OrderIdInPath),
    responses((status = 200, description = "The row", body = OlderRow), RefusedGet)
)]
fn status() {}

/// `GET /{id}/status`: the same.
#[utoipa::path(
    get, path = "/{id}/status", operation_id = "olderStatusAtRoot", tag = tag::OLDER, params(OrderIdInPath),
    responses((status = 200, description = "The row", body = OlderRow), RefusedGet)
)]
fn status_at_root() {}

/// `WS /ws?orderId=`: tells an order, stays open, and answers `ping` with `{"type":"pong"}`.
#[utoipa::path(
    get, path = "/ws", operation_id = "olderSocketOfPlain", tag = tag::OLDER, params(SocketOrder),
    responses(SocketAnswer)
)]
fn socket() {}

/// `WS /ws/orders/{id}`: tells an order and stays open. With an unknown id it is closed with 1008.
#[utoipa::path(
    get, path = "/ws/orders/{id}", operation_id = "olderSocketOfPath", tag = tag::OLDER, params(OrderIdInPath),
    responses(SocketAnswer)
)]
fn socket_of_path() {}

/// `WS /ws/ping`: says `pong` and stays open.
#[utoipa::path(
    get, path = "/ws/ping", operation_id = "olderSocketOfPing", tag = tag::OLDER, responses(SocketAnswer)
)]
fn socket_of_ping() {}

//! Older: the older engines' paths, described.
//!
//! Their bodies are read and written as those engines did, field by field and without types of their own, so they are
//! described here and not beside the handlers. A test holds this list against the routes of `compat`.
#![expect(dead_code, reason = "described, never called or built")]

use utoipa::{
    IntoParams, IntoResponses, PartialSchema, ToSchema,
    openapi::{Ref, RefOr, Schema, schema::AnyOfBuilder},
};

use super::{
    IdempotencyKey, OrderIdInPath,
    shapes::RefusedOlder,
    tag,
    words::{OrderType, TokenName},
};

/// The paths that need a key.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(execute, execute_socket, show, status, status_at_root, socket),
    components(schemas(RefusedOlder, RefusedSocket, PlainOrder, TypedOrder))
)]
pub struct Older;

/// The path that needs none.
#[derive(utoipa::OpenApi)]
#[openapi(paths(greeting))]
pub struct Open;

/// An order in the words of one of the older engines: which words, decides how it is answered and told.
/// A typed body is also a plain one, so this is no choice between the two.
struct OlderOrder;

impl PartialSchema for OlderOrder {
    fn schema() -> RefOr<Schema> {
        let words = AnyOfBuilder::new()
            .item(Ref::from_schema_name("PlainOrder"))
            .item(Ref::from_schema_name("TypedOrder"))
            .description(Some("An order in the words of one of the older engines, which decide how it is told."));
        Schema::AnyOf(words.build()).into()
    }
}

impl ToSchema for OlderOrder {}

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
}

/// The same with `type`.
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
    message: Option<String>,
}

/// An order's row. `GET /api/orders/{id}` has more: `order` and `history`.
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
    /// The order's id. Without one the socket is closed with 1008.
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
/// Plain bodies are answered 202, or 200 for a used key; typed ones 200.
#[utoipa::path(
    post, path = "/api/orders/execute", operation_id = "olderSubmit", tag = tag::OLDER, params(IdempotencyKey),
    request_body(content = OlderOrder, examples(
        ("plain" = (value = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amount": 0.01}))),
        ("typed" = (value = json!({"type": "market", "tokenIn": "SOL", "tokenOut": "USDC", "amount": 0.01}))),
    )),
    responses(
        (status = 200, description = "A typed body: accepted. A plain one: its key was used before", body = OlderAccepted),
        (status = 202, description = "A plain body: accepted", body = OlderAccepted),
        RefusedPost,
    )
)]
fn execute() {}

/// `WS /api/orders/execute?orderId=`: tells an order and closes after its last frame.
#[utoipa::path(
    get, path = "/api/orders/execute", operation_id = "olderSocketOfTyped", tag = tag::OLDER, params(SocketOrder),
    responses(SocketAnswer)
)]
fn execute_socket() {}

/// `GET /api/orders/{id}`: an order for the clients of every older engine.
#[utoipa::path(
    get, path = "/api/orders/{id}", operation_id = "olderShow", tag = tag::OLDER, params(OrderIdInPath),
    responses((status = 200, description = "The order", body = OlderRow), RefusedGet)
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

//! Orders, their events and signatures, alone and in lists.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses, ToSchema,
    openapi::{Content, Ref, RefOr, Response, ResponseBuilder, Schema, link::Link, schema::AnyOfBuilder},
};

use crate::{
    api::{openapi::text_header, views::OrderView},
    domain::{Attempt, ErrorCode, OrderId, Status, StoredEvent},
};

/// An order with everything that is known of it.
#[derive(ToSchema)]
pub struct OrderInFull {
    #[serde(flatten)]
    order: OrderView<'static>,
    /// Every event, from the first on.
    history: Vec<EventView>,
    /// Every signature, from the first on.
    attempts: Vec<AttemptView>,
}

/// An order of a list, or what can be said of one whose stored row cannot be read.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum ListedOrder {
    Order(Box<OrderView<'static>>),
    Unreadable(UnreadableOrder),
}

/// An order whose stored row this version cannot read.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnreadableOrder {
    id: OrderId,
    status: Status,
    unreadable: UnreadableBecause,
}

/// That it is so.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnreadableBecause {
    code: ErrorCode,
    message: String,
}

/// A page of orders, newest first.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrdersPage {
    orders: Vec<ListedOrder>,
    /// What `cursor` takes for the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<OrderId>,
}

/// An event as it is streamed and shown, with what a reader would otherwise look up.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    #[serde(flatten)]
    event: StoredEvent,
    /// The signature the event is about.
    tx_hash: Option<String>,
    explorer_url: Option<String>,
    /// Output per input in whole tokens, where the event says what was moved.
    execution_price: Option<String>,
    /// True where a mock stands where the chain should.
    simulated: Option<bool>,
}

/// What became of a signature.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Landed,
    Rejected,
    Expired,
    ChainReset,
}

/// A signature and what became of it.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptView {
    #[serde(flatten)]
    attempt: Attempt,
    /// Null while it may still land.
    #[schema(required)]
    outcome: Option<Outcome>,
    #[schema(format = DateTime)]
    signed_at: String,
    explorer_url: String,
}

/// The answers to an accepted order.
pub struct Submitted;

impl IntoResponses for Submitted {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let order = Ref::from_schema_name("OrderView");
        let mut stored = ResponseBuilder::new()
            .description("The order is stored and will be executed")
            .content("application/json", Content::new(Some(order.clone())))
            .header("Location", text_header("The order's path"));
        for operation in ["showOrder", "showReceipt", "cancelOrder"] {
            let link = Link::builder().operation_id(operation).parameter("id", "$response.body#/id").build();
            stored = stored.link(operation, link);
        }
        let either = AnyOfBuilder::new().item(order).item(Ref::from_schema_name("Rehearsal")).build();
        let told = ResponseBuilder::new()
            .description(
                "The key was used before with the same content: the first order. Or, with `dryRun`, what the order would do",
            )
            .content("application/json", Content::new(Some(Schema::from(either))));
        [("201".to_owned(), stored.build().into()), ("200".to_owned(), told.build().into())].into()
    }
}

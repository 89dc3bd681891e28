//! Orders, their events and signatures, alone and in lists.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses, ToSchema,
    openapi::{Content, Ref, RefOr, Response, ResponseBuilder, Schema, link::Link, schema::AnyOfBuilder},
};

use super::amounts::{Amount, Mode, Sides};
use crate::{
    api::openapi::text_header,
    domain::{
        Attempt, Bps, Dialect, ErrorCode, Failure, OrderId, OrderKind, Poison, PoolWish, Slot, Status, StoredEvent,
        VenueId,
    },
};

/// An order as it stands.
#[derive(ToSchema)]
pub struct OrderView {
    #[serde(flatten)]
    order: OrderFields,
    /// Signatures made so far.
    signatures: u8,
}

/// What orders and receipts have in common.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderFields {
    id: OrderId,
    kind: OrderKind,
    /// Whose words the order was posted in.
    dialect: Dialect,
    status: Status,
    token_in: String,
    token_out: String,
    mint_in: String,
    mint_out: String,
    mode: Mode,
    /// What is paid: exact, or what was moved once that is known.
    #[schema(required)]
    amount_in: Option<Amount>,
    /// What is received: exact, or what was moved once that is known.
    #[schema(required)]
    amount_out: Option<Amount>,
    /// What the quote promised that is being executed, or was.
    #[schema(required)]
    quoted: Option<Sides>,
    /// What was really moved, read back from the chain.
    #[schema(required)]
    filled: Option<Sides>,
    /// The least output that the chain lets through, with an exact input.
    #[schema(required)]
    min_out: Option<Amount>,
    /// The most input that the chain lets through, with an exact output.
    #[schema(required)]
    max_in: Option<Amount>,
    slippage_bps: Bps,
    /// Who pays.
    #[schema(required)]
    wallet: Option<String>,
    /// The pool and the direction that its client insists on, if it does.
    #[schema(required)]
    pool_wish: Option<PoolWish>,
    #[schema(required)]
    venue: Option<VenueId>,
    /// The signature that may land or has landed.
    #[schema(required)]
    tx_hash: Option<String>,
    #[schema(required)]
    explorer_url: Option<String>,
    #[schema(required)]
    slot: Option<Slot>,
    /// What the chain charged, in SOL.
    #[schema(required)]
    network_fee: Option<Amount>,
    /// Output per input in whole tokens.
    #[schema(required)]
    execution_price: Option<String>,
    #[schema(required)]
    failure: Option<Failure>,
    /// Whether a mock stands where the chain should.
    simulated: bool,
    retries: u8,
    /// Number of events so far.
    version: u64,
    /// From then on nothing is signed for it any more.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
    /// Said while nobody can say what became of its signature.
    #[schema(required)]
    outcome: Option<UnknownOutcome>,
    /// Why nobody can, and since when.
    #[schema(required)]
    unknown: Option<UnknownBecause>,
    /// Why it waits for a person, if it does.
    #[schema(required)]
    set_aside: Option<SetAsideView>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// The only word there is for it.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownOutcome {
    Unknown,
}

/// Why nobody can say what became of a signature.
#[derive(ToSchema)]
pub struct UnknownBecause {
    reason: String,
    #[schema(format = DateTime)]
    since: String,
}

/// Why an order waits for a person.
#[derive(ToSchema)]
pub struct SetAsideView {
    cause: Poison,
    reason: String,
    #[schema(format = DateTime)]
    at: String,
}

/// An order with everything that is known of it.
#[derive(ToSchema)]
pub struct OrderInFull {
    #[serde(flatten)]
    order: OrderView,
    /// Every event, from the first on.
    history: Vec<EventView>,
    /// Every signature, from the first on.
    attempts: Vec<AttemptView>,
}

/// An order of a list, or what can be said of one whose stored row cannot be read.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum ListedOrder {
    Order(Box<OrderView>),
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

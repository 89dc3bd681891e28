//! Shapes: the JSON that `views`, `receipt` and `health` write, as types for the description.
//!
//! They are never built: that answers really look like this is checked against a running daemon. Amounts, events and
//! codes are the domain's own types.
#![expect(dead_code, reason = "described, never built")]

pub mod webhooks;

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{Content, Ref, RefOr, Response, ResponseBuilder, Schema, link::Link, schema::AnyOfBuilder},
};

use super::text_header;
use crate::domain::{
    Attempt, BaseUnits, Bps, Dialect, ErrorCode, Failure, Lamports, OrderId, OrderKind, Poison, PoolWish, QuoteOutcome,
    Refusal, Slot, Status, StoredEvent, Token, VenueId,
};

/// An amount in both of its forms.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// Base units.
    base: BaseUnits,
    /// Whole tokens, as a decimal.
    #[schema(example = "1.5")]
    ui: String,
}

/// Both sides of a swap.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sides {
    amount_in: Amount,
    amount_out: Amount,
}

/// Which side of a swap is exact.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    ExactIn,
    ExactOut,
}

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

/// An order that waits for a person.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeadLetterView {
    id: OrderId,
    status: Status,
    token_in: String,
    token_out: String,
    #[schema(required)]
    tx_hash: Option<String>,
    set_aside: SetAsideView,
    #[schema(format = DateTime)]
    created_at: String,
}

/// A page of them, newest first.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeadLettersPage {
    dead_letters: Vec<DeadLetterView>,
    /// What `cursor` takes for the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<OrderId>,
}

/// An order that goes on.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replayed {
    id: OrderId,
    replayed: bool,
}

/// Whether trading is paused.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlView {
    paused: bool,
    /// Everything that holds it.
    causes: Vec<PauseView>,
}

/// One thing that holds it.
#[derive(ToSchema)]
pub struct PauseView {
    /// `command`, `api` or `file`.
    cause: String,
    reason: Option<String>,
    #[schema(format = DateTime)]
    since: Option<String>,
}

/// What an order would do now: the route as a quote shows it, and what a simulation of its transaction said.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    #[serde(flatten)]
    route: RouteView,
    /// Always true.
    dry_run: bool,
    /// The wallet that would pay; null where a mock would fill.
    #[schema(required)]
    wallet: Option<String>,
    /// What it would need and has.
    #[schema(required)]
    funds: Option<BTreeMap<String, Value>>,
    /// What the transaction would cost.
    #[schema(required)]
    fees: Option<BTreeMap<String, Amount>>,
    /// Whether it went through, what it used and what it moved.
    #[schema(required)]
    simulation: Option<BTreeMap<String, Value>>,
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

/// What one pool would do with a swap.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuoteView {
    venue: VenueId,
    pool: String,
    /// Whether a transaction for it can be built. A mock's never can.
    executable: bool,
    amount_in: Amount,
    amount_out: Amount,
    /// Output per input in whole tokens.
    #[schema(required)]
    price: Option<String>,
    trade_fee: Amount,
    creator_fee: Amount,
    creator_fee_on_input: bool,
    transfer_fee_in: Amount,
    transfer_fee_out: Amount,
    price_impact_bps: Bps,
    context_slot: Slot,
}

/// One venue's answer.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VenueAnswer {
    venue: VenueId,
    latency_ms: u64,
    #[schema(required)]
    quote: Option<QuoteView>,
    #[schema(required)]
    refusal: Option<Refusal>,
}

/// The route an order would take now: the chosen quote and every venue's answer.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteView {
    #[serde(flatten)]
    chosen: QuoteView,
    token_in: String,
    token_out: String,
    mode: Mode,
    slippage_bps: Bps,
    #[schema(required)]
    min_out: Option<Amount>,
    #[schema(required)]
    max_in: Option<Amount>,
    /// Why it was chosen.
    reason: String,
    quotes: Vec<VenueAnswer>,
}

/// The tokens an order may name.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    tokens: Vec<Token>,
}

/// Every wallet that may pay for an order.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wallets {
    /// Null where another process holds the keys.
    #[schema(required)]
    wallets: Option<Vec<WalletView>>,
    /// When the chain was read.
    #[schema(format = DateTime)]
    read_at: Option<String>,
    /// Why there are none.
    reason: Option<String>,
}

/// What one wallet has, and what of it is promised to open orders.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WalletView {
    address: String,
    /// Its key file's name.
    name: String,
    /// The slot at which all of its balances were read.
    as_of_slot: Slot,
    /// Orders that have promised something of it.
    open_orders: u64,
    sol: Held,
    tokens: Vec<HeldToken>,
}

/// A balance and what of it is promised.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Held {
    balance: Amount,
    /// What open orders may spend.
    reserved: Amount,
}

/// The same of one token.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldToken {
    symbol: String,
    mint: String,
    balance: Amount,
    /// What open orders may spend.
    reserved: Amount,
}

/// What this daemon is.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DaemonStatus {
    version: String,
    cluster: String,
    /// The newest confirmed slot; null when the chain did not say it a moment ago.
    #[schema(required)]
    slot: Option<Slot>,
    /// The newest event's: what is listed after it was read, and then followed with `since`, has no gap.
    cursor: u64,
    open_orders: u64,
    default_slippage_bps: Bps,
    max_slippage_bps: Bps,
}

/// How an order ended, and why.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    #[serde(flatten)]
    order: OrderFields,
    /// The router's last decision, as it was made; null when there was none.
    #[schema(required)]
    route: Option<RouteInReceipt>,
    /// How much worse the fill was than its quote, in basis points, rounded up; negative when it was better.
    #[schema(required)]
    realised_slippage_bps: Option<i64>,
    /// Every signature with the chain's answers.
    signatures: Vec<SignatureInReceipt>,
    timings: Timings,
    #[schema(required, format = DateTime)]
    ended_at: Option<String>,
}

/// The router's decision.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteInReceipt {
    reason: String,
    venue: VenueId,
    pool: String,
    context_slot: Slot,
    amount_in: Amount,
    amount_out: Amount,
    price_impact_bps: Bps,
    quotes: Vec<QuoteOutcome>,
}

/// One signature: what bounded it, and what the chain said.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignatureInReceipt {
    n: u8,
    signature: String,
    explorer_url: String,
    wallet: String,
    blockhash: String,
    last_valid_block_height: u64,
    context_slot: Slot,
    limit: BaseUnits,
    compute_units: u32,
    priority_fee: Lamports,
    #[schema(format = DateTime)]
    signed_at: String,
    #[schema(required)]
    outcome: Option<Outcome>,
    /// What was heard of it, in order: that it was sent, landed or expired, each with its proof.
    answers: Vec<Value>,
}

/// Where the time went.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timings {
    /// Milliseconds in each status.
    stages_ms: BTreeMap<String, i64>,
    /// Milliseconds from the first event to the one that ended the order.
    #[schema(required)]
    total_ms: Option<i64>,
}

/// Whether the process lives. The names are the older clients': `postgres` is the store, `redis` queue and bus,
/// whatever they run on.
#[derive(ToSchema)]
pub struct Health {
    status: Word,
    #[schema(format = DateTime)]
    timestamp: String,
    checks: BTreeMap<String, Word>,
}

/// How a part is.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    Ok,
    Error,
}

/// Whether orders can be taken and executed.
#[derive(ToSchema)]
pub struct Ready {
    ready: bool,
    /// The parts that are not.
    missing: Vec<String>,
    checks: BTreeMap<String, Check>,
}

/// One part's answer.
#[derive(ToSchema)]
pub struct Check {
    ok: bool,
    /// How long it took, in milliseconds.
    ms: Option<u64>,
    /// Why not.
    reason: Option<String>,
}

/// A refusal.
#[derive(ToSchema)]
pub struct Refused {
    error: RefusedBecause,
}

/// Why, in a form for programs and in one for people.
#[derive(ToSchema)]
pub struct RefusedBecause {
    code: ErrorCode,
    /// A sentence that says what to change. Not stable.
    message: String,
    /// As in the header `X-Request-Id`.
    request_id: String,
    /// Every venue's answer, where no route was found.
    quotes: Option<Vec<QuoteOutcome>>,
}

/// A refusal in the older engines' words: a sentence or, to a typed body, a list of issues.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusedOlder {
    /// A sentence, or a list of issues.
    error: Value,
    /// As in `/v1`, or their web framework's for what that refused by itself.
    code: String,
    #[serde(rename = "request_id")]
    request_id: String,
    /// Their web framework's sentence.
    message: Option<String>,
    /// The answer's status, where their web framework repeated it.
    status_code: Option<u16>,
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

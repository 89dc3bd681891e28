//! The view of an order: where it stands, what it moved and why it ended.

use serde::Serialize;
use serde_json::{Value, json};
use serde_with::{As, DisplayFromStr};
use solana_sdk::{pubkey::Pubkey, signature::Signature};
use utoipa::ToSchema;

use super::{
    Views,
    amounts::{Amount, Sides, amount, price, sol, timestamp},
};
use crate::{
    domain::{
        Bps, Dialect, ErrorCode, Failure, Fill, Order, OrderId, OrderKind, OrderStatus, Poison, PoolWish, SetAside,
        Slot, Status, StoredEvent, Swap, VenueId,
    },
    store::{AttemptRow, Unreadable},
};

/// An order as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderView<'a> {
    #[serde(flatten)]
    order: OrderFields<'a>,
    /// Signatures made so far.
    signatures: u8,
}

/// What orders and receipts have in common.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderFields<'a> {
    id: OrderId,
    kind: OrderKind,
    /// Whose words the order was posted in.
    dialect: Dialect,
    status: Status,
    token_in: &'a str,
    token_out: &'a str,
    #[serde(serialize_with = "As::<DisplayFromStr>::serialize")]
    #[schema(value_type = String)]
    mint_in: Pubkey,
    #[serde(serialize_with = "As::<DisplayFromStr>::serialize")]
    #[schema(value_type = String)]
    mint_out: Pubkey,
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
    #[serde(serialize_with = "As::<Option<DisplayFromStr>>::serialize")]
    #[schema(required, value_type = Option<String>)]
    wallet: Option<Pubkey>,
    /// The pool and the direction that its client insists on, if it does.
    #[schema(required, value_type = Option<PoolWish>)]
    pool_wish: Option<&'a PoolWish>,
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
    #[schema(required, value_type = Option<Failure>)]
    failure: Option<&'a Failure>,
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
    unknown: Option<UnknownBecause<'a>>,
    /// Why it waits for a person, if it does.
    #[schema(required)]
    set_aside: Option<SetAsideView<'a>>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// Which side of a swap is exact.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// What is paid.
    ExactIn,
    /// What is received.
    ExactOut,
}

impl Mode {
    const fn of(swap: Swap) -> Self {
        match swap {
            Swap::ExactIn(_) => Self::ExactIn,
            Swap::ExactOut(_) => Self::ExactOut,
        }
    }
}

/// The only word there is for it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownOutcome {
    /// Nobody can say.
    Unknown,
}

/// Why nobody can say what became of a signature.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnknownBecause<'a> {
    reason: &'a str,
    #[schema(format = DateTime)]
    since: String,
}

/// Why an order waits for a person, and since when.
#[derive(Debug, Serialize, ToSchema)]
pub struct SetAsideView<'a> {
    cause: Poison,
    reason: &'a str,
    #[schema(format = DateTime)]
    at: String,
}

impl<'a> SetAsideView<'a> {
    /// Of an order, or of one that cannot be read.
    pub fn of(aside: &'a SetAside) -> Self {
        Self { cause: aside.cause, reason: &aside.reason, at: timestamp(aside.at) }
    }
}

impl Views {
    /// An order.
    pub fn order<'a>(&self, order: &'a Order) -> OrderView<'a> {
        let (dec_in, dec_out) = (order.token_in.decimals, order.token_out.decimals);
        let sides = |amount_in, amount_out| Sides {
            amount_in: amount(amount_in, dec_in),
            amount_out: amount(amount_out, dec_out),
        };
        let fill = fill(order);
        let (exact_in, exact_out) = match order.swap {
            Swap::ExactIn(amount) => (Some(amount), None),
            Swap::ExactOut(amount) => (None, Some(amount)),
        };
        let signature = signature(order);
        let slot = match &order.status {
            OrderStatus::Confirmed { landing, .. } | OrderStatus::Failed { landing: Some(landing), .. } => {
                Some(landing.slot)
            }
            _ => None,
        };
        let fee = match &order.status {
            OrderStatus::Confirmed { fee, .. } => *fee,
            _ => None,
        };
        let quoted = match &order.status {
            OrderStatus::Building { quote } => Some(sides(quote.amount_in, quote.amount_out)),
            OrderStatus::Submitted { attempt } | OrderStatus::Confirmed { attempt, .. } => {
                Some(sides(attempt.quoted_in, attempt.quoted_out))
            }
            _ => None,
        };
        let fields = OrderFields {
            id: order.id,
            kind: order.kind,
            dialect: order.dialect,
            status: order.status.name(),
            token_in: &order.token_in.symbol,
            token_out: &order.token_out.symbol,
            mint_in: order.token_in.mint,
            mint_out: order.token_out.mint,
            mode: Mode::of(order.swap),
            amount_in: exact_in.or(fill.map(|fill| fill.amount_in)).map(|amount_in| amount(amount_in, dec_in)),
            amount_out: exact_out.or(fill.map(|fill| fill.amount_out)).map(|amount_out| amount(amount_out, dec_out)),
            quoted,
            filled: fill.map(|fill| sides(fill.amount_in, fill.amount_out)),
            min_out: exact_in.and(order.limit).map(|limit| amount(limit, dec_out)),
            max_in: exact_out.and(order.limit).map(|limit| amount(limit, dec_in)),
            slippage_bps: order.slippage,
            wallet: order.wallet,
            pool_wish: order.pool_wish.as_ref(),
            venue: venue(order),
            tx_hash: signature.map(|signature| signature.to_string()),
            explorer_url: signature.map(|signature| self.explorer_url(&signature)),
            slot,
            network_fee: fee.map(sol),
            execution_price: fill.and_then(|fill| price(fill, dec_in, dec_out)),
            failure: failure(order),
            simulated: is_simulated(order),
            retries: order.retries,
            version: order.version,
            expires_at: order.expires_at.map(timestamp),
            outcome: order.unknown.as_ref().map(|_| UnknownOutcome::Unknown),
            unknown: order
                .unknown
                .as_ref()
                .map(|unknown| UnknownBecause { reason: &unknown.reason, since: timestamp(unknown.since) }),
            set_aside: order.set_aside.as_ref().map(SetAsideView::of),
            created_at: timestamp(order.created_at),
            updated_at: timestamp(order.updated_at),
        };
        OrderView { order: fields, signatures: order.signatures }
    }

    /// An order with everything that is known of it.
    pub fn order_in_full(&self, order: &Order, history: &[StoredEvent], attempts: &[AttemptRow]) -> Value {
        let mut view = json!(self.order(order));
        view["history"] = history.iter().map(|event| self.event(event)).collect();
        view["attempts"] = attempts
            .iter()
            .map(|row| {
                let mut attempt = json!(row.attempt);
                attempt["outcome"] = json!(row.outcome);
                attempt["signedAt"] = json!(timestamp(row.signed_at));
                attempt["explorerUrl"] = json!(self.explorer_url(&row.attempt.signature));
                attempt
            })
            .collect();
        view
    }
}

/// An order of a list whose row cannot be read. What is wrong with it is for the log.
pub fn unreadable(order: &Unreadable) -> Value {
    tracing::warn!(order_id = %order.id, reason = order.reason, "a listed order cannot be read");
    let message = "what is stored of this order cannot be read by this version";
    json!({
        "id": order.id,
        "status": order.status,
        "unreadable": { "code": ErrorCode::Internal, "message": message },
    })
}

/// The signature that may land or has landed.
pub fn signature(order: &Order) -> Option<Signature> {
    match &order.status {
        OrderStatus::Submitted { attempt } => Some(attempt.signature),
        OrderStatus::Confirmed { landing, .. } | OrderStatus::Failed { landing: Some(landing), .. } => {
            Some(landing.signature)
        }
        _ => None,
    }
}

/// Where it swaps, as long as that is decided.
fn venue(order: &Order) -> Option<VenueId> {
    match &order.status {
        OrderStatus::Building { quote } => Some(quote.venue),
        OrderStatus::Submitted { attempt } | OrderStatus::Confirmed { attempt, .. } => Some(attempt.venue),
        OrderStatus::PaperFilled { venue, .. } => Some(*venue),
        _ => None,
    }
}

fn fill(order: &Order) -> Option<&Fill> {
    match &order.status {
        OrderStatus::Confirmed { fill, .. } => fill.as_ref(),
        OrderStatus::PaperFilled { fill, .. } => Some(fill),
        _ => None,
    }
}

fn failure(order: &Order) -> Option<&Failure> {
    match &order.status {
        OrderStatus::Failed { failure, .. } => Some(failure),
        _ => None,
    }
}

/// Whether a mock stands where the chain should: nothing of it is, or will be, on chain.
pub fn is_simulated(order: &Order) -> bool {
    match &order.status {
        OrderStatus::PaperFilled { .. } => true,
        OrderStatus::Building { quote } => !quote.executable,
        _ => false,
    }
}

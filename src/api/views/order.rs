//! The view of an order: where it stands, what it moved and why it ended.

use serde_json::{Value, json};
use solana_sdk::signature::Signature;

use super::{Views, amount, price, timestamp};
use crate::{
    domain::{
        BaseUnits, ErrorCode, Failure, Fill, Order, OrderStatus, SOL_DECIMALS, SetAside, StoredEvent, Swap, VenueId,
    },
    store::{AttemptRow, Unreadable},
};

impl Views {
    /// An order.
    pub fn order(&self, order: &Order) -> Value {
        let (dec_in, dec_out) = (order.token_in.decimals, order.token_out.decimals);
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
            OrderStatus::Building { quote } => Some((quote.amount_in, quote.amount_out)),
            OrderStatus::Submitted { attempt } | OrderStatus::Confirmed { attempt, .. } => {
                Some((attempt.quoted_in, attempt.quoted_out))
            }
            _ => None,
        };
        json!({
            "id": order.id,
            "kind": order.kind,
            "dialect": order.dialect,
            "status": order.status.name(),
            "tokenIn": order.token_in.symbol,
            "tokenOut": order.token_out.symbol,
            "mintIn": order.token_in.mint.to_string(),
            "mintOut": order.token_out.mint.to_string(),
            "mode": order.swap.mode(),
            "amountIn": exact_in.or(fill.map(|fill| fill.amount_in)).map(|amount_in| amount(amount_in, dec_in)),
            "amountOut": exact_out.or(fill.map(|fill| fill.amount_out)).map(|amount_out| amount(amount_out, dec_out)),
            "quoted": quoted.map(|(quoted_in, quoted_out)| json!({
                "amountIn": amount(quoted_in, dec_in), "amountOut": amount(quoted_out, dec_out),
            })),
            "filled": fill.map(|fill| json!({
                "amountIn": amount(fill.amount_in, dec_in), "amountOut": amount(fill.amount_out, dec_out),
            })),
            "minOut": exact_in.and(order.limit).map(|limit| amount(limit, dec_out)),
            "maxIn": exact_out.and(order.limit).map(|limit| amount(limit, dec_in)),
            "slippageBps": order.slippage,
            "wallet": order.wallet.map(|wallet| wallet.to_string()),
            "poolWish": order.pool_wish,
            "expiresAt": order.expires_at.map(timestamp),
            "venue": venue(order),
            "txHash": signature.map(|signature| signature.to_string()),
            "explorerUrl": signature.map(|signature| self.explorer_url(&signature)),
            "slot": slot,
            "networkFee": fee.map(|fee| amount(BaseUnits::new(fee.get()), SOL_DECIMALS)),
            "executionPrice": fill.and_then(|fill| price(fill, dec_in, dec_out)),
            "failure": failure(order),
            "outcome": order.unknown.as_ref().map(|_| "unknown"),
            "unknown": order.unknown.as_ref().map(|unknown| json!({
                "reason": unknown.reason, "since": timestamp(unknown.since),
            })),
            "setAside": order.set_aside.as_ref().map(set_aside),
            "simulated": is_simulated(order),
            "signatures": order.signatures,
            "retries": order.retries,
            "version": order.version,
            "createdAt": timestamp(order.created_at),
            "updatedAt": timestamp(order.updated_at),
        })
    }

    /// An order with everything that is known of it.
    pub fn order_in_full(&self, order: &Order, history: &[StoredEvent], attempts: &[AttemptRow]) -> Value {
        let mut view = self.order(order);
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

/// Why an order waits for a person, and since when.
pub fn set_aside(aside: &SetAside) -> Value {
    json!({ "cause": aside.cause, "reason": aside.reason, "at": timestamp(aside.at) })
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

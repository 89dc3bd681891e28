//! Rows: an order, a promise and an attempt as they are written.
//!
//! Owns the translation from the domain's values to columns' values (`tables`). Reading them back is `columns`. Never talks
//! to a database.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use time::{OffsetDateTime, UtcOffset, format_description::BorrowedFormatItem, macros::format_description};

use super::{Reservation, StoreError};
use crate::domain::{Attempt, BaseUnits, BlockHeight, Bps, Order, OrderEvent, OrderId, OrderStatus, Slot};

/// What an order's row never changes.
#[derive(Debug)]
pub(super) struct FixedColumns {
    pub kind: &'static str,
    pub dialect: &'static str,
    pub token_in_symbol: String,
    pub token_in_mint: String,
    pub token_in_decimals: u8,
    pub token_in_program: String,
    pub token_out_symbol: String,
    pub token_out_mint: String,
    pub token_out_decimals: u8,
    pub token_out_program: String,
    pub mode: &'static str,
    pub amount: BaseUnits,
    pub slippage_bps: Bps,
    pub expires_at: Option<OffsetDateTime>,
    pub pool_wish: Option<String>,
    pub created_at: OffsetDateTime,
}

impl FixedColumns {
    /// Those of a new order.
    pub(super) fn new(order: &Order) -> Self {
        Self {
            kind: order.kind.as_str(),
            dialect: order.dialect.as_str(),
            token_in_symbol: order.token_in.symbol.clone(),
            token_in_mint: order.token_in.mint.to_string(),
            token_in_decimals: order.token_in.decimals,
            token_in_program: order.token_in.program.to_string(),
            token_out_symbol: order.token_out.symbol.clone(),
            token_out_mint: order.token_out.mint.to_string(),
            token_out_decimals: order.token_out.decimals,
            token_out_program: order.token_out.program.to_string(),
            mode: order.swap.mode(),
            amount: order.swap.amount(),
            slippage_bps: order.slippage,
            expires_at: order.expires_at,
            pool_wish: order.pool_wish.as_ref().map(plain_json),
            created_at: order.created_at,
        }
    }
}

/// What an order's row may change, but for what is only known inside the writer (its newest cursor and its promise). What
/// is not there is null.
#[derive(Debug)]
pub(super) struct OrderRow {
    pub id: OrderId,
    pub status: &'static str,
    pub state: String,
    pub limit_amount: Option<BaseUnits>,
    pub wallet: Option<String>,
    pub signatures: u8,
    pub retries: u8,
    pub failure_code: Option<&'static str>,
    pub failure_reason: Option<String>,
    pub tx_signature: Option<String>,
    pub executed_in: Option<BaseUnits>,
    pub executed_out: Option<BaseUnits>,
    pub slot: Option<Slot>,
    pub fee: Option<BaseUnits>,
    pub simulated: bool,
    pub has_work: bool,
    pub set_aside_at: Option<OffsetDateTime>,
    pub set_aside_cause: Option<&'static str>,
    pub set_aside_reason: Option<String>,
    pub unknown_since: Option<OffsetDateTime>,
    pub unknown_reason: Option<String>,
    pub version: u64,
    pub updated_at: OffsetDateTime,
}

impl OrderRow {
    /// The order as a row.
    pub(super) fn new(order: &Order) -> Self {
        let (aside, unknown) = (order.set_aside.as_ref(), order.unknown.as_ref());
        let mut row = Self {
            id: order.id,
            status: order.status.name().as_str(),
            state: plain_json(&order.status),
            limit_amount: order.limit,
            wallet: order.wallet.map(|wallet| wallet.to_string()),
            signatures: order.signatures,
            retries: order.retries,
            failure_code: None,
            failure_reason: None,
            tx_signature: None,
            executed_in: None,
            executed_out: None,
            slot: None,
            fee: None,
            simulated: matches!(order.status, OrderStatus::PaperFilled { .. }),
            has_work: order.status.has_work(),
            set_aside_at: aside.map(|aside| aside.at),
            set_aside_cause: aside.map(|aside| aside.cause.as_str()),
            set_aside_reason: aside.map(|aside| plain_text(&aside.reason)),
            unknown_since: unknown.map(|unknown| unknown.since),
            unknown_reason: unknown.map(|unknown| plain_text(&unknown.reason)),
            version: order.version,
            updated_at: order.updated_at,
        };
        row.add_result(&order.status);
        row
    }

    fn add_result(&mut self, status: &OrderStatus) {
        let (landing, fill) = match status {
            OrderStatus::Confirmed { landing, fill, fee, .. } => {
                self.fee = fee.map(|fee| BaseUnits::new(fee.get()));
                (Some(landing), fill.as_ref())
            }
            OrderStatus::Failed { failure, landing } => {
                self.failure_code = Some(failure.code.as_str());
                self.failure_reason = Some(plain_text(&failure.reason));
                (landing.as_ref(), None)
            }
            OrderStatus::PaperFilled { fill, .. } => (None, Some(fill)),
            OrderStatus::Pending
            | OrderStatus::Routing
            | OrderStatus::Building { .. }
            | OrderStatus::Submitted { .. }
            | OrderStatus::Cancelled => (None, None),
        };
        self.tx_signature = landing.map(|landing| landing.signature.to_string());
        self.slot = landing.map(|landing| landing.slot);
        self.executed_in = fill.map(|fill| fill.amount_in);
        self.executed_out = fill.map(|fill| fill.amount_out);
    }
}

/// A wallet's promise as columns: whole for PostgreSQL, in halves for SQLite (its migration says why).
#[derive(Debug)]
pub(super) struct PromiseColumns {
    pub wallet: String,
    pub mint: String,
    pub amount: BaseUnits,
    pub lamports: BaseUnits,
    pub spends: BaseUnits,
    pub at: OffsetDateTime,
}

impl PromiseColumns {
    pub(super) fn new(reservation: &Reservation, at: OffsetDateTime) -> Self {
        Self {
            wallet: reservation.wallet.to_string(),
            mint: reservation.mint.to_string(),
            amount: reservation.amount,
            lamports: BaseUnits::new(reservation.lamports.get()),
            spends: reservation.spends,
            at,
        }
    }
}

/// A signed try as it is inserted.
#[derive(Debug)]
pub(super) struct AttemptColumns {
    pub order_id: OrderId,
    pub n: u8,
    pub signature: String,
    pub wire: Arc<[u8]>,
    pub blockhash: String,
    pub last_valid_block_height: BlockHeight,
    pub context_slot: Slot,
    pub venue: &'static str,
    pub pool: String,
    pub wallet: String,
    pub quoted_in: BaseUnits,
    pub quoted_out: BaseUnits,
    pub limit_amount: BaseUnits,
    pub compute_units: u32,
    pub priority_fee: BaseUnits,
    pub signed_at: OffsetDateTime,
}

impl AttemptColumns {
    pub(super) fn new(order: OrderId, attempt: &Attempt, signed_at: OffsetDateTime) -> Self {
        Self {
            order_id: order,
            n: attempt.n,
            signature: attempt.signature.to_string(),
            wire: attempt.wire.clone(),
            blockhash: attempt.blockhash.to_string(),
            last_valid_block_height: attempt.last_valid_block_height,
            context_slot: attempt.context_slot,
            venue: attempt.venue.as_str(),
            pool: attempt.pool.to_string(),
            wallet: attempt.wallet.to_string(),
            quoted_in: attempt.quoted_in,
            quoted_out: attempt.quoted_out,
            limit_amount: attempt.limit,
            compute_units: attempt.compute_units,
            priority_fee: BaseUnits::new(attempt.priority_fee.get()),
            signed_at,
        }
    }
}

/// The event as the store will give it back, and its JSON.
pub(super) fn stored_form(event: &OrderEvent) -> Result<(OrderEvent, String), StoreError> {
    let (json, is_plain) = plainly(event);
    // These come back as they are, and most events are of these kinds.
    let whole = matches!(
        event,
        OrderEvent::Created | OrderEvent::Claimed | OrderEvent::Routed { .. } | OrderEvent::PaperFilled { .. }
    );
    if whole && is_plain {
        return Ok((event.clone(), json));
    }
    let event = serde_json::from_str(&json).map_err(|error| StoreError::Corrupt(format!("`payload`: {error}")))?;
    Ok((event, json))
}

/// A time as both databases keep it: UTC, whole microseconds.
pub(super) fn stored_time(at: OffsetDateTime) -> OffsetDateTime {
    let at = at.to_offset(UtcOffset::UTC);
    at.replace_microsecond(at.microsecond()).expect("the microsecond of a time is in range")
}

const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// A time as text of fixed width, so that it sorts.
pub(super) fn time_text(at: OffsetDateTime) -> String {
    at.to_offset(UtcOffset::UTC).format(TIME).expect("every time has these parts")
}

/// JSON for a statement's parameter.
pub(super) fn json(value: &impl Serialize) -> String {
    let mut text = Vec::with_capacity(JSON);
    serde_json::to_writer(&mut text, value).expect("rows are plain data");
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// Room that most JSON fits into: grown from nothing, it would be moved five times.
const JSON: usize = 1_024;

/// Text without the character NUL.
pub(super) fn plain_text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// JSON without the character NUL, which PostgreSQL cannot store: a stranger's error text must not stop an order.
fn plain_json(value: &impl Serialize) -> String {
    plainly(value).0
}

/// The same, and whether there was no NUL.
fn plainly(value: &impl Serialize) -> (String, bool) {
    let text = json(value);
    if !text.contains("\\u0000") {
        return (text, true);
    }
    let mut value = serde_json::from_str(&text).expect("it was just written");
    replace_nul(&mut value);
    (json(&value), false)
}

fn replace_nul(value: &mut Value) {
    match value {
        Value::String(text) => *text = plain_text(text),
        Value::Array(items) => items.iter_mut().for_each(replace_nul),
        Value::Object(fields) => fields.values_mut().for_each(replace_nul),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_are_text_of_fixed_width_in_utc() {
        let at = datetime!(2025-11-21 01:02:03.000_004_9 +02:00);
        assert_eq!(time_text(at), "2025-11-20T23:02:03.000004Z");
        assert_eq!(stored_time(at), datetime!(2025-11-20 23:02:03.000_004 UTC));
        assert!(stored_time(at).offset().is_utc());
    }

    #[test]
    fn only_a_real_nul_is_replaced() {
        let text = plain_json(&["a\0b", r"\u0000", "c"]);
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), ["a\u{fffd}b", r"\u0000", "c"]);
        assert!(!text.replace(r"\\", "").contains(r"\u0000"));
    }
}

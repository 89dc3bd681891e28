//! Rows: an order, a promise and an attempt as they are written.
//!
//! Owns the translation from the domain's values to columns, as JSON: one parameter carries the rows of a whole group,
//! whatever its size (`tables`). Reading them back is `columns`. Never talks to a database.

use serde::Serialize;
use serde_json::Value;
use time::{OffsetDateTime, UtcOffset, format_description::BorrowedFormatItem, macros::format_description};

use super::{Reservation, StoreError};
use crate::domain::{Attempt, BaseUnits, BlockHeight, Bps, Order, OrderEvent, OrderId, OrderStatus, Slot};

/// What an order's row never changes.
#[derive(Debug, Serialize)]
pub(super) struct FixedColumns {
    kind: &'static str,
    dialect: &'static str,
    token_in_symbol: String,
    token_in_mint: String,
    token_in_decimals: u8,
    token_in_program: String,
    token_out_symbol: String,
    token_out_mint: String,
    token_out_decimals: u8,
    token_out_program: String,
    mode: &'static str,
    amount: BaseUnits,
    slippage_bps: Bps,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool_wish: Option<String>,
    created_at: String,
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
            expires_at: order.expires_at.map(time_text),
            pool_wish: order.pool_wish.as_ref().map(plain_json),
            created_at: time_text(order.created_at),
        }
    }
}

/// What an order's row may change, but for what is only known inside the writer (its newest cursor and its promise). What
/// is not there is null.
#[derive(Debug, Serialize)]
pub(super) struct OrderRow {
    pub id: String,
    status: &'static str,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_amount: Option<BaseUnits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wallet: Option<String>,
    signatures: u8,
    retries: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executed_in: Option<BaseUnits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executed_out: Option<BaseUnits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<Slot>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<BaseUnits>,
    simulated: bool,
    pub has_work: bool,
    take_ups: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_aside_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_aside_cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_aside_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_reason: Option<String>,
    version: u64,
    updated_at: String,
}

impl OrderRow {
    /// The order as a row.
    pub(super) fn new(order: &Order) -> Self {
        let (aside, unknown) = (order.set_aside.as_ref(), order.unknown.as_ref());
        let mut row = Self {
            id: order.id.to_string(),
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
            take_ups: 0, // it moved
            set_aside_at: aside.map(|aside| time_text(aside.at)),
            set_aside_cause: aside.map(|aside| aside.cause.as_str()),
            set_aside_reason: aside.map(|aside| plain_text(&aside.reason)),
            unknown_since: unknown.map(|unknown| time_text(unknown.since)),
            unknown_reason: unknown.map(|unknown| plain_text(&unknown.reason)),
            version: order.version,
            updated_at: time_text(order.updated_at),
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
#[derive(Debug, Serialize)]
pub(super) struct PromiseColumns {
    reserved_wallet: String,
    reserved_mint: String,
    reserved_amount: BaseUnits,
    reserved_amount_hi: u64,
    reserved_amount_lo: u64,
    reserved_lamports: BaseUnits,
    reserved_lamports_hi: u64,
    reserved_lamports_lo: u64,
    promised_in: BaseUnits,
    promised_in_hi: u64,
    promised_in_lo: u64,
    promised_at: String,
}

impl PromiseColumns {
    pub(super) fn new(reservation: &Reservation, at: OffsetDateTime) -> Self {
        let (amount, lamports) = (reservation.amount.get(), reservation.lamports.get());
        let spends = reservation.spends.get();
        Self {
            reserved_wallet: reservation.wallet.to_string(),
            reserved_mint: reservation.mint.to_string(),
            reserved_amount: BaseUnits::new(amount),
            reserved_amount_hi: amount >> 32,
            reserved_amount_lo: amount & u64::from(u32::MAX),
            reserved_lamports: BaseUnits::new(lamports),
            reserved_lamports_hi: lamports >> 32,
            reserved_lamports_lo: lamports & u64::from(u32::MAX),
            promised_in: reservation.spends,
            promised_in_hi: spends >> 32,
            promised_in_lo: spends & u64::from(u32::MAX),
            promised_at: time_text(at),
        }
    }
}

/// A signed try as it is inserted.
#[derive(Debug, Serialize)]
pub(super) struct AttemptColumns {
    order_id: String,
    n: u8,
    signature: String,
    wire: String,
    blockhash: String,
    last_valid_block_height: BlockHeight,
    context_slot: Slot,
    venue: &'static str,
    pool: String,
    wallet: String,
    quoted_in: BaseUnits,
    quoted_out: BaseUnits,
    limit_amount: BaseUnits,
    compute_units: u32,
    priority_fee: BaseUnits,
    signed_at: String,
}

impl AttemptColumns {
    pub(super) fn new(order: OrderId, attempt: &Attempt, signed_at: OffsetDateTime) -> Self {
        Self {
            order_id: order.to_string(),
            n: attempt.n,
            signature: attempt.signature.to_string(),
            wire: hex(&attempt.wire),
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
            signed_at: time_text(signed_at),
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
    serde_json::to_string(value).expect("rows are plain data")
}

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

/// Bytes as lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| char::from(DIGITS[usize::from(half)])).collect()
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

    #[test]
    fn bytes_are_hex() {
        assert_eq!(hex(&[0, 9, 0xa, 0xff]), "00090aff");
    }
}

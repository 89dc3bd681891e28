//! Rows: an order, an event and an attempt as both databases hold them.
//!
//! Owns the translation between the domain's values and columns. Rows are written as JSON (one parameter carries a
//! whole group, whatever its size) and read column by column. Never talks to a database.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use solana_sdk::pubkey::Pubkey;
use sqlx::{Row, postgres::PgRow, sqlite::SqliteRow};
use time::{OffsetDateTime, UtcOffset, format_description::BorrowedFormatItem, macros::format_description};

use super::{AttemptRow, Reservation, StoreError};
use crate::domain::{
    Attempt, BaseUnits, BlockHeight, Bps, Lamports, NextStep, Order, OrderEvent, OrderId, OrderStatus, Slot, Status,
    StoredEvent, Swap, Token,
};

/// An order's row, but for what is only known inside the writer (its newest cursor and its promise).
#[derive(Debug, Serialize)]
pub(super) struct OrderRow {
    pub id: String,
    kind: &'static str,
    dialect: &'static str,
    status: &'static str,
    state: String,
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
    limit_amount: Option<BaseUnits>,
    wallet: Option<String>,
    signatures: u8,
    retries: u8,
    failure_code: Option<&'static str>,
    failure_reason: Option<String>,
    tx_signature: Option<String>,
    executed_in: Option<BaseUnits>,
    executed_out: Option<BaseUnits>,
    slot: Option<Slot>,
    fee: Option<BaseUnits>,
    simulated: bool,
    has_work: bool,
    version: u64,
    created_at: String,
    updated_at: String,
}

impl OrderRow {
    /// The order as a row.
    pub(super) fn new(order: &Order) -> Self {
        let mut row = Self {
            id: order.id.to_string(),
            kind: order.kind.as_str(),
            dialect: order.dialect.as_str(),
            status: order.status.name().as_str(),
            state: plain_json(&order.status),
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
            has_work: order.next_step() != NextStep::Nothing,
            version: order.version,
            created_at: time_text(order.created_at),
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
                self.failure_reason = Some(failure.reason.replace('\0', "\u{fffd}"));
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
}

impl PromiseColumns {
    pub(super) fn new(reservation: &Reservation) -> Self {
        let (amount, lamports) = (reservation.amount.get(), reservation.lamports.get());
        Self {
            reserved_wallet: reservation.wallet.to_string(),
            reserved_mint: reservation.mint.to_string(),
            reserved_amount: BaseUnits::new(amount),
            reserved_amount_hi: amount >> 32,
            reserved_amount_lo: amount & u64::from(u32::MAX),
            reserved_lamports: BaseUnits::new(lamports),
            reserved_lamports_hi: lamports >> 32,
            reserved_lamports_lo: lamports & u64::from(u32::MAX),
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

/// The columns of one row, by name, whichever database it came from.
pub(super) trait Columns {
    fn text(&self, name: &str) -> Result<String, StoreError>;
    fn maybe_text(&self, name: &str) -> Result<Option<String>, StoreError>;
    fn integer(&self, name: &str) -> Result<i64, StoreError>;
    fn maybe_bytes(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;
    fn time(&self, name: &str) -> Result<OffsetDateTime, StoreError>;

    /// An integer that is never below zero.
    fn count(&self, name: &str) -> Result<u64, StoreError> {
        self.integer(name)?.try_into().map_err(|_| StoreError::Corrupt(format!("`{name}` is below zero")))
    }

    /// A value whose column holds its text form.
    fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<T, StoreError> {
        let text = self.text(name)?;
        text.parse().map_err(|_| StoreError::Corrupt(format!("`{name}` is `{text}`")))
    }

    /// The same for a column that may be null.
    fn maybe_parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let Some(text) = self.maybe_text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| StoreError::Corrupt(format!("`{name}` is `{text}`")))
    }

    /// A value whose column holds its wire name.
    fn named<T: DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        let text = self.text(name)?;
        serde_json::from_value(Value::String(text)).map_err(|error| StoreError::Corrupt(format!("`{name}`: {error}")))
    }

    /// A value whose column holds its JSON.
    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(name)?).map_err(|error| StoreError::Corrupt(format!("`{name}`: {error}")))
    }

    /// An integer that fits a smaller type.
    fn small<T: TryFrom<i64>>(&self, name: &str) -> Result<T, StoreError> {
        self.integer(name)?.try_into().map_err(|_| StoreError::Corrupt(format!("`{name}` is out of range")))
    }
}

macro_rules! columns_of {
    ($row:ty) => {
        impl Columns for $row {
            fn text(&self, name: &str) -> Result<String, StoreError> {
                Ok(self.try_get(name)?)
            }
            fn maybe_text(&self, name: &str) -> Result<Option<String>, StoreError> {
                Ok(self.try_get(name)?)
            }
            fn integer(&self, name: &str) -> Result<i64, StoreError> {
                Ok(self.try_get(name)?)
            }
            fn maybe_bytes(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
                Ok(self.try_get(name)?)
            }
            fn time(&self, name: &str) -> Result<OffsetDateTime, StoreError> {
                Ok(self.try_get(name)?)
            }
        }
    };
}
columns_of!(SqliteRow);
columns_of!(PgRow);

/// An order from its row. In `Submitted` the attempt has no bytes yet: see [`order_with_wire`].
pub(super) fn order(row: &impl Columns) -> Result<Order, StoreError> {
    let amount = row.parsed::<BaseUnits>("amount")?;
    let swap = match row.text("mode")?.as_str() {
        "exact_in" => Swap::ExactIn(amount),
        "exact_out" => Swap::ExactOut(amount),
        other => return Err(StoreError::Corrupt(format!("`mode` is `{other}`"))),
    };
    let token = |side: &str| {
        Ok::<_, StoreError>(Token {
            symbol: row.text(&format!("{side}_symbol"))?,
            mint: row.parsed(&format!("{side}_mint"))?,
            decimals: row.small(&format!("{side}_decimals"))?,
            program: row.parsed(&format!("{side}_program"))?,
        })
    };
    Ok(Order {
        id: row.parsed("id")?,
        kind: row.named("kind")?,
        dialect: row.named("dialect")?,
        token_in: token("token_in")?,
        token_out: token("token_out")?,
        swap,
        slippage: Bps::new(row.small("slippage_bps")?).map_err(|error| StoreError::Corrupt(error.to_string()))?,
        limit: row.maybe_parsed("limit_amount")?,
        wallet: row.maybe_parsed::<Pubkey>("wallet")?,
        signatures: row.small("signatures")?,
        retries: row.small("retries")?,
        status: row.json("state")?,
        version: row.count("version")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

/// The order of a row that also has its newest attempt's bytes in `wire`.
pub(super) fn order_with_wire(row: &impl Columns) -> Result<Order, StoreError> {
    let mut order = order(row)?;
    if let OrderStatus::Submitted { attempt } = &mut order.status {
        let wire = row.maybe_bytes("wire")?;
        attempt.wire = wire.ok_or_else(|| StoreError::Corrupt(format!("order {} has no attempt", order.id)))?.into();
    }
    Ok(order)
}

/// An event from its row joined with its order's symbols.
pub(super) fn event(row: &impl Columns) -> Result<StoredEvent, StoreError> {
    Ok(StoredEvent {
        cursor: row.count("cursor")?,
        order_id: row.parsed("order_id")?,
        seq: row.count("seq")?,
        status: row.named::<Status>("status")?,
        token_in: row.text("token_in_symbol")?,
        token_out: row.text("token_out_symbol")?,
        at: row.time("created_at")?,
        event: row.json("payload")?,
    })
}

/// An attempt from its row.
pub(super) fn attempt(row: &impl Columns) -> Result<AttemptRow, StoreError> {
    Ok(AttemptRow {
        attempt: Attempt {
            n: row.small("n")?,
            signature: row.parsed("signature")?,
            wallet: row.parsed("wallet")?,
            blockhash: row.parsed("blockhash")?,
            last_valid_block_height: BlockHeight(row.count("last_valid_block_height")?),
            context_slot: Slot(row.count("context_slot")?),
            venue: row.named("venue")?,
            pool: row.parsed("pool")?,
            quoted_in: row.parsed("quoted_in")?,
            quoted_out: row.parsed("quoted_out")?,
            limit: row.parsed("limit_amount")?,
            compute_units: row.small("compute_units")?,
            priority_fee: Lamports::new(row.parsed("priority_fee")?),
            wire: row.maybe_bytes("wire")?.unwrap_or_default().into(),
        },
        outcome: row.maybe_text("outcome")?,
        signed_at: row.time("signed_at")?,
    })
}

/// The event as the store will give it back, and its JSON.
pub(super) fn stored_form(event: &OrderEvent) -> Result<(OrderEvent, String), StoreError> {
    let json = plain_json(event);
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

/// JSON without the character NUL, which PostgreSQL cannot store: a stranger's error text must not stop an order.
fn plain_json(value: &impl Serialize) -> String {
    let text = json(value);
    if !text.contains("\\u0000") {
        return text;
    }
    let mut value = Value::deserialize(&mut serde_json::Deserializer::from_str(&text)).expect("it was just written");
    replace_nul(&mut value);
    json(&value)
}

fn replace_nul(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.replace('\0', "\u{fffd}"),
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

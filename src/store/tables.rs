//! Tables: the columns that writes fill, and what each takes from a planned row.
//!
//! Owns the one list per table from which both databases' statements are made (`statements`). The schema itself is in
//! `migrations/`.

use Kind::{Amount, Bytes, Half, Id, Integer, Json, Text, Time, Truth, Whole};
use Upsert::{Keep, Never, Replace};

use super::{
    cell::Cell,
    change::AttemptOutcome,
    marks::{PlannedMark, PlannedTakeUp},
    plan::{PlannedEvent, PlannedFact, PlannedKey, PlannedOrder},
    rows::AttemptColumns,
};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Id,
    Text,
    Json,
    Bytes,
    Integer,
    Amount,
    /// Half of an amount that SQLite must be able to sum; PostgreSQL has the whole.
    Half,
    /// An amount that PostgreSQL can sum; SQLite has its halves.
    Whole,
    Time,
    Truth,
}

/// What a row that is there already gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Upsert {
    /// Its column stays.
    Never,
    /// The new value.
    Replace,
    /// The new value, unless that is null.
    Keep,
}

/// A column: its name, what it holds, what happens to it in a row that is there, and its value in a planned row.
pub(super) type Column<Get> = (&'static str, Kind, Upsert, Get);

/// A table, or those of its columns that one kind of write fills.
pub(super) struct Table<Get: 'static> {
    pub name: &'static str,
    /// The columns that name a row.
    pub key: &'static [&'static str],
    pub columns: &'static [Column<Get>],
}

/// A value of a planned order. The others are like it.
pub(super) type OfOrder = for<'r> fn(&'r PlannedOrder<'r>) -> Cell<'r>;
pub(super) type OfEvent = for<'r> fn(&'r PlannedEvent<'r>) -> Cell<'r>;
pub(super) type OfAttempt = for<'r> fn(&'r AttemptColumns) -> Cell<'r>;
pub(super) type OfOutcome = for<'r> fn(&'r AttemptOutcome) -> Cell<'r>;
pub(super) type OfMark = for<'r> fn(&'r PlannedMark<'r>) -> Cell<'r>;
pub(super) type OfTakeUp = for<'r> fn(&'r PlannedTakeUp) -> Cell<'r>;
pub(super) type OfKey = for<'r> fn(&'r PlannedKey<'r>) -> Cell<'r>;
pub(super) type OfFact = for<'r> fn(&'r PlannedFact<'r>) -> Cell<'r>;

pub(super) const ORDERS: Table<OfOrder> = Table {
    name: "orders",
    key: &["id"],
    columns: &[
        ("id", Id, Never, |order| order.row.id.into()),
        ("kind", Text, Never, |order| order.fixed(|it| it.kind)),
        ("dialect", Text, Never, |order| order.fixed(|it| it.dialect)),
        ("status", Text, Replace, |order| order.row.status.into()),
        ("state", Json, Replace, |order| order.row.state.as_str().into()),
        ("token_in_symbol", Text, Never, |order| order.fixed(|it| it.token_in_symbol.as_str())),
        ("token_in_mint", Text, Never, |order| order.fixed(|it| it.token_in_mint.as_str())),
        ("token_in_decimals", Integer, Never, |order| order.fixed(|it| it.token_in_decimals)),
        ("token_in_program", Text, Never, |order| order.fixed(|it| it.token_in_program.as_str())),
        ("token_out_symbol", Text, Never, |order| order.fixed(|it| it.token_out_symbol.as_str())),
        ("token_out_mint", Text, Never, |order| order.fixed(|it| it.token_out_mint.as_str())),
        ("token_out_decimals", Integer, Never, |order| order.fixed(|it| it.token_out_decimals)),
        ("token_out_program", Text, Never, |order| order.fixed(|it| it.token_out_program.as_str())),
        ("mode", Text, Never, |order| order.fixed(|it| it.mode)),
        ("amount", Amount, Never, |order| order.fixed(|it| it.amount)),
        ("slippage_bps", Integer, Never, |order| order.fixed(|it| it.slippage_bps)),
        ("limit_amount", Amount, Replace, |order| order.row.limit_amount.into()),
        ("wallet", Text, Replace, |order| order.row.wallet.as_deref().into()),
        ("expires_at", Time, Never, |order| order.fixed(|it| it.expires_at)),
        ("pool_wish", Json, Never, |order| order.fixed(|it| it.pool_wish.as_deref())),
        ("signatures", Integer, Replace, |order| order.row.signatures.into()),
        ("retries", Integer, Replace, |order| order.row.retries.into()),
        ("failure_code", Text, Replace, |order| order.row.failure_code.into()),
        ("failure_reason", Text, Replace, |order| order.row.failure_reason.as_deref().into()),
        ("tx_signature", Text, Replace, |order| order.row.tx_signature.as_deref().into()),
        ("executed_in", Amount, Replace, |order| order.row.executed_in.into()),
        ("executed_out", Amount, Replace, |order| order.row.executed_out.into()),
        ("slot", Integer, Replace, |order| order.row.slot.into()),
        ("fee", Amount, Replace, |order| order.row.fee.into()),
        ("simulated", Truth, Replace, |order| order.row.simulated.into()),
        ("reserved_wallet", Text, Keep, |order| order.promise(|it| it.wallet.as_str())),
        ("reserved_mint", Text, Keep, |order| order.promise(|it| it.mint.as_str())),
        ("reserved_amount", Whole, Keep, |order| order.promise(|it| it.amount)),
        ("reserved_amount_hi", Half, Keep, |order| order.promise(|it| it.amount.get() >> 32)),
        ("reserved_amount_lo", Half, Keep, |order| order.promise(|it| it.amount.get() & LOW)),
        ("reserved_lamports", Whole, Keep, |order| order.promise(|it| it.lamports)),
        ("reserved_lamports_hi", Half, Keep, |order| order.promise(|it| it.lamports.get() >> 32)),
        ("reserved_lamports_lo", Half, Keep, |order| order.promise(|it| it.lamports.get() & LOW)),
        ("promised_in", Whole, Keep, |order| order.promise(|it| it.spends)),
        ("promised_in_hi", Half, Keep, |order| order.promise(|it| it.spends.get() >> 32)),
        ("promised_in_lo", Half, Keep, |order| order.promise(|it| it.spends.get() & LOW)),
        ("promised_at", Time, Keep, |order| order.promise(|it| it.at)),
        ("last_cursor", Integer, Replace, |order| order.last_cursor.into()),
        ("has_work", Truth, Replace, |order| order.row.has_work.into()),
        ("take_ups", Integer, Replace, |_| 0_u64.into()), // it moved
        ("set_aside_at", Time, Replace, |order| order.row.set_aside_at.into()),
        ("set_aside_cause", Text, Replace, |order| order.row.set_aside_cause.into()),
        ("set_aside_reason", Text, Replace, |order| order.row.set_aside_reason.as_deref().into()),
        ("unknown_since", Time, Replace, |order| order.row.unknown_since.into()),
        ("unknown_reason", Text, Replace, |order| order.row.unknown_reason.as_deref().into()),
        ("version", Integer, Replace, |order| order.row.version.into()),
        ("created_at", Time, Never, |order| order.fixed(|it| it.created_at)),
        ("updated_at", Time, Replace, |order| order.row.updated_at.into()),
    ],
};

/// The lower half of an amount.
const LOW: u64 = u32::MAX as u64;

pub(super) const EVENTS: Table<OfEvent> = Table {
    name: "order_status_history",
    key: &["cursor"],
    columns: &[
        ("cursor", Integer, Never, |event| event.cursor.into()),
        ("order_id", Id, Never, |event| event.order_id.into()),
        ("seq", Integer, Never, |event| event.seq.into()),
        ("status", Text, Never, |event| event.status.as_str().into()),
        ("event", Text, Never, |event| event.event.into()),
        ("payload", Json, Never, |event| event.payload.into()),
        ("created_at", Time, Never, |event| event.created_at.into()),
    ],
};

pub(super) const ATTEMPTS: Table<OfAttempt> = Table {
    name: "attempts",
    key: &["signature"],
    columns: &[
        ("order_id", Id, Never, |attempt| attempt.order_id.into()),
        ("n", Integer, Never, |attempt| attempt.n.into()),
        ("signature", Text, Never, |attempt| attempt.signature.as_str().into()),
        ("wire", Bytes, Never, |attempt| (&*attempt.wire).into()),
        ("blockhash", Text, Never, |attempt| attempt.blockhash.as_str().into()),
        ("last_valid_block_height", Integer, Never, |attempt| attempt.last_valid_block_height.into()),
        ("context_slot", Integer, Never, |attempt| attempt.context_slot.into()),
        ("venue", Text, Never, |attempt| attempt.venue.into()),
        ("pool", Text, Never, |attempt| attempt.pool.as_str().into()),
        ("wallet", Text, Never, |attempt| attempt.wallet.as_str().into()),
        ("quoted_in", Amount, Never, |attempt| attempt.quoted_in.into()),
        ("quoted_out", Amount, Never, |attempt| attempt.quoted_out.into()),
        ("limit_amount", Amount, Never, |attempt| attempt.limit_amount.into()),
        ("compute_units", Integer, Never, |attempt| attempt.compute_units.into()),
        ("priority_fee", Amount, Never, |attempt| attempt.priority_fee.into()),
        ("signed_at", Time, Never, |attempt| attempt.signed_at.into()),
    ],
};

/// What became of attempts.
pub(super) const OUTCOMES: Table<OfOutcome> = Table {
    name: "attempts",
    key: &["order_id", "n"],
    columns: &[
        ("order_id", Id, Never, |it| it.order_id.into()),
        ("n", Integer, Never, |it| it.n.into()),
        ("outcome", Text, Replace, |it| it.outcome.into()),
        ("slot", Integer, Replace, |it| it.slot.into()),
    ],
};

/// Orders that are set aside, or no longer.
pub(super) const MARKS: Table<OfMark> = Table {
    name: "orders",
    key: &["id"],
    columns: &[
        ("id", Id, Never, |mark| mark.id.into()),
        ("version", Integer, Replace, |mark| mark.version.into()),
        ("last_cursor", Integer, Replace, |mark| mark.last_cursor.into()),
        ("updated_at", Time, Replace, |mark| mark.updated_at.into()),
        ("take_ups", Integer, Replace, |_| 0_u64.into()),
        ("set_aside_at", Time, Replace, |mark| mark.set_aside_at.into()),
        ("set_aside_cause", Text, Replace, |mark| mark.set_aside_cause.into()),
        ("set_aside_reason", Text, Replace, |mark| mark.set_aside_reason.into()),
    ],
};

/// How often orders were taken up.
pub(super) const TAKE_UPS: Table<OfTakeUp> = Table {
    name: "orders",
    key: &["id"],
    columns: &[("id", Id, Never, |it| it.id.into()), ("take_ups", Integer, Replace, |it| it.take_ups.into())],
};

pub(super) const KEYS: Table<OfKey> = Table {
    name: "idempotency_keys",
    key: &["key"],
    columns: &[
        ("key", Text, Never, |it| it.key.into()),
        ("body", Bytes, Never, |it| it.body.into()),
        ("order_id", Id, Never, |it| it.order_id.into()),
        ("created_at", Time, Never, |it| it.created_at.into()),
    ],
};

pub(super) const FACTS: Table<OfFact> = Table {
    name: "facts",
    key: &["name"],
    columns: &[("name", Text, Never, |fact| fact.name.into()), ("value", Text, Replace, |fact| fact.value.into())],
};

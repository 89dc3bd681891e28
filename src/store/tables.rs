//! Tables: the columns that writes fill, and the statement that stores many rows at once.
//!
//! Owns the two dialects of one idea: a JSON array of rows goes in as a single parameter, so that a statement's text,
//! and with it its prepared plan, is the same for a group of any size. The schema itself is in `migrations/`.

use std::sync::LazyLock;

use Kind::{Amount, Half, Hex, Id, Integer, Json, Small, Text, Time, Truth};
use Upsert::{Keep, Never, Replace};

/// What a column holds; decides how JSON becomes a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Id,
    Text,
    Json,
    Hex,
    Small,
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
enum Upsert {
    /// Its column stays.
    Never,
    /// The new value.
    Replace,
    /// The new value, unless that is null.
    Keep,
}

struct Table {
    name: &'static str,
    /// The column by which a row may be there already.
    key: Option<&'static str>,
    columns: &'static [(&'static str, Kind, Upsert)],
}

/// The statements of one dialect, each taking one JSON array.
pub(super) struct Statements {
    pub orders: String,
    pub events: String,
    pub attempts: String,
    pub outcomes: &'static str,
    pub marks: &'static str,
    pub take_ups: &'static str,
    pub keys: String,
    pub facts: String,
}

/// SQLite's statements.
pub(super) static SQLITE: LazyLock<Statements> = LazyLock::new(|| Statements {
    orders: ORDERS.for_sqlite(),
    events: EVENTS.for_sqlite(),
    attempts: ATTEMPTS.for_sqlite(),
    outcomes: "update attempts set outcome = r.value->>'outcome', slot = r.value->>'slot' from json_each(?1) r \
        where attempts.order_id = r.value->>'order_id' and attempts.n = r.value->>'n'",
    marks: "update orders set version = r.value->>'version', last_cursor = r.value->>'last_cursor', \
        updated_at = r.value->>'updated_at', take_ups = 0, set_aside_at = r.value->>'set_aside_at', \
        set_aside_cause = r.value->>'set_aside_cause', set_aside_reason = r.value->>'set_aside_reason' \
        from json_each(?1) r where orders.id = r.value->>'id'",
    take_ups: "update orders set take_ups = r.value->>'take_ups' from json_each(?1) r where orders.id = r.value->>'id'",
    keys: KEYS.for_sqlite(),
    facts: FACTS.for_sqlite(),
});

/// PostgreSQL's statements.
pub(super) static POSTGRES: LazyLock<Statements> = LazyLock::new(|| Statements {
    orders: ORDERS.for_postgres(),
    events: EVENTS.for_postgres(),
    attempts: ATTEMPTS.for_postgres(),
    outcomes: "update attempts set outcome = r.outcome, slot = r.slot \
        from json_to_recordset($1::json) as r(order_id uuid, n smallint, outcome text, slot bigint) \
        where attempts.order_id = r.order_id and attempts.n = r.n",
    marks: "update orders set version = r.version, last_cursor = r.last_cursor, updated_at = r.updated_at, \
        take_ups = 0, set_aside_at = r.set_aside_at, set_aside_cause = r.set_aside_cause, \
        set_aside_reason = r.set_aside_reason from json_to_recordset($1::json) as r(id uuid, version bigint, \
        last_cursor bigint, updated_at timestamptz, set_aside_at timestamptz, set_aside_cause text, \
        set_aside_reason text) where orders.id = r.id",
    take_ups: "update orders set take_ups = r.take_ups \
        from json_to_recordset($1::json) as r(id uuid, take_ups integer) where orders.id = r.id",
    keys: KEYS.for_postgres(),
    facts: FACTS.for_postgres(),
});

const ORDERS: Table = Table {
    name: "orders",
    key: Some("id"),
    columns: &[
        ("id", Id, Never),
        ("kind", Text, Never),
        ("dialect", Text, Never),
        ("status", Text, Replace),
        ("state", Json, Replace),
        ("token_in_symbol", Text, Never),
        ("token_in_mint", Text, Never),
        ("token_in_decimals", Small, Never),
        ("token_in_program", Text, Never),
        ("token_out_symbol", Text, Never),
        ("token_out_mint", Text, Never),
        ("token_out_decimals", Small, Never),
        ("token_out_program", Text, Never),
        ("mode", Text, Never),
        ("amount", Amount, Never),
        ("slippage_bps", Integer, Never),
        ("limit_amount", Amount, Replace),
        ("wallet", Text, Replace),
        ("expires_at", Time, Never),
        ("pool_wish", Json, Never),
        ("signatures", Small, Replace),
        ("retries", Small, Replace),
        ("failure_code", Text, Replace),
        ("failure_reason", Text, Replace),
        ("tx_signature", Text, Replace),
        ("executed_in", Amount, Replace),
        ("executed_out", Amount, Replace),
        ("slot", Integer, Replace),
        ("fee", Amount, Replace),
        ("simulated", Truth, Replace),
        ("reserved_wallet", Text, Keep),
        ("reserved_mint", Text, Keep),
        ("reserved_amount", Kind::Whole, Keep),
        ("reserved_amount_hi", Half, Keep),
        ("reserved_amount_lo", Half, Keep),
        ("reserved_lamports", Kind::Whole, Keep),
        ("reserved_lamports_hi", Half, Keep),
        ("reserved_lamports_lo", Half, Keep),
        ("promised_in", Kind::Whole, Keep),
        ("promised_in_hi", Half, Keep),
        ("promised_in_lo", Half, Keep),
        ("promised_at", Time, Keep),
        ("last_cursor", Integer, Replace),
        ("has_work", Truth, Replace),
        ("take_ups", Integer, Replace),
        ("set_aside_at", Time, Replace),
        ("set_aside_cause", Text, Replace),
        ("set_aside_reason", Text, Replace),
        ("unknown_since", Time, Replace),
        ("unknown_reason", Text, Replace),
        ("version", Integer, Replace),
        ("created_at", Time, Never),
        ("updated_at", Time, Replace),
    ],
};

const EVENTS: Table = Table {
    name: "order_status_history",
    key: None,
    columns: &[
        ("cursor", Integer, Never),
        ("order_id", Id, Never),
        ("seq", Integer, Never),
        ("status", Text, Never),
        ("event", Text, Never),
        ("payload", Json, Never),
        ("created_at", Time, Never),
    ],
};

const ATTEMPTS: Table = Table {
    name: "attempts",
    key: None,
    columns: &[
        ("order_id", Id, Never),
        ("n", Small, Never),
        ("signature", Text, Never),
        ("wire", Hex, Never),
        ("blockhash", Text, Never),
        ("last_valid_block_height", Integer, Never),
        ("context_slot", Integer, Never),
        ("venue", Text, Never),
        ("pool", Text, Never),
        ("wallet", Text, Never),
        ("quoted_in", Amount, Never),
        ("quoted_out", Amount, Never),
        ("limit_amount", Amount, Never),
        ("compute_units", Integer, Never),
        ("priority_fee", Amount, Never),
        ("signed_at", Time, Never),
    ],
};

const KEYS: Table = Table {
    name: "idempotency_keys",
    key: None,
    columns: &[("key", Text, Never), ("body", Hex, Never), ("order_id", Id, Never), ("created_at", Time, Never)],
};

const FACTS: Table =
    Table { name: "facts", key: Some("name"), columns: &[("name", Text, Never), ("value", Text, Replace)] };

impl Table {
    fn for_sqlite(&self) -> String {
        let columns = || self.columns.iter().filter(|(_, kind, _)| *kind != Kind::Whole);
        let values = columns().map(|(name, kind, _)| match kind {
            Hex => format!("unhex(value->>'{name}')"),
            _ => format!("value->>'{name}'"),
        });
        // "where true": without it the parser takes "on conflict" for a join's "on".
        format!(
            "insert into {} ({}) select {} from json_each(?1) where true {}",
            self.name,
            join(columns().map(|(name, _, _)| (*name).to_owned())),
            join(values),
            self.on_conflict(columns()),
        )
    }

    fn for_postgres(&self) -> String {
        let columns = || self.columns.iter().filter(|(_, kind, _)| *kind != Half);
        let values = columns().map(|(name, kind, _)| match kind {
            Json => format!("{name}::jsonb"),
            Hex => format!("decode({name}, 'hex')"),
            _ => (*name).to_owned(),
        });
        let types = columns().map(|(name, kind, _)| {
            let kind = match kind {
                Id => "uuid",
                Text | Json | Hex => "text",
                Small => "smallint",
                Integer | Half => "bigint",
                Amount | Kind::Whole => "numeric",
                Time => "timestamptz",
                Truth => "boolean",
            };
            format!("{name} {kind}")
        });
        format!(
            "insert into {} ({}) select {} from json_to_recordset($1::json) as r({}) {}",
            self.name,
            join(columns().map(|(name, _, _)| (*name).to_owned())),
            join(values),
            join(types),
            self.on_conflict(columns()),
        )
    }

    fn on_conflict<'a>(&self, columns: impl Iterator<Item = &'a (&'static str, Kind, Upsert)>) -> String {
        let Some(key) = self.key else { return String::new() };
        let changes = columns.filter_map(|(name, _, upsert)| match upsert {
            Never => None,
            Replace => Some(format!("{name} = excluded.{name}")),
            Keep => Some(format!("{name} = coalesce(excluded.{name}, {}.{name})", self.name)),
        });
        format!("on conflict ({key}) do update set {}", join(changes))
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

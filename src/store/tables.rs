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
    /// The column that names a row.
    key: &'static str,
    columns: &'static [Column],
}

/// The statements of one dialect, each taking one JSON array.
pub(super) struct Statements {
    /// New orders.
    pub orders: String,
    /// Orders that are there: what may change of them.
    pub moves: String,
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
    orders: ORDERS.insert(Sql::Sqlite),
    moves: ORDERS.update(Sql::Sqlite),
    events: EVENTS.insert(Sql::Sqlite),
    attempts: ATTEMPTS.insert(Sql::Sqlite),
    outcomes: "update attempts set outcome = r.value->>'outcome', slot = r.value->>'slot' from json_each(?1) r \
        where attempts.order_id = r.value->>'order_id' and attempts.n = r.value->>'n'",
    marks: "update orders set version = r.value->>'version', last_cursor = r.value->>'last_cursor', \
        updated_at = r.value->>'updated_at', take_ups = 0, set_aside_at = r.value->>'set_aside_at', \
        set_aside_cause = r.value->>'set_aside_cause', set_aside_reason = r.value->>'set_aside_reason' \
        from json_each(?1) r where orders.id = r.value->>'id'",
    take_ups: "update orders set take_ups = r.value->>'take_ups' from json_each(?1) r where orders.id = r.value->>'id'",
    keys: KEYS.insert(Sql::Sqlite),
    facts: FACTS.upsert(Sql::Sqlite),
});

/// PostgreSQL's statements.
pub(super) static POSTGRES: LazyLock<Statements> = LazyLock::new(|| Statements {
    orders: ORDERS.insert(Sql::Postgres),
    moves: ORDERS.update(Sql::Postgres),
    events: EVENTS.insert(Sql::Postgres),
    attempts: ATTEMPTS.insert(Sql::Postgres),
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
    keys: KEYS.insert(Sql::Postgres),
    facts: FACTS.upsert(Sql::Postgres),
});

const ORDERS: Table = Table {
    name: "orders",
    key: "id",
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
    key: "cursor",
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
    key: "signature",
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
    key: "key",
    columns: &[("key", Text, Never), ("body", Hex, Never), ("order_id", Id, Never), ("created_at", Time, Never)],
};

const FACTS: Table = Table { name: "facts", key: "name", columns: &[("name", Text, Never), ("value", Text, Replace)] };

type Column = (&'static str, Kind, Upsert);

/// A database's way to say the same.
#[derive(Clone, Copy)]
enum Sql {
    Sqlite,
    Postgres,
}

impl Sql {
    fn has(self, kind: Kind) -> bool {
        match self {
            Self::Sqlite => kind != Kind::Whole,
            Self::Postgres => kind != Half,
        }
    }

    /// A column's value, out of a row of the parameter.
    fn value(self, (name, kind, _): &Column) -> String {
        match (self, kind) {
            (Self::Sqlite, Hex) => format!("unhex(r.value->>'{name}')"),
            (Self::Sqlite, _) => format!("r.value->>'{name}'"),
            (Self::Postgres, Json) => format!("r.{name}::jsonb"),
            (Self::Postgres, Hex) => format!("decode(r.{name}, 'hex')"),
            (Self::Postgres, _) => format!("r.{name}"),
        }
    }

    /// The parameter's rows as a table `r`.
    fn rows<'a>(self, columns: impl Iterator<Item = &'a Column>) -> String {
        match self {
            Self::Sqlite => "json_each(?1) as r".to_owned(),
            Self::Postgres => {
                let types = columns.map(|(name, kind, _)| {
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
                format!("json_to_recordset($1::json) as r({})", join(types))
            }
        }
    }
}

impl Table {
    fn columns(&self, sql: Sql) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(move |(_, kind, _)| sql.has(*kind))
    }

    /// Stores rows that are not there.
    fn insert(&self, sql: Sql) -> String {
        format!(
            "insert into {} ({}) select {} from {}",
            self.name,
            join(self.columns(sql).map(|(name, _, _)| (*name).to_owned())),
            join(self.columns(sql).map(|column| sql.value(column))),
            sql.rows(self.columns(sql)),
        )
    }

    /// Changes rows that are there.
    fn update(&self, sql: Sql) -> String {
        let touched = |column: &&Column| column.0 == self.key || column.2 != Never;
        let changes = self.columns(sql).filter_map(|column| {
            let (name, value) = (column.0, sql.value(column));
            match column.2 {
                Never => None,
                Replace => Some(format!("{name} = {value}")),
                Keep => Some(format!("{name} = coalesce({value}, {}.{name})", self.name)),
            }
        });
        let key = self.columns(sql).find(|column| column.0 == self.key).map(|column| sql.value(column));
        format!(
            "update {} set {} from {} where {}.{} = {}",
            self.name,
            join(changes),
            sql.rows(self.columns(sql).filter(touched)),
            self.name,
            self.key,
            key.unwrap_or_default(),
        )
    }

    /// Stores rows, over those that are there.
    fn upsert(&self, sql: Sql) -> String {
        let changes = self.columns(sql).filter(|column| column.2 == Replace);
        let changes = changes.map(|(name, _, _)| format!("{name} = excluded.{name}"));
        // "where true": without it SQLite takes "on conflict" for a join's "on".
        format!("{} where true on conflict ({}) do update set {}", self.insert(sql), self.key, join(changes))
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

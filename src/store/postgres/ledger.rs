//! Ledger: how a group of writes gets into the PostgreSQL database.
//!
//! Owns the one connection that writes, the lock under which the writers of all processes take turns, and the queries for
//! what `plan` must know. The lock is held until the commit: so cursors are numbered in the order in which readers see them,
//! and what `plan` was told stays true until it is stored.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{
    Arguments, Executor, PgConnection, PgPool, Postgres,
    error::{BoxDynError, DatabaseError},
    pool::PoolConnection,
    postgres::{PgArguments, PgRow},
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use super::signed;
use crate::store::{
    PAUSED, StoreError,
    cell::Cell,
    change::{Change, Outcome},
    columns::{self, Columns},
    known::{Known, Promise, Wanted},
    plan::{Plan, plan},
    statements::{Filled, POSTGRES, TOGETHER},
    tables::Kind,
    timed_out,
    writer::Ledger,
};

/// Settings of the connection that writes. All its statements find their rows one by one in an index, but its prepared plans
/// are made while the tables may be empty, and left to themselves they would go on reading whole tables once those have
/// grown. A plan that cannot do without what is off here must at least not be compiled. And as no group's size changes what
/// is best, no plan is made twice.
pub(super) const ONE_BY_ONE: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];
/// The longest a group may take, with its connection and the wait for the lock: below a caller's
/// patience, which also counts the wait for the group before.
const COMMIT: Duration = Duration::from_millis(4_500);
/// Begins a transaction under the lock by which writers take turns. Advisory locks belong to one database; this one's
/// number is "swapd" in ASCII, and 1.
const BEGIN: &str = "begin; select pg_advisory_xact_lock(x'737761706401'::bigint)";

/// What the writer task commits to.
pub(super) struct PostgresLedger {
    pool: PgPool,
    /// The connection of the last group, if nothing went wrong on it.
    kept: Mutex<Option<PoolConnection<Postgres>>>,
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn commit(&self, changes: &[Change]) -> Result<Vec<Result<Outcome, StoreError>>, StoreError> {
        let until = Instant::now() + COMMIT;
        let mut kept = self.kept.lock().await;
        let mut connection = self.begun(kept.take(), until).await?;
        match timeout_at(until, commit(&mut connection, changes)).await {
            Ok(Ok(answers)) => {
                *kept = Some(connection);
                Ok(answers)
            }
            Ok(Err(error)) => Err(given_up(connection, error)),
            Err(_) => Err(given_up(connection, timed_out())),
        }
    }
}

impl PostgresLedger {
    /// Over a pool of one connection.
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, kept: Mutex::default() }
    }

    /// A connection inside a transaction that holds the writers' lock.
    async fn begun(
        &self,
        kept: Option<PoolConnection<Postgres>>,
        until: Instant,
    ) -> Result<PoolConnection<Postgres>, StoreError> {
        if let Some(mut connection) = kept {
            match timeout_at(until, begin(&mut connection)).await {
                Ok(Ok(())) => return Ok(connection),
                // The server lives, and another connection would only wait for the same lock.
                Ok(Err(error @ sqlx::Error::Database(_))) if !is_over(&error) => {
                    return Err(given_up(connection, error.into()));
                }
                // It died since the last group; nothing is written yet.
                Ok(Err(_)) => drop(connection.detach()),
                Err(_) => return Err(given_up(connection, timed_out())),
            }
        }
        let connection = timeout_at(until, self.pool.acquire()).await.map_err(|_| timed_out())?;
        let mut connection = connection?;
        match timeout_at(until, begin(&mut connection)).await {
            Ok(Ok(())) => Ok(connection),
            Ok(Err(error)) => Err(given_up(connection, error.into())),
            Err(_) => Err(given_up(connection, timed_out())),
        }
    }
}

/// Whether the server has ended the session: it was told to, or goes down (SQLSTATE 57P01 to 57P05).
fn is_over(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code.starts_with("57P"))
}

/// Closes a connection of which nobody knows what it is doing; closed, it rolls back.
fn given_up(connection: PoolConnection<Postgres>, error: StoreError) -> StoreError {
    drop(connection.detach());
    error
}

/// The lock in a statement of its own: the ones after it then see everything that was committed under it.
async fn begin(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection.execute(BEGIN).await.map(drop)
}

async fn commit(
    connection: &mut PgConnection,
    changes: &[Change],
) -> Result<Vec<Result<Outcome, StoreError>>, StoreError> {
    let known = load(connection, &Wanted::by(changes)).await?;
    let plan = plan(changes, known);
    store(connection, &plan).await?;
    connection.execute("commit").await?;
    Ok(plan.answers)
}

/// The promises of the wallets $1 to open orders but those of $2, summed.
pub(super) const OPEN_PROMISES: &str = "select reserved_wallet, reserved_mint, count(*) as orders, \
    sum(reserved_amount)::text as reserved_amount, sum(reserved_lamports)::text as reserved_lamports from orders \
    where reserved_wallet = any($1) and status in ('pending', 'routing', 'building', 'submitted') \
    and id <> all($2) group by reserved_wallet, reserved_mint";

async fn load(db: &mut PgConnection, wanted: &Wanted) -> Result<Known, StoreError> {
    let mut known = Known::default();
    if wanted.orders.is_empty() {
        return Ok(known);
    }
    let ids: Vec<_> = wanted.orders.iter().map(|id| id.0).collect();
    // One row for each id, whether or not there is such an order, so that the newest cursor comes along.
    let orders = "select (select coalesce(max(cursor), 0) from order_status_history) as cursor, o.id::text, version, \
        status::text, last_cursor, has_work, updated_at, set_aside_at, take_ups::bigint, token_in_symbol, \
        token_out_symbol, reserved_wallet, reserved_mint, reserved_amount::text, reserved_lamports::text \
        from unnest($1::uuid[]) as wanted (id) left join orders o on o.id = wanted.id";
    for row in sqlx::query(orders).bind(&ids).fetch_all(&mut *db).await? {
        known.cursor = row.count("cursor")?;
        if row.maybe_text("id")?.is_none() {
            continue;
        }
        known.orders.insert(row.parsed("id")?, columns::known_order(&row, promise)?);
    }
    if !wanted.keys.is_empty() {
        let keys = "select key, body, order_id::text from idempotency_keys where key = any($1)";
        for row in sqlx::query(keys).bind(&wanted.keys).fetch_all(&mut *db).await? {
            let body = row.maybe_bytes("body")?.unwrap_or_default();
            known.keys.insert(row.text("key")?, (body, row.parsed("order_id")?));
        }
    }
    if wanted.signs {
        let fact = sqlx::query("select value from facts where name = $1").bind(PAUSED);
        let fact = fact.fetch_optional(&mut *db).await?.map(|row| row.text("value")).transpose()?;
        known.paused = fact.is_some_and(|reason| !reason.is_empty());
    }
    if !wanted.wallets.is_empty() {
        for row in sqlx::query(OPEN_PROMISES).bind(&wanted.wallets).bind(&ids).fetch_all(&mut *db).await? {
            known.promises.push(promise(&row, row.text("reserved_wallet")?, None)?);
        }
        let ended = "select reserved_wallet, reserved_mint, reserved_amount::text, reserved_lamports::text, \
            last_cursor from orders where reserved_wallet = any($1) \
            and status in ('confirmed', 'failed', 'cancelled') and last_cursor > $3 and id <> all($2)";
        let ended = sqlx::query(ended).bind(&wanted.wallets).bind(&ids).bind(signed(wanted.ended_after));
        for row in ended.fetch_all(&mut *db).await? {
            known.promises.push(promise(&row, row.text("reserved_wallet")?, Some(row.count("last_cursor")?))?);
        }
    }
    if let Some(after) = wanted.spent_after {
        // Each order of the group by itself, since its own earlier promise does not count against it.
        let spends = "select token_in_mint, reserved_wallet, sum(promised_in)::text as promised_in, \
            max(promised_at) as promised_at, case when id = any($2) then id::text end as member from orders \
            where promised_at is not null and status not in ('failed', 'cancelled') \
            and token_in_mint = any($1) and promised_at > $3 group by token_in_mint, reserved_wallet, member";
        let spends = sqlx::query(spends).bind(&wanted.capped).bind(&ids).bind(after);
        for row in spends.fetch_all(&mut *db).await? {
            known.spending.add(&row, row.parsed("promised_in")?)?;
        }
    }
    Ok(known)
}

/// A promise, or the sum of several.
pub(super) fn promise(row: &PgRow, wallet: String, ended_at: Option<u64>) -> Result<Promise, StoreError> {
    Ok(Promise {
        wallet,
        mint: row.text("reserved_mint")?,
        amount: row.parsed("reserved_amount")?,
        lamports: row.parsed("reserved_lamports")?,
        ended_at,
    })
}

async fn store(db: &mut PgConnection, plan: &Plan<'_>) -> Result<(), StoreError> {
    let [orders, moves, events, others @ ..] = plan.statements(&POSTGRES);
    let together = [orders, moves, events];
    if !together.iter().all(Filled::is_empty) {
        run(db, &TOGETHER, &together).await?;
    }
    for filled in others.iter().filter(|filled| !filled.is_empty()) {
        run(db, filled.text(), std::slice::from_ref(filled)).await?;
    }
    Ok(())
}

async fn run(db: &mut PgConnection, statement: &'static str, filled: &[Filled<'_, '_>]) -> Result<(), StoreError> {
    let mut parameters = PgArguments::default();
    for (kind, cells) in filled.iter().flat_map(Filled::by_column) {
        bind(&mut parameters, kind, cells).map_err(sqlx::Error::Encode)?;
    }
    sqlx::query_with(statement, parameters).execute(db).await?;
    Ok(())
}

/// A column's values as an array.
fn bind<'r>(
    parameters: &mut PgArguments,
    kind: Kind,
    cells: impl Iterator<Item = Cell<'r>>,
) -> Result<(), BoxDynError> {
    macro_rules! array {
        ($value:pat => $form:expr) => {{
            let values = cells.map(|cell| match cell {
                $value => Ok(Some($form)),
                Cell::Null => Ok(None),
                other => Err(format!("{other:?} is not what a column of {kind:?} holds")),
            });
            parameters.add(values.collect::<Result<Vec<_>, _>>()?)
        }};
    }
    match kind {
        Kind::Text | Kind::Json => array!(Cell::Text(text) => text),
        Kind::Bytes => array!(Cell::Bytes(bytes) => bytes),
        Kind::Integer | Kind::Half => array!(Cell::Integer(integer) => integer),
        Kind::Amount | Kind::Whole => array!(Cell::Amount(amount) => amount.to_string()),
        Kind::Time => array!(Cell::Time(at) => at),
        Kind::Truth => array!(Cell::Truth(truth) => truth),
        Kind::Id => array!(Cell::Id(id) => id.0),
    }
}

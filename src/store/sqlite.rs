//! SQLite store: one file, for one process (a second one may look in, and even write).
//!
//! Owns the connections: one that writes, under the writer task, and a few that read beside it (WAL). A commit is
//! on the disk before it is answered (`synchronous = full`). Never decides what a write does: see `plan`.

use std::{path::Path, str::FromStr, time::Duration};

use async_trait::async_trait;
use solana_sdk::pubkey::Pubkey;
use sqlx::{
    Connection, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use time::OffsetDateTime;
use tokio::time::timeout;

use super::{
    AttemptRow, Census, Creation, IdempotencyKey, OrderFilter, OrderStore, Promised, Reservation, StoreError,
    change::{Change, Outcome},
    columns::{self, Columns},
    listing, migrations,
    plan::{Known, KnownOrder, Plan, Promise, Wanted, plan},
    rows,
    tables::SQLITE,
    timed_out,
    writer::{Ledger, Writer},
};
use crate::domain::{Order, OrderEvent, OrderId, Status, StoredEvent};

/// How long a statement waits for somebody else's lock on the file.
const BUSY: Duration = Duration::from_secs(3);
/// The longest a read may take.
const READ: Duration = Duration::from_secs(5);
/// Connections that read. The file's readers never wait for its writer.
const READERS: u32 = 4;

const ORDER: &str = "id, kind, dialect, state, token_in_symbol, token_in_mint, token_in_decimals, token_in_program, \
    token_out_symbol, token_out_mint, token_out_decimals, token_out_program, mode, amount, slippage_bps, limit_amount, \
    wallet, pool_wish, signatures, retries, version, created_at, updated_at";
const EVENT: &str = "e.cursor, e.order_id, e.seq, e.status, e.payload, e.created_at, o.token_in_symbol, \
    o.token_out_symbol from order_status_history e join orders o on o.id = e.order_id";

const NEWEST: &str = "select coalesce(max(cursor), 0) as cursor from order_status_history";
const CENSUS: &str = "select status, count(*) as orders, min(created_at) as oldest, \
    coalesce(sum(reserved_lamports_hi), 0) as reserved_hi, coalesce(sum(reserved_lamports_lo), 0) as reserved_lo \
    from orders where status in ('pending', 'routing', 'building', 'submitted') group by status";

/// Orders in one SQLite file.
pub struct SqliteStore {
    writer: Writer,
    write_pool: SqlitePool,
    read_pool: SqlitePool,
}

impl SqliteStore {
    /// Opens or creates the file that `url` names, and migrates it.
    ///
    /// # Errors
    /// `Open`, when that cannot be done.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let failed = |error: sqlx::Error| StoreError::Open(error.to_string());
        let options = SqliteConnectOptions::from_str(url).map_err(failed)?.busy_timeout(BUSY).foreign_keys(true);
        let in_memory = url.contains(":memory:") || url.contains("mode=memory");
        let read_only = url.contains("mode=ro");
        let write_options = if read_only {
            options.clone()
        } else {
            options
                .clone()
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
        };
        if let Some(folder) = options.get_filename().parent()
            && !in_memory
            && !read_only
            && folder != Path::new("")
        {
            let made = tokio::fs::create_dir_all(folder).await;
            made.map_err(|error| StoreError::Open(format!("{}: {error}", folder.display())))?;
        }
        // A database in memory lives as long as its connection: that one is never given up, and serves reads too.
        let write_pool = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(READ)
            .connect_with(write_options)
            .await
            .map_err(failed)?;
        if !read_only {
            let schema = migrations([
                (1, "orders", include_str!("../../migrations/sqlite/0001_orders.sql")),
                (3, "pool wish", include_str!("../../migrations/sqlite/0003_pool_wish.sql")),
            ]);
            schema.run(&write_pool).await.map_err(|error| StoreError::Open(error.to_string()))?;
        }
        let read_pool = if in_memory {
            write_pool.clone()
        } else {
            SqlitePoolOptions::new()
                .max_connections(READERS)
                .acquire_timeout(READ)
                .connect_with(options.pragma("query_only", "on"))
                .await
                .map_err(failed)?
        };
        let writer = Writer::start(SqliteLedger { pool: write_pool.clone() });
        Ok(Self { writer, write_pool, read_pool })
    }
}

/// What the writer task commits to.
struct SqliteLedger {
    pool: SqlitePool,
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn commit(&self, changes: &[Change]) -> Result<Vec<Result<Outcome, StoreError>>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        // "immediate" takes the file's write lock at once: nobody else writes between what is read here and the commit.
        let mut transaction = connection.begin_with("begin immediate").await?;
        let known = load(&mut transaction, &Wanted::by(changes)).await?;
        let plan = plan(changes, known);
        store(&mut transaction, &plan).await?;
        transaction.commit().await?;
        Ok(plan.answers)
    }
}

/// The promises of the wallets ?1 to open orders but those of ?2, summed. The predicates repeat those of the partial
/// index word for word: only then SQLite can use it. Left to itself it would walk every order that ever ended.
const OPEN_PROMISES: &str = "select reserved_wallet, reserved_mint, count(*) as orders, \
    sum(reserved_amount_hi) as reserved_amount_hi, sum(reserved_amount_lo) as reserved_amount_lo, \
    sum(reserved_lamports_hi) as reserved_lamports_hi, sum(reserved_lamports_lo) as reserved_lamports_lo \
    from orders indexed by orders_open_promises \
    where reserved_wallet is not null and status in ('pending', 'routing', 'building', 'submitted') \
    and reserved_wallet in (select value from json_each(?1)) and id not in (select value from json_each(?2)) \
    group by reserved_wallet, reserved_mint";

async fn load(db: &mut SqliteConnection, wanted: &Wanted) -> Result<Known, StoreError> {
    let mut known = Known::default();
    if wanted.orders.is_empty() {
        return Ok(known);
    }
    known.cursor = sqlx::query(NEWEST).fetch_one(&mut *db).await?.count("cursor")?;

    let ids = rows::json(&wanted.orders);
    let orders = "select id, version, status, last_cursor, reserved_wallet, reserved_mint, reserved_amount_hi, \
        reserved_amount_lo, reserved_lamports_hi, reserved_lamports_lo \
        from orders where id in (select value from json_each(?1))";
    for row in sqlx::query(orders).bind(&ids).fetch_all(&mut *db).await? {
        let promise = match row.maybe_text("reserved_wallet")? {
            Some(wallet) => {
                let ended = row.named::<Status>("status")?.is_terminal();
                let ended_at = if ended { Some(row.count("last_cursor")?) } else { None };
                Some(promise(&row, wallet, ended_at)?)
            }
            None => None,
        };
        known.orders.insert(row.parsed("id")?, KnownOrder { version: row.count("version")?, promise });
    }
    if !wanted.keys.is_empty() {
        let keys = "select key, body, order_id from idempotency_keys where key in (select value from json_each(?1))";
        for row in sqlx::query(keys).bind(rows::json(&wanted.keys)).fetch_all(&mut *db).await? {
            let body = row.maybe_bytes("body")?.unwrap_or_default();
            known.keys.insert(row.text("key")?, (body, row.parsed("order_id")?));
        }
    }
    if !wanted.wallets.is_empty() {
        let wallets = rows::json(&wanted.wallets);
        for row in sqlx::query(OPEN_PROMISES).bind(&wallets).bind(&ids).fetch_all(&mut *db).await? {
            known.promises.push(promise(&row, row.text("reserved_wallet")?, None)?);
        }
        // Here, too, the predicates are the partial index's.
        let ended = "select reserved_wallet, reserved_mint, reserved_amount_hi, reserved_amount_lo, \
            reserved_lamports_hi, reserved_lamports_lo, last_cursor from orders indexed by orders_ended_promises \
            where reserved_wallet is not null and status in ('confirmed', 'failed', 'cancelled') \
            and reserved_wallet in (select value from json_each(?1)) and last_cursor > ?3 \
            and id not in (select value from json_each(?2))";
        let ended = sqlx::query(ended).bind(&wallets).bind(&ids).bind(signed(wanted.ended_after));
        for row in ended.fetch_all(&mut *db).await? {
            known.promises.push(promise(&row, row.text("reserved_wallet")?, Some(row.count("last_cursor")?))?);
        }
    }
    Ok(known)
}

/// A promise, or the sum of several, put together from its halves.
fn promise(row: &SqliteRow, wallet: String, ended_at: Option<u64>) -> Result<Promise, StoreError> {
    let whole =
        |high: &str, low: &str| Ok::<_, StoreError>((u128::from(row.count(high)?) << 32) + u128::from(row.count(low)?));
    Ok(Promise {
        wallet,
        mint: row.text("reserved_mint")?,
        amount: whole("reserved_amount_hi", "reserved_amount_lo")?,
        lamports: whole("reserved_lamports_hi", "reserved_lamports_lo")?,
        ended_at,
    })
}

async fn store(db: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), StoreError> {
    for (statement, rows) in plan.statements(&SQLITE) {
        sqlx::query(statement).bind(rows).execute(&mut *db).await?;
    }
    Ok(())
}

/// As SQLite's integers are; what is larger than any of them compares as the largest.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A read that ends in time.
async fn read<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    Ok(timeout(READ, work).await.map_err(|_| timed_out())??)
}

#[async_trait]
impl OrderStore for SqliteStore {
    async fn create(&self, order: &Order, key: Option<&IdempotencyKey>) -> Result<Creation, StoreError> {
        self.writer.create(order, key).await
    }

    async fn used_key(&self, key: &IdempotencyKey) -> Result<Option<Creation>, StoreError> {
        let query = sqlx::query("select body, order_id from idempotency_keys where key = ?1").bind(&key.key);
        let Some(row) = read(query.fetch_optional(&self.read_pool)).await? else { return Ok(None) };
        let body = row.maybe_bytes("body")?.unwrap_or_default();
        Ok(Some(key.used_for(&body, row.parsed("order_id")?)))
    }

    async fn append(
        &self,
        order: &Order,
        event: &OrderEvent,
        reservation: Option<&Reservation>,
    ) -> Result<StoredEvent, StoreError> {
        self.writer.append(order, event, reservation).await
    }

    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        // At most one signature is alive: the newest.
        let sql = format!(
            "select {ORDER}, (select wire from attempts where order_id = orders.id and n = orders.signatures) as wire \
             from orders where id = ?1"
        );
        let row = read(sqlx::query(&sql).bind(id.to_string()).fetch_optional(&self.read_pool)).await?;
        row.as_ref().map(columns::order_with_wire).transpose()
    }

    async fn history(&self, id: OrderId, after_seq: u64) -> Result<Vec<StoredEvent>, StoreError> {
        let sql = format!("select {EVENT} where e.order_id = ?1 and e.seq > ?2 order by e.seq");
        let query = sqlx::query(&sql).bind(id.to_string()).bind(signed(after_seq));
        read(query.fetch_all(&self.read_pool)).await?.iter().map(columns::event).collect()
    }

    async fn attempts(&self, id: OrderId) -> Result<Vec<AttemptRow>, StoreError> {
        let query = sqlx::query("select * from attempts where order_id = ?1 order by n").bind(id.to_string());
        read(query.fetch_all(&self.read_pool)).await?.iter().map(columns::attempt).collect()
    }

    async fn list(&self, filter: &OrderFilter, limit: u32) -> Result<Vec<Order>, StoreError> {
        let mut page = listing::page(ORDER, "", filter, limit);
        read(page.build().persistent(false).fetch_all(&self.read_pool)).await?.iter().map(columns::order).collect()
    }

    async fn events_since(&self, cursor: u64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let sql = format!("select {EVENT} where e.cursor > ?1 order by e.cursor limit ?2");
        let query = sqlx::query(&sql).bind(signed(cursor)).bind(i64::from(limit));
        read(query.fetch_all(&self.read_pool)).await?.iter().map(columns::event).collect()
    }

    async fn cursor(&self) -> Result<u64, StoreError> {
        let query = sqlx::query(NEWEST);
        read(query.fetch_one(&self.read_pool)).await?.count("cursor")
    }

    async fn unfinished(
        &self,
        untouched_since: OffsetDateTime,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderId>, StoreError> {
        let sql = "select id from orders where has_work = 1 and updated_at < ?1 and id > ?2 order by id limit ?3";
        let after = after.map_or_else(String::new, |id| id.to_string());
        let query = sqlx::query(sql).bind(rows::time_text(untouched_since)).bind(after).bind(i64::from(limit));
        read(query.fetch_all(&self.read_pool)).await?.iter().map(|row| row.parsed("id")).collect()
    }

    async fn census(&self) -> Result<Vec<Census>, StoreError> {
        let query = sqlx::query(CENSUS);
        read(query.fetch_all(&self.read_pool)).await?.iter().map(columns::census).collect()
    }

    async fn open_count(&self) -> Result<u64, StoreError> {
        let query = sqlx::query(
            "select count(*) as open from orders where status in ('pending', 'routing', 'building', 'submitted')",
        );
        read(query.fetch_one(&self.read_pool)).await?.count("open")
    }

    async fn promised(&self, wallets: &[Pubkey]) -> Result<Vec<Promised>, StoreError> {
        let wallets: Vec<_> = wallets.iter().map(Pubkey::to_string).collect();
        let query = sqlx::query(OPEN_PROMISES).bind(rows::json(&wallets)).bind("[]");
        let rows = read(query.fetch_all(&self.read_pool)).await?;
        rows.iter().map(|row| promise(row, row.text("reserved_wallet")?, None)?.summed(row.count("orders")?)).collect()
    }

    async fn fact(&self, name: &str) -> Result<Option<String>, StoreError> {
        let query = sqlx::query("select value from facts where name = ?1").bind(name);
        read(query.fetch_optional(&self.read_pool)).await?.map(|row| row.text("value")).transpose()
    }

    async fn set_fact(&self, name: &str, value: &str) -> Result<(), StoreError> {
        self.writer.set_fact(name, value).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        read(sqlx::query("select 1").execute(&self.read_pool)).await.map(drop)
    }

    async fn close(&self) {
        self.writer.close().await;
        self.read_pool.close().await;
        self.write_pool.close().await;
    }
}

//! SQLite store: one file, for one process (a second one may look in, and even write).
//!
//! Owns the connections: one that writes (`ledger`, under the writer task), and a few that read beside it (WAL). A commit is
//! on the disk before it is answered (`synchronous = full`). Never decides what a write does: see `plan`.

mod ledger;

use std::{path::Path, str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use solana_sdk::pubkey::Pubkey;
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use time::OffsetDateTime;
use tokio::{sync::broadcast, time::timeout};

pub(super) use self::ledger::writing;
use self::ledger::{OPEN_PROMISES, SqliteLedger, promise};
use super::{
    AttemptRow, Census, Creation, DeadLetter, IdempotencyKey, KeyRecord, Line, OrderFilter, OrderStore, Promised,
    Reservation, StoreError, Unfinished, Unreadable,
    columns::{self, Columns},
    keys, listing, migrations, rows, timed_out,
    writer::{Group, Ticket, Writer},
};
use crate::domain::{Order, OrderEvent, OrderId, StoredEvent};

/// How long a statement waits for somebody else's lock on the file.
const BUSY: Duration = Duration::from_secs(3);
/// The longest a read may take.
const READ: Duration = Duration::from_secs(5);
/// Connections that read. The file's readers never wait for its writer.
const READERS: u32 = 4;

const ORDER: &str = "id, kind, dialect, status, state, token_in_symbol, token_in_mint, token_in_decimals, token_in_program, \
    token_out_symbol, token_out_mint, token_out_decimals, token_out_program, mode, amount, slippage_bps, limit_amount, \
    wallet, pool_wish, signatures, retries, version, expires_at, created_at, updated_at, set_aside_at, \
    set_aside_cause, set_aside_reason, unknown_since, unknown_reason";
const EVENT: &str = "e.cursor, e.order_id, e.seq, e.status, e.payload, e.created_at, o.token_in_symbol, \
    o.token_out_symbol from order_status_history e join orders o on o.id = e.order_id";

const MIGRATIONS: [(i64, &str, &str); 6] = [
    (1, "orders", include_str!("../../migrations/sqlite/0001_orders.sql")),
    (2, "dead letters", include_str!("../../migrations/sqlite/0002_dead_letters.sql")),
    (3, "pool wish", include_str!("../../migrations/sqlite/0003_pool_wish.sql")),
    (4, "access", include_str!("../../migrations/sqlite/0004_access.sql")),
    (5, "webhooks", include_str!("../../migrations/sqlite/0005_webhooks.sql")),
    (6, "webhook backlogs", include_str!("../../migrations/sqlite/0006_webhook_backlogs.sql")),
];
/// Prepared statements that the connection that writes keeps: more than there are texts.
const STATEMENTS: usize = 256;
/// Rows that it may be ahead of their reader: those of a group.
const ROWS: usize = 1_024;
const NEWEST: &str = "select coalesce(max(cursor), 0) as cursor from order_status_history";
const CENSUS: &str = "select status, count(*) as orders, min(created_at) as oldest, \
    coalesce(sum(reserved_lamports_hi), 0) as reserved_hi, coalesce(sum(reserved_lamports_lo), 0) as reserved_lo \
    from orders where status in ('pending', 'routing', 'building', 'submitted') group by status";

/// Orders in one SQLite file.
pub struct SqliteStore {
    writer: Writer,
    pub(super) write_pool: SqlitePool,
    pub(super) read_pool: SqlitePool,
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
                .statement_cache_capacity(STATEMENTS)
                // SQLite's thread need not wait until a group's rows are taken.
                .row_buffer_size(ROWS)
                // Pages; so many, because the same ones of the indexes are written by every commit, and copied back once.
                .pragma("wal_autocheckpoint", "4000")
                // What a statement of several rows would have to undo is kept in a file otherwise, made anew for each.
                .pragma("temp_store", "memory")
        };
        if let Some(folder) = options.get_filename().parent()
            && !in_memory
            && !read_only
            && folder != Path::new("")
        {
            let made = tokio::fs::create_dir_all(folder).await;
            made.map_err(|error| StoreError::Open(format!("{}: {error}", folder.display())))?;
        }
        // A database in memory lives as long as its connection: that one is never given up, and serves reads too. There is
        // no server that could have gone: no connection is asked whether it still lives.
        let write_pool = SqlitePoolOptions::new()
            .test_before_acquire(false)
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(READ)
            .connect_with(write_options)
            .await
            .map_err(failed)?;
        if !read_only {
            let schema = migrations(&MIGRATIONS);
            schema.run(&write_pool).await.map_err(|error| StoreError::Open(error.to_string()))?;
        }
        let read_pool = if in_memory {
            write_pool.clone()
        } else {
            SqlitePoolOptions::new()
                .test_before_acquire(false)
                .max_connections(READERS)
                .acquire_timeout(READ)
                .connect_with(options.pragma("query_only", "on"))
                .await
                .map_err(failed)?
        };
        let writer = Writer::start(SqliteLedger::new(write_pool.clone()));
        Ok(Self { writer, write_pool, read_pool })
    }
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

    async fn begin(
        &self,
        order: &Order,
        event: &OrderEvent,
        reservation: Option<&Reservation>,
        line: &Line,
    ) -> Result<Ticket, StoreError> {
        self.writer.begin(order, event, reservation, line).await
    }

    fn commits(&self) -> broadcast::Receiver<Group> {
        self.writer.commits()
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

    async fn list(&self, filter: &OrderFilter, limit: u32) -> Result<Vec<Result<Order, Unreadable>>, StoreError> {
        let mut page = listing::page(ORDER, "", filter, limit);
        read(page.build().persistent(false).fetch_all(&self.read_pool)).await?.iter().map(columns::listed).collect()
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

    async fn unfinished(&self, after: Option<OrderId>, limit: u32) -> Result<Vec<Unfinished>, StoreError> {
        let sql = "select id, version from orders where has_work = 1 and set_aside_at is null and id > ?1 \
            order by id limit ?2";
        let after = after.map_or_else(String::new, |id| id.to_string());
        let query = sqlx::query(sql).bind(after).bind(i64::from(limit));
        let rows = read(query.fetch_all(&self.read_pool)).await?;
        rows.iter().map(|row| Ok(Unfinished { id: row.parsed("id")?, version: row.count("version")? })).collect()
    }

    async fn mark(
        &self,
        id: OrderId,
        event: &OrderEvent,
        at: OffsetDateTime,
    ) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        self.writer.mark(id, event, at).await
    }

    async fn take_up(&self, id: OrderId) -> Result<u32, StoreError> {
        self.writer.take_up(id, true).await
    }

    async fn put_down(&self, id: OrderId) -> Result<(), StoreError> {
        self.writer.take_up(id, false).await.map(drop)
    }

    async fn dead_letters(&self, before: Option<OrderId>, limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
        let sql = "select id, status, token_in_symbol, token_out_symbol, set_aside_at, set_aside_cause, \
            set_aside_reason, created_at, \
            (select signature from attempts where order_id = orders.id order by n desc limit 1) as signature \
            from orders where set_aside_at is not null and id < ?1 order by id desc limit ?2";
        let before = before.map_or_else(|| "~".to_owned(), |id| id.to_string());
        let query = sqlx::query(sql).bind(before).bind(i64::from(limit));
        read(query.fetch_all(&self.read_pool)).await?.iter().map(columns::dead_letter).collect()
    }

    async fn dead_letter_count(&self) -> Result<u64, StoreError> {
        let query = sqlx::query("select count(*) as dead from orders where set_aside_at is not null");
        read(query.fetch_one(&self.read_pool)).await?.count("dead")
    }

    async fn census(&self) -> Result<Vec<Census>, StoreError> {
        let query = sqlx::query(CENSUS);
        read(query.fetch_all(&self.read_pool)).await?.iter().map(columns::census).collect()
    }

    async fn overdue(&self, now: OffsetDateTime, limit: u32) -> Result<Vec<OrderId>, StoreError> {
        let sql = "select id from orders where expires_at is not null and set_aside_at is null \
            and status in ('pending', 'routing', 'building') and expires_at <= ?1 order by expires_at limit ?2";
        let query = sqlx::query(sql).bind(rows::time_text(now)).bind(i64::from(limit));
        read(query.fetch_all(&self.read_pool)).await?.iter().map(|row| row.parsed("id")).collect()
    }

    async fn open_count(&self) -> Result<u64, StoreError> {
        let query = sqlx::query(
            "select count(*) as open from orders where status in ('pending', 'routing', 'building', 'submitted')",
        );
        read(query.fetch_one(&self.read_pool)).await?.count("open")
    }

    async fn create_key(&self, key: &KeyRecord) -> Result<bool, StoreError> {
        let sql = "insert into api_keys (name, digest, scope, per_second, created_at) \
            values (?1, ?2, ?3, ?4, ?5) on conflict (name) do nothing";
        let query = sqlx::query(sql)
            .bind(&key.name)
            .bind(&key.digest[..])
            .bind(key.scope.as_str())
            .bind(key.per_second.map(i64::from))
            .bind(rows::time_text(key.created_at));
        Ok(read(query.execute(&self.write_pool)).await?.rows_affected() > 0)
    }

    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        read(sqlx::query(keys::LIST).fetch_all(&self.read_pool)).await?.iter().map(keys::record).collect()
    }

    async fn revoke_key(&self, name: &str, now: OffsetDateTime) -> Result<bool, StoreError> {
        let sql = "update api_keys set revoked_at = ?2 where name = ?1 and revoked_at is null";
        let query = sqlx::query(sql).bind(name).bind(rows::time_text(now));
        Ok(read(query.execute(&self.write_pool)).await?.rows_affected() > 0)
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

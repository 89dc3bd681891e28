//! PostgreSQL store: one database, for any number of processes.
//!
//! Owns the connections: one that writes (`ledger`, under the writer task), and a pool that reads. While the server is down
//! every call fails soon; afterwards the pools connect again by themselves. Never decides what a write does: see `plan`.

mod ledger;

use std::{str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use solana_sdk::pubkey::Pubkey;
use sqlx::{
    Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use time::OffsetDateTime;
use tokio::{sync::broadcast, time::timeout};
use uuid::Uuid;

use self::ledger::{OPEN_PROMISES, PostgresLedger, promise};
use super::{
    AttemptRow, Census, Creation, DeadLetter, IdempotencyKey, KeyRecord, Line, OrderFilter, OrderStore, Promised,
    Reservation, StoreError, Unfinished, Unreadable,
    columns::{self, Columns},
    keys, listing, migrations, timed_out,
    writer::{Group, Ticket, Writer},
};
use crate::domain::{Order, OrderEvent, OrderId, StoredEvent};

/// How long a call waits for a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// The longest a read may take, with its connection.
const READ: Duration = Duration::from_secs(5);
/// The server gives up a statement after this, and a transaction whose client has gone silent: so that a process
/// that hangs or loses its network cannot keep the writers' lock.
const SERVER_PATIENCE: &str = "2500";
/// Connections that read, per process.
const READERS: u32 = 8;
const ORDER: &str = "id::text, kind, dialect, status::text, state::text, token_in_symbol, token_in_mint, \
    token_in_decimals::bigint, token_in_program, token_out_symbol, token_out_mint, token_out_decimals::bigint, \
    token_out_program, mode, amount::text, slippage_bps::bigint, limit_amount::text, wallet, pool_wish::text, \
    signatures::bigint, retries::bigint, version, expires_at, created_at, updated_at, set_aside_at, \
    set_aside_cause, set_aside_reason, unknown_since, unknown_reason";
const EVENT: &str = "e.cursor, e.order_id::text, e.seq, e.status::text, e.payload::text, e.created_at, \
    o.token_in_symbol, o.token_out_symbol from order_status_history e join orders o on o.id = e.order_id";
const ATTEMPT: &str = "n::bigint, signature, wire, blockhash, last_valid_block_height, context_slot, venue, pool, \
    wallet, quoted_in::text, quoted_out::text, limit_amount::text, compute_units, priority_fee::text, outcome, \
    signed_at";
const MIGRATIONS: [(i64, &str, &str); 8] = [
    (1, "orders", include_str!("../../migrations/postgres/0001_orders.sql")),
    (2, "dead letters", include_str!("../../migrations/postgres/0002_dead_letters.sql")),
    (3, "pool wish", include_str!("../../migrations/postgres/0003_pool_wish.sql")),
    (4, "access", include_str!("../../migrations/postgres/0004_access.sql")),
    (5, "webhooks", include_str!("../../migrations/postgres/0005_webhooks.sql")),
    (6, "no history checks", include_str!("../../migrations/postgres/0006_no_history_checks.sql")),
    (7, "webhook backlogs", include_str!("../../migrations/postgres/0007_webhook_backlogs.sql")),
    (8, "plain JSON", include_str!("../../migrations/postgres/0008_plain_json.sql")),
];
const NEWEST: &str = "select coalesce(max(cursor), 0) as cursor from order_status_history";
const CENSUS: &str = "select status::text, count(*) as orders, min(created_at) as oldest, \
    div(coalesce(sum(reserved_lamports), 0), 4294967296)::bigint as reserved_hi, \
    mod(coalesce(sum(reserved_lamports), 0), 4294967296)::bigint as reserved_lo from orders \
    where status in ('pending', 'routing', 'building', 'submitted') group by status";

/// Orders in one PostgreSQL database.
pub struct PostgresStore {
    writer: Writer,
    write_pool: PgPool,
    pub(super) read_pool: PgPool,
}

impl PostgresStore {
    /// Connects to the database that `url` names, and migrates it.
    ///
    /// # Errors
    /// `Open`, when that cannot be done.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let failed = |error: sqlx::Error| StoreError::Open(error.to_string());
        let options = PgConnectOptions::from_str(url).map_err(failed)?.application_name("swapd");
        migrate(&options).await?;
        let options = options.options([
            ("statement_timeout", SERVER_PATIENCE),
            ("idle_in_transaction_session_timeout", SERVER_PATIENCE),
        ]);
        let pool = |connections| PgPoolOptions::new().max_connections(connections).acquire_timeout(CONNECT);
        let write_pool = pool(1).connect_with(options.clone().options(ledger::ONE_BY_ONE)).await.map_err(failed)?;
        let read_pool = pool(READERS).connect_with(options).await.map_err(failed)?;
        let writer = Writer::start(PostgresLedger::new(write_pool.clone()));
        Ok(Self { writer, write_pool, read_pool })
    }

    /// A read that ends in time.
    async fn read<T>(&self, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
        Ok(timeout(READ, work).await.map_err(|_| timed_out())??)
    }
}

/// On a connection of its own, which may take its time: a migration of a large database does.
async fn migrate(options: &PgConnectOptions) -> Result<(), StoreError> {
    let failed = |error: &dyn std::error::Error| StoreError::Open(error.to_string());
    let connected = timeout(CONNECT * 5, PgConnection::connect_with(options)).await;
    let mut connection = connected.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    let schema = migrations(&MIGRATIONS);
    schema.run(&mut connection).await.map_err(|error| failed(&error))?;
    connection.close().await.map_err(|error| failed(&error))
}

/// As PostgreSQL's integers are; what is larger than any of them compares as the largest.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[async_trait]
impl OrderStore for PostgresStore {
    async fn create(&self, order: &Order, key: Option<&IdempotencyKey>) -> Result<Creation, StoreError> {
        self.writer.create(order, key).await
    }

    async fn used_key(&self, key: &IdempotencyKey) -> Result<Option<Creation>, StoreError> {
        let query = sqlx::query("select body, order_id::text from idempotency_keys where key = $1").bind(&key.key);
        let Some(row) = self.read(query.fetch_optional(&self.read_pool)).await? else { return Ok(None) };
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
             from orders where id = $1"
        );
        let row = self.read(sqlx::query(&sql).bind(id.0).fetch_optional(&self.read_pool)).await?;
        row.as_ref().map(columns::order_with_wire).transpose()
    }

    async fn history(&self, id: OrderId, after_seq: u64) -> Result<Vec<StoredEvent>, StoreError> {
        let sql = format!("select {EVENT} where e.order_id = $1 and e.seq > $2 order by e.seq");
        let query = sqlx::query(&sql).bind(id.0).bind(signed(after_seq));
        self.read(query.fetch_all(&self.read_pool)).await?.iter().map(columns::event).collect()
    }

    async fn attempts(&self, id: OrderId) -> Result<Vec<AttemptRow>, StoreError> {
        let sql = format!("select {ATTEMPT} from attempts where order_id = $1 order by attempts.n");
        let query = sqlx::query(&sql).bind(id.0);
        self.read(query.fetch_all(&self.read_pool)).await?.iter().map(columns::attempt).collect()
    }

    async fn list(&self, filter: &OrderFilter, limit: u32) -> Result<Vec<Result<Order, Unreadable>>, StoreError> {
        // Not persistent: a prepared page would end up with one plan for rare and common filters alike.
        let mut page = listing::page(ORDER, "::uuid", filter, limit);
        self.read(page.build().persistent(false).fetch_all(&self.read_pool))
            .await?
            .iter()
            .map(columns::listed)
            .collect()
    }

    async fn events_since(&self, cursor: u64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let sql = format!("select {EVENT} where e.cursor > $1 order by e.cursor limit $2");
        let query = sqlx::query(&sql).bind(signed(cursor)).bind(i64::from(limit));
        self.read(query.fetch_all(&self.read_pool)).await?.iter().map(columns::event).collect()
    }

    async fn cursor(&self) -> Result<u64, StoreError> {
        self.read(sqlx::query(NEWEST).fetch_one(&self.read_pool)).await?.count("cursor")
    }

    async fn unfinished(&self, after: Option<OrderId>, limit: u32) -> Result<Vec<Unfinished>, StoreError> {
        let sql = "select id::text, version from orders where has_work and set_aside_at is null and orders.id > $1 \
            order by orders.id limit $2";
        let after = after.map_or(uuid::Uuid::nil(), |id| id.0);
        let query = sqlx::query(sql).bind(after).bind(i64::from(limit));
        let rows = self.read(query.fetch_all(&self.read_pool)).await?;
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
        let sql = "select id::text, status::text, token_in_symbol, token_out_symbol, set_aside_at, set_aside_cause, \
            set_aside_reason, created_at, \
            (select signature from attempts where order_id = orders.id order by n desc limit 1) as signature \
            from orders where set_aside_at is not null and orders.id < $1 order by orders.id desc limit $2";
        let before = before.map_or(uuid::Uuid::max(), |id| id.0);
        let query = sqlx::query(sql).bind(before).bind(i64::from(limit));
        self.read(query.fetch_all(&self.read_pool)).await?.iter().map(columns::dead_letter).collect()
    }

    async fn dead_letter_count(&self) -> Result<u64, StoreError> {
        let query = sqlx::query("select count(*) as dead from orders where set_aside_at is not null");
        self.read(query.fetch_one(&self.read_pool)).await?.count("dead")
    }

    async fn census(&self) -> Result<Vec<Census>, StoreError> {
        let query = sqlx::query(CENSUS);
        self.read(query.fetch_all(&self.read_pool)).await?.iter().map(columns::census).collect()
    }

    async fn overdue(&self, now: OffsetDateTime, limit: u32) -> Result<Vec<OrderId>, StoreError> {
        let sql = "select id::text from orders where expires_at is not null and set_aside_at is null \
            and status in ('pending', 'routing', 'building') and expires_at <= $1 order by expires_at limit $2";
        let query = sqlx::query(sql).bind(now).bind(i64::from(limit));
        self.read(query.fetch_all(&self.read_pool)).await?.iter().map(|row| row.parsed("id")).collect()
    }

    async fn open_count(&self) -> Result<u64, StoreError> {
        let query = sqlx::query(
            "select count(*) as open from orders where status in ('pending', 'routing', 'building', 'submitted')",
        );
        self.read(query.fetch_one(&self.read_pool)).await?.count("open")
    }

    async fn create_key(&self, key: &KeyRecord) -> Result<bool, StoreError> {
        let sql = "insert into api_keys (name, digest, scope, per_second, created_at) \
            values ($1, $2, $3, $4, $5) on conflict (name) do nothing";
        let query = sqlx::query(sql)
            .bind(&key.name)
            .bind(&key.digest[..])
            .bind(key.scope.as_str())
            .bind(key.per_second.map(i64::from))
            .bind(key.created_at);
        Ok(self.read(query.execute(&self.read_pool)).await?.rows_affected() > 0)
    }

    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.read(sqlx::query(keys::LIST).fetch_all(&self.read_pool)).await?.iter().map(keys::record).collect()
    }

    async fn revoke_key(&self, name: &str, now: OffsetDateTime) -> Result<bool, StoreError> {
        let sql = "update api_keys set revoked_at = $2 where name = $1 and revoked_at is null";
        let query = sqlx::query(sql).bind(name).bind(now);
        Ok(self.read(query.execute(&self.read_pool)).await?.rows_affected() > 0)
    }

    async fn promised(&self, wallets: &[Pubkey]) -> Result<Vec<Promised>, StoreError> {
        let wallets: Vec<_> = wallets.iter().map(Pubkey::to_string).collect();
        let query = sqlx::query(OPEN_PROMISES).bind(wallets).bind(Vec::<Uuid>::new());
        let rows = self.read(query.fetch_all(&self.read_pool)).await?;
        rows.iter().map(|row| promise(row, row.text("reserved_wallet")?, None)?.summed(row.count("orders")?)).collect()
    }

    async fn fact(&self, name: &str) -> Result<Option<String>, StoreError> {
        let query = sqlx::query("select value from facts where name = $1").bind(name);
        self.read(query.fetch_optional(&self.read_pool)).await?.map(|row| row.text("value")).transpose()
    }

    async fn set_fact(&self, name: &str, value: &str) -> Result<(), StoreError> {
        self.writer.set_fact(name, value).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read(sqlx::query("select 1").execute(&self.read_pool)).await.map(drop)
    }

    async fn close(&self) {
        self.writer.close().await;
        self.read_pool.close().await;
        self.write_pool.close().await;
    }
}

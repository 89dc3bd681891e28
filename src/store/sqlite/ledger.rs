//! Ledger: how a group of writes gets into the SQLite file.
//!
//! Owns the one connection that writes, and the queries for what `plan` must know.

use async_trait::async_trait;
use sqlx::{
    Arguments, Connection, Sqlite, SqliteConnection, SqlitePool,
    error::BoxDynError,
    pool::PoolConnection,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{NEWEST, signed};
use crate::store::{
    PAUSED, StoreError,
    cell::Cell,
    change::{Change, Outcome},
    columns::{self, Columns},
    known::{Known, Promise, Wanted},
    plan::{Plan, plan},
    rows,
    statements::SQLITE,
    writer::Ledger,
};

/// The connection that writes.
pub(in crate::store) async fn writing(pool: &SqlitePool) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
    let connection = pool.acquire().await?;
    if !connection.is_in_transaction() {
        return Ok(connection);
    }
    // A disk that refuses a write makes SQLite roll back by itself. sqlx's own rollback then finds nothing to roll back,
    // and its connection would count itself inside a transaction for ever.
    drop(connection.detach());
    pool.acquire().await
}

/// What the writer task commits to.
pub(super) struct SqliteLedger {
    pool: SqlitePool,
}

impl SqliteLedger {
    /// Over a pool of one connection.
    pub(super) fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn commit(&self, changes: &[Change]) -> Result<Vec<Result<Outcome, StoreError>>, StoreError> {
        let mut connection = writing(&self.pool).await?;
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
pub(super) const OPEN_PROMISES: &str = "select reserved_wallet, reserved_mint, count(*) as orders, \
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
    let orders = "select id, version, status, last_cursor, has_work, updated_at, set_aside_at, take_ups, \
        token_in_symbol, token_out_symbol, reserved_wallet, reserved_mint, reserved_amount_hi, \
        reserved_amount_lo, reserved_lamports_hi, reserved_lamports_lo \
        from orders where id in (select value from json_each(?1))";
    for row in sqlx::query(orders).bind(&ids).fetch_all(&mut *db).await? {
        known.orders.insert(row.parsed("id")?, columns::known_order(&row, promise)?);
    }
    if !wanted.keys.is_empty() {
        let keys = "select key, body, order_id from idempotency_keys where key in (select value from json_each(?1))";
        for row in sqlx::query(keys).bind(rows::json(&wanted.keys)).fetch_all(&mut *db).await? {
            let body = row.maybe_bytes("body")?.unwrap_or_default();
            known.keys.insert(row.text("key")?, (body, row.parsed("order_id")?));
        }
    }
    if wanted.signs {
        let fact = sqlx::query("select value from facts where name = ?1").bind(PAUSED);
        let fact = fact.fetch_optional(&mut *db).await?.map(|row| row.text("value")).transpose()?;
        known.paused = fact.is_some_and(|reason| !reason.is_empty());
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
    if let Some(after) = wanted.spent_after {
        let mints = rows::json(&wanted.capped);
        // Each order of the group by itself, since its own earlier promise does not count against it.
        let spends = "select token_in_mint, reserved_wallet, sum(promised_in_hi) as promised_in_hi, \
            sum(promised_in_lo) as promised_in_lo, max(promised_at) as promised_at, \
            case when id in (select value from json_each(?2)) then id end as member from orders \
            where promised_at is not null and status not in ('failed', 'cancelled') \
            and token_in_mint in (select value from json_each(?1)) and promised_at > ?3 \
            group by token_in_mint, reserved_wallet, member";
        let spends = sqlx::query(spends).bind(mints).bind(&ids).bind(rows::time_text(after));
        for row in spends.fetch_all(&mut *db).await? {
            let amount = (u128::from(row.count("promised_in_hi")?) << 32) + u128::from(row.count("promised_in_lo")?);
            known.spending.add(&row, amount)?;
        }
    }
    Ok(known)
}

/// A promise, or the sum of several, put together from its halves.
pub(super) fn promise(row: &SqliteRow, wallet: String, ended_at: Option<u64>) -> Result<Promise, StoreError> {
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
    for filled in plan.statements(&SQLITE) {
        for (statement, cells) in filled.by_row() {
            let mut parameters = SqliteArguments::default();
            parameters.reserve(cells.len(), 0);
            for cell in cells {
                bind(&mut parameters, *cell).map_err(sqlx::Error::Encode)?;
            }
            sqlx::query_with(statement, parameters).execute(&mut *db).await?;
        }
    }
    Ok(())
}

/// A value in the form that its column has here.
fn bind<'r>(parameters: &mut SqliteArguments<'r>, cell: Cell<'r>) -> Result<(), BoxDynError> {
    match cell {
        Cell::Null => parameters.add(None::<i64>),
        Cell::Truth(truth) => parameters.add(truth),
        Cell::Integer(integer) => parameters.add(integer),
        Cell::Amount(amount) => parameters.add(amount.to_string()),
        Cell::Text(text) => parameters.add(text),
        Cell::Bytes(bytes) => parameters.add(bytes),
        Cell::Id(id) => parameters.add(id.to_string()),
        Cell::Time(at) => parameters.add(rows::time_text(at)),
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::{
        domain::samples,
        store::{OrderStore, SqliteStore},
    };

    #[tokio::test]
    async fn a_full_database_is_unavailable_until_there_is_room_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&format!("sqlite:{}", folder.path().join("orders.db").display())).await.unwrap();
        // SQLite takes the larger of this and what the file has: not a page more.
        sqlx::query("pragma max_page_count = 1").execute(&store.write_pool).await.unwrap();
        let mut stored = Vec::new();
        let refused = loop {
            let order = samples::order(OffsetDateTime::UNIX_EPOCH);
            match store.create(&order, None).await {
                Ok(_) => stored.push(order.id),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(&refused, StoreError::Unavailable(error) if error.to_string().contains("full")),
            "{refused:?}"
        );
        for id in &stored {
            assert!(store.order(*id).await.unwrap().is_some());
        }
        assert_eq!(store.cursor().await.unwrap(), stored.len() as u64, "nothing of what was refused is there");

        sqlx::query("pragma max_page_count = 1000000").execute(&store.write_pool).await.unwrap();
        store.create(&samples::order(OffsetDateTime::UNIX_EPOCH), None).await.unwrap();
        store.close().await;
    }
}

//! Backends: how each database runs the statements. On SQLite writes take turns with the writer's groups, on PostgreSQL
//! they go beside them.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Connection, postgres::PgRow, sqlite::SqliteRow};
use tokio::time::timeout;

use super::sql::{Arg, Sql, Statement, for_sqlite};
use crate::store::{PostgresStore, SqliteStore, StoreError, sqlite, timed_out};

/// The longest a call may take, with its connection.
const PATIENCE: Duration = Duration::from_secs(5);

async fn in_time<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    Ok(timeout(PATIENCE, work).await.map_err(|_| timed_out())??)
}

/// A query with its parameters.
macro_rules! query {
    ($text:expr, $args:expr) => {
        $args.into_iter().fold(sqlx::query($text), |query, arg| match arg {
            Arg::Text(text) => query.bind(text),
            Arg::Integer(integer) => query.bind(integer),
        })
    };
}

#[async_trait]
impl Sql for SqliteStore {
    type Row = SqliteRow;

    const TAKE_LEASE: &'static str = "insert into leases (name, holder, until) \
        values ($1, $2, strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+' || $3 || ' seconds')) \
        on conflict (name) do update set holder = excluded.holder, until = excluded.until \
        where leases.holder = excluded.holder or leases.until < strftime('%Y-%m-%dT%H:%M:%fZ', 'now') \
        or leases.until > excluded.until returning name";

    async fn read(&self, statement: Statement) -> Result<Vec<SqliteRow>, StoreError> {
        let text = for_sqlite(statement.text);
        in_time(query!(&text, statement.args).fetch_all(&self.read_pool)).await
    }

    async fn write(&self, statements: Vec<Statement>) -> Result<Vec<Vec<SqliteRow>>, StoreError> {
        let work = async {
            let mut connection = sqlite::writing(&self.write_pool).await?;
            let mut transaction = connection.begin_with("begin immediate").await?;
            let mut returned = Vec::with_capacity(statements.len());
            for statement in statements {
                let text = for_sqlite(statement.text);
                returned.push(query!(&text, statement.args).fetch_all(&mut *transaction).await?);
            }
            transaction.commit().await?;
            Ok(returned)
        };
        in_time(work).await
    }
}

#[async_trait]
impl Sql for PostgresStore {
    type Row = PgRow;

    const TAKE_LEASE: &'static str = "insert into leases (name, holder, until) \
        values ($1::text, $2::text, clock_timestamp() + make_interval(secs => $3::integer)) \
        on conflict (name) do update set holder = excluded.holder, until = excluded.until \
        where leases.holder = excluded.holder or leases.until < clock_timestamp() \
        or leases.until > excluded.until returning name";

    async fn read(&self, statement: Statement) -> Result<Vec<PgRow>, StoreError> {
        in_time(query!(statement.text, statement.args).fetch_all(&self.read_pool)).await
    }

    async fn write(&self, statements: Vec<Statement>) -> Result<Vec<Vec<PgRow>>, StoreError> {
        let work = async {
            let mut transaction = self.read_pool.begin().await?;
            let mut returned = Vec::with_capacity(statements.len());
            for statement in statements {
                returned.push(query!(statement.text, statement.args).fetch_all(&mut *transaction).await?);
            }
            transaction.commit().await?;
            Ok(returned)
        };
        in_time(work).await
    }
}

//! SQL beside a store, on the database behind its URL: what a person with a console does to it.

use sqlx::{Connection, Executor, PgConnection, Row, SqliteConnection};

/// Runs a statement.
pub async fn execute(url: &str, statement: &str) {
    if url.starts_with("sqlite:") {
        SqliteConnection::connect(url).await.unwrap().execute(statement).await.unwrap();
    } else {
        PgConnection::connect(url).await.unwrap().execute(statement).await.unwrap();
    }
}

/// The first column of the only row, which is text.
pub async fn text(url: &str, query: &str) -> String {
    if url.starts_with("sqlite:") {
        SqliteConnection::connect(url).await.unwrap().fetch_one(query).await.unwrap().get(0)
    } else {
        PgConnection::connect(url).await.unwrap().fetch_one(query).await.unwrap().get(0)
    }
}

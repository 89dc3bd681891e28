//! SQL: one text for both databases.
//!
//! Statements are written as PostgreSQL reads them, with a cast at every parameter and column that needs one; without
//! the casts, and without locks of rows, the same text is SQLite's, where one transaction writes at a time. A value
//! travels as text or integer.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::super::{StoreError, columns::Columns, rows::time_text};

/// A parameter.
#[derive(Clone, Debug)]
pub(in crate::store) enum Arg {
    /// Text: also ids and times.
    Text(Option<String>),
    /// A number.
    Integer(Option<i64>),
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Arg {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<OffsetDateTime> for Arg {
    fn from(at: OffsetDateTime) -> Self {
        time_text(at).into()
    }
}

impl From<u32> for Arg {
    fn from(count: u32) -> Self {
        Self::Integer(Some(count.into()))
    }
}

/// What is larger than any integer of the databases compares as the largest.
impl From<u64> for Arg {
    fn from(count: u64) -> Self {
        Self::Integer(Some(i64::try_from(count).unwrap_or(i64::MAX)))
    }
}

/// A statement with its parameters.
#[derive(Clone, Debug)]
pub(in crate::store) struct Statement {
    /// PostgreSQL's text.
    pub text: &'static str,
    /// `$1`, `$2` and so on.
    pub args: Vec<Arg>,
}

/// Puts a statement together.
macro_rules! statement {
    ($text:expr $(, $arg:expr)* $(,)?) => {
        Statement { text: $text, args: vec![$(Arg::from($arg)),*] }
    };
}
pub(super) use statement;

/// A database that runs them.
#[async_trait]
pub(in crate::store) trait Sql: Send + Sync {
    /// Its rows.
    type Row: Columns + Send;

    /// Takes or renews a lease: `$1` its name, `$2` its holder, `$3` seconds. Answers a row when that is done. By the
    /// database's clock; a lease that lasts longer than any may was written before that clock was set back.
    const TAKE_LEASE: &'static str;

    /// Runs a statement that changes nothing.
    async fn read(&self, statement: Statement) -> Result<Vec<Self::Row>, StoreError>;

    /// Runs statements in one transaction; the rows that each returns.
    async fn write(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Self::Row>>, StoreError>;
}

/// SQLite's text: `$1::uuid` is `$1`, `id::text` is `id`, and no row is locked.
pub(super) fn for_sqlite(text: &str) -> String {
    let mut parts = text.trim_end_matches(" for no key update").split("::");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.trim_start_matches(|c: char| c.is_ascii_lowercase()));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_without_its_casts_and_locks_is_sqlites() {
        let text = "select id::text, at from t where id = $1::uuid and at <= $2::timestamptz for no key update";
        assert_eq!(for_sqlite(text), "select id, at from t where id = $1 and at <= $2");
    }
}

//! Error: what can go wrong with a store, and whether writing again can help.

use std::{io, sync::Arc};

use sqlx::error::DatabaseError;

use super::Shortfall;
use crate::domain::ErrorCode;

/// What can go wrong with a store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else moved the order: reload it.
    #[error("the order was moved by someone else")]
    VersionConflict,
    /// The wallet has promised the rest of its balance to other orders.
    #[error("the wallet cannot promise that much")]
    ReservationRefused(Shortfall),
    /// Trading is stopped by the fact [`PAUSED`](super::PAUSED): no signature is stored.
    #[error("trading is paused: nothing new is signed")]
    Paused,
    /// The database did not answer, is locked, full, read-only or gone. Try again later. A write that ends so may
    /// have been made or not: reload before it is tried again.
    #[error("the store is unavailable")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// The database will never take this write: a value or a constraint is violated. Nothing of it is stored.
    #[error("the database refused the write")]
    Refused(#[source] Arc<sqlx::Error>),
    /// A row that this version cannot read.
    #[error("a stored row cannot be read: {0}")]
    Corrupt(String),
    /// The URL names no store, or the database could not be opened or migrated.
    #[error("cannot open the store: {0}")]
    Open(String),
}

impl StoreError {
    /// The client's code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::VersionConflict => ErrorCode::Conflict,
            Self::ReservationRefused(lacking) => lacking.code(),
            Self::Paused => ErrorCode::Paused,
            Self::Unavailable(_) => ErrorCode::StoreUnavailable,
            Self::Refused(_) | Self::Corrupt(_) | Self::Open(_) => ErrorCode::Internal,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::TypeNotFound { .. } => Self::Corrupt(error.to_string()),
            sqlx::Error::Database(refusal) if refuses_the_row(refusal.as_ref()) => Self::Refused(Arc::new(error)),
            _ => Self::Unavailable(Arc::new(error)),
        }
    }
}

/// Whether the fault is in what was written, so that writing it again can never help.
fn refuses_the_row(error: &dyn DatabaseError) -> bool {
    let Some(code) = error.code() else { return false };
    if code.len() == 5 {
        // SQLSTATE classes: data exception, integrity constraint violation.
        return code.starts_with("22") || code.starts_with("23");
    }
    // SQLite's primary result codes: SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH.
    code.parse::<u32>().is_ok_and(|code| (18..=20).contains(&(code & 0xff)))
}

/// No answer in time.
pub(super) fn timed_out() -> StoreError {
    sqlx::Error::Io(io::ErrorKind::TimedOut.into()).into()
}

//! Store: the truth about every order.
//!
//! Owns orders, their events, their attempts, idempotency keys and reservations. Writes are grouped: one writer per
//! store gathers what is waiting and commits it together; a call returns only after its commit. Never publishes.
//!
//! ```text
//! OrderStore (sqlite | postgres): reads go to a pool, writes go to
//!   change   one write, encoded by its caller
//!   line     events of one order that do not wait for each other
//!   writer   gathers what waits, commits it as one group, answers each caller
//!   spending what an hour's orders spend, against the caps
//!   plan     decides every write of the group: version, key, reservation, cursor (pure, one for both databases)
//!   marks    the part of it for orders that are set aside or taken up
//!   rows     an order, a promise, an attempt as they are written; columns reads them back
//!   tables   the statements that store many rows at once, in both dialects
//! WebhookStore, on the same connections, outside the groups: no order waits for what is told to receivers
//! ```

mod change;
mod columns;
mod keys;
mod line;
mod listing;
mod marks;
mod plan;
mod postgres;
mod rows;
mod spending;
mod sqlite;
mod tables;
pub mod webhooks;
mod writer;

use std::{io, sync::Arc};

use async_trait::async_trait;
use solana_sdk::pubkey::Pubkey;
use sqlx::{
    error::DatabaseError,
    migrate::{Migration, MigrationType, Migrator},
};
use time::OffsetDateTime;
use tokio::sync::broadcast;

use crate::domain::{
    Attempt, BaseUnits, ErrorCode, HourCaps, Lamports, Order, OrderEvent, OrderId, SetAside, Status, StoredEvent,
};

pub use keys::{KeyRecord, Scope};
pub use line::Line;
pub use postgres::PostgresStore;
pub use sqlite::SqliteStore;
pub use webhooks::WebhookStore;
pub use writer::{Group, Ticket};

/// What can go wrong with a store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else moved the order: reload it.
    #[error("the order was moved by someone else")]
    VersionConflict,
    /// The wallet has promised the rest of its balance to other orders.
    #[error("the wallet cannot promise that much")]
    ReservationRefused(Shortfall),
    /// Trading is stopped by the fact [`PAUSED`]: no signature is stored.
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
fn timed_out() -> StoreError {
    sqlx::Error::Io(io::ErrorKind::TimedOut.into()).into()
}

/// Opens the store that `url` names, creating and migrating it as needed: `sqlite:path`, `sqlite::memory:`,
/// `postgres://...`.
///
/// # Errors
/// `Open`, when the URL names no store, the database cannot be reached, or it cannot be migrated.
pub async fn open(url: &str) -> Result<SharedStore, StoreError> {
    match url.split_once(':') {
        Some(("sqlite", _)) => Ok(Arc::new(SqliteStore::open(url).await?)),
        Some(("postgres" | "postgresql", _)) => Ok(Arc::new(PostgresStore::open(url).await?)),
        // The URL may hold a password: it is not repeated.
        _ => Err(StoreError::Open("the URL must start with `sqlite:` or `postgres://`".into())),
    }
}

/// The migrations of a backend: number, name and text. They are never edited once released.
fn migrations(all: &[(i64, &'static str, &'static str)]) -> Migrator {
    let one = |&(number, name, text): &(i64, &'static str, &'static str)| {
        Migration::new(number, name.into(), MigrationType::Simple, text.into(), false)
    };
    Migrator { migrations: all.iter().map(one).collect::<Vec<_>>().into(), ..Migrator::DEFAULT }
}

/// The fact that stops every process from signing, as long as it is not empty. What it says is the engine's.
pub const PAUSED: &str = "paused";

/// What a reservation lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// Lamports, for the amount (when SOL is sold), fees and rent.
    Lamports {
        /// Needed by this order.
        needed: Lamports,
        /// Left after what other orders reserve.
        free: Lamports,
    },
    /// The input token.
    Tokens {
        /// Needed by this order.
        needed: BaseUnits,
        /// Left after what other orders reserve.
        free: BaseUnits,
    },
    /// Room below a spend cap, in base units of the input token.
    Cap {
        /// Whose spending the cap bounds.
        window: Window,
        /// It.
        cap: BaseUnits,
        /// What other orders have spent or promised within the hour.
        spent: BaseUnits,
        /// Needed by this order.
        needed: BaseUnits,
    },
}

/// Whose spending of an hour a cap bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Everybody's.
    All,
    /// The wallet's.
    Wallet,
}

impl Shortfall {
    /// The client's code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Lamports { .. } | Self::Tokens { .. } => ErrorCode::InsufficientFunds,
            Self::Cap { .. } => ErrorCode::CapExceeded,
        }
    }
}

/// A client's idempotency key with a digest of what it was sent with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key, prefixed with the caller's scope.
    pub key: String,
    /// SHA-256 of the request's meaning (dialect and body).
    pub body: [u8; 32],
}

/// What became of a `create`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Creation {
    /// Stored now.
    New(Arc<StoredEvent>),
    /// The key was used before with the same body: this is its order.
    Existing(OrderId),
    /// The key was used before with another body.
    KeyConflict(OrderId),
}

impl IdempotencyKey {
    /// What a request with this key is told when the key was used with `body` for `order`.
    fn used_for(&self, body: &[u8], order: OrderId) -> Creation {
        if body == self.body.as_slice() { Creation::Existing(order) } else { Creation::KeyConflict(order) }
    }
}

/// What a wallet promises to an order, checked in the same commit that stores the promise.
///
/// The wallet's balance was read after the event `as_of`; every order of this wallet that is open, or that ended
/// after `as_of`, may not be in that balance yet and counts as still reserving. So an old balance errs on the safe side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Who pays.
    pub wallet: Pubkey,
    /// The input mint.
    pub mint: Pubkey,
    /// Base units of `mint` this order spends. Zero when SOL is sold: then `lamports` has it.
    pub amount: BaseUnits,
    /// Lamports this order may spend: amount when SOL is sold, rent, fees.
    pub lamports: Lamports,
    /// The wallet's token balance.
    pub balance: BaseUnits,
    /// The wallet's lamports that may be spent (what must stay for rent is taken off).
    pub balance_lamports: Lamports,
    /// `OrderStore::cursor` before the balance was read.
    pub as_of: u64,
    /// Base units of `mint` this order spends at most, also when that is SOL: what caps are summed over.
    pub spends: BaseUnits,
    /// How much of `mint` may be spent within the hour that ends with this promise. An order that failed or was
    /// cancelled has spent nothing; any other counts with what it promised last.
    pub caps: HourCaps,
}

/// What a wallet has promised to the orders that are open, of one input mint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promised {
    /// Who pays.
    pub wallet: Pubkey,
    /// The input mint of these orders.
    pub mint: Pubkey,
    /// Base units of `mint`; zero where SOL is sold.
    pub amount: BaseUnits,
    /// Lamports: amounts where SOL is sold, rents, fees.
    pub lamports: Lamports,
    /// How many orders.
    pub orders: u64,
}

/// Which orders to list. Empty fields do not filter.
#[derive(Clone, Debug, Default)]
pub struct OrderFilter {
    /// Only these statuses.
    pub statuses: Vec<Status>,
    /// Only this input token symbol.
    pub token_in: Option<String>,
    /// Only this output token symbol.
    pub token_out: Option<String>,
    /// Only this wallet.
    pub wallet: Option<Pubkey>,
    /// Only orders created before this one (the cursor of a page; newest first).
    pub before: Option<OrderId>,
}

/// An order whose row this version cannot read: what can be said of it all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Which one.
    pub id: OrderId,
    /// Its status.
    pub status: Status,
    /// What is wrong with its row.
    pub reason: String,
}

/// The open orders of one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// The status.
    pub status: Status,
    /// How many there are.
    pub orders: u64,
    /// When the oldest of them was accepted.
    pub oldest: OffsetDateTime,
    /// What they have promised, in lamports: SOL that is swapped, rent and fees.
    pub reserved: u128,
}

/// One row of the attempts table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// The signed try with its wire bytes.
    pub attempt: Attempt,
    /// `landed`, `rejected`, `expired`, `chain_reset`, or `None` while it may still land.
    pub outcome: Option<String>,
    /// When it was stored (before its first send).
    pub signed_at: OffsetDateTime,
}

/// An order that is set aside: what can be said of it although its row may be unreadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Which one.
    pub order_id: OrderId,
    /// Its status, which being set aside does not change.
    pub status: Status,
    /// What it pays.
    pub token_in: String,
    /// What it receives.
    pub token_out: String,
    /// Its newest signature, in base58, if it has one.
    pub signature: Option<String>,
    /// Why and since when.
    pub aside: SetAside,
    /// When the order was accepted.
    pub created_at: OffsetDateTime,
}

/// An order with something left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Which one.
    pub id: OrderId,
    /// Number of its events: as long as this stays the same, nobody moved it.
    pub version: u64,
}

/// The store's contract. All calls are cancel-safe: a dropped call may or may not have committed, never half. Every
/// call answers within about five seconds, with `Unavailable` if the database does not.
#[async_trait]
pub trait OrderStore: WebhookStore + Send + Sync {
    /// Stores a new order with its `Created` event (seq 1), and the key if there is one, in one commit.
    /// An id that is stored already is a `VersionConflict`.
    async fn create(&self, order: &Order, key: Option<&IdempotencyKey>) -> Result<Creation, StoreError>;

    /// What a key was used for, if it was: `Existing` or `KeyConflict`.
    async fn used_key(&self, key: &IdempotencyKey) -> Result<Option<Creation>, StoreError>;

    /// Stores `event` and the order as it is after it, if the stored version is `order.version - 1`.
    /// `Signed` also stores the attempt with its bytes, unless trading is [`PAUSED`] at that moment; `Landed`, `Rejected`, `Expired` and `ChainReset` its outcome.
    /// A reservation replaces the one the order had. What is returned is what `history` will give back: times in whole
    /// microseconds, an attempt without its bytes.
    async fn append(
        &self,
        order: &Order,
        event: &OrderEvent,
        reservation: Option<&Reservation>,
    ) -> Result<Arc<StoredEvent>, StoreError> {
        self.begin(order, event, reservation, &Line::default()).await?.stored().await
    }

    /// Hands `event` over like [`OrderStore::append`] and does not wait for the commit. What is handed over on one line is
    /// committed in that order, several in one commit where that is possible; when one is not stored, none after it is.
    async fn begin(
        &self,
        order: &Order,
        event: &OrderEvent,
        reservation: Option<&Reservation>,
        line: &Line,
    ) -> Result<Ticket, StoreError>;

    /// What this process commits from now on, a group at a time, in the order of the cursors.
    fn commits(&self) -> broadcast::Receiver<Group>;

    /// The order; in `Submitted` with its attempt's wire bytes.
    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError>;

    /// The order's events with a `seq` above `after_seq`, in order.
    async fn history(&self, id: OrderId, after_seq: u64) -> Result<Vec<StoredEvent>, StoreError>;

    /// All attempts of the order, first to last.
    async fn attempts(&self, id: OrderId) -> Result<Vec<AttemptRow>, StoreError>;

    /// Orders, newest first, at most `limit`; their attempts without wire bytes. One that cannot be read has its place,
    /// too, and hides no other.
    async fn list(&self, filter: &OrderFilter, limit: u32) -> Result<Vec<Result<Order, Unreadable>>, StoreError>;

    /// Events of all orders with a cursor above `cursor`, in order, at most `limit`.
    async fn events_since(&self, cursor: u64, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;

    /// The newest event's cursor, 0 when there is none. Every event with a smaller cursor is visible to readers.
    async fn cursor(&self) -> Result<u64, StoreError>;

    /// Orders with something left to do that are not set aside, in the order of their ids (oldest first), after `after`.
    async fn unfinished(&self, after: Option<OrderId>, limit: u32) -> Result<Vec<Unfinished>, StoreError>;

    /// Puts a mark on an order (`SetAside`) or takes it off (`Replayed`), whatever version it has and even if its row
    /// cannot be read. `None` when there is no such order, nothing is left to do for it, or it is so already.
    async fn mark(
        &self,
        id: OrderId,
        event: &OrderEvent,
        at: OffsetDateTime,
    ) -> Result<Option<Arc<StoredEvent>>, StoreError>;

    /// Counts that somebody takes the order up: how often since its last event, this time included. An event ends the
    /// count, and so does [`OrderStore::put_down`]: what is left are the times after which nothing was heard any more.
    async fn take_up(&self, id: OrderId) -> Result<u32, StoreError>;

    /// Whoever took the order up leaves it, alive and in order.
    async fn put_down(&self, id: OrderId) -> Result<(), StoreError>;

    /// Orders that are set aside and were created before `before`, newest first, at most `limit`.
    async fn dead_letters(&self, before: Option<OrderId>, limit: u32) -> Result<Vec<DeadLetter>, StoreError>;

    /// Number of orders that are set aside.
    async fn dead_letter_count(&self) -> Result<u64, StoreError>;

    /// The orders that are not terminal, counted by status; a status without orders is left out.
    async fn census(&self) -> Result<Vec<Census>, StoreError>;

    /// Orders whose deadline is not after `now` and for which nothing may still land, the longest overdue first.
    async fn overdue(&self, now: OffsetDateTime, limit: u32) -> Result<Vec<OrderId>, StoreError>;

    /// Number of orders that are not terminal.
    async fn open_count(&self) -> Result<u64, StoreError>;

    /// Stores a new API key; false when the name is or was in use.
    async fn create_key(&self, key: &KeyRecord) -> Result<bool, StoreError>;

    /// Every API key there ever was, by name.
    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError>;

    /// Takes a key back from `now` on; false when there is no such key in use.
    async fn revoke_key(&self, name: &str, now: OffsetDateTime) -> Result<bool, StoreError>;

    /// What these wallets have promised to orders that are not terminal, by wallet and input mint.
    async fn promised(&self, wallets: &[Pubkey]) -> Result<Vec<Promised>, StoreError>;

    /// A remembered fact (for example the genesis hash), if it was ever set.
    async fn fact(&self, name: &str) -> Result<Option<String>, StoreError>;

    /// Remembers a fact.
    async fn set_fact(&self, name: &str, value: &str) -> Result<(), StoreError>;

    /// Answers when the database does.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Finishes the writes that are waiting and closes every connection.
    async fn close(&self);
}

/// A store behind its contract.
pub type SharedStore = Arc<dyn OrderStore>;

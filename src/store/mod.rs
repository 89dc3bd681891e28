//! Store: the truth about every order.
//!
//! Owns orders, their events, their attempts, idempotency keys and reservations. Writes are grouped: one writer per
//! store gathers what is waiting and commits it together, and only then answers. Never publishes.
//!
//! ```text
//! OrderStore (sqlite | postgres): reads go to a pool, writes go to
//!   change   one write, encoded by its caller
//!   line     events of one order that do not wait for each other
//!   writer   gathers what waits, commits it as one group, answers each caller
//!   spending what an hour's orders spend, against the caps
//!   known    what a group asks of the database, and the answers
//!   plan     decides every write of the group: version, key, reservation, cursor (pure, one for both databases)
//!   marks    the part of it for orders that are set aside or taken up
//!   rows     an order, a promise, an attempt as they are written; columns reads them back
//!   tables   the columns that writes fill, each with its value in such a row (cell)
//!   statements the SQL that stores many rows at once, in both dialects
//! WebhookStore, outside the groups: beside them on PostgreSQL, in turns with them on the one connection of SQLite
//! ```

mod cell;
mod change;
mod columns;
mod error;
mod keys;
mod known;
mod line;
mod listing;
mod marks;
mod plan;
mod postgres;
mod reservation;
mod rows;
mod spending;
mod sqlite;
mod statements;
mod tables;
pub mod webhooks;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use solana_sdk::pubkey::Pubkey;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use time::OffsetDateTime;
use tokio::sync::broadcast;

use self::error::timed_out;
use crate::domain::{Attempt, Order, OrderEvent, OrderId, SetAside, Status, StoredEvent};

pub use error::StoreError;
pub use keys::{KeyRecord, Scope};
pub use line::Line;
pub use postgres::PostgresStore;
pub use reservation::{Promised, Reservation, Shortfall, Window};
pub use sqlite::SqliteStore;
pub use webhooks::WebhookStore;
pub use writer::{Group, Ticket};

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

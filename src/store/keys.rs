//! Keys: who may use the API, as the store keeps it.
//!
//! Owns the record and its two statements that are the same for both databases. A key itself is never stored.

use time::OffsetDateTime;

use super::{StoreError, columns::Columns};

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Scope {
    /// Look.
    Read,
    /// Look, give and cancel orders, and use the kill switch.
    Trade,
}

impl Scope {
    /// The stored form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Trade => "trade",
        }
    }
}

/// One key, without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// What it is called in lists and logs; used once, also after it is revoked.
    pub name: String,
    /// SHA-256 of the key.
    pub digest: [u8; 32],
    /// What it may do.
    pub scope: Scope,
    /// Requests in a second; `None` is no limit.
    pub per_second: Option<u32>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// Since when it is worth nothing.
    pub revoked_at: Option<OffsetDateTime>,
}

/// All keys, by name.
pub(super) const LIST: &str = "select name, digest, scope, cast(per_second as bigint) as per_second, created_at, \
    revoked_at from api_keys order by name";

/// A key from its row.
pub(super) fn record(row: &impl Columns) -> Result<KeyRecord, StoreError> {
    let digest = row.maybe_bytes("digest")?.unwrap_or_default();
    let scope = row.text("scope")?;
    let corrupt = |what: &str| StoreError::Corrupt(format!("an API key's {what} cannot be read"));
    Ok(KeyRecord {
        name: row.text("name")?,
        digest: digest.try_into().map_err(|_| corrupt("digest"))?,
        scope: match scope.as_str() {
            "read" => Scope::Read,
            "trade" => Scope::Trade,
            _ => return Err(corrupt("scope")),
        },
        per_second: row.maybe_count("per_second")?,
        created_at: row.time("created_at")?,
        revoked_at: row.maybe_time("revoked_at")?,
    })
}

//! Columns: orders, events and attempts read back from their rows.
//!
//! Owns the translation from columns to the domain's values, once for both databases: a backend selects each column in
//! the form that is asked for here (text, 64-bit integer, bytes, time). A row that cannot be read is `Corrupt`.

use serde::de::DeserializeOwned;
use serde_json::Value;
use solana_sdk::pubkey::Pubkey;
use sqlx::{Row, postgres::PgRow, sqlite::SqliteRow};
use time::OffsetDateTime;

use super::{
    AttemptRow, Census, DeadLetter, StoreError, Unreadable,
    known::{KnownOrder, Promise},
};
use crate::domain::{
    Attempt, BaseUnits, BlockHeight, Bps, Lamports, Order, OrderStatus, SetAside, Slot, Status, StoredEvent, Swap,
    Token, Unknown,
};

/// The columns of one row, by name, whichever database it came from.
pub(super) trait Columns {
    fn text(&self, name: &str) -> Result<String, StoreError>;
    fn maybe_text(&self, name: &str) -> Result<Option<String>, StoreError>;
    fn integer(&self, name: &str) -> Result<i64, StoreError>;
    fn maybe_integer(&self, name: &str) -> Result<Option<i64>, StoreError>;
    fn truth(&self, name: &str) -> Result<bool, StoreError>;
    fn maybe_bytes(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;
    fn time(&self, name: &str) -> Result<OffsetDateTime, StoreError>;
    fn maybe_time(&self, name: &str) -> Result<Option<OffsetDateTime>, StoreError>;

    /// An integer that is never below zero.
    fn count(&self, name: &str) -> Result<u64, StoreError> {
        self.integer(name)?.try_into().map_err(|_| StoreError::Corrupt(format!("`{name}` is below zero")))
    }

    /// A small number that may be missing.
    fn maybe_count(&self, name: &str) -> Result<Option<u32>, StoreError> {
        let count = self.maybe_integer(name)?.map(u32::try_from).transpose();
        count.map_err(|_| StoreError::Corrupt(format!("`{name}` is out of range")))
    }

    /// A value whose column holds its text form.
    fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<T, StoreError> {
        let text = self.text(name)?;
        text.parse().map_err(|_| StoreError::Corrupt(format!("`{name}` is `{text}`")))
    }

    /// The same for a column that may be null.
    fn maybe_parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let Some(text) = self.maybe_text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| StoreError::Corrupt(format!("`{name}` is `{text}`")))
    }

    /// A value whose column holds its wire name.
    fn named<T: DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        let text = self.text(name)?;
        serde_json::from_value(Value::String(text)).map_err(|error| StoreError::Corrupt(format!("`{name}`: {error}")))
    }

    /// A value whose column holds its JSON.
    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(name)?).map_err(|error| StoreError::Corrupt(format!("`{name}`: {error}")))
    }

    /// The same for a column that may be null.
    fn maybe_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        self.maybe_text(name)?.map(|_| self.json(name)).transpose()
    }

    /// An integer that fits a smaller type.
    fn small<T: TryFrom<i64>>(&self, name: &str) -> Result<T, StoreError> {
        self.integer(name)?.try_into().map_err(|_| StoreError::Corrupt(format!("`{name}` is out of range")))
    }
}

macro_rules! columns_of {
    ($row:ty) => {
        impl Columns for $row {
            fn text(&self, name: &str) -> Result<String, StoreError> {
                Ok(self.try_get(name)?)
            }
            fn maybe_text(&self, name: &str) -> Result<Option<String>, StoreError> {
                Ok(self.try_get(name)?)
            }
            fn integer(&self, name: &str) -> Result<i64, StoreError> {
                Ok(self.try_get(name)?)
            }
            fn maybe_integer(&self, name: &str) -> Result<Option<i64>, StoreError> {
                Ok(self.try_get(name)?)
            }
            fn truth(&self, name: &str) -> Result<bool, StoreError> {
                Ok(self.try_get(name)?)
            }
            fn maybe_bytes(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
                Ok(self.try_get(name)?)
            }
            fn time(&self, name: &str) -> Result<OffsetDateTime, StoreError> {
                Ok(self.try_get(name)?)
            }
            fn maybe_time(&self, name: &str) -> Result<Option<OffsetDateTime>, StoreError> {
                Ok(self.try_get(name)?)
            }
        }
    };
}
columns_of!(SqliteRow);
columns_of!(PgRow);

/// An order from its row. In `Submitted` the attempt has no bytes yet: see [`order_with_wire`].
pub(super) fn order(row: &impl Columns) -> Result<Order, StoreError> {
    let amount = row.parsed::<BaseUnits>("amount")?;
    let swap = match row.text("mode")?.as_str() {
        "exact_in" => Swap::ExactIn(amount),
        "exact_out" => Swap::ExactOut(amount),
        other => return Err(StoreError::Corrupt(format!("`mode` is `{other}`"))),
    };
    let token = |side: &str| {
        Ok::<_, StoreError>(Token {
            symbol: row.text(&format!("{side}_symbol"))?,
            mint: row.parsed(&format!("{side}_mint"))?,
            decimals: row.small(&format!("{side}_decimals"))?,
            program: row.parsed(&format!("{side}_program"))?,
        })
    };
    Ok(Order {
        id: row.parsed("id")?,
        kind: row.named("kind")?,
        dialect: row.named("dialect")?,
        token_in: token("token_in")?,
        token_out: token("token_out")?,
        swap,
        slippage: Bps::new(row.small("slippage_bps")?).map_err(|error| StoreError::Corrupt(error.to_string()))?,
        limit: row.maybe_parsed("limit_amount")?,
        wallet: row.maybe_parsed::<Pubkey>("wallet")?,
        expires_at: row.maybe_time("expires_at")?,
        pool_wish: row.maybe_json("pool_wish")?,
        signatures: row.small("signatures")?,
        retries: row.small("retries")?,
        status: row.json("state")?,
        unknown: unknown(row)?,
        set_aside: set_aside(row)?,
        version: row.count("version")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

/// The order of a row in a list, or that it cannot be read.
pub(super) fn listed(row: &impl Columns) -> Result<Result<Order, Unreadable>, StoreError> {
    match order(row) {
        Err(StoreError::Corrupt(reason)) => {
            Ok(Err(Unreadable { id: row.parsed("id")?, status: row.named("status")?, reason }))
        }
        order => order.map(Ok),
    }
}

fn unknown(row: &impl Columns) -> Result<Option<Unknown>, StoreError> {
    let Some(since) = row.maybe_time("unknown_since")? else { return Ok(None) };
    Ok(Some(Unknown { reason: row.text("unknown_reason")?, since }))
}

fn set_aside(row: &impl Columns) -> Result<Option<SetAside>, StoreError> {
    let Some(at) = row.maybe_time("set_aside_at")? else { return Ok(None) };
    Ok(Some(SetAside { cause: row.named("set_aside_cause")?, reason: row.text("set_aside_reason")?, at }))
}

/// What the plan must know of an order. `promise` reads the row's promise: its wallet is known, and the cursor at which it
/// ended, if it has.
pub(super) fn known_order<R: Columns>(
    row: &R,
    promise: impl FnOnce(&R, String, Option<u64>) -> Result<Promise, StoreError>,
) -> Result<KnownOrder, StoreError> {
    let status = row.named::<Status>("status")?;
    let promise = match row.maybe_text("reserved_wallet")? {
        Some(wallet) => {
            let ended_at = if status.is_terminal() { Some(row.count("last_cursor")?) } else { None };
            Some(promise(row, wallet, ended_at)?)
        }
        None => None,
    };
    Ok(KnownOrder {
        version: row.count("version")?,
        promise,
        status: Some(status),
        updated_at: Some(row.time("updated_at")?),
        has_work: row.truth("has_work")?,
        is_aside: row.maybe_time("set_aside_at")?.is_some(),
        take_ups: row.small("take_ups")?,
        token_in: row.text("token_in_symbol")?,
        token_out: row.text("token_out_symbol")?,
    })
}

/// A dead letter from its row. Reads only columns that are plain, because the rest may be what is wrong with it.
pub(super) fn dead_letter(row: &impl Columns) -> Result<DeadLetter, StoreError> {
    Ok(DeadLetter {
        order_id: row.parsed("id")?,
        status: row.named::<Status>("status")?,
        token_in: row.text("token_in_symbol")?,
        token_out: row.text("token_out_symbol")?,
        signature: row.maybe_text("signature")?,
        aside: set_aside(row)?.ok_or_else(|| StoreError::Corrupt("`set_aside_at` is null".into()))?,
        created_at: row.time("created_at")?,
    })
}

/// The order of a row that also has its newest attempt's bytes in `wire`.
pub(super) fn order_with_wire(row: &impl Columns) -> Result<Order, StoreError> {
    let mut order = order(row)?;
    if let OrderStatus::Submitted { attempt } = &mut order.status {
        let wire = row.maybe_bytes("wire")?;
        attempt.wire = wire.ok_or_else(|| StoreError::Corrupt(format!("order {} has no attempt", order.id)))?.into();
    }
    Ok(order)
}

/// An event from its row joined with its order's symbols.
pub(super) fn event(row: &impl Columns) -> Result<StoredEvent, StoreError> {
    Ok(StoredEvent {
        cursor: row.count("cursor")?,
        order_id: row.parsed("order_id")?,
        seq: row.count("seq")?,
        status: row.named::<Status>("status")?,
        token_in: row.text("token_in_symbol")?,
        token_out: row.text("token_out_symbol")?,
        at: row.time("created_at")?,
        event: row.json("payload")?,
    })
}

/// One status of the census. The sum of the promises comes in two halves of 32 bits, as they are stored in SQLite.
pub(super) fn census(row: &impl Columns) -> Result<Census, StoreError> {
    Ok(Census {
        status: row.named("status")?,
        orders: row.count("orders")?,
        oldest: row.time("oldest")?,
        reserved: (u128::from(row.count("reserved_hi")?) << 32) + u128::from(row.count("reserved_lo")?),
    })
}

/// An attempt from its row.
pub(super) fn attempt(row: &impl Columns) -> Result<AttemptRow, StoreError> {
    Ok(AttemptRow {
        attempt: Attempt {
            n: row.small("n")?,
            signature: row.parsed("signature")?,
            wallet: row.parsed("wallet")?,
            blockhash: row.parsed("blockhash")?,
            last_valid_block_height: BlockHeight(row.count("last_valid_block_height")?),
            context_slot: Slot(row.count("context_slot")?),
            venue: row.named("venue")?,
            pool: row.parsed("pool")?,
            quoted_in: row.parsed("quoted_in")?,
            quoted_out: row.parsed("quoted_out")?,
            limit: row.parsed("limit_amount")?,
            compute_units: row.small("compute_units")?,
            priority_fee: Lamports::new(row.parsed("priority_fee")?),
            wire: row.maybe_bytes("wire")?.unwrap_or_default().into(),
        },
        outcome: row.maybe_text("outcome")?,
        signed_at: row.time("signed_at")?,
    })
}

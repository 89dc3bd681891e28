//! Known: what a group of writes asks of the database, and what the database says.
//!
//! Owns the questions (`Wanted`) and the answers (`Known`), the same for both backends: they load one for the other inside
//! the transaction that commits the group.

use std::collections::HashMap;

use time::OffsetDateTime;

use super::{
    Promised, Reservation, StoreError,
    change::Change,
    spending::{HOUR, Spending},
};
use crate::domain::{BaseUnits, Lamports, OrderId, Status};

/// What the plan must know of the database, as of now, inside the transaction.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The newest event's cursor.
    pub cursor: u64,
    /// Of the orders named by [`Wanted::orders`], those that exist.
    pub orders: HashMap<OrderId, KnownOrder>,
    /// Of the keys named by [`Wanted::keys`], those that were used: body and order.
    pub keys: HashMap<String, (Vec<u8>, OrderId)>,
    /// Whether trading is [`PAUSED`]; asked only for [`Wanted::signs`].
    pub paused: bool,
    /// Promises of the wallets in [`Wanted::wallets`] to orders that are not in this group: those of open orders, which
    /// may come as sums per mint, and each one that ended after [`Wanted::ended_after`].
    pub promises: Vec<Promise>,
    /// What orders have spent of [`Wanted::capped`] after [`Wanted::spent_after`].
    pub spending: Spending,
}

/// An order as the database has it before the group.
#[derive(Debug, Default)]
pub(super) struct KnownOrder {
    pub version: u64,
    pub promise: Option<Promise>,
    /// `None` for an order that the group itself makes.
    pub status: Option<Status>,
    pub updated_at: Option<OffsetDateTime>,
    pub has_work: bool,
    pub is_aside: bool,
    pub take_ups: u32,
    pub token_in: String,
    pub token_out: String,
}

/// What a wallet has promised.
#[derive(Debug)]
pub(super) struct Promise {
    pub wallet: String,
    pub mint: String,
    pub amount: u128,
    pub lamports: u128,
    /// The last cursor of an order that is terminal.
    pub ended_at: Option<u64>,
}

impl Promise {
    /// Whether the balance that was read after `as_of` may not show this yet.
    pub(super) fn counts(&self, as_of: u64) -> bool {
        self.ended_at.is_none_or(|ended_at| ended_at > as_of)
    }
}

/// What a group needs to know.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub orders: Vec<OrderId>,
    pub keys: Vec<String>,
    pub wallets: Vec<String>,
    /// Whether a signature is to be stored.
    pub signs: bool,
    /// The oldest `as_of` of the group's reservations.
    pub ended_after: u64,
    /// Mints whose spending is bounded by caps.
    pub capped: Vec<String>,
    /// The beginning of the earliest hour that a cap of the group is about.
    pub spent_after: Option<OffsetDateTime>,
}

impl Wanted {
    pub(super) fn by(changes: &[Change]) -> Self {
        let mut wanted = Self { ended_after: u64::MAX, ..Self::default() };
        for change in changes {
            let change = match change {
                Change::Event(change) => change,
                Change::Mark(mark) => {
                    wanted.orders.push(mark.id);
                    continue;
                }
                Change::TakeUp { id, .. } => {
                    wanted.orders.push(*id);
                    continue;
                }
                Change::Fact { .. } => continue,
            };
            wanted.orders.push(change.stored.order_id);
            wanted.signs |= change.attempt.is_some();
            wanted.keys.extend(change.key.iter().map(|key| key.key.clone()));
            if let Some(reservation) = &change.reservation {
                wanted.wallets.push(reservation.wallet.to_string());
                wanted.ended_after = wanted.ended_after.min(reservation.as_of);
                if reservation.caps.any() {
                    let begin = change.stored.at - HOUR;
                    wanted.capped.push(reservation.mint.to_string());
                    wanted.spent_after = Some(wanted.spent_after.map_or(begin, |at| at.min(begin)));
                }
            }
        }
        wanted.orders.sort_unstable();
        wanted.orders.dedup();
        wanted.wallets.sort_unstable();
        wanted.wallets.dedup();
        wanted.capped.sort_unstable();
        wanted.capped.dedup();
        wanted
    }
}

impl Promise {
    /// The promise that a reservation is.
    pub(super) fn of(reservation: &Reservation) -> Self {
        Self {
            wallet: reservation.wallet.to_string(),
            mint: reservation.mint.to_string(),
            amount: reservation.amount.get().into(),
            lamports: reservation.lamports.get().into(),
            ended_at: None,
        }
    }

    /// The sum of the promises to this many open orders, as a reader gets it.
    pub(super) fn summed(&self, orders: u64) -> Result<Promised, StoreError> {
        // A wallet promises no more than a balance, so only a row that nobody here wrote can be larger.
        let whole = |sum: u128| u64::try_from(sum).map_err(|_| StoreError::Corrupt(format!("{sum} is promised")));
        let key = |text: &str| text.parse().map_err(|_| StoreError::Corrupt(format!("`{text}` is no address")));
        Ok(Promised {
            wallet: key(&self.wallet)?,
            mint: key(&self.mint)?,
            amount: BaseUnits::new(whole(self.amount)?),
            lamports: Lamports::new(whole(self.lamports)?),
            orders,
        })
    }
}

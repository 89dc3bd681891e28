//! Spending: whether a promise stays below the caps of its hour.
//!
//! Owns the sums, once for both databases. Pure: the backends load what other orders have spent, inside the transaction
//! that stores the promise, so that no two promises can both take the last room.

use std::collections::HashMap;

use time::{Duration, OffsetDateTime};

use super::{Reservation, Shortfall, StoreError, Window, columns::Columns};
use crate::domain::{BaseUnits, OrderId};

/// What caps are summed over.
pub(super) const HOUR: Duration = Duration::HOUR;

/// What orders spend or have spent of one token from one wallet.
#[derive(Clone, Debug)]
pub(super) struct Spend {
    pub mint: String,
    pub wallet: String,
    pub amount: u128,
    /// When it was promised: of a sum, the latest time there can be.
    pub at: OffsetDateTime,
}

impl Spend {
    pub(super) fn of(reservation: &Reservation, at: OffsetDateTime) -> Self {
        Self {
            mint: reservation.mint.to_string(),
            wallet: reservation.wallet.to_string(),
            amount: reservation.spends.get().into(),
            at,
        }
    }
}

/// What is known of spending: sums of orders outside the group, and each order inside it that has spent something.
#[derive(Debug, Default)]
pub(super) struct Spending {
    pub others: Vec<Spend>,
    pub group: HashMap<OrderId, Spend>,
}

impl Spending {
    /// Takes in what a row says: a sum, or one `member` of the group.
    pub(super) fn add(&mut self, row: &impl Columns, amount: u128) -> Result<(), StoreError> {
        let spend = Spend {
            mint: row.text("token_in_mint")?,
            wallet: row.text("reserved_wallet")?,
            amount,
            at: row.time("promised_at")?,
        };
        match row.maybe_parsed("member")? {
            Some(order) => drop(self.group.insert(order, spend)),
            None => self.others.push(spend),
        }
        Ok(())
    }

    /// The cap that a promise of `order` at `at` would exceed, if any.
    pub(super) fn exceeded(&self, reservation: &Reservation, order: OrderId, at: OffsetDateTime) -> Option<Shortfall> {
        if !reservation.caps.any() {
            return None;
        }
        let (mint, wallet) = (reservation.mint.to_string(), reservation.wallet.to_string());
        let (mut all, mut own) = (0_u128, 0_u128);
        let in_group = self.group.iter().filter(|(id, _)| **id != order).map(|(_, spend)| spend);
        for spend in self.others.iter().chain(in_group).filter(|spend| spend.mint == mint && spend.at > at - HOUR) {
            all += spend.amount;
            if spend.wallet == wallet {
                own += spend.amount;
            }
        }
        [(Window::All, reservation.caps.all, all), (Window::Wallet, reservation.caps.wallet, own)].into_iter().find_map(
            |(window, cap, spent)| {
                let cap = cap?;
                let full = spent + u128::from(reservation.spends.get()) > u128::from(cap.get());
                let spent = BaseUnits::new(u64::try_from(spent).unwrap_or(u64::MAX));
                full.then_some(Shortfall::Cap { window, cap, spent, needed: reservation.spends })
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use solana_sdk::pubkey::Pubkey;

    use super::*;
    use crate::domain::{HourCaps, Lamports};

    proptest! {
        /// Promises at rising times, by any wallet, some of which fail later: in no hour more than the caps is kept.
        #[test]
        fn no_hour_ever_holds_more_than_the_caps(
            all in 1_u64..1_000,
            own in 1_u64..1_000,
            steps in prop::collection::vec((0_u8..3, 1_u64..400, 0_i64..2_000, any::<bool>()), 1..60),
        ) {
            let mut spending = Spending::default();
            let mut kept: Vec<(u8, u64, OffsetDateTime)> = Vec::new();
            let mut now = OffsetDateTime::UNIX_EPOCH;
            for (wallet, amount, pause, fails) in steps {
                now += Duration::seconds(pause);
                let reservation = Reservation {
                    wallet: Pubkey::new_from_array([wallet; 32]),
                    mint: Pubkey::default(),
                    amount: BaseUnits::ZERO,
                    lamports: Lamports::default(),
                    balance: BaseUnits::ZERO,
                    balance_lamports: Lamports::default(),
                    as_of: 0,
                    spends: BaseUnits::new(amount),
                    caps: HourCaps { all: Some(BaseUnits::new(all)), wallet: Some(BaseUnits::new(own)) },
                };
                let order = OrderId::new();
                let sum = |of: &dyn Fn(u8) -> bool| -> u64 {
                    kept.iter().filter(|(by, _, at)| of(*by) && *at > now - HOUR).map(|(_, amount, _)| amount).sum()
                };
                let room = sum(&|_| true) + amount <= all && sum(&|by| by == wallet) + amount <= own;
                prop_assert_eq!(spending.exceeded(&reservation, order, now).is_none(), room);
                if room && !fails {
                    spending.group.insert(order, Spend::of(&reservation, now));
                    kept.push((wallet, amount, now));
                }
            }
        }
    }
}

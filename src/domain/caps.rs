//! Caps: how much of a token may be spent by one order, in an hour, and in an hour by one wallet.
//!
//! Amounts are base units of the token that is paid. What counts is what an order promises to spend at most, so no fill
//! can be above what was allowed. The sums over an hour are the store's: it alone sees the orders of every process.

use std::collections::HashMap;

use solana_sdk::pubkey::Pubkey;

use super::{BaseUnits, ErrorCode, Failure, Token};

/// The caps of all tokens. A token without one may be spent without one.
#[derive(Clone, Debug, Default)]
pub struct Caps {
    /// By one order, by mint.
    pub per_order: HashMap<Pubkey, BaseUnits>,
    /// By all orders within an hour, by mint.
    pub per_hour: HashMap<Pubkey, BaseUnits>,
    /// By all orders of one wallet within an hour, by mint.
    pub per_wallet_hour: HashMap<Pubkey, BaseUnits>,
}

/// The caps over an hour that a promise is checked against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HourCaps {
    /// By all orders.
    pub all: Option<BaseUnits>,
    /// By all orders of the wallet.
    pub wallet: Option<BaseUnits>,
}

impl Caps {
    /// Whether one order may spend this much.
    ///
    /// # Errors
    /// `cap_exceeded`.
    pub fn allow_order(&self, token: &Token, spent: BaseUnits) -> Result<(), Failure> {
        match self.per_order.get(&token.mint) {
            Some(&cap) if spent > cap => Err(Failure::new(
                ErrorCode::CapExceeded,
                format!(
                    "the order may cost {spent} {symbol}, the cap for one order is {cap} {symbol}: trade less",
                    spent = spent.to_ui(token.decimals),
                    cap = cap.to_ui(token.decimals),
                    symbol = token.symbol
                ),
            )),
            _ => Ok(()),
        }
    }

    /// The caps over an hour for a token.
    pub fn hourly(&self, mint: &Pubkey) -> HourCaps {
        HourCaps { all: self.per_hour.get(mint).copied(), wallet: self.per_wallet_hour.get(mint).copied() }
    }
}

impl HourCaps {
    /// Whether there is any.
    pub const fn any(&self) -> bool {
        self.all.is_some() || self.wallet.is_some()
    }
}

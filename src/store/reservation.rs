//! Reservation: what a wallet promises to an order, and what it may lack for that.

use solana_sdk::pubkey::Pubkey;

use crate::domain::{BaseUnits, ErrorCode, HourCaps, Lamports};

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

//! Venues: who can quote a pair, and how a swap there is written as an instruction.
//!
//! One trait, one file per venue. A venue's own dialect (token 0, coin, x) ends at its file.

pub mod meteora_mock;
pub mod raydium_cpmm;
#[cfg(test)]
pub(crate) mod stub;

use std::sync::Arc;

use async_trait::async_trait;
use solana_sdk::{instruction::Instruction, pubkey::Pubkey};

use crate::{
    chain::{ChainError, LandedTransaction},
    domain::{BaseUnits, ErrorCode, Failure, Fill, Pair, Quote, QuoteRequest, Swap, VenueId},
};

/// Why a venue gives no quote or no instruction.
#[derive(Clone, Debug, thiserror::Error)]
pub enum VenueError {
    /// No pool for this pair.
    #[error("no pool for this pair")]
    NoPool,
    /// The pool that an order insists on is none for this order.
    #[error("pool {pool} cannot be used for this order: {reason}")]
    NotThisPool {
        /// The pool.
        pool: Pubkey,
        /// What is wrong with it.
        reason: String,
    },
    /// Pools exist, none is open for swaps.
    #[error("pool {pool} is not open for swaps: {reason}")]
    NotTradable {
        /// The pool.
        pool: Pubkey,
        /// Status, open time, or a layout this version does not know.
        reason: String,
    },
    /// The pool cannot give or take that much (also: so little that it rounds to nothing).
    #[error("pool {pool} cannot fill {amount}: {reason}")]
    InsufficientLiquidity {
        /// The pool.
        pool: Pubkey,
        /// The exact side's amount.
        amount: BaseUnits,
        /// What stands in the way.
        reason: String,
    },
    /// An account is not what its address or owner promises: configuration, not weather.
    #[error("account {account} is not what was expected: {reason}")]
    Mismatch {
        /// The account.
        account: Pubkey,
        /// What is wrong.
        reason: String,
    },
    /// The venue cannot execute (a mock).
    #[error("this venue only quotes")]
    QuoteOnly,
    /// The venue failed in its own way (an injected failure of a mock).
    #[error("the venue failed: {0}")]
    Failed(String),
    /// The chain did not answer.
    #[error("could not read the pool")]
    Chain(#[from] ChainError),
}

impl VenueError {
    /// The client's code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NoPool | Self::QuoteOnly | Self::NotThisPool { .. } | Self::NotTradable { .. } => ErrorCode::NoRoute,
            Self::InsufficientLiquidity { .. } => ErrorCode::InsufficientLiquidity,
            Self::Mismatch { .. } | Self::Failed(_) => ErrorCode::VenueUnavailable,
            Self::Chain(error) => error.code(),
        }
    }
}

/// Everything a swap instruction needs that the venue does not know.
#[derive(Clone, Copy, Debug)]
pub struct SwapPlan {
    /// The pool of the chosen quote.
    pub pool: Pubkey,
    /// The mints in the swap's direction.
    pub pair: Pair,
    /// The exact side.
    pub swap: Swap,
    /// The bound: least out (exact in) or most in (exact out).
    pub limit: BaseUnits,
    /// Who signs.
    pub owner: Pubkey,
    /// The user's input token account.
    pub source: Pubkey,
    /// The user's output token account.
    pub destination: Pubkey,
}

/// A venue's contract.
#[async_trait]
pub trait Venue: Send + Sync {
    /// Its name.
    fn id(&self) -> VenueId;

    /// Whether its quotes can be executed. A venue that only quotes (a mock) says no.
    fn executes(&self) -> bool {
        true
    }

    /// The best quote over its pools, from accounts read at one slot per pool and at most a block or two ago.
    async fn quote(&self, request: &QuoteRequest) -> Result<Quote, VenueError>;

    /// The quote of one pool that the order insists on.
    ///
    /// # Errors
    /// As `quote`, and when the pool is not this venue's, which is what a venue without such orders says.
    async fn quote_in(&self, _pool: &Pubkey, _request: &QuoteRequest) -> Result<Quote, VenueError> {
        Err(VenueError::NoPool)
    }

    /// The swap instruction for a quote of this venue.
    async fn swap_instruction(&self, plan: &SwapPlan) -> Result<Instruction, VenueError>;

    /// The accounts a swap in `pool` writes: what priority fees are asked for.
    async fn contended_accounts(&self, pool: &Pubkey) -> Result<Vec<Pubkey>, VenueError>;

    /// What a landed swap in `pool` moved for the user, from the transaction's own records.
    fn fill(&self, pool: &Pubkey, transaction: &LandedTransaction) -> Option<Fill>;

    /// What a program's error number means, if `program` is this venue's.
    fn explain(&self, program: &Pubkey, error: u32) -> Option<Failure>;
}

/// All venues that are asked.
pub type Venues = Vec<Arc<dyn Venue>>;

//! One pool at one slot, in the direction of one swap: from accounts to a quote.
//!
//! Owns when a pool may be traded and which epoch's transfer fees hold. Never reads the chain.

use std::collections::HashMap;

use solana_sdk::{account::Account, pubkey::Pubkey, sysvar};

use super::{
    layout::{self, ChainClock, EpochSchedule, Mint, PoolState},
    math::{CreatorFeeSide, Market, MathError, Outcome, Rates},
};
use crate::{
    domain::{BaseUnits, Pair, Quote, Slot, Swap, VenueId},
    venue::VenueError,
};

/// A transaction signed now may land this many slots later (its blockhash lives 150 blocks; twice that covers skipped
/// slots and a second attempt). Within this distance of an epoch's end both epochs' transfer fees are considered.
pub const EPOCH_EDGE_SLOTS: u64 = 300;
/// The status bit that switches swaps off.
const SWAP_OFF: u8 = 0b100;

/// What of a pool never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its account.
    pub address: Pubkey,
    /// Its fee configuration's account.
    pub amm_config: Pubkey,
    /// The owner of its vaults.
    pub authority: Pubkey,
    /// Its price history's account, written by every swap.
    pub observation: Pubkey,
    /// Token 0 and token 1.
    pub sides: [Side; 2],
}

/// One token of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// The mint.
    pub mint: Pubkey,
    /// The token program that owns the mint.
    pub token_program: Pubkey,
    /// The pool's token account.
    pub vault: Pubkey,
}

impl Pool {
    /// Takes the lasting part out of a pool's state.
    pub const fn new(authority: Pubkey, address: Pubkey, state: &PoolState) -> Self {
        Self {
            address,
            amm_config: state.amm_config,
            authority,
            observation: state.observation_key,
            sides: [
                Side { mint: state.token_0_mint, token_program: state.token_0_program, vault: state.token_0_vault },
                Side { mint: state.token_1_mint, token_program: state.token_1_program, vault: state.token_1_vault },
            ],
        }
    }

    /// Which of the sides is paid and which received; `None` when the pool is not of this pair.
    pub fn direction(&self, pair: &Pair) -> Option<Direction> {
        let [zero, one] = self.sides.map(|side| side.mint);
        if pair.mint_in == zero && pair.mint_out == one {
            Some(Direction::ZeroToOne)
        } else if pair.mint_in == one && pair.mint_out == zero {
            Some(Direction::OneToZero)
        } else {
            None
        }
    }

    /// The paid and the received side.
    pub const fn in_and_out(&self, direction: Direction) -> (&Side, &Side) {
        let [zero, one] = &self.sides;
        match direction {
            Direction::ZeroToOne => (zero, one),
            Direction::OneToZero => (one, zero),
        }
    }
}

/// Which token of a pool is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Token 0 is paid.
    ZeroToOne,
    /// Token 1 is paid.
    OneToZero,
}

impl Direction {
    const fn pick<T: Copy>(self, zero: T, one: T) -> (T, T) {
        match self {
            Self::ZeroToOne => (zero, one),
            Self::OneToZero => (one, zero),
        }
    }
}

/// Accounts read at one slot.
pub struct Accounts<'a> {
    /// The slot.
    pub slot: Slot,
    by_key: HashMap<Pubkey, &'a Account>,
}

impl<'a> Accounts<'a> {
    /// Pairs the keys that were asked for with what was there.
    pub fn new(slot: Slot, keys: &[Pubkey], accounts: &'a [Option<Account>]) -> Self {
        let by_key = keys.iter().zip(accounts).filter_map(|(key, found)| Some((*key, found.as_ref()?))).collect();
        Self { slot, by_key }
    }

    /// One of them.
    ///
    /// # Errors
    /// When the chain has no such account.
    pub fn one(&self, key: &Pubkey) -> Result<&'a Account, VenueError> {
        let missing = || VenueError::Mismatch { account: *key, reason: "it does not exist".to_owned() };
        self.by_key.get(key).copied().ok_or_else(missing)
    }
}

/// Everything a quote in one pool depends on.
#[derive(Debug)]
pub struct Snapshot {
    pool: Pubkey,
    slot: Slot,
    clock: ChainClock,
    state: PoolState,
    balances: [u64; 2],
    mints: [Mint; 2],
    trade_rates: Rates,
}

impl Snapshot {
    /// The accounts that [`Self::read`] wants for `pool`, beside the clock.
    pub fn keys(pool: &Pool) -> [Pubkey; 6] {
        let [zero, one] = &pool.sides;
        [pool.address, pool.amm_config, zero.vault, one.vault, zero.mint, one.mint]
    }

    /// Decodes and checks.
    ///
    /// # Errors
    /// When an account is missing or is not what the pool says it is.
    pub fn read(program: &Pubkey, pool: &Pool, accounts: &Accounts<'_>) -> Result<Self, VenueError> {
        let clock = layout::clock(&sysvar::clock::ID, accounts.one(&sysvar::clock::ID)?)?;
        let state = layout::pool_state(program, &pool.address, accounts.one(&pool.address)?)?;
        if Pool::new(pool.authority, pool.address, &state) != *pool {
            return Err(VenueError::Mismatch {
                account: pool.address,
                reason: "it is another pool than the one that was checked at start".to_owned(),
            });
        }
        let config = layout::amm_config(program, &pool.amm_config, accounts.one(&pool.amm_config)?)?;
        let balance = |side: &Side| {
            let account = accounts.one(&side.vault)?;
            layout::vault_balance(&side.vault, account, &side.token_program, &side.mint, &pool.authority)
        };
        let mint = |side: &Side| layout::mint(&side.token_program, &side.mint, accounts.one(&side.mint)?);
        let [zero, one] = &pool.sides;
        Ok(Self {
            pool: pool.address,
            slot: accounts.slot,
            clock,
            balances: [balance(zero)?, balance(one)?],
            mints: [mint(zero)?, mint(one)?],
            trade_rates: Rates {
                trade: config.trade_fee_rate,
                protocol: config.protocol_fee_rate,
                fund: config.fund_fee_rate,
                creator: if state.enable_creator_fee { config.creator_fee_rate } else { 0 },
            },
            state,
        })
    }

    /// Whether the pool takes swaps at the snapshot's own time.
    ///
    /// # Errors
    /// With what stands in the way.
    pub fn check_tradable(&self) -> Result<(), VenueError> {
        let reason = if self.state.status & SWAP_OFF != 0 {
            "swaps are switched off".to_owned()
        } else if i128::from(self.clock.unix_timestamp) < i128::from(self.state.open_time) {
            let (open, now) = (self.state.open_time, self.clock.unix_timestamp);
            format!("it opens at unix time {open}, and the chain's clock says {now}")
        } else if self.state.padding.iter().any(|word| *word != 0) {
            // another branch of the program kept fee counters here that lower the reserves
            "its layout is newer than this version knows".to_owned()
        } else if self.state.creator_fee_on > 2 {
            "its creator fee is of a kind this version does not know".to_owned()
        } else if let Some(obstacle) = self.mints.iter().find_map(|mint| mint.obstacle) {
            obstacle.to_owned()
        } else {
            return Ok(());
        };
        Err(VenueError::NotTradable { pool: self.pool, reason })
    }

    /// The pool's two reserves: what the vaults hold without the fees owed from them.
    ///
    /// # Errors
    /// When a vault holds less than is owed (the program's 6012).
    pub fn reserves(&self) -> Result<[u64; 2], VenueError> {
        let state = &self.state;
        let owed = [
            [state.protocol_fees_token_0, state.fund_fees_token_0, state.creator_fees_token_0],
            [state.protocol_fees_token_1, state.fund_fees_token_1, state.creator_fees_token_1],
        ];
        let reserve = |balance: u64, owed: [u64; 3]| {
            owed.into_iter().try_fold(balance, |left, fee| left.checked_sub(fee)).ok_or_else(|| {
                let reason = "a vault holds less than the fees owed from it".to_owned();
                VenueError::NotTradable { pool: self.pool, reason }
            })
        };
        Ok([reserve(self.balances[0], owed[0])?, reserve(self.balances[1], owed[1])?])
    }

    /// The numbers of a swap, with the transfer fees of `epoch`.
    ///
    /// # Errors
    /// When a vault holds less than is owed.
    pub fn market(&self, direction: Direction, epoch: u64) -> Result<Market, VenueError> {
        let [zero, one] = self.reserves()?;
        let (reserve_in, reserve_out) = direction.pick(zero, one);
        let (mint_in, mint_out) = direction.pick(&self.mints[0], &self.mints[1]);
        let creator_side = match (self.state.creator_fee_on, direction) {
            (1, Direction::OneToZero) | (2, Direction::ZeroToOne) => CreatorFeeSide::Output,
            _ => CreatorFeeSide::Input,
        };
        Ok(Market {
            reserve_in,
            reserve_out,
            rates: self.trade_rates,
            creator_side,
            fee_in: mint_in.fee_at(epoch),
            fee_out: mint_out.fee_at(epoch),
        })
    }

    /// What `swap` would move. Near an epoch's end, when the next epoch brings another transfer fee, the worse of the
    /// two epochs' outcomes: the transaction may land in either.
    ///
    /// # Errors
    /// When the program would refuse the swap.
    pub fn outcome(
        &self,
        direction: Direction,
        swap: Swap,
        epochs: Option<&EpochSchedule>,
    ) -> Result<Outcome, VenueError> {
        let now = self.clock.epoch;
        let today = self.market(direction, now)?;
        let tomorrow = self.market(direction, now.saturating_add(1))?;
        let left = epochs.and_then(|epochs| epochs.slots_left(&self.clock));
        let outcome = solve(&today, swap);
        let outcome = if tomorrow != today && left.is_none_or(|left| left <= EPOCH_EDGE_SLOTS) {
            worse(swap, outcome, solve(&tomorrow, swap))
        } else {
            outcome
        };
        outcome.map_err(|error| self.refuse(swap, error))
    }

    /// The quote for `swap`.
    ///
    /// # Errors
    /// When the pool is not open or the program would refuse the swap.
    pub fn quote(&self, direction: Direction, swap: Swap, epochs: Option<&EpochSchedule>) -> Result<Quote, VenueError> {
        self.check_tradable()?;
        let outcome = self.outcome(direction, swap, epochs)?;
        Ok(Quote {
            venue: VenueId::RaydiumCpmm,
            pool: self.pool,
            executable: true,
            amount_in: BaseUnits::new(outcome.amount_in),
            amount_out: BaseUnits::new(outcome.amount_out),
            trade_fee: BaseUnits::new(outcome.trade_fee),
            creator_fee: BaseUnits::new(outcome.creator_fee),
            creator_fee_on_input: self.market(direction, self.clock.epoch)?.creator_side == CreatorFeeSide::Input,
            transfer_fee_in: BaseUnits::new(outcome.transfer_fee_in),
            transfer_fee_out: BaseUnits::new(outcome.transfer_fee_out),
            price_impact_bps: outcome.price_impact,
            context_slot: self.slot,
        })
    }

    fn refuse(&self, swap: Swap, error: MathError) -> VenueError {
        let (pool, amount, reason) = (self.pool, swap.amount(), error.to_string());
        match error {
            MathError::Rates => VenueError::NotTradable { pool, reason },
            MathError::ZeroAmount
            | MathError::RoundsToZero
            | MathError::ExceedsReserve
            | MathError::EmptyReserve
            | MathError::TransferFee
            | MathError::Overflow => VenueError::InsufficientLiquidity { pool, amount, reason },
        }
    }
}

fn solve(market: &Market, swap: Swap) -> Result<Outcome, MathError> {
    match swap {
        Swap::ExactIn(amount) => market.exact_in(amount.get()),
        Swap::ExactOut(amount) => market.exact_out(amount.get()),
    }
}

/// The outcome that is worse for the trader; a refusal is the worst.
fn worse(swap: Swap, one: Result<Outcome, MathError>, other: Result<Outcome, MathError>) -> Result<Outcome, MathError> {
    let (one, other) = (one?, other?);
    let other_is_worse = match swap {
        Swap::ExactIn(_) => other.amount_out < one.amount_out,
        Swap::ExactOut(_) => other.amount_in > one.amount_in,
    };
    Ok(if other_is_worse { other } else { one })
}

//! The swap maths of Raydium CPMM: what the program would move, to the unit.
//!
//! Values in, values out: no accounts, no clock. Follows the program's own order of roundings, which never favour the
//! trader: fees and prices are rounded up, what the trader receives is rounded down. Everything is u128 and checked,
//! so that the full range of u64 gives a number or an error, never a panic.

use crate::domain::{Bps, Rounding, mul_div};

/// Rates are parts of this.
pub const RATE_DENOMINATOR: u64 = 1_000_000;
const BPS_DENOMINATOR: u128 = 10_000;

/// Why the program would refuse a swap, or could not compute it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MathError {
    /// Nothing is asked for, or the transfer fee takes all of it (the program's 2505).
    #[error("nothing is left to swap")]
    ZeroAmount,
    /// So little that one side rounds to nothing (the program's 2505).
    #[error("the amount is so small that it rounds to nothing")]
    RoundsToZero,
    /// As much as the pool holds, or more (the program panics).
    #[error("the pool does not hold that much")]
    ExceedsReserve,
    /// A side of the pool is empty: there is no price.
    #[error("a side of the pool is empty")]
    EmptyReserve,
    /// No amount brings the wanted one through this transfer fee (the program's 6010).
    #[error("the token's transfer fee leaves no way to deliver that amount")]
    TransferFee,
    /// A fee rate is 100 % or more: nothing would be left.
    #[error("the pool's fee rates leave nothing")]
    Rates,
    /// A number does not fit in 64 bits (the program's 6011, or a panic).
    #[error("the amount needed is larger than a token amount can be")]
    Overflow,
}

/// A Token-2022 transfer fee in force; zero for every other mint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransferFee {
    /// Of the transferred amount.
    pub basis_points: u16,
    /// At most this much per transfer, in base units.
    pub maximum: u64,
}

impl TransferFee {
    /// What a transfer of `gross` withholds. Rounded up, then capped; never more than the transfer itself.
    pub fn of(self, gross: u128) -> u128 {
        let basis_points = u128::from(self.basis_points);
        gross.saturating_mul(basis_points).div_ceil(BPS_DENOMINATOR).min(self.maximum.into()).min(gross)
    }

    /// What to add to `net` so that `net` arrives.
    ///
    /// # Errors
    /// When nothing of a transfer arrives, or the token program's own rounding makes the two disagree.
    pub fn to_add(self, net: u128) -> Result<u128, MathError> {
        let basis_points = u128::from(self.basis_points);
        if basis_points == 0 {
            return Ok(0);
        }
        if net == 0 {
            return Err(MathError::ZeroAmount);
        }
        let maximum = u128::from(self.maximum);
        let uncapped = BPS_DENOMINATOR
            .checked_sub(basis_points)
            .filter(|kept| *kept > 0)
            .map(|kept| mul_div(net, BPS_DENOMINATOR, kept, Rounding::Up).ok_or(MathError::Overflow))
            .transpose()?;
        let gross = match uncapped {
            Some(gross) if gross - net < maximum => gross,
            _ => net + maximum,
        };
        let fee = self.of(gross);
        // the program makes the same check: the fee of what is sent must be the fee that was added
        if self.of(net + fee) == fee { Ok(fee) } else { Err(MathError::TransferFee) }
    }
}

/// Fee rates in parts per [`RATE_DENOMINATOR`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Of the input.
    pub trade: u64,
    /// The protocol's part of the trade fee.
    pub protocol: u64,
    /// The fund's part of the trade fee.
    pub fund: u64,
    /// Of the side named by [`CreatorFeeSide`]; 0 where the pool does not enable it.
    pub creator: u64,
}

/// The side the pool's creator is paid from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreatorFeeSide {
    /// The token that is paid.
    Input,
    /// The token that is received.
    Output,
}

/// A pool in the direction of one swap, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Market {
    /// Vault of the paid token, without the fees owed from it.
    pub reserve_in: u64,
    /// Vault of the received token, without the fees owed from it.
    pub reserve_out: u64,
    /// Fee rates.
    pub rates: Rates,
    /// Where the creator fee comes from.
    pub creator_side: CreatorFeeSide,
    /// Transfer fee of the paid token.
    pub fee_in: TransferFee,
    /// Transfer fee of the received token.
    pub fee_out: TransferFee,
}

/// What a swap moves. Amounts in base units; input-side ones in the paid token, output-side ones in the received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Leaves the user (gross).
    pub amount_in: u64,
    /// Reaches the user (net).
    pub amount_out: u64,
    /// Withheld by the paid token's mint.
    pub transfer_fee_in: u64,
    /// Withheld by the received token's mint.
    pub transfer_fee_out: u64,
    /// Reaches the pool's vault.
    pub vault_in: u64,
    /// Leaves the pool's vault.
    pub vault_out: u64,
    /// Trade fee in the paid token: liquidity providers, protocol and fund together.
    pub trade_fee: u64,
    /// The protocol's part of the trade fee.
    pub protocol_fee: u64,
    /// The fund's part of the trade fee.
    pub fund_fee: u64,
    /// Creator fee, in the token of the market's [`CreatorFeeSide`].
    pub creator_fee: u64,
    /// What the curve takes: the input without any fee.
    pub curve_in: u64,
    /// What the curve gives: the output before any fee.
    pub curve_out: u64,
    /// How far the swap moves the price against the trader, fees left out. Rounded up.
    pub price_impact: Bps,
    /// The market's input reserve afterwards. Above u64 only where no mint could have supplied the input.
    pub reserve_in_after: u128,
    /// The market's output reserve afterwards.
    pub reserve_out_after: u64,
}

/// Fees taken from the input.
struct InputFees {
    trade: u128,
    creator: u128,
}

impl Market {
    /// Sells exactly `amount_in` (gross).
    ///
    /// # Errors
    /// When the program would refuse it.
    pub fn exact_in(&self, amount_in: u64) -> Result<Outcome, MathError> {
        self.check()?;
        let vault_in = u128::from(amount_in) - self.fee_in.of(amount_in.into());
        if vault_in == 0 {
            return Err(MathError::ZeroAmount);
        }
        let taken = mul_div(vault_in, self.input_rate().into(), RATE_DENOMINATOR.into(), Rounding::Up)
            .ok_or(MathError::Overflow)?;
        let fees = self.split(taken)?;
        let curve_in = vault_in.checked_sub(taken).ok_or(MathError::Rates)?;
        let reserve_in = u128::from(self.reserve_in);
        let curve_out = mul_div(curve_in, self.reserve_out.into(), reserve_in + curve_in, Rounding::Down)
            .ok_or(MathError::Overflow)?;
        let creator_out = match self.creator_side {
            CreatorFeeSide::Input => 0,
            CreatorFeeSide::Output => {
                mul_div(curve_out, self.rates.creator.into(), RATE_DENOMINATOR.into(), Rounding::Up)
                    .ok_or(MathError::Overflow)?
            }
        };
        let vault_out = curve_out.checked_sub(creator_out).ok_or(MathError::Rates)?;
        let transfer_fee_out = self.fee_out.of(vault_out);
        if vault_out == transfer_fee_out {
            return Err(MathError::RoundsToZero);
        }
        self.outcome(&Moves {
            vault_in,
            transfer_fee_in: u128::from(amount_in) - vault_in,
            curve_in,
            curve_out,
            vault_out,
            transfer_fee_out,
            trade_fee: fees.trade,
            creator_fee: fees.creator + creator_out,
        })
    }

    /// Buys exactly `amount_out` (net).
    ///
    /// # Errors
    /// When the program would refuse it.
    pub fn exact_out(&self, amount_out: u64) -> Result<Outcome, MathError> {
        if amount_out == 0 {
            return Err(MathError::ZeroAmount);
        }
        self.check()?;
        let transfer_fee_out = self.fee_out.to_add(amount_out.into())?;
        let vault_out = u128::from(amount_out) + transfer_fee_out;
        let curve_out = match self.creator_side {
            CreatorFeeSide::Input => vault_out,
            CreatorFeeSide::Output => gross_up(vault_out, self.rates.creator)?,
        };
        let left = u128::from(self.reserve_out).checked_sub(curve_out).filter(|left| *left > 0);
        let left = left.ok_or(MathError::ExceedsReserve)?;
        let curve_in = mul_div(curve_out, self.reserve_in.into(), left, Rounding::Up).ok_or(MathError::Overflow)?;
        // the program narrows here too, and panics where this does not fit
        let curve_in = u128::from(narrow(curve_in)?);
        let vault_in = gross_up(curve_in, self.input_rate())?;
        let fees = self.split(vault_in - curve_in)?;
        self.outcome(&Moves {
            vault_in,
            transfer_fee_in: self.fee_in.to_add(vault_in)?,
            curve_in,
            curve_out,
            vault_out,
            transfer_fee_out,
            trade_fee: fees.trade,
            creator_fee: fees.creator + (curve_out - vault_out),
        })
    }

    fn check(&self) -> Result<(), MathError> {
        if self.reserve_in == 0 || self.reserve_out == 0 {
            return Err(MathError::EmptyReserve);
        }
        let rates = self.rates.trade.checked_add(self.rates.creator).ok_or(MathError::Rates)?;
        let shares = self.rates.protocol.checked_add(self.rates.fund).ok_or(MathError::Rates)?;
        if rates >= RATE_DENOMINATOR || shares > RATE_DENOMINATOR { Err(MathError::Rates) } else { Ok(()) }
    }

    /// What is taken from the input by rate. One rate for both fees: the program rounds their sum up, once.
    const fn input_rate(&self) -> u64 {
        match self.creator_side {
            CreatorFeeSide::Input => self.rates.trade + self.rates.creator,
            CreatorFeeSide::Output => self.rates.trade,
        }
    }

    /// Splits what was taken from the input: the creator's part is rounded down, the trade fee is the rest.
    fn split(&self, taken: u128) -> Result<InputFees, MathError> {
        // With both rates zero the source of December 2025 divides by zero and refuses; older and newer builds swap.
        let creator = match self.creator_side {
            CreatorFeeSide::Input if self.rates.creator > 0 => {
                mul_div(taken, self.rates.creator.into(), self.input_rate().into(), Rounding::Down)
                    .ok_or(MathError::Overflow)?
            }
            CreatorFeeSide::Input | CreatorFeeSide::Output => 0,
        };
        Ok(InputFees { trade: taken - creator, creator })
    }

    fn outcome(&self, moves: &Moves) -> Result<Outcome, MathError> {
        let part = |rate: u64| {
            mul_div(moves.trade_fee, rate.into(), RATE_DENOMINATOR.into(), Rounding::Down).ok_or(MathError::Overflow)
        };
        let (protocol_fee, fund_fee) = (part(self.rates.protocol)?, part(self.rates.fund)?);
        let reserve_in = u128::from(self.reserve_in);
        Ok(Outcome {
            amount_in: narrow(moves.vault_in + moves.transfer_fee_in)?,
            amount_out: narrow(moves.vault_out - moves.transfer_fee_out)?,
            transfer_fee_in: narrow(moves.transfer_fee_in)?,
            transfer_fee_out: narrow(moves.transfer_fee_out)?,
            vault_in: narrow(moves.vault_in)?,
            vault_out: narrow(moves.vault_out)?,
            trade_fee: narrow(moves.trade_fee)?,
            protocol_fee: narrow(protocol_fee)?,
            fund_fee: narrow(fund_fee)?,
            creator_fee: narrow(moves.creator_fee)?,
            curve_in: narrow(moves.curve_in)?,
            curve_out: narrow(moves.curve_out)?,
            // On x·y = k the average price is worse than the one before by exactly this share, unit rounding aside.
            price_impact: Bps::ratio_ceil(moves.curve_in, reserve_in + moves.curve_in),
            reserve_in_after: reserve_in + moves.curve_in + moves.trade_fee - protocol_fee - fund_fee,
            reserve_out_after: narrow(u128::from(self.reserve_out) - moves.curve_out)?,
        })
    }
}

/// The numbers of a swap before they are narrowed and named for the outside.
struct Moves {
    vault_in: u128,
    transfer_fee_in: u128,
    curve_in: u128,
    curve_out: u128,
    vault_out: u128,
    transfer_fee_out: u128,
    trade_fee: u128,
    creator_fee: u128,
}

/// The least amount from which `rate` leaves `net`. Rounded up.
fn gross_up(net: u128, rate: u64) -> Result<u128, MathError> {
    let kept = RATE_DENOMINATOR.checked_sub(rate).filter(|kept| *kept > 0).ok_or(MathError::Rates)?;
    mul_div(net, RATE_DENOMINATOR.into(), kept.into(), Rounding::Up).ok_or(MathError::Overflow)
}

fn narrow(amount: u128) -> Result<u64, MathError> {
    u64::try_from(amount).map_err(|_| MathError::Overflow)
}

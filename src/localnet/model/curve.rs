//! Curve: what a CPMM swap moves, in whole base units.
//!
//! Owns the constant product, the order of the fees and every rounding. Pure: no accounts, no clock,
//! no transfer fees. Written from the program's rules without looking at the venue that quotes, so that
//! the two can be held against each other.

/// Rates are parts of a million.
pub(super) const RATE_SCALE: u128 = 1_000_000;

/// The four rates of a pool's config. `creator` is zero when the pool does not charge it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    pub trade: u64,
    pub creator: u64,
    /// Shares of the trade fee, not of the amount.
    pub protocol: u64,
    pub fund: u64,
}

/// The side of the swap that pays the creator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CreatorFee {
    OnInput,
    OnOutput,
}

/// Reserves net of everything owed to protocol, fund and creator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reserves {
    pub input: u64,
    pub output: u64,
}

/// What one swap moves. Still wide: the caller narrows, because the program traps there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trade {
    /// Enters the input vault (after the mint's transfer fee).
    pub input: u128,
    /// Leaves the output vault (before the mint's transfer fee).
    pub output: u128,
    /// The part of `input` that meets the curve.
    pub curve_input: u128,
    /// What the curve gives up; `output` plus a creator fee on that side.
    pub curve_output: u128,
    pub trade_fee: u128,
    pub protocol_fee: u128,
    pub fund_fee: u128,
    pub creator_fee: u128,
}

/// Why there is no trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTrade {
    /// The program's curve answers "nothing", which it reports as 6006.
    Nothing,
    /// The program's own arithmetic panics.
    Trap,
}

/// Exactly `amount` goes in.
pub(super) fn exact_input(amount: u64, reserves: Reserves, rates: Rates, side: CreatorFee) -> Result<Trade, NoTrade> {
    let input = u128::from(amount);
    let (trade_fee, creator_on_input) = match side {
        CreatorFee::OnInput => {
            // One ceiling on the sum, then a floor for the creator: two ceilings would charge a unit more.
            let total = share_up(input, sum(rates.trade, rates.creator))?;
            split_total(total, rates)?
        }
        CreatorFee::OnOutput => (share_up(input, rates.trade)?, 0),
    };
    let curve_input =
        input.checked_sub(trade_fee).and_then(|left| left.checked_sub(creator_on_input)).ok_or(NoTrade::Nothing)?;

    let (reserve_in, reserve_out) = (u128::from(reserves.input), u128::from(reserves.output));
    let curve_output = curve_input
        .checked_mul(reserve_out)
        .zip(reserve_in.checked_add(curve_input))
        .and_then(|(product, total)| product.checked_div(total))
        .ok_or(NoTrade::Trap)?;
    let creator_on_output = match side {
        CreatorFee::OnInput => 0,
        CreatorFee::OnOutput => share_up(curve_output, rates.creator)?,
    };
    let output = curve_output.checked_sub(creator_on_output).ok_or(NoTrade::Nothing)?;
    Ok(Trade {
        input,
        output,
        curve_input,
        curve_output,
        trade_fee,
        creator_fee: creator_on_input.max(creator_on_output),
        protocol_fee: share_down(trade_fee, rates.protocol)?,
        fund_fee: share_down(trade_fee, rates.fund)?,
    })
}

/// Exactly `amount` leaves the output vault.
pub(super) fn exact_output(amount: u64, reserves: Reserves, rates: Rates, side: CreatorFee) -> Result<Trade, NoTrade> {
    let output = u128::from(amount);
    let curve_output = match side {
        CreatorFee::OnInput => output,
        CreatorFee::OnOutput => before_fee(output, rates.creator.into())?,
    };
    let (reserve_in, reserve_out) = (u128::from(reserves.input), u128::from(reserves.output));
    // Rounds up even below one unit; builds before August 2025 did not.
    let curve_input = reserve_in
        .checked_mul(curve_output)
        .zip(reserve_out.checked_sub(curve_output))
        .and_then(|(product, left)| div_up(product, left))
        .ok_or(NoTrade::Trap)?;

    let (input, trade_fee, creator_fee) = match side {
        CreatorFee::OnInput => {
            let input = before_fee(curve_input, sum(rates.trade, rates.creator))?;
            let total = input.checked_sub(curve_input).ok_or(NoTrade::Nothing)?;
            let (trade, creator) = split_total(total, rates)?;
            (input, trade, creator)
        }
        CreatorFee::OnOutput => {
            let input = before_fee(curve_input, rates.trade.into())?;
            let trade = input.checked_sub(curve_input).ok_or(NoTrade::Nothing)?;
            let creator = curve_output.checked_sub(output).ok_or(NoTrade::Nothing)?;
            (input, trade, creator)
        }
    };
    Ok(Trade {
        input,
        output,
        curve_input,
        curve_output,
        trade_fee,
        creator_fee,
        protocol_fee: share_down(trade_fee, rates.protocol)?,
        fund_fee: share_down(trade_fee, rates.fund)?,
    })
}

/// Whether the product of the reserves, fees left out, did not shrink. `None` when it does not fit.
pub(super) fn keeps_product(reserves: Reserves, trade: &Trade) -> Option<bool> {
    let (reserve_in, reserve_out) = (u128::from(reserves.input), u128::from(reserves.output));
    let before = reserve_in.checked_mul(reserve_out)?;
    let after = reserve_in.checked_add(trade.curve_input)?.checked_mul(reserve_out.checked_sub(trade.curve_output)?)?;
    Some(after >= before)
}

/// Both prices before the swap, Q32: how many of the other token one base unit is worth.
pub(super) fn prices_q32(reserve_0: u64, reserve_1: u64) -> Option<(u128, u128)> {
    let (zero, one) = (u128::from(reserve_0), u128::from(reserve_1));
    let scale = 1_u128 << 32;
    Some((one.checked_mul(scale)?.checked_div(zero)?, zero.checked_mul(scale)?.checked_div(one)?))
}

fn sum(a: u64, b: u64) -> u128 {
    u128::from(a).saturating_add(u128::from(b))
}

fn div_up(a: u128, b: u128) -> Option<u128> {
    (b != 0).then(|| a.div_ceil(b))
}

fn share_up(amount: u128, rate: impl Into<u128>) -> Result<u128, NoTrade> {
    amount.checked_mul(rate.into()).map(|product| product.div_ceil(RATE_SCALE)).ok_or(NoTrade::Nothing)
}

fn share_down(amount: u128, rate: u64) -> Result<u128, NoTrade> {
    amount.checked_mul(rate.into()).and_then(|product| product.checked_div(RATE_SCALE)).ok_or(NoTrade::Nothing)
}

/// The least amount that leaves `net` after a fee of `rate`.
fn before_fee(net: u128, rate: u128) -> Result<u128, NoTrade> {
    if rate == 0 {
        return Ok(net);
    }
    net.checked_mul(RATE_SCALE)
        .zip(RATE_SCALE.checked_sub(rate))
        .and_then(|(product, kept)| div_up(product, kept))
        .ok_or(NoTrade::Nothing)
}

/// Splits the fee on the input into (trade, creator). Without any rate there is nothing to split.
fn split_total(total: u128, rates: Rates) -> Result<(u128, u128), NoTrade> {
    let rate = sum(rates.trade, rates.creator);
    if rate == 0 {
        return Ok((total, 0));
    }
    let creator = total
        .checked_mul(rates.creator.into())
        .and_then(|product| product.checked_div(rate))
        .ok_or(NoTrade::Nothing)?;
    let trade = total.checked_sub(creator).ok_or(NoTrade::Nothing)?;
    Ok((trade, creator))
}

#[cfg(test)]
mod tests {
    use super::CreatorFee::{OnInput, OnOutput};
    use super::*;
    use proptest::prelude::*;

    const DEVNET: Rates = Rates { trade: 2_500, creator: 2_500, protocol: 120_000, fund: 40_000 };
    const SOL_USDC: Reserves = Reserves { input: 500_000_000_000, output: 75_000_000_000 };

    fn rates(trade: u64, creator: u64) -> Rates {
        Rates { trade, creator, ..DEVNET }
    }

    fn reserves(input: u64, output: u64) -> Reserves {
        Reserves { input, output }
    }

    /// (trade fee, creator fee, protocol fee, fund fee, curve input, curve output, output)
    fn parts(trade: Trade) -> [u128; 7] {
        [
            trade.trade_fee,
            trade.creator_fee,
            trade.protocol_fee,
            trade.fund_fee,
            trade.curve_input,
            trade.curve_output,
            trade.output,
        ]
    }

    #[test]
    fn worked_examples_of_an_exact_input() {
        let sell = |amount, rates, side| parts(exact_input(amount, SOL_USDC, rates, side).unwrap());
        let one = 1_000_000_000;
        assert_eq!(
            sell(one, rates(2_500, 0), OnInput),
            [2_500_000, 0, 300_000, 100_000, 997_500_000, 149_327_092, 149_327_092]
        );
        assert_eq!(sell(one, rates(2_500, 0), OnOutput), sell(one, rates(2_500, 0), OnInput));
        assert_eq!(
            sell(one, DEVNET, OnInput),
            [2_500_000, 2_500_000, 300_000, 100_000, 995_000_000, 148_953_582, 148_953_582]
        );
        assert_eq!(
            sell(one, DEVNET, OnOutput),
            [2_500_000, 373_318, 300_000, 100_000, 997_500_000, 149_327_092, 148_953_774]
        );
        // One ceiling for both fees: two would take 5,002.
        assert_eq!(sell(1_000_001, DEVNET, OnInput), [2_501, 2_500, 300, 100, 995_000, 149_249, 149_249]);
        assert_eq!(
            sell(100_000_000, rates(50, 14_950), OnInput),
            [5_000, 1_495_000, 600, 200, 98_500_000, 14_772_089, 14_772_089]
        );
        let back = reserves(SOL_USDC.output, SOL_USDC.input);
        let bought = exact_input(150_000_000, back, DEVNET, OnOutput).unwrap();
        assert_eq!((bought.curve_output, bought.output), (995_513_949, 993_025_164));
        let nothing = exact_input(7, SOL_USDC, rates(2_500, 0), OnInput).unwrap();
        assert_eq!((nothing.trade_fee, nothing.output), (1, 0));
    }

    #[test]
    fn worked_examples_of_an_exact_output() {
        let buy = |amount, rates, side| {
            let trade = exact_output(amount, SOL_USDC, rates, side).unwrap();
            let curve = (trade.curve_output, trade.curve_input);
            (curve, trade.input, trade.trade_fee, trade.creator_fee)
        };
        let wanted = 149_000_000;
        let curve = (149_000_000, 995_310_684);
        assert_eq!(buy(wanted, rates(2_500, 0), OnInput), (curve, 997_805_197, 2_494_513, 0));
        assert_eq!(buy(wanted, DEVNET, OnInput), (curve, 1_000_312_246, 2_500_781, 2_500_781));
        assert_eq!(buy(wanted, DEVNET, OnOutput), ((149_373_434, 997_810_178), 1_000_310_956, 2_500_778, 373_434));
        assert_eq!(buy(1, rates(2_500, 0), OnInput), ((1, 7), 8, 1, 0));
        assert_eq!(buy(1, rates(0, 0), OnInput), ((1, 7), 7, 0, 0));
    }

    #[test]
    fn what_does_not_fit_is_told_apart_from_nothing() {
        let off = rates(2_500, 0);
        let all = exact_output(SOL_USDC.output, SOL_USDC, off, OnInput);
        assert_eq!(all, Err(NoTrade::Trap));
        let too_much = exact_output(SOL_USDC.output + 1, SOL_USDC, off, OnInput);
        assert_eq!(too_much, Err(NoTrade::Trap));
        let impossible = exact_input(1_000, SOL_USDC, rates(1_000_001, 0), OnInput);
        assert_eq!(impossible, Err(NoTrade::Nothing));
        assert_eq!(prices_q32(0, 1), None);
    }

    #[test]
    fn near_the_top_of_64_bits() {
        let deep = reserves(9_223_372_036_854_775_807, u64::MAX);
        let trade = exact_input(9_223_372_036_854_775_807, deep, rates(2_500, 0), OnInput).unwrap();
        assert_eq!(trade.output, 9_211_828_392_252_955_061);
        assert_eq!(trade.protocol_fee, 2_767_011_611_056_432);
        let deep = reserves(9_000_000_000_000_000_000, u64::MAX);
        let wanted = 9_000_000_000_000_000_000;
        let trade = exact_output(wanted, deep, rates(2_500, 0), OnInput).unwrap();
        assert_eq!(trade.input, 8_595_872_491_643_584_858);
    }

    fn side() -> impl Strategy<Value = CreatorFee> {
        prop_oneof![Just(OnInput), Just(OnOutput)]
    }

    proptest! {
        #[test]
        fn the_product_never_shrinks_and_asking_back_costs_no_less(
            amount in 1..u64::MAX,
            input in 1..u64::MAX,
            output in 1..u64::MAX,
            trade in 0..500_000_u64,
            creator in 0..400_000_u64,
            side in side(),
        ) {
            let (pool, rates) = (reserves(input, output), rates(trade, creator));
            let sold = exact_input(amount, pool, rates, side).unwrap();
            prop_assert!(sold.output < u128::from(output));
            prop_assert_ne!(keeps_product(pool, &sold), Some(false));
            if let Ok(out @ 1..) = u64::try_from(sold.output)
                && let Ok(bought) = exact_output(out, pool, rates, side)
            {
                prop_assert_ne!(keeps_product(pool, &bought), Some(false));
                prop_assert!(bought.input <= sold.input);
            }
        }
    }
}

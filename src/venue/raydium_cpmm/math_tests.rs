//! Worked examples for the swap maths, and what must hold for any pool.

use proptest::prelude::*;

use super::math::{CreatorFeeSide, Market, MathError, Outcome, RATE_DENOMINATOR, Rates, TransferFee};

const OFF: (u64, CreatorFeeSide) = (0, CreatorFeeSide::Input);
const ON_INPUT: (u64, CreatorFeeSide) = (2_500, CreatorFeeSide::Input);
const ON_OUTPUT: (u64, CreatorFeeSide) = (2_500, CreatorFeeSide::Output);
const NO_FEE: TransferFee = TransferFee { basis_points: 0, maximum: 0 };

fn market(reserve_in: u64, reserve_out: u64, trade: u64, (creator, side): (u64, CreatorFeeSide)) -> Market {
    let rates = Rates { trade, protocol: 120_000, fund: 40_000, creator };
    Market { reserve_in, reserve_out, rates, creator_side: side, fee_in: NO_FEE, fee_out: NO_FEE }
}

/// 500 SOL against 75 000 of a 6-decimal coin, 0.25 %.
fn sol(creator: (u64, CreatorFeeSide)) -> Market {
    market(500_000_000_000, 75_000_000_000, 2_500, creator)
}

fn coin(creator: (u64, CreatorFeeSide)) -> Market {
    market(75_000_000_000, 500_000_000_000, 2_500, creator)
}

/// trade, creator, protocol, fund, into the curve, out
fn numbers(outcome: Outcome) -> [u64; 6] {
    [
        outcome.trade_fee,
        outcome.creator_fee,
        outcome.protocol_fee,
        outcome.fund_fee,
        outcome.curve_in,
        outcome.amount_out,
    ]
}

#[test]
fn exact_input_follows_the_worked_examples() {
    for (id, market, amount_in, expected) in [
        ("I1", sol(OFF), 1_000_000_000, [2_500_000, 0, 300_000, 100_000, 997_500_000, 149_327_092]),
        ("I2", sol(ON_INPUT), 1_000_000_000, [2_500_000, 2_500_000, 300_000, 100_000, 995_000_000, 148_953_582]),
        ("I3", sol(ON_OUTPUT), 1_000_000_000, [2_500_000, 373_318, 300_000, 100_000, 997_500_000, 148_953_774]),
        ("I4", coin(ON_OUTPUT), 150_000_000, [375_000, 2_488_785, 45_000, 15_000, 149_625_000, 993_025_164]),
        ("I5", sol(ON_INPUT), 1_000_001, [2_501, 2_500, 300, 100, 995_000, 149_249]),
        (
            "I6",
            market(500_000_000_000, 75_000_000_000, 40_000, OFF),
            100_000_000,
            [4_000_000, 0, 480_000, 160_000, 96_000_000, 14_397_235],
        ),
        (
            "I7",
            market(500_000_000_000, 75_000_000_000, 50, (14_950, CreatorFeeSide::Input)),
            100_000_000,
            [5_000, 1_495_000, 600, 200, 98_500_000, 14_772_089],
        ),
        ("I10", sol(OFF), 8, [1, 0, 0, 0, 7, 1]),
        ("I11", coin(OFF), 2, [1, 0, 0, 0, 1, 6]),
        ("I12", market(1_000, 1_000, 40_000, ON_INPUT), 3, [1, 0, 0, 0, 2, 1]),
        (
            "H1",
            market(9_223_372_036_854_775_807, u64::MAX, 2_500, OFF),
            9_223_372_036_854_775_807,
            [
                23_058_430_092_136_940,
                0,
                2_767_011_611_056_432,
                922_337_203_685_477,
                9_200_313_606_762_638_867,
                9_211_828_392_252_955_061,
            ],
        ),
        (
            "H2",
            market(17_000_000_000_000_000_000, 18_446_744_073_709_551_614, 2_500, ON_OUTPUT),
            1_000_000_000_000_000_000,
            [
                2_500_000_000_000_000,
                2_555_997_668_221_320,
                300_000_000_000_000,
                100_000_000_000_000,
                997_500_000_000_000_000,
                1_019_843_069_620_306_405,
            ],
        ),
    ] {
        let outcome = market.exact_in(amount_in).unwrap();
        assert_eq!(numbers(outcome), expected, "{id}");
        assert_eq!(outcome.amount_in, amount_in, "{id}");
    }
    assert_eq!(sol(ON_OUTPUT).exact_in(1_000_000_000).unwrap().curve_out, 149_327_092, "I3");
    assert_eq!(coin(ON_OUTPUT).exact_in(150_000_000).unwrap().curve_out, 995_513_949, "I4");
    for (id, amount_in) in [("I8", 1), ("I9", 7)] {
        assert_eq!(sol(OFF).exact_in(amount_in), Err(MathError::RoundsToZero), "{id}");
    }
    assert_eq!(sol(OFF).exact_in(0), Err(MathError::ZeroAmount));
    // I13: a limit one unit above I1 is missed
    assert!(sol(OFF).exact_in(1_000_000_000).unwrap().amount_out < 149_327_093, "I13");
}

#[test]
fn exact_output_follows_the_worked_examples() {
    for (id, market, wanted, [curve_out, curve_in, pay, trade, creator]) in [
        ("O1", sol(OFF), 149_000_000, [149_000_000, 995_310_684, 997_805_197, 2_494_513, 0]),
        ("O2", sol(ON_INPUT), 149_000_000, [149_000_000, 995_310_684, 1_000_312_246, 2_500_781, 2_500_781]),
        ("O3", sol(ON_OUTPUT), 149_000_000, [149_373_434, 997_810_178, 1_000_310_956, 2_500_778, 373_434]),
        ("O4", sol(OFF), 1, [1, 7, 8, 1, 0]),
        ("O5", market(1_000, 1_000, 2_500, OFF), 999, [999, 999_000, 1_001_504, 2_504, 0]),
        (
            "H3",
            market(9_000_000_000_000_000_000, u64::MAX, 2_500, OFF),
            9_000_000_000_000_000_000,
            [
                9_000_000_000_000_000_000,
                8_574_382_810_414_475_895,
                8_595_872_491_643_584_858,
                21_489_681_229_108_963,
                0,
            ],
        ),
    ] {
        let outcome = market.exact_out(wanted).unwrap();
        let found = [outcome.curve_out, outcome.curve_in, outcome.amount_in, outcome.trade_fee, outcome.creator_fee];
        assert_eq!(found, [curve_out, curve_in, pay, trade, creator], "{id}");
        assert_eq!(outcome.amount_out, wanted, "{id}");
    }
    // O6: a limit one unit below O1 is missed
    assert!(sol(OFF).exact_out(149_000_000).unwrap().amount_in > 997_805_196, "O6");
    assert_eq!(sol(OFF).exact_out(74_999_999_999), Err(MathError::Overflow), "H4");
    assert_eq!(sol(OFF).exact_out(75_000_000_000), Err(MathError::ExceedsReserve));
    assert_eq!(sol(OFF).exact_out(75_000_000_001), Err(MathError::ExceedsReserve));
    assert_eq!(sol(OFF).exact_out(0), Err(MathError::ZeroAmount));
}

#[test]
fn transfer_fees_follow_the_worked_examples() {
    let taxed = |fee_out| Market {
        fee_in: TransferFee { basis_points: 300, maximum: 1_000_000_000_000_000 },
        fee_out,
        ..market(5_000_000_000, 2_000_000_000, 2_500, OFF)
    };
    let capped = TransferFee { basis_points: 100, maximum: 1_000 };

    let t1 = taxed(NO_FEE).exact_in(1_000_000).unwrap();
    assert_eq!((t1.transfer_fee_in, t1.vault_in), (30_000, 970_000), "T1");
    assert_eq!((t1.trade_fee, t1.protocol_fee, t1.fund_fee, t1.amount_out), (2_425, 291, 97, 386_955), "T1");

    let t2 = taxed(capped).exact_in(1_000_001).unwrap();
    assert_eq!((t2.transfer_fee_in, t2.vault_in), (30_001, 970_000), "T2");
    assert_eq!((t2.vault_out, t2.transfer_fee_out, t2.amount_out), (386_955, 1_000, 385_955), "T2");

    let t3 = taxed(capped).exact_out(387_000).unwrap();
    assert_eq!((t3.transfer_fee_out, t3.vault_out, t3.curve_in), (1_000, 388_000, 970_189), "T3");
    assert_eq!((t3.vault_in, t3.transfer_fee_in, t3.amount_in), (972_621, 30_082, 1_002_703), "T3");

    let t4 = taxed(capped).exact_out(38_700).unwrap();
    assert_eq!((t4.transfer_fee_out, t4.vault_out, t4.curve_in), (391, 39_091, 97_730), "T4");
    assert_eq!((t4.vault_in, t4.transfer_fee_in, t4.amount_in), (97_975, 3_031, 101_006), "T4");
}

#[test]
fn two_swaps_in_a_row_leave_the_reserves_of_the_worked_example() {
    // creator fee only in token 0: on the input when token 0 is sold, on the output when token 1 is
    let first = market(500_000_000_000, 75_000_000_000, 2_500, ON_INPUT).exact_in(1_000_000_000).unwrap();
    assert_eq!((first.amount_out, first.creator_fee), (148_953_582, 2_500_000));
    assert_eq!((first.reserve_in_after, first.reserve_out_after), (500_997_100_000, 74_851_046_418));

    let back = market(74_851_046_418, 500_997_100_000, 2_500, ON_OUTPUT).exact_in(150_000_000).unwrap();
    assert_eq!((back.curve_out, back.creator_fee, back.amount_out), (999_480_266, 2_498_701, 996_981_565));
    assert_eq!((back.reserve_in_after, back.reserve_out_after), (75_000_986_418, 499_997_619_734));
}

#[test]
fn a_pool_without_any_fee_still_swaps() {
    let free = market(1_000_000, 1_000_000, 0, OFF);
    let outcome = free.exact_in(1_000).unwrap();
    assert_eq!((outcome.trade_fee, outcome.creator_fee, outcome.amount_out), (0, 0, 999));
    assert_eq!(free.exact_out(999).unwrap().amount_in, 1_000);
}

#[test]
fn nonsense_is_an_error() {
    assert_eq!(market(0, 1_000, 2_500, OFF).exact_in(10), Err(MathError::EmptyReserve));
    assert_eq!(market(1_000, 0, 2_500, OFF).exact_out(10), Err(MathError::EmptyReserve));
    assert_eq!(market(1_000, 1_000, RATE_DENOMINATOR, OFF).exact_in(10), Err(MathError::Rates));
    assert_eq!(market(1_000, 1_000, u64::MAX, ON_INPUT).exact_in(10), Err(MathError::Rates));
    let all = TransferFee { basis_points: 10_000, maximum: u64::MAX };
    let swallowed = Market { fee_out: all, ..sol(OFF) };
    assert_eq!(swallowed.exact_in(1_000_000), Err(MathError::RoundsToZero));
    assert!(swallowed.exact_out(1_000_000).is_err());
    assert_eq!(Market { fee_in: all, ..sol(OFF) }.exact_in(1_000_000), Err(MathError::ZeroAmount));
}

#[test]
fn price_impact_is_the_share_of_the_reserve_that_comes_in() {
    // 997 500 000 of 500 997 500 000 is 19.9 bps
    assert_eq!(sol(OFF).exact_in(1_000_000_000).unwrap().price_impact.get(), 20);
    assert_eq!(sol(OFF).exact_out(149_327_092).unwrap().price_impact.get(), 20);
    // as much again as the pool holds halves the price
    let free = market(1_000_000, 1_000_000, 0, OFF);
    assert_eq!(free.exact_in(1_000_000).unwrap().price_impact.get(), 5_000);
    // no saturation near the end of u64
    let large = market(u64::MAX, u64::MAX, 0, OFF);
    assert_eq!(large.exact_in(u64::MAX).unwrap().price_impact.get(), 5_000);
}

fn any_fee() -> impl Strategy<Value = TransferFee> {
    prop_oneof![
        Just(NO_FEE),
        (0_u16..=10_000, prop_oneof![Just(u64::MAX), any::<u64>(), 0_u64..10_000])
            .prop_map(|(basis_points, maximum)| TransferFee { basis_points, maximum }),
    ]
}

/// Small, ordinary and huge amounts alike.
fn any_amount() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0_u32..64).prop_map(|(bits, shift)| bits >> shift)
}

prop_compose! {
    fn any_market()(
        reserve_in in any_amount(),
        reserve_out in any_amount(),
        trade in 0_u64..600_000,
        creator in prop_oneof![Just(0), 0_u64..400_000],
        protocol in 0_u64..=500_000,
        fund in 0_u64..=500_000,
        creator_side in prop_oneof![Just(CreatorFeeSide::Input), Just(CreatorFeeSide::Output)],
        fee_in in any_fee(),
        fee_out in any_fee(),
    ) -> Market {
        Market { reserve_in, reserve_out, rates: Rates { trade, protocol, fund, creator }, creator_side, fee_in, fee_out }
    }
}

fn k(reserve_in: u128, reserve_out: u128) -> u128 {
    reserve_in.saturating_mul(reserve_out)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_input_panics(
        mut market in any_market(),
        rates in any::<(u64, u64, u64, u64)>(),
        wild in any::<bool>(),
        fee in any::<(u16, u64)>(),
        amount in any_amount(),
    ) {
        if wild {
            let (trade, protocol, fund, creator) = rates;
            market.rates = Rates { trade, protocol, fund, creator };
            market.fee_out = TransferFee { basis_points: fee.0, maximum: fee.1 };
        }
        let _ = market.exact_in(amount);
        let _ = market.exact_out(amount);
    }

    #[test]
    fn more_in_never_gives_less_out(market in any_market(), amount in any_amount(), more in any_amount()) {
        if let (Ok(less), Ok(greater)) = (market.exact_in(amount), market.exact_in(amount.saturating_add(more))) {
            prop_assert!(less.amount_out <= greater.amount_out);
        }
    }

    #[test]
    fn wanting_more_never_costs_less(market in any_market(), amount in any_amount(), more in any_amount()) {
        if let (Ok(less), Ok(greater)) = (market.exact_out(amount), market.exact_out(amount.saturating_add(more))) {
            prop_assert!(less.amount_in <= greater.amount_in);
        }
    }

    #[test]
    fn the_product_of_the_reserves_never_falls(market in any_market(), amount in any_amount()) {
        let before = k(market.reserve_in.into(), market.reserve_out.into());
        for outcome in [market.exact_in(amount), market.exact_out(amount)].into_iter().flatten() {
            prop_assert!(k(outcome.reserve_in_after, outcome.reserve_out_after.into()) >= before);
        }
    }

    #[test]
    fn paying_the_price_of_an_exact_output_brings_at_least_that(market in any_market(), wanted in any_amount()) {
        if let Ok(price) = market.exact_out(wanted) {
            prop_assert_eq!(price.amount_out, wanted);
            let bought = market.exact_in(price.amount_in);
            prop_assert!(bought.is_ok_and(|bought| bought.amount_out >= wanted), "{:?} then {:?}", price, bought);
        }
    }

    #[test]
    fn amounts_add_up(market in any_market(), amount in any_amount()) {
        for outcome in [market.exact_in(amount), market.exact_out(amount)].into_iter().flatten() {
            prop_assert_eq!(outcome.amount_in - outcome.transfer_fee_in, outcome.vault_in);
            prop_assert_eq!(outcome.vault_out - outcome.transfer_fee_out, outcome.amount_out);
            prop_assert_eq!(market.fee_in.of(outcome.amount_in.into()), u128::from(outcome.transfer_fee_in));
            prop_assert_eq!(market.fee_out.of(outcome.vault_out.into()), u128::from(outcome.transfer_fee_out));
            let (creator_in, creator_out) = match market.creator_side {
                CreatorFeeSide::Input => (outcome.creator_fee, 0),
                CreatorFeeSide::Output => (0, outcome.creator_fee),
            };
            prop_assert_eq!(outcome.vault_in - outcome.trade_fee - creator_in, outcome.curve_in);
            prop_assert_eq!(outcome.curve_out - creator_out, outcome.vault_out);
        }
    }

    #[test]
    fn what_a_transfer_fee_adds_arrives_again(fee in any_fee(), net in any_amount()) {
        if let Ok(added) = fee.to_add(net.into()) {
            let gross = u128::from(net) + added;
            prop_assert_eq!(gross - fee.of(gross), u128::from(net));
        }
    }

    #[test]
    fn a_transfer_fee_below_100_percent_can_always_be_inverted(
        basis_points in 0_u16..10_000,
        maximum in any::<u64>(),
        net in 1_u64..,
    ) {
        let added = TransferFee { basis_points, maximum }.to_add(net.into());
        prop_assert!(added.is_ok(), "{added:?}");
    }
}

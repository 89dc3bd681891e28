//! Every recorded swap of the real program, quoted from the accounts it ran on.

use super::{
    golden::{Case, EPOCHS, Golden, number},
    layout::{self, FeeSchedule},
    math::{MathError, TransferFee},
};
use crate::{
    domain::{BaseUnits, Swap},
    venue::VenueError,
};

#[test]
fn golden_accounts_decode_to_the_answer_sheet() {
    let golden = Golden::load();
    for case in &golden.cases {
        let (id, pool, snapshot) = (&case.id, golden.pool(case), golden.snapshot(case));
        let (_, account) = golden.account(&case.before["pool_state"]);
        let state = layout::pool_state(&golden.program(), &pool.address, &account).unwrap();
        let (_, account) = golden.account(&case.before["amm_config"]);
        let config = layout::amm_config(&golden.program(), &pool.amm_config, &account).unwrap();
        layout::check_config_address(&golden.program(), &pool.amm_config, &config).unwrap();
        let [reserve_0, reserve_1] = snapshot.reserves().unwrap();
        let decoded = [
            ("reserve_0", reserve_0),
            ("reserve_1", reserve_1),
            ("status", state.status.into()),
            ("open_time", state.open_time),
            ("lp_supply", state.lp_supply),
            ("recent_epoch", state.recent_epoch),
            ("protocol_fees_token_0", state.protocol_fees_token_0),
            ("protocol_fees_token_1", state.protocol_fees_token_1),
            ("fund_fees_token_0", state.fund_fees_token_0),
            ("fund_fees_token_1", state.fund_fees_token_1),
        ];
        assert_eq!(decoded.len(), case.decoded.len(), "{id}: the sheet says something that is not looked at");
        for (field, value) in decoded {
            assert_eq!(value.to_string(), case.decoded[field], "{id}: {field}");
        }
        let sheet = &golden.pools[&case.pool];
        for (field, key) in [
            ("pool_state", pool.address),
            ("amm_config", pool.amm_config),
            ("authority", pool.authority),
            ("observation", pool.observation),
            ("lp_mint", state.lp_mint),
            ("token_0_vault", pool.sides[0].vault),
            ("token_1_vault", pool.sides[1].vault),
        ] {
            assert_eq!(sheet[field], key.to_string(), "{id}: {field}");
        }
        for (field, rate) in [
            ("amm_config_index", config.index.into()),
            ("trade_fee_rate", config.trade_fee_rate),
            ("protocol_fee_rate", config.protocol_fee_rate),
            ("fund_fee_rate", config.fund_fee_rate),
        ] {
            assert_eq!(sheet[field], rate, "{id}: {field}");
        }
        for (side, token, role) in [(0, "token_0", "token_0_mint"), (1, "token_1", "token_1_mint")] {
            let (sheet, side) = (&sheet[token], &pool.sides[side]);
            assert_eq!(sheet["mint"], side.mint.to_string(), "{id}: {token}");
            assert_eq!(sheet["program"], side.token_program.to_string(), "{id}: {token}");
            let mint = layout::mint(&side.token_program, &side.mint, &golden.account(&case.before[role]).1).unwrap();
            let fee = |fee: &serde_json::Value| TransferFee {
                basis_points: fee["basis_points"].as_u64().unwrap().try_into().unwrap(),
                maximum: fee["maximum"].as_str().unwrap().parse().unwrap(),
            };
            let fees = sheet.get("transfer_fee").map(|fees| FeeSchedule {
                older: fee(&fees["older"]),
                newer: fee(&fees["newer"]),
                newer_from: fees["newer"]["epoch"].as_u64().unwrap(),
            });
            assert_eq!(mint.fees, fees, "{id}: {token}");
            assert_eq!(mint.obstacle, None, "{id}: {token}");
        }
    }
    assert_eq!(golden.cases.len(), 216);
    assert_eq!(golden.pools.len(), 9);
}

/// What became of one recorded swap beside its quote.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Verdict {
    /// Accepted, and quoted to the unit.
    Moved,
    /// Refused with 2505, and the quote says that nothing is left.
    Nothing,
    /// Refused with 6000, and the quote says that the pool is not open.
    Closed,
    /// Refused with 6005, and the quote is past the limit by what was recorded.
    PastLimit,
    /// The program panicked, and the quote says that the pool cannot give it.
    Panicked,
    /// The user could not pay: the quote stands.
    Poor,
    /// A rounding that newer builds do differently.
    OldRounding,
}

fn judge(golden: &Golden, case: &Case) -> Verdict {
    let id = &case.id;
    let snapshot = golden.snapshot(case);
    let (swap, limit) = case.swap();
    let quote = snapshot.quote(case.direction(), swap, Some(&EPOCHS));
    let within = |quote: &crate::domain::Quote| match swap {
        Swap::ExactIn(_) => quote.amount_out >= limit,
        Swap::ExactOut(_) => quote.amount_in <= limit,
    };
    if case.result.ok {
        let quote = quote.unwrap_or_else(|error| panic!("{id}: accepted by the program, refused here: {error}"));
        let outcome = snapshot.outcome(case.direction(), swap, Some(&EPOCHS)).unwrap();
        assert_eq!(quote.amount_in.get(), number(&case.result.user_in_debited), "{id}: paid");
        assert_eq!(quote.amount_out.get(), number(&case.result.user_out_credited), "{id}: received");
        assert_eq!(outcome.vault_in, number(&case.result.vault_in_credited), "{id}: into the vault");
        assert_eq!(outcome.vault_out, number(&case.result.vault_out_debited), "{id}: out of the vault");
        assert!(within(&quote), "{id}: accepted, so within its limit");
        check_reserves_after(golden, case, &outcome);
        return Verdict::Moved;
    }
    let error = case.result.error.as_ref().unwrap();
    match (error.kind.as_str(), error.code) {
        _ if case.tagged("old_rounding") => Verdict::OldRounding,
        ("custom", Some(2505)) => {
            let market = snapshot.market(case.direction(), case.clock.epoch).unwrap();
            let refusal = match swap {
                Swap::ExactIn(amount) => market.exact_in(amount.get()).unwrap_err(),
                Swap::ExactOut(amount) => market.exact_out(amount.get()).unwrap_err(),
            };
            assert!(matches!(refusal, MathError::ZeroAmount | MathError::RoundsToZero), "{id}: {refusal}");
            assert_eq!(case.tagged("zero"), refusal == MathError::ZeroAmount, "{id}: {refusal}");
            assert!(matches!(quote, Err(VenueError::InsufficientLiquidity { .. })), "{id}");
            Verdict::Nothing
        }
        ("custom", Some(6000)) => {
            assert!(matches!(quote, Err(VenueError::NotTradable { .. })), "{id}");
            Verdict::Closed
        }
        ("custom", Some(6005)) => {
            let quote = quote.unwrap_or_else(|error| panic!("{id}: {error}"));
            assert!(!within(&quote), "{id}: refused for its limit");
            // recorded with a limit one unit past what the swap gives or takes
            let missed = match swap {
                Swap::ExactIn(_) => limit.get() - quote.amount_out.get(),
                Swap::ExactOut(_) => quote.amount_in.get() - limit.get(),
            };
            assert_eq!(missed, 1, "{id}");
            Verdict::PastLimit
        }
        ("custom", Some(1)) => {
            assert_ne!(error.failed_program, golden.program_id, "{id}");
            let quote = quote.unwrap_or_else(|error| panic!("{id}: {error}"));
            let held = case.user_in_balance.parse().unwrap();
            assert!(quote.amount_in > BaseUnits::new(held), "{id}: short of money, so the quote is above the balance");
            if case.tagged("poor") {
                assert_eq!(quote.amount_in.get() - held, 1, "{id}: one unit short");
            }
            Verdict::Poor
        }
        ("ProgramFailedToComplete", None) => {
            let market = snapshot.market(case.direction(), case.clock.epoch).unwrap();
            let refusal = market.exact_out(swap.amount().get()).unwrap_err();
            let expected = if case.tagged("all_but_one") { MathError::Overflow } else { MathError::ExceedsReserve };
            assert_eq!(refusal, expected, "{id}");
            assert!(matches!(quote, Err(VenueError::InsufficientLiquidity { .. })), "{id}");
            Verdict::Panicked
        }
        other => panic!("{id}: no rule for {other:?}"),
    }
}

/// The next swap's reserves, as the program wrote them.
fn check_reserves_after(golden: &Golden, case: &Case, outcome: &super::math::Outcome) {
    let mut after = case.clone();
    after.before.extend(case.after.clone());
    let market = golden.snapshot(&after).market(case.direction(), case.clock.epoch).unwrap();
    assert_eq!(u128::from(market.reserve_in), outcome.reserve_in_after, "{}: reserve in", case.id);
    assert_eq!(market.reserve_out, outcome.reserve_out_after, "{}: reserve out", case.id);
}

#[test]
fn every_golden_case_is_quoted_as_the_program_executed_it() {
    let golden = Golden::load();
    let mut verdicts = std::collections::BTreeMap::new();
    for case in &golden.cases {
        *verdicts.entry(judge(&golden, case)).or_insert(0) += 1;
    }
    let expected = [
        (Verdict::Moved, 155),
        (Verdict::Nothing, 15),
        (Verdict::Closed, 11),
        (Verdict::PastLimit, 20),
        (Verdict::Panicked, 6),
        (Verdict::Poor, 6),
        (Verdict::OldRounding, 3),
    ];
    assert_eq!(verdicts.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(expected.iter().map(|(_, count)| count).sum::<i32>(), 216);
}

/// The recorded build rounds the curve's input to nearest where it is below one unit, gets zero and refuses with 2505.
/// Builds since August 2025 round up: one unit into the curve, plus the trade fee of at least one unit where there is
/// one. A quote follows the newer builds, which are what runs on devnet.
#[test]
fn the_old_rounding_cases_differ_by_exactly_one_unit_into_the_curve() {
    let golden = Golden::load();
    let mut seen = Vec::new();
    for case in golden.cases.iter().filter(|case| case.tagged("old_rounding")) {
        let refused = case.result.error.as_ref().unwrap();
        assert_eq!(refused.code, Some(2505), "{}", case.id);
        let (swap, _) = case.swap();
        let outcome = golden.snapshot(case).outcome(case.direction(), swap, Some(&EPOCHS)).unwrap();
        assert_eq!(outcome.curve_in, 1, "{}", case.id);
        seen.push((case.id.as_str(), outcome.amount_in, outcome.trade_fee, outcome.amount_out));
    }
    assert_eq!(seen, [("cpmm-shared-0075", 2, 1, 5), ("cpmm-shared-0087", 2, 1, 4), ("cpmm-shared-0173", 1, 0, 2),]);
}

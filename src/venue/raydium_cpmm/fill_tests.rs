//! Fills read back from the recorded swaps, and error numbers explained.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::json;
use solana_sdk::pubkey::Pubkey;

use super::{
    fill,
    golden::{Case, Golden, number},
    layout,
    snapshot::Pool,
};
use crate::{
    chain::{LandedTransaction, rpc::TokenBalance},
    domain::{BaseUnits, ErrorCode, Fill, Lamports, Slot},
};

fn first(golden: &Golden) -> (&Case, Pool) {
    let case = &golden.cases[0];
    (case, golden.pool(case))
}

/// The records of a recorded swap as `getTransaction` would bring them.
fn landed(golden: &Golden, case: &Case, pool: &Pool) -> LandedTransaction {
    let balance = |id: &String| {
        let (account, data) = golden.account(id);
        let amount = u64::from_le_bytes(data.data[64..72].try_into().unwrap());
        TokenBalance { account, mint: Pubkey::try_from(&data.data[..32]).unwrap(), amount }
    };
    let roles = ["token_0_vault", "token_1_vault", "user_input", "user_output"];
    let after = |role: &str| case.after.get(role).unwrap_or(&case.before[role]);
    let program = &golden.program_id;
    let mut logs = vec![format!("Program {program} invoke [1]")];
    logs.extend(case.result.events_base64.iter().map(|event| format!("Program data: {event}")));
    logs.push(format!("Program {program} success"));
    assert_eq!(pool.direction(&case.pair(pool)), Some(case.direction()));
    LandedTransaction {
        slot: Slot(case.clock.slot),
        fee: Lamports::new(5_000),
        error: None,
        logs,
        pre_token_balances: roles.iter().map(|role| balance(&case.before[*role])).collect(),
        post_token_balances: roles.iter().map(|role| balance(after(role))).collect(),
    }
}

#[test]
fn fills_are_what_the_program_moved_with_and_without_its_event() {
    let golden = Golden::load();
    let program = golden.program();
    let mut seen = 0;
    for case in golden.cases.iter().filter(|case| case.result.ok) {
        let pool = golden.pool(case);
        let expected = Some(Fill {
            amount_in: BaseUnits::new(number(&case.result.user_in_debited)),
            amount_out: BaseUnits::new(number(&case.result.user_out_credited)),
        });
        let mut transaction = landed(&golden, case, &pool);
        let read = |pool: Option<&Pool>, transaction: &LandedTransaction, address: &Pubkey| {
            fill::fill(&program, address, pool, transaction)
        };
        let address = pool.address;
        assert_eq!(read(Some(&pool), &transaction, &address), expected, "{}: event and balances", case.id);
        assert_eq!(read(None, &transaction, &address), expected, "{}: event alone", case.id);

        let whole = std::mem::replace(&mut transaction.logs, vec!["Log truncated".to_owned()]);
        assert_eq!(read(Some(&pool), &transaction, &address), expected, "{}: balances alone", case.id);
        assert_eq!(read(None, &transaction, &address), None, "{}: neither", case.id);

        // the user's accounts opened and closed in the transaction leave no balance: enough without transfer fees
        let vaults = pool.sides.map(|side| side.vault);
        transaction.pre_token_balances.retain(|balance| vaults.contains(&balance.account));
        transaction.post_token_balances.retain(|balance| vaults.contains(&balance.account));
        let plain = pool.sides.iter().all(|side| side.token_program == spl_token::ID);
        assert_eq!(read(Some(&pool), &transaction, &address).is_some(), plain, "{}: vaults alone", case.id);

        // an event that the vaults contradict is not believed
        transaction.logs = whole;
        transaction.post_token_balances[0].amount += 1;
        assert_ne!(read(Some(&pool), &transaction, &address), expected, "{}: contradiction", case.id);

        // nor one of another pool, nor of a failed transaction
        assert_eq!(read(None, &transaction, &Pubkey::new_unique()), None, "{}: another pool", case.id);
        transaction.error = Some(json!("anything"));
        assert_eq!(read(Some(&pool), &transaction, &address), None, "{}: failed", case.id);
        seen += 1;
    }
    assert_eq!(seen, 155);
}

#[test]
fn an_event_counts_only_when_the_program_itself_wrote_it() {
    let golden = Golden::load();
    let (case, pool) = first(&golden);
    let program = golden.program();
    let event = &case.result.events_base64[0];
    let other = Pubkey::new_unique();
    let mut transaction = landed(&golden, case, &pool);
    let mut read = |logs: &[String]| {
        transaction.logs = logs.to_vec();
        fill::fill(&program, &pool.address, None, &transaction)
    };
    let (enter, leave) = (format!("Program {program} invoke [1]"), format!("Program {program} success"));
    let data = format!("Program data: {event}");
    assert!(read(&[enter.clone(), data.clone(), leave.clone()]).is_some());
    let inner = [format!("Program {other} invoke [2]"), format!("Program {other} success")];
    assert!(read(&[enter.clone(), inner[0].clone(), inner[1].clone(), data.clone(), leave.clone()]).is_some());
    assert!(read(&[enter.clone(), inner[0].clone(), data.clone(), inner[1].clone(), leave.clone()]).is_none());
    assert!(read(&[format!("Program {other} invoke [1]"), data.clone()]).is_none());
    assert!(read(&[enter.clone(), leave, data.clone()]).is_none());
    assert!(read(&[enter, data.clone(), data]).is_none(), "two swaps cannot be told apart");
}

#[test]
fn both_forms_of_the_event_are_read() {
    let golden = Golden::load();
    let (case, pool) = first(&golden);
    let old = BASE64.decode(&case.result.events_base64[0]).unwrap();
    assert_eq!(old.len(), 89);
    let short = layout::swap_event(&old).unwrap();
    assert_eq!((short.pool_id, short.input_amount, short.creator_fee), (pool.address, 9, 0));

    let mut new = old.clone();
    new.extend(pool.sides[0].mint.to_bytes());
    new.extend(pool.sides[1].mint.to_bytes());
    new.extend(7_u64.to_le_bytes());
    new.extend(3_u64.to_le_bytes());
    new.push(1);
    assert_eq!(new.len(), 170);
    let long = layout::swap_event(&new).unwrap();
    assert_eq!((long.input_mint, long.output_mint), (pool.sides[0].mint, pool.sides[1].mint));
    assert_eq!((long.trade_fee, long.creator_fee, long.creator_fee_on_input), (7, 3, true));
    assert!(layout::swap_event(&old[..88]).is_none());
    assert!(layout::swap_event(&[]).is_none());
}

#[test]
fn error_numbers_are_explained_for_this_program_only() {
    assert_eq!(fill::explain(6005).code, ErrorCode::SlippageExceeded);
    assert_eq!(fill::explain(6000).code, ErrorCode::NoRoute);
    assert_eq!(fill::explain(2505).code, ErrorCode::InsufficientLiquidity);
    let unknown = fill::explain(4242);
    assert_eq!(unknown.code, ErrorCode::TransactionFailed);
    assert!(unknown.reason.contains("4242"));
}

//! After the fact: what a landed swap moved, and what an error number of the program means.
//!
//! Owns the reading of one transaction's records. Never reads the chain, and never guesses: what two records contradict
//! or none tells is `None`.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use solana_sdk::pubkey::Pubkey;

use super::{
    layout::{self, SwapEvent},
    snapshot::{Pool, Side},
};
use crate::{
    chain::LandedTransaction,
    domain::{BaseUnits, ErrorCode, Failure, Fill},
};

/// What a swap in `address` moved for the user. The program's event says it; the vaults' balances must agree. Without
/// an event (logs are cut at 10 kB), or against it, the balances alone decide. `pool` is the pool's lasting part, if known.
pub fn fill(program: &Pubkey, address: &Pubkey, pool: Option<&Pool>, transaction: &LandedTransaction) -> Option<Fill> {
    if transaction.error.is_some() {
        return None;
    }
    let event = event(program, address, &transaction.logs);
    match (event, pool.filter(|pool| is_recorded(pool, transaction))) {
        (Some(event), None) => from_event(&event),
        (event, Some(pool)) => {
            let moved = moved(pool, transaction)?;
            let agreed =
                |event: &SwapEvent| (event.input_amount, event.output_amount) == (moved.vault_in, moved.vault_out);
            match event.filter(agreed) {
                Some(event) => from_event(&event),
                None => from_balances(&moved, transaction),
            }
        }
        (None, None) => None,
    }
}

/// What an error number of the program means to whoever placed the order.
pub fn explain(error: u32) -> Failure {
    let (code, reason) = match error {
        2505 => {
            (ErrorCode::InsufficientLiquidity, "the amount is so small that one side of the swap rounds to nothing")
        }
        2506 => (ErrorCode::TransactionFailed, "the pool refused a swap that would have lowered its reserves' product"),
        6000 => (ErrorCode::NoRoute, "the pool does not take swaps: it is switched off or has not opened yet"),
        6003 | 6010 => (ErrorCode::TransactionFailed, "the token's transfer fee leaves no way to deliver that amount"),
        6005 => (ErrorCode::SlippageExceeded, "the price moved past the order's limit before the swap was executed"),
        6006 => (ErrorCode::InsufficientLiquidity, "the pool gives nothing for that amount"),
        6008 => (ErrorCode::TransactionFailed, "the vaults in the transaction are not the pool's"),
        6011 => (ErrorCode::InsufficientLiquidity, "the pool cannot compute a swap of that size"),
        6012 => (ErrorCode::InsufficientLiquidity, "the pool's vault holds less than the fees owed from it"),
        other => {
            return Failure::new(
                ErrorCode::TransactionFailed,
                format!("the pool's program refused the swap with error {other}"),
            );
        }
    };
    Failure::new(code, format!("{reason} (error {error})"))
}

/// The swap event of the pool, if the logs hold exactly one that `program` itself wrote.
fn event(program: &Pubkey, address: &Pubkey, logs: &[String]) -> Option<SwapEvent> {
    let program = program.to_string();
    // who is running: another program may print anything, so only the innermost one is the author of a line
    let mut running: Vec<&str> = Vec::new();
    let mut events = Vec::new();
    for line in logs {
        if let Some(data) = line.strip_prefix("Program data: ") {
            if running.last() == Some(&program.as_str()) {
                let decoded = data.split(' ').next().and_then(|field| BASE64.decode(field).ok());
                events.extend(decoded.and_then(|bytes| layout::swap_event(&bytes)));
            }
        } else if let Some((id, rest)) = line.strip_prefix("Program ").and_then(|rest| rest.split_once(' ')) {
            if rest.starts_with("invoke [") {
                running.push(id);
            } else if (rest == "success" || rest.starts_with("failed")) && running.last() == Some(&id) {
                running.pop();
            }
        }
    }
    let mut of_pool = events.into_iter().filter(|event| event.pool_id == *address);
    let event = of_pool.next()?;
    of_pool.next().is_none().then_some(event)
}

fn from_event(event: &SwapEvent) -> Option<Fill> {
    Some(Fill {
        amount_in: BaseUnits::new(event.input_amount.checked_add(event.input_transfer_fee)?),
        amount_out: BaseUnits::new(event.output_amount.checked_sub(event.output_transfer_fee)?),
    })
}

/// What the vaults' balances say.
struct Moved<'a> {
    pool: &'a Pool,
    side_in: &'a Side,
    vault_in: u64,
    side_out: &'a Side,
    vault_out: u64,
}

/// Whether the transaction's records name both vaults.
fn is_recorded(pool: &Pool, transaction: &LandedTransaction) -> bool {
    pool.sides.iter().all(|side| change(&side.vault, transaction).is_some())
}

/// The side whose vault grew was paid, the one whose vault shrank was received.
fn moved<'a>(pool: &'a Pool, transaction: &LandedTransaction) -> Option<Moved<'a>> {
    let [zero, one] = &pool.sides;
    let change = |side: &Side| change(&side.vault, transaction);
    let (side_in, side_out) = if change(zero)? > 0 { (zero, one) } else { (one, zero) };
    let vault_in = u64::try_from(change(side_in)?).ok().filter(|moved| *moved > 0)?;
    let vault_out = u64::try_from(-change(side_out)?).ok().filter(|moved| *moved > 0)?;
    Some(Moved { pool, side_in, vault_in, side_out, vault_out })
}

fn from_balances(moved: &Moved<'_>, transaction: &LandedTransaction) -> Option<Fill> {
    let amount_in = match user_change(moved, moved.side_in, transaction) {
        Users::One(change) => u64::try_from(-change).ok().filter(|paid| *paid >= moved.vault_in)?,
        Users::Unknown if !may_take_fees(moved.side_in) => moved.vault_in,
        Users::Unknown => return None,
    };
    let amount_out = match user_change(moved, moved.side_out, transaction) {
        Users::One(change) => u64::try_from(change).ok().filter(|got| *got <= moved.vault_out)?,
        Users::Unknown if !may_take_fees(moved.side_out) => moved.vault_out,
        Users::Unknown => return None,
    };
    Some(Fill { amount_in: BaseUnits::new(amount_in), amount_out: BaseUnits::new(amount_out) })
}

/// What became of the user's own balance of one mint.
enum Users {
    /// Exactly one account beside the vault changed, by this.
    One(i128),
    /// The records do not tell it (an account opened and closed within the transaction has no balance beside it).
    Unknown,
}

/// Only Token-2022 mints can take a transfer fee; for the others the vault's change is the user's, whatever else the
/// transaction did with that mint.
fn user_change(moved: &Moved<'_>, side: &Side, transaction: &LandedTransaction) -> Users {
    if !may_take_fees(side) {
        return Users::Unknown;
    }
    let vaults = moved.pool.sides.map(|side| side.vault);
    let balances = transaction.pre_token_balances.iter().chain(&transaction.post_token_balances);
    let mut accounts: Vec<Pubkey> =
        balances.filter(|balance| balance.mint == side.mint).map(|balance| balance.account).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let mut changes = accounts
        .into_iter()
        .filter(|account| !vaults.contains(account))
        .filter_map(|account| change(&account, transaction))
        .filter(|change| *change != 0);
    match (changes.next(), changes.next()) {
        (Some(change), None) => Users::One(change),
        _ => Users::Unknown,
    }
}

fn may_take_fees(side: &Side) -> bool {
    side.token_program != spl_token::ID
}

/// After minus before. An account without a balance on one side was opened or closed there: nothing. `None` when the
/// transaction has no record of it at all.
fn change(account: &Pubkey, transaction: &LandedTransaction) -> Option<i128> {
    let of = |balances: &[crate::chain::rpc::TokenBalance]| {
        balances.iter().find(|balance| balance.account == *account).map(|balance| i128::from(balance.amount))
    };
    match (of(&transaction.pre_token_balances), of(&transaction.post_token_balances)) {
        (None, None) => None,
        (before, after) => Some(after.unwrap_or(0) - before.unwrap_or(0)),
    }
}

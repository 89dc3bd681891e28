//! Failure: reads from a transaction's error and logs which program said no, and with which number.
//!
//! The number alone means nothing (0x1 is three different things), so it always travels with its program. Never
//! decides what becomes of the order.

use serde_json::Value;
use solana_sdk::pubkey::Pubkey;

use super::transaction::program_of;
use crate::domain::{ErrorCode, Failure};

/// A program's own error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramError {
    /// The innermost program that failed.
    pub program: Pubkey,
    /// Its number.
    pub number: u32,
}

/// The program error behind a transaction error, if it is one. The first "failed" line of the logs names the innermost
/// program; without logs the instruction's own program is taken from the wire bytes.
pub fn program_error(error: &Value, logs: &[String], wire: &[u8]) -> Option<ProgramError> {
    let [index, inner] = error.get("InstructionError")?.as_array()?.as_slice() else { return None };
    let number = u32::try_from(inner.get("Custom")?.as_u64()?).ok()?;
    let program = logs
        .iter()
        .find_map(|line| {
            let (program, rest) = line.strip_prefix("Program ")?.split_once(" failed: custom program error: 0x")?;
            (u32::from_str_radix(rest.trim(), 16).ok()? == number).then(|| program.parse().ok())?
        })
        .or_else(|| program_of(wire, usize::try_from(index.as_u64()?).ok()?))?;
    Some(ProgramError { program, number })
}

/// Whether it is a rent that was paid too low: the cluster's rents have changed since they were read.
pub fn is_low_rent(error: &Value, program_error: Option<ProgramError>) -> bool {
    const NOT_RENT_EXEMPT: u32 = 0;
    error.get("InsufficientFundsForRent").is_some()
        || program_error.is_some_and(|found| found.program == spl_token::ID && found.number == NOT_RENT_EXEMPT)
}

/// What errors outside any venue mean: token and system programs, and the runtime's own.
pub fn explain_common(error: &Value, program_error: Option<ProgramError>) -> Failure {
    if let Some(ProgramError { program, number }) = program_error {
        let token = program == spl_token::ID || program == spl_token_2022_interface::ID;
        let system = program == solana_system_interface::program::ID;
        if is_low_rent(error, program_error) {
            return Failure::new(
                ErrorCode::TransactionFailed,
                "the cluster's rent has risen since it was read; nothing was swapped",
            );
        }
        return if (token || system) && number == 1 {
            Failure::new(
                ErrorCode::InsufficientFunds,
                "the wallet cannot pay amount, fees and rent, or the rent has risen since: fund it or trade less",
            )
        } else if token && number == 17 {
            Failure::new(ErrorCode::TransactionFailed, "a token account of this swap is frozen")
        } else {
            Failure::new(
                ErrorCode::TransactionFailed,
                format!("program {program} refused the swap with error {number} (0x{number:x})"),
            )
        };
    }
    match error.as_str().or_else(|| error.as_object().and_then(|map| map.keys().next()).map(String::as_str)) {
        Some("InsufficientFundsForFee" | "InsufficientFundsForRent" | "AccountNotFound") => Failure::new(
            ErrorCode::InsufficientFunds,
            "the wallet cannot pay the transaction fee or keep its rent reserve: fund it with SOL",
        ),
        _ => Failure::new(ErrorCode::TransactionFailed, format!("the transaction fails: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_innermost_program_is_blamed() {
        let token = spl_token::ID;
        let logs = vec![
            format!("Program {token} failed: custom program error: 0x1"),
            "Program DRaycpLY18LhpbydsBWbVJtxpNv9oXPgjRSfpF2bWpYb failed: custom program error: 0x1".to_owned(),
        ];
        let error = json!({"InstructionError": [4, {"Custom": 1}]});
        let found = program_error(&error, &logs, &[]).unwrap();
        assert_eq!(found, ProgramError { program: token, number: 1 });
        assert_eq!(explain_common(&error, Some(found)).code, ErrorCode::InsufficientFunds);
    }

    #[test]
    fn a_rent_that_is_too_low_is_told_from_other_errors() {
        let error = |number: u32| json!({"InstructionError": [3, {"Custom": number}]});
        let token = |number| Some(ProgramError { program: spl_token::ID, number });
        assert!(is_low_rent(&error(0), token(0)));
        assert!(is_low_rent(&json!({"InsufficientFundsForRent": {"account_index": 1}}), None));
        assert!(!is_low_rent(&error(1), token(1)));
        let system = ProgramError { program: solana_system_interface::program::ID, number: 0 };
        assert!(!is_low_rent(&error(0), Some(system)));
        assert_eq!(explain_common(&error(0), token(0)).code, ErrorCode::TransactionFailed);
    }

    #[test]
    fn runtime_errors_are_named() {
        for (error, code) in [
            (json!("InsufficientFundsForFee"), ErrorCode::InsufficientFunds),
            (json!({"InsufficientFundsForRent": {"account_index": 0}}), ErrorCode::InsufficientFunds),
            (json!({"InstructionError": [1, "InvalidArgument"]}), ErrorCode::TransactionFailed),
        ] {
            assert_eq!(explain_common(&error, program_error(&error, &[], &[])).code, code, "{error}");
        }
    }
}

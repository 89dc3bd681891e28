//! Model: Raydium CPMM as native code, for a chain on which the genuine program cannot be had.
//!
//! Owns the entry point and which instructions there are: `initialize`, `swap_base_input` and
//! `swap_base_output`, with the account layouts, checks, fees, rounding and error numbers of the builds
//! since August 2025. The rest (deposits, withdrawals, admin) answers "unknown instruction". Arithmetic that
//! does not fit fails the instruction; nothing here can panic the process that hosts the chain.

// A panic would end the thread that runs the chain. Tests may.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod accounts;
mod curve;
mod fault;
mod initialize;
pub(super) mod state;
mod swap;
mod token;

#[cfg(test)]
mod tests;

use solana_program_runtime::{declare_process_instruction, invoke_context::InvokeContext, stable_log};
use solana_sdk::instruction::InstructionError;

use fault::{BAD_ARGUMENTS, Fault, NO_INSTRUCTION, UNKNOWN_INSTRUCTION};
use state::read;
use swap::Order;

const INITIALIZE: [u8; 8] = [175, 175, 109, 31, 13, 152, 155, 237];
const SWAP_BASE_INPUT: [u8; 8] = [143, 190, 90, 218, 196, 30, 51, 222];
const SWAP_BASE_OUTPUT: [u8; 8] = [55, 217, 98, 86, 163, 74, 180, 173];

/// Compute units of the program itself, without the token program: about what the genuine one takes.
const SWAP_COST: u64 = 25_000;
const INITIALIZE_COST: u64 = 75_000;

declare_process_instruction!(Entrypoint, 150, |context| {
    run(context).map_err(|fault| {
        if let Some(line) = fault.log_line() {
            log(context, &line);
        }
        InstructionError::from(fault)
    })
});

fn run(context: &mut InvokeContext) -> Result<(), Fault> {
    let data = context.transaction_context.get_current_instruction_context()?.get_instruction_data().to_vec();
    let argument = |n: usize| -> Result<u64, Fault> {
        let at = n.saturating_mul(8).saturating_add(8);
        Ok(read(&data, at).map(u64::from_le_bytes).ok_or(BAD_ARGUMENTS)?)
    };
    match read::<8>(&data, 0) {
        Some(SWAP_BASE_INPUT) => {
            log(context, "Instruction: SwapBaseInput");
            let order = Order::BaseInput { amount_in: argument(0)?, minimum_out: argument(1)? };
            spend(context, SWAP_COST)?;
            swap::run(context, order)
        }
        Some(SWAP_BASE_OUTPUT) => {
            log(context, "Instruction: SwapBaseOutput");
            let order = Order::BaseOutput { maximum_in: argument(0)?, amount_out: argument(1)? };
            spend(context, SWAP_COST)?;
            swap::run(context, order)
        }
        Some(INITIALIZE) => {
            log(context, "Instruction: Initialize");
            let amounts = [argument(0)?, argument(1)?];
            let open_time = argument(2)?;
            spend(context, INITIALIZE_COST)?;
            initialize::run(context, amounts, open_time)
        }
        Some(_) => Err(UNKNOWN_INSTRUCTION.into()),
        None => Err(NO_INSTRUCTION.into()),
    }
}

fn spend(context: &InvokeContext, units: u64) -> Result<(), Fault> {
    context.compute_meter.consume_checked(units).map_err(|_| InstructionError::ComputationalBudgetExceeded.into())
}

fn log(context: &InvokeContext, line: &str) {
    stable_log::program_log(&context.get_log_collector(), line);
}

//! Bench: one runtime without a chain around it, for single instructions on accounts laid out by hand.

use std::path::PathBuf;

use base64::{Engine, prelude::BASE64_STANDARD};
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_sdk::{
    hash::Hash, instruction::Instruction, message::Message, pubkey, pubkey::Pubkey, signature::Signature,
    transaction::Transaction,
};
use surfpool_core::surfnet::svm::SurfnetSvm;

use crate::localnet::{
    ids,
    seed::{Seeded, rent},
    surfnet::{self, Program},
};

const CLOCK: Pubkey = pubkey!("SysvarC1ock11111111111111111111111111111111");
const SYSVARS: Pubkey = pubkey!("Sysvar1111111111111111111111111111111111111");
/// Pays every fee, so that the accounts under test change by the instruction alone.
const FEE_PAYER: Pubkey = pubkey!("FeePayer11111111111111111111111111111111111");

/// A runtime with one CPMM program at the mainnet id.
pub(super) struct Bench {
    svm: SurfnetSvm,
    pub is_model: bool,
    sent: u64,
}

/// What one instruction did.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The runtime's own spelling, such as `Custom(6005)`.
    pub error: Option<String>,
    pub logs: Vec<String>,
}

impl Bench {
    pub fn model() -> Self {
        Self::with(&Program::Model { id: ids::CPMM_MAINNET })
    }

    pub fn genuine(path: PathBuf) -> Self {
        let bytes = std::fs::read(&path).expect("SWAPD_CPMM_SO names a readable file");
        Self::with(&Program::Binary { id: ids::CPMM_MAINNET, path, bytes })
    }

    fn with(program: &Program) -> Self {
        let (mut svm, events, _) = surfnet::new_svm(400).expect("a runtime");
        drop(events);
        surfnet::add_program(&mut svm, program).expect("the program loads");
        let mut bench = Self { svm, is_model: matches!(program, Program::Model { .. }), sent: 0 };
        bench.put(&Seeded { address: FEE_PAYER, owner: ids::SYSTEM, lamports: 1_000_000_000_000, data: Vec::new() });
        bench
    }

    pub fn put(&mut self, account: &Seeded) {
        surfnet::put(&mut self.svm, account).expect("an account can be put");
    }

    /// Forgets an account.
    pub fn remove(&mut self, address: Pubkey) {
        self.put(&Seeded { address, owner: ids::SYSTEM, lamports: 0, data: Vec::new() });
    }

    pub fn get(&self, address: &Pubkey) -> Option<Seeded> {
        let account = self.svm.get_account(address).expect("memory is readable")?;
        Some(Seeded { address: *address, owner: account.owner, lamports: account.lamports, data: account.data })
    }

    /// Balance of a token account; zero where there is none.
    pub fn tokens(&self, address: &Pubkey) -> u64 {
        self.get(address)
            .filter(|account| account.data.len() >= 72)
            .map_or(0, |account| u64::from_le_bytes(account.data[64..72].try_into().unwrap()))
    }

    pub fn set_clock(&mut self, slot: u64, epoch: u64, unix_timestamp: i64) {
        let mut data = slot.to_le_bytes().to_vec();
        data.extend(0_i64.to_le_bytes()); // start of the epoch
        data.extend(epoch.to_le_bytes());
        data.extend(epoch.to_le_bytes()); // leader schedule
        data.extend(unix_timestamp.to_le_bytes());
        self.put(&Seeded { address: CLOCK, owner: SYSVARS, lamports: rent(data.len()), data });
    }

    /// Runs one instruction behind a compute-unit limit. Signatures are made up and not verified.
    pub fn run(&mut self, instruction: Instruction) -> Outcome {
        self.sent += 1;
        let limit = ComputeBudgetInstruction::set_compute_unit_limit(1_400_000);
        let blockhash = Hash::new_from_array(self.svm.latest_blockhash().to_bytes());
        let message = Message::new_with_blockhash(&[limit, instruction], Some(&FEE_PAYER), &blockhash);
        let signatures = (0..u64::from(message.header.num_required_signatures))
            .map(|n| {
                let mut bytes = [0; 64];
                bytes[..8].copy_from_slice(&self.sent.to_le_bytes());
                bytes[8..16].copy_from_slice(&(n + 1).to_le_bytes());
                Signature::from(bytes)
            })
            .collect();
        let wire = bincode::serialize(&Transaction { signatures, message }).expect("a transaction serialises");
        let transaction = bincode::deserialize(&wire).expect("the wire format is one");
        match self.svm.send_transaction(transaction, false, false) {
            Ok(done) => Outcome { error: None, logs: done.logs },
            Err(failed) => {
                let text = format!("{:?}", failed.err);
                let inner =
                    text.strip_prefix("InstructionError(1, ").and_then(|rest| rest.strip_suffix(')')).unwrap_or(&text);
                Outcome { error: Some(inner.to_owned()), logs: failed.meta.logs }
            }
        }
    }
}

impl Outcome {
    /// The events the instruction logged.
    pub fn events(&self) -> Vec<Vec<u8>> {
        self.logs
            .iter()
            .filter_map(|line| line.strip_prefix("Program data: "))
            .map(|text| BASE64_STANDARD.decode(text).expect("events are base64"))
            .collect()
    }

    /// The program that refused first.
    pub fn failed_program(&self) -> Option<&str> {
        self.logs.iter().find_map(|line| {
            let (program, _) = line.strip_prefix("Program ")?.split_once(" failed: ")?;
            Some(program)
        })
    }
}

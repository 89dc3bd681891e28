//! Transaction: turns a venue's swap instruction into signed bytes.
//!
//! Owns what stands around the swap: compute budget, token accounts, wrapped SOL, memo. SOL goes in and out through a
//! wrapped-SOL account of its own per order, created from a seed and closed in the same transaction, so that
//! concurrent orders of one wallet never close each other's account. Never sends or stores.

use std::sync::Arc;

use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_sdk::{
    hash::Hash,
    instruction::{AccountMeta, Instruction},
    message::{CompileError, VersionedMessage, v0},
    pubkey::{Pubkey, PubkeyError},
    signature::Signature,
    transaction::VersionedTransaction,
};
use solana_system_interface::instruction::create_account_with_seed;
use spl_associated_token_account_interface::{
    address::get_associated_token_address_with_program_id, instruction::create_associated_token_account_idempotent,
};
use spl_token::instruction::{close_account, initialize_account3};

use super::Wallet;
use crate::domain::{BaseUnits, Lamports, Swap, Token};

/// The SPL memo program (v2), the same on every cluster.
pub const MEMO_PROGRAM: Pubkey = Pubkey::from_str_const("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");
/// Wrapped SOL's mint, the same on every cluster.
pub const WRAPPED_SOL: Pubkey = Pubkey::from_str_const("So11111111111111111111111111111111111111112");
/// What a transaction asks for while it is only simulated: the runtime's maximum.
const SIMULATION_UNITS: u32 = 1_400_000;
/// The packet limit for legacy and v0 transactions.
pub const MAX_WIRE_BYTES: usize = 1_232;
/// Bytes of an SPL token account without extensions.
pub const TOKEN_ACCOUNT_BYTES: usize = 165;
/// Base fee per signature; a swap has one.
pub const BASE_FEE: Lamports = Lamports::new(5_000);

/// Why no transaction could be built: a bug or an impossible configuration, never weather.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The seed makes no address.
    #[error("cannot derive the wrapped-SOL account")]
    Seed(#[from] PubkeyError),
    /// An instruction refuses its arguments.
    #[error("cannot build a token instruction")]
    Token(#[from] solana_sdk::program_error::ProgramError),
    /// The message does not compile.
    #[error("cannot compile the message")]
    Compile(#[from] CompileError),
    /// Larger than a packet.
    #[error("the transaction has {0} bytes, the limit is {MAX_WIRE_BYTES}")]
    TooLarge(usize),
    /// Not serializable.
    #[error("cannot serialize the transaction")]
    Serialize(#[from] bincode::Error),
}

/// The user's accounts for one order's swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounts {
    /// Who signs and pays.
    pub owner: Pubkey,
    /// Input token account.
    pub source: Pubkey,
    /// Output token account.
    pub destination: Pubkey,
    seed: String,
}

impl Accounts {
    /// Derives them. `seed` is at most 32 bytes and unique to the order.
    ///
    /// # Errors
    /// When the seed makes no address.
    pub fn derive(owner: Pubkey, token_in: &Token, token_out: &Token, seed: &str) -> Result<Self, BuildError> {
        let account = |token: &Token| {
            if token.mint == WRAPPED_SOL {
                Pubkey::create_with_seed(&owner, seed, &spl_token::ID)
            } else {
                Ok(associated_account(&owner, token))
            }
        };
        Ok(Self { owner, source: account(token_in)?, destination: account(token_out)?, seed: seed.to_owned() })
    }
}

/// The owner's associated account for a token.
pub fn associated_account(owner: &Pubkey, token: &Token) -> Pubkey {
    get_associated_token_address_with_program_id(owner, &token.mint, &token.program)
}

/// What the swap pays at most, in base units of the input mint.
pub const fn most_in(swap: Swap, limit: BaseUnits) -> BaseUnits {
    match swap {
        Swap::ExactIn(amount) => amount,
        Swap::ExactOut(_) => limit,
    }
}

/// A swap with everything around it, but without compute budget and blockhash.
#[derive(Clone, Debug)]
pub struct Draft {
    payer: Pubkey,
    instructions: Vec<Instruction>,
}

impl Draft {
    /// Puts `swap` between the instructions that open and close its token accounts. `paid` wraps SOL on the way in;
    /// `token_rent` is what a token account must hold on this cluster today.
    ///
    /// # Errors
    /// When an instruction cannot be built.
    pub fn new(
        accounts: &Accounts,
        token_in: &Token,
        token_out: &Token,
        paid: BaseUnits,
        token_rent: Lamports,
        swap: Instruction,
        memo: Option<&str>,
    ) -> Result<Self, BuildError> {
        let owner = &accounts.owner;
        let mut instructions = Vec::with_capacity(6);
        let wrapped = if token_in.mint == WRAPPED_SOL {
            Some((accounts.source, token_rent.saturating_add(Lamports::new(paid.get()))))
        } else if token_out.mint == WRAPPED_SOL {
            Some((accounts.destination, token_rent))
        } else {
            None
        };
        if let Some((account, lamports)) = wrapped {
            instructions.push(create_account_with_seed(
                owner,
                &account,
                owner,
                &accounts.seed,
                lamports.get(),
                TOKEN_ACCOUNT_BYTES as u64,
                &spl_token::ID,
            ));
            // A fresh native account takes the lamports above its rent as its amount; no sync is needed.
            instructions.push(initialize_account3(&spl_token::ID, &account, &WRAPPED_SOL, owner)?);
        }
        if token_out.mint != WRAPPED_SOL {
            instructions.push(create_associated_token_account_idempotent(
                owner,
                owner,
                &token_out.mint,
                &token_out.program,
            ));
        }
        instructions.push(swap);
        if let Some((account, _)) = wrapped {
            instructions.push(close_account(&spl_token::ID, &account, owner, owner, &[])?);
        }
        if let Some(memo) = memo {
            instructions.push(Instruction {
                program_id: MEMO_PROGRAM,
                accounts: vec![AccountMeta::new_readonly(*owner, true)],
                data: memo.as_bytes().to_vec(),
            });
        }
        Ok(Self { payer: *owner, instructions })
    }

    /// Unsigned bytes to simulate, with the largest compute limit there is.
    ///
    /// # Errors
    /// When the transaction does not compile or is too large.
    pub fn for_simulation(&self) -> Result<Vec<u8>, BuildError> {
        let message = self.message(SIMULATION_UNITS, 0, Hash::default())?;
        wire(VersionedTransaction { signatures: vec![Signature::default()], message })
    }

    /// The signed bytes and their signature.
    ///
    /// # Errors
    /// When the transaction does not compile or is too large.
    pub fn sign(
        &self,
        wallet: &Wallet,
        units: u32,
        price: u64,
        blockhash: Hash,
    ) -> Result<(Signature, Arc<[u8]>), BuildError> {
        let message = self.message(units, price, blockhash)?;
        let signature = wallet.sign(&message.serialize());
        let wire = wire(VersionedTransaction { signatures: vec![signature], message })?;
        Ok((signature, wire.into()))
    }

    fn message(&self, units: u32, price: u64, blockhash: Hash) -> Result<VersionedMessage, BuildError> {
        let mut instructions = vec![ComputeBudgetInstruction::set_compute_unit_limit(units)];
        // Always there, so that the simulated and the signed transaction use the same compute.
        instructions.push(ComputeBudgetInstruction::set_compute_unit_price(price));
        instructions.extend_from_slice(&self.instructions);
        Ok(VersionedMessage::V0(v0::Message::try_compile(&self.payer, &instructions, &[], blockhash)?))
    }
}

/// A transaction's bytes.
///
/// # Errors
/// When it is too large for a packet.
pub fn wire(transaction: VersionedTransaction) -> Result<Vec<u8>, BuildError> {
    let bytes = bincode::serialize(&transaction)?;
    if bytes.len() > MAX_WIRE_BYTES { Err(BuildError::TooLarge(bytes.len())) } else { Ok(bytes) }
}

/// The program that the `index`-th instruction of signed bytes calls.
pub fn program_of(wire: &[u8], index: usize) -> Option<Pubkey> {
    let transaction: VersionedTransaction = bincode::deserialize(wire).ok()?;
    let keys = transaction.message.static_account_keys();
    let instruction = transaction.message.instructions().get(index)?;
    keys.get(usize::from(instruction.program_id_index)).copied()
}

//! Accounts: reads an instruction's accounts in order and checks them as Anchor does.
//!
//! Owns the checks of the first pass (present, signer, owner, discriminator) and of the second (writable,
//! constraints). Takes copies, so nothing stays borrowed while other programs are called. Never writes
//! but through `write_back`.

use solana_program_runtime::invoke_context::InvokeContext;
use solana_sdk::{instruction::InstructionError, pubkey::Pubkey};

use super::fault::*;
use super::state::{Discriminator, Stored, read};
use crate::localnet::ids;

/// One account as it was when the instruction started.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub name: &'static str,
    pub key: Pubkey,
    pub owner: Pubkey,
    pub lamports: u64,
    pub data: Vec<u8>,
    pub signer: bool,
    pub writable: bool,
    index: u16,
}

/// The part of a token account that the program looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenAccount {
    pub mint: Pubkey,
    pub owner: Pubkey,
    pub amount: u64,
}

/// First pass: hands out the accounts one by one and refuses those of the wrong kind.
pub(super) struct Given<'c, 'a, 'd> {
    context: &'c InvokeContext<'a, 'd>,
    program: Pubkey,
    next: u16,
}

impl<'c, 'a, 'd> Given<'c, 'a, 'd> {
    pub fn new(context: &'c InvokeContext<'a, 'd>) -> Result<Self, Fault> {
        let instruction = context.transaction_context.get_current_instruction_context()?;
        Ok(Self { context, program: *instruction.get_program_key()?, next: 0 })
    }

    /// Any account.
    pub fn any(&mut self, name: &'static str) -> Result<Account, Fault> {
        let instruction = self.context.transaction_context.get_current_instruction_context()?;
        let index = self.next;
        if index >= instruction.get_number_of_instruction_accounts() {
            return Err(TOO_FEW_ACCOUNTS.into());
        }
        self.next = index.saturating_add(1);
        let account = instruction.try_borrow_instruction_account(index)?;
        Ok(Account {
            name,
            key: *account.get_key(),
            owner: *account.get_owner(),
            lamports: account.get_lamports(),
            data: account.get_data().to_vec(),
            signer: account.is_signer(),
            writable: account.is_writable(),
            index,
        })
    }

    /// An account that signs.
    pub fn signer(&mut self, name: &'static str) -> Result<Account, Fault> {
        let account = self.any(name)?;
        account.require(account.signer, NOT_SIGNER)?;
        Ok(account)
    }

    /// A decoded account of this program.
    pub fn stored<T: Stored>(&mut self, name: &'static str) -> Result<(Account, T), Fault> {
        let account = self.any(name)?;
        account.require(account.exists(), NOT_INITIALISED)?;
        account.require_kind(&self.program, &T::DISCRIMINATOR)?;
        let value = T::from_account(name, &account.data)?;
        Ok((account, value))
    }

    /// An account of this program that is read in place, so that only its head is looked at here.
    pub fn mapped(&mut self, name: &'static str, discriminator: &Discriminator) -> Result<Account, Fault> {
        let account = self.any(name)?;
        account.require_kind(&self.program, discriminator)?;
        Ok(account)
    }

    /// A token account of either token program.
    pub fn token(&mut self, name: &'static str) -> Result<(Account, TokenAccount), Fault> {
        let account = self.any(name)?;
        account.require_token_program()?;
        let value = TokenAccount::decode(&account.data)?;
        Ok((account, value))
    }

    /// A mint of either token program.
    pub fn mint(&mut self, name: &'static str) -> Result<Account, Fault> {
        let account = self.any(name)?;
        account.require_token_program()?;
        // Byte 45: initialised. An extended mint says at byte 165 that it is one.
        let extended = account.data.len() > 82;
        if account.data.len() < 82 || (extended && account.data.get(165) != Some(&1)) {
            return Err(InstructionError::InvalidAccountData.into());
        }
        if account.data.get(45) != Some(&1) {
            return Err(InstructionError::UninitializedAccount.into());
        }
        Ok(account)
    }

    /// One of the two token programs.
    pub fn token_program(&mut self, name: &'static str) -> Result<Account, Fault> {
        let account = self.any(name)?;
        account.require(ids::is_token_program(&account.key), WRONG_PROGRAM)?;
        Ok(account)
    }

    /// Exactly this program.
    pub fn program(&mut self, name: &'static str, id: &Pubkey) -> Result<Account, Fault> {
        let account = self.any(name)?;
        account.require(account.key == *id, WRONG_PROGRAM)?;
        Ok(account)
    }
}

impl Account {
    /// Refuses with `code` about this account unless `holds`.
    pub fn require(&self, holds: bool, code: Code) -> Result<(), Fault> {
        if holds { Ok(()) } else { Err(Fault::account(code, self.name)) }
    }

    /// Second pass: `mut`.
    pub fn require_mut(&self) -> Result<(), Fault> {
        self.require(self.writable, NOT_MUT)
    }

    /// Second pass: `address = ..`.
    pub fn require_address(&self, expected: &Pubkey) -> Result<(), Fault> {
        self.require(self.key == *expected, ADDRESS)
    }

    /// Second pass: `seeds = .., bump`. Gives the bump.
    pub fn require_seeds(&self, seeds: &[&[u8]], program: &Pubkey) -> Result<u8, Fault> {
        let (expected, bump) = Pubkey::find_program_address(seeds, program);
        self.require(self.key == expected, SEEDS)?;
        Ok(bump)
    }

    /// Whether anything is stored here at all.
    pub fn exists(&self) -> bool {
        self.owner != ids::SYSTEM || self.lamports != 0
    }

    /// Decimals of a mint that was checked before.
    pub fn decimals(&self) -> u8 {
        self.data.get(44).copied().unwrap_or_default()
    }

    /// The account as it is now, after other programs ran.
    pub fn reload(&self, context: &InvokeContext) -> Result<Self, Fault> {
        let instruction = context.transaction_context.get_current_instruction_context()?;
        let now = instruction.try_borrow_instruction_account(self.index)?;
        Ok(Self { owner: *now.get_owner(), lamports: now.get_lamports(), data: now.get_data().to_vec(), ..*self })
    }

    /// Stores new bytes in an account of this program.
    pub fn write_back(&self, context: &InvokeContext, data: &[u8]) -> Result<(), Fault> {
        let instruction = context.transaction_context.get_current_instruction_context()?;
        let mut account = instruction.try_borrow_instruction_account(self.index)?;
        account
            .get_data_mut()?
            .get_mut(..data.len())
            .ok_or(Fault::Trap("account is smaller than its type"))?
            .copy_from_slice(data);
        Ok(())
    }

    fn require_kind(&self, program: &Pubkey, discriminator: &Discriminator) -> Result<(), Fault> {
        self.require(self.owner == *program, WRONG_OWNER)?;
        let found: [u8; 8] = read(&self.data, 0).ok_or(Fault::account(NO_DISCRIMINATOR, self.name))?;
        self.require(found == *discriminator, WRONG_DISCRIMINATOR)
    }

    fn require_token_program(&self) -> Result<(), Fault> {
        self.require(self.exists(), NOT_INITIALISED)?;
        self.require(ids::is_token_program(&self.owner), WRONG_OWNER)
    }
}

impl TokenAccount {
    /// Reads the base part, which both token programs share.
    pub fn decode(data: &[u8]) -> Result<Self, Fault> {
        let invalid = || Fault::Runtime(InstructionError::InvalidAccountData);
        let extended = data.len() > 165;
        if data.len() < 165 || (extended && data.get(165) != Some(&2)) {
            return Err(invalid());
        }
        if data.get(108) == Some(&0) {
            return Err(InstructionError::UninitializedAccount.into());
        }
        Ok(Self {
            mint: Pubkey::from(read::<32>(data, 0).ok_or_else(invalid)?),
            owner: Pubkey::from(read::<32>(data, 32).ok_or_else(invalid)?),
            amount: u64::from_le_bytes(read(data, 64).ok_or_else(invalid)?),
        })
    }
}

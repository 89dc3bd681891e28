//! Initialize: creates a pool with its LP mint, vaults and observation account.
//!
//! Owns the twenty accounts, the order of creation and the first deposit. Like the program it replaces an
//! open time that is not in the future by the next second, so no swap succeeds in the creating one.

use solana_program_runtime::invoke_context::InvokeContext;
use solana_sdk::{instruction::AccountMeta, pubkey::Pubkey};

use super::accounts::{Account, Given, TokenAccount};
use super::fault::*;
use super::state::{AmmConfig, Observations, PoolState, Stored};
use super::token;
use crate::localnet::ids;

/// LP tokens that are counted but never minted.
const LOCKED_LP: u64 = 100;
const LP_DECIMALS: u8 = 9;

struct Accounts {
    creator: Account,
    config_account: Account,
    config: AmmConfig,
    authority: Account,
    pool: Account,
    mints: [Account; 2],
    lp_mint: Account,
    from: [(Account, TokenAccount); 2],
    creator_lp: Account,
    vaults: [Account; 2],
    fee_receiver: Account,
    observation: Account,
    token_program: Account,
    programs: [Account; 2],
    /// The CPMM program itself.
    program: Pubkey,
}

/// Runs `initialize`.
pub(super) fn run(context: &mut InvokeContext, amounts: [u64; 2], open_time: u64) -> Result<(), Fault> {
    let accounts = Accounts::read(context)?;
    accounts.create_lp_and_observation(context)?;
    let bumps = accounts.check()?;

    let [mint_0, mint_1] = &accounts.mints;
    if !(token::is_supported(mint_0) && token::is_supported(mint_1)) {
        return Err(NOT_SUPPORT_MINT.into());
    }
    if accounts.config.disable_create_pool {
        return Err(NOT_APPROVED.into());
    }
    let clock = context.environment_config.sysvar_cache().get_clock()?;
    let now = u64::try_from(clock.unix_timestamp).unwrap_or_default();
    let open_time = if open_time <= now { now.saturating_add(1) } else { open_time };
    accounts.create_vaults(context, &bumps)?;
    accounts.create_pool(context)?;
    let liquidity = accounts.deposit(context, amounts)?;
    accounts.mint_lp(context, liquidity, bumps.authority)?;
    accounts.charge(context)?;
    accounts.store(context, bumps.authority, liquidity, open_time, clock.epoch)
}

/// Found while checking seeds.
struct Bumps {
    authority: u8,
    vaults: [u8; 2],
}

impl Accounts {
    fn read(context: &InvokeContext) -> Result<Self, Fault> {
        let program = *context.transaction_context.get_current_instruction_context()?.get_program_key()?;
        let mut given = Given::new(context)?;
        let creator = given.signer("creator")?;
        let (config_account, config) = given.stored::<AmmConfig>("amm_config")?;
        let authority = given.any("authority")?;
        let pool = given.any("pool_state")?;
        let mints = [given.mint("token_0_mint")?, given.mint("token_1_mint")?];
        let lp_mint = given.any("lp_mint")?;
        let from = [given.token("creator_token_0")?, given.token("creator_token_1")?];
        let creator_lp = given.any("creator_lp_token")?;
        let vaults = [given.any("token_0_vault")?, given.any("token_1_vault")?];
        let (fee_receiver, _) = given.token("create_pool_fee")?;
        let observation = given.any("observation_state")?;
        let token_program = given.program("token_program", &ids::TOKEN)?;
        let programs = [given.token_program("token_0_program")?, given.token_program("token_1_program")?];
        given.program("associated_token_program", &ids::ASSOCIATED_TOKEN)?;
        given.program("system_program", &ids::SYSTEM)?;
        let rent = given.any("rent")?;
        rent.require(rent.key == ids::RENT, NOT_SYSVAR)?;
        Ok(Self {
            creator,
            config_account,
            config,
            authority,
            pool,
            mints,
            lp_mint,
            from,
            creator_lp,
            vaults,
            fee_receiver,
            observation,
            token_program,
            programs,
            program,
        })
    }

    /// The accounts Anchor creates before it looks at any other constraint.
    fn create_lp_and_observation(&self, context: &mut InvokeContext) -> Result<(), Fault> {
        let pool = self.pool.key.to_bytes();
        let seeds: [&[u8]; 2] = [ids::LP_MINT_SEED, &pool];
        let bump = self.lp_mint.require_seeds(&seeds, &self.program)?;
        let signer: [&[u8]; 3] = [ids::LP_MINT_SEED, &pool, &[bump]];
        self.create(context, &self.lp_mint, 82, ids::TOKEN, &signer)?;
        let mut data = vec![20, LP_DECIMALS]; // InitializeMint2
        data.extend(self.authority.key.to_bytes());
        data.push(0); // no freeze authority
        let meta = vec![AccountMeta::new(self.lp_mint.key, false)];
        token::call(context, ids::TOKEN, meta, data, &[])?;

        let metas = vec![
            AccountMeta::new(self.creator.key, true),
            AccountMeta::new(self.creator_lp.key, false),
            AccountMeta::new_readonly(self.creator.key, false),
            AccountMeta::new_readonly(self.lp_mint.key, false),
            AccountMeta::new_readonly(ids::SYSTEM, false),
            AccountMeta::new_readonly(ids::TOKEN, false),
        ];
        token::call(context, ids::ASSOCIATED_TOKEN, metas, vec![0], &[])?;

        let seeds: [&[u8]; 2] = [ids::OBSERVATION_SEED, &pool];
        let bump = self.observation.require_seeds(&seeds, &self.program)?;
        let signer: [&[u8]; 3] = [ids::OBSERVATION_SEED, &pool, &[bump]];
        self.create(context, &self.observation, Observations::SIZE, self.program, &signer)
    }

    fn check(&self) -> Result<Bumps, Fault> {
        self.creator.require_mut()?;
        let authority = self.authority.require_seeds(&[ids::AUTHORITY_SEED], &self.program)?;
        self.pool.require_mut()?;
        let [mint_0, mint_1] = &self.mints;
        let [program_0, program_1] = &self.programs;
        mint_0.require(mint_0.key < mint_1.key, RAW)?;
        mint_0.require(mint_0.owner == program_0.key, MINT_PROGRAM)?;
        mint_1.require(mint_1.owner == program_1.key, MINT_PROGRAM)?;
        for ((account, held), mint) in self.from.iter().zip(&self.mints) {
            account.require_mut()?;
            account.require(held.owner == self.creator.key, TOKEN_OWNER)?;
            account.require(held.mint == mint.key, TOKEN_MINT)?;
        }
        let [vault_0, vault_1] = &self.vaults;
        let vault_bump = |vault: &Account, mint: &Account| {
            vault.require_mut()?;
            let (pool, mint) = (self.pool.key.to_bytes(), mint.key.to_bytes());
            vault.require_seeds(&[ids::VAULT_SEED, &pool, &mint], &self.program)
        };
        let vaults = [vault_bump(vault_0, mint_0)?, vault_bump(vault_1, mint_1)?];
        self.fee_receiver.require_mut()?;
        self.fee_receiver.require_address(&ids::pool_fee_receiver(&self.program))?;
        Ok(Bumps { authority, vaults })
    }

    fn create_vaults(&self, context: &mut InvokeContext, bumps: &Bumps) -> Result<(), Fault> {
        let pool = self.pool.key.to_bytes();
        let parts = self.vaults.iter().zip(&self.mints).zip(&self.programs).zip(bumps.vaults);
        for (((vault, mint), program), bump) in parts {
            let key = mint.key.to_bytes();
            let signer: [&[u8]; 4] = [ids::VAULT_SEED, &pool, &key, &[bump]];
            let size = token::vault_size(mint);
            self.create(context, vault, size, program.key, &signer)?;
            let mut data = vec![18]; // InitializeAccount3
            data.extend(self.authority.key.to_bytes());
            let metas = vec![AccountMeta::new(vault.key, false), AccountMeta::new_readonly(mint.key, false)];
            token::call(context, program.key, metas, data, &[])?;
        }
        Ok(())
    }

    /// The pool lives at its derived address, or at a fresh key that signs.
    fn create_pool(&self, context: &mut InvokeContext) -> Result<(), Fault> {
        if self.pool.owner != ids::SYSTEM {
            return Err(NOT_APPROVED.into());
        }
        let [mint_0, mint_1] = &self.mints;
        let config = self.config_account.key.to_bytes();
        let (mint_0, mint_1) = (mint_0.key.to_bytes(), mint_1.key.to_bytes());
        let seeds: [&[u8]; 4] = [ids::POOL_SEED, &config, &mint_0, &mint_1];
        let (derived, bump) = Pubkey::find_program_address(&seeds, &self.program);
        if self.pool.key != derived && !self.pool.signer {
            return Err(REQUIRE_EQ.into());
        }
        let signer: [&[u8]; 5] = [ids::POOL_SEED, &config, &mint_0, &mint_1, &[bump]];
        self.create(context, &self.pool, PoolState::SIZE, self.program, &signer)
    }

    fn deposit(&self, context: &mut InvokeContext, amounts: [u64; 2]) -> Result<u64, Fault> {
        let mut held = [0_u64; 2];
        let parts = self.from.iter().zip(&self.mints).zip(&self.vaults).zip(&self.programs).zip(amounts).zip(&mut held);
        for (((((from, mint), vault), program), amount), held) in parts {
            let path = (&from.0, mint, vault);
            token::transfer(context, program, path, &self.creator, amount, &[])?;
            // What arrived: the mint may have kept a fee.
            *held = TokenAccount::decode(&vault.reload(context)?.data)?.amount;
        }
        let [held_0, held_1] = held;
        if held_0 == 0 || held_1 == 0 {
            return Err(EMPTY_SUPPLY.into());
        }
        let product = u128::from(held_0).checked_mul(held_1.into()).ok_or(Fault::Trap("liquidity overflows"))?;
        u64::try_from(product.isqrt()).map_err(|_| Fault::Trap("liquidity overflows"))
    }

    fn mint_lp(&self, context: &mut InvokeContext, liquidity: u64, bump: u8) -> Result<(), Fault> {
        let minted = liquidity.checked_sub(LOCKED_LP).ok_or(INIT_LP_TOO_LESS)?;
        let mut data = vec![7]; // MintTo
        data.extend(minted.to_le_bytes());
        let metas = vec![
            AccountMeta::new(self.lp_mint.key, false),
            AccountMeta::new(self.creator_lp.key, false),
            AccountMeta::new_readonly(self.authority.key, true),
        ];
        let signer: [&[u8]; 2] = [ids::AUTHORITY_SEED, &[bump]];
        token::call(context, self.token_program.key, metas, data, &[&signer])
    }

    /// The fee for creating a pool, in lamports, to a wrapped-SOL account.
    fn charge(&self, context: &mut InvokeContext) -> Result<(), Fault> {
        if self.config.create_pool_fee == 0 {
            return Ok(());
        }
        self.pay(context, &self.fee_receiver, self.config.create_pool_fee)?;
        let meta = vec![AccountMeta::new(self.fee_receiver.key, false)];
        token::call(context, ids::TOKEN, meta, vec![17], &[]) // SyncNative
    }

    fn store(
        &self,
        context: &InvokeContext,
        auth_bump: u8,
        lp_supply: u64,
        open_time: u64,
        epoch: u64,
    ) -> Result<(), Fault> {
        let [mint_0, mint_1] = &self.mints;
        let [vault_0, vault_1] = &self.vaults;
        let pool = PoolState {
            amm_config: self.config_account.key,
            pool_creator: self.creator.key,
            token_0_vault: vault_0.key,
            token_1_vault: vault_1.key,
            lp_mint: self.lp_mint.key,
            token_0_mint: mint_0.key,
            token_1_mint: mint_1.key,
            token_0_program: mint_0.owner,
            token_1_program: mint_1.owner,
            observation_key: self.observation.key,
            auth_bump,
            status: 0,
            lp_mint_decimals: LP_DECIMALS,
            mint_0_decimals: mint_0.decimals(),
            mint_1_decimals: mint_1.decimals(),
            lp_supply,
            protocol_fees_token_0: 0,
            protocol_fees_token_1: 0,
            fund_fees_token_0: 0,
            fund_fees_token_1: 0,
            open_time,
            recent_epoch: epoch,
            creator_fee_on: 0,
            enable_creator_fee: 0,
            padding_1: [0; 6],
            creator_fees_token_0: 0,
            creator_fees_token_1: 0,
            padding: [0; 28],
        };
        self.pool.write_back(context, &pool.to_account())?;
        let observation = Observations::new_account(&self.pool.key);
        self.observation.write_back(context, &observation)
    }

    /// Creates an account, also where someone already sent lamports to its address.
    fn create(
        &self,
        context: &mut InvokeContext,
        account: &Account,
        size: usize,
        owner: Pubkey,
        seeds: &[&[u8]],
    ) -> Result<(), Fault> {
        if account.lamports == 0 {
            return self.create_fresh(context, account, size, owner, seeds);
        }
        let missing = rent(context, size)?.saturating_sub(account.lamports);
        if missing > 0 {
            self.pay(context, account, missing)?;
        }
        let meta = || vec![AccountMeta::new(account.key, true)];
        let mut allocate = 8_u32.to_le_bytes().to_vec();
        allocate.extend(wide(size).to_le_bytes());
        token::call(context, ids::SYSTEM, meta(), allocate, &[seeds])?;
        let mut assign = 1_u32.to_le_bytes().to_vec();
        assign.extend(owner.to_bytes());
        token::call(context, ids::SYSTEM, meta(), assign, &[seeds])
    }

    fn create_fresh(
        &self,
        context: &mut InvokeContext,
        account: &Account,
        size: usize,
        owner: Pubkey,
        seeds: &[&[u8]],
    ) -> Result<(), Fault> {
        let mut data = 0_u32.to_le_bytes().to_vec();
        data.extend(rent(context, size)?.to_le_bytes());
        data.extend(wide(size).to_le_bytes());
        data.extend(owner.to_bytes());
        let metas = vec![AccountMeta::new(self.creator.key, true), AccountMeta::new(account.key, true)];
        token::call(context, ids::SYSTEM, metas, data, &[seeds])
    }

    fn pay(&self, context: &mut InvokeContext, to: &Account, lamports: u64) -> Result<(), Fault> {
        let mut data = 2_u32.to_le_bytes().to_vec();
        data.extend(lamports.to_le_bytes());
        let metas = vec![AccountMeta::new(self.creator.key, true), AccountMeta::new(to.key, false)];
        token::call(context, ids::SYSTEM, metas, data, &[])
    }
}

fn rent(context: &InvokeContext, size: usize) -> Result<u64, Fault> {
    let rent = context.environment_config.sysvar_cache().get_rent()?;
    Ok(rent.minimum_balance(size))
}

fn wide(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

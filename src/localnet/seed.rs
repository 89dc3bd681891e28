//! Seed: the scenario's accounts, byte for byte, ready to be put on a chain.
//!
//! Owns the layouts of mints and token accounts and the rent they need. What it makes works for the model
//! and for the genuine program alike. Never decides what exists: `scenario` does.

use solana_sdk::pubkey::Pubkey;

use super::ids;
use super::model::state::{AmmConfig, Observations, PoolState, Stored};
use super::scenario::{FeeConfig, Pool, Scenario, Token};

/// When the seeded pools opened: the first second of 2025.
const OPENED: u64 = 1_735_689_600;

/// An account to put on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seeded {
    pub address: Pubkey,
    pub owner: Pubkey,
    pub lamports: u64,
    pub data: Vec<u8>,
}

/// What a wallet starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Lamports of SOL.
    pub lamports: u64,
    /// Base units of USDC.
    pub usdc: u64,
    /// Base units of LEVY.
    pub levy: u64,
}

impl Default for Allowance {
    /// 10,000 SOL and a million of each token.
    fn default() -> Self {
        Self { lamports: 10_000_000_000_000, usdc: 1_000_000_000_000, levy: 1_000_000_000_000 }
    }
}

/// Lamports that exempt an account from rent, at the rate the embedded chain starts with.
pub(super) fn rent(size: usize) -> u64 {
    (128 + size as u64) * 6_960
}

/// Every account of the scenario, and the wallets with their tokens.
pub(super) fn accounts(scenario: &Scenario, wallets: &[Pubkey], allowance: Allowance) -> Vec<Seeded> {
    let mut seeded = Vec::new();
    let mut supplies = [0_u64; 3];
    for pool in &scenario.pools {
        seeded.extend(pool_accounts(scenario, pool));
        for (token, reserve) in pool.tokens.iter().zip(pool.reserves) {
            let minted = scenario.tokens.iter().position(|t| t == token);
            supplies[minted.expect("a pool is made of the scenario's tokens")] += reserve;
        }
    }
    let [_, usdc, levy] = &scenario.tokens;
    for wallet in wallets {
        seeded.push(Seeded { address: *wallet, owner: ids::SYSTEM, lamports: allowance.lamports, data: Vec::new() });
        for (token, amount) in [(usdc, allowance.usdc), (levy, allowance.levy)] {
            seeded.push(wallet_token_account(wallet, token, amount));
        }
        supplies[1] += allowance.usdc;
        supplies[2] += allowance.levy;
    }
    // wSOL's mint is part of every chain.
    seeded.push(mint_account(usdc, &scenario.faucet, supplies[1]));
    seeded.push(mint_account(levy, &scenario.faucet, supplies[2]));
    seeded.extend(scenario.configs.iter().map(|config| config_account(scenario, config)));
    let receiver = token_account_data(&scenario.tokens[0], &scenario.faucet, 0);
    seeded.push(Seeded {
        address: scenario.pool_fee_receiver,
        owner: ids::TOKEN,
        lamports: rent(receiver.len()),
        data: receiver,
    });
    seeded
}

/// A wallet's associated token account with a balance.
pub(super) fn wallet_token_account(wallet: &Pubkey, token: &Token, amount: u64) -> Seeded {
    let mut data = token_account_data(token, wallet, amount);
    if token.program == ids::TOKEN_2022 {
        // As the associated-token program makes them: the owner can never change.
        if data.len() == 165 {
            data.push(2);
        }
        data.extend([7, 0, 0, 0]); // ImmutableOwner, no value
    }
    let wrapped = if token.mint == ids::WRAPPED_SOL { amount } else { 0 };
    Seeded {
        address: ids::token_account(wallet, &token.mint, &token.program),
        owner: token.program,
        lamports: rent(data.len()) + wrapped,
        data,
    }
}

fn pool_accounts(scenario: &Scenario, pool: &Pool) -> Vec<Seeded> {
    let (authority, auth_bump) = scenario.authority;
    let product = u128::from(pool.reserves[0]) * u128::from(pool.reserves[1]);
    let lp_supply = u64::try_from(product.isqrt()).expect("the root of a product of two u64");
    let state = PoolState {
        amm_config: pool.config.address,
        pool_creator: scenario.faucet,
        token_0_vault: pool.vaults[0],
        token_1_vault: pool.vaults[1],
        lp_mint: pool.lp_mint,
        token_0_mint: pool.tokens[0].mint,
        token_1_mint: pool.tokens[1].mint,
        token_0_program: pool.tokens[0].program,
        token_1_program: pool.tokens[1].program,
        observation_key: pool.observation,
        auth_bump,
        status: 0,
        lp_mint_decimals: 9,
        mint_0_decimals: pool.tokens[0].decimals,
        mint_1_decimals: pool.tokens[1].decimals,
        lp_supply,
        protocol_fees_token_0: 0,
        protocol_fees_token_1: 0,
        fund_fees_token_0: 0,
        fund_fees_token_1: 0,
        open_time: OPENED,
        recent_epoch: 0,
        creator_fee_on: 0,
        enable_creator_fee: 0,
        padding_1: [0; 6],
        creator_fees_token_0: 0,
        creator_fees_token_1: 0,
        padding: [0; 28],
    };
    let vaults = (0..2).map(|side| {
        let (token, reserve) = (&pool.tokens[side], pool.reserves[side]);
        let data = token_account_data(token, &authority, reserve);
        let wrapped = if token.mint == ids::WRAPPED_SOL { reserve } else { 0 };
        Seeded { address: pool.vaults[side], owner: token.program, lamports: rent(data.len()) + wrapped, data }
    });
    // A hundred LP units are counted but were never minted.
    let lp_mint = mint_data(&authority, lp_supply - 100, 9);
    let own =
        |address, data: Vec<u8>| Seeded { address, owner: scenario.cpmm_program, lamports: rent(data.len()), data };
    let mut seeded = vec![
        own(pool.address, state.to_account()),
        own(pool.observation, Observations::new_account(&pool.address)),
        Seeded { address: pool.lp_mint, owner: ids::TOKEN, lamports: rent(lp_mint.len()), data: lp_mint },
    ];
    seeded.extend(vaults);
    seeded
}

fn config_account(scenario: &Scenario, config: &FeeConfig) -> Seeded {
    let seeds: [&[u8]; 2] = [ids::CONFIG_SEED, &config.index.to_be_bytes()];
    let (_, bump) = Pubkey::find_program_address(&seeds, &scenario.cpmm_program);
    let data = AmmConfig {
        bump,
        disable_create_pool: false,
        index: config.index,
        trade_fee_rate: config.trade_fee_rate,
        protocol_fee_rate: 120_000,
        fund_fee_rate: 40_000,
        create_pool_fee: 150_000_000,
        protocol_owner: scenario.faucet,
        fund_owner: scenario.faucet,
        creator_fee_rate: config.creator_fee_rate,
        padding: [0; 15],
    }
    .to_account();
    Seeded { address: config.address, owner: scenario.cpmm_program, lamports: rent(data.len()), data }
}

fn mint_account(token: &Token, authority: &Pubkey, supply: u64) -> Seeded {
    let mut data = mint_data(authority, supply, token.decimals);
    if let Some(fee) = token.transfer_fee {
        data.resize(165, 0);
        data.push(1); // account type: mint
        data.extend([1, 0, 108, 0]); // TransferFeeConfig
        data.extend(authority.to_bytes());
        data.extend(authority.to_bytes());
        data.extend(0_u64.to_le_bytes()); // withheld
        for _older_and_newer in 0..2 {
            data.extend(0_u64.to_le_bytes()); // since epoch 0
            data.extend(fee.maximum.to_le_bytes());
            data.extend(fee.basis_points.to_le_bytes());
        }
    }
    Seeded { address: token.mint, owner: token.program, lamports: rent(data.len()), data }
}

/// The 82 bytes every mint starts with. No freeze authority.
fn mint_data(authority: &Pubkey, supply: u64, decimals: u8) -> Vec<u8> {
    let mut data = 1_u32.to_le_bytes().to_vec();
    data.extend(authority.to_bytes());
    data.extend(supply.to_le_bytes());
    data.push(decimals);
    data.push(1); // initialised
    data.resize(82, 0);
    data
}

/// A token account: 165 bytes, and room for withheld fees where the mint has them.
fn token_account_data(token: &Token, owner: &Pubkey, amount: u64) -> Vec<u8> {
    let mut data = token.mint.to_bytes().to_vec();
    data.extend(owner.to_bytes());
    data.extend(amount.to_le_bytes());
    data.resize(108, 0); // no delegate
    data.push(1); // initialised, not frozen
    if token.mint == ids::WRAPPED_SOL {
        data.extend(1_u32.to_le_bytes());
        data.extend(rent(165).to_le_bytes());
    }
    data.resize(165, 0);
    if token.transfer_fee.is_some() {
        data.push(2); // account type: token account
        data.extend([2, 0, 8, 0]); // TransferFeeAmount
        data.extend(0_u64.to_le_bytes());
    }
    data
}

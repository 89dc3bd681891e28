//! State: the accounts of the CPMM program, byte for byte.
//!
//! Owns layouts, discriminators and the observation ring. The layouts are packed and little-endian, so
//! Borsh reads and writes them exactly. Never judges what the values mean for a swap.

use anchor_lang::{AnchorDeserialize, AnchorSerialize};
use solana_sdk::pubkey::Pubkey;

use super::fault::{Fault, UNREADABLE};

/// Eight bytes in front of every account of the program.
pub(in crate::localnet) type Discriminator = [u8; 8];

/// An account type of the program.
pub(in crate::localnet) trait Stored: AnchorDeserialize + AnchorSerialize {
    /// First eight bytes of the account.
    const DISCRIMINATOR: Discriminator;
    /// Whole size of the account.
    const SIZE: usize;

    /// The whole account.
    fn to_account(&self) -> Vec<u8> {
        let mut bytes = Self::DISCRIMINATOR.to_vec();
        // Writing to a vector cannot fail.
        let _ = AnchorSerialize::serialize(self, &mut bytes);
        bytes
    }

    /// Reads what follows a discriminator that was checked before.
    fn from_account(name: &'static str, data: &[u8]) -> Result<Self, Fault> {
        let mut body = data.get(8..).unwrap_or_default();
        Self::deserialize(&mut body).map_err(|_| Fault::account(UNREADABLE, name))
    }
}

/// Fee rates, shared by many pools.
#[derive(Clone, Debug, AnchorSerialize, AnchorDeserialize)]
pub(in crate::localnet) struct AmmConfig {
    pub bump: u8,
    pub disable_create_pool: bool,
    pub index: u16,
    pub trade_fee_rate: u64,
    pub protocol_fee_rate: u64,
    pub fund_fee_rate: u64,
    pub create_pool_fee: u64,
    pub protocol_owner: Pubkey,
    pub fund_owner: Pubkey,
    pub creator_fee_rate: u64,
    pub padding: [u64; 15],
}

impl Stored for AmmConfig {
    const DISCRIMINATOR: Discriminator = [218, 244, 33, 104, 203, 203, 43, 111];
    const SIZE: usize = 236;
}

/// One pool.
#[derive(Clone, Debug, AnchorSerialize, AnchorDeserialize)]
pub(in crate::localnet) struct PoolState {
    pub amm_config: Pubkey,
    pub pool_creator: Pubkey,
    pub token_0_vault: Pubkey,
    pub token_1_vault: Pubkey,
    pub lp_mint: Pubkey,
    pub token_0_mint: Pubkey,
    pub token_1_mint: Pubkey,
    pub token_0_program: Pubkey,
    pub token_1_program: Pubkey,
    pub observation_key: Pubkey,
    pub auth_bump: u8,
    pub status: u8,
    pub lp_mint_decimals: u8,
    pub mint_0_decimals: u8,
    pub mint_1_decimals: u8,
    pub lp_supply: u64,
    pub protocol_fees_token_0: u64,
    pub protocol_fees_token_1: u64,
    pub fund_fees_token_0: u64,
    pub fund_fees_token_1: u64,
    pub open_time: u64,
    pub recent_epoch: u64,
    /// 0 both tokens, 1 only token 0, 2 only token 1.
    pub creator_fee_on: u8,
    /// A byte, not a bool: the program reads this account without decoding it.
    pub enable_creator_fee: u8,
    pub padding_1: [u8; 6],
    pub creator_fees_token_0: u64,
    pub creator_fees_token_1: u64,
    pub padding: [u64; 28],
}

impl Stored for PoolState {
    const DISCRIMINATOR: Discriminator = [247, 237, 227, 245, 215, 195, 222, 70];
    const SIZE: usize = 637;
}

impl PoolState {
    /// Set in `status` when swaps are off.
    pub const SWAP_OFF: u8 = 1 << 2;
}

/// The ring of past prices. Kept as bytes: a swap touches at most one of its hundred entries.
pub(in crate::localnet) struct Observations;

impl Observations {
    pub const DISCRIMINATOR: Discriminator = [122, 174, 197, 53, 129, 9, 165, 132];
    pub const SIZE: usize = 4075;
    const ENTRIES: usize = 100;
    /// Seconds before the next entry is opened.
    const EVERY: u64 = 15;

    /// An account that has seen no swap.
    pub fn new_account(pool: &Pubkey) -> Vec<u8> {
        let mut bytes = Self::DISCRIMINATOR.to_vec();
        bytes.extend([0, 0, 0]); // not initialised, index 0
        bytes.extend(pool.to_bytes());
        bytes.resize(Self::SIZE, 0);
        bytes
    }

    /// Records the prices before a swap. `None` when the account is malformed or the sum does not fit.
    pub fn record(data: &mut [u8], now: u64, prices: (u128, u128)) -> Option<()> {
        let index = usize::from(u16::from_le_bytes(read(data, 9)?));
        if *data.get(8)? == 0 {
            // The first update only stamps the time.
            *data.get_mut(8)? = 1;
            return Self::write_entry(data, index, now, 0, 0);
        }
        let at = Self::entry_offset(index)?;
        let last = u64::from_le_bytes(read(data, at)?);
        let elapsed = now.saturating_sub(last);
        if elapsed < Self::EVERY {
            return Some(());
        }
        let sum_0 = u128::from_le_bytes(read(data, at.checked_add(8)?)?);
        let sum_1 = u128::from_le_bytes(read(data, at.checked_add(24)?)?);
        let next = if index == Self::ENTRIES.checked_sub(1)? { 0 } else { index.checked_add(1)? };
        Self::write_entry(
            data,
            next,
            now,
            sum_0.wrapping_add(prices.0.checked_mul(elapsed.into())?),
            sum_1.wrapping_add(prices.1.checked_mul(elapsed.into())?),
        )?;
        write(data, 9, &u16::try_from(next).ok()?.to_le_bytes())
    }

    fn entry_offset(index: usize) -> Option<usize> {
        (index < Self::ENTRIES).then(|| index.checked_mul(40)?.checked_add(43)).flatten()
    }

    fn write_entry(data: &mut [u8], index: usize, time: u64, s0: u128, s1: u128) -> Option<()> {
        let at = Self::entry_offset(index)?;
        write(data, at, &time.to_le_bytes())?;
        write(data, at.checked_add(8)?, &s0.to_le_bytes())?;
        write(data, at.checked_add(24)?, &s1.to_le_bytes())
    }
}

/// `N` bytes at an offset.
pub(in crate::localnet) fn read<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn write(data: &mut [u8], at: usize, bytes: &[u8]) -> Option<()> {
    data.get_mut(at..at.checked_add(bytes.len())?)?.copy_from_slice(bytes);
    Some(())
}

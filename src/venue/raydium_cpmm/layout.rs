//! Decoders: account bytes of Raydium CPMM, of token programs and of two sysvars, checked before they are believed.
//!
//! Owns which program, which size and which discriminator an account must have, and which addresses follow from which.
//! Never reads the chain and decides nothing about a quote.

use anchor_lang::{AccountDeserialize as _, AnchorDeserialize as _, Discriminator as _};
use solana_sdk::{account::Account, pubkey::Pubkey};
use spl_token_2022_interface::{
    extension::{
        BaseStateWithExtensions as _, ExtensionType, StateWithExtensions, pausable::PausableConfig,
        transfer_fee::TransferFeeConfig, transfer_hook::TransferHook,
    },
    state::{Account as TokenState, AccountState, Mint as MintState},
};

use super::math::TransferFee;
pub use super::program::{
    accounts::{AmmConfig, PoolState},
    events::SwapEvent,
};
use crate::venue::VenueError;

/// Bytes of a pool account.
pub const POOL_SIZE: usize = 637;
/// Bytes of a fee configuration account.
pub const CONFIG_SIZE: usize = 236;
/// Where a pool holds the two mints, smaller bytes first.
pub const MINT_OFFSETS: [usize; 2] = [168, 200];

/// Payload of a swap event, and how much of it programs older than August 2025 write.
const EVENT_SIZE: usize = 162;
const OLD_EVENT_SIZE: usize = 81;

/// A pool's state. Does not yet say that its addresses belong together: see [`check_addresses`].
///
/// # Errors
/// When the account is not a pool of `program`.
pub fn pool_state(program: &Pubkey, address: &Pubkey, account: &Account) -> Result<PoolState, VenueError> {
    expect_account(program, address, account, POOL_SIZE)?;
    PoolState::try_deserialize(&mut account.data.as_slice())
        .map_err(|_| mismatch(address, "its bytes are not those of a pool"))
}

/// A pool's fee configuration.
///
/// # Errors
/// When the account is not a configuration of `program`.
pub fn amm_config(program: &Pubkey, address: &Pubkey, account: &Account) -> Result<AmmConfig, VenueError> {
    expect_account(program, address, account, CONFIG_SIZE)?;
    AmmConfig::try_deserialize(&mut account.data.as_slice())
        .map_err(|_| mismatch(address, "its bytes are not those of a fee configuration"))
}

/// A fee configuration must sit at the address its index gives it.
///
/// # Errors
/// When it does not.
pub fn check_config_address(program: &Pubkey, address: &Pubkey, config: &AmmConfig) -> Result<(), VenueError> {
    // the index is big-endian in the seed, unlike everything else
    let derived = derive(program, &[b"amm_config", &config.index.to_be_bytes()]);
    if derived == *address {
        Ok(())
    } else {
        Err(mismatch(address, format!("the fee configuration of index {} is {derived}", config.index)))
    }
}

/// Re-derives every address a pool names and compares: a pool that passes was made by `program` and can only pay
/// from vaults that `program` controls.
///
/// # Errors
/// When one differs.
pub fn check_addresses(program: &Pubkey, address: &Pubkey, pool: &PoolState) -> Result<(), VenueError> {
    let (_, bump) = Pubkey::find_program_address(&[AUTHORITY_SEED], program);
    if pool.auth_bump != bump {
        return Err(mismatch(address, format!("its authority bump is {}, not {bump}", pool.auth_bump)));
    }
    if pool.token_0_mint >= pool.token_1_mint {
        return Err(mismatch(address, "its mints are not in order"));
    }
    let vault = |mint: &Pubkey| derive(program, &[b"pool_vault", address.as_ref(), mint.as_ref()]);
    for (what, named, derived) in [
        ("vault of token 0", pool.token_0_vault, vault(&pool.token_0_mint)),
        ("vault of token 1", pool.token_1_vault, vault(&pool.token_1_mint)),
        ("observation account", pool.observation_key, derive(program, &[b"observation", address.as_ref()])),
    ] {
        if named != derived {
            return Err(mismatch(address, format!("its {what} is {named}, not {derived}")));
        }
    }
    for token_program in [pool.token_0_program, pool.token_1_program] {
        if !is_token_program(&token_program) {
            return Err(mismatch(address, format!("{token_program} is not a token program")));
        }
    }
    Ok(())
}

const AUTHORITY_SEED: &[u8] = b"vault_and_lp_mint_auth_seed";

/// The owner of every vault of `program`.
pub fn authority(program: &Pubkey) -> Pubkey {
    derive(program, &[AUTHORITY_SEED])
}

fn derive(program: &Pubkey, seeds: &[&[u8]]) -> Pubkey {
    Pubkey::find_program_address(seeds, program).0
}

/// What a mint means for a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mint {
    /// Transfer fees by epoch, if the mint takes any.
    pub fees: Option<FeeSchedule>,
    /// Why its tokens cannot simply be transferred, if so.
    pub obstacle: Option<&'static str>,
}

/// A Token-2022 mint's transfer fees: the newer one holds from its epoch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeSchedule {
    /// In force before `newer_from`.
    pub older: TransferFee,
    /// In force from `newer_from` on.
    pub newer: TransferFee,
    /// The epoch of the change.
    pub newer_from: u64,
}

impl FeeSchedule {
    /// The fee in force in `epoch`.
    pub const fn at(&self, epoch: u64) -> TransferFee {
        if epoch >= self.newer_from { self.newer } else { self.older }
    }
}

impl Mint {
    /// The transfer fee in force in `epoch`.
    pub fn fee_at(&self, epoch: u64) -> TransferFee {
        self.fees.map(|fees| fees.at(epoch)).unwrap_or_default()
    }
}

/// A mint of SPL Token or Token-2022.
///
/// # Errors
/// When the account is no mint of `token_program`, or carries an extension this version does not know.
pub fn mint(token_program: &Pubkey, address: &Pubkey, account: &Account) -> Result<Mint, VenueError> {
    if account.owner != *token_program {
        return Err(mismatch(address, format!("it belongs to {}, not to {token_program}", account.owner)));
    }
    let unreadable = |_| mismatch(address, "its bytes are not those of a mint");
    let state = StateWithExtensions::<MintState>::unpack(&account.data).map_err(unreadable)?;
    // walks all of them first: an extension that cannot be read must not pass for one that is not there
    let extensions = state.get_extension_types().map_err(unreadable)?;
    let fees = if extensions.contains(&ExtensionType::TransferFeeConfig) {
        let config = state.get_extension::<TransferFeeConfig>().map_err(unreadable)?;
        let fee = |fee: &spl_token_2022_interface::extension::transfer_fee::TransferFee| TransferFee {
            basis_points: fee.transfer_fee_basis_points.into(),
            maximum: fee.maximum_fee.into(),
        };
        Some(FeeSchedule {
            older: fee(&config.older_transfer_fee),
            newer: fee(&config.newer_transfer_fee),
            newer_from: config.newer_transfer_fee.epoch.into(),
        })
    } else {
        None
    };
    let hooked = extensions.contains(&ExtensionType::TransferHook)
        && Option::<Pubkey>::from(state.get_extension::<TransferHook>().map_err(unreadable)?.program_id).is_some();
    let paused = extensions.contains(&ExtensionType::Pausable)
        && state.get_extension::<PausableConfig>().map_err(unreadable)?.paused.into();
    let obstacle = if hooked {
        Some("a token calls another program on every transfer")
    } else if paused {
        Some("a token is paused by its issuer")
    } else if extensions.contains(&ExtensionType::NonTransferable) {
        Some("a token cannot be transferred")
    } else {
        None
    };
    Ok(Mint { fees, obstacle })
}

/// A vault's balance in base units.
///
/// # Errors
/// When the account is not the token account of `mint` that `authority` owns, or is frozen.
pub fn vault_balance(
    address: &Pubkey,
    account: &Account,
    token_program: &Pubkey,
    mint: &Pubkey,
    authority: &Pubkey,
) -> Result<u64, VenueError> {
    if account.owner != *token_program {
        return Err(mismatch(address, format!("it belongs to {}, not to {token_program}", account.owner)));
    }
    let state = StateWithExtensions::<TokenState>::unpack(&account.data)
        .map_err(|_| mismatch(address, "its bytes are not those of a token account"))?
        .base;
    if state.mint != *mint || state.owner != *authority {
        return Err(mismatch(address, "it is not the pool's vault"));
    }
    if state.state == AccountState::Frozen {
        return Err(mismatch(address, "the vault is frozen"));
    }
    Ok(state.amount)
}

/// The chain's own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainClock {
    /// The slot.
    pub slot: u64,
    /// The epoch.
    pub epoch: u64,
    /// Unix seconds, as the validators agree on them.
    pub unix_timestamp: i64,
}

/// The Clock sysvar: slot, epoch start, epoch, leader schedule epoch, time; eight bytes each.
///
/// # Errors
/// When the account is too short.
pub fn clock(address: &Pubkey, account: &Account) -> Result<ChainClock, VenueError> {
    let words = words::<5>(account).ok_or_else(|| mismatch(address, "it is not the clock"))?;
    Ok(ChainClock { slot: words[0], epoch: words[2], unix_timestamp: words[4].cast_signed() })
}

/// When epochs end, from the EpochSchedule sysvar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochSchedule {
    /// Slots of every epoch from the first normal one on.
    pub slots_per_epoch: u64,
    /// The first epoch of full length.
    pub first_normal_epoch: u64,
    /// Its first slot.
    pub first_normal_slot: u64,
}

impl EpochSchedule {
    /// Slots from the clock's until the next epoch begins. `None` in the short epochs of a young cluster.
    pub fn slots_left(&self, clock: &ChainClock) -> Option<u64> {
        let epochs = clock.epoch.checked_sub(self.first_normal_epoch)?.checked_add(1)?;
        let next = epochs.checked_mul(self.slots_per_epoch)?.checked_add(self.first_normal_slot)?;
        next.checked_sub(clock.slot)
    }
}

/// The EpochSchedule sysvar: slots per epoch u64, offset u64, warm-up u8, first normal epoch u64 and slot u64.
pub fn epoch_schedule(account: &Account) -> Option<EpochSchedule> {
    let word = |offset: usize| {
        let bytes = account.data.get(offset..offset + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    Some(EpochSchedule { slots_per_epoch: word(0)?, first_normal_epoch: word(17)?, first_normal_slot: word(25)? })
}

/// A swap event from the bytes of a `Program data:` log line. The short form of older programs reads as
/// "no creator fee".
pub fn swap_event(data: &[u8]) -> Option<SwapEvent> {
    let payload = data.strip_prefix(SwapEvent::DISCRIMINATOR)?;
    let mut bytes = payload.to_vec();
    if payload.len() == OLD_EVENT_SIZE {
        bytes.resize(EVENT_SIZE, 0);
    }
    SwapEvent::deserialize(&mut bytes.as_slice()).ok()
}

fn words<const N: usize>(account: &Account) -> Option<[u64; N]> {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(account.data.get(..N * 8)?.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().ok()?);
    }
    Some(words)
}

fn is_token_program(program: &Pubkey) -> bool {
    *program == spl_token::ID || *program == spl_token_2022_interface::ID
}

/// The discriminator alone proves nothing: pools of another Raydium program carry the same one.
fn expect_account(program: &Pubkey, address: &Pubkey, account: &Account, size: usize) -> Result<(), VenueError> {
    if account.owner != *program {
        return Err(mismatch(address, format!("it belongs to {}, not to {program}", account.owner)));
    }
    if account.data.len() != size {
        return Err(mismatch(address, format!("it has {} bytes, not {size}", account.data.len())));
    }
    Ok(())
}

fn mismatch(account: &Pubkey, reason: impl Into<String>) -> VenueError {
    VenueError::Mismatch { account: *account, reason: reason.into() }
}

//! Token: what the model needs of the two token programs.
//!
//! Owns Token-2022 transfer fees (which schedule, how much, and the inverse), the extensions a pool may
//! have, and the calls that move tokens. Never keeps a balance of its own.

use solana_program_runtime::invoke_context::InvokeContext;
use solana_sdk::{
    instruction::{AccountMeta, Instruction},
    pubkey::Pubkey,
};

use super::accounts::Account;
use super::fault::*;
use super::state::read;
use crate::localnet::ids;

const MAX_BASIS_POINTS: u16 = 10_000;
const TRANSFER_FEE_CONFIG: u16 = 1;
/// TransferFeeConfig, InterestBearingConfig, MetadataPointer, TokenMetadata, ScaledUiAmount.
const ALLOWED_EXTENSIONS: [u16; 5] = [TRANSFER_FEE_CONFIG, 10, 18, 19, 25];

/// A fee on every transfer of a mint, as in force in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TransferFee {
    maximum: u64,
    basis_points: u16,
}

impl TransferFee {
    /// The fee of a mint in an epoch. `None` for mints that have none, which is another thing than zero.
    pub fn of(mint: &Account, epoch: u64) -> Option<Self> {
        if mint.owner != ids::TOKEN_2022 {
            return None;
        }
        let (_, config) = extensions(&mint.data).find(|(kind, _)| *kind == TRANSFER_FEE_CONFIG)?;
        let newer_since = u64::from_le_bytes(read(config, 90)?);
        let at = if epoch >= newer_since { 98 } else { 80 };
        Some(Self {
            maximum: u64::from_le_bytes(read(config, at)?),
            basis_points: u16::from_le_bytes(read(config, at.checked_add(8)?)?),
        })
    }

    /// What is withheld from a transfer of `gross`.
    pub fn on(&self, gross: u64) -> Option<u64> {
        let raw = u128::from(gross).checked_mul(self.basis_points.into())?.div_ceil(MAX_BASIS_POINTS.into());
        Some(u64::try_from(raw).ok()?.min(self.maximum))
    }

    /// What is withheld from the transfer that leaves `net`.
    fn for_net(&self, net: u64) -> Option<u64> {
        let gross = if self.basis_points == 0 {
            net
        } else {
            let kept = MAX_BASIS_POINTS.checked_sub(self.basis_points)?;
            let raw = u128::from(net).checked_mul(MAX_BASIS_POINTS.into())?.div_ceil(kept.into());
            if raw.checked_sub(net.into())? >= u128::from(self.maximum) {
                net.checked_add(self.maximum)?
            } else {
                u64::try_from(raw).ok()?
            }
        };
        self.on(gross)
    }
}

/// The transfer fee on an amount that is sent.
pub(super) fn fee_on(mint: &Account, epoch: u64, gross: u64) -> Result<u64, Fault> {
    TransferFee::of(mint, epoch).map_or(Ok(0), |fee| fee.on(gross).ok_or(Fault::Trap("transfer fee overflows")))
}

/// The transfer fee on top of an amount that must arrive.
pub(super) fn fee_to_leave(mint: &Account, epoch: u64, net: u64) -> Result<u64, Fault> {
    if mint.owner == ids::TOKEN {
        return Ok(0);
    }
    if net == 0 {
        return Err(INVALID_INPUT.into());
    }
    let Some(fee) = TransferFee::of(mint, epoch) else {
        return Ok(0);
    };
    if fee.basis_points == MAX_BASIS_POINTS {
        return Ok(fee.maximum);
    }
    let overflow = Fault::Trap("inverse transfer fee overflows");
    let Some((on_top, again)) = fee.for_net(net).and_then(|on_top| Some((on_top, fee.on(net.checked_add(on_top)?)?)))
    else {
        return Err(overflow);
    };
    if on_top != again {
        return Err(TRANSFER_FEE_MISMATCH.into());
    }
    Ok(on_top)
}

/// Whether a pool may be created for this mint.
pub(super) fn is_supported(mint: &Account) -> bool {
    mint.owner == ids::TOKEN || extensions(&mint.data).all(|(kind, _)| ALLOWED_EXTENSIONS.contains(&kind))
}

/// Bytes of a pool's vault: a mint with a transfer fee wants room for what is withheld.
pub(super) fn vault_size(mint: &Account) -> usize {
    let with_fee = mint.owner == ids::TOKEN_2022 && extensions(&mint.data).any(|(kind, _)| kind == TRANSFER_FEE_CONFIG);
    if with_fee { 178 } else { 165 }
}

/// Moves `amount` between token accounts. Nothing happens for zero.
pub(super) fn transfer(
    context: &mut InvokeContext,
    program: &Account,
    (from, mint, to): (&Account, &Account, &Account),
    authority: &Account,
    amount: u64,
    signer: &[&[&[u8]]],
) -> Result<(), Fault> {
    if amount == 0 {
        return Ok(());
    }
    let mut data = vec![12]; // TransferChecked
    data.extend(amount.to_le_bytes());
    data.push(mint.decimals());
    let accounts = vec![
        AccountMeta::new(from.key, false),
        AccountMeta::new_readonly(mint.key, false),
        AccountMeta::new(to.key, false),
        AccountMeta::new_readonly(authority.key, true),
    ];
    call(context, program.key, accounts, data, signer)
}

/// Calls another program with what this instruction was given.
pub(super) fn call(
    context: &mut InvokeContext,
    program_id: Pubkey,
    accounts: Vec<AccountMeta>,
    data: Vec<u8>,
    signer: &[&[&[u8]]],
) -> Result<(), Fault> {
    let instruction = Instruction { program_id, accounts, data };
    Ok(context.native_invoke_signed(instruction, signer)?)
}

/// The (type, value) records behind a Token-2022 mint. Ends at the first one that does not fit.
fn extensions(data: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = data.get(166..).unwrap_or_default();
    std::iter::from_fn(move || {
        let kind = u16::from_le_bytes(read(rest, 0)?);
        let end = 4_usize.checked_add(u16::from_le_bytes(read(rest, 2)?).into())?;
        let value = rest.get(4..end)?;
        rest = rest.get(end..)?;
        (kind != 0).then_some((kind, value))
    })
}

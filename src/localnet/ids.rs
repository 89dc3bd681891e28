//! Ids: the addresses and seeds that the embedded chain and its CPMM model are built on.
//!
//! Owns constants and derivations only. Every derived address follows from the configured program id.

use solana_sdk::{pubkey, pubkey::Pubkey};

pub(super) const SYSTEM: Pubkey = pubkey!("11111111111111111111111111111111");
pub(super) const TOKEN: Pubkey = pubkey!("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
pub(super) const TOKEN_2022: Pubkey = pubkey!("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
pub(super) const ASSOCIATED_TOKEN: Pubkey = pubkey!("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
pub(super) const RENT: Pubkey = pubkey!("SysvarRent111111111111111111111111111111111");
pub(super) const WRAPPED_SOL: Pubkey = pubkey!("So11111111111111111111111111111111111111112");

/// Raydium CPMM on devnet.
pub(super) const CPMM_DEVNET: Pubkey = pubkey!("DRaycpLY18LhpbydsBWbVJtxpNv9oXPgjRSfpF2bWpYb");
/// Raydium CPMM on mainnet: the only id at which its mainnet binary runs, also here.
pub(super) const CPMM_MAINNET: Pubkey = pubkey!("CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C");
const CPMM_OLD_DEVNET: Pubkey = pubkey!("CPMDWBwJDtYax9qW7AyRuVC19Cc4L4Vcy4n2BHAbHkCW");

pub(super) const AUTHORITY_SEED: &[u8] = b"vault_and_lp_mint_auth_seed";
pub(super) const CONFIG_SEED: &[u8] = b"amm_config";
pub(super) const POOL_SEED: &[u8] = b"pool";
pub(super) const VAULT_SEED: &[u8] = b"pool_vault";
pub(super) const LP_MINT_SEED: &[u8] = b"pool_lp_mint";
pub(super) const OBSERVATION_SEED: &[u8] = b"observation";

/// Whether this is SPL Token or Token-2022.
pub(super) fn is_token_program(id: &Pubkey) -> bool {
    *id == TOKEN || *id == TOKEN_2022
}

/// The wrapped-SOL account that a build of CPMM demands its pool fee to be paid to. It is compiled into
/// each build; an id that is none of Raydium's gets devnet's.
pub(super) fn pool_fee_receiver(cpmm_program: &Pubkey) -> Pubkey {
    if *cpmm_program == CPMM_MAINNET {
        pubkey!("DNXgeM9EiiaAbaWvwjHj9fQQLAX5ZsfHyvmYUNRAdNC8")
    } else if *cpmm_program == CPMM_OLD_DEVNET {
        pubkey!("G11FKBRaAkHAKuLCgLM6K6NUc9rTjPAznRCjZifrTQe2")
    } else {
        pubkey!("3oE58BKVt8KuYkGxx8zBojugnymWmBiyafWgMrnb6eYy")
    }
}

/// Where a wallet holds a token.
pub(super) fn token_account(owner: &Pubkey, mint: &Pubkey, token_program: &Pubkey) -> Pubkey {
    let seeds = [owner.as_ref(), token_program.as_ref(), mint.as_ref()];
    Pubkey::find_program_address(&seeds, &ASSOCIATED_TOKEN).0
}

//! Owned: the accounts of many wallets in few calls, each wallet's own one and those of its tokens.
//!
//! Owns how many wallets share a call, and which account is whose. What a token account says is its reader's business.

use solana_sdk::{account::Account, pubkey::Pubkey};

use super::{ChainError, Rpc, rpc::ACCOUNTS_PER_CALL, transaction::associated_account};
use crate::domain::{Lamports, Slot, Token};

/// What one wallet owns.
#[derive(Clone, Debug, PartialEq)]
pub struct Owned {
    /// When: all of it was read at this slot.
    pub slot: Slot,
    /// Of its own account; zero where there is none.
    pub lamports: Lamports,
    /// Its associated account for each token, in their order; `None` where there is none.
    pub tokens: Vec<Option<Account>>,
}

/// Reads what these wallets own of these tokens, in the order of the wallets. Those that are read in different calls may
/// be of different slots.
///
/// # Errors
/// When the chain does not answer.
pub async fn owned(rpc: &Rpc, wallets: &[Pubkey], tokens: &[&Token]) -> Result<Vec<Owned>, ChainError> {
    let each = 1 + tokens.len();
    let accounts_of = |wallet: &Pubkey| {
        let accounts: Vec<_> = tokens.iter().map(|token| associated_account(wallet, token)).collect();
        std::iter::once(*wallet).chain(accounts)
    };
    let mut all = Vec::with_capacity(wallets.len());
    for some in wallets.chunks((ACCOUNTS_PER_CALL / each).max(1)) {
        let keys: Vec<Pubkey> = some.iter().flat_map(accounts_of).collect();
        let snapshot = rpc.accounts(&keys).await?;
        all.extend(snapshot.accounts.chunks(each).map(|accounts| Owned {
            slot: snapshot.slot,
            lamports: Lamports::new(accounts[0].as_ref().map_or(0, |account| account.lamports)),
            tokens: accounts[1..].to_vec(),
        }));
    }
    Ok(all)
}

//! Purse: what the fleet's wallets hold, read from the chain.
//!
//! Owns which accounts a wallet has: its own, and the associated one of each configured token. Balances are the only
//! thing a fleet's acts believe.

use solana_sdk::{account::Account, pubkey::Pubkey};
use spl_token_2022_interface::{
    extension::{
        BaseStateWithExtensions as _, StateWithExtensions,
        transfer_fee::{TransferFeeAmount, TransferFeeConfig},
    },
    state::{Account as TokenState, Mint as MintState},
};

use crate::{
    chain::{ChainError, Owned, Rpc, owned},
    domain::Token,
};

/// A configured token, as a fleet sees it.
#[derive(Clone, Debug)]
pub struct Coin {
    /// Mint, decimals, program.
    pub token: Token,
    /// Whether its mint withholds a fee from every transfer.
    pub withholds: bool,
}

/// What one wallet holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purse {
    /// Of its own account.
    pub lamports: u64,
    /// For each coin, in their order; `None` where it has no account.
    pub pockets: Vec<Option<Pocket>>,
}

/// A token account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pocket {
    /// Base units. For wrapped SOL, lamports above the rent.
    pub amount: u64,
    /// Fees of received transfers that wait here for the mint; the account cannot be closed with them.
    pub withheld: u64,
    /// What it holds for its rent, and what is wrapped.
    pub lamports: u64,
}

/// Reads which coins there are.
///
/// # Errors
/// When the chain does not answer.
pub async fn coins(rpc: &Rpc, tokens: &[Token]) -> Result<Vec<Coin>, ChainError> {
    let mints: Vec<Pubkey> = tokens.iter().map(|token| token.mint).collect();
    let accounts = rpc.accounts(&mints).await?.accounts;
    let withholds = |account: &Option<Account>| {
        let mint = account.as_ref().and_then(|account| StateWithExtensions::<MintState>::unpack(&account.data).ok());
        mint.is_some_and(|mint| mint.get_extension::<TransferFeeConfig>().is_ok())
    };
    let coin =
        |(token, account): (&Token, &Option<Account>)| Coin { token: token.clone(), withholds: withholds(account) };
    Ok(tokens.iter().zip(&accounts).map(coin).collect())
}

/// Reads what these wallets hold. Wallets that are read in different calls may be of different slots.
///
/// # Errors
/// When the chain does not answer.
pub async fn purses(rpc: &Rpc, coins: &[Coin], wallets: &[Pubkey]) -> Result<Vec<Purse>, ChainError> {
    let tokens: Vec<&Token> = coins.iter().map(|coin| &coin.token).collect();
    let purse = |wallet: Owned| Purse {
        lamports: wallet.lamports.get(),
        pockets: wallet.tokens.iter().map(|account| account.as_ref().and_then(pocket)).collect(),
    };
    Ok(owned(rpc, wallets, &tokens).await?.into_iter().map(purse).collect())
}

/// `None` also for what is no token account: lamports that somebody sent to its address before it was made.
fn pocket(account: &Account) -> Option<Pocket> {
    let state = StateWithExtensions::<TokenState>::unpack(&account.data).ok()?;
    let withheld = state.get_extension::<TransferFeeAmount>().map_or(0, |fee| u64::from(fee.withheld_amount));
    Some(Pocket { amount: state.base.amount, withheld, lamports: account.lamports })
}

//! Sweep: everything goes back to the treasury, and nothing of the wallets is left on the chain.
//!
//! A wallet of which an open order has reserved something, or that an open order has named, is left alone. Fees that a
//! mint has withheld belong to the mint: they are handed over to it, as the token program demands before it closes an
//! account.

use solana_sdk::pubkey::Pubkey;
use solana_system_interface::instruction::transfer;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;
use spl_token_2022_interface::{
    extension::transfer_fee::instruction::harvest_withheld_tokens_to_mint,
    instruction::{close_account, transfer_checked},
};

use super::{Coin, Done, Fleet, FleetError, Part, Pocket, Watcher};
use crate::{
    chain::transaction::{WRAPPED_SOL, associated_account},
    domain::Status,
    engine::Rents,
    store::{OrderFilter, SharedStore},
};

impl Fleet {
    /// Sends tokens and SOL of all wallets to the treasury and closes their token accounts. The treasury pays the fees, so
    /// that each wallet ends with nothing at all. `store` says which wallets open orders count on.
    ///
    /// # Errors
    /// When chain or store do not answer, or something is still left after several rounds.
    pub async fn sweep(&self, store: &SharedStore, watcher: Watcher<'_>) -> Result<Done, FleetError> {
        self.until_done(watcher, async |purses, done| {
            let reserved = self.reserved(store).await?;
            let treasury = self.treasury_purse().await?;
            let mut parts = Vec::new();
            let mut opened = 0;
            for (wallet, purse) in purses.iter().enumerate() {
                let before = parts.len();
                for (coin, pocket) in purse.pockets.iter().enumerate() {
                    let Some(pocket) = pocket else { continue };
                    let opens = treasury.pockets[coin].is_none() && moves(&self.coins[coin], pocket);
                    opened += u128::from(opens);
                    parts.push(self.empty(wallet, &self.coins[coin], pocket, opens)?);
                }
                if purse.lamports > 0 {
                    let owner = self.wallets[wallet].address();
                    let instructions = vec![transfer(&owner, &self.treasury.address(), purse.lamports)];
                    parts.push(Part { instructions, signer: Some(self.wallets[wallet].clone()), wallet });
                }
                if parts.len() > before && reserved[wallet] {
                    parts.truncate(before);
                    done.skipped.push((wallet, "an open order counts on it".to_owned()));
                }
            }
            if !parts.is_empty() {
                let rent = u128::from(Rents::read(&self.rpc).await?.large_token_account.get());
                // At most one account of the treasury's for each coin.
                self.affords_lamports(opened.min(self.coins.len() as u128) * rent, parts.len()).await?;
            }
            Ok(parts)
        })
        .await
    }

    /// Empties a token account and closes it; `opens` makes the treasury's, which is harmless where it is there.
    fn empty(&self, wallet: usize, coin: &Coin, pocket: &Pocket, opens: bool) -> Result<Part, FleetError> {
        let (treasury, signer) = (self.treasury.address(), self.wallets[wallet].clone());
        let (owner, token) = (signer.address(), &coin.token);
        let (from, to) = (associated_account(&owner, token), associated_account(&treasury, token));
        let mut instructions = Vec::with_capacity(4);
        if opens {
            instructions.push(create_associated_token_account_idempotent(
                &treasury,
                &treasury,
                &token.mint,
                &token.program,
            ));
        }
        if moves(coin, pocket) {
            instructions.push(transfer_checked(
                &token.program,
                &from,
                &token.mint,
                &to,
                &owner,
                &[],
                pocket.amount,
                token.decimals,
            )?);
        }
        if pocket.withheld > 0 {
            instructions.push(harvest_withheld_tokens_to_mint(&token.program, &token.mint, &[&from])?);
        }
        instructions.push(close_account(&token.program, &from, &treasury, &owner, &[])?);
        Ok(Part { instructions, signer: Some(signer), wallet })
    }

    /// For each wallet whether an open order counts on it.
    async fn reserved(&self, store: &SharedStore) -> Result<Vec<bool>, FleetError> {
        let addresses: Vec<Pubkey> = self.wallets.iter().map(|wallet| wallet.address()).collect();
        let promised = store.promised(&addresses).await?;
        let mut reserved: Vec<bool> =
            addresses.iter().map(|wallet| promised.iter().any(|promise| promise.wallet == *wallet)).collect();
        if store.open_count().await? > 0 {
            let open: Vec<Status> = Status::ALL.into_iter().filter(|status| !status.is_terminal()).collect();
            for (reserved, wallet) in reserved.iter_mut().zip(&addresses) {
                let filter = OrderFilter { statuses: open.clone(), wallet: Some(*wallet), ..OrderFilter::default() };
                *reserved = *reserved || !store.list(&filter, 1).await?.is_empty();
            }
        }
        Ok(reserved)
    }
}

/// Whether tokens have to be moved before the account is closed. What is wrapped comes back with the rent.
fn moves(coin: &Coin, pocket: &Pocket) -> bool {
    pocket.amount > 0 && coin.token.mint != WRAPPED_SOL
}

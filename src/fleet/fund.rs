//! Fund: every wallet has at least so many lamports.

use std::time::Duration;

use solana_system_interface::instruction::transfer;

use super::{Done, Fleet, FleetError, Part, Purse, Watcher, faucet::ask_faucet};
use crate::{domain::Lamports, engine::Rents};

impl Fleet {
    /// Tops up each wallet that has less than `target`, to `target`, from the treasury. What the treasury lacks the
    /// cluster's faucet is asked for, for as long as `faucet` says.
    ///
    /// # Errors
    /// When the treasury has too little, or something is still missing after several rounds.
    pub async fn fund(
        &self,
        target: Lamports,
        mut faucet: Option<Duration>,
        watcher: Watcher<'_>,
    ) -> Result<Done, FleetError> {
        let treasury = self.treasury.address();
        self.until_done(watcher, async |purses, _| {
            let missing = top_ups(purses, target.get());
            if missing.is_empty() {
                return Ok(Vec::new());
            }
            let sum = missing.iter().map(|(_, lamports)| u128::from(*lamports)).sum();
            // Once: what it gives is enough for all rounds.
            if let Some(patience) = faucet.take() {
                let lacks = self.lacks(sum, purses).await?;
                ask_faucet(&self.rpc, &treasury, lacks, patience).await?;
            }
            self.affords_lamports(sum, missing.len()).await?;
            let pay = |(wallet, lamports): (usize, u64)| Part {
                instructions: vec![transfer(&treasury, &self.wallets[wallet].address(), lamports)],
                signer: None,
                wallet,
            };
            Ok(missing.into_iter().map(pay).collect())
        })
        .await
    }

    /// What the treasury lacks to pay `sum`, to open the token accounts that are missing, and to sweep everything later.
    async fn lacks(&self, sum: u128, purses: &[Purse]) -> Result<Lamports, FleetError> {
        let unopened = purses.iter().flat_map(|purse| &purse.pockets).filter(|pocket| pocket.is_none()).count() as u128;
        let rents = unopened * u128::from(Rents::read(&self.rpc).await?.large_token_account.get());
        // A wallet is funded once and emptied once, and so is each of its token accounts.
        let parts = 2 * purses.len() * (1 + self.coins.len());
        let needs = sum + rents + u128::from(self.reserve(parts).await?.get());
        let lacks = needs.saturating_sub(self.treasury_purse().await?.lamports.into());
        Ok(Lamports::new(u64::try_from(lacks).unwrap_or(u64::MAX)))
    }
}

/// Who has less than `target`, and how much less.
fn top_ups(purses: &[Purse], target: u64) -> Vec<(usize, u64)> {
    let lacks = |(n, purse): (usize, &Purse)| {
        let missing = target.checked_sub(purse.lamports).filter(|missing| *missing > 0)?;
        Some((n, missing))
    };
    purses.iter().enumerate().filter_map(lacks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_the_target_is_topped_up_and_to_the_target() {
        let purse = |lamports| Purse { lamports, pockets: Vec::new() };
        let purses = [purse(0), purse(99), purse(100), purse(101)];
        assert_eq!(top_ups(&purses, 100), [(0, 100), (1, 1)]);
        assert!(top_ups(&purses, 0).is_empty());
    }
}

//! Prepare: every wallet has its token accounts, and so much of some tokens.
//!
//! An order that finds its token account pays no rent for it and needs less compute.

use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;
use spl_token_2022_interface::instruction::transfer_checked;

use super::{Coin, Done, Fleet, FleetError, Part, Purse, Watcher};
use crate::{
    chain::transaction::{WRAPPED_SOL, associated_account},
    domain::BaseUnits,
    engine::Rents,
};

/// So much of a token for every wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gift {
    /// Which one.
    pub symbol: String,
    /// Each wallet has at least this, in base units.
    pub target: BaseUnits,
}

/// What one wallet lacks of one coin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lack {
    wallet: usize,
    coin: usize,
    account: bool,
    amount: u64,
}

impl Fleet {
    /// Opens each wallet's account for every configured token but SOL, and tops up what `gifts` name, both from the
    /// treasury.
    ///
    /// # Errors
    /// When the treasury has too little, a gift cannot be given, or something is still missing after several rounds.
    pub async fn prepare(&self, gifts: &[Gift], watcher: Watcher<'_>) -> Result<Done, FleetError> {
        let targets = targets(&self.coins, gifts)?;
        self.until_done(watcher, async |purses, _| {
            let lacks = lacks(&self.coins, &targets, purses);
            if lacks.is_empty() {
                return Ok(Vec::new());
            }
            self.affords_lacks(&lacks).await?;
            lacks.into_iter().map(|lack| self.fill(lack)).collect()
        })
        .await
    }

    async fn affords_lacks(&self, lacks: &[Lack]) -> Result<(), FleetError> {
        let accounts = lacks.iter().filter(|lack| lack.account).count() as u128;
        let rent = u128::from(Rents::read(&self.rpc).await?.large_token_account.get());
        self.affords_lamports(accounts * rent, lacks.len()).await?;
        let purse = self.treasury_purse().await?;
        for (n, coin) in self.coins.iter().enumerate() {
            let needs = lacks.iter().filter(|lack| lack.coin == n).map(|lack| u128::from(lack.amount)).sum();
            let has = purse.pockets[n].map_or(0, |pocket| pocket.amount);
            self.affords(&coin.token.symbol, coin.token.decimals, has, needs)?;
        }
        Ok(())
    }

    fn fill(&self, lack: Lack) -> Result<Part, FleetError> {
        let (treasury, owner) = (self.treasury.address(), self.wallets[lack.wallet].address());
        let token = &self.coins[lack.coin].token;
        let mut instructions = Vec::with_capacity(2);
        if lack.account {
            instructions.push(create_associated_token_account_idempotent(
                &treasury,
                &owner,
                &token.mint,
                &token.program,
            ));
        }
        if lack.amount > 0 {
            instructions.push(transfer_checked(
                &token.program,
                &associated_account(&treasury, token),
                &token.mint,
                &associated_account(&owner, token),
                &treasury,
                &[],
                lack.amount,
                token.decimals,
            )?);
        }
        Ok(Part { instructions, signer: None, wallet: lack.wallet })
    }
}

/// For each coin what every wallet should have of it.
fn targets(coins: &[Coin], gifts: &[Gift]) -> Result<Vec<u64>, FleetError> {
    let target = |coin: &Coin| {
        let symbol = &coin.token.symbol;
        let refused = |reason: &str| FleetError::Gift { symbol: symbol.clone(), reason: reason.to_owned() };
        let mut named = gifts.iter().filter(|gift| gift.symbol.eq_ignore_ascii_case(symbol));
        match (named.next(), named.next()) {
            (None, _) => Ok(0),
            (Some(_), Some(_)) => Err(refused("it is named twice")),
            (Some(_), None) if coin.token.mint == WRAPPED_SOL => Err(refused("`fund` gives SOL")),
            (Some(_), None) if coin.withholds => Err(FleetError::Withholds(symbol.clone())),
            (Some(gift), None) => Ok(gift.target.get()),
        }
    };
    coins.iter().map(target).collect()
}

/// Wrapped SOL needs no account: each order makes its own.
fn lacks(coins: &[Coin], targets: &[u64], purses: &[Purse]) -> Vec<Lack> {
    let mut lacks = Vec::new();
    for (wallet, purse) in purses.iter().enumerate() {
        for (coin, pocket) in purse.pockets.iter().enumerate() {
            if coins[coin].token.mint == WRAPPED_SOL {
                continue;
            }
            let amount = targets[coin].saturating_sub(pocket.map_or(0, |pocket| pocket.amount));
            let lack = Lack { wallet, coin, account: pocket.is_none(), amount };
            if lack.account || lack.amount > 0 {
                lacks.push(lack);
            }
        }
    }
    lacks
}

#[cfg(test)]
mod tests {
    use solana_sdk::pubkey::Pubkey;

    use super::*;
    use crate::{domain::Token, fleet::Pocket};

    fn coin(symbol: &str, mint: Pubkey, withholds: bool) -> Coin {
        Coin { token: Token { symbol: symbol.into(), mint, decimals: 6, program: spl_token::ID }, withholds }
    }

    fn holds(amounts: &[Option<u64>]) -> Purse {
        let pocket = |amount: u64| Pocket { amount, withheld: 0, lamports: 1 };
        Purse { lamports: 0, pockets: amounts.iter().map(|amount| amount.map(pocket)).collect() }
    }

    #[test]
    fn what_is_there_is_not_made_again_and_what_lacks_is() {
        let coins = [coin("SOL", WRAPPED_SOL, false), coin("USDC", Pubkey::new_unique(), false)];
        let targets = targets(&coins, &[Gift { symbol: "usdc".into(), target: BaseUnits::new(50) }]).unwrap();
        let purses =
            [holds(&[None, None]), holds(&[None, Some(50)]), holds(&[None, Some(20)]), holds(&[None, Some(60)])];
        let lacks = lacks(&coins, &targets, &purses);
        let lack = |wallet, account, amount| Lack { wallet, coin: 1, account, amount };
        assert_eq!(lacks, [lack(0, true, 50), lack(2, false, 30)]);
    }

    #[test]
    fn what_cannot_be_given_is_refused_with_the_reason() {
        let coins = [
            coin("SOL", WRAPPED_SOL, false),
            coin("LEVY", Pubkey::new_unique(), true),
            coin("USDC", Pubkey::new_unique(), false),
        ];
        let refused = |symbols: &[&str]| {
            let gift = |symbol: &&str| Gift { symbol: (*symbol).to_owned(), target: BaseUnits::new(1) };
            let gifts: Vec<_> = symbols.iter().map(gift).collect();
            targets(&coins, &gifts).unwrap_err().to_string()
        };
        assert!(refused(&["LEVY"]).contains("withholds a fee"));
        assert_eq!(refused(&["SOL"]), "SOL cannot be given: `fund` gives SOL");
        assert_eq!(refused(&["USDC", "usdc"]), "USDC cannot be given: it is named twice");
    }
}

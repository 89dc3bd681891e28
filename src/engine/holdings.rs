//! Holdings: what the wallets have on the chain and what of it is promised, for people to look at.
//!
//! Owns a short memory: however many ask, the chain is read once per [`MEMORY`], by one of them. Decides nothing: what
//! an order may spend is the treasury's, which reads for itself.

use std::{sync::Arc, time::Duration};

use solana_sdk::pubkey::Pubkey;
use time::OffsetDateTime;
use tokio::{sync::Mutex, time::Instant};

use super::treasury::{TreasuryError, token_amount};
use crate::{
    chain::{Owned, Rpc, Wallet, owned, transaction::WRAPPED_SOL},
    domain::{BaseUnits, Lamports, Rules, Slot, Token},
    store::{Promised, SharedStore},
};

/// How long a reading is believed, a failed one too.
pub const MEMORY: Duration = Duration::from_secs(2);

/// What one wallet has.
#[derive(Clone, Debug)]
pub struct Holding {
    /// Its address.
    pub wallet: Pubkey,
    /// Its key file's name.
    pub name: String,
    /// The slot at which all of its balances were read.
    pub slot: Slot,
    /// All lamports of its account, what must stay for rent among them.
    pub lamports: Lamports,
    /// Lamports that open orders may spend.
    pub reserved_lamports: Lamports,
    /// Orders that have promised something of it.
    pub open_orders: u64,
    /// Every configured token but SOL, which is `lamports`.
    pub tokens: Vec<TokenHolding>,
}

/// What one wallet has of one token.
#[derive(Clone, Debug)]
pub struct TokenHolding {
    /// Which one.
    pub token: Token,
    /// In the wallet's associated account; zero when there is none.
    pub balance: BaseUnits,
    /// What open orders may spend.
    pub reserved: BaseUnits,
}

/// All wallets, as they were at a moment.
#[derive(Clone, Debug)]
pub struct Reading {
    /// When the chain was read.
    pub at: OffsetDateTime,
    /// In the order of the key files.
    pub holdings: Vec<Holding>,
}

type Answer = Result<Arc<Reading>, Arc<TreasuryError>>;

/// Reads what this process's wallets have.
pub struct Holdings {
    rpc: Arc<Rpc>,
    store: SharedStore,
    wallets: Vec<(Pubkey, String)>,
    tokens: Vec<Token>,
    /// Held while the chain is asked, so that those who ask meanwhile share the answer.
    latest: Mutex<Option<(Instant, Answer)>>,
}

impl Holdings {
    /// Of these wallets, in every token of `rules`.
    pub fn new(rpc: Arc<Rpc>, store: SharedStore, rules: &Rules, wallets: &[Arc<Wallet>]) -> Self {
        let wallets = wallets.iter().map(|wallet| (wallet.address(), wallet.name().to_owned())).collect();
        let tokens = rules.tokens.iter().filter(|token| token.mint != WRAPPED_SOL).cloned().collect();
        Self { rpc, store, wallets, tokens, latest: Mutex::new(None) }
    }

    /// What they have now, or had at most [`MEMORY`] ago.
    ///
    /// # Errors
    /// When chain or store do not answer, or did not a moment ago.
    pub async fn reading(&self) -> Answer {
        let mut latest = self.latest.lock().await;
        if let Some((at, answer)) = &*latest
            && at.elapsed() < MEMORY
        {
            return answer.clone();
        }
        let answer = self.read().await.map(Arc::new).map_err(Arc::new);
        *latest = Some((Instant::now(), answer.clone()));
        answer
    }

    async fn read(&self) -> Result<Reading, TreasuryError> {
        let addresses: Vec<Pubkey> = self.wallets.iter().map(|(address, _)| *address).collect();
        let promised = self.store.promised(&addresses).await?;
        let tokens: Vec<&Token> = self.tokens.iter().collect();
        let owned = owned(&self.rpc, &addresses, &tokens).await?;
        let holdings = self.wallets.iter().zip(owned).map(|((wallet, name), owned)| {
            let promises = promised.iter().filter(|promise| promise.wallet == *wallet).collect();
            self.holding(*wallet, name.clone(), &owned, promises)
        });
        Ok(Reading { at: OffsetDateTime::now_utc(), holdings: holdings.collect() })
    }

    fn holding(&self, wallet: Pubkey, name: String, owned: &Owned, promises: Vec<&Promised>) -> Holding {
        let tokens = self.tokens.iter().zip(&owned.tokens).map(|(token, account)| {
            let balance = account.as_ref().and_then(|account| token_amount(&account.data)).unwrap_or_default();
            let reserved = promises.iter().find(|promise| promise.mint == token.mint);
            TokenHolding {
                token: token.clone(),
                balance: BaseUnits::new(balance),
                reserved: reserved.map_or(BaseUnits::ZERO, |promise| promise.amount),
            }
        });
        Holding {
            wallet,
            name,
            slot: owned.slot,
            lamports: owned.lamports,
            reserved_lamports: promises.iter().map(|promise| promise.lamports).fold(Lamports::default(), add),
            open_orders: promises.iter().map(|promise| promise.orders).sum(),
            tokens: tokens.collect(),
        }
    }
}

const fn add(one: Lamports, other: Lamports) -> Lamports {
    one.saturating_add(other)
}

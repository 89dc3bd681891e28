//! Fleet: many wallets that one treasury pays for, made ready together and emptied together.
//!
//! `fund`, `prepare` and `sweep` each say what should be true (so many lamports, these token accounts, nothing left) and
//! look at the balances to find out what is missing. So each may be run again at any time: what is done is not done
//! twice. `bundle` packs what is missing into few transactions, `carrier` brings them onto the chain, `outbox` keeps
//! what is signed through a crash, `purse` reads balances, `faucet` asks for what the treasury lacks.
//! Never decides by a signature that was sent, only by what the chain holds.

mod bundle;
mod carrier;
mod faucet;
mod fund;
mod outbox;
mod prepare;
mod purse;
mod sweep;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use solana_sdk::pubkey::Pubkey;

pub use bundle::{Bundle, Part};
pub use carrier::{Carrier, Fate};
pub use faucet::ask_faucet;
pub use outbox::{Letter, Outbox};
pub use prepare::Gift;
pub use purse::{Coin, Pocket, Purse, coins, purses};

use crate::{
    chain::{ChainError, Rpc, Wallet, WalletError, transaction::BuildError},
    domain::{BaseUnits, Lamports, SOL_DECIMALS},
    store::StoreError,
};

/// Looks at the balances, each followed by what is then missing, before an act looks once more and gives up. One is enough
/// on a good day; more are needed where transactions expire or balances move meanwhile.
const ROUNDS: usize = 5;

/// Why a fleet cannot be made ready or emptied.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A key file.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The chain did not answer.
    #[error("the chain does not answer")]
    Chain(#[from] ChainError),
    /// The store did not answer.
    #[error("the store cannot say which orders are open")]
    Store(#[from] StoreError),
    /// No transaction could be built.
    #[error("no transaction can be built")]
    Build(#[from] BuildError),
    /// An instruction refuses its arguments.
    #[error("no token instruction can be built")]
    Token(#[from] solana_sdk::program_error::ProgramError),
    /// What was signed cannot be kept, so it is not sent.
    #[error("cannot use {path}, which keeps what is signed and not decided")]
    Outbox {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Another process pays from this treasury.
    #[error("another command works with the treasury `{0}`: wait for its end")]
    Busy(String),
    /// There is no fleet.
    #[error("there is no wallet `{name}-...` in {dir}: make some with `swapd wallet fleet create`")]
    NoFleet {
        /// The fleet's name.
        name: String,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// The treasury has too little.
    #[error("the treasury {treasury} has {has} {symbol} and needs {needs}: send it more (SOL also comes by --faucet)")]
    Poor {
        /// Its address.
        treasury: Pubkey,
        /// What it has, in whole tokens.
        has: String,
        /// What it needs, in whole tokens.
        needs: String,
        /// Of which token.
        symbol: String,
    },
    /// No such token, or no such amount of it.
    #[error("{symbol} cannot be given: {reason}")]
    Gift {
        /// What was named.
        symbol: String,
        /// What is wrong.
        reason: String,
    },
    /// The mint takes a part of each transfer, so that nobody can be given an exact amount.
    #[error("{0} cannot be given: its mint withholds a fee from every transfer")]
    Withholds(String),
    /// The faucet gave nothing.
    #[error("the faucet gave nothing: {0}")]
    Faucet(String),
    /// After several rounds something is still missing.
    #[error("{left} wallets are still not as they should be: {reason}")]
    NotDone {
        /// How many.
        left: usize,
        /// What was last heard.
        reason: String,
    },
    /// The task beside the carrier ended.
    #[error("stopped")]
    Stopped,
}

/// What an act did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Transactions that landed, those of earlier runs that were still under way among them.
    pub landed: usize,
    /// Transactions that landed with an error or expired.
    pub lost: usize,
    /// What all of them cost, in lamports.
    pub fees: u64,
    /// Wallets that were left alone, and why.
    pub skipped: Vec<(usize, String)>,
}

impl Done {
    fn count(&mut self, fates: &[Fate]) {
        for fate in fates {
            match fate {
                Fate::Landed { fee, .. } => {
                    self.landed += 1;
                    self.fees += fee.get();
                }
                Fate::Failed { fee, .. } => {
                    self.lost += 1;
                    self.fees += fee.get();
                }
                Fate::Expired => self.lost += 1,
                Fate::Refused { .. } => {}
            }
        }
    }
}

/// Called with the wallets that are as they should be, and all of them.
pub type Watcher<'a> = &'a (dyn Fn(usize, usize) + Send + Sync);

/// The wallets, and who pays for them.
pub struct Fleet {
    wallets: Vec<Arc<Wallet>>,
    treasury: Arc<Wallet>,
    coins: Vec<Coin>,
    rpc: Arc<Rpc>,
    carrier: Carrier,
}

impl Fleet {
    /// Wallets, the treasury, and what may be traded.
    pub fn new(
        wallets: Vec<Arc<Wallet>>,
        treasury: Arc<Wallet>,
        coins: Vec<Coin>,
        rpc: Arc<Rpc>,
        carrier: Carrier,
    ) -> Self {
        Self { wallets, treasury, coins, rpc, carrier }
    }

    /// What the wallets hold.
    async fn purses(&self) -> Result<Vec<Purse>, ChainError> {
        let addresses: Vec<Pubkey> = self.wallets.iter().map(|wallet| wallet.address()).collect();
        purses(&self.rpc, &self.coins, &addresses).await
    }

    /// What the treasury holds.
    async fn treasury_purse(&self) -> Result<Purse, ChainError> {
        let mut purses = purses(&self.rpc, &self.coins, &[self.treasury.address()]).await?;
        Ok(purses.pop().expect("one wallet was asked for"))
    }

    /// Looks what is missing and does it, until a look finds nothing or a round brings nothing. `missing` gives the parts
    /// that are left to do.
    async fn until_done<F>(&self, watcher: Watcher<'_>, mut missing: F) -> Result<Done, FleetError>
    where
        F: AsyncFnMut(&[Purse], &mut Done) -> Result<Vec<Part>, FleetError>,
    {
        let mut done = Done::default();
        // Until these are decided, the balances do not say what is to do.
        done.count(&self.carrier.finish_earlier().await?);
        let mut last_words = "their balances keep changing".to_owned();
        let mut rounds = ROUNDS;
        loop {
            done.skipped.clear();
            let parts = missing(&self.purses().await?, &mut done).await?;
            let all = self.wallets.len();
            let left = wallets_of(&parts);
            watcher(all - left, all);
            if parts.is_empty() {
                return Ok(done);
            }
            if rounds == 0 {
                return Err(FleetError::NotDone { left, reason: last_words });
            }
            let (total, finished) = (parts.len(), AtomicUsize::new(0));
            let landed = |parts: usize| {
                let finished = finished.fetch_add(parts, Ordering::Relaxed) + parts;
                watcher(all - left + left * finished / total, all);
            };
            let fates = self.carrier.carry(parts, &landed).await?;
            done.count(&fates);
            for fate in &fates {
                match fate {
                    Fate::Failed { error, .. } | Fate::Refused { error, .. } => last_words.clone_from(error),
                    Fate::Expired => "a transaction expired".clone_into(&mut last_words),
                    Fate::Landed { .. } => {}
                }
            }
            // What the simulation refuses now it refuses in a moment, too: then only a last look is left.
            let refused = fates.iter().all(|fate| matches!(fate, Fate::Refused { .. }));
            rounds = if refused { 0 } else { rounds - 1 };
        }
    }

    /// An error unless the treasury has this much of something with so many decimals.
    fn affords(&self, symbol: &str, decimals: u8, has: u64, needs: u128) -> Result<(), FleetError> {
        if u128::from(has) >= needs {
            return Ok(());
        }
        let ui = |amount: u64| BaseUnits::new(amount).to_ui(decimals);
        Err(FleetError::Poor {
            treasury: self.treasury.address(),
            has: ui(has),
            needs: ui(u64::try_from(needs).unwrap_or(u64::MAX)),
            symbol: symbol.to_owned(),
        })
    }

    /// The same of lamports, with the fees of so many parts and the rent that keeps its account.
    async fn affords_lamports(&self, pays: u128, parts: usize) -> Result<(), FleetError> {
        let needs = pays + u128::from(self.reserve(parts).await?.get());
        self.affords("SOL", SOL_DECIMALS, self.treasury_purse().await?.lamports, needs)
    }

    /// What the treasury must have beside what it pays: its own rent, and the fees of so many parts at most.
    async fn reserve(&self, parts: usize) -> Result<Lamports, ChainError> {
        let rent = self.rpc.rent_exemption(0).await?;
        // Two signatures for each part: as if each were a transaction of its own.
        let each = self.carrier.highest_fee(2).get();
        Ok(rent.saturating_add(Lamports::new(each.saturating_mul(parts as u64))))
    }
}

/// How many wallets these parts are for.
fn wallets_of(parts: &[Part]) -> usize {
    let mut wallets: Vec<usize> = parts.iter().map(|part| part.wallet).collect();
    wallets.sort_unstable();
    wallets.dedup();
    wallets.len()
}

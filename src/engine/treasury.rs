//! Treasury: which wallet pays for an order, and whether it still can.
//!
//! Owns the wallets and what was last read of their balances, all wallets' in one call. The promise itself is stored with the order's `Routed`
//! event in one commit, so that orders of any process cannot promise the same lamports twice. A balance is always
//! read after the store's cursor, so an old one errs on the safe side: orders that ended since still count.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use solana_sdk::pubkey::Pubkey;
use tokio::time::Instant;

use crate::{
    chain::{
        ChainError, Rpc, Wallet,
        one_read::OneRead,
        owned,
        transaction::{BASE_FEE, TOKEN_ACCOUNT_BYTES, WRAPPED_SOL, most_in},
    },
    domain::{BaseUnits, Caps, ErrorCode, Failure, Lamports, Order, Token},
    lock::lock,
    metrics as names,
    store::{Reservation, SharedStore, StoreError},
};

/// A balance older than this is read again before it is used; also whenever it does not suffice.
const MAX_AGE: Duration = Duration::from_secs(5);
/// From this age on it is read again while it is still used, so that no order waits for it.
const AHEAD: Duration = Duration::from_secs(4);
/// Rents older than this are read again: clusters lower them step by step, and may raise them.
const RENTS_AGE: Duration = Duration::from_secs(60);
/// Offset of the amount in a token account, of SPL Token and Token-2022 alike.
const AMOUNT_OFFSET: usize = 64;
/// Bytes of an associated account of a Token-2022 mint with the extensions a pool may have, rounded up.
const LARGE_TOKEN_ACCOUNT_BYTES: usize = 200;

/// Why no balance could be read.
#[derive(Debug, thiserror::Error)]
pub enum TreasuryError {
    /// The chain did not answer.
    #[error("could not read the wallet's balance")]
    Chain(#[from] ChainError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TreasuryError {
    /// The client's code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Chain(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

/// The cluster's rents, as they were when they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rents {
    /// What an account without data must keep: a wallet's floor.
    pub wallet: Lamports,
    /// What a plain token account must hold.
    pub token_account: Lamports,
    /// What a token account with extensions must hold at most.
    pub large_token_account: Lamports,
}

impl Rents {
    /// Reads them from the cluster.
    ///
    /// # Errors
    /// When the chain does not answer.
    pub async fn read(rpc: &Rpc) -> Result<Self, ChainError> {
        Ok(Self {
            wallet: rpc.rent_exemption(0).await?,
            token_account: rpc.rent_exemption(TOKEN_ACCOUNT_BYTES).await?,
            large_token_account: rpc.rent_exemption(LARGE_TOKEN_ACCOUNT_BYTES).await?,
        })
    }
}

/// How fresh a balance has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// A few seconds old is fine: it errs on the safe side.
    Recent,
    /// Read after this moment: the recent one did not suffice.
    Since(Instant),
}

/// The wallets of this process.
pub struct Treasury {
    rpc: Arc<Rpc>,
    store: SharedStore,
    rents: tokio::sync::Mutex<Known>,
    fee_cap: Lamports,
    caps: Arc<Caps>,
    purses: Vec<Purse>,
    /// By mint: as many as are traded.
    balances: Mutex<HashMap<Pubkey, Arc<OneRead<Balances>>>>,
}

/// The rents that were read last.
struct Known {
    rents: Rents,
    /// `None` when they may be wrong.
    read_at: Option<Instant>,
}

struct Purse {
    wallet: Arc<Wallet>,
    /// Orders this process is working on with it.
    busy: AtomicUsize,
}

/// What all wallets have, of one mint and of lamports.
struct Balances {
    of: HashMap<Pubkey, Balance>,
    as_of: u64,
    asked_at: Instant,
}

#[derive(Clone, Copy, Default)]
struct Balance {
    amount: BaseUnits,
    lamports: Lamports,
}

impl Treasury {
    /// Wallets that pay at most `fee_cap` priority fee for a transaction, and spend no more than `caps`.
    pub fn new(
        rpc: Arc<Rpc>,
        store: SharedStore,
        rents: Rents,
        fee_cap: Lamports,
        caps: Arc<Caps>,
        wallets: Vec<Arc<Wallet>>,
    ) -> Self {
        let purses = wallets.into_iter().map(|wallet| Purse { wallet, busy: AtomicUsize::new(0) }).collect();
        let rents = tokio::sync::Mutex::new(Known { rents, read_at: Some(Instant::now()) });
        Self { rpc, store, rents, fee_cap, caps, purses, balances: Mutex::default() }
    }

    /// Whether one order may spend what `order` promises under `limit`.
    ///
    /// # Errors
    /// `cap_exceeded`.
    pub fn allow(&self, order: &Order, limit: BaseUnits) -> Result<(), Failure> {
        self.caps.allow_order(&order.token_in, most_in(order.swap, limit))
    }

    /// The cluster's rents, read again each minute. The former ones when the chain does not answer: too low a rent is
    /// found by the simulation, before anything is signed.
    pub async fn rents(&self) -> Rents {
        let mut known = self.rents.lock().await;
        if known.read_at.is_none_or(|at| at.elapsed() >= RENTS_AGE) {
            match Rents::read(&self.rpc).await {
                Ok(rents) => *known = Known { rents, read_at: Some(Instant::now()) },
                Err(error) => {
                    tracing::debug!(%error, "the rents cannot be read, using the former ones");
                    // Others wait for this lock: they need not all find out. Rents that may be wrong are asked for again.
                    known.read_at = known.read_at.map(|_| Instant::now());
                }
            }
        }
        known.rents
    }

    /// Whether the cluster's rents are others than these, read anew. Without an answer they are not.
    pub async fn rents_differ(&self, from: Rents) -> bool {
        self.rents.lock().await.read_at = None;
        self.rents().await != from
    }

    /// The wallets of this process.
    pub fn addresses(&self) -> Vec<Pubkey> {
        self.purses.iter().map(|purse| purse.wallet.address()).collect()
    }

    /// The wallet at this address, if this process has it.
    pub fn wallet(&self, address: &Pubkey) -> Option<&Arc<Wallet>> {
        self.purse(address).map(|purse| &purse.wallet)
    }

    /// The wallets that may pay for an order, the least busy first: the one it names, or all.
    pub fn candidates(&self, order: &Order) -> Vec<Pubkey> {
        let mut purses: Vec<&Purse> = self
            .purses
            .iter()
            .filter(|purse| order.wallet.is_none_or(|named| named == purse.wallet.address()))
            .collect();
        purses.sort_by_key(|purse| purse.busy.load(Ordering::Relaxed));
        purses.into_iter().map(|purse| purse.wallet.address()).collect()
    }

    /// Counts an order as keeping a wallet busy until the lease is dropped.
    pub fn lease(&self, address: &Pubkey) -> Option<Lease<'_>> {
        self.purse(address).map(|purse| {
            purse.busy.fetch_add(1, Ordering::Relaxed);
            Lease { busy: &purse.busy }
        })
    }

    /// The promise `address` would make for the order under `limit`.
    ///
    /// # Errors
    /// When the balance has to be read and chain or store do not answer.
    pub async fn reservation(
        &self,
        address: &Pubkey,
        order: &Order,
        limit: BaseUnits,
        freshness: Freshness,
    ) -> Result<Reservation, TreasuryError> {
        let balances = self.balances(address, &order.token_in, freshness).await?;
        let balance = balances.of.get(address).copied().unwrap_or_default();
        let rents = self.rents().await;
        let paid = most_in(order.swap, limit);
        let sells_sol = order.token_in.mint == WRAPPED_SOL;
        // A wrapped-SOL account lives only inside the transaction, but its rent must be there to begin with.
        let mut lamports = BASE_FEE.saturating_add(self.fee_cap);
        if sells_sol {
            lamports = lamports.saturating_add(rents.token_account).saturating_add(Lamports::new(paid.get()));
        }
        lamports = lamports.saturating_add(if order.token_out.program == spl_token::ID {
            rents.token_account
        } else {
            rents.large_token_account
        });
        Ok(Reservation {
            wallet: *address,
            mint: order.token_in.mint,
            amount: if sells_sol { BaseUnits::ZERO } else { paid },
            lamports,
            balance: balance.amount,
            balance_lamports: Lamports::new(balance.lamports.get().saturating_sub(rents.wallet.get())),
            as_of: balances.as_of,
            spends: paid,
            caps: self.caps.hourly(&order.token_in.mint),
        })
    }

    /// The balances of all wallets here, or of `address` alone when it is none of them (a dry run needs no key).
    async fn balances(
        &self,
        address: &Pubkey,
        token: &Token,
        freshness: Freshness,
    ) -> Result<Arc<Balances>, TreasuryError> {
        if self.purse(address).is_none() {
            let as_of = self.store.cursor().await?;
            return Ok(Arc::new(read_balances(self.rpc.clone(), vec![*address], token.clone(), as_of).await?));
        }
        let one_read = lock(&self.balances).entry(token.mint).or_default().clone();
        let fresh = |balances: &Balances| match freshness {
            Freshness::Recent => balances.asked_at.elapsed() <= MAX_AGE,
            Freshness::Since(moment) => balances.asked_at >= moment,
        };
        let known = one_read.last().filter(|balances| fresh(balances));
        if let Some(balances) = &known
            && (balances.asked_at.elapsed() <= AHEAD || !one_read.may_read_ahead())
        {
            return Ok(balances.clone());
        }
        let as_of = match (self.store.cursor().await, &known) {
            (Ok(as_of), _) => as_of,
            (Err(error), Some(balances)) => {
                tracing::debug!(%error, "no balance is read ahead");
                return Ok(balances.clone());
            }
            (Err(error), None) => return Err(error.into()),
        };
        let read = || {
            let read = read_balances(self.rpc.clone(), self.addresses(), token.clone(), as_of);
            async move { read.await.inspect(show) }
        };
        match known {
            Some(balances) => {
                one_read.read_ahead(read);
                Ok(balances)
            }
            None => Ok(one_read.get(fresh, read).await?),
        }
    }

    fn purse(&self, address: &Pubkey) -> Option<&Purse> {
        self.purses.iter().find(|purse| purse.wallet.address() == *address)
    }
}

/// An order that keeps a wallet busy.
pub struct Lease<'a> {
    busy: &'a AtomicUsize,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn read_balances(rpc: Arc<Rpc>, wallets: Vec<Pubkey>, token: Token, as_of: u64) -> Result<Balances, ChainError> {
    let asked_at = Instant::now();
    let owned = owned(&rpc, &wallets, &[&token]).await?;
    let of = wallets.into_iter().zip(owned).map(|(wallet, owned)| {
        let account = owned.tokens.first().and_then(Option::as_ref);
        let amount = account.and_then(|account| token_amount(&account.data)).unwrap_or_default();
        (wallet, Balance { amount: BaseUnits::new(amount), lamports: owned.lamports })
    });
    Ok(Balances { of: of.collect(), as_of, asked_at })
}

/// Shows what the wallets have to whoever watches.
fn show(balances: &Balances) {
    for (wallet, balance) in &balances.of {
        let lamports = names::as_gauge(balance.lamports.get());
        metrics::gauge!(names::WALLET, "wallet" => wallet.to_string()).set(lamports);
    }
}

/// The amount in a token account's data.
pub fn token_amount(data: &[u8]) -> Option<u64> {
    let bytes = data.get(AMOUNT_OFFSET..AMOUNT_OFFSET + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::samples, store};

    #[tokio::test]
    async fn a_balance_that_still_counts_needs_no_store() {
        let store = store::open("sqlite::memory:").await.unwrap();
        let rpc = Arc::new(Rpc::new("http://127.0.0.1:9".into(), Duration::from_secs(1)));
        let free = Lamports::default();
        let rents = Rents { wallet: free, token_account: free, large_token_account: free };
        let folder = tempfile::tempdir().unwrap();
        let wallet = Arc::new(Wallet::create(folder.path(), "a").unwrap());
        let address = wallet.address();
        let treasury = Treasury::new(rpc, store.clone(), rents, free, Arc::default(), vec![wallet]);
        let token = samples::order(time::OffsetDateTime::UNIX_EPOCH).token_in;
        let one_read = lock(&treasury.balances).entry(token.mint).or_default().clone();
        let old = Instant::now() - AHEAD - (MAX_AGE - AHEAD) / 2;
        one_read.put(Balances { of: HashMap::new(), as_of: 7, asked_at: old });
        store.close().await;
        let balances = treasury.balances(&address, &token, Freshness::Recent).await.unwrap();
        assert_eq!(balances.as_of, 7);
        let newer = treasury.balances(&address, &token, Freshness::Since(Instant::now())).await;
        assert!(matches!(newer, Err(TreasuryError::Store(_))));
    }
}

//! Treasury: which wallet pays for an order, and whether it still can.
//!
//! Owns the wallets and what was last read of their balances. The promise itself is stored with the order's `Routed`
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
        transaction::{BASE_FEE, TOKEN_ACCOUNT_BYTES, WRAPPED_SOL, associated_account, most_in},
    },
    domain::{BaseUnits, Caps, ErrorCode, Failure, Lamports, Order, Token},
    metrics as names,
    store::{Reservation, SharedStore, StoreError},
};

/// A balance older than this is read again before it is used; also whenever it does not suffice.
const MAX_AGE: Duration = Duration::from_secs(5);
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

/// The cluster's rents, read once at start and again when the treasury is built anew.
#[derive(Clone, Copy, Debug)]
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
    /// Read now: the recent one did not suffice.
    Now,
}

/// The wallets of this process.
pub struct Treasury {
    rpc: Arc<Rpc>,
    store: SharedStore,
    rents: Rents,
    fee_cap: Lamports,
    caps: Arc<Caps>,
    purses: Vec<Purse>,
}

struct Purse {
    wallet: Arc<Wallet>,
    /// Orders this process is working on with it.
    busy: AtomicUsize,
    balances: Mutex<HashMap<Pubkey, Balance>>,
}

#[derive(Clone, Copy)]
struct Balance {
    amount: BaseUnits,
    lamports: Lamports,
    as_of: u64,
    read_at: Instant,
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
        let purses = wallets
            .into_iter()
            .map(|wallet| Purse { wallet, busy: AtomicUsize::new(0), balances: Mutex::new(HashMap::new()) })
            .collect();
        Self { rpc, store, rents, fee_cap, caps, purses }
    }

    /// Whether one order may spend what `order` promises under `limit`.
    ///
    /// # Errors
    /// `cap_exceeded`.
    pub fn allow(&self, order: &Order, limit: BaseUnits) -> Result<(), Failure> {
        self.caps.allow_order(&order.token_in, most_in(order.swap, limit))
    }

    /// What a plain token account must hold on this cluster.
    pub const fn token_rent(&self) -> Lamports {
        self.rents.token_account
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
        let balance = self.balance(address, &order.token_in, freshness).await?;
        let paid = most_in(order.swap, limit);
        let sells_sol = order.token_in.mint == WRAPPED_SOL;
        // A wrapped-SOL account lives only inside the transaction, but its rent must be there to begin with.
        let mut lamports = BASE_FEE.saturating_add(self.fee_cap);
        if sells_sol {
            lamports = lamports.saturating_add(self.rents.token_account).saturating_add(Lamports::new(paid.get()));
        }
        lamports = lamports.saturating_add(if order.token_out.program == spl_token::ID {
            self.rents.token_account
        } else {
            self.rents.large_token_account
        });
        Ok(Reservation {
            wallet: *address,
            mint: order.token_in.mint,
            amount: if sells_sol { BaseUnits::ZERO } else { paid },
            lamports,
            balance: balance.amount,
            balance_lamports: Lamports::new(balance.lamports.get().saturating_sub(self.rents.wallet.get())),
            as_of: balance.as_of,
            spends: paid,
            caps: self.caps.hourly(&order.token_in.mint),
        })
    }

    async fn balance(&self, address: &Pubkey, token: &Token, freshness: Freshness) -> Result<Balance, TreasuryError> {
        let purse = self.purse(address);
        if freshness == Freshness::Recent
            && let Some(purse) = purse
            && let Some(balance) = lock(&purse.balances).get(&token.mint)
            && balance.read_at.elapsed() <= MAX_AGE
        {
            return Ok(*balance);
        }
        let as_of = self.store.cursor().await?;
        let snapshot = self.rpc.accounts(&[*address, associated_account(address, token)]).await?;
        let lamports = snapshot.accounts.first().and_then(Option::as_ref).map_or(0, |account| account.lamports);
        let amount = snapshot.accounts.get(1).and_then(Option::as_ref).and_then(|account| token_amount(&account.data));
        let balance = Balance {
            amount: BaseUnits::new(amount.unwrap_or_default()),
            lamports: Lamports::new(lamports),
            as_of,
            read_at: Instant::now(),
        };
        metrics::gauge!(names::WALLET, "wallet" => address.to_string()).set(names::as_gauge(lamports));
        if let Some(purse) = purse {
            lock(&purse.balances).insert(token.mint, balance);
        }
        Ok(balance)
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

/// The amount in a token account's data.
pub fn token_amount(data: &[u8]) -> Option<u64> {
    let bytes = data.get(AMOUNT_OFFSET..AMOUNT_OFFSET + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

//! Which pools there are: the configured ones, and those that a search of the chain found.
//!
//! Owns the checks a pool must pass before it is quoted, and when a search is made. Never quotes.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use solana_sdk::{account::Account, pubkey::Pubkey};
use tokio::{sync::Mutex, time::Instant};

use super::{layout, snapshot::Pool};
use crate::{
    chain::{Rpc, rpc::ACCOUNTS_PER_CALL},
    domain::Pair,
    venue::VenueError,
};

/// At most this many pools of one pair are quoted: with four accounts each beside three shared ones they fit into one
/// `getMultipleAccounts` of 100.
pub const POOLS_PER_PAIR: usize = 24;
/// Pools that orders named and no search found: they are checked once, and anybody may name any number of them.
const NAMED_POOLS: usize = 1_024;

/// Whether pools are searched for on the chain beside the configured ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// Only configured pools. Public endpoints throttle or refuse searches.
    Off,
    /// A search per pair, at most once in this time.
    Every(Duration),
}

/// The pools that passed the checks.
pub struct Registry {
    rpc: Arc<Rpc>,
    program: Pubkey,
    authority: Pubkey,
    discovery: Discovery,
    known: RwLock<Known>,
    /// Held during a search: many quotes, one search.
    searching: Mutex<()>,
}

#[derive(Default)]
struct Known {
    pools: HashMap<Pubkey, Arc<Pool>>,
    /// By the two mints in order; the configured pools first, then the found ones, deepest first.
    by_mints: HashMap<[Pubkey; 2], Vec<Pubkey>>,
    /// When each pair was last searched for.
    searched: HashMap<[Pubkey; 2], Instant>,
}

impl Known {
    /// Keeps a pool that no pair has. When there are too many of these, they are forgotten, and checked again when named.
    fn remember(&mut self, pool: Arc<Pool>) {
        let listed: HashSet<Pubkey> = self.by_mints.values().flatten().copied().collect();
        if self.pools.len() >= listed.len() + NAMED_POOLS {
            self.pools.retain(|address, _| listed.contains(address));
        }
        self.pools.insert(pool.address, pool);
    }
}

impl Registry {
    /// Reads and checks the configured pools. Also returns those that the chain does not have: devnet pools come and
    /// go, so a missing one is no reason not to start.
    ///
    /// # Errors
    /// When the chain does not answer, or a configured address holds something that is no pool of `program`.
    pub async fn read(
        rpc: Arc<Rpc>,
        program: Pubkey,
        pools: &[Pubkey],
        discovery: Discovery,
    ) -> Result<(Self, Vec<Pubkey>), VenueError> {
        let authority = layout::authority(&program);
        let registry = Self { rpc, program, authority, discovery, known: RwLock::default(), searching: Mutex::new(()) };
        let mut missing = Vec::new();
        for addresses in pools.chunks(ACCOUNTS_PER_CALL) {
            let found = registry.rpc.accounts(addresses).await?.accounts;
            let (there, gone): (Vec<_>, Vec<_>) =
                addresses.iter().copied().zip(found).partition(|(_, account)| account.is_some());
            missing.extend(gone.into_iter().map(|(address, _)| address));
            let there: Vec<_> = there.into_iter().filter_map(|(address, account)| Some((address, account?))).collect();
            for checked in registry.check(&there).await? {
                registry.admit(checked?);
            }
        }
        Ok((registry, missing))
    }

    /// The pools of a pair, best known first. Searches when that is switched on and due; a failing search is an error
    /// only where no pool is known.
    ///
    /// # Errors
    /// When no pool is known and the search brought no answer.
    pub async fn pools(&self, pair: &Pair) -> Result<Vec<Arc<Pool>>, VenueError> {
        let mints = in_order(pair);
        let Discovery::Every(interval) = self.discovery else { return Ok(self.of(&mints)) };
        if self.is_due(&mints, interval) {
            let known = self.of(&mints);
            if known.is_empty() {
                let _one_at_a_time = self.searching.lock().await;
                if self.is_due(&mints, interval) {
                    self.search(mints).await?;
                    self.searched(mints);
                }
            } else if let Ok(_one_at_a_time) = self.searching.try_lock() {
                // noted first: whether it fails or is dropped half-way, the next quotes go without it
                self.searched(mints);
                if let Err(error) = self.search(mints).await {
                    tracing::warn!(error = %error, "pool search failed, known pools are used");
                }
            }
        }
        Ok(self.of(&mints))
    }

    /// A known pool, or one read and checked now: a stored quote may name a pool that another process found, and an
    /// order one of its own. It is remembered, but no other order is offered it.
    ///
    /// # Errors
    /// When the chain does not answer, or the address holds no pool of the program.
    pub async fn pool(&self, address: &Pubkey) -> Result<Arc<Pool>, VenueError> {
        if let Some(pool) = self.known(address) {
            return Ok(pool);
        }
        let account = self.rpc.accounts(&[*address]).await?.accounts.into_iter().next().flatten();
        let Some(account) = account else { return Err(VenueError::NoPool) };
        let mut checked = self.check(&[(*address, account)]).await?;
        let pool = Arc::new(checked.pop().ok_or(VenueError::NoPool)??);
        self.write_known().remember(pool.clone());
        Ok(pool)
    }

    /// A pool that passed the checks.
    pub fn known(&self, address: &Pubkey) -> Option<Arc<Pool>> {
        self.read_known().pools.get(address).cloned()
    }

    /// Asks the program for all pools of two mints and admits those that pass. Strangers' pools that do not pass are
    /// left out, not an error.
    async fn search(&self, mints: [Pubkey; 2]) -> Result<(), VenueError> {
        let holds: Vec<_> = layout::MINT_OFFSETS
            .into_iter()
            .zip(mints)
            .map(|(offset, mint)| (offset, mint.to_bytes().to_vec()))
            .collect();
        let mut found = self.rpc.program_accounts(&self.program, layout::POOL_SIZE as u64, &holds).await?;
        // The deepest first; the liquidity tokens tell depth without reading the vaults. The address settles a tie.
        found.sort_by_cached_key(|(address, account)| {
            let depth = layout::pool_state(&self.program, address, account).map_or(0, |state| state.lp_supply);
            (std::cmp::Reverse(depth), *address)
        });
        let listed = self.read_known().by_mints.get(&mints).cloned().unwrap_or_default();
        found.retain(|(address, _)| !listed.contains(address));
        found.truncate(POOLS_PER_PAIR);
        for checked in self.check(&found).await? {
            match checked {
                Ok(pool) => self.admit(pool),
                Err(error) => tracing::debug!(error = %error, "a found pool is left out"),
            }
        }
        Ok(())
    }

    /// The self-check: owner, size and discriminator, all addresses re-derived, the fee configuration read. One answer
    /// per pool; the outer error is the chain's.
    async fn check(&self, pools: &[(Pubkey, Account)]) -> Result<Vec<Result<Pool, VenueError>>, VenueError> {
        let mut checked = Vec::with_capacity(pools.len());
        for pools in pools.chunks(ACCOUNTS_PER_CALL) {
            let states: Vec<_> = pools
                .iter()
                .map(|(address, account)| {
                    let state = layout::pool_state(&self.program, address, account)?;
                    layout::check_addresses(&self.program, address, &state)?;
                    Ok(Pool::new(self.authority, *address, &state))
                })
                .collect();
            let configs: Vec<Pubkey> = states.iter().flatten().map(|pool: &Pool| pool.amm_config).collect();
            if configs.is_empty() {
                checked.extend(states);
                continue;
            }
            let accounts = self.rpc.accounts(&configs).await?.accounts;
            let mut accounts = accounts.into_iter();
            checked.extend(states.into_iter().map(|state: Result<Pool, VenueError>| {
                let pool = state?;
                let config = accounts.next().flatten().ok_or_else(|| VenueError::Mismatch {
                    account: pool.amm_config,
                    reason: format!("pool {} names it as its fee configuration, and it does not exist", pool.address),
                })?;
                let config = layout::amm_config(&self.program, &pool.amm_config, &config)?;
                layout::check_config_address(&self.program, &pool.amm_config, &config)?;
                Ok(pool)
            }));
        }
        Ok(checked)
    }

    fn admit(&self, pool: Pool) {
        let mut known = self.write_known();
        let of_pair = known.by_mints.entry(pool.sides.map(|side| side.mint)).or_default();
        if of_pair.len() < POOLS_PER_PAIR && !of_pair.contains(&pool.address) {
            of_pair.push(pool.address);
        }
        known.pools.insert(pool.address, Arc::new(pool));
    }

    fn of(&self, mints: &[Pubkey; 2]) -> Vec<Arc<Pool>> {
        let known = self.read_known();
        let addresses = known.by_mints.get(mints).map(Vec::as_slice).unwrap_or_default();
        addresses.iter().filter_map(|address| known.pools.get(address).cloned()).collect()
    }

    fn is_due(&self, mints: &[Pubkey; 2], interval: Duration) -> bool {
        self.read_known().searched.get(mints).is_none_or(|at| at.elapsed() >= interval)
    }

    fn searched(&self, mints: [Pubkey; 2]) {
        self.write_known().searched.insert(mints, Instant::now());
    }

    fn read_known(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_known(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_order(pair: &Pair) -> [Pubkey; 2] {
    if pair.mint_in < pair.mint_out { [pair.mint_in, pair.mint_out] } else { [pair.mint_out, pair.mint_in] }
}

#[cfg(test)]
mod tests {
    use super::{super::golden::Golden, *};

    #[test]
    fn pools_that_orders_name_are_kept_up_to_a_number_and_those_of_pairs_always() {
        let golden = Golden::load();
        let pool = golden.pool(&golden.cases[0]);
        let mut known = Known::default();
        known.by_mints.insert(pool.sides.map(|side| side.mint), vec![pool.address]);
        known.pools.insert(pool.address, Arc::new(pool.clone()));
        for _ in 0..=NAMED_POOLS {
            known.remember(Arc::new(Pool { address: Pubkey::new_unique(), ..pool.clone() }));
            assert!(known.pools.len() <= NAMED_POOLS + 1);
        }
        assert!(known.pools.contains_key(&pool.address));
    }
}

//! Decoded: what the newest read says of pools, made of its accounts once for all quotes of that moment.
//!
//! Owns no age: whoever reads decides which read counts, and what was decoded of another one is dropped.

use std::sync::{Arc, Mutex};

use hashlink::LruCache;
use solana_sdk::pubkey::Pubkey;

use super::snapshot::Snapshot;
use crate::{chain::AccountSnapshot, lock::lock, venue::VenueError};

/// Sets of pools that are remembered: a pair's, or one that an order named.
const SETS: usize = 64;

/// Pools in the order in which they were asked for, each as it is or why it cannot be quoted.
pub type Pools = Arc<[Result<Snapshot, VenueError>]>;

/// Pools, and the read that they were decoded of.
type OfRead = (Arc<AccountSnapshot>, Pools);

/// What was decoded last, by the pools' addresses.
pub struct Decoded {
    sets: Mutex<LruCache<Vec<Pubkey>, OfRead>>,
}

impl Default for Decoded {
    fn default() -> Self {
        Self { sets: Mutex::new(LruCache::new(SETS)) }
    }
}

impl Decoded {
    /// The pools at `addresses` as `read` has them.
    pub fn of(&self, addresses: Vec<Pubkey>, read: &Arc<AccountSnapshot>, decode: impl FnOnce() -> Pools) -> Pools {
        if let Some((of, pools)) = lock(&self.sets).get(&addresses)
            && Arc::ptr_eq(of, read)
        {
            return pools.clone();
        }
        let pools = decode();
        lock(&self.sets).insert(addresses, (read.clone(), pools.clone()));
        pools
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Slot;

    #[test]
    fn pools_are_decoded_once_for_each_read_and_forgotten_with_it() {
        let decoded = Decoded::default();
        let read = |slot| Arc::new(AccountSnapshot { slot: Slot(slot), accounts: Vec::new() });
        let [one, other] = [Pubkey::new_unique(), Pubkey::new_unique()];
        let refused = |_: &Pubkey| Err(VenueError::NoPool);
        let mut decodes = 0;
        let mut ask = |addresses: &[Pubkey], read: &Arc<AccountSnapshot>| {
            let pools = decoded.of(addresses.to_vec(), read, || {
                decodes += 1;
                addresses.iter().map(refused).collect()
            });
            assert_eq!(pools.len(), addresses.len());
            decodes
        };
        let (first, second) = (read(7), read(7));
        assert_eq!(ask(&[one, other], &first), 1);
        assert_eq!(ask(&[one, other], &first), 1, "the same read");
        assert_eq!(ask(&[other, one], &first), 2, "in another order they are others");
        assert_eq!(ask(&[one, other], &second), 3, "another read, although of the same slot");
        for decodes in 4..2 * SETS {
            assert_eq!(ask(&[Pubkey::new_unique()], &second), decodes);
            assert_eq!(ask(&[one, other], &second), decodes, "what is asked for stays");
        }
        assert_eq!(lock(&decoded.sets).len(), SETS);
    }
}

//! Tip: the newest blockhash, shared by all signers, and how fast blocks come.
//!
//! Owns one cached reply and the block time measured between replies. Never hands out a blockhash that has lost a
//! noticeable part of its life; what "noticeable" means in seconds follows from the measured block time.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Blockhash, ChainError, Rpc, one_read::OneRead};

/// Blocks a blockhash lives. The runtime's constant (150), unchanged by the slot times of 2026.
pub const BLOCKHASH_LIFE: u32 = 150;
/// A cached blockhash is used for at most this share of its life.
const MAX_AGE_BLOCKS: u32 = 8;
const MAX_AGE: Duration = Duration::from_secs(2);
/// What is assumed before two replies could be compared: short, so that the first guess only costs a call.
const FIRST_BLOCK_TIME: Duration = Duration::from_millis(20);

/// The shared cache.
pub struct Tip {
    rpc: Arc<Rpc>,
    newest: OneRead<Newest>,
}

struct Newest {
    blockhash: Blockhash,
    read_at: Instant,
    block_time: Option<Duration>,
}

impl Tip {
    /// An empty cache.
    pub fn new(rpc: Arc<Rpc>) -> Self {
        Self { rpc, newest: OneRead::default() }
    }

    /// A blockhash young enough to be signed over. Concurrent callers share one read.
    ///
    /// # Errors
    /// When the cached one is too old and the node does not answer.
    pub async fn blockhash(&self) -> Result<Blockhash, ChainError> {
        let read = || {
            let (rpc, before) = (self.rpc.clone(), self.newest.last());
            async move {
                let blockhash = rpc.latest_blockhash().await?;
                let read_at = Instant::now();
                let block_time = before.and_then(|before| before.block_time_until(&blockhash, read_at));
                Ok(Newest { blockhash, read_at, block_time })
            }
        };
        Ok(self.newest.get(Newest::is_young, read).await?.blockhash)
    }

    /// The measured time between blocks, once two replies could be compared.
    pub fn block_time(&self) -> Option<Duration> {
        self.newest.last().and_then(|newest| newest.block_time)
    }
}

impl Newest {
    fn is_young(&self) -> bool {
        let block_time = self.block_time.unwrap_or(FIRST_BLOCK_TIME);
        self.read_at.elapsed() <= (block_time * MAX_AGE_BLOCKS).min(MAX_AGE)
    }

    /// Keeps the former measure while the height has not moved.
    fn block_time_until(&self, next: &Blockhash, at: Instant) -> Option<Duration> {
        let blocks = next.last_valid_block_height.0.checked_sub(self.blockhash.last_valid_block_height.0)?;
        match u32::try_from(blocks) {
            Ok(0) | Err(_) => self.block_time,
            Ok(blocks) => Some(at.duration_since(self.read_at) / blocks),
        }
    }
}

//! Search: who of the attempts in flight is past its bound, and what the endpoints say of those.
//!
//! Owns the order of the two questions. Never weighs the answers.

use std::sync::Arc;

use solana_sdk::signature::Signature;
use tokio::time::Instant;

use super::WITNESSES;
use crate::{
    chain::{
        Rpc,
        rpc::{FinalizedTip, SIGNATURES_PER_CALL, Testimony},
    },
    domain::BlockHeight,
};

/// What a search found.
pub(super) struct Search {
    pub(super) tip: FinalizedTip,
    /// When the height was asked for.
    pub(super) asked_at: Instant,
    pub(super) past: Vec<Past>,
}

/// What was said of signatures that are past their bound.
pub(super) struct Past {
    pub(super) signatures: Vec<Signature>,
    pub(super) said: Vec<Testimony>,
}

/// Finalized height first, absence second: only in this order does absence prove anything.
pub(super) async fn search(rpc: Arc<Rpc>, bounds: Vec<(Signature, BlockHeight)>) -> Option<Search> {
    let asked_at = Instant::now();
    let tip = match rpc.finalized_tip().await {
        Ok(tip) => tip,
        Err(error) => {
            tracing::debug!(%error, "no finalized height");
            return None;
        }
    };
    let expired: Vec<Signature> =
        bounds.into_iter().filter(|(_, bound)| tip.height > *bound).map(|(signature, _)| signature).collect();
    let mut past = Vec::new();
    for signatures in expired.chunks(SIGNATURES_PER_CALL) {
        let said = rpc.testimonies(signatures, WITNESSES.min(rpc.endpoints())).await;
        past.push(Past { signatures: signatures.to_vec(), said });
    }
    Some(Search { tip, asked_at, past })
}

//! Effects: whether a transaction that is in a block was also executed.
//!
//! Since SIMD-0290 a transaction whose payer cannot pay may stand in a block without having run. Its records show what it
//! did, so a swap is called executed when they show that tokens moved. Never decides from presence alone unless the payer
//! could certainly pay.

use std::time::Duration;

use serde_json::Value;
use solana_sdk::pubkey::Pubkey;
use tokio::time::Instant;

use super::execute::Executor;
use crate::{
    chain::{LandedTransaction, transaction::BASE_FEE},
    domain::{Attempt, Lamports},
};

/// The first rest between two looks for a landed transaction's details; doubled each time.
const DETAILS_REST: Duration = Duration::from_millis(50);

/// What a transaction that is in a block did.
pub(super) enum Effects {
    /// It ran and succeeded; without its records when those are late.
    Executed(Option<Box<LandedTransaction>>),
    /// It has an error after all.
    Failed(Value),
    /// Nothing of it ever happened, and nothing can any more.
    None,
    /// Nobody can say yet.
    Unknown,
}

impl Executor {
    /// What became of an attempt that is in a block without an error. `is_past` tells that the finalized height had
    /// exceeded its bound before this question.
    pub(super) async fn effects(&self, attempt: &Attempt, is_past: bool) -> Effects {
        match self.details(attempt, self.policy.details_within).await {
            Some(LandedTransaction { error: Some(error), .. }) => Effects::Failed(error),
            Some(details) if details.moved_tokens() => Effects::Executed(Some(Box::new(details))),
            Some(_) if is_past => Effects::None,
            Some(_) => Effects::Unknown,
            None if self.could_pay(attempt).await => Effects::Executed(None),
            None => Effects::Unknown,
        }
    }

    /// Whether the finalized height is above the attempt's bound: its blockhash has died for good.
    pub(super) async fn is_past(&self, attempt: &Attempt) -> bool {
        let height = self.parts.rpc.finalized_height().await;
        height.is_ok_and(|height| height > attempt.last_valid_block_height)
    }

    /// Whether the payer is far from the edge where a transaction is not run: it still has a fee above its reserve.
    async fn could_pay(&self, attempt: &Attempt) -> bool {
        let reserve = self.parts.treasury.rents().await.wallet;
        let needed = reserve.saturating_add(BASE_FEE).saturating_add(attempt.priority_fee);
        self.lamports(&attempt.wallet).await.is_some_and(|lamports| lamports >= needed)
    }

    async fn lamports(&self, address: &Pubkey) -> Option<Lamports> {
        let snapshot = self.parts.rpc.accounts(&[*address]).await.ok()?;
        snapshot.accounts.into_iter().next()?.map(|account| Lamports::new(account.lamports))
    }

    /// The landed transaction's records, as soon as the node has them, but not later than `within`.
    pub(super) async fn details(&self, attempt: &Attempt, within: Duration) -> Option<LandedTransaction> {
        let deadline = Instant::now() + within;
        let mut rest = DETAILS_REST;
        loop {
            match tokio::time::timeout_at(deadline, self.parts.rpc.transaction(&attempt.signature)).await {
                Ok(Ok(Some(details))) => return Some(details),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::debug!(%error, "no details yet"),
                Err(_) => return None,
            }
            if Instant::now() + rest >= deadline {
                return None;
            }
            tokio::time::sleep(rest).await;
            rest *= 2;
        }
    }
}

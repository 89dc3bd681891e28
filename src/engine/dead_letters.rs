//! Dead letters: orders that make trouble are set aside for a person, instead of being tried for ever.
//!
//! Owns when an order counts as poisonous, and the way back. Being set aside is a mark beside the status and says
//! nothing of the outcome: what was sent may land, and after a replay the order goes on from its last stored event, so
//! that the chain's evidence ends it and nothing is signed that would not have been signed anyway.

use super::{
    Intake,
    execute::{Drive, Executor},
};
use crate::{
    domain::{ErrorCode, NextStep, Order, OrderEvent, OrderId, Poison},
    store::StoreError,
};

/// Why a dead letter was not replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No such order.
    #[error("there is no order {0}")]
    NotFound(OrderId),
    /// It is not set aside.
    #[error("this order is not set aside: there is nothing to replay")]
    NotSetAside,
    /// The store did not answer.
    #[error("the dead letter could not be read or stored: try again later")]
    Store(#[from] StoreError),
}

impl ReplayError {
    /// The client's code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::NotSetAside => ErrorCode::Conflict,
            Self::Store(error) => error.code(),
        }
    }
}

impl Executor {
    /// Counts that the order is taken up; true when that happened too often without moving it.
    ///
    /// The count is a commit of its own, so it is spared an order that is only accepted: where somebody may have had that
    /// before, its first step is stored before anything else is done, and what follows is counted.
    pub(super) async fn is_stuck(&self, order: &Order) -> Result<bool, StoreError> {
        if order.next_step() == NextStep::Claim {
            return Ok(false);
        }
        Ok(self.parts.store.take_up(order.id).await? > self.policy.max_take_ups)
    }

    /// Sets the order aside, whoever else may hold a copy of it: their next event loses the compare-and-swap.
    ///
    /// # Errors
    /// When the store does not answer; the order is then taken up again.
    pub(super) async fn set_aside(&self, id: OrderId, cause: Poison, reason: String) -> Result<Drive, StoreError> {
        tracing::error!(order_id = %id, cause = cause.as_str(), reason, "order set aside: it waits for a person");
        self.parts.journal.mark(id, OrderEvent::SetAside { cause, reason }).await?;
        Ok(Drive::Done)
    }
}

impl Intake {
    /// Takes a dead letter up again.
    ///
    /// # Errors
    /// When there is no such order, it is not set aside, or the store does not answer.
    pub async fn replay(&self, id: OrderId) -> Result<(), ReplayError> {
        if self.journal.mark(id, OrderEvent::Replayed).await?.is_none() {
            return Err(match self.store.order(id).await {
                Ok(None) => ReplayError::NotFound(id),
                Ok(Some(_)) | Err(StoreError::Corrupt(_)) => ReplayError::NotSetAside,
                Err(error) => error.into(),
            });
        }
        if let Err(error) = self.queue.push(&[id]).await {
            tracing::warn!(order_id = %id, %error, "order replayed but not queued: the sweeper will");
        }
        Ok(())
    }
}

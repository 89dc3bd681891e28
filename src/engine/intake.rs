//! Intake: turns requests into stored orders, and calls orders off.
//!
//! Owns validation, idempotency and the order of the two writes: store first, then queue. Once the store has it the
//! order is accepted, whatever the queue says: the sweeper queues what the queue lost.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use solana_sdk::pubkey::Pubkey;
use time::OffsetDateTime;

use super::{Journal, JournalError};
use crate::{
    domain::{
        Dialect, ErrorCode, NewOrder, Order, OrderEvent, OrderId, OrderRefused, OrderRequest, PoolWish, Rules, validate,
    },
    queue::SharedQueue,
    store::{Creation, IdempotencyKey, SharedStore, StoreError},
};

/// An order that is stored.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// It.
    pub order: Order,
    /// False when an earlier request with the same key made it.
    pub fresh: bool,
}

/// Why a request did not become an order. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The request itself is wrong.
    #[error(transparent)]
    Refused(#[from] OrderRefused),
    /// The idempotency key belongs to another request.
    #[error("this idempotency key was used with another body for order {0}: use a new key")]
    KeyConflict(OrderId),
    /// More work waits than the bound allows.
    #[error("{depth} orders are waiting, which is the bound: try again later")]
    QueueFull {
        /// Orders waiting.
        depth: u64,
    },
    /// The store did not answer.
    #[error("the order could not be stored: try again later")]
    Store(#[from] StoreError),
}

impl SubmitError {
    /// The client's code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(refused) => refused.code,
            Self::KeyConflict(_) => ErrorCode::IdempotencyConflict,
            Self::QueueFull { .. } => ErrorCode::QueueFull,
            Self::Store(error) => error.code(),
        }
    }
}

/// Why an order was not called off.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// No such order.
    #[error("there is no order {0}")]
    NotFound(OrderId),
    /// It has a signature that may land, or it has ended.
    #[error("the order is {0}: it can be cancelled only until its transaction is signed")]
    TooLate(&'static str),
    /// The store did not answer.
    #[error("the order could not be read or stored: try again later")]
    Store(#[from] StoreError),
}

impl CancelError {
    /// The client's code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::TooLate(_) => ErrorCode::Conflict,
            Self::Store(error) => error.code(),
        }
    }
}

/// The front door of the engine.
pub struct Intake {
    journal: Journal,
    store: SharedStore,
    queue: SharedQueue,
    rules: Arc<Rules>,
    /// The wallets an order may name, where this process knows them.
    wallets: Option<Vec<Pubkey>>,
    max_depth: u64,
}

impl Intake {
    /// Accepts orders by `rules`, refusing while `max_depth` jobs wait.
    pub fn new(
        journal: Journal,
        store: SharedStore,
        queue: SharedQueue,
        rules: Arc<Rules>,
        wallets: Option<Vec<Pubkey>>,
        max_depth: u64,
    ) -> Self {
        Self { journal, store, queue, rules, wallets, max_depth }
    }

    /// What may be traded.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Checks, stores and queues a request.
    ///
    /// # Errors
    /// When the request is wrong, the key is taken, too much waits or the store does not answer; nothing is stored then.
    pub async fn submit(
        &self,
        request: &OrderRequest,
        dialect: Dialect,
        idempotency_key: Option<&str>,
    ) -> Result<Accepted, SubmitError> {
        let new = validate(request, dialect, &self.rules)?;
        if let (Some(wallet), Some(known)) = (&new.wallet, &self.wallets)
            && !known.contains(wallet)
        {
            return Err(OrderRefused::new(
                ErrorCode::InvalidRequest,
                format!("`wallet` {wallet} is not one of this daemon's wallets"),
            )
            .into());
        }
        let key = idempotency_key.map(|key| IdempotencyKey { key: key.to_owned(), body: digest(&new) });
        // An unreachable queue does not refuse orders: the store has them and the sweeper queues them later.
        if let Ok(depth) = self.queue.depth().await
            && depth >= self.max_depth
        {
            // What was accepted before is answered as before, however much waits.
            return match &key {
                Some(key) => match self.store.used_key(key).await? {
                    Some(creation) => self.earlier(creation).await,
                    None => Err(SubmitError::QueueFull { depth }),
                },
                None => Err(SubmitError::QueueFull { depth }),
            };
        }
        let order = Order::create(OrderId::new(), new, OffsetDateTime::now_utc());
        match self.journal.create(&order, key.as_ref()).await? {
            Creation::New(_) => {
                if let Err(error) = self.queue.push(&[order.id]).await {
                    tracing::warn!(order_id = %order.id, %error, "order stored but not queued: the sweeper will");
                }
                Ok(Accepted { order, fresh: true })
            }
            earlier => self.earlier(earlier).await,
        }
    }

    /// The answer to a key that was used before.
    async fn earlier(&self, creation: Creation) -> Result<Accepted, SubmitError> {
        let id = match creation {
            Creation::Existing(id) => id,
            Creation::KeyConflict(id) => return Err(SubmitError::KeyConflict(id)),
            Creation::New(event) => event.order_id,
        };
        let order =
            self.store.order(id).await?.ok_or_else(|| {
                StoreError::Corrupt(format!("an idempotency key names order {id}, which does not exist"))
            })?;
        Ok(Accepted { order, fresh: false })
    }

    /// Calls an order off, if nothing has been signed for it yet.
    ///
    /// # Errors
    /// When there is no such order, it is too late, or the store does not answer.
    pub async fn cancel(&self, id: OrderId) -> Result<Order, CancelError> {
        loop {
            let mut order = self.store.order(id).await?.ok_or(CancelError::NotFound(id))?;
            match self.journal.append(&mut order, OrderEvent::Cancelled, None).await {
                Ok(_) => return Ok(order),
                Err(JournalError::Illegal(_)) => return Err(CancelError::TooLate(order.status.name().as_str())),
                // A worker moved it in between. It moves a bounded number of times, so this ends.
                Err(JournalError::Store(StoreError::VersionConflict)) => {}
                Err(JournalError::Store(error)) => return Err(error.into()),
            }
        }
    }
}

/// A digest of what the request means, so that the same words in another spelling are the same request.
fn digest(new: &NewOrder) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [
        new.dialect.as_str(),
        new.kind.as_str(),
        &new.token_in.mint.to_string(),
        &new.token_out.mint.to_string(),
        new.swap.mode(),
        &new.swap.amount().to_string(),
        &new.slippage.get().to_string(),
        &new.limit.map(|limit| limit.to_string()).unwrap_or_default(),
        &new.wallet.map(|wallet| wallet.to_string()).unwrap_or_default(),
    ] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    if let Some(PoolWish { address, base_in }) = &new.pool_wish {
        hash.update(address.as_deref().unwrap_or_default().as_bytes());
        hash.update([0, base_in.map_or(2, u8::from)]);
    }
    hash.finalize().into()
}

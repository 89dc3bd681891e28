//! Intake: turns requests into stored orders, and calls orders off.
//!
//! Owns validation, idempotency and the order of the two writes: store first, then queue. Once the store has it the
//! order is accepted, whatever the queue says: the sweeper queues what the queue lost.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use solana_sdk::pubkey::Pubkey;
use time::OffsetDateTime;

use super::{
    Control, Handover, Journal, JournalError,
    places::{Place, Places},
};
use crate::{
    domain::{
        Caps, Dialect, ErrorCode, Expiry, NewOrder, Order, OrderEvent, OrderId, OrderRefused, OrderRequest, PoolWish,
        Rules, Swap, validate,
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
    /// Trading is stopped.
    #[error("{0}: try again later")]
    Paused(String),
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
            Self::Paused(_) => ErrorCode::Paused,
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

/// What an order has to pass beside the rules.
pub struct Admission {
    /// The wallets an order may name, where this process knows them.
    pub wallets: Option<Vec<Pubkey>>,
    /// Orders are refused while this many jobs wait.
    pub max_depth: u64,
    /// How much one order may spend.
    pub caps: Arc<Caps>,
    /// Orders are refused while trading is stopped.
    pub control: Arc<Control>,
}

/// The front door of the engine.
pub struct Intake {
    pub(super) journal: Journal,
    pub(super) store: SharedStore,
    pub(super) queue: SharedQueue,
    rules: Arc<Rules>,
    admission: Admission,
    handover: Arc<Handover>,
    places: Places,
}

impl Intake {
    /// Accepts orders by `rules` that pass `admission`, and leaves them in `handover`.
    pub fn new(
        journal: Journal,
        store: SharedStore,
        queue: SharedQueue,
        rules: Arc<Rules>,
        admission: Admission,
        handover: Arc<Handover>,
    ) -> Self {
        let places = Places::new(admission.max_depth);
        Self { journal, store, queue, rules, admission, handover, places }
    }

    /// What may be traded.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Checks what a request says, and whether this daemon can pay from the wallet it names.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, request: &OrderRequest, dialect: Dialect) -> Result<NewOrder, OrderRefused> {
        let new = validate(request, dialect, &self.rules)?;
        if let (Some(wallet), Some(known)) = (&new.wallet, &self.admission.wallets)
            && !known.contains(wallet)
        {
            let message = format!("{wallet} is not one of this daemon's wallets");
            return Err(OrderRefused::of("wallet", ErrorCode::InvalidRequest, message));
        }
        // What an exact output without a bound costs is known when it is routed; the cap is checked again there.
        let most = match new.swap {
            Swap::ExactIn(amount) => Some(amount),
            Swap::ExactOut(_) => new.limit,
        };
        if let Some(most) = most {
            let allowed = self.admission.caps.allow_order(&new.token_in, most);
            allowed.map_err(|failure| OrderRefused::new(failure.code, failure.reason))?;
        }
        Ok(new)
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
        let new = self.check(request, dialect)?;
        let key = idempotency_key.map(|key| IdempotencyKey { key: key.to_owned(), body: digest(&new) });
        let now = OffsetDateTime::now_utc();
        let order = Order::create(OrderId::new(), new, now);
        let _place = match self.admit(&order, now).await {
            Ok(place) => place,
            // What was accepted before is answered as before, whatever is in the way now.
            Err(refusal) => {
                return match &key {
                    Some(key) => match self.store.used_key(key).await? {
                        Some(creation) => self.earlier(creation).await,
                        None => Err(refusal),
                    },
                    None => Err(refusal),
                };
            }
        };
        match self.journal.create(&order, key.as_ref()).await? {
            Creation::New(_) => {
                self.handover.leave(&order);
                if let Err(error) = self.queue.push(&[order.id]).await {
                    tracing::warn!(order_id = %order.id, %error, "order stored but not queued: the sweeper will");
                }
                Ok(Accepted { order, fresh: true })
            }
            earlier => self.earlier(earlier).await,
        }
    }

    /// Whether a new order may come in now; if so, its place until it is queued.
    async fn admit(&self, order: &Order, now: OffsetDateTime) -> Result<Place<'_>, SubmitError> {
        if order.is_overdue(now) {
            return Err(OrderRefused::of("expiresAt", ErrorCode::InvalidRequest, "has passed already").into());
        }
        if let Some(failure) = self.admission.control.stopped() {
            return Err(SubmitError::Paused(failure.reason));
        }
        // A recent count will do while the bound is far. An unreachable queue does not refuse orders: the store has them and
        // the sweeper queues them later. The bound holds all the same.
        let depth = match self.queue.depth_lately().await {
            Ok(depth) if depth < self.admission.max_depth / 2 => Ok(depth),
            Ok(_) => self.queue.depth().await,
            Err(error) => Err(error),
        };
        let depth = match depth {
            Ok(depth) => depth,
            Err(_) => self.store.open_count().await?,
        };
        self.places.take(depth).map_err(|depth| SubmitError::QueueFull { depth })
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
                Ok(_) => {
                    self.handover.take(id); // nobody need try to drive it
                    return Ok(order);
                }
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
    // A duration as it was asked for: a repeated request means the same deadline, though it is counted from later.
    match new.expiry {
        None => {}
        Some(Expiry::In(duration)) => hash.update(format!("in {} ms", duration.whole_milliseconds())),
        Some(Expiry::At(at)) => hash.update(format!("at {} ns", at.unix_timestamp_nanos())),
    }
    if let Some(PoolWish { address, base_in }) = &new.pool_wish {
        hash.update(address.as_deref().unwrap_or_default().as_bytes());
        hash.update([0, base_in.map_or(2, u8::from)]);
    }
    hash.finalize().into()
}

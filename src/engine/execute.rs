//! Execute: drives one order, step by step, until it has ended or must be left to whoever comes next.
//!
//! There is no resume path: an order is loaded, asked for its next step, moved, asked again. A crash resumes like a
//! first run. Holds a signer's permit from the first step to the first send, and none while it waits.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    Control, Journal, JournalError, Simulations, Treasury,
    deadline::{Deadline, overdue},
    treasury::{Freshness, TreasuryError},
};
use crate::{
    chain::{ChainError, Confirmer, Halt, Records, Rpc, Snapshots, Tip, fees::Fees, push::Push},
    domain::{
        BaseUnits, ErrorCode, Failure, NextStep, Order, OrderEvent, OrderId, Poison, Quote, QuoteRequest, Swap, VenueId,
    },
    router::{RouteError, Router},
    store::{SharedStore, Shortfall, StoreError, Window},
    venue::{Venue, VenueError, Venues},
};

/// The longest rest between two tries of anything.
const LONGEST_REST: Duration = Duration::from_secs(15);

/// What the executor works with.
pub struct Parts {
    /// The truth.
    pub store: SharedStore,
    /// The one door.
    pub journal: Journal,
    /// Finds the route.
    pub router: Arc<Router>,
    /// Writes the instruction and reads the fill.
    pub venues: Venues,
    /// Simulates, sends, reads details.
    pub rpc: Arc<Rpc>,
    /// What quotes are made of: told of every landing.
    pub snapshots: Arc<Snapshots>,
    /// Which swaps were simulated lately.
    pub simulations: Simulations,
    /// Blockhashes.
    pub tip: Arc<Tip>,
    /// Whether the cluster's finality stands still.
    pub halt: Halt,
    /// The kill switch.
    pub control: Arc<Control>,
    /// Priority fees.
    pub fees: Arc<Fees>,
    /// Wallets.
    pub treasury: Arc<Treasury>,
    /// Decides what became of what was sent.
    pub confirmer: Confirmer,
    /// Hints, of each socket that is configured.
    pub pushes: Vec<Push>,
    /// What landed transactions did, where an endpoint has a socket.
    pub records: Option<Records>,
    /// Bounds the orders being routed, built, signed and first sent at the same time.
    pub signers: Arc<Semaphore>,
}

/// How often things are tried.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Signatures per order, each under the rule that all earlier ones are provably dead.
    pub max_signatures: u8,
    /// Tries per order that end in something worth trying again.
    pub max_retries: u8,
    /// The rest after the first such try; doubled each time.
    pub backoff: Duration,
    /// Whether each swap carries a memo with the order's id.
    pub memo: bool,
    /// How often an order is taken up after the same event, each time by somebody who is never heard of again, before
    /// it is set aside.
    pub max_take_ups: u32,
    /// How long the details of a landed swap are waited for before it is called confirmed without them.
    pub details_within: Duration,
}

/// How a drive ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drive {
    /// Nothing is left to do for the order.
    Done,
    /// Something is left, for whoever claims it next.
    Left,
}

/// When to stop: `soft` between two steps, `hard` also while waiting for the chain.
#[derive(Clone)]
pub struct Stop {
    /// Start nothing new.
    pub soft: CancellationToken,
    /// Wait for nothing any more.
    pub hard: CancellationToken,
}

/// Drives orders.
pub struct Executor {
    pub(super) parts: Parts,
    pub(super) policy: Policy,
}

/// Why an order waits for something outside, as its events say it, and how often it has tried since.
#[derive(Default)]
struct Waiting {
    told: Option<ErrorCode>,
    tries: u32,
}

/// Why a step did not move the order.
#[derive(Debug)]
pub(super) enum StepError {
    /// The order ends here.
    Final(Failure),
    /// The engine itself went wrong with this order, and would again: a person has to look.
    Poisoned(String),
    /// Worth another try, which is counted.
    Again(Failure),
    /// Something outside is down; the order waits as long as it takes.
    Outage(Failure),
    /// Trading is stopped; the order waits until it goes on.
    Paused(Failure),
    /// Someone else moved the order.
    Moved,
    /// The daemon stops.
    Stopping,
    /// The store did not answer, so nothing can be decided.
    Store(StoreError),
}

impl StepError {
    /// Sorts a failure by its code: does trying again change anything?
    pub(super) fn from_failure(failure: Failure) -> Self {
        match failure.code {
            ErrorCode::RpcUnavailable | ErrorCode::StoreUnavailable => Self::Outage(failure),
            ErrorCode::Paused => Self::Paused(failure),
            ErrorCode::VenueUnavailable
            | ErrorCode::RateLimited
            | ErrorCode::QueueFull
            | ErrorCode::Overloaded
            | ErrorCode::TransactionFailed => Self::Again(failure),
            ErrorCode::InvalidRequest
            | ErrorCode::UnknownToken
            | ErrorCode::InvalidAmount
            | ErrorCode::InvalidSlippage
            | ErrorCode::MalformedBody
            | ErrorCode::UnsupportedMediaType
            | ErrorCode::BodyTooLarge
            | ErrorCode::Unauthorized
            | ErrorCode::Forbidden
            | ErrorCode::NotFound
            | ErrorCode::MethodNotAllowed
            | ErrorCode::Conflict
            | ErrorCode::IdempotencyConflict
            | ErrorCode::NoRoute
            | ErrorCode::InsufficientLiquidity
            | ErrorCode::InsufficientFunds
            | ErrorCode::SlippageExceeded
            | ErrorCode::CapExceeded
            | ErrorCode::Expired
            | ErrorCode::ChainReset => Self::Final(failure),
            ErrorCode::Internal => Self::Poisoned(failure.reason),
        }
    }
}

impl From<JournalError> for StepError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Store(error) => error.into(),
            JournalError::Illegal(error) => Self::Poisoned(format!("a step of the engine was impossible: {error}")),
        }
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::VersionConflict => Self::Moved,
            StoreError::Paused => Self::Paused(Failure::new(ErrorCode::Paused, error.to_string())),
            StoreError::Corrupt(_) | StoreError::Refused(_) => {
                tracing::error!(%error, cause = ?std::error::Error::source(&error), "the store cannot take this order");
                Self::Poisoned(error.to_string())
            }
            error => Self::Store(error),
        }
    }
}

impl From<ChainError> for StepError {
    fn from(error: ChainError) -> Self {
        Self::from_failure(Failure::new(error.code(), error.to_string()))
    }
}

impl From<VenueError> for StepError {
    fn from(error: VenueError) -> Self {
        Self::from_failure(Failure::new(error.code(), error.to_string()))
    }
}

impl From<RouteError> for StepError {
    fn from(error: RouteError) -> Self {
        Self::from_failure(Failure::new(error.code, error.reason))
    }
}

impl From<TreasuryError> for StepError {
    fn from(error: TreasuryError) -> Self {
        match error {
            TreasuryError::Chain(error) => error.into(),
            TreasuryError::Store(error) => error.into(),
        }
    }
}

impl Executor {
    /// An executor of `parts` under `policy`.
    pub fn new(parts: Parts, policy: Policy) -> Self {
        Self { parts, policy }
    }

    /// The permits that bound signing.
    pub fn signers(&self) -> &Arc<Semaphore> {
        &self.parts.signers
    }

    /// Drives the order as far as it goes.
    ///
    /// # Errors
    /// When the store does not answer; the order is then where its last stored event left it.
    pub async fn drive(&self, id: OrderId, permit: OwnedSemaphorePermit, stop: &Stop) -> Result<Drive, StoreError> {
        let order = match self.parts.store.order(id).await {
            Err(StoreError::Corrupt(reason)) => return self.set_aside(id, Poison::Unreadable, reason).await,
            order => order?,
        };
        let to_do = |order: &Order| order.set_aside.is_none() && order.status.has_work();
        let Some(mut order) = order.filter(to_do) else { return Ok(Drive::Done) };
        if self.is_stuck(&order).await? {
            let reason = format!(
                "taken up {} times since its last event, and each time whoever did so ended before it moved",
                self.policy.max_take_ups
            );
            return self.set_aside(id, Poison::Stuck, reason).await;
        }
        let span = tracing::info_span!("order", order_id = %id, token_in = order.token_in.symbol,
            token_out = order.token_out.symbol);
        let drive = self.walk(&mut order, permit, stop).instrument(span).await?;
        if drive == Drive::Left {
            self.parts.store.put_down(id).await?;
        }
        Ok(drive)
    }

    async fn walk(&self, order: &mut Order, permit: OwnedSemaphorePermit, stop: &Stop) -> Result<Drive, StoreError> {
        let mut permit = Some(permit);
        let deadline = Deadline::of(order);
        let mut signed_here = false;
        let mut waiting = Waiting::default();
        loop {
            let step = order.next_step();
            let outcome = match step {
                NextStep::Nothing => return Ok(Drive::Done),
                NextStep::Claim | NextStep::Route | NextStep::Build => {
                    if permit.is_none() {
                        permit = self.next_permit(stop).await;
                    }
                    if permit.is_none() || stop.soft.is_cancelled() {
                        return Ok(Drive::Left);
                    }
                    match (self.may_go_on(order, &deadline), step) {
                        (Err(error), _) => Err(error),
                        (Ok(()), NextStep::Claim) => self.append(order, OrderEvent::Claimed).await,
                        (Ok(()), NextStep::Route) => self.route(order).await,
                        (Ok(()), _) => self.build(order, &deadline, &mut signed_here).await,
                    }
                }
                NextStep::Land => self.land(order, &mut permit, std::mem::take(&mut signed_here), stop).await,
                NextStep::Settle => {
                    permit = None;
                    self.settle(order, stop).await
                }
            };
            let absorbed = match outcome {
                Ok(()) => {
                    waiting = Waiting::default();
                    Ok(None)
                }
                Err(error) => self.absorb(order, error, &mut waiting).await,
            };
            let rest = match absorbed {
                Ok(None) => continue,
                Ok(Some(rest)) => rest,
                Err(StepError::Poisoned(reason)) => return self.set_aside(order.id, Poison::Internal, reason).await,
                Err(StepError::Store(error)) => return Err(error),
                Err(_) => return Ok(Drive::Left), // moved by someone else, or the daemon stops
            };
            permit = None;
            // Mostly a pause ends with `resumed`; the rest is for a switch that only the store has seen so far.
            let paused = waiting.told == Some(ErrorCode::Paused) && self.parts.control.stopped().is_some();
            tokio::select! {
                () = stop.soft.cancelled() => return Ok(Drive::Left),
                () = self.parts.control.resumed(), if paused => {}
                () = tokio::time::sleep(rest), if !paused => {}
                () = deadline.passed() => {}
            }
        }
    }

    /// Whether a step towards a signature may be taken now.
    pub(super) fn may_go_on(&self, order: &Order, deadline: &Deadline) -> Result<(), StepError> {
        if deadline.has_passed(order) {
            return Err(StepError::Final(overdue()));
        }
        match self.parts.control.stopped() {
            Some(failure) => Err(StepError::Paused(failure)),
            None => Ok(()),
        }
    }

    async fn next_permit(&self, stop: &Stop) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            biased;
            () = stop.soft.cancelled() => None,
            permit = self.parts.signers.clone().acquire_owned() => permit.ok(),
        }
    }

    pub(super) async fn append(&self, order: &mut Order, event: OrderEvent) -> Result<(), StepError> {
        self.parts.journal.append(order, event, None).await?;
        Ok(())
    }

    /// Stores what a failed step means for the order: its end, or a rest before the next try. What is no matter of
    /// trying comes back.
    async fn absorb(
        &self,
        order: &mut Order,
        error: StepError,
        waiting: &mut Waiting,
    ) -> Result<Option<Duration>, StepError> {
        let (failure, rest) = match error {
            StepError::Again(failure) if order.retries < self.policy.max_retries => {
                waiting.told = None;
                (failure, rest(self.policy.backoff, u32::from(order.retries)))
            }
            StepError::Outage(failure) | StepError::Paused(failure) => {
                let rest = rest(self.policy.backoff, waiting.tries);
                waiting.tries += 1;
                tracing::warn!(code = failure.code.as_str(), reason = failure.reason, ?rest, "order waits");
                if waiting.told.replace(failure.code) == Some(failure.code) {
                    return Ok(Some(rest)); // one event says it for as long as it lasts
                }
                (failure, rest)
            }
            StepError::Final(failure) | StepError::Again(failure) => {
                tracing::warn!(code = failure.code.as_str(), reason = failure.reason, "order fails");
                return self.append(order, OrderEvent::Failed { failure }).await.map(|()| None);
            }
            other => return Err(other),
        };
        let delay_ms = u64::try_from(rest.as_millis()).unwrap_or(u64::MAX);
        self.append(order, OrderEvent::Retrying { failure, delay_ms }).await?;
        Ok(Some(rest))
    }

    pub(super) fn venue(&self, id: VenueId) -> Result<&Arc<dyn Venue>, StepError> {
        self.parts.venues.iter().find(|venue| venue.id() == id).ok_or_else(|| {
            StepError::Final(Failure::new(ErrorCode::NoRoute, format!("venue {id} is not connected to this worker")))
        })
    }

    /// Asks the venues, fixes the bound and finds a wallet that can pay.
    async fn route(&self, order: &mut Order) -> Result<(), StepError> {
        if order.signatures >= self.policy.max_signatures {
            return Err(StepError::Final(Failure::new(
                ErrorCode::Expired,
                format!("{} signatures expired without landing; nothing was swapped", order.signatures),
            )));
        }
        let request = QuoteRequest { pair: order.pair(), swap: order.swap };
        let pool = order.pool_wish.as_ref().map(|wish| wish.pool(&request.pair)).transpose();
        let route = match pool.map_err(StepError::from_failure)?.flatten() {
            Some(pool) => self.parts.router.route_in(&pool, &request).await?,
            None => self.parts.router.route(&request).await?,
        };
        let limit = order.limit.unwrap_or_else(|| first_limit(order, &route.chosen));
        within(order, &route.chosen, limit)?;
        if !route.chosen.executable {
            return self.append(order, OrderEvent::Routed { route, limit, wallet: None }).await;
        }
        let candidates = self.parts.treasury.candidates(order);
        if candidates.is_empty() {
            return Err(StepError::Final(Failure::new(
                ErrorCode::InvalidRequest,
                "the order's wallet is not one of this daemon's wallets",
            )));
        }
        self.parts.treasury.allow(order, limit).map_err(StepError::Final)?;
        let mut shortfall = None;
        for freshness in [Freshness::Recent, Freshness::Since(Instant::now())] {
            for address in &candidates {
                let reservation = self.parts.treasury.reservation(address, order, limit, freshness).await?;
                let event = OrderEvent::Routed { route: route.clone(), limit, wallet: Some(*address) };
                match self.parts.journal.append(order, event, Some(&reservation)).await {
                    Ok(_) => return Ok(()),
                    Err(JournalError::Store(StoreError::ReservationRefused(lacking))) => shortfall = Some(lacking),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let code = shortfall.map_or(ErrorCode::InsufficientFunds, |shortfall| shortfall.code());
        Err(StepError::Final(Failure::new(code, lacking(order, shortfall))))
    }
}

/// The bound that the first quote and the order's slippage make.
pub(super) fn first_limit(order: &Order, quote: &Quote) -> BaseUnits {
    match order.swap {
        Swap::ExactIn(_) => quote.amount_out.min_out(order.slippage),
        Swap::ExactOut(_) => quote.amount_in.max_in(order.slippage),
    }
}

/// Whether the market is still within the bound, which never moves.
pub(super) fn within(order: &Order, quote: &Quote, limit: BaseUnits) -> Result<(), StepError> {
    let (broken, says) = match order.swap {
        Swap::ExactIn(_) => (
            quote.amount_out < limit,
            format!(
                "the best quote gives {} {}, the order demands at least {}",
                quote.amount_out.to_ui(order.token_out.decimals),
                order.token_out.symbol,
                limit.to_ui(order.token_out.decimals)
            ),
        ),
        Swap::ExactOut(_) => (
            quote.amount_in > limit,
            format!(
                "the best quote costs {} {}, the order allows at most {}",
                quote.amount_in.to_ui(order.token_in.decimals),
                order.token_in.symbol,
                limit.to_ui(order.token_in.decimals)
            ),
        ),
    };
    if broken { Err(StepError::Final(Failure::new(ErrorCode::SlippageExceeded, says))) } else { Ok(()) }
}

fn lacking(order: &Order, shortfall: Option<Shortfall>) -> String {
    match shortfall {
        Some(Shortfall::Lamports { needed, free }) => format!(
            "the swap with fees and rent needs {} SOL, the wallet has {} SOL free: fund it or trade less",
            BaseUnits::new(needed.get()).to_ui(9),
            BaseUnits::new(free.get()).to_ui(9)
        ),
        Some(Shortfall::Tokens { needed, free }) => format!(
            "the swap needs {} {token}, the wallet has {} {token} free: fund it or trade less",
            needed.to_ui(order.token_in.decimals),
            free.to_ui(order.token_in.decimals),
            token = order.token_in.symbol
        ),
        Some(Shortfall::Cap { window, cap, spent, needed }) => format!(
            "{needed} {token} more would exceed the cap of {cap} {token} in an hour {of}; {spent} {token} are spent or \
             promised: trade less or later",
            needed = needed.to_ui(order.token_in.decimals),
            cap = cap.to_ui(order.token_in.decimals),
            spent = spent.to_ui(order.token_in.decimals),
            of = match window {
                Window::All => "for all orders",
                Window::Wallet => "for this wallet",
            },
            token = order.token_in.symbol
        ),
        None => "no wallet can pay for this order".to_owned(),
    }
}

/// Doubling rests with a ceiling.
fn rest(first: Duration, tries: u32) -> Duration {
    first.saturating_mul(1 << tries.min(16)).min(LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_double_up_to_a_ceiling() {
        let first = Duration::from_millis(500);
        assert_eq!(rest(first, 0), first);
        assert_eq!(rest(first, 2), first * 4);
        assert_eq!(rest(first, 60), LONGEST_REST);
    }
}

//! Execute: drives one order, step by step, until it has ended or must be left to whoever comes next.
//!
//! There is no resume path: an order is loaded, asked for its next step, moved, asked again. A crash resumes like a
//! first run. Holds a signer's permit from the first step to the first send, and none while it waits.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    Control, Journal, Simulations, Treasury,
    deadline::{Deadline, overdue},
    handover::Handover,
    journal::Underway,
    step::StepError,
};
use crate::{
    chain::{Confirmer, Halt, Records, Rpc, Snapshots, Tip, fees::Fees, push::Push},
    domain::{ErrorCode, Failure, NextStep, Order, OrderEvent, OrderId, Poison, VenueId},
    queue::Claim,
    router::Router,
    store::{Line, SharedStore, StoreError},
    venue::{Venue, Venues},
};

/// The longest rest between two tries of anything.
const LONGEST_REST: Duration = Duration::from_secs(15);

/// What the executor works with.
pub struct Parts {
    /// The truth.
    pub store: SharedStore,
    /// The one door.
    pub journal: Journal,
    /// Orders that this very process accepted.
    pub handover: Arc<Handover>,
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

/// Who may have driven an order before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nobody: its first job is claimed for the first time.
    Nobody,
    /// Anybody, and it may have been their end.
    Anybody,
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

/// Events of one order that are handed over and not yet known to be stored: those of steps that nothing outside depends
/// on, so that the store may commit them together.
#[derive(Default)]
pub(super) struct Unstored {
    events: Vec<Underway>,
    pub(super) line: Line,
}

impl Unstored {
    /// Waits until they are stored.
    pub(super) async fn stored(&mut self) -> Result<(), StoreError> {
        for event in self.events.drain(..) {
            event.stored().await?;
        }
        Ok(())
    }

    /// Waits like that after an event that was refused and changed nothing: another one may take its place.
    pub(super) async fn begin_anew(&mut self) -> Result<(), StoreError> {
        self.stored().await?;
        self.line = Line::default();
        Ok(())
    }
}

/// Why an order waits for something outside, as its events say it, and how often it has tried since.
#[derive(Default)]
struct Waiting {
    told: Option<ErrorCode>,
    tries: u32,
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

    /// Drives the order of a claim as far as it goes.
    ///
    /// # Errors
    /// When the store does not answer; the order is then where its last stored event left it.
    pub async fn drive(&self, claim: &Claim, permit: OwnedSemaphorePermit, stop: &Stop) -> Result<Drive, StoreError> {
        let id = claim.order_id;
        let before = if claim.is_first { Before::Nobody } else { Before::Anybody };
        let mut order = match Box::pin(self.claimed(id)).await {
            Ok(Some(order)) => order,
            Ok(None) => return Ok(Drive::Done),
            Err(StoreError::Corrupt(reason)) => return self.set_aside(id, Poison::Unreadable, reason).await,
            Err(error) => return Err(error),
        };
        if self.is_stuck(&order).await? {
            let reason = format!(
                "taken up {} times since its last event, and each time whoever did so ended before it moved",
                self.policy.max_take_ups
            );
            return self.set_aside(id, Poison::Stuck, reason).await;
        }
        let span = tracing::info_span!("order", order_id = %id, token_in = order.token_in.symbol,
            token_out = order.token_out.symbol);
        let drive = self.walk(&mut order, before, permit, stop).instrument(span).await?;
        if drive == Drive::Left {
            self.parts.store.put_down(id).await?;
        }
        Ok(drive)
    }

    /// A claimed order, if there is something to do for it.
    async fn claimed(&self, id: OrderId) -> Result<Option<Box<Order>>, StoreError> {
        let order = match self.parts.handover.take(id) {
            Some(order) => Some(order),
            None => self.parts.store.order(id).await?,
        };
        Ok(order.filter(is_open).map(Box::new))
    }

    async fn walk(
        &self,
        order: &mut Order,
        before: Before,
        permit: OwnedSemaphorePermit,
        stop: &Stop,
    ) -> Result<Drive, StoreError> {
        let mut permit = Some(permit);
        let deadline = Deadline::of(order);
        let mut signed_here = false;
        let mut waiting = Waiting::default();
        let mut unstored = Unstored::default();
        loop {
            let step = order.next_step();
            let outcome = match step {
                NextStep::Nothing => {
                    drop(permit.take());
                    match unstored.stored().await {
                        Ok(()) => return Ok(Drive::Done),
                        Err(error) => Err(error.into()),
                    }
                }
                NextStep::Claim | NextStep::Route | NextStep::Build => {
                    if permit.is_none() {
                        permit = self.next_permit(stop).await;
                    }
                    if permit.is_none() || stop.soft.is_cancelled() {
                        return Ok(Drive::Left);
                    }
                    match (self.may_go_on(order, &deadline), step) {
                        (Err(error), _) => Err(error),
                        // Boxed, as in `append` and `land`: thousands of orders wait for their landing, and should not
                        // keep room for what they did before.
                        (Ok(()), NextStep::Claim) => Box::pin(self.claim(order, before, &mut unstored)).await,
                        (Ok(()), NextStep::Route) => Box::pin(self.route(order, &mut unstored)).await,
                        (Ok(()), _) => Box::pin(self.build(order, &deadline, &mut unstored, &mut signed_here)).await,
                    }
                }
                NextStep::Land => self.land(order, &mut permit, std::mem::take(&mut signed_here), stop).await,
                NextStep::Settle => {
                    permit = None;
                    Box::pin(self.settle(order, stop)).await
                }
            };
            let absorbed = match outcome {
                Ok(()) => {
                    waiting = Waiting::default();
                    Ok(None)
                }
                // What becomes of the failure is stored after everything that was handed over before it.
                Err(error) => match unstored.stored().await {
                    Ok(()) => Box::pin(self.absorb(order, error, &mut waiting)).await,
                    Err(error) => Err(error.into()),
                },
            };
            let rest = match absorbed {
                Ok(None) => continue,
                Ok(Some(rest)) => rest,
                Err(StepError::Poisoned(reason)) => return self.set_aside(order.id, Poison::Internal, reason).await,
                Err(StepError::Store(error)) => return Err(error),
                Err(StepError::Moved) => return self.leave_to_others(order.id).await,
                Err(_) => return Ok(Drive::Left), // the daemon stops
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

    /// What is left of an order that someone else moved: nothing, if it was called off or ended otherwise. Else it is in
    /// their hands, and two who drive it would only be in each other's way.
    async fn leave_to_others(&self, id: OrderId) -> Result<Drive, StoreError> {
        let order = self.parts.store.order(id).await?;
        Ok(if order.is_some_and(|order| is_open(&order)) { Drive::Left } else { Drive::Done })
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
        Box::pin(self.parts.journal.append(order, event, None)).await?;
        Ok(())
    }

    /// Hands an event over that nothing outside depends on.
    pub(super) async fn begin(
        &self,
        order: &mut Order,
        event: OrderEvent,
        unstored: &mut Unstored,
    ) -> Result<(), StepError> {
        unstored.events.push(self.parts.journal.begin(order, event, &unstored.line).await?);
        Ok(())
    }

    /// Takes a new order up. One that somebody had before may have killed them while they routed it: then this is stored
    /// before anything else is done, so that the next death is counted. See [`Executor::is_stuck`].
    async fn claim(&self, order: &mut Order, before: Before, unstored: &mut Unstored) -> Result<(), StepError> {
        self.begin(order, OrderEvent::Claimed, unstored).await?;
        if before == Before::Anybody {
            unstored.stored().await?;
        }
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
}

/// Whether there is something to do for the order, by anybody but a person.
fn is_open(order: &Order) -> bool {
    order.set_aside.is_none() && order.status.has_work()
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

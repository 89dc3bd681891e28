//! Rehearsal: what an order would do now, without a signature, a send or a trace in the store.
//!
//! Owns the dry run: the same route, the same transaction and the same simulation as an order's, and nothing after
//! them. It needs no key, only a wallet's address: a simulation checks no signatures.

use std::sync::Arc;

use solana_sdk::pubkey::Pubkey;
use tokio::time::Instant;

use super::{
    build::{draft, explained},
    route::{first_limit, within},
    simulations::unit_limit,
    step::StepError,
    treasury::{Freshness, Treasury},
};
use crate::{
    chain::{LandedTransaction, Rpc, fees::Fees, transaction::BASE_FEE},
    domain::{BaseUnits, ErrorCode, Failure, Fill, Lamports, NewOrder, Order, OrderId, QuoteRequest, Route, Slot},
    router::{RouteError, Router},
    store::Reservation,
    venue::Venues,
};

/// What an order would do.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// Every venue's answer and the decision.
    pub route: Route,
    /// The bound the order would get.
    pub limit: BaseUnits,
    /// The transaction, unless a mock would fill.
    pub transaction: Option<Simulated>,
}

/// A transaction that was built and simulated, and neither signed nor sent.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// The wallet that would pay.
    pub wallet: Pubkey,
    /// What it would promise, with its balances. What it has promised to orders in progress is not in them.
    pub reservation: Reservation,
    /// The slot of the simulation.
    pub slot: Slot,
    /// Compute units it used.
    pub used_units: u64,
    /// The limit the transaction would ask for.
    pub unit_limit: u32,
    /// Base fee.
    pub base_fee: Lamports,
    /// Priority fee it would offer.
    pub priority_fee: Lamports,
    /// What it moved in the simulation, or why it failed there.
    pub outcome: Result<Option<Fill>, Failure>,
}

impl Simulated {
    /// Whether the wallet holds what it would promise.
    pub fn is_funded(&self) -> bool {
        let it = &self.reservation;
        it.amount <= it.balance && it.lamports <= it.balance_lamports
    }
}

/// Why nothing could be rehearsed.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// No route.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// Anything else that would stop the order.
    #[error("{}", .0.reason)]
    Stopped(Failure),
}

impl From<StepError> for RehearsalError {
    fn from(error: StepError) -> Self {
        Self::Stopped(match error {
            StepError::Final(failure)
            | StepError::Again(failure)
            | StepError::Outage(failure)
            | StepError::Paused(failure) => failure,
            StepError::Poisoned(reason) => Failure::new(ErrorCode::Internal, reason),
            StepError::Store(error) => Failure::new(error.code(), "the store did not answer: try again later"),
            StepError::Moved | StepError::Stopping => Failure::new(ErrorCode::Internal, "nothing is stored here"),
        })
    }
}

/// Rehearses orders.
pub struct Rehearsal {
    router: Arc<Router>,
    venues: Venues,
    rpc: Arc<Rpc>,
    fees: Arc<Fees>,
    treasury: Arc<Treasury>,
    memo: bool,
}

impl Rehearsal {
    /// Over the same parts as an executor's. A process without keys gives a treasury without wallets.
    pub fn new(
        router: Arc<Router>,
        venues: Venues,
        rpc: Arc<Rpc>,
        fees: Arc<Fees>,
        treasury: Arc<Treasury>,
        memo: bool,
    ) -> Self {
        Self { router, venues, rpc, fees, treasury, memo }
    }

    /// What `new` would do if it were an order and were taken up now.
    ///
    /// # Errors
    /// What would end the order before its transaction is built, or that chain or store do not answer.
    pub async fn of(&self, new: NewOrder) -> Result<Rehearsed, RehearsalError> {
        let order = Order::create(OrderId::new(), new, time::OffsetDateTime::now_utc());
        let route = self.router.route(&QuoteRequest { pair: order.pair(), swap: order.swap }).await?;
        let limit = order.limit.unwrap_or_else(|| first_limit(&order, &route.chosen));
        within(&order, &route.chosen, limit)?;
        self.treasury.allow(&order, limit).map_err(RehearsalError::Stopped)?;
        let transaction =
            if route.chosen.executable { Some(self.simulated(&order, &route, limit).await?) } else { None };
        Ok(Rehearsed { route, limit, transaction })
    }

    async fn simulated(&self, order: &Order, route: &Route, limit: BaseUnits) -> Result<Simulated, StepError> {
        let quote = &route.chosen;
        let reservation = self.payer(order, limit).await?;
        let venue = self.venues.iter().find(|venue| venue.id() == quote.venue).ok_or_else(|| {
            StepError::Final(Failure::new(ErrorCode::NoRoute, "the venue of the quote is not connected"))
        })?;
        let rent = self.treasury.rents().await.token_account;
        let draft = draft(venue.as_ref(), order, quote, reservation.wallet, limit, rent, self.memo).await?;
        let unsigned = draft.for_simulation().map_err(StepError::from)?;
        let simulation = self.rpc.simulate(&unsigned).await?;
        let unit_limit = unit_limit(simulation.units);
        let contended = venue.contended_accounts(&quote.pool).await?;
        let priority_fee = self.fees.offer(quote.pool, &contended, unit_limit).await.lamports;
        let outcome = match &simulation.error {
            Some(error) => Err(explained(venue.as_ref(), error, &simulation.logs, &unsigned)),
            None => Ok(venue.fill(
                &quote.pool,
                &LandedTransaction {
                    slot: simulation.slot,
                    fee: Lamports::default(),
                    error: None,
                    logs: simulation.logs.clone(),
                    pre_token_balances: Vec::new(),
                    post_token_balances: Vec::new(),
                },
            )),
        };
        Ok(Simulated {
            wallet: reservation.wallet,
            reservation,
            slot: simulation.slot,
            used_units: simulation.units,
            unit_limit,
            base_fee: BASE_FEE,
            priority_fee,
            outcome,
        })
    }

    /// The wallet an order would be paid from: the one it names, else the first that can pay, else the first.
    async fn payer(&self, order: &Order, limit: BaseUnits) -> Result<Reservation, StepError> {
        let candidates = match order.wallet {
            Some(named) => vec![named],
            None => self.treasury.candidates(order),
        };
        let (mut first, now) = (None, Instant::now());
        for address in &candidates {
            let reservation = self.treasury.reservation(address, order, limit, Freshness::Since(now)).await?;
            if reservation.amount <= reservation.balance && reservation.lamports <= reservation.balance_lamports {
                return Ok(reservation);
            }
            first.get_or_insert(reservation);
        }
        first.ok_or_else(|| {
            StepError::Final(Failure::new(
                ErrorCode::InvalidRequest,
                "this process holds no keys: name the wallet (`wallet`) that the dry run is for",
            ))
        })
    }
}

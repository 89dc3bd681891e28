//! Build: from a chosen route to a stored signature.
//!
//! Owns the order of simulate (where `simulations` does not know the answer), price, sign, store. Nothing leaves the process
//! here: the signature is in the store before the first byte is sent.

use serde_json::Value;
use solana_sdk::pubkey::Pubkey;

use super::{
    Rents,
    deadline::Deadline,
    execute::{Executor, Unstored},
    step::StepError,
};
use crate::{
    chain::{
        failure::{explain_common, is_low_rent, program_error},
        transaction::{Accounts, BuildError, Draft, most_in},
    },
    domain::{Attempt, BaseUnits, ErrorCode, Failure, Fill, Lamports, Order, OrderEvent, OrderStatus, Quote},
    venue::{SwapPlan, Venue},
};

impl From<BuildError> for StepError {
    fn from(error: BuildError) -> Self {
        Self::Poisoned(error.to_string())
    }
}

impl Executor {
    /// Builds, simulates and signs the order's swap, and stores the signature. `signed_here` tells that this run made it.
    pub(super) async fn build(
        &self,
        order: &mut Order,
        deadline: &Deadline,
        unstored: &mut Unstored,
        signed_here: &mut bool,
    ) -> Result<(), StepError> {
        let OrderStatus::Building { quote } = &order.status else { return Ok(()) };
        let quote = quote.clone();
        if !quote.executable {
            let fill = Fill { amount_in: quote.amount_in, amount_out: quote.amount_out };
            return self.begin(order, OrderEvent::PaperFilled { venue: quote.venue, fill }, unstored).await;
        }
        unstored.stored().await?;
        match self.attempt(order, &quote, deadline).await? {
            Built::Signed(attempt) => {
                self.append(order, OrderEvent::Signed { attempt: *attempt }).await?;
                *signed_here = true;
                Ok(())
            }
            Built::Stale(failure) if order.retries >= self.policy.max_retries => Err(StepError::Final(failure)),
            Built::Stale(failure) => self.append(order, OrderEvent::Requoted { reason: failure.reason }).await,
        }
    }

    async fn attempt(&self, order: &Order, quote: &Quote, deadline: &Deadline) -> Result<Built, StepError> {
        let parts = &self.parts;
        if parts.halt.is_stopped() {
            let reason = "the cluster's finality has stopped: nothing is signed until it goes on";
            return Err(StepError::Outage(Failure::new(ErrorCode::RpcUnavailable, reason)));
        }
        let missing = |what: &str| StepError::Poisoned(format!("routed without {what}"));
        let address = order.wallet.ok_or_else(|| missing("a wallet"))?;
        let limit = order.limit.ok_or_else(|| missing("a bound"))?;
        let wallet = parts.treasury.wallet(&address).ok_or_else(|| {
            // Another worker leased it. All workers are meant to hold the same keys, so this is worth waiting for.
            StepError::Again(Failure::new(ErrorCode::VenueUnavailable, "this worker does not hold the order's key"))
        })?;
        let _lease = parts.treasury.lease(&address);
        let venue = self.venue(quote.venue)?;

        let rents = parts.treasury.rents().await;
        let draft = draft(venue.as_ref(), order, quote, address, limit, rents.token_account, self.policy.memo).await?;

        let newest = parts.tip.blockhash().await?.context_slot;
        let units = match parts.simulations.units_unseen(order, quote, newest) {
            Some(units) => units,
            None => match self.simulate(order, quote, &draft, venue.as_ref(), rents).await? {
                Ok(units) => units,
                Err(failure) => return Ok(Built::Stale(failure)),
            },
        };
        let contended = venue.contended_accounts(&quote.pool).await?;
        let fee = parts.fees.offer(quote.pool, &contended, units).await;
        // Last of all, so that the signature starts with as much life as there is.
        let blockhash = parts.tip.blockhash().await?;
        self.may_go_on(order, deadline)?;
        let (signature, wire) = draft.sign(wallet, units, fee.price, blockhash.hash)?;
        Ok(Built::Signed(Box::new(Attempt {
            n: order.signatures + 1,
            signature,
            wallet: address,
            blockhash: blockhash.hash,
            last_valid_block_height: blockhash.last_valid_block_height,
            context_slot: blockhash.context_slot,
            venue: quote.venue,
            pool: quote.pool,
            quoted_in: quote.amount_in,
            quoted_out: quote.amount_out,
            limit,
            compute_units: units,
            priority_fee: fee.lamports,
            wire,
        })))
    }

    /// The compute units to ask for; the inner error is a pool that moved past the bound.
    async fn simulate(
        &self,
        order: &Order,
        quote: &Quote,
        draft: &Draft,
        venue: &dyn Venue,
        rents: Rents,
    ) -> Result<Result<u32, Failure>, StepError> {
        let unsigned = draft.for_simulation()?;
        let simulation = self.parts.rpc.simulate(&unsigned).await?;
        let Some(error) = &simulation.error else {
            return Ok(Ok(self.parts.simulations.passed_with(order, quote, simulation.units)));
        };
        self.parts.simulations.failed_in(&quote.pool);
        let failure = explained(venue, error, &simulation.logs, &unsigned);
        tracing::debug!(%error, logs = ?simulation.logs, "the simulation fails");
        let may_be_rent = failure.code == ErrorCode::InsufficientFunds
            || is_low_rent(error, program_error(error, &simulation.logs, &unsigned));
        if may_be_rent && self.parts.treasury.rents_differ(rents).await {
            let reason = "the cluster's rents have changed since they were read";
            return Err(StepError::Again(Failure::new(ErrorCode::TransactionFailed, reason)));
        }
        match failure.code {
            ErrorCode::SlippageExceeded => Ok(Err(failure)),
            _ => Err(StepError::from_failure(failure)),
        }
    }
}

/// The order's swap as a transaction that only lacks compute budget and blockhash.
pub(super) async fn draft(
    venue: &dyn Venue,
    order: &Order,
    quote: &Quote,
    owner: Pubkey,
    limit: BaseUnits,
    token_rent: Lamports,
    memo: bool,
) -> Result<Draft, StepError> {
    let seed = order.id.0.simple().to_string();
    let accounts = Accounts::derive(owner, &order.token_in, &order.token_out, &seed)?;
    let swap = venue
        .swap_instruction(&SwapPlan {
            pool: quote.pool,
            pair: order.pair(),
            swap: order.swap,
            limit,
            owner,
            source: accounts.source,
            destination: accounts.destination,
        })
        .await?;
    let memo = memo.then(|| format!("swapd:{}", order.id));
    let paid = most_in(order.swap, limit);
    Ok(Draft::new(&accounts, &order.token_in, &order.token_out, paid, token_rent, swap, memo.as_deref())?)
}

/// What an error of a simulation means.
pub(super) fn explained(venue: &dyn Venue, error: &Value, logs: &[String], unsigned: &[u8]) -> Failure {
    let program = program_error(error, logs, unsigned);
    program
        .and_then(|found| venue.explain(&found.program, found.number))
        .unwrap_or_else(|| explain_common(error, program))
}

enum Built {
    Signed(Box<Attempt>),
    /// The pool moved past the bound between quote and simulation: the venues are asked once more.
    Stale(Failure),
}

//! Build: from a chosen route to a stored signature.
//!
//! Owns the order of simulate, price, sign, store. Nothing leaves the process here: the signature is in the store
//! before the first byte is sent.

use super::execute::{Executor, StepError};
use crate::{
    chain::{
        failure::{explain_common, program_error},
        transaction::{Accounts, BuildError, Draft, most_in},
    },
    domain::{Attempt, ErrorCode, Failure, Fill, Order, OrderEvent, OrderStatus, Quote},
    venue::SwapPlan,
};

/// Room above the simulated compute units: another bank may need a little more.
const UNITS_MARGIN_PERCENT: u64 = 10;
const MAX_UNITS: u64 = 1_400_000;

impl From<BuildError> for StepError {
    fn from(error: BuildError) -> Self {
        Self::Poisoned(error.to_string())
    }
}

impl Executor {
    /// Builds, simulates and signs the order's swap, and stores the signature. `signed_here` tells that this run made it.
    pub(super) async fn build(&self, order: &mut Order, signed_here: &mut bool) -> Result<(), StepError> {
        let OrderStatus::Building { quote } = &order.status else { return Ok(()) };
        let quote = quote.clone();
        if !quote.executable {
            let fill = Fill { amount_in: quote.amount_in, amount_out: quote.amount_out };
            return self.append(order, OrderEvent::PaperFilled { venue: quote.venue, fill }).await;
        }
        match self.attempt(order, &quote).await? {
            Built::Signed(attempt) => {
                self.append(order, OrderEvent::Signed { attempt: *attempt }).await?;
                *signed_here = true;
                Ok(())
            }
            Built::Stale(failure) if order.retries >= self.policy.max_retries => Err(StepError::Final(failure)),
            Built::Stale(failure) => self.append(order, OrderEvent::Requoted { reason: failure.reason }).await,
        }
    }

    async fn attempt(&self, order: &Order, quote: &Quote) -> Result<Built, StepError> {
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

        let seed = order.id.0.simple().to_string();
        let accounts = Accounts::derive(address, &order.token_in, &order.token_out, &seed)?;
        let swap = venue
            .swap_instruction(&SwapPlan {
                pool: quote.pool,
                pair: order.pair(),
                swap: order.swap,
                limit,
                owner: address,
                source: accounts.source,
                destination: accounts.destination,
            })
            .await?;
        let memo = self.policy.memo.then(|| format!("swapd:{}", order.id));
        let paid = most_in(order.swap, limit);
        let rent = parts.treasury.token_rent();
        let draft = Draft::new(&accounts, &order.token_in, &order.token_out, paid, rent, swap, memo.as_deref())?;

        let unsigned = draft.for_simulation()?;
        let simulation = parts.rpc.simulate(&unsigned).await?;
        if let Some(error) = &simulation.error {
            let program = program_error(error, &simulation.logs, &unsigned);
            let failure = program
                .and_then(|found| venue.explain(&found.program, found.number))
                .unwrap_or_else(|| explain_common(error, program));
            tracing::debug!(%error, logs = ?simulation.logs, "the simulation fails");
            return match failure.code {
                ErrorCode::SlippageExceeded => Ok(Built::Stale(failure)),
                _ => Err(StepError::from_failure(failure)),
            };
        }
        let units = (simulation.units * (100 + UNITS_MARGIN_PERCENT)).div_ceil(100).min(MAX_UNITS);
        let units = u32::try_from(units).expect("at most the runtime's maximum");
        let contended = venue.contended_accounts(&quote.pool).await?;
        let fee = parts.fees.offer(quote.pool, &contended, units).await;
        // Last of all, so that the signature starts with as much life as there is.
        let blockhash = parts.tip.blockhash().await?;
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
}

enum Built {
    Signed(Box<Attempt>),
    /// The pool moved past the bound between quote and simulation: the venues are asked once more.
    Stale(Failure),
}

//! Land: from a stored signature to what the chain made of it.
//!
//! Owns the first send, and the translation of the confirmer's reports into events. What is stored here is only what
//! the chain itself said; silence is stored as silence.

use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    effects::Effects,
    execute::{Executor, Stop},
    step::StepError,
};
use crate::{
    chain::{
        LandedTransaction, Records, Report, SendAnswer,
        failure::{explain_common, program_error},
        transaction::BASE_FEE,
    },
    domain::{Attempt, ErrorCode, Failure, Fill, Landing, Order, OrderEvent, OrderStatus, Slot},
    metrics as names,
};

/// How often the details of a confirmed order are looked for before it is left to the sweeper.
const SETTLE_TRIES: u32 = 4;
const SETTLE_REST: Duration = Duration::from_secs(1);
/// The longest rest between two looks for the effects of a transaction that is in a block.
const LONGEST_LOOK: Duration = Duration::from_secs(8);

impl Executor {
    /// Sends the stored bytes and stores what becomes of them. Gives the signer's permit back after the first send.
    pub(super) async fn land(
        &self,
        order: &mut Order,
        permit: &mut Option<OwnedSemaphorePermit>,
        signed_here: bool,
        stop: &Stop,
    ) -> Result<(), StepError> {
        let OrderStatus::Submitted { attempt } = &order.status else { return Ok(()) };
        let attempt = attempt.clone();
        // A wallet's subscription tells of all its transactions; without it each is subscribed by itself.
        let are_told = self.parts.records.as_ref().is_some_and(Records::are_told);
        for push in self.parts.pushes.iter().filter(|_| !are_told) {
            push.subscribe(attempt.signature);
        }
        // What another run signed may have landed long ago: the confirmer asks before it sends.
        let sent = signed_here && Box::pin(self.first_send(order, &attempt)).await;
        *permit = None;
        let mut watch = self.parts.confirmer.watch(attempt.clone(), sent).await.ok_or(StepError::Stopping)?;
        if sent {
            self.append(order, OrderEvent::Sent { signature: attempt.signature }).await?;
        }
        loop {
            let report = tokio::select! {
                biased;
                () = stop.hard.cancelled() => return Err(StepError::Stopping),
                report = watch.next() => report.ok_or(StepError::Stopping)?,
            };
            match report {
                Report::Unknown(reason) => self.append(order, OrderEvent::OutcomeUnknown { reason }).await?,
                Report::Expired(proof) => return self.append(order, OrderEvent::Expired { proof }).await,
                Report::Landed { slot, answer } => {
                    let landing = Landing { signature: attempt.signature, slot, answer: Some(answer) };
                    return Box::pin(self.landed(order, &attempt, landing, stop)).await;
                }
            }
        }
    }

    /// True when a node has it. Anything else is left to the confirmer, which sends again and finds out.
    async fn first_send(&self, order: &Order, attempt: &Attempt) -> bool {
        if attempt.n == 1 {
            let since_accepted = (OffsetDateTime::now_utc() - order.created_at).as_seconds_f64().max(0.0);
            metrics::histogram!(names::ORDER_HANDED).record(since_accepted);
        }
        match self.parts.rpc.send(&attempt.wire, attempt.context_slot).await {
            Ok(SendAnswer::Accepted | SendAnswer::AlreadyProcessed) => true,
            Ok(answer) => {
                tracing::warn!(signature = %attempt.signature, ?answer, "the first send was refused");
                false
            }
            Err(error) => {
                tracing::warn!(signature = %attempt.signature, %error, "the first send has no answer");
                false
            }
        }
    }

    /// Confirmed once its effects are seen. Without any it waits until the transaction can never run any more.
    async fn landed(
        &self,
        order: &mut Order,
        attempt: &Attempt,
        landing: Landing,
        stop: &Stop,
    ) -> Result<(), StepError> {
        self.parts.snapshots.moved(landing.slot);
        if let Some(error) = landing.answer.as_ref().and_then(|answer| answer.err.clone()) {
            return self.rejected(order, attempt, landing, &error).await;
        }
        // The program's own event in the logs says that it ran, and what it moved.
        if let Some(records) = self.told(attempt, landing.slot, None).await
            && let Some(fill) = self.fill(attempt, &records)
        {
            return self.append(order, OrderEvent::Landed { landing, fill: Some(fill), fee: Some(records.fee) }).await;
        }
        let (mut rest, mut told, mut is_past) = (SETTLE_REST, false, false);
        loop {
            match self.effects(attempt, is_past).await {
                Effects::Executed(details) => {
                    let fill = details.as_ref().and_then(|details| self.fill(attempt, details));
                    let fee = details.map(|details| details.fee);
                    return self.append(order, OrderEvent::Landed { landing, fill, fee }).await;
                }
                Effects::Failed(error) => return self.rejected(order, attempt, landing, &error).await,
                Effects::None => {
                    let reason =
                        "in a block, but never run: the wallet could not pay the fee and keep its rent reserve";
                    let failure = Failure::new(ErrorCode::InsufficientFunds, reason);
                    return self.append(order, OrderEvent::Rejected { landing, failure }).await;
                }
                Effects::Unknown if !told => {
                    told = true;
                    let reason = "it is in a block, but nothing shows yet that it was executed".to_owned();
                    self.append(order, OrderEvent::OutcomeUnknown { reason }).await?;
                }
                Effects::Unknown => {}
            }
            tokio::select! {
                () = stop.hard.cancelled() => return Err(StepError::Stopping),
                () = tokio::time::sleep(rest) => rest = (rest * 2).min(LONGEST_LOOK),
            }
            // Before the next look: what is then not there can never come.
            is_past = self.is_past(attempt).await;
        }
    }

    async fn rejected(
        &self,
        order: &mut Order,
        attempt: &Attempt,
        landing: Landing,
        error: &Value,
    ) -> Result<(), StepError> {
        self.parts.simulations.failed_in(&attempt.pool);
        let details = match self.told(attempt, landing.slot, Some(error)).await {
            Some(told) => Some(told),
            None => self.details(attempt, self.policy.details_within).await,
        };
        let logs = details.map(|details| details.logs).unwrap_or_default();
        let program = program_error(error, &logs, &attempt.wire);
        let failure: Failure = program
            .and_then(|found| self.venue(attempt.venue).ok()?.explain(&found.program, found.number))
            .unwrap_or_else(|| explain_common(error, program));
        self.append(order, OrderEvent::Rejected { landing, failure }).await
    }

    /// Reads the details of a swap that was confirmed without them.
    pub(super) async fn settle(&self, order: &mut Order, stop: &Stop) -> Result<(), StepError> {
        let OrderStatus::Confirmed { attempt, .. } = &order.status else { return Ok(()) };
        let attempt = attempt.clone();
        let mut rest = SETTLE_REST;
        for _ in 0..SETTLE_TRIES {
            if let Ok(Some(details)) = self.parts.rpc.transaction(&attempt.signature).await {
                let unread = || StepError::Poisoned("it landed, but what it moved cannot be made out".into());
                let fill = self.fill(&attempt, &details).ok_or_else(unread)?;
                return self.append(order, OrderEvent::Settled { fill, fee: details.fee }).await;
            }
            tokio::select! {
                () = stop.soft.cancelled() => return Err(StepError::Stopping),
                () = tokio::time::sleep(rest) => rest *= 2,
            }
        }
        tracing::warn!(signature = %attempt.signature, "confirmed, but its details cannot be read yet");
        Err(StepError::Stopping)
    }

    fn fill(&self, attempt: &Attempt, details: &LandedTransaction) -> Option<Fill> {
        self.venue(attempt.venue).ok()?.fill(&attempt.pool, details)
    }

    /// The landed transaction's records as the socket told them: its logs. What it paid follows from its own bytes.
    async fn told(&self, attempt: &Attempt, slot: Slot, error: Option<&Value>) -> Option<LandedTransaction> {
        let logs = self.parts.records.as_ref()?.logs(&attempt.signature, slot).await?;
        Some(LandedTransaction {
            slot,
            fee: BASE_FEE.saturating_add(attempt.priority_fee),
            error: error.cloned(),
            logs,
            pre_token_balances: Vec::new(),
            post_token_balances: Vec::new(),
        })
    }
}

//! Land: from a stored signature to what the chain made of it.
//!
//! Owns the first send, and the translation of the confirmer's reports into events. What is stored here is only what
//! the chain itself said; silence is stored as silence.

use std::time::Duration;

use serde_json::Value;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::execute::{Executor, StepError, Stop};
use crate::{
    chain::{
        LandedTransaction, Report, SendAnswer,
        failure::{explain_common, program_error},
    },
    domain::{Attempt, Failure, Fill, Landing, Order, OrderEvent, OrderStatus},
};

/// The first rest between two looks for a landed transaction's details; doubled each time.
const DETAILS_REST: Duration = Duration::from_millis(50);
/// How often the details of a confirmed order are looked for before it is left to the sweeper.
const SETTLE_TRIES: u32 = 4;
const SETTLE_REST: Duration = Duration::from_secs(1);

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
        if let Some(push) = &self.parts.push {
            push.subscribe(attempt.signature);
        }
        // What another run signed may have landed long ago: the confirmer asks before it sends.
        let sent = signed_here && self.first_send(&attempt).await;
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
                    return self.landed(order, &attempt, landing).await;
                }
            }
        }
    }

    /// True when a node has it. Anything else is left to the confirmer, which sends again and finds out.
    async fn first_send(&self, attempt: &Attempt) -> bool {
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

    async fn landed(&self, order: &mut Order, attempt: &Attempt, landing: Landing) -> Result<(), StepError> {
        if let Some(error) = landing.answer.as_ref().and_then(|answer| answer.err.clone()) {
            return self.rejected(order, attempt, landing, &error).await;
        }
        let details = self.details(attempt, self.policy.details_within).await;
        let fill = details.as_ref().and_then(|details| self.fill(attempt, details));
        let fee = details.map(|details| details.fee);
        self.append(order, OrderEvent::Landed { landing, fill, fee }).await
    }

    async fn rejected(
        &self,
        order: &mut Order,
        attempt: &Attempt,
        landing: Landing,
        error: &Value,
    ) -> Result<(), StepError> {
        let logs = self.details(attempt, self.policy.details_within).await.map(|details| details.logs);
        let program = program_error(error, &logs.unwrap_or_default(), &attempt.wire);
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

    /// The landed transaction's records, as soon as the node has them, but not later than `within`.
    async fn details(&self, attempt: &Attempt, within: Duration) -> Option<LandedTransaction> {
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

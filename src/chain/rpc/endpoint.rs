//! Endpoint: one node with its connection, its budget, its health and the proof that it is on our cluster.
//!
//! Owns the order of these for a call: the right cluster, the node's own wish to be left alone, a turn, the question. Its
//! name is for people and holds no secret. Never asks another node and never asks twice.

use std::{
    sync::{Mutex, OnceLock},
    time::Duration,
};

use serde_json::Value;
use solana_client::{nonblocking::rpc_client::RpcClient, rpc_client::RpcClientConfig};
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client_api::{client_error::Error as ClientError, request::RpcRequest};
use tokio::time::Instant;

use super::{
    answers::SendAnswer,
    budget::{Budget, Limits},
    call::Call,
    health::Health,
    refusals::{ChainError, chain_error, send_refusal},
    transport::Transport,
};
use crate::{lock::lock, metrics as names};

/// No second node is asked before this.
const LEAST_PATIENCE: Duration = Duration::from_millis(150);
/// A second node is asked after this many times the usual latency.
const PATIENCE: u32 = 3;
/// The patience with a method that has never been answered.
const FIRST_PATIENCE: Duration = Duration::from_millis(500);

/// One node.
pub(super) struct Endpoint {
    name: String,
    client: RpcClient,
    timeout: Duration,
    health: Health,
    budget: Budget,
    standing: Mutex<Standing>,
}

/// What is known of an endpoint's cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It has not said yet.
    Unknown,
    /// It is ours.
    Ours,
    /// It is another one: never to be asked again.
    Foreign,
}

impl Endpoint {
    pub(super) fn new(name: String, url: String, timeout: Duration, limits: Option<Limits>) -> Self {
        let config = RpcClientConfig::with_commitment(CommitmentConfig::confirmed());
        Self {
            name,
            client: RpcClient::new_sender(Transport::new(url, timeout), config),
            timeout,
            health: Health::default(),
            budget: Budget::new(limits),
            standing: Mutex::new(Standing::Unknown),
        }
    }

    /// For logs.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it turned out to be on another cluster.
    pub(super) fn is_foreign(&self) -> bool {
        *lock(&self.standing) == Standing::Foreign
    }

    /// Until when it rests; `None` when it does not.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        self.health.rests_until()
    }

    /// When its answer can be expected.
    pub(super) fn expected(&self, call: &Call) -> Duration {
        self.budget.wait(call.method, call.urgency) + self.health.latency(call.method).unwrap_or_default()
    }

    /// Whether a call would go at once.
    pub(super) fn is_free(&self, call: &Call) -> bool {
        self.rests_until().is_none() && self.budget.wait(call.method, call.urgency).is_zero()
    }

    /// How long its answer is waited for before another node is asked too.
    pub(super) fn patience(&self, call: &Call) -> Duration {
        let usual = self.health.latency(call.method).map_or(FIRST_PATIENCE, |usual| usual * PATIENCE);
        self.budget.wait(call.method, call.urgency) + usual.max(LEAST_PATIENCE)
    }

    /// Asks once.
    pub(super) async fn read(
        &self,
        call: &Call,
        deadline: Instant,
        genesis: &OnceLock<String>,
    ) -> Result<Value, ChainError> {
        self.ask(call, deadline, genesis, |answer| answer.map_err(|error| chain_error(call.method, error))).await
    }

    /// Hands bytes over once.
    pub(super) async fn send(
        &self,
        call: &Call,
        deadline: Instant,
        genesis: &OnceLock<String>,
    ) -> Result<SendAnswer, ChainError> {
        self.ask(call, deadline, genesis, |answer| match answer {
            Ok(_signature) => Ok(SendAnswer::Accepted),
            Err(error) => send_refusal(error),
        })
        .await
    }

    async fn ask<T>(
        &self,
        call: &Call,
        deadline: Instant,
        genesis: &OnceLock<String>,
        sort: impl Fn(Result<Value, ClientError>) -> Result<T, ChainError>,
    ) -> Result<T, ChainError> {
        self.admit(genesis, deadline).await?;
        self.once(call, deadline, sort).await
    }

    /// An endpoint that was silent at the start shows its cluster before it is used.
    async fn admit(&self, genesis: &OnceLock<String>, deadline: Instant) -> Result<(), ChainError> {
        let Some(ours) = genesis.get() else { return Ok(()) };
        let standing = *lock(&self.standing);
        if standing == Standing::Unknown {
            let call = Call::new(RpcRequest::GetGenesisHash, Value::Null);
            let said =
                self.once(&call, deadline, |answer| answer.map_err(|error| chain_error(call.method, error))).await?;
            let standing = if said.as_str() == Some(ours) { Standing::Ours } else { Standing::Foreign };
            *lock(&self.standing) = standing;
            if standing == Standing::Foreign {
                tracing::error!(endpoint = self.name, genesis = %said, "this endpoint is on another cluster: not used");
            }
        }
        if self.is_foreign() { Err(ChainError::WrongCluster) } else { Ok(()) }
    }

    async fn once<T>(
        &self,
        call: &Call,
        deadline: Instant,
        sort: impl Fn(Result<Value, ClientError>) -> Result<T, ChainError>,
    ) -> Result<T, ChainError> {
        if let Some(until) = self.health.told_to_wait_until() {
            // Only a node that nothing can stand in for is asked while it wants to be left alone: as late as may be.
            let half = deadline.saturating_duration_since(Instant::now()) / 2;
            tokio::time::sleep_until(until.min(Instant::now() + half)).await;
        }
        if tokio::time::timeout_at(deadline, self.budget.turn(call.method, call.urgency)).await.is_err() {
            return Err(ChainError::RateLimited { retry_after: None });
        }
        let mut asking = Asking { health: &self.health, method: call.method, since: Instant::now(), over: false };
        let asked = tokio::time::timeout_at(deadline, self.client.send(call.request, call.params.clone())).await;
        asking.over = true;
        let answer = match asked {
            Ok(answer) => sort(answer),
            Err(_) => Err(ChainError::TimedOut { method: call.method, after: self.timeout }),
        };
        let took = asking.since.elapsed();
        self.count(call.method, took, answer.as_ref().err());
        self.note(call.method, took, answer.as_ref().err());
        answer
    }

    fn count(&self, method: &'static str, took: Duration, error: Option<&ChainError>) {
        let result = error.map_or("ok", ChainError::name);
        metrics::counter!(names::RPC_CALLS, "endpoint" => self.name.clone(), "method" => method, "result" => result)
            .increment(1);
        names::seconds(names::RPC_TIME, "method", method, took);
    }

    fn note(&self, method: &'static str, after: Duration, error: Option<&ChainError>) {
        match error {
            Some(error) if error.is_the_nodes_own() => {
                if self.health.failed(error.retry_after()) {
                    tracing::warn!(endpoint = self.name, method, %error, "an endpoint rests");
                }
            }
            _ => {
                if self.health.answered(method, after) {
                    tracing::info!(endpoint = self.name, "an endpoint answers again");
                }
            }
        }
    }
}

/// A question on its way. Dropped before it is over, it tells how long nobody answered.
struct Asking<'a> {
    health: &'a Health,
    method: &'static str,
    since: Instant,
    over: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.health.abandoned(self.method, self.since.elapsed());
        }
    }
}

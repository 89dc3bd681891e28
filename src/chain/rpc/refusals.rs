//! Refusals: why a call brought no answer, sorted by kind and code.

use std::{sync::Arc, time::Duration};

use solana_rpc_client_api::{
    client_error::{Error as ClientError, ErrorKind},
    request::{RpcError, RpcResponseErrorData},
};

use super::{answers::SendAnswer, transport::Limited};
use crate::domain::ErrorCode;

/// What a node refuses because it does not keep it: cleaned-up blocks, history, long-term storage, an old version.
const ELSEWHERE: [i64; 5] = [-32001, -32011, -32019, -32020, -32601];

/// Why an RPC call brought no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChainError {
    /// No connection, a dropped one, or an HTTP error: for a send the outcome is unknown.
    #[error("the RPC endpoint does not answer")]
    Unreachable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// No answer in time: for a send the outcome is unknown.
    #[error("the RPC endpoint did not answer {method} within {after:?}")]
    TimedOut {
        /// The call.
        method: &'static str,
        /// Its limit.
        after: Duration,
    },
    /// HTTP 429, the same as a JSON-RPC code, or no turn within our own budget.
    #[error("the RPC endpoint limits our rate")]
    RateLimited {
        /// How long the node wants to be left alone, if it said so.
        retry_after: Option<Duration>,
    },
    /// The node is behind or unhealthy (-32005, -32016).
    #[error("the RPC node is behind")]
    NodeBehind,
    /// Its genesis hash is another one; nothing is asked there.
    #[error("the RPC endpoint is on another cluster")]
    WrongCluster,
    /// The node refuses the request itself.
    #[error("the RPC node refuses {method}: {message} ({code})")]
    Refused {
        /// The call.
        method: &'static str,
        /// JSON-RPC code.
        code: i64,
        /// Its text.
        message: String,
    },
    /// An answer this version cannot read.
    #[error("the RPC answer to {method} cannot be read: {detail}")]
    Unreadable {
        /// The call.
        method: &'static str,
        /// What was wrong.
        detail: String,
    },
}

impl ChainError {
    /// The client's code: whatever kept the chain from answering, the client sees one thing.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Unreachable(_)
            | Self::TimedOut { .. }
            | Self::RateLimited { .. }
            | Self::NodeBehind
            | Self::WrongCluster
            | Self::Refused { .. }
            | Self::Unreadable { .. } => ErrorCode::RpcUnavailable,
        }
    }

    /// Its kind, in a word, for those who count.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut { .. } => "timed_out",
            Self::RateLimited { .. } => "rate_limited",
            Self::NodeBehind => "node_behind",
            Self::WrongCluster => "wrong_cluster",
            Self::Refused { .. } => "refused",
            Self::Unreadable { .. } => "unreadable",
        }
    }

    /// Whether it says something of the node, which then rests, and not of the question.
    pub(super) const fn is_the_nodes_own(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::TimedOut { .. } | Self::RateLimited { .. } | Self::NodeBehind)
    }

    /// Whether another node may know better.
    pub(super) fn may_be_better_elsewhere(&self) -> bool {
        match self {
            Self::Refused { code, .. } => ELSEWHERE.contains(code),
            Self::WrongCluster => true,
            error => error.is_the_nodes_own(),
        }
    }

    /// Whether a send that ended in this may have arrived.
    pub(super) const fn leaves_a_send_open(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::TimedOut { .. })
    }

    /// How long the node wants to be left alone, if it said so.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => *retry_after,
            _ => None,
        }
    }
}

pub(super) fn unreadable(method: &'static str, detail: impl ToString) -> ChainError {
    ChainError::Unreadable { method, detail: detail.to_string() }
}

/// Sorts a failed call by its kind and code, never by its text.
pub(super) fn chain_error(method: &'static str, error: ClientError) -> ChainError {
    match *error.kind {
        ErrorKind::RpcError(RpcError::RpcResponseError { code, message, .. }) => match code {
            -32005 | -32016 => ChainError::NodeBehind,
            code => ChainError::Refused { method, code, message },
        },
        ErrorKind::Middleware(inner) if inner.is::<Limited>() => ChainError::RateLimited {
            retry_after: inner.downcast_ref::<Limited>().and_then(|limited| limited.retry_after),
        },
        // Without its URL: an endpoint's key is often part of it.
        ErrorKind::Reqwest(inner) => ChainError::Unreachable(Arc::new(inner.without_url())),
        ErrorKind::SerdeJson(inner) => unreadable(method, inner),
        other => ChainError::Unreachable(Arc::new(other)),
    }
}

/// Sorts a refused send. `data.err` decides; the local chain sends none, so its two texts are known here.
pub(super) fn send_refusal(error: ClientError) -> Result<SendAnswer, ChainError> {
    use solana_sdk::transaction::TransactionError;

    let known = |error: &TransactionError| match error {
        TransactionError::AlreadyProcessed => SendAnswer::AlreadyProcessed,
        TransactionError::BlockhashNotFound => SendAnswer::BlockhashNotFound,
        other => SendAnswer::Refused(other.to_string()),
    };
    match error.kind() {
        ErrorKind::TransactionError(inner) => Ok(known(inner)),
        ErrorKind::RpcError(RpcError::RpcResponseError { code, message, data }) => {
            if let RpcResponseErrorData::SendTransactionPreflightFailure(result) = data
                && let Some(inner) = &result.err
            {
                return Ok(known(&inner.clone().into()));
            }
            match *code {
                -32002 if message.contains("already been processed") => Ok(SendAnswer::AlreadyProcessed),
                -32002 if message.contains("Blockhash not found") => Ok(SendAnswer::BlockhashNotFound),
                -32002 | -32003 | -32006 | -32602 => Ok(SendAnswer::Refused(message.clone())),
                _ => Err(chain_error("sendTransaction", error)),
            }
        }
        _ => Err(chain_error("sendTransaction", error)),
    }
}

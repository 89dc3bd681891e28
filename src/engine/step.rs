//! Step: why one did not move its order, and what that means for the order.
//!
//! Owns the sorting of every error of the engine's parts by one question: does trying again change anything? Never
//! decides when that is.

use super::{JournalError, treasury::TreasuryError};
use crate::{
    chain::ChainError,
    domain::{ErrorCode, Failure},
    router::RouteError,
    store::StoreError,
    venue::VenueError,
};

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

//! The life of an order: its states, the events that move it, and what is to be done next.
//!
//! One table (`OrderStatus::apply`) is the only place a status changes. A row missing there is a transition that
//! cannot happen. From `Submitted` nothing but proof leads out: landed, landed with an error, provably expired, or
//! the chain itself gone.
//!
//! ```text
//! pending -> routing -> building -> submitted -> confirmed
//!               ^  ^_______|            |  \---> failed      (landed with an error)
//!               |_______________________|                    (provably expired: may be signed again)
//! ```

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Attempt, ErrorCode, Failure, Fill, Lamports, Landing, OrderEvent, Quote, VenueId};

/// A state's name: what clients call an order's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted, not taken up yet.
    Pending,
    /// Venues are being asked.
    Routing,
    /// The transaction is being built and signed.
    Building,
    /// A signature exists that may land.
    Submitted,
    /// The swap took place.
    Confirmed,
    /// No swap took place, and none will.
    Failed,
    /// Called off.
    Cancelled,
}

impl Status {
    /// Every status, in the order of an order's life.
    pub const ALL: [Self; 7] =
        [Self::Pending, Self::Routing, Self::Building, Self::Submitted, Self::Confirmed, Self::Failed, Self::Cancelled];

    /// The wire form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Routing => "routing",
            Self::Building => "building",
            Self::Submitted => "submitted",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// From the wire form.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether this is the last status an order will ever have.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Confirmed | Self::Failed | Self::Cancelled)
    }
}

/// Where an order stands; each state carries its own data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum OrderStatus {
    /// Stored, not taken up yet.
    Pending,
    /// Venues are being asked.
    Routing,
    /// A route is chosen; the transaction is being built.
    Building {
        /// The chosen quote.
        quote: Quote,
    },
    /// A signature exists that may land.
    Submitted {
        /// It.
        attempt: Attempt,
    },
    /// Landed; its details are known or still being read.
    Confirmed {
        /// The try that landed.
        attempt: Attempt,
        /// Where.
        landing: Landing,
        /// What it moved.
        fill: Option<Fill>,
        /// What it cost.
        fee: Option<Lamports>,
    },
    /// Filled by a mock venue.
    PaperFilled {
        /// Who filled.
        venue: VenueId,
        /// What it would have moved.
        fill: Fill,
    },
    /// Ended without a swap.
    Failed {
        /// Why.
        failure: Failure,
        /// The transaction that landed with the error, if that is how it ended.
        landing: Option<Landing>,
    },
    /// Called off.
    Cancelled,
}

/// An event that cannot happen in an order's state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an order that is {from} cannot take this event: {event}")]
pub struct IllegalTransition {
    /// Where the order stands.
    pub from: &'static str,
    /// The event's name.
    pub event: &'static str,
}

/// What has to be done for an order next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Take it up.
    Claim,
    /// Ask the venues.
    Route,
    /// Build, simulate, sign.
    Build,
    /// Send, send again, and find out what became of it.
    Land,
    /// Read the details of the landed transaction.
    Settle,
    /// Nothing, ever.
    Nothing,
}

impl OrderStatus {
    /// The state after `event`.
    ///
    /// # Errors
    /// When the event cannot happen here.
    pub fn apply(&self, event: &OrderEvent) -> Result<Self, IllegalTransition> {
        use {OrderEvent as E, OrderStatus as S};
        Ok(match (self, event) {
            (S::Pending, E::Claimed) => S::Routing,
            (S::Routing, E::Routed { route, .. }) => S::Building { quote: route.chosen.clone() },
            (S::Building { .. }, E::Requoted { .. }) => S::Routing,
            (S::Building { quote }, E::PaperFilled { venue, fill }) if !quote.executable => {
                S::PaperFilled { venue: *venue, fill: fill.clone() }
            }
            (S::Building { quote }, E::Signed { attempt }) if quote.executable => {
                S::Submitted { attempt: attempt.clone() }
            }
            (S::Submitted { attempt }, E::Sent { signature }) if attempt.signature == *signature => self.clone(),
            (S::Submitted { .. }, E::OutcomeUnknown { .. }) => self.clone(),
            (S::Submitted { attempt }, E::Expired { proof }) if proof.covers(attempt) => S::Routing,
            (S::Submitted { attempt }, E::Landed { landing, fill, fee }) if attempt.signature == landing.signature => {
                S::Confirmed { attempt: attempt.clone(), landing: landing.clone(), fill: fill.clone(), fee: *fee }
            }
            (S::Submitted { attempt }, E::Rejected { landing, failure }) if attempt.signature == landing.signature => {
                S::Failed { failure: failure.clone(), landing: Some(landing.clone()) }
            }
            (S::Submitted { .. }, E::ChainReset) => S::Failed {
                failure: Failure::new(
                    ErrorCode::ChainReset,
                    "the local chain that held this transaction was restarted; nothing of it exists any more",
                ),
                landing: None,
            },
            (S::Confirmed { attempt, landing, fill: None, .. }, E::Settled { fill, fee }) => S::Confirmed {
                attempt: attempt.clone(),
                landing: landing.clone(),
                fill: Some(fill.clone()),
                fee: Some(*fee),
            },
            (S::Pending | S::Routing | S::Building { .. }, E::Retrying { .. }) => self.clone(),
            (S::Pending | S::Routing | S::Building { .. }, E::Failed { failure }) => {
                S::Failed { failure: failure.clone(), landing: None }
            }
            (S::Pending | S::Routing | S::Building { .. }, E::Cancelled) => S::Cancelled,
            // A mark beside the status: wherever something is left to do, and without a word on how it ends.
            (from, E::SetAside { .. } | E::Replayed) if from.has_work() => from.clone(),
            (from, event) => {
                return Err(IllegalTransition { from: from.name().as_str(), event: event.name() });
            }
        })
    }

    /// The state's name.
    pub const fn name(&self) -> Status {
        match self {
            Self::Pending => Status::Pending,
            Self::Routing => Status::Routing,
            Self::Building { .. } => Status::Building,
            Self::Submitted { .. } => Status::Submitted,
            Self::Confirmed { .. } | Self::PaperFilled { .. } => Status::Confirmed,
            Self::Failed { .. } => Status::Failed,
            Self::Cancelled => Status::Cancelled,
        }
    }

    /// Whether anything is left to do.
    pub fn has_work(&self) -> bool {
        self.next_step() != NextStep::Nothing
    }

    /// What has to be done in this state.
    pub const fn next_step(&self) -> NextStep {
        match self {
            Self::Pending => NextStep::Claim,
            Self::Routing => NextStep::Route,
            Self::Building { .. } => NextStep::Build,
            Self::Submitted { .. } => NextStep::Land,
            Self::Confirmed { fill: None, .. } => NextStep::Settle,
            Self::Confirmed { .. } | Self::PaperFilled { .. } | Self::Failed { .. } | Self::Cancelled => {
                NextStep::Nothing
            }
        }
    }
}

#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod tests;

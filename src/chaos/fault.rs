//! Fault: what can happen to a message between a client and a node.
//!
//! Owns the list, and which messages each fault can befall. Never carries one out: see `http`, `alter` and `socket`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ChaosError;

/// The longest a fault may hold a message.
const LONGEST: Duration = Duration::from_secs(600);

/// What happens to a message. The first part befalls calls over HTTP, the last part messages on sockets.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The call gets no answer.
    Drop {
        /// What the client sees instead.
        #[serde(default)]
        seen: Seen,
        /// Whether the node got the call nevertheless.
        #[serde(default)]
        forward: bool,
    },
    /// The call is held for a while first, drawn evenly from the range. A batch's later calls wait with it.
    Delay {
        /// At least this long.
        #[serde(with = "humantime_serde")]
        min: Duration,
        /// At most this long.
        #[serde(with = "humantime_serde")]
        max: Duration,
    },
    /// The node gets the call twice.
    Duplicate {
        /// Which of its two answers the client gets.
        #[serde(default)]
        answer: Which,
    },
    /// The node gets the call, the client gets HTTP 502.
    #[serde(rename = "accept_then_502")]
    AcceptThen502,
    /// The call is held until the rule ends. A client that goes away takes its call with it.
    Hold {
        /// The node gets the call at once, and only its answer is held.
        #[serde(default)]
        forward: bool,
    },
    /// A send is answered with its signature, and the node never gets it.
    Swallow,
    /// A send is answered with its signature, and the node gets it later, whatever becomes of the client.
    Late(Lateness),
    /// The node seems not to know these signatures: statuses and transactions are null. Empty: any signature.
    Hide {
        /// In base58.
        #[serde(default)]
        signatures: Vec<String>,
    },
    /// The node is this many slots behind in all it says of slots, heights, statuses and transactions, and answers
    /// -32016 to a `minContextSlot` it has not reached. A blockhash comes with its own bound: an older one that has
    /// passed here before, else the true one. Account data stays new, only its `context.slot` is set back.
    Lag {
        /// How far behind.
        slots: u64,
    },
    /// Slot and height read by getSlot, getBlockHeight and getEpochInfo are smaller by this.
    HeightBack {
        /// How far back.
        by: u64,
    },
    /// Finalized slot, height, statuses and transactions stay where they were at the rule's first call, while
    /// confirmed goes on. Sockets are not changed.
    FinalityStops,
    /// HTTP 429.
    TooManyRequests {
        /// Seconds for `Retry-After`; without it the header is left out.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// A JSON-RPC error in place of an answer; the node does not get the call.
    Refuse(Refusal),
    /// Every signature asked for has failed in a block at commitment `processed`, as on a fork that is dropped later.
    ForkedError {
        /// The error's wire form.
        #[serde(default = "forked_error")]
        error: Value,
    },
    /// Every signature asked for is in a block without an error, and its records show that nothing happened: as where the
    /// payer could not pay. Best together with `swallow`.
    NotRun,

    /// Socket: a notification is lost.
    LoseNotification,
    /// Socket: a notification comes twice.
    DoubleNotification,
    /// Socket: a notification comes late, later ones do not wait for it.
    DelayNotification {
        /// At least this late.
        #[serde(with = "humantime_serde")]
        min: Duration,
        /// At most this late.
        #[serde(with = "humantime_serde")]
        max: Duration,
    },
    /// Socket: a signature's notification has this `err` in place of its own.
    WrongNotification {
        /// The error's wire form.
        #[serde(default = "wrong_error")]
        error: Value,
    },
    /// Socket: a notification that the node never sent comes right after the answer to a `signatureSubscribe`.
    EarlyNotification {
        /// The error's wire form; null says that it succeeded.
        #[serde(default)]
        error: Value,
    },
    /// Socket: a message, in either direction, cuts every open socket, without a closing frame.
    CutSockets,
    /// Socket: every open socket is cut each time this long has passed; `when` counts the times.
    CutSocketsEvery(#[serde(with = "humantime_serde")] Duration),
}

/// When a send that is late reaches the node. The number is drawn evenly from the range.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Lateness {
    /// So many slots after the call.
    Slots {
        /// At least.
        min: u16,
        /// At most.
        max: u16,
    },
    /// When the node's height at `processed` is so many blocks past the last one that may hold the transaction. Below
    /// zero it is just in time, from zero on it is too late. At once, if its blockhash never passed here.
    Expiry {
        /// At least.
        min: i16,
        /// At most.
        max: i16,
    },
}

/// What a client sees of a call that gets no answer.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// Nothing, until its own time-out.
    #[default]
    Silence,
    /// The connection ends.
    Close,
}

/// One of two answers to the same call.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// What the node said first.
    #[default]
    First,
    /// What the node said to the repetition.
    Second,
}

/// JSON-RPC errors that say something of the node or of a send.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// -32005 with `data.numSlotsBehind`.
    NodeUnhealthy,
    /// -32016 with `data.contextSlot`.
    MinContextSlot,
    /// -32011: the node keeps no history.
    NoHistory,
    /// -32002 with `data.err`: the status cache has the signature.
    AlreadyProcessed,
    /// -32002 with `data.err`: the node does not know the blockhash.
    BlockhashNotFound,
    /// The same as the embedded chain says it: -32002 with a text and no data.
    AlreadyProcessedText,
    /// The same as the embedded chain says it: -32002 with a text and no data.
    BlockhashNotFoundText,
}

fn forked_error() -> Value {
    json!({"InstructionError": [0, {"Custom": 1}]})
}

fn wrong_error() -> Value {
    json!("BlockhashNotFound")
}

impl Fault {
    /// Whether it happens on sockets. All others happen to calls over HTTP.
    pub const fn is_for_sockets(&self) -> bool {
        matches!(
            self,
            Self::LoseNotification
                | Self::DoubleNotification
                | Self::DelayNotification { .. }
                | Self::WrongNotification { .. }
                | Self::EarlyNotification { .. }
                | Self::CutSockets
                | Self::CutSocketsEvery(_)
        )
    }

    /// Whether a message with this method can suffer it.
    pub(super) fn befalls(&self, method: &str) -> bool {
        match self {
            Self::Swallow | Self::Late(_) => method == "sendTransaction",
            Self::Refuse(refusal) => refusal.befalls(method),
            Self::Hide { .. } | Self::NotRun => matches!(method, "getSignatureStatuses" | "getTransaction"),
            Self::ForkedError { .. } => method == "getSignatureStatuses",
            Self::HeightBack { .. } => matches!(method, "getSlot" | "getBlockHeight" | "getEpochInfo"),
            Self::FinalityStops => matches!(
                method,
                "getSlot"
                    | "getBlockHeight"
                    | "getEpochInfo"
                    | "getLatestBlockhash"
                    | "getSignatureStatuses"
                    | "getTransaction"
            ),
            Self::LoseNotification | Self::DoubleNotification | Self::DelayNotification { .. } => {
                method.ends_with("Notification")
            }
            Self::WrongNotification { .. } => method == "signatureNotification",
            Self::EarlyNotification { .. } => method == "signatureSubscribe",
            Self::CutSocketsEvery(_) => false,
            Self::Drop { .. }
            | Self::Delay { .. }
            | Self::Hold { .. }
            | Self::Duplicate { .. }
            | Self::AcceptThen502
            | Self::Lag { .. }
            | Self::TooManyRequests { .. }
            | Self::CutSockets => true,
        }
    }

    pub(super) fn check(&self) -> Result<(), ChaosError> {
        let wrong = |reason: &str| Err(ChaosError::Rule(reason.into()));
        match self {
            Self::Delay { min, max } | Self::DelayNotification { min, max } if min > max => {
                wrong("a delay of at least more than at most")
            }
            Self::Delay { max, .. } | Self::DelayNotification { max, .. } if *max > LONGEST => {
                wrong("a delay of more than ten minutes")
            }
            Self::Late(Lateness::Slots { min, max }) if min > max => wrong("late by at least more than at most"),
            Self::Late(Lateness::Expiry { min, max }) if min > max => wrong("late by at least more than at most"),
            Self::CutSocketsEvery(period) if *period < Duration::from_millis(1) => {
                wrong("sockets cannot be cut more often than each millisecond")
            }
            _ => Ok(()),
        }
    }
}

impl Refusal {
    fn befalls(self, method: &str) -> bool {
        match self {
            Self::NodeUnhealthy | Self::MinContextSlot => true,
            Self::NoHistory => {
                matches!(method, "getSignatureStatuses" | "getTransaction" | "getSignaturesForAddress" | "getBlock")
            }
            Self::AlreadyProcessed
            | Self::BlockhashNotFound
            | Self::AlreadyProcessedText
            | Self::BlockhashNotFoundText => method == "sendTransaction",
        }
    }
}

//! Flight: one attempt that is being watched, and the way back to whoever waits for it.
//!
//! Owns what is known of the attempt while nothing is decided, and its reports. Never asks or decides anything.

use std::sync::Arc;

use solana_sdk::signature::Signature;
use tokio::{sync::mpsc, time::Instant};

use crate::domain::{Attempt, BlockHeight, ExpiryProof, Slot, StatusAnswer};

/// Reports that may wait for an order's task: there are at most this many kinds before the last.
const REPORTS: usize = 8;

/// What is known of one attempt. After `Landed` or `Expired` nothing more comes.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Nobody could say for a while; it is still being asked.
    Unknown(String),
    /// In a block that stays, at commitment `confirmed`.
    Landed {
        /// The block's slot.
        slot: Slot,
        /// What was said of it, with the transaction's error if it failed.
        answer: StatusAnswer,
    },
    /// It can never land any more.
    Expired(ExpiryProof),
}

/// A channel takes room for 32 of what it carries, and there is one for each attempt in flight.
type Boxed = Box<Report>;

/// One attempt's reports, in order. Dropping it ends the watch.
pub struct Watch {
    reports: mpsc::Receiver<Boxed>,
}

impl Watch {
    /// The next report; `None` when the confirmer has stopped. Cancel-safe.
    pub async fn next(&mut self) -> Option<Report> {
        self.reports.recv().await.map(|report| *report)
    }
}

/// Signed bytes, and what decides whether they can still land.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The transaction's first signature: its identity.
    pub signature: Signature,
    /// The bytes that are sent, always the same.
    pub wire: Arc<[u8]>,
    /// The last block height at which it can land; of the same reply as its blockhash.
    pub last_valid_block_height: BlockHeight,
    /// The slot of that reply; nodes behind it do not know the blockhash yet.
    pub context_slot: Slot,
}

impl From<Attempt> for Signed {
    fn from(attempt: Attempt) -> Self {
        let Attempt { signature, wire, last_valid_block_height, context_slot, .. } = attempt;
        Self { signature, wire, last_valid_block_height, context_slot }
    }
}

/// An attempt that nobody can say the end of yet.
pub(super) struct InFlight {
    pub(super) attempt: Signed,
    reports: mpsc::Sender<Boxed>,
    /// `None` until this process has sent it.
    pub(super) sent_at: Option<Instant>,
    /// Early polls that a hint is still worth.
    pub(super) looks: u8,
    pub(super) told_unknown: bool,
}

impl InFlight {
    /// With where its reports come out.
    pub(super) fn new(attempt: Signed, sent: bool) -> (Self, Watch) {
        let (sender, reports) = mpsc::channel(REPORTS);
        let sent_at = sent.then(Instant::now);
        (Self { attempt, reports: sender, sent_at, looks: 0, told_unknown: false }, Watch { reports })
    }

    /// Whether anybody waits for its reports.
    pub(super) fn is_watched(&self) -> bool {
        !self.reports.is_closed()
    }

    /// Never blocks the loop: a full channel means that the order's task has not read the last reports yet, and the
    /// last report is repeated by the next look at the store.
    pub(super) fn report(&self, report: Report) {
        if self.reports.try_send(Box::new(report)).is_err() {
            tracing::debug!(signature = %self.attempt.signature, "nobody reads this attempt's reports any more");
        }
    }
}

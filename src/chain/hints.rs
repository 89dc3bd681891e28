//! Hints: signatures that a socket has told of.
//!
//! Owns the way from whoever hears something to the confirmer, who asks the chain about it. A hint decides nothing and
//! may be lost, late, doubled or wrong: what it is about is found by the polls anyway, only later.

use solana_sdk::signature::Signature;
use tokio::sync::mpsc;

/// Hints that may wait to be taken up; more are left to the polls.
const INBOX: usize = 4_096;

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Something happened to this signature.
    Of(Signature),
    /// Nobody listened for a while: anything may have happened.
    Anything,
}

/// Where hints are given.
#[derive(Clone, Debug)]
pub struct Hints(mpsc::Sender<Hint>);

impl Hints {
    /// The handle, and the end that takes them up.
    pub fn new() -> (Self, mpsc::Receiver<Hint>) {
        let (sender, heard) = mpsc::channel(INBOX);
        (Self(sender), heard)
    }

    /// Passes a hint on, unless too many wait.
    pub fn give(&self, hint: Hint) {
        if self.0.try_send(hint).is_err() {
            tracing::debug!(?hint, "a hint is left to the polls");
        }
    }
}

//! Engine: what happens to an order between a client's request and its end.
//!
//! `journal` is the one door for status changes, `intake` accepts and cancels, `worker` claims jobs and bounds
//! concurrency, `execute` drives one order step by step, `sweeper` finds orders that nobody drives.

pub mod intake;
pub mod journal;

pub use intake::{Accepted, CancelError, Intake, SubmitError};
pub use journal::{Journal, JournalError};

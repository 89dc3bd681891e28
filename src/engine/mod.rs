//! Engine: what happens to an order between a client's request and its end.
//!
//! `journal` is the one door for status changes, `intake` accepts and cancels, `worker` claims jobs and bounds
//! concurrency, `execute` drives one order step by step (`build` and `land` are its two long steps), `treasury` says
//! which wallet pays, `sweeper` finds orders that nobody drives.

pub mod execute;
pub mod holdings;
pub mod intake;
pub mod journal;
pub mod sweeper;
pub mod treasury;
pub mod worker;

mod build;
mod land;

pub use execute::{Executor, Parts, Policy};
pub use holdings::Holdings;
pub use intake::{Accepted, CancelError, Intake, SubmitError};
pub use journal::{Journal, JournalError};
pub use treasury::{Rents, Treasury};

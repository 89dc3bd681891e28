//! Engine: what happens to an order between a client's request and its end.
//!
//! `journal` is the one door for status changes, `intake` accepts and cancels, `worker` claims jobs and bounds
//! concurrency, `execute` drives one order step by step (`build` and `land` are its two long steps, `simulations` says
//! which swaps are simulated, `effects` whether what landed also ran), `treasury` says which wallet pays, `sweeper` finds
//! orders that nobody drives, `dead_letters` sets aside what makes trouble, `control` is the kill switch, `deadline` ends
//! what was not signed in time, and `rehearsal` is the dry run.

pub mod control;
pub mod dead_letters;
pub mod deadline;
pub mod execute;
pub mod holdings;
pub mod intake;
pub mod journal;
pub mod rehearsal;
pub mod simulations;
pub mod sweeper;
pub mod treasury;
pub mod worker;

mod build;
mod effects;
mod land;
mod places;

pub use control::Control;
pub use dead_letters::ReplayError;
pub use execute::{Executor, Parts, Policy};
pub use holdings::Holdings;
pub use intake::{Accepted, Admission, CancelError, Intake, SubmitError};
pub use journal::{Journal, JournalError};
pub use rehearsal::Rehearsal;
pub use simulations::Simulations;
pub use treasury::{Rents, Treasury};

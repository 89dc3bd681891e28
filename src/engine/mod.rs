//! Engine: what happens to an order between a client's request and its end.
//!
//! `journal` is the one door for status changes, `announcer` tells the bus of them, `intake` accepts and cancels, `worker`
//! claims jobs and bounds concurrency (`handover` spares it reading what this process just stored), `execute` drives one
//! order step by step (`route`, `build` and `land` are its long steps, `step` says why one did not move the order,
//! `simulations` which swaps are simulated, `effects` whether what landed also ran), `treasury` says which wallet pays, `sweeper` finds
//! orders that nobody drives, `dead_letters` sets aside what makes trouble, `control` is the kill switch, `deadline` ends
//! what was not signed in time, and `rehearsal` is the dry run.

pub mod announcer;
pub mod control;
pub mod dead_letters;
pub mod deadline;
pub mod execute;
pub mod handover;
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
mod route;
mod step;

pub use announcer::Announcer;
pub use control::Control;
pub use dead_letters::ReplayError;
pub use execute::{Executor, Parts, Policy};
pub use handover::Handover;
pub use holdings::Holdings;
pub use intake::{Accepted, Admission, CancelError, Intake, SubmitError};
pub use journal::{Journal, JournalError};
pub use rehearsal::Rehearsal;
pub use simulations::Simulations;
pub use treasury::{Rents, Treasury};

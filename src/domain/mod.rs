//! The vocabulary: amounts, orders, quotes, the life of an order, and the errors a client sees.
//!
//! Values in, values out: nothing here reads a clock, a file or a socket.

pub mod amount;
pub mod caps;
pub mod error;
pub mod event;
pub(crate) mod ids;
pub mod lifecycle;
pub mod order;
pub mod quote;
pub mod request;
#[cfg(test)]
pub(crate) mod samples;

pub use amount::{AmountError, BaseUnits, BlockHeight, Bps, Lamports, Rounding, SOL_DECIMALS, Slot, mul_div};
pub use caps::{Caps, HourCaps};
pub use error::{ErrorCode, Failure};
pub use event::{
    Absence, Attempt, Commitment, ExpiryProof, Fill, Landing, OrderEvent, Poison, StatusAnswer, StoredEvent,
};
pub use lifecycle::{IllegalTransition, NextStep, OrderStatus, Status};
pub use order::{Dialect, Expiry, NewOrder, Order, OrderId, OrderKind, PoolWish, SetAside, Swap, Token, Unknown};
pub use quote::{Pair, Quote, QuoteOutcome, QuoteRequest, Refusal, Route, VenueId};
pub use request::{AmountText, OrderRefused, OrderRequest, Rules, validate};

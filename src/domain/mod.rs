//! The vocabulary: amounts, orders, quotes, the life of an order, and the errors a client sees.
//!
//! Values in, values out: nothing here reads a clock, a file or a socket.

pub mod amount;
pub mod error;
pub mod lifecycle;
pub mod order;
pub mod quote;

pub use amount::{AmountError, BaseUnits, BlockHeight, Bps, Lamports, Rounding, Slot, mul_div};
pub use error::{ErrorCode, Failure};
pub use lifecycle::{
    Attempt, ExpiryProof, Fill, IllegalTransition, Landing, NextStep, OrderEvent, OrderStatus, Status, StoredEvent,
};
pub use order::{
    AmountText, Dialect, NewOrder, Order, OrderId, OrderKind, OrderRefused, OrderRequest, Rules, Swap, Token, validate,
};
pub use quote::{Pair, Quote, QuoteOutcome, QuoteRequest, Refusal, Route, VenueId};

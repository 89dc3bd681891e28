//! Shapes: the JSON that is written without a type of its own, as types for the description.
//!
//! They are never built: that answers really look like this is checked against a running daemon. Amounts, events and
//! codes are the domain's own types.
#![expect(dead_code, reason = "described, never built")]

mod dead_letters;
mod orders;
mod receipt;
mod refused;
mod routes;
mod service;
mod wallets;
pub mod webhooks;

pub use self::{
    dead_letters::{DeadLettersPage, Replayed},
    orders::{OrderInFull, OrdersPage, Submitted},
    receipt::Receipt,
    refused::{Refused, RefusedOlder},
    routes::{Rehearsal, RouteView, Tokens},
    service::{ControlView, DaemonStatus, Health, Ready},
    wallets::Wallets,
};

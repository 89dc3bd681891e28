//! Views: our own JSON for orders, events, quotes and dry runs.
//!
//! Owns what rendering needs to know. The shapes are in the files below: an amount is `{"base":"1500000","ui":"1.5"}`, a
//! time is RFC 3339, a price is output per input in whole tokens as a decimal string. Integers only.

mod amounts;
mod event;
mod order;
mod rehearsed;
mod route;

use std::sync::Arc;

use solana_sdk::signature::Signature;

pub use self::{
    amounts::{Amount, amount, number, price, ratio, sol, timestamp},
    order::{Mode, OrderFields, OrderView, SetAsideView, unreadable},
};
use crate::domain::Rules;

/// Renders with what the process knows: token decimals and the explorer's cluster.
#[derive(Clone, Debug)]
pub struct Views {
    rules: Arc<Rules>,
    explorer: Arc<str>,
}

impl Views {
    /// `explorer_query` is what follows a transaction's address in the Solana explorer: `?cluster=devnet`.
    pub fn new(rules: Arc<Rules>, explorer_query: &str) -> Self {
        Self { rules, explorer: explorer_query.into() }
    }

    /// Where a person can look at a transaction.
    pub fn explorer_url(&self, signature: &Signature) -> String {
        format!("https://explorer.solana.com/tx/{signature}{}", self.explorer)
    }
}

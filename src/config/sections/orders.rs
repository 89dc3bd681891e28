//! The sections `orders`, `caps` and `control`: what may be traded, and how much of it.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

/// What orders may say.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Orders {
    /// Slippage when none is given, in basis points.
    pub default_slippage_bps: u16,
    /// Slippage when none is given in the older dialect that has it in percent, in basis points; at most the largest.
    pub percent_slippage_bps: u16,
    /// Largest slippage, in basis points.
    pub max_slippage_bps: u16,
}

/// How much may be spent, by symbol of the token that is paid.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Caps {
    /// By one order.
    pub per_order: BTreeMap<String, CapAmount>,
    /// By all orders within any hour.
    pub per_hour: BTreeMap<String, CapAmount>,
    /// By all orders of one wallet within any hour.
    pub per_wallet_hour: BTreeMap<String, CapAmount>,
}

/// An amount: `"1.5"` or `5` whole tokens, `{ base = "1500000" }` base units. A fraction is text, so that it is exact.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum CapAmount {
    /// Whole tokens, as text.
    Ui(String),
    /// Whole tokens, without a fraction.
    Whole(u64),
    /// Base units.
    Base {
        /// How many, as text.
        base: String,
    },
}

/// The kill switch.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// As long as this file is there, the processes that see it sign nothing new. Its first line is the reason.
    pub pause_file: Option<PathBuf>,
}

impl Default for Orders {
    fn default() -> Self {
        Self { default_slippage_bps: 100, percent_slippage_bps: 50, max_slippage_bps: 1_000 }
    }
}

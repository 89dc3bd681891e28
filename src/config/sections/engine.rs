//! The sections `engine`, `wallets` and `router`: how orders are executed.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::config::Secret;

/// How orders are executed.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// Orders being routed, built, signed and first sent at the same time.
    pub signers: usize,
    /// Orders of this process that have not ended yet.
    pub max_in_flight: usize,
    /// Signatures per order.
    pub max_signatures: u8,
    /// Tries per order.
    pub max_retries: u8,
    /// The rest after the first failed try; doubled each time.
    #[serde(with = "humantime_serde")]
    pub backoff: Duration,
    /// Which swaps are simulated before they are signed.
    pub simulate: Simulate,
    /// Whether each swap carries a memo with the order's id.
    pub memo: bool,
    /// Times an order is taken up after the same event by somebody who dies of it, before it is set aside.
    pub max_take_ups: u32,
    /// How long a landed swap's details are waited for before it is called confirmed.
    #[serde(with = "humantime_serde")]
    pub details_within: Duration,
    /// Between two looks for orders that nobody drives.
    #[serde(with = "humantime_serde")]
    pub sweep_every: Duration,
    /// An order without an event for this long is looked after.
    #[serde(with = "humantime_serde")]
    pub untouched: Duration,
    /// How long the first Ctrl-C waits for orders in flight.
    #[serde(with = "humantime_serde")]
    pub shutdown_grace: Duration,
    /// How long no answer at all may last before an outcome is called unknown.
    #[serde(with = "humantime_serde")]
    pub unknown_after: Duration,
}

/// Which swaps are simulated before they are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Simulate {
    /// Every one.
    Always,
    /// Those that are not just like one that passed moments ago.
    WhenNeeded,
}

/// Key files.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wallets {
    /// Every `*.json` in it is a wallet.
    pub dir: PathBuf,
    /// Only those whose name without `.json` fits, where `*` stands for anything: `fleet-*`.
    pub only: Option<String>,
    /// One more key: a JSON byte array or base58. Better kept in a file.
    pub key: Option<Secret>,
}

/// How routes are found.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Router {
    /// Venues that have not answered by then are left out.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// What a mock's quote is good for.
    pub mode: Mode,
}

/// What a mock's quote is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// To be shown beside the executable ones.
    QuoteOnly,
    /// To be filled by, marked as simulated.
    Paper,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            signers: 10,
            max_in_flight: 10_000,
            max_signatures: 3,
            max_retries: 3,
            max_take_ups: 10,
            backoff: Duration::from_millis(500),
            simulate: Simulate::Always,
            memo: true,
            details_within: Duration::from_secs(2),
            sweep_every: Duration::from_secs(1),
            untouched: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(5),
            unknown_after: Duration::from_secs(10),
        }
    }
}

impl Default for Wallets {
    fn default() -> Self {
        Self { dir: PathBuf::from("keys"), only: None, key: None }
    }
}

impl Default for Router {
    fn default() -> Self {
        Self { deadline: Duration::from_millis(1_500), mode: Mode::QuoteOnly }
    }
}

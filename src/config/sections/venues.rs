//! The venues' sections and `tokens`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_with::{As, DisplayFromStr};
use solana_sdk::pubkey::Pubkey;

/// Raydium's constant-product pools.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RaydiumCpmm {
    /// The program.
    #[serde(with = "As::<DisplayFromStr>")]
    pub program: Pubkey,
    /// Pools to use.
    #[serde(default)]
    pub pools: Vec<String>,
    /// Whether to look for more by `getProgramAccounts`; public endpoints throttle that.
    #[serde(default)]
    pub discover: bool,
}

/// The mock Meteora.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeteoraMock {
    /// Whether it is asked at all.
    pub enabled: bool,
    /// Same seed, same quotes.
    pub seed: u64,
    /// How far its price may be from the live one, either way.
    pub spread_bps: u16,
    /// Its fee.
    pub fee_bps: u16,
    /// Its quickest answer.
    #[serde(with = "humantime_serde")]
    pub latency_min: Duration,
    /// Its slowest answer.
    #[serde(with = "humantime_serde")]
    pub latency_max: Duration,
    /// How many of a thousand questions it fails to answer.
    pub failures_per_mille: u16,
}

/// A token that may be traded; decimals and token program are read from the chain.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The short name in orders.
    pub symbol: String,
    /// The mint.
    #[serde(with = "As::<DisplayFromStr>")]
    pub mint: Pubkey,
}

impl Default for MeteoraMock {
    fn default() -> Self {
        Self {
            enabled: true,
            seed: 1,
            spread_bps: 50,
            fee_bps: 25,
            latency_min: Duration::from_millis(5),
            latency_max: Duration::from_millis(60),
            failures_per_mille: 0,
        }
    }
}

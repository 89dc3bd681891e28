//! Quotes: what a pool would give, when that was true, and why one of several won.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_with::{As, DisplayFromStr};
use solana_sdk::pubkey::Pubkey;
use utoipa::ToSchema;

use super::{BaseUnits, Bps, ErrorCode, Slot, order::Swap};

/// A venue: one program (or mock) that can quote a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VenueId {
    /// Raydium's constant-product pools with Token-2022 support (cp-swap).
    RaydiumCpmm,
    /// The mock Meteora: quotes around the live price, never touches the chain.
    MeteoraMock,
}

impl VenueId {
    /// The wire form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RaydiumCpmm => "raydium_cpmm",
            Self::MeteoraMock => "meteora_mock",
        }
    }

    /// The family name that the older clients know: `raydium` or `meteora`.
    pub const fn family(self) -> &'static str {
        match self {
            Self::RaydiumCpmm => "raydium",
            Self::MeteoraMock => "meteora",
        }
    }
}

impl fmt::Display for VenueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The two mints of a swap, in its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// What is paid.
    pub mint_in: Pubkey,
    /// What is received.
    pub mint_out: Pubkey,
}

/// A question to a venue.
#[derive(Clone, Copy, Debug)]
pub struct QuoteRequest {
    /// The mints.
    pub pair: Pair,
    /// How much, and which side is exact.
    pub swap: Swap,
}

/// What one pool would do with a swap. All amounts are what the user's own accounts see: `amount_in` is gross
/// (before a Token-2022 fee takes its part), `amount_out` is net (what arrives).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quote {
    /// Who answers.
    pub venue: VenueId,
    /// The pool's account.
    #[serde(with = "As::<DisplayFromStr>")]
    #[schema(value_type = String)]
    pub pool: Pubkey,
    /// Whether a transaction for it can be built. A mock's never can.
    pub executable: bool,
    /// Paid by the user, in base units of the input mint.
    pub amount_in: BaseUnits,
    /// Received by the user, in base units of the output mint.
    pub amount_out: BaseUnits,
    /// The pool's trade fee (liquidity providers, protocol and fund together), in base units of the input mint.
    pub trade_fee: BaseUnits,
    /// The pool creator's fee, in base units of the mint named by `creator_fee_on_input`.
    pub creator_fee: BaseUnits,
    /// Which side the creator fee is taken from.
    pub creator_fee_on_input: bool,
    /// Token-2022 transfer fee withheld on the way in, in base units of the input mint.
    pub transfer_fee_in: BaseUnits,
    /// Token-2022 transfer fee withheld on the way out, in base units of the output mint.
    pub transfer_fee_out: BaseUnits,
    /// How far the swap itself moves the price against the user, fees left out. Rounded up.
    pub price_impact_bps: Bps,
    /// The slot at which all accounts behind this quote were read.
    pub context_slot: Slot,
}

/// One venue's answer to the router, kept whether or not it won.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuoteOutcome {
    /// Who was asked.
    pub venue: VenueId,
    /// How long the answer took, in milliseconds.
    pub latency_ms: u64,
    /// The quote, if there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quote: Option<Quote>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refusal: Option<Refusal>,
}

/// Why a venue gave no quote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refusal {
    /// Stable code.
    pub code: ErrorCode,
    /// A sentence.
    pub reason: String,
}

/// The router's decision with everything it was based on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Route {
    /// The quote that is executed.
    pub chosen: Quote,
    /// Why it won, in a sentence.
    pub reason: String,
    /// Every venue's answer.
    pub quotes: Vec<QuoteOutcome>,
}

//! Events: everything that can happen to an order, and what each of them carries.
//!
//! One vocabulary: the event that moves an order is the stored row, the bus message and the stream's frame.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_with::{As, DisplayFromStr};
use solana_sdk::{hash::Hash, pubkey::Pubkey, signature::Signature};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{BaseUnits, BlockHeight, Failure, Lamports, OrderId, Route, Slot, Status, VenueId};

/// One signed try: everything that bounds it, and the bytes that are sent and sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// 1 for the order's first signature.
    pub n: u8,
    /// The transaction's first signature: its identity.
    #[serde(with = "As::<DisplayFromStr>")]
    #[schema(value_type = String)]
    pub signature: Signature,
    /// The wallet that signed and pays.
    #[serde(with = "As::<DisplayFromStr>")]
    #[schema(value_type = String)]
    pub wallet: Pubkey,
    /// The blockhash it was signed over.
    #[serde(with = "As::<DisplayFromStr>")]
    #[schema(value_type = String)]
    pub blockhash: Hash,
    /// The last block height at which it can land; of the same reply as the blockhash.
    pub last_valid_block_height: BlockHeight,
    /// The slot of that reply; nodes behind it do not know the blockhash yet.
    pub context_slot: Slot,
    /// Where it swaps.
    pub venue: VenueId,
    /// The pool it swaps in.
    #[serde(with = "As::<DisplayFromStr>")]
    #[schema(value_type = String)]
    pub pool: Pubkey,
    /// What the quote promised to take, in base units of the input mint.
    pub quoted_in: BaseUnits,
    /// What the quote promised to give, in base units of the output mint.
    pub quoted_out: BaseUnits,
    /// The bound in the instruction: least out (exact in) or most in (exact out).
    pub limit: BaseUnits,
    /// The compute unit limit asked for.
    pub compute_units: u32,
    /// The priority fee that limit costs.
    pub priority_fee: Lamports,
    /// The signed bytes. Not part of any event; the store keeps them in the attempts table.
    #[serde(skip, default = "no_bytes")]
    pub wire: Arc<[u8]>,
}

fn no_bytes() -> Arc<[u8]> {
    Arc::new([])
}

/// What a swap really moved, read back from the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fill {
    /// Left the user, in base units of the input mint (gross).
    pub amount_in: BaseUnits,
    /// Reached the user, in base units of the output mint (net).
    pub amount_out: BaseUnits,
}

/// How sure a node was of the block that a transaction is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Commitment {
    /// Voted on by two thirds of the stake.
    Confirmed,
    /// Never to be undone.
    Finalized,
}

/// The answer that decided: what an endpoint said of a signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusAnswer {
    /// Who said it: a host, never a URL, whose path may be a key.
    pub endpoint: String,
    /// The slot it was said at.
    pub context_slot: Slot,
    /// How sure that node was.
    pub confirmation_status: Commitment,
    /// The transaction's own error in the wire form, if it failed.
    pub err: Option<Value>,
}

/// One endpoint that searched its history and did not find a signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Absence {
    /// Who searched: a host, as in [`StatusAnswer`].
    pub endpoint: String,
    /// The slot it was searched at.
    pub context_slot: Slot,
}

/// That a transaction is in a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Landing {
    /// Which one.
    #[serde(with = "As::<DisplayFromStr>")]
    #[schema(value_type = String)]
    pub signature: Signature,
    /// Where.
    pub slot: Slot,
    /// The answer that said so. Landings that were stored before it was kept have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<StatusAnswer>,
}

/// What proved that a signature can never land any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpiryProof {
    /// The dead signature.
    #[serde(with = "As::<DisplayFromStr>")]
    #[schema(value_type = String)]
    pub signature: Signature,
    /// Its bound.
    pub last_valid_block_height: BlockHeight,
    /// The finalized height that was seen above it.
    pub finalized_height: BlockHeight,
    /// The slot the absence was read at, with history; at or past the slot of that height. The earliest, of several.
    pub searched_at: Slot,
    /// How many different endpoints said that it is absent.
    #[serde(default = "one_witness")]
    pub witnesses: u8,
    /// A finalized slot that was read after the height, of the same endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalized_slot: Option<Slot>,
    /// The witnesses by name. Proofs that were stored before they were kept have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absences: Vec<Absence>,
}

/// Rows that were stored before witnesses were counted had one.
const fn one_witness() -> u8 {
    1
}

/// Why an order is set aside: what makes it a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Poison {
    /// The task that drove it panicked.
    Panicked,
    /// A step ran into an error of the engine itself.
    Internal,
    /// What is stored of it cannot be read.
    Unreadable,
    /// It was taken up again and again, and whoever did so died before it moved.
    Stuck,
}

impl Poison {
    /// The wire form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Panicked => "panicked",
            Self::Internal => "internal",
            Self::Unreadable => "unreadable",
            Self::Stuck => "stuck",
        }
    }
}

/// Everything that can happen to an order. The event is the stored row, the bus message and the stream's frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum OrderEvent {
    /// Accepted and stored.
    Created,
    /// A worker took it up.
    Claimed,
    /// The venues were asked and one was chosen; bound and wallet are fixed from here on.
    Routed {
        /// Every quote and the decision.
        route: Route,
        /// The bound every attempt will carry.
        limit: BaseUnits,
        /// The wallet that will pay; none when a mock fills.
        #[serde(with = "As::<Option<DisplayFromStr>>")]
        #[schema(value_type = Option<String>)]
        wallet: Option<Pubkey>,
    },
    /// The route no longer held when the transaction was built; ask the venues again.
    Requoted {
        /// What was found.
        reason: String,
    },
    /// Signed and stored. Nothing of it has left this process yet.
    Signed {
        /// The signed try.
        attempt: Attempt,
    },
    /// A node took the bytes for the first time.
    Sent {
        /// Which signature.
        #[serde(with = "As::<DisplayFromStr>")]
        #[schema(value_type = String)]
        signature: Signature,
    },
    /// Nobody can say what became of the signature; it is still being asked.
    OutcomeUnknown {
        /// Why nobody can say.
        reason: String,
    },
    /// The signature can never land any more; signing again is safe.
    Expired {
        /// The proof.
        proof: ExpiryProof,
    },
    /// In a block, without error, at commitment `confirmed`.
    Landed {
        /// Where.
        landing: Landing,
        /// What it moved, when the details could be read at once.
        fill: Option<Fill>,
        /// What it cost.
        fee: Option<Lamports>,
    },
    /// The details of a landed swap, when they came later than the landing.
    Settled {
        /// What it moved.
        fill: Fill,
        /// What it cost.
        fee: Lamports,
    },
    /// In a block, with an error or without having run: nothing was swapped, the signature is used up, and with an error
    /// the fee is spent.
    Rejected {
        /// Where.
        landing: Landing,
        /// Why.
        failure: Failure,
    },
    /// A mock venue filled it (paper mode): nothing was signed or sent.
    PaperFilled {
        /// Who filled.
        venue: VenueId,
        /// What it would have moved.
        fill: Fill,
    },
    /// A try ended in something worth trying again.
    Retrying {
        /// What went wrong.
        failure: Failure,
        /// How long the order rests, in milliseconds.
        #[schema(rename = "delayMs")]
        delay_ms: u64,
    },
    /// Ended without a swap, before anything was signed or after every signature was proven dead.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// The chain that held the signature is gone (a local chain was restarted).
    ChainReset,
    /// Called off by the user before anything was signed.
    Cancelled,
    /// Nobody drives it any more until it is replayed by hand. Says nothing of its outcome: what was sent may land.
    SetAside {
        /// What kind of trouble it makes.
        cause: Poison,
        /// What was found.
        reason: String,
    },
    /// Taken up again by hand.
    Replayed,
}

impl OrderEvent {
    /// Every wire name.
    pub const NAMES: [&str; 18] = [
        "created",
        "claimed",
        "routed",
        "requoted",
        "signed",
        "sent",
        "outcome_unknown",
        "expired",
        "landed",
        "settled",
        "rejected",
        "paper_filled",
        "retrying",
        "failed",
        "chain_reset",
        "cancelled",
        "set_aside",
        "replayed",
    ];

    /// The event's wire name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Claimed => "claimed",
            Self::Routed { .. } => "routed",
            Self::Requoted { .. } => "requoted",
            Self::Signed { .. } => "signed",
            Self::Sent { .. } => "sent",
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::Expired { .. } => "expired",
            Self::Landed { .. } => "landed",
            Self::Settled { .. } => "settled",
            Self::Rejected { .. } => "rejected",
            Self::PaperFilled { .. } => "paper_filled",
            Self::Retrying { .. } => "retrying",
            Self::Failed { .. } => "failed",
            Self::ChainReset => "chain_reset",
            Self::Cancelled => "cancelled",
            Self::SetAside { .. } => "set_aside",
            Self::Replayed => "replayed",
        }
    }
}

impl ExpiryProof {
    /// Whether this proves that `attempt` is dead.
    pub fn covers(&self, attempt: &Attempt) -> bool {
        self.signature == attempt.signature
            && self.last_valid_block_height == attempt.last_valid_block_height
            && self.finalized_height > attempt.last_valid_block_height
            && self.witnesses > 0
    }
}

/// One event as it was stored: also the bus message and the stream's frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoredEvent {
    /// Position among the events of all orders; grows in commit order.
    pub cursor: u64,
    /// Whose event.
    pub order_id: OrderId,
    /// Position among this order's events, from 1 without a gap.
    pub seq: u64,
    /// The order's status after it.
    pub status: Status,
    /// The order's input token symbol: lets a stream be filtered without a look-up.
    pub token_in: String,
    /// The order's output token symbol.
    pub token_out: String,
    /// When it happened.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: OffsetDateTime,
    /// What happened.
    #[serde(flatten)]
    pub event: OrderEvent,
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_names_are_those_of_every_event() {
        let schema = serde_json::to_value(OrderEvent::schema()).unwrap();
        let variants = schema["oneOf"].as_array().unwrap();
        let names: Vec<_> = variants.iter().map(|variant| &variant["properties"]["event"]["enum"][0]).collect();
        assert_eq!(names, OrderEvent::NAMES);
    }
}

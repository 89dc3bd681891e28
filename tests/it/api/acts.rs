//! What workers do to an order, as events.

use solana_sdk::{hash::Hash, pubkey::Pubkey, signature::Signature};
use swapd::domain::{
    Attempt, BaseUnits, BlockHeight, Bps, ErrorCode, Failure, Fill, Lamports, Landing, Order, OrderEvent, Quote,
    QuoteOutcome, Route, Slot, VenueId,
};

/// 150.75 USDC for each SOL.
pub fn quote(order: &Order, venue: VenueId) -> Quote {
    Quote {
        venue,
        pool: Pubkey::new_unique(),
        executable: venue == VenueId::RaydiumCpmm,
        amount_in: order.swap.amount(),
        amount_out: BaseUnits::new(order.swap.amount().get() / 1_000_000 * 150_750),
        trade_fee: BaseUnits::new(order.swap.amount().get() / 400),
        creator_fee: BaseUnits::ZERO,
        creator_fee_on_input: true,
        transfer_fee_in: BaseUnits::ZERO,
        transfer_fee_out: BaseUnits::ZERO,
        price_impact_bps: Bps::new(3).unwrap(),
        context_slot: Slot(7),
    }
}

pub fn routed(order: &Order, venue: VenueId) -> OrderEvent {
    let chosen = quote(order, venue);
    let limit = chosen.amount_out.min_out(order.slippage);
    let outcome = QuoteOutcome { venue, latency_ms: 3, quote: Some(chosen.clone()), refusal: None };
    let route = Route { chosen, reason: "the best".into(), quotes: vec![outcome] };
    OrderEvent::Routed { route, limit, wallet: Some(Pubkey::new_unique()) }
}

/// A try that failed, any number of which an order bears.
pub fn retrying(reason: String) -> OrderEvent {
    OrderEvent::Retrying { failure: Failure::new(ErrorCode::VenueUnavailable, reason), delay_ms: 1 }
}

pub fn attempt(order: &Order) -> Attempt {
    let quote = quote(order, VenueId::RaydiumCpmm);
    Attempt {
        n: order.signatures + 1,
        signature: Signature::from(std::array::from_fn::<u8, 64, _>(|_| rand::random())),
        wallet: order.wallet.unwrap_or_default(),
        blockhash: Hash::new_unique(),
        last_valid_block_height: BlockHeight(150),
        context_slot: Slot(7),
        venue: quote.venue,
        pool: quote.pool,
        quoted_in: quote.amount_in,
        quoted_out: quote.amount_out,
        limit: order.limit.unwrap_or_default(),
        compute_units: 100_000,
        priority_fee: Lamports::new(10),
        wire: vec![1_u8; 200].into(),
    }
}

pub fn landing(attempt: &Attempt) -> Landing {
    Landing { signature: attempt.signature, slot: Slot(9), answer: None }
}

pub fn landed(attempt: &Attempt, fill: Option<Fill>) -> OrderEvent {
    let fee = fill.is_some().then(|| Lamports::new(5_010));
    OrderEvent::Landed { landing: landing(attempt), fill, fee }
}

/// 150.5 USDC for each SOL.
pub fn fill(order: &Order) -> Fill {
    let amount_in = order.swap.amount();
    Fill { amount_in, amount_out: BaseUnits::new(amount_in.get() / 1_000_000 * 150_500) }
}

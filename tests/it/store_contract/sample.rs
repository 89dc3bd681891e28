//! Orders, quotes and attempts for the store's stories.

use solana_sdk::{hash::Hash, pubkey::Pubkey, signature::Signature};
use swapd::{
    domain::{
        Absence, Attempt, BaseUnits, BlockHeight, Bps, Dialect, ExpiryProof, Fill, HourCaps, Lamports, Landing,
        NewOrder, Order, OrderEvent, OrderId, OrderKind, Quote, QuoteOutcome, Route, Slot, StoredEvent, Swap, Token,
        VenueId,
    },
    store::{Creation, OrderFilter, Reservation, SharedStore, StoreError},
};
use time::{Duration, OffsetDateTime, macros::datetime};

/// When the stories begin: with microseconds, which is what a store keeps.
pub const START: OffsetDateTime = datetime!(2025-11-21 12:00:00.123456 UTC);

pub fn token(symbol: &str, decimals: u8) -> Token {
    Token { symbol: symbol.into(), mint: Pubkey::new_unique(), decimals, program: Pubkey::new_unique() }
}

pub fn new_order() -> NewOrder {
    NewOrder {
        kind: OrderKind::Market,
        dialect: Dialect::V1,
        token_in: token("SOL", 9),
        token_out: token("USDC", 6),
        swap: Swap::ExactIn(BaseUnits::new(1_500_000_000)),
        slippage: Bps::new(100).unwrap(),
        limit: None,
        wallet: None,
        expiry: None,
        pool_wish: None,
    }
}

pub fn order() -> Order {
    Order::create(OrderId::new(), new_order(), START)
}

/// A stored order.
pub async fn stored(store: &SharedStore) -> Order {
    let order = order();
    assert!(matches!(store.create(&order, None).await.unwrap(), Creation::New(_)));
    order
}

/// A page of orders, all of which can be read.
pub async fn listed(store: &SharedStore, filter: &OrderFilter, limit: u32) -> Vec<Order> {
    let page = store.list(filter, limit).await.unwrap();
    page.into_iter().map(|order| order.expect("a row that can be read")).collect()
}

pub fn quote(order: &Order, executable: bool) -> Quote {
    Quote {
        venue: if executable { VenueId::RaydiumCpmm } else { VenueId::MeteoraMock },
        pool: Pubkey::new_unique(),
        executable,
        amount_in: order.swap.amount(),
        amount_out: BaseUnits::new(u64::MAX),
        trade_fee: BaseUnits::new(3),
        creator_fee: BaseUnits::ZERO,
        creator_fee_on_input: true,
        transfer_fee_in: BaseUnits::ZERO,
        transfer_fee_out: BaseUnits::new(1),
        price_impact_bps: Bps::new(12).unwrap(),
        context_slot: Slot(u64::MAX),
    }
}

pub fn routed(order: &Order, wallet: Pubkey, executable: bool) -> OrderEvent {
    let chosen = quote(order, executable);
    let outcome = QuoteOutcome { venue: chosen.venue, latency_ms: 7, quote: Some(chosen.clone()), refusal: None };
    let route = Route { chosen, reason: "the only one".into(), quotes: vec![outcome] };
    OrderEvent::Routed { route, limit: BaseUnits::new(u64::MAX - 1), wallet: Some(wallet) }
}

/// The order's next attempt, with bytes.
pub fn attempt(order: &Order) -> Attempt {
    Attempt {
        n: order.signatures + 1,
        signature: Signature::from(std::array::from_fn::<u8, 64, _>(|_| rand::random())),
        wallet: order.wallet.unwrap_or_default(),
        blockhash: Hash::new_unique(),
        last_valid_block_height: BlockHeight(400_000_150),
        context_slot: Slot(420_000_000),
        venue: VenueId::RaydiumCpmm,
        pool: Pubkey::new_unique(),
        quoted_in: order.swap.amount(),
        quoted_out: BaseUnits::new(u64::MAX),
        limit: order.limit.unwrap_or_default(),
        compute_units: 200_000,
        priority_fee: Lamports::new(u64::MAX),
        wire: (0..=255_u8).cycle().take(1_232).collect(),
    }
}

pub fn landing(attempt: &Attempt) -> Landing {
    Landing { signature: attempt.signature, slot: Slot(420_000_005), answer: None }
}

pub fn fill() -> Fill {
    Fill { amount_in: BaseUnits::new(1_500_000_000), amount_out: BaseUnits::new(u64::MAX) }
}

pub fn expired(attempt: &Attempt) -> OrderEvent {
    let proof = ExpiryProof {
        signature: attempt.signature,
        last_valid_block_height: attempt.last_valid_block_height,
        finalized_height: BlockHeight(attempt.last_valid_block_height.0 + 1),
        searched_at: Slot(430_000_000),
        witnesses: 2,
        finalized_slot: Some(Slot(429_999_999)),
        absences: vec![Absence { endpoint: "rpc.example".into(), context_slot: Slot(430_000_000) }],
    };
    OrderEvent::Expired { proof }
}

/// A reservation of lamports by an order that sells SOL.
pub fn reservation(wallet: Pubkey, lamports: u64, balance_lamports: u64, as_of: u64) -> Reservation {
    Reservation {
        wallet,
        mint: Pubkey::default(),
        amount: BaseUnits::ZERO,
        lamports: Lamports::new(lamports),
        balance: BaseUnits::ZERO,
        balance_lamports: Lamports::new(balance_lamports),
        as_of,
        spends: BaseUnits::new(lamports),
        caps: HourCaps::default(),
    }
}

/// Moves the order by `event`, one second after its last one. Unless it was stored, `order` stays as it was.
pub async fn step(store: &SharedStore, order: &mut Order, event: OrderEvent) -> Result<StoredEvent, StoreError> {
    reserve(store, order, event, None).await
}

/// The same with a reservation.
pub async fn reserve(
    store: &SharedStore,
    order: &mut Order,
    event: OrderEvent,
    reservation: Option<Reservation>,
) -> Result<StoredEvent, StoreError> {
    let mut next = order.clone();
    next.apply(&event, order.updated_at + Duration::SECOND).expect("a legal event");
    let stored = store.append(&next, &event, reservation.as_ref()).await?;
    *order = next;
    Ok(StoredEvent::clone(&stored))
}

/// An order that is claimed and routed with `wallet`.
pub async fn building(store: &SharedStore, wallet: Pubkey) -> Order {
    let mut order = stored(store).await;
    step(store, &mut order, OrderEvent::Claimed).await.unwrap();
    let event = routed(&order, wallet, true);
    step(store, &mut order, event).await.unwrap();
    order
}

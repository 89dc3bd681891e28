//! Simulations: whether a swap is simulated before it is signed, and the compute units it asks for.
//!
//! Owns what recent simulations used. A swap may go without one only when nothing new could be learned: one just like it
//! passed moments ago, nothing failed in that pool since, the quote is from the last blocks, and far from the bound. What
//! is given up is an early error; the bound on the chain is not.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use solana_sdk::pubkey::Pubkey;
use tokio::time::Instant;

use crate::{
    domain::{Bps, Order, Quote, Slot, Swap},
    lock::lock,
};

/// Room above the simulated compute units: another bank may need a little more.
const MARGIN_PERCENT: u64 = 10;
/// Room where the swap itself was not simulated: its token account may have to be opened again.
const UNSEEN_MARGIN_PERCENT: u64 = 35;
const MAX_UNITS: u64 = 1_400_000;
/// A simulation tells something of the same swap for this long.
const LASTS: Duration = Duration::from_secs(60);
/// A quote older than this is simulated: the order was left and taken up again, or the node lags.
const RECENT_SLOTS: u64 = 16;
/// A quote that is nearer to the bound is simulated: half of what orders are given when they name no slippage.
const FAR_BPS: u16 = 50;
/// Shapes that are remembered.
const KEPT: usize = 4_096;

/// When a swap is simulated before it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simulate {
    /// Every one.
    Always,
    /// Unless one like it passed moments ago and nothing speaks against this one.
    WhenNeeded,
}

/// What was simulated lately.
pub struct Simulations {
    simulate: Simulate,
    passed: Mutex<HashMap<Shape, Passed>>,
}

/// Swaps of one shape run the same instructions on the same accounts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Shape {
    wallet: Pubkey,
    pool: Pubkey,
    mint_in: Pubkey,
    exact_in: bool,
}

#[derive(Clone, Copy)]
struct Passed {
    units: u64,
    at: Instant,
}

impl Simulations {
    /// Nothing simulated yet.
    pub fn new(simulate: Simulate) -> Self {
        Self { simulate, passed: Mutex::default() }
    }

    /// The compute units to ask for without a simulation; `None` when the swap needs one. `newest` is a recent slot.
    pub(super) fn units_unseen(&self, order: &Order, quote: &Quote, newest: Slot) -> Option<u32> {
        let is_first_try = order.signatures == 0 && order.retries == 0;
        let is_recent = newest.0.saturating_sub(quote.context_slot.0) <= RECENT_SLOTS;
        if self.simulate == Simulate::Always || !is_first_try || !is_recent || !is_far_from_bound(order, quote) {
            return None;
        }
        let passed = *self.passed().get(&shape(order, quote)?)?;
        (passed.at.elapsed() <= LASTS).then(|| with_margin(passed.units, UNSEEN_MARGIN_PERCENT))
    }

    /// A simulation passed. The compute units to ask for.
    pub(super) fn passed_with(&self, order: &Order, quote: &Quote, units: u64) -> u32 {
        if let Some(shape) = shape(order, quote) {
            let mut passed = self.passed();
            if passed.len() >= KEPT {
                passed.clear();
            }
            passed.insert(shape, Passed { units, at: Instant::now() });
        }
        unit_limit(units)
    }

    /// Something failed in the pool, simulated or on the chain: all its swaps are simulated again.
    pub(super) fn failed_in(&self, pool: &Pubkey) {
        self.passed().retain(|shape, _| shape.pool != *pool);
    }

    fn passed(&self) -> MutexGuard<'_, HashMap<Shape, Passed>> {
        lock(&self.passed)
    }
}

fn shape(order: &Order, quote: &Quote) -> Option<Shape> {
    let exact_in = matches!(order.swap, Swap::ExactIn(_));
    Some(Shape { wallet: order.wallet?, pool: quote.pool, mint_in: order.token_in.mint, exact_in })
}

fn is_far_from_bound(order: &Order, quote: &Quote) -> bool {
    let Some(limit) = order.limit else { return false };
    let far = Bps::new(FAR_BPS).expect("below 10 000");
    match order.swap {
        Swap::ExactIn(_) => quote.amount_out.min_out(far) >= limit,
        Swap::ExactOut(_) => quote.amount_in.max_in(far) <= limit,
    }
}

/// The compute limit to ask for after a simulation that used `units`.
pub(super) fn unit_limit(units: u64) -> u32 {
    with_margin(units, MARGIN_PERCENT)
}

fn with_margin(units: u64, percent: u64) -> u32 {
    let units = (units * (100 + percent)).div_ceil(100).min(MAX_UNITS);
    u32::try_from(units).expect("at most the runtime's maximum")
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::{
        domain::{BaseUnits, Dialect, NewOrder, OrderId, OrderKind, Token, VenueId},
        venue::stub::Stub,
    };

    const NEWEST: Slot = Slot(1);
    const UNITS: u64 = 100_000;

    /// An order routed to the quote beside it, with 1 % of slippage.
    fn routed(wallet: Pubkey) -> (Order, Quote) {
        let token = |n: u8| Token {
            symbol: format!("T{n}"),
            mint: Pubkey::new_from_array([n; 32]),
            decimals: 6,
            program: spl_token::ID,
        };
        let quote = Stub::quote(VenueId::RaydiumCpmm, 1_000, 1_000_000);
        let new = NewOrder {
            kind: OrderKind::Market,
            dialect: Dialect::V1,
            token_in: token(1),
            token_out: token(2),
            swap: Swap::ExactIn(quote.amount_in),
            slippage: Bps::new(100).unwrap(),
            limit: Some(quote.amount_out.min_out(Bps::new(100).unwrap())),
            wallet: Some(wallet),
            expiry: None,
            pool_wish: None,
        };
        (Order::create(OrderId::new(), new, OffsetDateTime::UNIX_EPOCH), quote)
    }

    fn when_needed() -> (Simulations, Order, Quote) {
        let (order, quote) = routed(Pubkey::new_unique());
        (Simulations::new(Simulate::WhenNeeded), order, quote)
    }

    #[tokio::test(start_paused = true)]
    async fn a_swap_like_one_that_passed_moments_ago_needs_no_simulation_for_a_while() {
        let (simulations, order, quote) = when_needed();
        assert_eq!(simulations.units_unseen(&order, &quote, NEWEST), None, "the first of its kind");
        assert_eq!(simulations.passed_with(&order, &quote, UNITS), 110_000);
        assert_eq!(simulations.units_unseen(&order, &quote, NEWEST), Some(135_000));
        tokio::time::advance(LASTS + Duration::from_millis(1)).await;
        assert_eq!(simulations.units_unseen(&order, &quote, NEWEST), None);
        let always = Simulations::new(Simulate::Always);
        always.passed_with(&order, &quote, UNITS);
        assert_eq!(always.units_unseen(&order, &quote, NEWEST), None);
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_speaks_against_a_swap_brings_the_simulation_back() {
        let (simulations, order, quote) = when_needed();
        simulations.passed_with(&order, &quote, UNITS);
        let needs = |order: &Order, quote: &Quote, newest| simulations.units_unseen(order, quote, newest).is_none();
        assert!(!needs(&order, &quote, NEWEST));

        assert!(needs(&Order { retries: 1, ..order.clone() }, &quote, NEWEST), "something went wrong before");
        assert!(needs(&Order { signatures: 1, ..order.clone() }, &quote, NEWEST), "a signature has expired");
        assert!(needs(&order, &quote, Slot(quote.context_slot.0 + RECENT_SLOTS + 1)), "the quote is old");
        let near = Quote { amount_out: BaseUnits::new(994_000), ..quote.clone() };
        assert!(needs(&order, &near, NEWEST), "the price has moved towards the bound");
        assert!(needs(&Order { limit: Some(quote.amount_out), ..order.clone() }, &quote, NEWEST), "no slippage at all");
        let other = Quote { pool: Pubkey::new_unique(), ..quote.clone() };
        assert!(needs(&order, &other, NEWEST), "another pool");
        assert!(needs(&routed(Pubkey::new_unique()).0, &quote, NEWEST), "another wallet");
        let exact_out = Order { swap: Swap::ExactOut(quote.amount_out), ..order.clone() };
        assert!(needs(&exact_out, &quote, NEWEST), "another instruction");

        simulations.failed_in(&other.pool);
        assert!(!needs(&order, &quote, NEWEST), "what fails elsewhere says nothing of this pool");
        simulations.failed_in(&quote.pool);
        assert!(needs(&order, &quote, NEWEST), "something failed in the pool");
    }
}

//! Samples: values for the unit tests of other modules.

use solana_sdk::pubkey::Pubkey;
use time::OffsetDateTime;

use super::{BaseUnits, Bps, Dialect, NewOrder, Order, OrderId, OrderKind, Swap, Token};

/// A market order of one base unit, accepted at `at`.
pub fn order(at: OffsetDateTime) -> Order {
    let token = Token { symbol: "T".into(), mint: Pubkey::default(), decimals: 6, program: Pubkey::default() };
    let new = NewOrder {
        kind: OrderKind::Market,
        dialect: Dialect::V1,
        token_in: token.clone(),
        token_out: token,
        swap: Swap::ExactIn(BaseUnits::new(1)),
        slippage: Bps::default(),
        limit: None,
        wallet: None,
        expiry: None,
        pool_wish: None,
    };
    Order::create(OrderId::new(), new, at)
}

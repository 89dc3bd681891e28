//! What wallets have and have promised.

use utoipa::ToSchema;

use crate::{api::views::Amount, domain::Slot};

/// Every wallet that may pay for an order.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wallets {
    /// Null where another process holds the keys.
    #[schema(required)]
    wallets: Option<Vec<WalletView>>,
    /// When the chain was read.
    #[schema(format = DateTime)]
    read_at: Option<String>,
    /// Why there are none.
    reason: Option<String>,
}

/// What one wallet has, and what of it is promised to open orders.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WalletView {
    address: String,
    /// Its key file's name.
    name: String,
    /// The slot at which all of its balances were read.
    as_of_slot: Slot,
    /// Orders that have promised something of it.
    open_orders: u64,
    sol: Held,
    tokens: Vec<HeldToken>,
}

/// A balance and what of it is promised.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Held {
    balance: Amount,
    /// What open orders may spend.
    reserved: Amount,
}

/// The same of one token.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldToken {
    symbol: String,
    mint: String,
    balance: Amount,
    /// What open orders may spend.
    reserved: Amount,
}

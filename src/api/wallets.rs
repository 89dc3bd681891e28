//! Wallets over REST: what this daemon's wallets have, and what of it is promised to open orders.
//!
//! Owns the words of `/v1/wallets`. The chain is read by `Holdings`, at its own pace.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{
    ApiError, ApiState,
    openapi::{refusals, shapes::Wallets, tag},
    views::{amount, sol, timestamp},
};
use crate::engine::holdings::{Holding, TokenHolding};

/// `GET /v1/wallets`: every wallet that may pay for an order. `wallets` is null where another process has the keys.
#[utoipa::path(
    get, path = "/v1/wallets", operation_id = "listWallets", tag = tag::SERVICE,
    responses((status = 200, description = "The wallets", body = Wallets), refusals::Holding)
)]
pub async fn wallets(State(state): State<ApiState>) -> Result<Json<Value>, ApiError> {
    let Some(holdings) = state.holdings() else {
        return Ok(Json(json!({ "wallets": null, "reason": "this process holds no keys: its workers do" })));
    };
    let reading = holdings.reading().await.map_err(|error| {
        ApiError::new(error.code(), "the wallets' balances cannot be read now: try again later").because(error)
    })?;
    let wallets: Vec<_> = reading.holdings.iter().map(wallet).collect();
    Ok(Json(json!({ "wallets": wallets, "readAt": timestamp(reading.at) })))
}

fn wallet(holding: &Holding) -> Value {
    json!({
        "address": holding.wallet.to_string(),
        "name": holding.name,
        "asOfSlot": holding.slot,
        "openOrders": holding.open_orders,
        "sol": { "balance": sol(holding.lamports), "reserved": sol(holding.reserved_lamports) },
        "tokens": holding.tokens.iter().map(token).collect::<Vec<_>>(),
    })
}

fn token(held: &TokenHolding) -> Value {
    let decimals = held.token.decimals;
    json!({
        "symbol": held.token.symbol,
        "mint": held.token.mint.to_string(),
        "balance": amount(held.balance, decimals),
        "reserved": amount(held.reserved, decimals),
    })
}

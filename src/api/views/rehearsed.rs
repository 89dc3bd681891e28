//! The view of a dry run.
//!
//! Owns its shape: the route as `/v1/quote` shows it, and beside it what the simulation said.

use serde_json::{Value, json};

use super::{
    Views,
    amounts::{amount, sol},
};
use crate::{
    chain::transaction::WRAPPED_SOL,
    domain::NewOrder,
    engine::rehearsal::{Rehearsed, Simulated},
};

impl Views {
    /// What an order would do.
    pub fn rehearsed(&self, asked: &NewOrder, rehearsed: &Rehearsed) -> Value {
        let mut view = self.route(asked, &rehearsed.route);
        view["dryRun"] = json!(true);
        view["simulated"] = json!(true);
        let transaction = rehearsed.transaction.as_ref();
        view["wallet"] = json!(transaction.map(|it| it.wallet.to_string()));
        view["funds"] = json!(transaction.map(|it| funds(asked, it)));
        view["fees"] = json!(transaction.map(|it| json!({
            "base": sol(it.base_fee),
            "priority": sol(it.priority_fee),
            "total": sol(it.base_fee.saturating_add(it.priority_fee)),
        })));
        view["simulation"] = json!(transaction.map(|it| simulation(asked, it)));
        view
    }
}

/// What the wallet would promise at most, beside what it has. SOL is what amount, fees and rents need together.
fn funds(asked: &NewOrder, it: &Simulated) -> Value {
    let mut funds = json!({
        "sufficient": it.is_funded(),
        "solNeeded": sol(it.reservation.lamports),
        "solFree": sol(it.reservation.balance_lamports),
    });
    if asked.token_in.mint != WRAPPED_SOL {
        funds["tokenNeeded"] = json!(amount(it.reservation.amount, asked.token_in.decimals));
        funds["tokenFree"] = json!(amount(it.reservation.balance, asked.token_in.decimals));
    }
    funds
}

fn simulation(asked: &NewOrder, it: &Simulated) -> Value {
    let fill = it.outcome.as_ref().ok().and_then(Option::as_ref);
    json!({
        "ok": it.outcome.is_ok(),
        "failure": it.outcome.as_ref().err(),
        "slot": it.slot,
        "computeUnits": it.used_units,
        "computeUnitLimit": it.unit_limit,
        "paid": fill.map(|fill| amount(fill.amount_in, asked.token_in.decimals)),
        "received": fill.map(|fill| amount(fill.amount_out, asked.token_out.decimals)),
    })
}

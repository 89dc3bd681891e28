//! Audit: holds what the daemon says of its orders against the chain itself.
//!
//! Every transaction of every wallet is looked at, whoever stored it or not; every balance is counted to the unit; and
//! the stream is replayed from its first event. What does not agree is a violation, in words.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::{StreamExt, stream};
use serde_json::Value;
use solana_sdk::pubkey::Pubkey;

use super::{
    chain::{Chain, Seen},
    replay,
};
use crate::support::daemon::{Daemon, World};

/// Balances by wallet and symbol, in base units; of SOL in lamports.
type Balances = BTreeMap<(Pubkey, &'static str), i128>;

/// What the chain held before the first order.
pub struct Before(Balances);

/// What came out.
#[derive(Default)]
pub struct Audit {
    /// Every order with its history and attempts.
    pub orders: Vec<Value>,
    pub violations: Vec<String>,
}

impl Before {
    pub async fn read(world: &World) -> Self {
        Self(balances(world).await)
    }

    /// Waits until each of the orders has ended, and then counts everything.
    pub async fn audit(&self, world: &World, daemon: &Daemon, ids: &[String]) -> Audit {
        let mut audit = Audit::default();
        let ended: Vec<_> =
            stream::iter(ids).map(|id| async move { daemon.try_ended(id).await }).buffer_unordered(64).collect().await;
        for order in ended {
            match order {
                Ok(order) => audit.orders.push(order),
                Err(order) => audit.violations.push(format!("lost: it never ended: {order}")),
            }
        }
        audit.nothing_else_is_stored(daemon, ids).await;
        let seen = Chain::of(world).transactions(&world.wallets).await;
        audit.each_transaction_has_its_order(&seen);
        audit.each_order_has_its_transactions(&seen);
        audit.each_signature_had_its_turn();
        audit.balances_agree(&self.0, &balances(world).await, &seen);
        replay::against(daemon, &mut audit).await;
        audit
    }
}

/// Base units of every wallet.
async fn balances(world: &World) -> Balances {
    let mut all = Balances::new();
    for wallet in &world.wallets {
        all.insert((*wallet, "SOL"), i128::from(world.lamports(wallet).await));
        for symbol in ["USDC", "LEVY"] {
            all.insert((*wallet, symbol), i128::from(world.tokens(wallet, symbol).await));
        }
    }
    all
}

impl Audit {
    fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(what());
        }
    }

    /// A request that was repeated after a crash made no second order, and no answer was lost for ever.
    async fn nothing_else_is_stored(&mut self, daemon: &Daemon, ids: &[String]) {
        let (mut stored, mut cursor) = (HashSet::new(), None::<String>);
        loop {
            let after = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let (_, page) = daemon.get(&format!("/v1/orders?limit=200{after}")).await;
            stored.extend(page["orders"].as_array().unwrap().iter().map(|order| text(&order["id"]).to_owned()));
            cursor = page["nextCursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        let given: HashSet<String> = ids.iter().cloned().collect();
        self.check(given.len() == ids.len(), || "an id was given twice".into());
        self.check(stored == given, || format!("stored {} orders, given {}", stored.len(), given.len()));
    }

    fn each_transaction_has_its_order(&mut self, seen: &[Seen]) {
        let mut owners: HashMap<&str, &Value> = HashMap::new();
        for order in &self.orders {
            for attempt in order["attempts"].as_array().unwrap() {
                owners.insert(text(&attempt["signature"]), order);
            }
        }
        let mut found = Vec::new();
        for it in seen {
            let Some(order) = owners.get(it.signature.as_str()) else {
                found.push(format!("a transaction that nobody stored: {it:?}"));
                continue;
            };
            if order["txHash"] != *it.signature {
                found.push(format!("a transaction its order does not tell of: {it:?}, {order}"));
            }
            let wanted = if it.error.is_null() { "confirmed" } else { "failed" };
            if order["status"] != wanted {
                found.push(format!("false verdict: {it:?} of an order that is {}: {order}", order["status"]));
            }
            if it.error.is_null() && it.memo.as_deref() != order["id"].as_str() {
                found.push(format!("another order's memo: {it:?}, {order}"));
            }
        }
        self.violations.extend(found);
    }

    fn each_order_has_its_transactions(&mut self, seen: &[Seen]) {
        let mut swaps: HashMap<&str, usize> = HashMap::new();
        for memo in seen.iter().filter(|it| it.error.is_null()).filter_map(|it| it.memo.as_deref()) {
            *swaps.entry(memo).or_default() += 1;
        }
        let failed: HashSet<&str> =
            seen.iter().filter(|it| !it.error.is_null()).map(|it| it.signature.as_str()).collect();
        let mut found = Vec::new();
        for order in &self.orders {
            let count = swaps.get(text(&order["id"])).copied().unwrap_or_default();
            let wanted = usize::from(order["status"] == "confirmed");
            if count != wanted {
                found.push(format!("executed {count} times, not {wanted}: {order}"));
            }
            let rejected = last_event(order) == "rejected";
            if rejected != order["txHash"].as_str().is_some_and(|signature| failed.contains(signature)) {
                found.push(format!("the chain does not know of this rejection, or the order does not: {order}"));
            }
            let bound = |name: &str| base(&order[name]);
            let (filled_in, filled_out) = (base(&order["filled"]["amountIn"]), base(&order["filled"]["amountOut"]));
            if filled_out < bound("minOut") && wanted == 1 || filled_in > bound("maxIn") && bound("maxIn") > 0 {
                found.push(format!("filled beyond its bound: {order}"));
            }
        }
        self.violations.extend(found);
    }

    /// Nothing was signed while an earlier signature could land.
    fn each_signature_had_its_turn(&mut self) {
        let mut found = Vec::new();
        for order in &self.orders {
            let mut alive = false;
            for event in order["history"].as_array().unwrap() {
                match text(&event["event"]) {
                    "signed" if alive => found.push(format!("signed twice at a time: {order}")),
                    "signed" => alive = true,
                    "expired" => alive = false,
                    _ => {}
                }
            }
        }
        self.violations.extend(found);
    }

    /// What moved is what the orders say, and the fees of what was rejected.
    fn balances_agree(&mut self, before: &Balances, after: &Balances, seen: &[Seen]) {
        let mut expected = before.clone();
        let mut move_by = |wallet: &str, symbol: &str, amount: i128| {
            let (wallet, symbols) = (wallet.parse::<Pubkey>().unwrap(), ["SOL", "USDC", "LEVY"]);
            let symbol = symbols.into_iter().find(|known| *known == symbol).unwrap();
            *expected.get_mut(&(wallet, symbol)).unwrap() += amount;
        };
        for order in self.orders.iter().filter(|order| order["status"] == "confirmed") {
            let wallet = text(&order["wallet"]);
            move_by(wallet, text(&order["tokenIn"]), -base(&order["filled"]["amountIn"]));
            move_by(wallet, text(&order["tokenOut"]), base(&order["filled"]["amountOut"]));
            move_by(wallet, "SOL", -base(&order["networkFee"]));
        }
        for rejected in seen.iter().filter(|it| !it.error.is_null()) {
            move_by(&rejected.wallet, "SOL", -rejected.fee);
        }
        self.check(expected == *after, || {
            let off: Vec<_> = after.iter().filter(|(key, amount)| expected[key] != **amount).collect();
            format!("balances are off: {off:?}, expected {expected:?}")
        });
    }
}

/// The name of the event that ended the order.
pub fn last_event(order: &Value) -> &str {
    order["history"]
        .as_array()
        .and_then(|history| history.last())
        .map(|event| text(&event["event"]))
        .unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// An amount's base units; zero where there is none.
fn base(value: &Value) -> i128 {
    value["base"].as_str().map_or(0, |text| text.parse().unwrap())
}

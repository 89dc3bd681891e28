//! Views: our own JSON for orders, events and quotes.
//!
//! Owns the shape: an amount is `{"base":"1500000","ui":"1.5"}`, a time is RFC 3339, a price is output per input in
//! whole tokens as a decimal string. Events keep the shape they are stored in and gain what a reader would otherwise
//! have to look up. Integers only.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use solana_sdk::signature::Signature;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    domain::{
        BaseUnits, Failure, Fill, NewOrder, Order, OrderEvent, OrderStatus, Quote, Route, Rules, SetAside, StoredEvent,
        Swap, VenueId,
    },
    store::AttemptRow,
};

/// Digits of a price that mean something.
const SIGNIFICANT_DIGITS: usize = 12;
/// Decimals of a price at most.
const MOST_DECIMALS: usize = 24;
/// Decimals of a lamport amount in SOL.
pub const SOL_DECIMALS: u8 = 9;

/// Renders with what the process knows: token decimals and the explorer's cluster.
#[derive(Clone, Debug)]
pub struct Views {
    rules: Arc<Rules>,
    explorer: Arc<str>,
}

impl Views {
    /// `explorer_query` is what follows a transaction's address in the Solana explorer: `?cluster=devnet`.
    pub fn new(rules: Arc<Rules>, explorer_query: &str) -> Self {
        Self { rules, explorer: explorer_query.into() }
    }

    /// Where a person can look at a transaction.
    pub fn explorer_url(&self, signature: &Signature) -> String {
        format!("https://explorer.solana.com/tx/{signature}{}", self.explorer)
    }

    /// An order.
    pub fn order(&self, order: &Order) -> Value {
        let (dec_in, dec_out) = (order.token_in.decimals, order.token_out.decimals);
        let fill = fill(order);
        let (exact_in, exact_out) = match order.swap {
            Swap::ExactIn(amount) => (Some(amount), None),
            Swap::ExactOut(amount) => (None, Some(amount)),
        };
        let signature = signature(order);
        let slot = match &order.status {
            OrderStatus::Confirmed { landing, .. } | OrderStatus::Failed { landing: Some(landing), .. } => {
                Some(landing.slot)
            }
            _ => None,
        };
        let fee = match &order.status {
            OrderStatus::Confirmed { fee, .. } => *fee,
            _ => None,
        };
        let quoted = match &order.status {
            OrderStatus::Building { quote } => Some((quote.amount_in, quote.amount_out)),
            OrderStatus::Submitted { attempt } | OrderStatus::Confirmed { attempt, .. } => {
                Some((attempt.quoted_in, attempt.quoted_out))
            }
            _ => None,
        };
        json!({
            "id": order.id,
            "kind": order.kind,
            "dialect": order.dialect,
            "status": order.status.name(),
            "tokenIn": order.token_in.symbol,
            "tokenOut": order.token_out.symbol,
            "mintIn": order.token_in.mint.to_string(),
            "mintOut": order.token_out.mint.to_string(),
            "mode": order.swap.mode(),
            "amountIn": exact_in.or(fill.map(|fill| fill.amount_in)).map(|amount_in| amount(amount_in, dec_in)),
            "amountOut": exact_out.or(fill.map(|fill| fill.amount_out)).map(|amount_out| amount(amount_out, dec_out)),
            "quoted": quoted.map(|(quoted_in, quoted_out)| json!({
                "amountIn": amount(quoted_in, dec_in), "amountOut": amount(quoted_out, dec_out),
            })),
            "filled": fill.map(|fill| json!({
                "amountIn": amount(fill.amount_in, dec_in), "amountOut": amount(fill.amount_out, dec_out),
            })),
            "minOut": exact_in.and(order.limit).map(|limit| amount(limit, dec_out)),
            "maxIn": exact_out.and(order.limit).map(|limit| amount(limit, dec_in)),
            "slippageBps": order.slippage,
            "wallet": order.wallet.map(|wallet| wallet.to_string()),
            "expiresAt": order.expires_at.map(timestamp),
            "venue": venue(order),
            "txHash": signature.map(|signature| signature.to_string()),
            "explorerUrl": signature.map(|signature| self.explorer_url(&signature)),
            "slot": slot,
            "networkFee": fee.map(|fee| amount(BaseUnits::new(fee.get()), SOL_DECIMALS)),
            "executionPrice": fill.and_then(|fill| price(fill, dec_in, dec_out)),
            "failure": failure(order),
            "outcome": order.unknown.as_ref().map(|_| "unknown"),
            "unknown": order.unknown.as_ref().map(|unknown| json!({
                "reason": unknown.reason, "since": timestamp(unknown.since),
            })),
            "setAside": order.set_aside.as_ref().map(set_aside),
            "simulated": is_simulated(order),
            "signatures": order.signatures,
            "retries": order.retries,
            "version": order.version,
            "createdAt": timestamp(order.created_at),
            "updatedAt": timestamp(order.updated_at),
        })
    }

    /// An order with everything that is known of it.
    pub fn order_in_full(&self, order: &Order, history: &[StoredEvent], attempts: &[AttemptRow]) -> Value {
        let mut view = self.order(order);
        view["history"] = history.iter().map(|event| self.event(event)).collect();
        view["attempts"] = attempts
            .iter()
            .map(|row| {
                let mut attempt = json!(row.attempt);
                attempt["outcome"] = json!(row.outcome);
                attempt["signedAt"] = json!(timestamp(row.signed_at));
                attempt["explorerUrl"] = json!(self.explorer_url(&row.attempt.signature));
                attempt
            })
            .collect();
        view
    }

    /// A stored event, as frame and as history: with `txHash` and `explorerUrl` where it names the live signature,
    /// and `executionPrice` where it says what was moved.
    pub fn event(&self, event: &StoredEvent) -> Value {
        let mut view = json!(event);
        let signature = match &event.event {
            OrderEvent::Signed { attempt } => Some(attempt.signature),
            OrderEvent::Sent { signature } => Some(*signature),
            OrderEvent::Landed { landing, .. } | OrderEvent::Rejected { landing, .. } => Some(landing.signature),
            _ => None,
        };
        if let Some(signature) = signature {
            view["txHash"] = json!(signature.to_string());
            view["explorerUrl"] = json!(self.explorer_url(&signature));
        }
        let fill = match &event.event {
            OrderEvent::Landed { fill: Some(fill), .. }
            | OrderEvent::Settled { fill, .. }
            | OrderEvent::PaperFilled { fill, .. } => Some(fill),
            _ => None,
        };
        if let Some(fill) = fill
            && let (Some(token_in), Some(token_out)) =
                (self.rules.token(&event.token_in), self.rules.token(&event.token_out))
        {
            view["executionPrice"] = json!(price(fill, token_in.decimals, token_out.decimals));
        }
        if let OrderEvent::OutcomeUnknown { .. } = event.event {
            view["outcome"] = json!("unknown");
        }
        if let OrderEvent::PaperFilled { .. } = event.event {
            view["simulated"] = json!(true);
        }
        view
    }

    /// A route for a request that was not made an order.
    pub fn route(&self, asked: &NewOrder, route: &Route) -> Value {
        let (dec_in, dec_out) = (asked.token_in.decimals, asked.token_out.decimals);
        let chosen = &route.chosen;
        let (min_out, max_in) = match asked.swap {
            Swap::ExactIn(_) => (Some(asked.limit.unwrap_or(chosen.amount_out.min_out(asked.slippage))), None),
            Swap::ExactOut(_) => (None, Some(asked.limit.unwrap_or(chosen.amount_in.max_in(asked.slippage)))),
        };
        let mut view = quote(chosen, dec_in, dec_out);
        view.insert("tokenIn".into(), json!(asked.token_in.symbol));
        view.insert("tokenOut".into(), json!(asked.token_out.symbol));
        view.insert("mode".into(), json!(asked.swap.mode()));
        view.insert("slippageBps".into(), json!(asked.slippage));
        view.insert("minOut".into(), json!(min_out.map(|min_out| amount(min_out, dec_out))));
        view.insert("maxIn".into(), json!(max_in.map(|max_in| amount(max_in, dec_in))));
        view.insert("reason".into(), json!(route.reason));
        let quotes: Vec<Value> = route
            .quotes
            .iter()
            .map(|outcome| {
                json!({
                    "venue": outcome.venue,
                    "latencyMs": outcome.latency_ms,
                    "quote": outcome.quote.as_ref().map(|answer| quote(answer, dec_in, dec_out)),
                    "refusal": outcome.refusal,
                })
            })
            .collect();
        view.insert("quotes".into(), json!(quotes));
        Value::Object(view)
    }
}

fn quote(quote: &Quote, dec_in: u8, dec_out: u8) -> Map<String, Value> {
    let creator_decimals = if quote.creator_fee_on_input { dec_in } else { dec_out };
    let swap = Fill { amount_in: quote.amount_in, amount_out: quote.amount_out };
    let view = json!({
        "venue": quote.venue,
        "pool": quote.pool.to_string(),
        "executable": quote.executable,
        "amountIn": amount(quote.amount_in, dec_in),
        "amountOut": amount(quote.amount_out, dec_out),
        "price": price(&swap, dec_in, dec_out),
        "tradeFee": amount(quote.trade_fee, dec_in),
        "creatorFee": amount(quote.creator_fee, creator_decimals),
        "creatorFeeOnInput": quote.creator_fee_on_input,
        "transferFeeIn": amount(quote.transfer_fee_in, dec_in),
        "transferFeeOut": amount(quote.transfer_fee_out, dec_out),
        "priceImpactBps": quote.price_impact_bps,
        "contextSlot": quote.context_slot,
    });
    match view {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Why an order waits for a person, and since when.
pub fn set_aside(aside: &SetAside) -> Value {
    json!({ "cause": aside.cause, "reason": aside.reason, "at": timestamp(aside.at) })
}

/// An amount in both of its forms.
pub fn amount(amount: BaseUnits, decimals: u8) -> Value {
    json!({ "base": amount, "ui": amount.to_ui(decimals) })
}

/// What one whole input token brought in whole output tokens: 12 significant digits, rounded down. `None` when
/// nothing was paid.
pub fn price(fill: &Fill, dec_in: u8, dec_out: u8) -> Option<String> {
    // out / 10^dec_out divided by in / 10^dec_in
    let numerator = u128::from(fill.amount_out.get()).checked_mul(10_u128.checked_pow(dec_in.into())?)?;
    let denominator = u128::from(fill.amount_in.get()).checked_mul(10_u128.checked_pow(dec_out.into())?)?;
    ratio(numerator, denominator)
}

/// `numerator / denominator` as a decimal of 12 significant digits, rounded down.
pub fn ratio(numerator: u128, denominator: u128) -> Option<String> {
    let mut text = numerator.checked_div(denominator)?.to_string();
    let mut rest = numerator % denominator;
    let mut significant = if text == "0" { 0 } else { text.len() };
    let mut decimals = String::new();
    while rest > 0 && significant < SIGNIFICANT_DIGITS && decimals.len() < MOST_DECIMALS {
        rest = rest.checked_mul(10)?;
        let digit = rest / denominator;
        rest %= denominator;
        decimals.push_str(&digit.to_string());
        if significant > 0 || digit > 0 {
            significant += 1;
        }
    }
    let decimals = decimals.trim_end_matches('0');
    if !decimals.is_empty() {
        text = format!("{text}.{decimals}");
    }
    Some(text)
}

/// A decimal as the JSON number that older clients calculate with. The one place where digits may be lost.
pub fn number(decimal: &str) -> Value {
    serde_json::from_str(decimal).unwrap_or(Value::Null)
}

/// RFC 3339 in UTC.
pub fn timestamp(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

/// The signature that may land or has landed.
pub fn signature(order: &Order) -> Option<Signature> {
    match &order.status {
        OrderStatus::Submitted { attempt } => Some(attempt.signature),
        OrderStatus::Confirmed { landing, .. } | OrderStatus::Failed { landing: Some(landing), .. } => {
            Some(landing.signature)
        }
        _ => None,
    }
}

/// Where it swaps, as long as that is decided.
fn venue(order: &Order) -> Option<VenueId> {
    match &order.status {
        OrderStatus::Building { quote } => Some(quote.venue),
        OrderStatus::Submitted { attempt } | OrderStatus::Confirmed { attempt, .. } => Some(attempt.venue),
        OrderStatus::PaperFilled { venue, .. } => Some(*venue),
        _ => None,
    }
}

fn fill(order: &Order) -> Option<&Fill> {
    match &order.status {
        OrderStatus::Confirmed { fill, .. } => fill.as_ref(),
        OrderStatus::PaperFilled { fill, .. } => Some(fill),
        _ => None,
    }
}

fn failure(order: &Order) -> Option<&Failure> {
    match &order.status {
        OrderStatus::Failed { failure, .. } => Some(failure),
        _ => None,
    }
}

/// Whether a mock stands where the chain should: nothing of it is, or will be, on chain.
pub fn is_simulated(order: &Order) -> bool {
    match &order.status {
        OrderStatus::PaperFilled { .. } => true,
        OrderStatus::Building { quote } => !quote.executable,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(amount_in: u64, amount_out: u64) -> Fill {
        Fill { amount_in: BaseUnits::new(amount_in), amount_out: BaseUnits::new(amount_out) }
    }

    #[test]
    fn a_price_is_output_per_input_in_whole_tokens() {
        for (amount_in, dec_in, amount_out, dec_out, text) in [
            (1_000_000_000, 9, 150_000_000, 6, "150"),
            (2_000_000_000, 9, 301_500_000, 6, "150.75"),
            (150_000_000, 6, 1_000_000_000, 9, "0.00666666666666"),
            (3, 0, 1, 0, "0.333333333333"),
            (1_000_000_000_000, 5, 1, 9, "0.0000000000000001"),
            (1, 9, u64::MAX, 0, "18446744073709551615000000000"),
            (u64::MAX, 9, u64::MAX, 9, "1"),
            (7, 0, 0, 0, "0"),
        ] {
            assert_eq!(price(&fill(amount_in, amount_out), dec_in, dec_out).as_deref(), Some(text));
        }
        assert_eq!(price(&fill(0, 1), 9, 6), None);
        assert_eq!(price(&fill(1, 1), 255, 6), None, "a mint with absurd decimals has no price");
    }

    #[test]
    fn a_price_for_older_clients_is_a_json_number() {
        assert_eq!(number("150.25").to_string(), "150.25");
        assert_eq!(number("150").to_string(), "150");
        assert_eq!(number("0.00666666666666").as_f64(), Some(0.00666666666666));
    }

    #[test]
    fn a_route_shows_the_bound_an_order_would_get_and_every_venues_answer() {
        use crate::domain::{Bps, Dialect, ErrorCode, OrderKind, QuoteOutcome, Refusal, Slot, Token};
        use solana_sdk::pubkey::Pubkey;

        let token = |symbol: &str, decimals| Token {
            symbol: symbol.into(),
            mint: Pubkey::new_unique(),
            decimals,
            program: Pubkey::new_unique(),
        };
        let mut asked = NewOrder {
            kind: OrderKind::Market,
            dialect: Dialect::V1,
            token_in: token("SOL", 9),
            token_out: token("USDC", 6),
            swap: Swap::ExactIn(BaseUnits::new(1_000_000_000)),
            slippage: Bps::new(100).unwrap(),
            limit: None,
            wallet: None,
            expiry: None,
            pool_wish: None,
        };
        let chosen = Quote {
            venue: VenueId::RaydiumCpmm,
            pool: Pubkey::new_unique(),
            executable: true,
            amount_in: BaseUnits::new(1_000_000_000),
            amount_out: BaseUnits::new(150_000_000),
            trade_fee: BaseUnits::new(2_500_000),
            creator_fee: BaseUnits::new(1_500_000),
            creator_fee_on_input: false,
            transfer_fee_in: BaseUnits::ZERO,
            transfer_fee_out: BaseUnits::ZERO,
            price_impact_bps: Bps::new(7).unwrap(),
            context_slot: Slot(5),
        };
        let refusal = Refusal { code: ErrorCode::NoRoute, reason: "no pool".into() };
        let route = Route {
            chosen: chosen.clone(),
            reason: "the only one".into(),
            quotes: vec![
                QuoteOutcome { venue: chosen.venue, latency_ms: 4, quote: Some(chosen), refusal: None },
                QuoteOutcome { venue: VenueId::MeteoraMock, latency_ms: 5, quote: None, refusal: Some(refusal) },
            ],
        };
        let rules = Rules { tokens: Vec::new(), default_slippage: Bps::default(), max_slippage: Bps::default() };
        let views = Views::new(Arc::new(rules), "");
        let view = views.route(&asked, &route);
        assert_eq!(view["minOut"], json!({ "base": "148500000", "ui": "148.5" }));
        assert_eq!(view["maxIn"], Value::Null);
        assert_eq!((&view["price"], &view["creatorFee"]["ui"]), (&json!("150"), &json!("1.5")));
        assert_eq!(view["quotes"][0]["quote"]["tradeFee"]["ui"], "0.0025");
        assert_eq!(view["quotes"][1]["refusal"]["code"], "no_route");

        asked.swap = Swap::ExactOut(BaseUnits::new(150_000_000));
        let view = views.route(&asked, &route);
        assert_eq!((&view["maxIn"]["ui"], &view["minOut"]), (&json!("1.01"), &Value::Null));
        asked.limit = Some(BaseUnits::new(1_005_000_000));
        assert_eq!(views.route(&asked, &route)["maxIn"]["ui"], "1.005", "the user's own bound");
    }

    #[test]
    fn an_amount_is_given_in_base_units_and_whole_tokens() {
        assert_eq!(amount(BaseUnits::new(1_500_000), 6), json!({ "base": "1500000", "ui": "1.5" }));
    }
}

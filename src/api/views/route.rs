//! The view of a route: what was chosen, and what every venue answered.

use serde_json::{Map, Value, json};

use super::{Views, amount, price};
use crate::domain::{Fill, NewOrder, Quote, Route, Swap};

impl Views {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use solana_sdk::pubkey::Pubkey;

    use super::*;
    use crate::domain::{
        BaseUnits, Bps, Dialect, ErrorCode, OrderKind, QuoteOutcome, Refusal, Rules, Slot, Token, VenueId,
    };

    #[test]
    fn a_route_shows_the_bound_an_order_would_get_and_every_venues_answer() {
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
}

//! Pair: the dialect whose clients post `pair`, `amount` and `side`.
//!
//! Owns that engine's words. A pair is BASE-QUOTE and the amount counts the base: a sale pays exactly that much of it, a
//! purchase receives exactly that much and pays at most what the first quote and the slippage allow. Its dashboard calls
//! string methods on every frame's `status` and on `txHash`, and number methods on `price`.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    Fields,
    story::{Moment, Story},
    words::Words,
};
use crate::{
    api::{
        ApiError, Options,
        views::{number, price},
    },
    domain::{AmountText, Dialect, ErrorCode, Fill, OrderRequest, Rules, Swap},
    engine::Accepted,
};

/// The dialect.
pub struct Pair;

impl Words for Pair {
    fn dialect(&self) -> Dialect {
        Dialect::Pair
    }

    fn request(&self, fields: &Fields, _rules: &Rules, _options: &Options) -> Result<OrderRequest, ApiError> {
        let refused = |message| Err(ApiError::new(ErrorCode::InvalidRequest, message));
        let pair = fields.text("pair").unwrap_or_default();
        let Some((base, quote)) = pair.split_once('-').filter(|(base, quote)| !base.is_empty() && !quote.is_empty())
        else {
            return refused("pair must be BASE-QUOTE, for example SOL-USDC");
        };
        let Some(amount) = fields.positive_number("amount") else {
            return Err(ApiError::new(ErrorCode::InvalidAmount, "amount must be a positive number"));
        };
        let (base, quote, amount) = (base.to_owned(), quote.to_owned(), Some(AmountText::Ui(amount.to_owned())));
        let any = OrderRequest::default();
        match fields.text("side").as_deref() {
            Some("sell") => Ok(OrderRequest { token_in: base, token_out: quote, amount_in: amount, ..any }),
            Some("buy") => Ok(OrderRequest { token_in: quote, token_out: base, amount_out: amount, ..any }),
            _ => refused("side must be buy or sell"),
        }
    }

    fn accepted(&self, accepted: &Accepted, _host: &str) -> Response {
        let message = "Order queued. Connect to WS for updates.";
        Json(json!({ "orderId": accepted.order.id, "message": message })).into_response()
    }

    fn field(&self, ours: &'static str) -> &'static str {
        match ours {
            "tokenIn" | "tokenOut" => "pair",
            "amountIn" | "amountOut" => "amount",
            same => same,
        }
    }

    fn greeting(&self, story: &Story) -> Option<Value> {
        Some(connected(&story.order.id.to_string()))
    }

    fn frames(&self, story: &Story, moment: Moment) -> Vec<Value> {
        let says = |message: &str| vec![json!({ "status": moment.name(), "message": message })];
        match moment {
            Moment::Routing => says("Fetching quotes..."),
            Moment::Building => {
                let route = json!({ "status": Moment::Routing.name(), "message": best_route(story) });
                [vec![route], says("Building transaction...")].concat()
            }
            Moment::Submitted | Moment::Landed => says("Transaction submitted. Waiting for confirmation..."),
            Moment::Confirmed => {
                let price = story.executed().map_or(Value::Null, |fill| number(&base_price(story, &fill)));
                let mut frame = json!({ "status": moment.name(), "dex": dex(story), "price": price });
                // The dashboard takes a part of it, so it has to be text also where there is none.
                frame["txHash"] = json!(story.tx_hash().unwrap_or_default());
                if story.is_simulated() {
                    frame["simulated"] = json!(true);
                }
                vec![frame]
            }
            Moment::Failed => {
                vec![json!({ "status": moment.name(), "error": story.reason(), "code": story.error() })]
            }
        }
    }
}

/// The first frame, also of a socket whose order does not exist.
pub fn connected(id: &str) -> Value {
    json!({ "status": "connected", "orderId": id })
}

fn dex(story: &Story) -> &'static str {
    match story.dex() {
        Some("meteora") => "Meteora",
        _ => "Raydium",
    }
}

/// Quote tokens for one base token.
fn base_price(story: &Story, fill: &Fill) -> String {
    let (token_in, token_out) = (&story.order.token_in, &story.order.token_out);
    let price = match story.order.swap {
        Swap::ExactIn(_) => price(fill, token_in.decimals, token_out.decimals),
        Swap::ExactOut(_) => {
            let sold = Fill { amount_in: fill.amount_out, amount_out: fill.amount_in };
            price(&sold, token_out.decimals, token_in.decimals)
        }
    };
    price.unwrap_or_else(|| "0".to_owned())
}

fn best_route(story: &Story) -> String {
    let quote = match story.order.swap {
        Swap::ExactIn(_) => &story.order.token_out.symbol,
        Swap::ExactOut(_) => &story.order.token_in.symbol,
    };
    let price = story.quoted().map(|fill| base_price(story, &fill)).unwrap_or_default();
    if quote.starts_with("USD") {
        format!("Best Route: {} @ ${}", dex(story), cents(&price))
    } else {
        format!("Best Route: {} @ {price} {quote}", dex(story))
    }
}

/// A decimal with two decimals, for people; a price below a cent keeps its digits.
fn cents(price: &str) -> String {
    match price.split_once('.') {
        Some(("0", fraction)) if fraction.starts_with("00") => price.to_owned(),
        Some((whole, fraction)) => format!("{whole}.{:0<2}", &fraction[..fraction.len().min(2)]),
        None => format!("{price}.00"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Bps;

    fn judge(body: &str) -> Result<OrderRequest, String> {
        let rules = Rules { tokens: Vec::new(), default_slippage: Bps::default(), max_slippage: Bps::default() };
        let fields = Fields::read(body.as_bytes()).unwrap();
        Pair.request(&fields, &rules, &Options::default()).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_purchase_receives_exactly_and_a_sale_pays_exactly() {
        let ui = |text: &str| Some(AmountText::Ui(text.into()));
        let bought = judge(r#"{"pair":"SOL-USDC","amount":10.50,"side":"buy"}"#).unwrap();
        assert_eq!((bought.token_in.as_str(), bought.token_out.as_str()), ("USDC", "SOL"));
        assert_eq!((bought.amount_in, bought.amount_out), (None, ui("10.50")));
        let sold = judge(r#"{"pair":"SOL-USDC","amount":1e-3,"side":"sell"}"#).unwrap();
        assert_eq!((sold.token_in.as_str(), sold.token_out.as_str()), ("SOL", "USDC"));
        assert_eq!((sold.amount_in, sold.amount_out), (ui("1e-3"), None));
    }

    #[test]
    fn what_is_missing_is_said() {
        for (body, word) in [
            (r#"{"pair":null,"amount":1,"side":"buy"}"#, "pair"),
            (r#"{"pair":"SOLUSDC","amount":1,"side":"buy"}"#, "pair"),
            (r#"{"pair":"SOL-","amount":1,"side":"buy"}"#, "pair"),
            (r#"{"pair":"SOL-USDC","side":"buy"}"#, "amount"),
            (r#"{"pair":"SOL-USDC","amount":"1","side":"buy"}"#, "amount"),
            (r#"{"pair":"SOL-USDC","amount":0,"side":"buy"}"#, "amount"),
            (r#"{"pair":"SOL-USDC","amount":1}"#, "side"),
            (r#"{"pair":"SOL-USDC","amount":1,"side":"hold"}"#, "side"),
        ] {
            assert!(judge(body).unwrap_err().starts_with(word), "{body}");
        }
    }

    #[test]
    fn a_price_for_people_has_cents() {
        for (price, text) in [("150", "150.00"), ("150.1", "150.10"), ("150.129", "150.12"), ("0.0043", "0.0043")] {
            assert_eq!(cents(price), text);
        }
    }
}

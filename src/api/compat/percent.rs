//! Percent: the dialect whose clients post `amountIn` and a `slippage` in percent, over HTTP or over a socket.
//!
//! Owns that engine's words: its checks with its sentences, its replies, frames and flat rows. Its slippage is percent,
//! as its document says; its code took it for a fraction, which would have let a trade lose half of its value.

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
        views::{number, ratio, timestamp},
    },
    domain::{
        AmountError, AmountText, BaseUnits, Bps, Dialect, ErrorCode, Fill, OrderRequest, PoolWish, Quote, Rules, Swap,
    },
    engine::Accepted,
};

/// Amounts in rows have at least this many decimals.
const ROW_DECIMALS: usize = 8;

/// The dialect.
pub struct Percent;

impl Words for Percent {
    fn dialect(&self) -> Dialect {
        Dialect::Percent
    }

    fn request(&self, fields: &Fields, rules: &Rules, options: &Options) -> Result<OrderRequest, ApiError> {
        request(fields, rules, options.percent_slippage)
    }

    /// `wsUrl` names the order: in that engine an order that was posted could not be followed.
    fn accepted(&self, accepted: &Accepted, host: &str) -> Response {
        let id = accepted.order.id;
        let url = format!("ws://{host}/api/orders/execute?orderId={id}");
        Json(json!({ "orderId": id, "status": "pending", "wsUrl": url })).into_response()
    }

    fn greeting(&self, story: &Story) -> Option<Value> {
        Some(json!({ "orderId": story.order.id, "status": "pending" }))
    }

    fn frames(&self, story: &Story, moment: Moment) -> Vec<Value> {
        let millis = i64::try_from(story.at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
        let mut frame = json!({ "orderId": story.order.id, "status": moment.name(), "timeStamp": millis });
        match (moment, story.tx_hash()) {
            (Moment::Confirmed, Some(hash)) => frame["txHash"] = json!(hash),
            (Moment::Confirmed, None) => frame["simulated"] = json!(true),
            (Moment::Failed, _) => {
                frame["error"] = json!(story.reason());
                frame["code"] = json!(story.error());
            }
            _ => {}
        }
        vec![frame]
    }
}

fn request(fields: &Fields, rules: &Rules, default_slippage: Bps) -> Result<OrderRequest, ApiError> {
    let refused = |code, message: String| Err(ApiError::new(code, message));
    if !fields.is_truthy("tokenIn") || !fields.is_truthy("tokenOut") {
        return refused(ErrorCode::InvalidRequest, "tokenIn and tokenOut required".into());
    }
    let (Some(token_in), Some(token_out)) = (fields.text("tokenIn"), fields.text("tokenOut")) else {
        return refused(ErrorCode::InvalidRequest, "tokenIn and tokenOut must be strings".into());
    };
    let Some(amount) = fields.positive_decimal("amountIn") else {
        return refused(ErrorCode::InvalidAmount, "amountIn must be positive".into());
    };
    let slippage = match fields.decimal("slippage") {
        Some(percent) => basis_points(&percent).filter(|bps| *bps <= u64::from(rules.max_slippage.get())),
        None if fields.is_absent("slippage") => Some(default_slippage.min(rules.max_slippage).get().into()),
        None => None,
    };
    let Some(slippage) = slippage.and_then(|bps| i64::try_from(bps).ok()) else {
        let most = BaseUnits::new(rules.max_slippage.get().into()).to_ui(2);
        return refused(ErrorCode::InvalidSlippage, format!("slippage must be a percentage from 0 to {most}"));
    };
    // Any pool is taken here and judged when the order is routed.
    let address = fields.is_truthy("poolId").then(|| fields.text("poolId").unwrap_or_else(|| "no text".into()));
    let base_in = (!fields.is_absent("baseIn")).then(|| fields.is_truthy("baseIn"));
    Ok(OrderRequest {
        token_in,
        token_out,
        amount_in: Some(AmountText::Ui(amount)),
        slippage_bps: Some(slippage),
        pool_wish: (address.is_some() || base_in.is_some()).then_some(PoolWish { address, base_in }),
        ..OrderRequest::default()
    })
}

/// Percent as whole basis points. Rounded down, so that rounding never weakens the bound.
fn basis_points(percent: &str) -> Option<u64> {
    /// All the decimals of a double, and still 100 percent in 64 bits.
    const DECIMALS: u8 = 17;
    const PER_BASIS_POINT: u64 = 10_u64.pow(15);
    match BaseUnits::from_ui(percent, DECIMALS) {
        Ok(amount) => Some(amount.get() / PER_BASIS_POINT),
        Err(AmountError::NotPositive) if !percent.contains('-') => Some(0),
        Err(_) => None,
    }
}

/// The flat row of a look-up.
pub fn row(story: &Story) -> Value {
    let order = &story.order;
    let executed = story.executed();
    let exact_in = match order.swap {
        Swap::ExactIn(amount) => Some(amount),
        Swap::ExactOut(_) => None,
    };
    let amount_in = exact_in.or(executed.as_ref().map(|fill| fill.amount_in));
    let slippage = u64::from(order.slippage.get());
    json!({
        "orderId": order.id,
        "status": story.status(),
        "tokenIn": order.token_in.symbol,
        "tokenOut": order.token_out.symbol,
        "amountIn": amount_in.map(|amount| decimals(amount, order.token_in.decimals)),
        "amountOut": executed.map(|fill| decimals(fill.amount_out, order.token_out.decimals)),
        "slippage": format!("{}.{:02}00", slippage / 100, slippage % 100),
        "selectedDex": story.dex(),
        "txHash": story.tx_hash(),
        "errorMessage": story.reason(),
        "raydiumQuote": story.quote_of("raydium").map(|quote| quoted(story, quote)),
        "meteoraQuote": story.quote_of("meteora").map(|quote| quoted(story, quote)),
        "createdAt": timestamp(order.created_at),
        "updatedAt": timestamp(order.updated_at),
    })
}

/// Fee and price impact are parts of one.
fn quoted(story: &Story, quote: &Quote) -> Value {
    let swap = Fill { amount_in: quote.amount_in, amount_out: quote.amount_out };
    let impact = ratio(quote.price_impact_bps.get().into(), 10_000);
    json!({
        "dex": quote.venue.family(),
        "price": story.price(&swap),
        "amountOut": number(&quote.amount_out.to_ui(story.order.token_out.decimals)),
        "fee": story.fee(quote),
        "priceImpact": impact.map(|impact| number(&impact)),
    })
}

/// Whole tokens with eight decimals, or more where the amount has more.
fn decimals(amount: BaseUnits, decimals: u8) -> String {
    let text = amount.to_ui(decimals);
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}.{fraction:0<ROW_DECIMALS$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(body: &str) -> Result<OrderRequest, String> {
        let rules = Rules {
            tokens: Vec::new(),
            default_slippage: Bps::new(100).unwrap(),
            max_slippage: Bps::new(1_000).unwrap(),
        };
        let fields = Fields::read(body.as_bytes()).unwrap();
        request(&fields, &rules, Bps::new(50).unwrap()).map_err(|error| error.message().to_owned())
    }

    fn with(rest: &str) -> Result<OrderRequest, String> {
        judge(&format!(r#"{{"tokenIn":"SOL","tokenOut":"USDC","amountIn":0.01{rest}}}"#))
    }

    #[test]
    fn what_is_wrong_is_said_in_that_engines_words() {
        const TOKENS: &str = "tokenIn and tokenOut required";
        const POSITIVE: &str = "amountIn must be positive";
        const SLIPPAGE: &str = "slippage must be a percentage from 0 to 10";
        for (body, message) in [
            (r#"{"amountIn":1}"#, TOKENS),
            (r#"{"tokenIn":"SOL","tokenOut":"","amountIn":1}"#, TOKENS),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC"}"#, POSITIVE),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":0}"#, POSITIVE),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":-1}"#, POSITIVE),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":"abc"}"#, POSITIVE),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":1,"slippage":50}"#, SLIPPAGE),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":1,"slippage":-0.5}"#, SLIPPAGE),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":1,"slippage":true}"#, SLIPPAGE),
        ] {
            assert_eq!(judge(body).unwrap_err(), message, "{body}");
        }
    }

    #[test]
    fn slippage_is_percent_and_rounds_towards_safety() {
        for (rest, bps) in [
            ("", 50),
            (r#","slippage":null"#, 50),
            (r#","slippage":0.5"#, 50),
            (r#","slippage":"1""#, 100),
            (r#","slippage":10"#, 1_000),
            (r#","slippage":0"#, 0),
            (r#","slippage":0.129"#, 12),
            (r#","slippage":0.30000000000000004"#, 30),
        ] {
            assert_eq!(with(rest).unwrap().slippage_bps, Some(bps), "{rest}");
        }
    }

    #[test]
    fn any_pool_is_taken_for_later() {
        let wish = |address: Option<&str>, base_in| Some(PoolWish { address: address.map(str::to_owned), base_in });
        for (rest, expected) in [
            ("", None),
            (r#","poolId":"""#, None),
            (r#","poolId":"test-pool""#, wish(Some("test-pool"), None)),
            (r#","poolId":7"#, wish(Some("no text"), None)),
            (r#","poolId":"P","baseIn":true"#, wish(Some("P"), Some(true))),
            (r#","baseIn":false"#, wish(None, Some(false))),
        ] {
            assert_eq!(with(rest).unwrap().pool_wish, expected, "{rest}");
        }
        assert_eq!(with("").unwrap().amount_in, Some(AmountText::Ui("0.01".into())));
    }

    #[test]
    fn a_rows_amounts_have_eight_decimals_and_lose_none() {
        assert_eq!(decimals(BaseUnits::new(10_000_000), 9), "0.01000000");
        assert_eq!(decimals(BaseUnits::new(1), 9), "0.000000001");
        assert_eq!(decimals(BaseUnits::new(3), 0), "3.00000000");
    }
}

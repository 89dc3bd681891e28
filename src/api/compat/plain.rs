//! Plain: the dialect whose clients post `tokenIn`, `tokenOut`, `amount` and are answered 202.
//!
//! Owns that engine's words: its checks in their order with its sentences, its replies, frames and rows. Values stand
//! both under `data` and at the top, because its clients were written against either.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    Fields,
    story::{Moment, Story},
    words::Words,
};
use crate::{
    api::{ApiError, Options, views::timestamp},
    domain::{AmountText, Dialect, ErrorCode, OrderRequest, Rules, Status},
    engine::Accepted,
};

/// Slippage was no input there: one percent, fixed.
const SLIPPAGE_BPS: u16 = 100;

/// The dialect.
pub struct Plain;

impl Words for Plain {
    fn dialect(&self) -> Dialect {
        Dialect::Plain
    }

    fn request(&self, fields: &Fields, rules: &Rules, _options: &Options) -> Result<OrderRequest, ApiError> {
        request(fields, rules)
    }

    fn accepted(&self, accepted: &Accepted, _host: &str) -> Response {
        let (status, message) = if accepted.fresh {
            (StatusCode::ACCEPTED, "Order accepted and queued for execution")
        } else {
            (StatusCode::OK, "Order already accepted")
        };
        (status, Json(json!({ "message": message, "orderId": accepted.order.id }))).into_response()
    }

    fn field(&self, ours: &'static str) -> &'static str {
        if ours == "amountIn" { "amount" } else { ours }
    }

    /// Sent only while it is true.
    fn greeting(&self, story: &Story) -> Option<Value> {
        (story.order.status.name() == Status::Pending).then(|| json!({ "status": "pending" }))
    }

    fn frames(&self, story: &Story, moment: Moment) -> Vec<Value> {
        vec![frame(story, moment)]
    }
}

/// Reads a body; the first thing that is wrong is said in that engine's order: presence, equality, amount, type.
fn request(fields: &Fields, rules: &Rules) -> Result<OrderRequest, ApiError> {
    let refused = |code, message| Err(ApiError::new(code, message));
    if !fields.is_truthy("tokenIn") || !fields.is_truthy("tokenOut") || fields.is_absent("amount") {
        return refused(ErrorCode::InvalidRequest, "tokenIn, tokenOut and amount are required");
    }
    let (Some(token_in), Some(token_out)) = (fields.text("tokenIn"), fields.text("tokenOut")) else {
        return refused(ErrorCode::InvalidRequest, "tokenIn and tokenOut must be strings");
    };
    if token_in == token_out {
        return refused(ErrorCode::InvalidRequest, "tokenIn and tokenOut must be different");
    }
    let Some(amount) = fields.positive_number("amount") else {
        return refused(ErrorCode::InvalidAmount, "amount must be a positive number");
    };
    if fields.is_truthy("orderType") && fields.text("orderType").as_deref() != Some("market") {
        return refused(ErrorCode::InvalidRequest, "Only market orders are supported");
    }
    Ok(OrderRequest {
        token_in,
        token_out,
        amount_in: Some(AmountText::Ui(amount.to_owned())),
        slippage_bps: Some(SLIPPAGE_BPS.min(rules.max_slippage.get()).into()),
        ..OrderRequest::default()
    })
}

fn frame(story: &Story, moment: Moment) -> Value {
    let data = match moment {
        Moment::Routing => return json!({ "status": "routing" }),
        Moment::Submitted | Moment::Landed => return json!({ "status": "submitted" }),
        Moment::Building => json!({ "chosenDex": story.dex() }),
        Moment::Confirmed => {
            let mut data = json!({ "executionPrice": story.execution_price() });
            match story.tx_hash() {
                Some(hash) => data["txHash"] = json!(hash),
                None => data["simulated"] = json!(true),
            }
            data
        }
        Moment::Failed => json!({ "error": error(story), "reason": story.reason() }),
    };
    let mut frame = data.clone();
    frame["status"] = json!(moment.name());
    frame["data"] = data;
    frame
}

/// The order row of the status paths.
pub fn row(story: &Story) -> Value {
    let order = &story.order;
    json!({
        "id": order.id,
        "orderType": "market",
        "tokenIn": order.token_in.symbol,
        "tokenOut": order.token_out.symbol,
        "amount": story.amount(),
        "status": story.status(),
        "chosenDex": story.dex(),
        "executionPrice": story.execution_price(),
        "txHash": story.tx_hash(),
        "failureReason": error(story),
        "simulated": story.is_simulated(),
        "createdAt": timestamp(order.created_at),
        "updatedAt": timestamp(order.updated_at),
    })
}

/// Its clients match on `SLIPPAGE_EXCEEDED`: codes are in upper case.
fn error(story: &Story) -> Option<String> {
    story.error().map(str::to_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Bps;

    fn judge(body: &str) -> Result<OrderRequest, String> {
        let rules = Rules {
            tokens: Vec::new(),
            default_slippage: Bps::new(50).unwrap(),
            max_slippage: Bps::new(1_000).unwrap(),
        };
        let fields = Fields::read(body.as_bytes()).unwrap();
        request(&fields, &rules).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn what_is_wrong_is_said_in_that_engines_order_and_words() {
        const REQUIRED: &str = "tokenIn, tokenOut and amount are required";
        const DIFFERENT: &str = "tokenIn and tokenOut must be different";
        const POSITIVE: &str = "amount must be a positive number";
        const MARKET: &str = "Only market orders are supported";
        for (body, message) in [
            ("{}", REQUIRED),
            (r#"{"tokenIn":"SOL","amount":1}"#, REQUIRED),
            (r#"{"tokenIn":"","tokenOut":"USDC","amount":1}"#, REQUIRED),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC"}"#, REQUIRED),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":null}"#, REQUIRED),
            (r#"{"tokenIn":"SOL","tokenOut":"SOL","amount":-1}"#, DIFFERENT),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":0}"#, POSITIVE),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":0.00}"#, POSITIVE),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":-1}"#, POSITIVE),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":"5"}"#, POSITIVE),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":"5","orderType":"limit"}"#, POSITIVE),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":5,"orderType":"limit"}"#, MARKET),
        ] {
            assert_eq!(judge(body).unwrap_err(), message, "{body}");
        }
    }

    #[test]
    fn a_good_body_becomes_an_order_with_one_percent() {
        let request = judge(r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":1.50,"orderType":"market"}"#).unwrap();
        assert_eq!(request.amount_in, Some(AmountText::Ui("1.50".into())));
        assert_eq!(request.slippage_bps, Some(100));
    }
}

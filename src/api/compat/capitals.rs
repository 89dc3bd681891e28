//! Capitals: the dialect whose clients post `inputToken` and `outputToken` and read statuses in capitals.
//!
//! Owns that engine's words: its one check, its reply, its frames. It has no look-up over HTTP.

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
    domain::{AmountText, Dialect, ErrorCode, OrderRequest, Rules},
    engine::Accepted,
};

/// The dialect.
pub struct Capitals;

impl Words for Capitals {
    fn dialect(&self) -> Dialect {
        Dialect::Capitals
    }

    fn request(&self, fields: &Fields, _rules: &Rules, _options: &Options) -> Result<OrderRequest, ApiError> {
        if ["inputToken", "outputToken", "amount"].iter().any(|name| !fields.is_truthy(name)) {
            return Err(ApiError::new(ErrorCode::InvalidRequest, "Missing required fields"));
        }
        let (Some(token_in), Some(token_out)) = (fields.text("inputToken"), fields.text("outputToken")) else {
            return Err(ApiError::new(ErrorCode::InvalidRequest, "inputToken and outputToken must be strings"));
        };
        let Some(amount) = fields.positive_decimal("amount") else {
            return Err(ApiError::new(ErrorCode::InvalidAmount, "amount must be a positive number"));
        };
        let amount_in = Some(AmountText::Ui(amount));
        Ok(OrderRequest { token_in, token_out, amount_in, ..OrderRequest::default() })
    }

    fn accepted(&self, accepted: &Accepted, _host: &str) -> Response {
        let body = json!({ "message": "Order queued successfully", "orderId": accepted.order.id });
        (StatusCode::CREATED, Json(body)).into_response()
    }

    fn field(&self, ours: &'static str) -> &'static str {
        match ours {
            "tokenIn" => "inputToken",
            "tokenOut" => "outputToken",
            "amountIn" => "amount",
            same => same,
        }
    }

    fn greeting(&self, _story: &Story) -> Option<Value> {
        None
    }

    fn frames(&self, story: &Story, moment: Moment) -> Vec<Value> {
        let frame = |status: &str, more: Value| {
            let mut frame = more;
            frame["type"] = json!("ORDER_UPDATE");
            frame["orderId"] = json!(story.order.id);
            frame["status"] = json!(status);
            frame["timestamp"] = json!(timestamp(story.at));
            frame
        };
        match moment {
            Moment::Routing => vec![frame("ROUTING", json!({}))],
            Moment::Building => {
                let route = json!({ "route": story.dex().map(str::to_uppercase), "price": story.quoted_price() });
                vec![frame("ROUTING_COMPLETE", route), frame("BUILDING", json!({}))]
            }
            Moment::Submitted | Moment::Landed => vec![frame("SUBMITTED", json!({}))],
            Moment::Confirmed => {
                let end = match story.tx_hash() {
                    Some(hash) => json!({ "txHash": hash, "finalPrice": story.execution_price() }),
                    None => json!({ "simulated": true, "finalPrice": story.execution_price() }),
                };
                vec![frame("CONFIRMED", end)]
            }
            Moment::Failed => vec![frame("FAILED", json!({ "reason": story.reason(), "code": story.error() }))],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Bps;

    fn judge(body: &str) -> Result<OrderRequest, String> {
        let rules = Rules { tokens: Vec::new(), default_slippage: Bps::default(), max_slippage: Bps::default() };
        let fields = Fields::read(body.as_bytes()).unwrap();
        Capitals.request(&fields, &rules, &Options::default()).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn whatever_is_falsy_is_missing() {
        for body in [
            "{}",
            r#"{"inputToken":"SOL"}"#,
            r#"{"inputToken":"SOL","outputToken":"","amount":10}"#,
            r#"{"inputToken":"SOL","outputToken":"USDC","amount":0}"#,
            r#"{"inputToken":"SOL","outputToken":"USDC","amount":null}"#,
        ] {
            assert_eq!(judge(body).unwrap_err(), "Missing required fields", "{body}");
        }
        assert!(judge(r#"{"inputToken":"SOL","outputToken":"USDC","amount":-1}"#).is_err());
        for amount in ["10.50", r#""10.50""#] {
            let request = judge(&format!(r#"{{"inputToken":"SOL","outputToken":"USDC","amount":{amount}}}"#)).unwrap();
            assert_eq!(request.amount_in, Some(AmountText::Ui("10.50".into())));
        }
    }
}

//! Typed: the dialect whose clients post `type` and `slippageBps` and read `order` and `history`.
//!
//! Owns that engine's words: its list of issues, its replies, frames and rows.

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
    api::{
        ApiError, Options,
        views::{number, ratio, timestamp},
    },
    domain::{AmountError, AmountText, BaseUnits, Bps, Dialect, ErrorCode, OrderRequest, Rules, StoredEvent},
    engine::{Accepted, SubmitError},
};

/// Slippage when none is given, unless the daemon allows less.
const DEFAULT_SLIPPAGE_BPS: u16 = 100;
const LARGEST_SLIPPAGE_BPS: u16 = 1_000;

/// The dialect.
pub struct Typed;

impl Words for Typed {
    fn dialect(&self) -> Dialect {
        Dialect::Typed
    }

    fn request(&self, fields: &Fields, rules: &Rules, _options: &Options) -> Result<OrderRequest, ApiError> {
        request(fields, rules.max_slippage)
    }

    fn accepted(&self, accepted: &Accepted, _host: &str) -> Response {
        Json(json!({ "orderId": accepted.order.id })).into_response()
    }

    fn field(&self, ours: &'static str) -> &'static str {
        if ours == "amountIn" { "amount" } else { ours }
    }

    /// A list of issues when the order is wrong, `internal_error` when it could not be stored.
    fn refused(&self, error: SubmitError) -> ApiError {
        match error {
            SubmitError::Refused(refused) => {
                let message = refused.sentence(|ours| self.field(ours));
                let path: Vec<_> = refused.field.into_iter().map(|ours| self.field(ours)).collect();
                let issue = json!({ "code": "custom", "path": path, "message": message });
                invalid(refused.code, &message, vec![issue])
            }
            SubmitError::Store(error) => ApiError::new(error.code(), "the order could not be stored")
                .status(StatusCode::INTERNAL_SERVER_ERROR)
                .compat(json!({ "error": "internal_error" }))
                .because(error),
            error => error.into(),
        }
    }

    fn greeting(&self, story: &Story) -> Option<Value> {
        Some(json!({ "orderId": story.order.id, "status": "pending" }))
    }

    fn frames(&self, story: &Story, moment: Moment) -> Vec<Value> {
        let mut frame = payload(story, moment);
        frame["orderId"] = json!(story.order.id);
        frame["status"] = json!(moment.name());
        vec![frame]
    }

    fn ends_the_socket(&self) -> bool {
        true
    }
}

/// Reads a body; everything that is wrong is listed at once.
fn request(fields: &Fields, max_slippage: Bps) -> Result<OrderRequest, ApiError> {
    let mut issues = Vec::new();
    if fields.text("type").as_deref() != Some("market") {
        issues.push(json!({
            "code": "invalid_literal", "expected": "market", "received": fields.text("type"), "path": ["type"],
            "message": "Invalid literal value, expected \"market\"",
        }));
    }
    let mut text = |name: &str| match fields.text(name) {
        Some(text) if !text.is_empty() => text,
        Some(_) => {
            issues.push(json!({
                "code": "too_small", "minimum": 1, "type": "string", "inclusive": true, "exact": false,
                "path": [name], "message": "String must contain at least 1 character(s)",
            }));
            String::new()
        }
        None => {
            issues.push(wrong_type(fields, name, "string"));
            String::new()
        }
    };
    let (token_in, token_out) = (text("tokenIn"), text("tokenOut"));
    if !token_in.is_empty() && token_in == token_out {
        issues.push(custom("tokenOut", "tokenIn and tokenOut must be different"));
    }
    let amount = fields.positive_number("amount");
    if amount.is_none() {
        issues.push(if fields.number("amount").is_some() {
            json!({
                "code": "too_small", "minimum": 0, "type": "number", "inclusive": false, "exact": false,
                "path": ["amount"], "message": "Number must be greater than 0",
            })
        } else {
            wrong_type(fields, "amount", "number")
        });
    }
    let given = slippage(fields).unwrap_or_else(|issue| {
        issues.push(issue);
        None
    });
    if !issues.is_empty() {
        return Err(invalid(ErrorCode::InvalidRequest, "the order is not valid", issues));
    }
    Ok(OrderRequest {
        token_in,
        token_out,
        amount_in: amount.map(|amount| AmountText::Ui(amount.to_owned())),
        slippage_bps: Some(given.unwrap_or(DEFAULT_SLIPPAGE_BPS.min(max_slippage.get())).into()),
        ..OrderRequest::default()
    })
}

fn slippage(fields: &Fields) -> Result<Option<u16>, Value> {
    const NAME: &str = "slippageBps";
    if fields.value(NAME).is_none() {
        return Ok(None);
    }
    let Some(text) = fields.number(NAME) else { return Err(wrong_type(fields, NAME, "number")) };
    let bound = |code: &str, bound: &str, limit: u16, words: &str| {
        json!({
            "code": code, bound: limit, "type": "number", "inclusive": true, "exact": false, "path": [NAME],
            "message": format!("Number must be {words} than or equal to {limit}"),
        })
    };
    // 100.0 and 1e2 are integers to JavaScript.
    match BaseUnits::from_ui(text, 0).map(BaseUnits::get) {
        Ok(bps) if bps <= u64::from(LARGEST_SLIPPAGE_BPS) => Ok(Some(u16::try_from(bps).expect("at most 1000"))),
        Ok(_) | Err(AmountError::TooLarge) => Err(bound("too_big", "maximum", LARGEST_SLIPPAGE_BPS, "less")),
        Err(AmountError::NotPositive) => Err(bound("too_small", "minimum", 1, "greater")),
        Err(_) => Err(json!({
            "code": "invalid_type", "expected": "integer", "received": "float", "path": [NAME],
            "message": "Expected integer, received float",
        })),
    }
}

fn wrong_type(fields: &Fields, name: &str, expected: &str) -> Value {
    let received = fields.kind(name);
    let message =
        if received == "undefined" { "Required".into() } else { format!("Expected {expected}, received {received}") };
    json!({ "code": "invalid_type", "expected": expected, "received": received, "path": [name], "message": message })
}

fn custom(path: &str, message: &str) -> Value {
    json!({ "code": "custom", "path": [path], "message": message })
}

fn invalid(code: ErrorCode, message: &str, issues: Vec<Value>) -> ApiError {
    ApiError::new(code, message).compat(json!({ "error": issues }))
}

/// The only frame of a socket that names no order.
pub fn no_order(id: Option<&str>, error: &str) -> Value {
    match id {
        Some(id) => json!({ "orderId": id, "status": "failed", "error": error }),
        None => json!({ "status": "failed", "error": error }),
    }
}

fn payload(story: &Story, moment: Moment) -> Value {
    match moment {
        Moment::Routing => json!({}),
        Moment::Building => {
            let quote = story
                .quote()
                .map(|quote| json!({ "dex": story.dex(), "price": story.quoted_price(), "fee": story.fee(quote) }));
            json!({ "dex": story.dex(), "quote": quote })
        }
        Moment::Submitted | Moment::Landed => {
            let kept = ratio(u128::from(10_000 - story.order.slippage.get()), 10_000);
            json!({ "dex": story.dex(), "minOutFactor": kept.map(|kept| number(&kept)) })
        }
        Moment::Confirmed => {
            let mut payload = json!({
                "executedPrice": story.execution_price(), "dex": story.dex(), "amountOut": story.amount_out(),
            });
            match story.tx_hash() {
                Some(hash) => payload["txHash"] = json!(hash),
                None => payload["simulated"] = json!(true),
            }
            payload
        }
        Moment::Failed => {
            let mut payload = json!({ "error": story.error(), "reason": story.reason() });
            if let Some(dex) = story.dex() {
                payload["dex"] = json!(dex);
            }
            payload
        }
    }
}

/// `order` of the reply to a look-up.
pub fn order(story: &Story) -> Value {
    let order = &story.order;
    json!({
        "id": order.id,
        "status": story.status(),
        "token_in": order.token_in.symbol,
        "token_out": order.token_out.symbol,
        "amount": story.amount(),
        "slippage_bps": order.slippage,
        "failure_reason": story.error(),
        "created_at": timestamp(order.created_at),
        "updated_at": timestamp(order.updated_at),
    })
}

/// `history` of that reply, oldest first, without a row for `pending`. Tells `story` to its end.
pub fn history(story: &mut Story, events: &[StoredEvent]) -> Vec<Value> {
    let rows = story.tell(events).into_iter().map(|(moment, then)| {
        json!({ "status": moment.name(), "payload": payload(&then, moment), "created_at": timestamp(then.at) })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issues(body: &str) -> Vec<(String, String)> {
        let fields = Fields::read(body.as_bytes()).unwrap();
        let Err(error) = request(&fields, Bps::new(1_000).unwrap()) else { return Vec::new() };
        let list = error.compat_field("error").cloned().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(|issue| (text(&issue["path"][0]), text(&issue["code"]))).collect()
    }

    fn expect(body: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(path, code)| ((*path).to_owned(), (*code).to_owned())).collect();
        assert_eq!(issues(body), expected, "{body}");
    }

    #[test]
    fn everything_that_is_wrong_is_listed_at_once() {
        expect(
            r#"{"type":"limit"}"#,
            &[
                ("type", "invalid_literal"),
                ("tokenIn", "invalid_type"),
                ("tokenOut", "invalid_type"),
                ("amount", "invalid_type"),
            ],
        );
        let with = |rest: &str| format!(r#"{{"type":"market","tokenIn":"SOL","tokenOut":"USDC",{rest}}}"#);
        expect(&with(r#""amount":1"#), &[]);
        expect(&with(r#""amount":1,"slippageBps":1000"#), &[]);
        expect(&with(r#""amount":0"#), &[("amount", "too_small")]);
        expect(&with(r#""amount":"1""#), &[("amount", "invalid_type")]);
        expect(&with(r#""amount":1,"slippageBps":0"#), &[("slippageBps", "too_small")]);
        expect(&with(r#""amount":1,"slippageBps":1001"#), &[("slippageBps", "too_big")]);
        expect(&with(r#""amount":1,"slippageBps":1e2"#), &[]);
        expect(&with(r#""amount":1,"slippageBps":-5"#), &[("slippageBps", "too_small")]);
        expect(&with(r#""amount":1,"slippageBps":1e99"#), &[("slippageBps", "too_big")]);
        expect(&with(r#""amount":1,"slippageBps":1.5"#), &[("slippageBps", "invalid_type")]);
        expect(&with(r#""amount":1,"slippageBps":null"#), &[("slippageBps", "invalid_type")]);
        expect(r#"{"type":"market","tokenIn":"SOL","tokenOut":"SOL","amount":1}"#, &[("tokenOut", "custom")]);
    }

    #[test]
    fn the_default_is_never_more_than_the_daemon_allows() {
        let fields = Fields::read(br#"{"type":"market","tokenIn":"SOL","tokenOut":"USDC","amount":1}"#).unwrap();
        for (max, default) in [(1_000, 100), (50, 50)] {
            let request = request(&fields, Bps::new(max).unwrap()).unwrap();
            assert_eq!(request.slippage_bps, Some(default), "at most {max}");
        }
    }
}

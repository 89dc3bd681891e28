//! Words: what every dialect has to say, and which one a body is written in.

use axum::response::Response;
use serde_json::Value;

use super::{
    Fields,
    capitals::Capitals,
    pair::Pair,
    percent::Percent,
    plain::Plain,
    story::{Moment, Story},
    typed::Typed,
};
use crate::{
    api::{ApiError, Options},
    domain::{Dialect, OrderRequest, Rules},
    engine::{Accepted, SubmitError},
};

/// One older engine's way to talk.
pub trait Words: Send + Sync {
    /// The name that is stored with its orders.
    fn dialect(&self) -> Dialect;

    /// Reads a body.
    ///
    /// # Errors
    /// With that engine's words for what is wrong.
    fn request(&self, fields: &Fields, rules: &Rules, options: &Options) -> Result<OrderRequest, ApiError>;

    /// The answer to an accepted order. `host` is what the client calls this daemon.
    fn accepted(&self, accepted: &Accepted, host: &str) -> Response;

    /// What its clients call a field of ours.
    fn field(&self, ours: &'static str) -> &'static str {
        ours
    }

    /// The answer to an order that the intake refused.
    fn refused(&self, error: SubmitError) -> ApiError {
        match error {
            SubmitError::Refused(refused) => ApiError::new(refused.code, refused.sentence(|ours| self.field(ours))),
            error => error.into(),
        }
    }

    /// What a socket is told before anything that happened.
    fn greeting(&self, story: &Story) -> Option<Value>;

    /// What a moment is told with.
    fn frames(&self, story: &Story, moment: Moment) -> Vec<Value>;

    /// Whether the socket is closed after the last frame.
    fn ends_the_socket(&self) -> bool {
        false
    }
}

/// The words of an order, unless it is one of our own API.
pub fn of(dialect: Dialect) -> Option<&'static dyn Words> {
    Some(match dialect {
        Dialect::V1 => return None,
        Dialect::Plain => &Plain,
        Dialect::Percent => &Percent,
        Dialect::Capitals => &Capitals,
        Dialect::Typed => &Typed,
        Dialect::Pair => &Pair,
    })
}

/// The words that a body of `POST /api/orders/execute` is written in: the first match wins.
pub fn of_body(fields: &Fields) -> Option<&'static dyn Words> {
    let has = |names: &[&str]| names.iter().any(|name| fields.value(name).is_some());
    if has(&["pair"]) {
        Some(&Pair)
    } else if has(&["amountIn"]) {
        Some(&Percent)
    } else if has(&["type", "slippageBps"]) {
        Some(&Typed)
    } else if has(&["tokenIn", "tokenOut", "amount"]) {
        Some(&Plain)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_decides_the_dialect_and_the_first_match_wins() {
        for (body, dialect) in [
            (r#"{"pair":"SOL-USDC","amount":10.5,"side":"buy"}"#, Some(Dialect::Pair)),
            (r#"{"pair":null,"amountIn":1}"#, Some(Dialect::Pair)),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":1,"slippage":0.5}"#, Some(Dialect::Percent)),
            (r#"{"type":"market","amountIn":1}"#, Some(Dialect::Percent)),
            (r#"{"type":"market","tokenIn":"SOL","tokenOut":"USDC","amount":1}"#, Some(Dialect::Typed)),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":1,"slippageBps":5}"#, Some(Dialect::Typed)),
            (r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":14}"#, Some(Dialect::Plain)),
            (r#"{"amount":14}"#, Some(Dialect::Plain)),
            (r#"{"inputToken":"SOL"}"#, None),
            (r#"{"foo":"bar"}"#, None),
        ] {
            let words = of_body(&Fields::read(body.as_bytes()).unwrap());
            assert_eq!(words.map(Words::dialect), dialect, "{body}");
        }
    }

    #[test]
    fn every_dialect_but_our_own_has_its_words() {
        for dialect in [Dialect::Plain, Dialect::Percent, Dialect::Capitals, Dialect::Typed, Dialect::Pair] {
            assert_eq!(of(dialect).map(Words::dialect), Some(dialect));
        }
        assert!(of(Dialect::V1).is_none());
    }
}

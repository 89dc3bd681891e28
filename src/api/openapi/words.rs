//! Words: the values that clients write, where one is more than a type: a number or its text, one of a list.
//!
//! Types for the description only. What is really accepted is `body::Decimal`'s and the domain's business.

use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::domain::OrderEvent;

/// A type per word, with its JSON schema.
macro_rules! words {
    ($($(#[doc = $doc:literal])+ $name:ident: $schema:tt;)+) => {$(
        $(#[doc = $doc])+
        pub struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let mut schema = json!($schema);
                schema["description"] = concat!($($doc, "\n"),+).trim().into();
                serde_json::from_value(schema).expect("the schemas in this file are schemas")
            }
        }

        impl ToSchema for $name {}
    )+};
}

words! {
    /// A token: a symbol in any case, or a mint's address. `GET /v1/tokens` has them all.
    TokenName: {"type": "string", "minLength": 1, "example": "SOL"};
    /// The address of a wallet, base58.
    WalletAddress: {"type": "string", "pattern": "^[1-9A-HJ-NP-Za-km-z]{32,44}$"};
    /// A number of whole tokens, exact: text or a JSON number. `0.1` stays `0.1`.
    UiAmount: {"anyOf": [
        {"type": "string", "pattern": "^[0-9]{1,20}(\\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?$", "example": "0.01"},
        {"type": "number", "exclusiveMinimum": 0.0},
    ]};
    /// An amount in base units: a whole number, as text or a JSON number.
    BaseAmount: {"anyOf": [
        {"type": "string", "pattern": "^[0-9]{1,20}$", "example": "10000000"},
        {"type": "integer", "minimum": 1},
    ]};
    /// Basis points: a whole number, as a JSON number or text. The daemon may allow less.
    SlippageBps: {"anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 10000},
        {"type": "string", "pattern": "^[0-9]{1,5}$"},
    ]};
    /// Percent: a JSON number or text. The daemon may allow less.
    Percent: {"anyOf": [
        {"type": "number", "minimum": 0.0, "maximum": 100.0},
        {"type": "string", "pattern": "^[0-9]{1,20}(\\.[0-9]{1,17})?([eE][+-]?[0-9]{1,2})?$", "example": "0.5"},
        {"type": "null"},
    ]};
    /// The only type of order, or what JavaScript takes for nothing.
    OrderType: {"type": ["string", "boolean", "integer", "null"], "enum": ["market", "", false, 0, null]};
    /// An event's name.
    EventName: {"type": "string", "enum": (OrderEvent::NAMES)};
}

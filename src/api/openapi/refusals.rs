//! Refusals: which codes each operation may be refused with, as its description says it.
//!
//! Owns one list of codes per kind of operation. The statuses, bodies and headers follow from the codes.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::{
    IntoResponses,
    openapi::{
        ContentBuilder, Ref, RefOr, Response, ResponseBuilder,
        schema::{AllOfBuilder, ObjectBuilder, SchemaType, Type},
    },
};

use super::text_header;
use crate::domain::ErrorCode;

type Responses = BTreeMap<String, RefOr<Response>>;

/// A type per kind of operation, with the codes it may be refused with, for `responses(...)`.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: $($code:ident $(as $status:literal)?),+;)+) => {$(
        $(#[$doc])*
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> Responses {
                by_status(&[$((ErrorCode::$code, refusals!(@status $code $(as $status)?))),+])
            }
        }
    )+};
    (@status $code:ident) => { ErrorCode::$code.http_status() };
    (@status $code:ident as $status:literal) => { $status };
}

refusals! {
    /// An order that is submitted.
    Submitting: InvalidRequest, UnknownToken, InvalidAmount, InvalidSlippage, MalformedBody, IdempotencyConflict,
        BodyTooLarge, UnsupportedMediaType, NoRoute, InsufficientLiquidity, InsufficientFunds, SlippageExceeded,
        CapExceeded, TransactionFailed, QueueFull, Paused, VenueUnavailable, RpcUnavailable, StoreUnavailable, Internal;
    /// An order that is looked at.
    Finding: NotFound, StoreUnavailable, Internal;
    /// An order that is called off.
    Cancelling: NotFound, Conflict, StoreUnavailable, Internal;
    /// An order that is set aside and shall go on.
    Replaying: NotFound, Conflict, StoreUnavailable, Internal;
    /// The kill switch.
    Controlling: InvalidRequest, MalformedBody, BodyTooLarge, UnsupportedMediaType, StoreUnavailable, Internal;
    /// Orders that are listed.
    Listing: InvalidRequest, UnknownToken, StoreUnavailable, Internal;
    /// A swap that is quoted.
    Quoting: InvalidRequest, UnknownToken, InvalidAmount, InvalidSlippage, NoRoute, InsufficientLiquidity,
        VenueUnavailable, RpcUnavailable, Internal;
    /// Wallets that are looked at.
    Holding: RpcUnavailable, StoreUnavailable, Internal;
    /// The daemon's own state.
    Reporting: StoreUnavailable, Internal;
    /// A webhook that is asked for.
    Registering: InvalidRequest, MalformedBody, BodyTooLarge, UnsupportedMediaType, Conflict, StoreUnavailable,
        Internal;
    /// A webhook that is changed.
    Changing: InvalidRequest, MalformedBody, BodyTooLarge, UnsupportedMediaType, NotFound, StoreUnavailable, Internal;
    /// A webhook's log.
    Logging: InvalidRequest, NotFound, StoreUnavailable, Internal;
    /// A delivery that is made once more.
    Redelivering: NotFound, Conflict, StoreUnavailable, Internal;
    /// A stream that is opened.
    Streaming: InvalidRequest, UnknownToken, NotFound, RateLimited as 503, StoreUnavailable, Internal;
}

fn by_status(codes: &[(ErrorCode, u16)]) -> Responses {
    let mut statuses: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for (code, status) in codes {
        statuses.entry(*status).or_default().push(*code);
    }
    statuses.into_iter().map(|(status, codes)| (status.to_string(), refusal(status, &codes).into())).collect()
}

/// A refusal with this status and one of these codes.
pub(super) fn refusal(status: u16, codes: &[ErrorCode]) -> Response {
    let names = codes.iter().map(|code| code.as_str());
    let code = ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).enum_values(Some(names.clone()));
    let body = AllOfBuilder::new()
        .item(Ref::from_schema_name("Refused"))
        .item(ObjectBuilder::new().property("error", ObjectBuilder::new().property("code", code)));
    let example = codes.first().map(|code| {
        json!({"error": {"code": code, "message": "what is wrong, and what to change", "request_id": "client-1"}})
    });
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    let response = ResponseBuilder::new()
        .description(names.join(", "))
        .content("application/json", ContentBuilder::new().schema(Some(body)).example(example).build());
    with_headers(response, status).build()
}

/// The headers that go with a status.
fn with_headers(response: ResponseBuilder, status: u16) -> ResponseBuilder {
    match status {
        401 => response.header("WWW-Authenticate", text_header("`Bearer`")),
        429 | 503 => response.header("Retry-After", text_header("Seconds to wait before another try")),
        _ => response,
    }
}

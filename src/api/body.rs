//! Bodies and parameters: reading what a client wrote, exactly and within bounds.
//!
//! Owns the content type, the size limit and numbers that must not pass through a float. Never knows what the fields
//! mean.

use std::borrow::Cow;

use axum::{
    body::HttpBody,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, header, request::Parts},
};
use futures_util::StreamExt;
use serde::{Deserialize, Deserializer, de, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{ApiError, ApiState};
use crate::domain::{ErrorCode, OrderId};

/// How much of a body that is too large is read and thrown away: most clients read an answer only after they have
/// sent everything.
const MOST_SURPLUS: usize = 4 * 1024 * 1024;

/// The bytes of a body that is declared as JSON and not larger than the limit.
pub struct JsonBytes(pub Vec<u8>);

impl JsonBytes {
    /// Reads the bytes as `T`.
    ///
    /// # Errors
    /// `malformed_body`, with what was found where.
    pub fn parse<'de, T: Deserialize<'de>>(&'de self) -> Result<T, ApiError> {
        if self.0.is_empty() {
            return Err(ApiError::new(ErrorCode::MalformedBody, "the body is empty: send a JSON object"));
        }
        // An array would be read as the fields in the order of their declaration.
        if self.0.trim_ascii_start().first() == Some(&b'[') {
            return Err(ApiError::new(ErrorCode::MalformedBody, "the body cannot be read: send a JSON object"));
        }
        serde_json::from_slice(&self.0)
            .map_err(|error| ApiError::new(ErrorCode::MalformedBody, format!("the body cannot be read: {error}")))
    }
}

impl FromRequest<ApiState> for JsonBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        // Who sends nothing is told so, rather than that nothing is no JSON.
        let sends_nothing = request.body().is_end_stream() && !request.headers().contains_key(header::CONTENT_TYPE);
        if !sends_nothing && !is_json(request.headers()) {
            return Err(ApiError::new(
                ErrorCode::UnsupportedMediaType,
                "the body must be JSON: send `Content-Type: application/json`",
            )
            .framework("FST_ERR_CTP_INVALID_MEDIA_TYPE"));
        }
        let limit = state.options().body_limit;
        let mut bytes = Vec::new();
        let mut surplus = 0;
        let mut chunks = request.into_body().into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| {
                ApiError::new(ErrorCode::MalformedBody, "the body broke off while it was read").because(error)
            })?;
            if surplus == 0 && bytes.len() + chunk.len() <= limit {
                bytes.extend_from_slice(&chunk);
                continue;
            }
            surplus += chunk.len();
            if surplus > MOST_SURPLUS {
                break;
            }
        }
        if surplus > 0 {
            let message = format!("the body is larger than {limit} bytes, which is the limit");
            return Err(ApiError::new(ErrorCode::BodyTooLarge, message).framework("FST_ERR_CTP_BODY_TOO_LARGE"));
        }
        Ok(Self(bytes))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// A number as it was written, as a JSON number or as a string: `0.1` stays `0.1`, 20 digits stay 20 digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal(pub String);

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'"') => serde_json::from_str(text).map(Self).map_err(de::Error::custom),
            Some(b'-' | b'0'..=b'9') => Ok(Self(text.to_owned())),
            _ => Err(de::Error::custom("expected a number, or a string with a decimal number")),
        }
    }
}

/// Query parameters; a wrong or unknown one is refused with a sentence.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<ApiState> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(ApiError::new(ErrorCode::InvalidRequest, rejection.body_text())),
        }
    }
}

/// The order id in a path. Anything that is no UUID names no order: 404, never 400.
pub struct IdInPath(pub OrderId);

impl FromRequestParts<ApiState> for IdInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| ApiError::no_order())?;
        id.parse().map(Self).map_err(|_| ApiError::no_order())
    }
}

/// The `Idempotency-Key` header, if there is one.
///
/// # Errors
/// When it is not 1 to 255 visible ASCII characters, or given twice.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<Cow<'_, str>>, ApiError> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let bytes = value.as_bytes();
    if values.next().is_some() || !(1..=255).contains(&bytes.len()) || !bytes.iter().all(u8::is_ascii_graphic) {
        return Err(ApiError::new(
            ErrorCode::InvalidRequest,
            "`Idempotency-Key` must be one value of 1 to 255 visible ASCII characters",
        ));
    }
    Ok(Some(String::from_utf8_lossy(bytes)))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_number_keeps_its_digits() {
        for (json, text) in [
            ("0.1", "0.1"),
            ("1.10", "1.10"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("1e-3", "1e-3"),
            ("-1", "-1"),
            (r#""0.30000000000000004""#, "0.30000000000000004"),
            (r#""NaN""#, "NaN"),
        ] {
            assert_eq!(serde_json::from_str::<Decimal>(json).unwrap(), Decimal(text.into()), "{json}");
        }
        for json in ["true", "[]", "{}", "null", "NaN"] {
            assert!(serde_json::from_str::<Decimal>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn only_json_is_taken_for_json() {
        let judge = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(text));
            is_json(&headers)
        };
        assert!(judge("application/json"));
        assert!(judge("Application/JSON; charset=utf-8"));
        assert!(judge("application/problem+json"));
        assert!(!judge("text/plain"));
        assert!(!judge("application/jsonp"));
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn an_idempotency_key_is_visible_ascii_and_bounded() {
        let judge = |bytes: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", HeaderValue::from_bytes(bytes).unwrap());
            idempotency_key(&headers).map(|key| key.map(Cow::into_owned))
        };
        assert_eq!(judge(b"test-key-123").unwrap().as_deref(), Some("test-key-123"));
        assert!(judge(b"").is_err());
        assert!(judge(b"two words").is_err());
        assert!(judge("schlüssel".as_bytes()).is_err());
        assert!(judge(&[b'x'; 255]).is_ok());
        assert!(judge(&[b'x'; 256]).is_err());
        assert!(idempotency_key(&HeaderMap::new()).unwrap().is_none());
    }
}

//! Origins: which web pages may talk to the daemon.
//!
//! Sockets know no CORS, so without this rule any page a user visits could watch and trade with a daemon on
//! localhost. Owns that rule and, where it is switched on, CORS. Programs send no `Origin` and are not concerned.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::ApiError;
use crate::domain::ErrorCode;

/// Which origins are let in, beside an absent one and localhost.
#[derive(Clone, Debug)]
pub struct Origins {
    /// `Origin: null`, which pages opened as files send (and sandboxed frames, too).
    pub null: bool,
    /// Pages that this daemon served itself, whatever name it was called by. Only for a daemon that demands a key: any
    /// name can be made to lead here for a moment (DNS rebinding), and then nothing but the key keeps its owner out.
    pub own: bool,
    /// Others, as a browser writes them: `https://desk.example`.
    pub listed: Vec<String>,
}

impl Default for Origins {
    fn default() -> Self {
        Self { null: true, own: false, listed: Vec::new() }
    }
}

/// What a request says about the page it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nothing: no browser.
    Absent,
    /// A page that is let in.
    Allowed(HeaderValue),
    /// Any other page.
    Foreign,
}

impl Origin {
    /// Judges a request's headers.
    pub fn of(headers: &HeaderMap, origins: &Origins) -> Self {
        let Some(value) = headers.get(header::ORIGIN) else { return Self::Absent };
        let allowed = value.to_str().is_ok_and(|origin| {
            (origin == "null" && origins.null)
                || is_localhost(origin)
                || (origins.own && headers.get(header::HOST).is_some_and(|host| is_on(origin, host)))
                || origins.listed.iter().any(|listed| listed.eq_ignore_ascii_case(origin))
        });
        if allowed { Self::Allowed(value.clone()) } else { Self::Foreign }
    }
}

/// Whether a page comes from the host that it talks to.
fn is_on(origin: &str, host: &HeaderValue) -> bool {
    let Some((_, name)) = origin.split_once("://") else { return false };
    name.as_bytes().eq_ignore_ascii_case(host.as_bytes())
}

fn is_localhost(origin: &str) -> bool {
    let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    host.is_some_and(names_this_machine)
}

/// Whether a request that shows no key is addressed to this machine by a name of its own. A foreign page can point its
/// own domain's name at 127.0.0.1, and then its requests carry no foreign origin; but they carry that name.
pub fn is_addressed_here(request: &Request) -> bool {
    let header = request.headers().get(header::HOST).map(HeaderValue::to_str);
    let host = match (request.uri().authority(), header) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(Ok(host))) => host,
        (None, Some(Err(_))) => return false,
        (None, None) => return true, // HTTP/1.0, which no browser speaks
    };
    names_this_machine(host)
}

fn names_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Refuses a foreign page's sockets and writes. Its plain reads are harmless: without CORS it cannot see the answer.
pub fn refuse(request: &Request, origin: &Origin) -> Option<ApiError> {
    let harmless = request.method().is_safe() && !request.headers().contains_key(header::UPGRADE);
    (*origin == Origin::Foreign && !harmless).then(|| {
        ApiError::new(ErrorCode::Forbidden, "pages of this origin may not use this daemon: list the origin first")
    })
}

/// The answer to a browser's question before a cross-origin request, where CORS is on.
pub fn preflight(request: &Request, origin: &Origin, cors: bool) -> Option<Response> {
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && matches!(origin, Origin::Allowed(_));
    (cors && asks).then(|| {
        (
            StatusCode::NO_CONTENT,
            [
                (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
                (
                    header::ACCESS_CONTROL_ALLOW_HEADERS,
                    "content-type, authorization, x-api-key, idempotency-key, x-request-id",
                ),
                (header::ACCESS_CONTROL_MAX_AGE, "600"),
            ],
        )
            .into_response()
    })
}

/// Lets an allowed page read the answer.
pub fn share(response: &mut Response, origin: &Origin) {
    response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    if let Origin::Allowed(value) = origin {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemons_own_page_is_let_in_by_any_name_where_a_key_is_demanded() {
        let judge = |origin: &'static str, own| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            headers.insert(header::HOST, HeaderValue::from_static("desk.example:3000"));
            matches!(Origin::of(&headers, &Origins { own, ..Origins::default() }), Origin::Allowed(_))
        };
        assert!(judge("http://desk.example:3000", true));
        assert!(!judge("http://desk.example:3000", false), "a rebound name is no proof without a key");
        for other in ["http://desk.example", "http://evil.example:3000", "http://evil.example/desk.example:3000"] {
            assert!(!judge(other, true), "{other}");
        }
    }

    #[test]
    fn only_local_pages_and_listed_ones_are_let_in() {
        let origins = Origins { listed: vec!["https://desk.example".into()], ..Origins::default() };
        let judge = |text: &str, origins: &Origins| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, HeaderValue::from_str(text).unwrap());
            Origin::of(&headers, origins)
        };
        for good in [
            "null",
            "http://localhost:5173",
            "http://127.0.0.1",
            "https://[::1]:3000",
            "http://[::1]",
            "https://desk.example",
        ] {
            assert!(matches!(judge(good, &origins), Origin::Allowed(_)), "{good}");
        }
        for bad in
            ["https://evil.example", "http://localhost.evil.example", "http://127.0.0.1.evil.example:80", "file://", ""]
        {
            assert_eq!(judge(bad, &origins), Origin::Foreign, "{bad}");
        }
        assert_eq!(judge("null", &Origins { null: false, ..Origins::default() }), Origin::Foreign);
        assert_eq!(Origin::of(&HeaderMap::new(), &origins), Origin::Absent);
    }

    #[test]
    fn a_name_that_was_pointed_at_this_machine_is_not_its_own() {
        let addressed = |host: &str| {
            let request = Request::builder().uri("/v1/orders").header("host", host).body(axum::body::Body::empty());
            is_addressed_here(&request.unwrap())
        };
        for good in ["localhost", "LOCALHOST:3000", "127.0.0.1:3000", "127.0.0.2", "[::1]:3000"] {
            assert!(addressed(good), "{good}");
        }
        for bad in
            ["evil.example", "evil.example:3000", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""]
        {
            assert!(!addressed(bad), "{bad}");
        }
    }
}

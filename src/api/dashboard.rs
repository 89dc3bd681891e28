//! Dashboard: the page a person sees who opens the daemon's address in a browser.
//!
//! Owns which file is at which path, and the rule that the page may load from and talk to this daemon only. The files
//! are part of the binary; they hold no data, so they need no key: what the page shows it asks for with the user's.

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::{ApiError, compat};
use crate::domain::ErrorCode;

/// Scripts, styles, images and connections come from this daemon or not at all; no other page may frame this one.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";
const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

const PAGE: &str = include_str!("dashboard/index.html");

macro_rules! files {
    ($($name:literal $kind:ident)+) => {
        /// Every file under `/dashboard/`: name, media type, content.
        const FILES: &[(&str, &str, &str)] = &[$(($name, $kind, include_str!(concat!("dashboard/", $name)))),+];
    };
}

files! {
    "icon.svg" IMAGE
    "base.css" STYLE
    "layout.css" STYLE
    "form.css" STYLE
    "orders.css" STYLE
    "plots.css" STYLE
    "main.js" SCRIPT
    "api.js" SCRIPT
    "stream.js" SCRIPT
    "model.js" SCRIPT
    "format.js" SCRIPT
    "explain.js" SCRIPT
    "dom.js" SCRIPT
    "orders.js" SCRIPT
    "detail.js" SCRIPT
    "sheet.js" SCRIPT
    "timeline.js" SCRIPT
    "ticket.js" SCRIPT
    "submit.js" SCRIPT
    "quotes.js" SCRIPT
    "wallets.js" SCRIPT
    "latency.js" SCRIPT
    "status.js" SCRIPT
    "key.js" SCRIPT
    "control.js" SCRIPT
    "dead-letters.js" SCRIPT
    "rehearsal.js" SCRIPT
}

/// `GET /`: the page for whoever asks for HTML, as browsers do; the older clients' greeting for everybody else.
pub async fn page_or_greeting(headers: HeaderMap) -> Response {
    let mut response = if asks_for_html(&headers) { file(HTML, PAGE) } else { compat::greeting().await };
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// `GET /dashboard/{file}`.
pub async fn asset(Path(name): Path<String>) -> Result<Response, ApiError> {
    let (_, kind, content) = FILES
        .iter()
        .find(|(known, ..)| *known == name)
        .ok_or_else(|| ApiError::new(ErrorCode::NotFound, "the dashboard has no such file"))?;
    Ok(file(kind, content))
}

fn asks_for_html(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.split(',').any(|range| range.trim_start().starts_with("text/html")))
}

fn file(kind: &'static str, content: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, content).into_response()
}

//! Sender: one POST to a receiver.
//!
//! Owns the headers and every bound: on the connection, the answer's head, and what is read of its body, which is looked
//! at by nobody. Follows no redirect, uses no proxy, and connects only where `target` allows. Never decides what an
//! answer means.

use std::time::Duration;

use reqwest::{Client, Response, header, redirect};
use time::OffsetDateTime;
use tokio::time::{Instant, timeout};

use super::{
    signature,
    target::{Reach, TargetRefused},
};
use crate::store::webhooks::{Answer, DeliveryId, Webhook};

/// What is read of an answer's body, so that its connection can be used again, and how long that may take.
const MOST_BODY: usize = 16 * 1024;
const BODY_PATIENCE: Duration = Duration::from_secs(1);
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(30);
/// The longest sentence about a failure, in characters.
const LONGEST_REASON: usize = 300;

/// What is to be sent.
pub struct Outgoing<'a> {
    /// To whom.
    pub webhook: &'a Webhook,
    /// The delivery's id.
    pub delivery: DeliveryId,
    /// Tries that failed before this one.
    pub tries: u32,
    /// JSON.
    pub body: String,
}

/// Makes the requests.
pub struct Sender {
    client: Client,
    reach: Reach,
}

impl Sender {
    /// A sender that gives a receiver this long.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(reach: Reach, patience: Duration) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .user_agent(concat!("swapd/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .dns_resolver(std::sync::Arc::new(reach))
            .timeout(patience)
            .pool_idle_timeout(IDLE)
            .build()?;
        Ok(Self { client, reach })
    }

    /// Where it sends to.
    pub const fn reach(&self) -> Reach {
        self.reach
    }

    /// Sends once. What came back, and how long that took.
    pub async fn send(&self, outgoing: Outgoing<'_>) -> (Answer, Duration) {
        let started = Instant::now();
        let answer = match self.post(outgoing).await {
            Ok(response) => {
                let status = response.status().as_u16();
                let took = started.elapsed();
                let _unread = timeout(BODY_PATIENCE, read_some(response)).await;
                return (Answer::Status(status), took);
            }
            Err(error) => Answer::Error(error.sentence()),
        };
        (answer, started.elapsed())
    }

    async fn post(&self, outgoing: Outgoing<'_>) -> Result<Response, SendError> {
        // Again, since the operator may have changed what is allowed; and an address is looked up by nobody.
        let url = self.reach.admits(&outgoing.webhook.url)?;
        let seconds = OffsetDateTime::now_utc().unix_timestamp();
        let request = self
            .client
            .post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("Swapd-Webhook-Id", outgoing.webhook.id.to_string())
            .header("Swapd-Delivery-Id", outgoing.delivery.to_string())
            .header("Swapd-Delivery-Try", (outgoing.tries + 1).to_string())
            .header("Swapd-Signature", signature::header(&outgoing.webhook.secret, seconds, &outgoing.body))
            .body(outgoing.body);
        Ok(request.send().await?)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("the URL {0}")]
    Target(#[from] TargetRefused),
    #[error("the request failed")]
    Http(#[from] reqwest::Error),
}

impl SendError {
    /// For the log, without the URL, which may hold a secret of the receiver's.
    fn sentence(&self) -> String {
        let sentence = match self {
            Self::Target(_) => self.to_string(),
            Self::Http(error) if error.is_timeout() => "no answer in time".to_owned(),
            Self::Http(error) => {
                let begin = if error.is_connect() { "cannot connect" } else { "the request failed" };
                let mut source = std::error::Error::source(error);
                let mut deepest = None;
                while let Some(next) = source {
                    deepest = Some(next.to_string());
                    source = next.source();
                }
                deepest.map_or_else(|| begin.to_owned(), |reason| format!("{begin}: {reason}"))
            }
        };
        sentence.chars().take(LONGEST_REASON).collect()
    }
}

async fn read_some(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > MOST_BODY {
            return;
        }
    }
}

//! API: how clients reach the engine over HTTP and WebSocket.
//!
//! Translates, and decides nothing about orders: every write goes through `Intake`, every event comes from `Feed`.
//!
//! ```text
//! server    accepts, within bounds, and ends gracefully     connection  one of them until its end
//! request   ids, span, time-out, error bodies
//! origin    which web pages may come in, CORS               auth      who a request is from; `keys`: what that allows
//! routes    which path is whose                             body      reading a JSON body exactly
//! orders, quotes, tokens         /v1 over REST              views     our own JSON
//! receipt                        how an order ended, in full     paging  lists by pages
//! dead_letters                   orders that wait for a person
//! feed      every event once, in order, for this process    follow    stored events, then live ones
//! recent    the latest of them, for who comes back
//! metrics   what Prometheus reads
//! socket    one WebSocket: pings, slow readers, closes      stream    /v1/stream
//! sse       /v1/events, the same as Server-Sent Events      stall     peers that stop reading
//! openapi   the description of all this, for programs, Postman and people
//! wallets, status               balances, promises; what this daemon is
//! dashboard the page for people, its files in the binary
//! compat    the older engines' clients, by dialect          health    /health, /ready
//! control   the kill switch                             webhooks  /v1/webhooks
//! ```

pub mod auth;
pub mod body;
pub mod compat;
mod connection;
pub mod control;
pub mod dashboard;
pub mod dead_letters;
pub mod drain;
pub mod error;
pub mod feed;
pub mod follow;
pub mod health;
pub mod keys;
pub mod metrics;
pub mod openapi;
pub mod orders;
pub mod origin;
mod paging;
pub mod quotes;
pub mod receipt;
mod recent;
pub mod request;
mod routes;
pub mod server;
pub mod socket;
pub mod sse;
mod stall;
pub mod status;
pub mod stream;
pub mod tokens;
pub mod views;
pub mod wallets;
pub mod webhooks;

use std::{sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
};
use tokio_util::sync::CancellationToken;

pub use self::{
    error::ApiError,
    feed::{Feed, Frame},
    health::{Probes, Switches},
    keys::{ApiKey, Caller, KeyRing},
    metrics::MetricsPage,
    origin::Origins,
    server::serve,
    views::Views,
};
use crate::{
    domain::{Bps, ErrorCode},
    engine::{Control, Holdings, Intake, Rehearsal},
    router::Router,
    store::SharedStore,
    webhooks::Webhooks,
};

/// How the API behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster's name, for people.
    pub cluster: &'static str,
    /// Which web pages may come in.
    pub origins: Origins,
    /// Whether those pages may read answers across origins (the older engines' HTML dashboards need it).
    pub cors: bool,
    /// The largest request body, in bytes.
    pub body_limit: usize,
    /// HTTP connections at the same time, sockets and event streams aside; more wait in the system's backlog.
    pub max_connections: usize,
    /// How long a client may take for a request's head, and a kept connection may be idle.
    pub header_timeout: Duration,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How long requests and sockets may take to end after the shutdown.
    pub shutdown_grace: Duration,
    /// Requests in progress at the same time, sockets and health aside; more are answered 503.
    pub max_requests: usize,
    /// WebSockets and event streams at the same time; more are answered 503.
    pub max_sockets: usize,
    /// How often a socket is pinged. A peer that answers none of two is dead.
    pub ping_interval: Duration,
    /// How long a socket's peer may take to read one frame.
    pub send_timeout: Duration,
    /// How long an older client's `confirmed` waits for the amounts really moved before the quoted ones are sent.
    pub settle_wait: Duration,
    /// Slippage of an order in the dialect that gives it in percent, when it gives none.
    pub percent_slippage: Bps,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cluster: "local",
            origins: Origins::default(),
            cors: false,
            body_limit: 16 * 1024,
            max_connections: 1_024,
            header_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(10),
            max_requests: 512,
            max_sockets: 2_048,
            ping_interval: Duration::from_secs(15),
            send_timeout: Duration::from_secs(5),
            settle_wait: Duration::from_secs(2),
            percent_slippage: Bps::new(50).expect("below 10 000"),
        }
    }
}

/// What the API talks to.
pub struct Parts {
    /// Accepts and cancels.
    pub intake: Arc<Intake>,
    /// The truth, for reading.
    pub store: SharedStore,
    /// Who may come in. Somebody has to run it.
    pub keys: Arc<KeyRing>,
    /// Dry runs.
    pub rehearsal: Arc<Rehearsal>,
    /// Quotes.
    pub router: Arc<Router>,
    /// Every event, in order. Somebody has to run it.
    pub feed: Arc<Feed>,
    /// Health.
    pub probes: Arc<Probes>,
    /// What Prometheus reads.
    pub metrics: Arc<MetricsPage>,
    /// The kill switch.
    pub control: Arc<Control>,
    /// Who is told of events. Somebody has to run its deliverer.
    pub webhooks: Arc<Webhooks>,
    /// What the wallets have, where this process has wallets.
    pub holdings: Option<Arc<Holdings>>,
    /// Where sockets and streams that hear of all orders have their tasks: away from those that trade.
    pub gallery: Handle,
}

/// What every handler shares.
#[derive(Clone)]
pub struct ApiState(Arc<Inner>);

struct Inner {
    parts: Parts,
    options: Options,
    requests: Semaphore,
    sockets: Arc<Semaphore>,
    closing: CancellationToken,
}

impl ApiState {
    /// Joins the parts. Starts nothing. One state may be served on several listeners.
    pub fn new(parts: Parts, options: Options) -> Self {
        let sockets = Arc::new(Semaphore::new(options.max_sockets));
        let requests = Semaphore::new(options.max_requests);
        Self(Arc::new(Inner { parts, options, requests, sockets, closing: CancellationToken::new() }))
    }

    /// How to behave.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn intake(&self) -> &Intake {
        &self.0.parts.intake
    }

    pub(crate) fn store(&self) -> &SharedStore {
        &self.0.parts.store
    }

    pub(crate) fn quoting(&self) -> &Router {
        &self.0.parts.router
    }

    pub(crate) fn feed(&self) -> &Arc<Feed> {
        &self.0.parts.feed
    }

    pub(crate) fn views(&self) -> &Views {
        self.0.parts.feed.views()
    }

    pub(crate) fn metrics(&self) -> &Arc<MetricsPage> {
        &self.0.parts.metrics
    }

    pub(crate) fn rehearsal(&self) -> &Rehearsal {
        &self.0.parts.rehearsal
    }

    pub(crate) fn keys(&self) -> &KeyRing {
        &self.0.parts.keys
    }

    pub(crate) fn control(&self) -> &Control {
        &self.0.parts.control
    }

    pub(crate) fn probes(&self) -> &Probes {
        &self.0.parts.probes
    }

    pub(crate) fn webhooks(&self) -> &Webhooks {
        &self.0.parts.webhooks
    }

    pub(crate) fn holdings(&self) -> Option<&Holdings> {
        self.0.parts.holdings.as_deref()
    }

    pub(crate) fn gallery(&self) -> &Handle {
        &self.0.parts.gallery
    }

    /// Cancelled when sockets have to close.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.0.closing
    }

    /// A place for one more request, held until it is answered.
    pub(crate) fn request_room(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.0.requests.try_acquire().map_err(|_| {
            ApiError::new(
                ErrorCode::Overloaded,
                "as many requests are in progress as this daemon allows: try again later",
            )
        })
    }

    /// A place for one more socket, held as long as it lives.
    pub(crate) fn socket_room(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.0.sockets.clone().try_acquire_owned().map_err(|_| {
            ApiError::new(ErrorCode::RateLimited, "as many sockets are open as this daemon allows: try again later")
                .status(axum::http::StatusCode::SERVICE_UNAVAILABLE)
        })
    }

    fn close_sockets(&self) {
        self.0.closing.cancel();
    }

    /// Waits until the last socket has gone.
    async fn sockets_closed(&self) {
        let all = u32::try_from(self.0.options.max_sockets).unwrap_or(u32::MAX);
        // An error would say that the semaphore is closed, which nobody does.
        let _ = self.0.sockets.acquire_many(all).await;
    }
}

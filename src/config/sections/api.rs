//! The sections `api` and `metrics`: what is served.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::config::Secret;

/// The HTTP server.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// Where to listen. Anything but loopback needs `key`.
    pub listen: SocketAddr,
    /// A second place to listen, for clients of the engine that used port 4000.
    pub also_listen: Option<SocketAddr>,
    /// The key that callers must give; without it everybody on this machine may trade.
    pub key: Option<Secret>,
    /// Largest request body, in bytes.
    pub body_limit: usize,
    /// Connections at a time, sockets and event streams aside.
    pub max_connections: usize,
    /// Requests in progress at a time.
    pub max_requests: usize,
    /// WebSockets and event streams at a time.
    pub max_sockets: usize,
    /// Longest time for one request.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// Web origins that may come in, beside none, `null` and this machine.
    pub origins: Vec<String>,
    /// Whether those pages may read answers across origins, as the older engines' dashboards do.
    pub cors: bool,
}

/// The page that Prometheus reads, beside `/metrics` of the API.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Where it is served without a key, also by a process without an API; nowhere when left out. Any address is
    /// taken: it shows counts and wallets' addresses, and takes no orders.
    pub listen: Option<SocketAddr>,
}

impl Api {
    /// Where it listens.
    pub fn listeners(&self) -> impl Iterator<Item = SocketAddr> {
        std::iter::once(self.listen).chain(self.also_listen)
    }

    /// Whether only programs of this machine can connect.
    pub fn is_private(&self) -> bool {
        self.listeners().all(|listen| listen.ip().is_loopback())
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            also_listen: None,
            key: None,
            body_limit: 16 * 1024,
            max_connections: 2_048,
            max_requests: 512,
            max_sockets: 8_192,
            request_timeout: Duration::from_secs(10),
            origins: Vec::new(),
            cors: true,
        }
    }
}

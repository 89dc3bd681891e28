//! Metrics page: `GET /metrics`, in the text format of Prometheus.
//!
//! Owns the gauges that are read when somebody looks: open orders, the queue, which parts answer. They are read at most
//! once a second and within a bound, so that a scraper costs the parts next to nothing. Counts themselves are made where
//! things happen, see [`crate::metrics`].

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use time::OffsetDateTime;
use tokio::{
    net::TcpListener,
    sync::Mutex,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Switches,
    openapi::{shapes::RefusedOlder, tag},
};
use crate::{
    domain::Status,
    metrics as names,
    queue::SharedQueue,
    store::{Census, SharedStore},
};

/// The text format's name and version.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How long a part may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long what the parts said is shown again.
const MEMORY: Duration = Duration::from_secs(1);

/// The page's description, for `openapi`.
#[derive(utoipa::OpenApi)]
#[openapi(paths(metrics))]
pub struct Described;

/// One process's page.
pub struct MetricsPage {
    recorder: PrometheusHandle,
    store: SharedStore,
    queue: SharedQueue,
    switches: Arc<Switches>,
    read_at: Mutex<Option<Instant>>,
}

impl MetricsPage {
    /// A page of what `recorder` holds and these parts say.
    pub fn new(recorder: PrometheusHandle, store: SharedStore, queue: SharedQueue, switches: Arc<Switches>) -> Self {
        Self { recorder, store, queue, switches, read_at: Mutex::new(None) }
    }

    /// The page now.
    pub async fn render(&self) -> String {
        let mut read_at = self.read_at.lock().await;
        if read_at.is_none_or(|at| at.elapsed() >= MEMORY) {
            self.read_parts().await;
            *read_at = Some(Instant::now());
        }
        drop(read_at);
        // What histograms have gathered is drained on rendering; upkeep bounds what they keep between two.
        self.recorder.run_upkeep();
        self.recorder.render()
    }

    async fn read_parts(&self) {
        let (census, depth) =
            tokio::join!(timeout(PATIENCE, self.store.census()), timeout(PATIENCE, self.queue.depth()));
        // Memory, processor time, threads and descriptors of this process.
        metrics_process::Collector::default().collect();
        up("store", matches!(census, Ok(Ok(_))));
        up("queue", matches!(depth, Ok(Ok(_))));
        // What cannot be read keeps its last value; `swapd_up` says so.
        if let Ok(Ok(census)) = census {
            show_open_orders(&census, OffsetDateTime::now_utc());
        }
        if let Ok(Ok(depth)) = depth {
            metrics::gauge!(names::QUEUE_DEPTH).set(names::as_gauge(depth));
        }
        for (name, on) in [
            ("draining", &self.switches.draining),
            ("paused", &*self.switches.paused),
            ("halted", &*self.switches.halted),
        ] {
            let on = u64::from(on.load(Ordering::Relaxed));
            metrics::gauge!(names::SWITCH, "switch" => name).set(names::as_gauge(on));
        }
    }

    /// The page and its path, for whoever serves it.
    pub fn router<S: Clone + Send + Sync + 'static>(self: Arc<Self>) -> Router<S> {
        Router::new().route("/metrics", get(metrics)).with_state(self)
    }
}

/// `GET /metrics`: what is counted, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = tag::SERVICE,
    responses(
        (status = 200, description = "The page", content_type = "text/plain", body = String),
        (status = 401, description = "`unauthorized`", body = RefusedOlder, headers(("WWW-Authenticate" = String))),
    )
)]
async fn metrics(State(page): State<Arc<MetricsPage>>) -> Response {
    ([(header::CONTENT_TYPE, TEXT)], page.render().await).into_response()
}

/// Serves the page alone, for a process without an API or a scraper without a key, until `shutdown`.
///
/// # Errors
/// When the listener is unusable.
pub async fn serve(listener: TcpListener, page: Arc<MetricsPage>, shutdown: CancellationToken) -> io::Result<()> {
    axum::serve(listener, page.router()).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

fn up(part: &'static str, answers: bool) {
    metrics::gauge!(names::UP, "part" => part).set(names::as_gauge(u64::from(answers)));
}

/// Every open status has its gauges, also when no order is in it.
fn show_open_orders(census: &[Census], now: OffsetDateTime) {
    for status in Status::ALL.into_iter().filter(|status| !status.is_terminal()) {
        let row = census.iter().find(|row| row.status == status);
        let age = row.map_or(0.0, |row| (now - row.oldest).as_seconds_f64().max(0.0));
        metrics::gauge!(names::ORDERS_OPEN, "status" => status.as_str())
            .set(names::as_gauge(row.map_or(0, |row| row.orders)));
        metrics::gauge!(names::OLDEST_OPEN, "status" => status.as_str()).set(age);
    }
    let reserved = census.iter().map(|row| row.reserved).fold(0, u128::saturating_add);
    metrics::gauge!(names::RESERVED).set(names::as_gauge(reserved.try_into().unwrap_or(u64::MAX)));
}

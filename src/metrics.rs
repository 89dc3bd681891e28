//! Metrics: what is counted, in which unit, and how it is read.
//!
//! Owns the names and their descriptions. Whoever does a thing counts it where it happens, through the `metrics` facade,
//! as logging is done: without a recorder that costs next to nothing. Never decides anything by a number.

use std::{sync::Mutex, time::Duration};

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::lock::lock;

/// Stored events, by `event`. Signatures made, landed, rejected and expired are among them.
pub const ORDER_EVENTS: &str = "swapd_order_events_total";
/// Orders that ended, by `status` and, when they failed, `code`.
pub const ORDERS_ENDED: &str = "swapd_orders_ended_total";
/// From the event before to this one, by `event`, in seconds.
pub const ORDER_STAGE: &str = "swapd_order_stage_seconds";
/// From accepted to the moment its first signature is handed to the RPC endpoints, in seconds.
pub const ORDER_HANDED: &str = "swapd_order_handed_seconds";
/// From accepted to the end, by `status`, in seconds.
pub const ORDER_TOTAL: &str = "swapd_order_seconds";
/// Orders that are open now, by `status`.
pub const ORDERS_OPEN: &str = "swapd_orders_open";
/// Age of the oldest open order, by `status`, in seconds.
pub const OLDEST_OPEN: &str = "swapd_oldest_open_order_seconds";
/// Jobs that wait or are claimed.
pub const QUEUE_DEPTH: &str = "swapd_queue_depth";
/// Lamports that open orders have reserved.
pub const RESERVED: &str = "swapd_reserved_lamports";
/// Orders this process drives.
pub const DRIVING: &str = "swapd_orders_driving";
/// Signers there are.
pub const SIGNERS: &str = "swapd_signers";
/// Signers at work.
pub const SIGNERS_BUSY: &str = "swapd_signers_busy";
/// Signatures whose fate is being watched.
pub const IN_FLIGHT: &str = "swapd_signatures_in_flight";
/// Those of them about which nobody has answered for a while.
pub const UNKNOWN: &str = "swapd_outcomes_unknown";
/// Lamports of a wallet when they were last read, by `wallet`.
pub const WALLET: &str = "swapd_wallet_lamports";
/// RPC calls, by `endpoint`, `method` and `result`.
pub const RPC_CALLS: &str = "swapd_rpc_calls_total";
/// RPC latency, by `method`, in seconds.
pub const RPC_TIME: &str = "swapd_rpc_seconds";
/// HTTP requests, by `route`, `method` and `status`.
pub const HTTP_REQUESTS: &str = "swapd_http_requests_total";
/// HTTP latency, by `route`, in seconds.
pub const HTTP_TIME: &str = "swapd_http_request_seconds";
/// WebSockets that are open.
pub const SOCKETS: &str = "swapd_sockets";
/// Groups of writes committed, with how long it took, in seconds.
pub const STORE_COMMIT: &str = "swapd_store_commit_seconds";
/// Writes in a group.
pub const STORE_GROUP: &str = "swapd_store_group_writes";
/// Tries of webhook deliveries, by `result`: `delivered`, `retried`, `given_up`; `untellable` when the
/// daemon itself could not make one.
pub const WEBHOOK_TRIES: &str = "swapd_webhook_tries_total";
/// How long they took, by `result`, in seconds.
pub const WEBHOOK_TIME: &str = "swapd_webhook_try_seconds";
/// Deliveries that wait, by `webhook`.
pub const WEBHOOK_PENDING: &str = "swapd_webhook_pending_deliveries";
/// Age of the oldest of them, by `webhook`, in seconds; 0 while it is disabled.
pub const WEBHOOK_LAG: &str = "swapd_webhook_lag_seconds";
/// Webhooks that are disabled.
pub const WEBHOOKS_DISABLED: &str = "swapd_webhooks_disabled";
/// 1 while this part answers, by `part`.
pub const UP: &str = "swapd_up";
/// 1 while this holds: `draining`, `paused`, `halted`, by `switch`.
pub const SWITCH: &str = "swapd_switch";
/// Always 1, with the `version`.
pub const BUILD: &str = "swapd_build_info";

/// Every name with its kind, unit and description, as `/metrics` says them.
const COUNTERS: [(&str, Unit, &str); 5] = [
    (ORDER_EVENTS, Unit::Count, "Stored events of orders"),
    (ORDERS_ENDED, Unit::Count, "Orders that ended"),
    (RPC_CALLS, Unit::Count, "RPC calls"),
    (HTTP_REQUESTS, Unit::Count, "HTTP requests"),
    (WEBHOOK_TRIES, Unit::Count, "Tries of webhook deliveries"),
];
const GAUGES: [(&str, Unit, &str); 17] = [
    (ORDERS_OPEN, Unit::Count, "Open orders in the store"),
    (OLDEST_OPEN, Unit::Seconds, "Age of the oldest open order in the store"),
    (QUEUE_DEPTH, Unit::Count, "Jobs that wait or are claimed"),
    (RESERVED, Unit::Count, "Lamports that open orders have reserved"),
    (DRIVING, Unit::Count, "Orders this process drives"),
    (SIGNERS, Unit::Count, "Signers there are"),
    (SIGNERS_BUSY, Unit::Count, "Signers at work"),
    (IN_FLIGHT, Unit::Count, "Signatures whose fate is being watched"),
    (UNKNOWN, Unit::Count, "Signatures about which nobody has answered for a while"),
    (WALLET, Unit::Count, "Lamports of a wallet when last read"),
    (SOCKETS, Unit::Count, "WebSockets that are open"),
    (WEBHOOK_PENDING, Unit::Count, "Deliveries of a webhook that wait"),
    (WEBHOOK_LAG, Unit::Seconds, "Age of the oldest delivery of a webhook that waits"),
    (WEBHOOKS_DISABLED, Unit::Count, "Webhooks that are disabled"),
    (UP, Unit::Count, "1 while the part answers"),
    (SWITCH, Unit::Count, "1 while it holds"),
    (BUILD, Unit::Count, "The version that runs"),
];
const HISTOGRAMS: [(&str, Unit, &str); 8] = [
    (ORDER_STAGE, Unit::Seconds, "From the event before to this one"),
    (ORDER_HANDED, Unit::Seconds, "From accepted to the first send"),
    (ORDER_TOTAL, Unit::Seconds, "From accepted to the end"),
    (RPC_TIME, Unit::Seconds, "Latency of RPC calls"),
    (HTTP_TIME, Unit::Seconds, "Latency of HTTP requests"),
    (WEBHOOK_TIME, Unit::Seconds, "Time of tries of webhook deliveries"),
    (STORE_COMMIT, Unit::Seconds, "Time to commit a group of writes"),
    (STORE_GROUP, Unit::Count, "Writes in a group"),
];

/// Upper bounds, in seconds, from a store's commit to an order that had to be signed again.
const SECONDS: [f64; 19] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
];
/// Upper bounds for writes in a group.
const WRITES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0];

/// All names of this program's own metrics.
pub fn names() -> impl Iterator<Item = &'static str> {
    COUNTERS.iter().chain(&GAUGES).chain(&HISTOGRAMS).map(|(name, ..)| *name)
}

/// The recorder of this process, installed by the first call.
///
/// # Errors
/// When another recorder was installed before.
pub fn recorder() -> Result<PrometheusHandle, BuildError> {
    static RECORDER: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut recorder = lock(&RECORDER);
    if let Some(handle) = &*recorder {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(STORE_GROUP.into()), &WRITES)?
        .set_buckets(&SECONDS)?
        .install_recorder()?;
    for (name, unit, says) in COUNTERS {
        describe_counter!(name, unit, says);
    }
    for (name, unit, says) in GAUGES {
        describe_gauge!(name, unit, says);
    }
    for (name, unit, says) in HISTOGRAMS {
        describe_histogram!(name, unit, says);
    }
    metrics::gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(recorder.insert(handle).clone())
}

/// Counts one thing that took `time`.
pub fn seconds(name: &'static str, label: &'static str, value: impl Into<metrics::SharedString>, time: Duration) {
    metrics::histogram!(name, label => value.into()).record(time.as_secs_f64());
}

/// A count as a gauge takes it. Exact below 2^53, and nothing decides by it.
#[expect(clippy::cast_precision_loss, reason = "a number to look at")]
pub fn as_gauge(count: u64) -> f64 {
    count as f64
}

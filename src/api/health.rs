//! Health: is the process alive, and can it do its work.
//!
//! Owns the probes, their bound in time and their short memory, so that a busy load balancer costs the parts nothing.
//! Never decides what to do about a part that is missing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{
    ApiState,
    openapi::{
        shapes::{Health, Ready},
        tag,
    },
    views::timestamp,
};
use crate::{chain::Rpc, domain::Slot, events::SharedBus, queue::SharedQueue, store::SharedStore};

/// How long a part may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an answer is believed.
const MEMORY: Duration = Duration::from_millis(500);

/// What the process itself says about its readiness. Shared with whoever flips it.
#[derive(Debug, Default)]
pub struct Switches {
    /// Set when the process begins to stop: load balancers should go elsewhere.
    pub draining: AtomicBool,
    /// Set while the kill switch is on. Shared with whoever reads it.
    pub paused: Arc<AtomicBool>,
    /// Set while the cluster's finality stands still and nothing is signed. Shared with whoever watches it.
    pub halted: Arc<AtomicBool>,
}

/// The parts that can be asked.
pub struct Probes {
    store: SharedStore,
    queue: SharedQueue,
    bus: SharedBus,
    rpc: Option<Arc<Rpc>>,
    switches: Arc<Switches>,
    latest: Mutex<Option<(Instant, Parts)>>,
}

/// What each part answered.
#[derive(Clone, Debug)]
struct Parts {
    store: Probe,
    queue: Probe,
    bus: Probe,
    rpc: Option<Probe>,
    /// Orders that wait for a person, where the store could say.
    dead_letters: Option<u64>,
    /// What `rpc` answered.
    slot: Option<Slot>,
}

/// One part's answer: how long it took, or why there is none. A reason names no addresses: it goes to clients.
#[derive(Clone, Debug)]
struct Probe(Result<Duration, String>);

impl Probe {
    async fn of<T, E: std::fmt::Display>(call: impl Future<Output = Result<T, E>>) -> Self {
        let started = Instant::now();
        Self(match timeout(PROBE_TIMEOUT, call).await {
            Ok(Ok(_)) => Ok(started.elapsed()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {PROBE_TIMEOUT:?}")),
        })
    }

    fn is_ok(&self) -> bool {
        self.0.is_ok()
    }

    fn view(&self) -> Value {
        match &self.0 {
            Ok(took) => json!({ "ok": true, "ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX) }),
            Err(reason) => json!({ "ok": false, "reason": reason }),
        }
    }

    fn word(&self) -> &'static str {
        if self.is_ok() { "ok" } else { "error" }
    }
}

impl Probes {
    /// Asks these parts when asked. A process without a chain connection (role `api`) has no `rpc`.
    pub fn new(
        store: SharedStore,
        queue: SharedQueue,
        bus: SharedBus,
        rpc: Option<Arc<Rpc>>,
        switches: Arc<Switches>,
    ) -> Self {
        Self { store, queue, bus, rpc, switches, latest: Mutex::new(None) }
    }

    /// The newest confirmed slot, if the chain said it a moment ago.
    pub async fn slot(&self) -> Option<Slot> {
        self.parts().await.slot
    }

    /// Asks all parts at once, or remembers what they just said. Callers at the same time share one answer.
    async fn parts(&self) -> Parts {
        let mut latest = self.latest.lock().await;
        if let Some((at, parts)) = &*latest
            && at.elapsed() < MEMORY
        {
            return parts.clone();
        }
        let mut slot = None;
        let rpc = async {
            let rpc = self.rpc.as_ref()?;
            Some(Probe::of(async { rpc.slot().await.map(|newest| slot = Some(newest)) }).await)
        };
        let dead_letters = async {
            let count = timeout(PROBE_TIMEOUT, self.store.dead_letter_count()).await;
            count.ok().and_then(Result::ok)
        };
        let (store, queue, bus, rpc, dead_letters) = tokio::join!(
            Probe::of(self.store.ping()),
            Probe::of(self.queue.ping()),
            Probe::of(self.bus.ping()),
            rpc,
            dead_letters
        );
        let parts = Parts { store, queue, bus, rpc, dead_letters, slot };
        *latest = Some((Instant::now(), parts.clone()));
        parts
    }
}

/// `GET /health`: 200 as long as the process answers.
///
/// `postgres` is the durable store and `redis` queue and bus,
/// whatever they run on: the names are the older clients'.
#[utoipa::path(
    get, path = "/health", operation_id = "health", tag = tag::SERVICE,
    responses((status = 200, description = "The process answers", body = Health))
)]
pub async fn health(State(state): State<ApiState>) -> Response {
    let parts = state.probes().parts().await;
    let redis = if parts.queue.is_ok() { parts.bus.word() } else { "error" };
    let all_ok = parts.store.is_ok() && redis == "ok";
    Json(json!({
        "status": if all_ok { "ok" } else { "error" },
        "timestamp": timestamp(OffsetDateTime::now_utc()),
        "checks": { "postgres": parts.store.word(), "redis": redis },
        "deadLetters": parts.dead_letters,
    }))
    .into_response()
}

/// `GET /ready`: 200 when orders can be taken and executed, else 503 with what is missing.
#[utoipa::path(
    get, path = "/ready", operation_id = "ready", tag = tag::SERVICE,
    responses(
        (status = 200, description = "Orders can be taken and executed", body = Ready),
        (status = 503, description = "Not now", body = Ready, headers(("Retry-After" = u64))),
    )
)]
pub async fn ready(State(state): State<ApiState>) -> Response {
    let probes = state.probes();
    let parts = probes.parts().await;
    let draining = probes.switches.draining.load(Ordering::Relaxed) || state.closing().is_cancelled();
    let paused = state.control().stopped();
    let halted = probes.switches.halted.load(Ordering::Relaxed);
    let mut checks = Map::new();
    let mut missing = Vec::new();
    let asked = [
        ("store", Some(&parts.store)),
        ("queue", Some(&parts.queue)),
        ("bus", Some(&parts.bus)),
        ("rpc", parts.rpc.as_ref()),
    ];
    for (name, probe) in asked.into_iter().filter_map(|(name, probe)| Some((name, probe?))) {
        checks.insert(name.into(), probe.view());
        if !probe.is_ok() {
            missing.push(name);
        }
    }
    for (name, reason) in [
        ("trading", paused.map(|failure| failure.reason)),
        ("finality", halted.then(|| "the cluster's finality has stopped: nothing is signed".to_owned())),
        ("process", draining.then(|| "the process is shutting down".to_owned())),
    ] {
        if reason.is_some() {
            missing.push(name);
        }
        let check = match reason {
            Some(reason) => json!({ "ok": false, "reason": reason }),
            None => json!({ "ok": true }),
        };
        checks.insert(name.into(), check);
    }
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": missing.is_empty(), "missing": missing, "checks": checks, "deadLetters": parts.dead_letters,
    });
    let mut response = (status, Json(body)).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(axum::http::header::RETRY_AFTER, 1.into());
    }
    response
}

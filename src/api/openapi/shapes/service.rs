//! The daemon itself: its state, its health, the kill switch.

use std::collections::BTreeMap;

use utoipa::ToSchema;

use crate::domain::{Bps, Slot};

/// Whether trading is paused.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlView {
    paused: bool,
    /// Everything that holds it.
    causes: Vec<PauseView>,
}

/// One thing that holds it.
#[derive(ToSchema)]
pub struct PauseView {
    /// `command`, `api` or `file`.
    cause: String,
    reason: Option<String>,
    #[schema(format = DateTime)]
    since: Option<String>,
}

/// What this daemon is.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DaemonStatus {
    version: String,
    cluster: String,
    /// The newest confirmed slot; null when the chain did not say it a moment ago.
    #[schema(required)]
    slot: Option<Slot>,
    /// The newest event's: what is listed after it was read, and then followed with `since`, has no gap.
    cursor: u64,
    open_orders: u64,
    default_slippage_bps: Bps,
    max_slippage_bps: Bps,
}

/// Whether the process lives. The names are the older clients': `postgres` is the store, `redis` queue and bus,
/// whatever they run on.
#[derive(ToSchema)]
pub struct Health {
    status: Word,
    #[schema(format = DateTime)]
    timestamp: String,
    checks: BTreeMap<String, Word>,
}

/// How a part is.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    Ok,
    Error,
}

/// Whether orders can be taken and executed.
#[derive(ToSchema)]
pub struct Ready {
    ready: bool,
    /// The parts that are not.
    missing: Vec<String>,
    checks: BTreeMap<String, Check>,
}

/// One part's answer.
#[derive(ToSchema)]
pub struct Check {
    ok: bool,
    /// How long it took, in milliseconds.
    ms: Option<u64>,
    /// Why not.
    reason: Option<String>,
}

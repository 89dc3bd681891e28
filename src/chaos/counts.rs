//! Counts: how often each method was called, limited and befallen.
//!
//! Owns the numbers. Never decides anything by them.

use std::{collections::BTreeMap, sync::Mutex};

use serde::Serialize;

use crate::lock::lock;

/// Methods that are counted by name; a client that makes up more is counted under `other`.
const METHODS: usize = 256;
const OTHER: &str = "other";

/// What became of a method's messages so far.
#[derive(Clone, Copy, Debug, Default, Serialize, PartialEq, Eq)]
pub struct MethodCounts {
    /// Calls over HTTP, each of a batch, or messages on sockets.
    pub calls: u64,
    /// Of these, answered with HTTP 429: by the limits, by a fault, or by the node.
    pub limited: u64,
    /// Of these, befallen by at least one fault.
    pub faults: u64,
}

/// What became of all messages so far.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Counts {
    /// By method, sorted.
    pub methods: BTreeMap<String, MethodCounts>,
    /// Connections refused by the limits.
    pub refused_connections: u64,
    /// How often the sockets were cut.
    pub cuts: u64,
    /// Sends that reached the node late.
    pub late: u64,
}

impl Counts {
    /// One method's; zero when it was never called.
    pub fn of(&self, method: &str) -> MethodCounts {
        self.methods.get(method).copied().unwrap_or_default()
    }

    /// All methods together.
    pub fn total(&self) -> MethodCounts {
        self.methods.values().fold(MethodCounts::default(), |sum, one| MethodCounts {
            calls: sum.calls + one.calls,
            limited: sum.limited + one.limited,
            faults: sum.faults + one.faults,
        })
    }
}

/// The counts as they grow.
#[derive(Default)]
pub(super) struct Counter(Mutex<Counts>);

impl Counter {
    pub fn now(&self) -> Counts {
        self.change(|counts| counts.clone())
    }

    pub fn call(&self, method: &str) {
        self.method(method, |it| it.calls += 1);
    }

    pub fn limited(&self, method: &str) {
        self.method(method, |it| it.limited += 1);
    }

    pub fn fault(&self, method: &str) {
        self.method(method, |it| it.faults += 1);
    }

    pub fn refused_connection(&self) {
        self.change(|counts| counts.refused_connections += 1);
    }

    pub fn cut(&self) {
        self.change(|counts| counts.cuts += 1);
    }

    pub fn late(&self) {
        self.change(|counts| counts.late += 1);
    }

    fn method(&self, method: &str, count: impl FnOnce(&mut MethodCounts)) {
        self.change(|counts| {
            let known = counts.methods.contains_key(method) || counts.methods.len() < METHODS;
            count(counts.methods.entry(if known { method } else { OTHER }.to_owned()).or_default());
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut lock(&self.0))
    }
}

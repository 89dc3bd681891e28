//! Limits: refuses what a public endpoint would refuse.
//!
//! Owns the windows of the last calls and connections. A window slides: a call counts for exactly its length. Refused
//! calls do not count. Never answers: it says how long to wait.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::lock::lock;

/// Methods that have a window of their own; a client that makes up more names shares the last one.
const METHODS: usize = 256;

/// What an endpoint allows one address.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Length of the window that all counts are of.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// Calls of any method in a window; each call of a batch is one.
    pub requests: usize,
    /// Calls of the same method in a window.
    pub per_method: usize,
    /// Connections open at once, HTTP and sockets together.
    pub connections: Option<usize>,
    /// Connections opened in a window.
    pub new_connections: Option<usize>,
}

impl Limits {
    /// The public devnet's published limits, but for its 100 MB in 30 s.
    pub const fn devnet() -> Self {
        Self {
            window: Duration::from_secs(10),
            requests: 100,
            per_method: 40,
            connections: Some(40),
            new_connections: Some(40),
        }
    }
}

/// The limits and what has used them up.
pub(super) struct Gate {
    limits: Option<Limits>,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    all: VecDeque<Instant>,
    by_method: HashMap<String, VecDeque<Instant>>,
    opened: VecDeque<Instant>,
}

/// How long a refused client should wait, as `Retry-After` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TryIn(pub u64);

impl Gate {
    pub fn new(limits: Option<Limits>) -> Self {
        Self { limits, used: Mutex::default() }
    }

    /// Lets a call pass, or says how long to wait.
    pub fn call(&self, method: &str) -> Result<(), TryIn> {
        let Some(limits) = self.limits else { return Ok(()) };
        let now = Instant::now();
        let mut used = lock(&self.used);
        let used = &mut *used;
        let known = used.by_method.contains_key(method) || used.by_method.len() < METHODS;
        let of_method = used.by_method.entry(if known { method } else { "" }.to_owned()).or_default();
        room(&mut used.all, limits.requests, limits.window, now)?;
        room(of_method, limits.per_method, limits.window, now)?;
        used.all.push_back(now);
        of_method.push_back(now);
        Ok(())
    }

    /// Lets a connection beside `open` others pass, or says how long to wait.
    pub fn connection(&self, open: usize) -> Result<(), TryIn> {
        let Some(limits) = self.limits else { return Ok(()) };
        if limits.connections.is_some_and(|most| open >= most) {
            return Err(TryIn(1));
        }
        if let Some(most) = limits.new_connections {
            let now = Instant::now();
            let mut used = lock(&self.used);
            room(&mut used.opened, most, limits.window, now)?;
            used.opened.push_back(now);
        }
        Ok(())
    }
}

/// Forgets what has left the window, and says when the next one leaves if it is full.
fn room(times: &mut VecDeque<Instant>, most: usize, window: Duration, now: Instant) -> Result<(), TryIn> {
    while times.front().is_some_and(|&at| now.duration_since(at) >= window) {
        times.pop_front();
    }
    if times.len() < most {
        return Ok(());
    }
    let left = times.front().map_or(window, |&at| window.saturating_sub(now.duration_since(at)));
    Err(TryIn(left.as_secs() + u64::from(left.subsec_nanos() > 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(requests: usize, per_method: usize) -> Gate {
        let window = Duration::from_secs(10);
        Gate::new(Some(Limits { window, requests, per_method, connections: Some(2), new_connections: Some(3) }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_method_is_refused_at_its_limit_and_the_others_are_not() {
        let gate = gate(100, 2);
        assert!(gate.call("a").is_ok());
        tokio::time::advance(Duration::from_millis(2_500)).await;
        assert!(gate.call("a").is_ok());
        assert_eq!(gate.call("a"), Err(TryIn(8)), "7.5 s, rounded up");
        assert!(gate.call("b").is_ok());
        tokio::time::advance(Duration::from_millis(7_500)).await;
        assert!(gate.call("a").is_ok(), "the first has left the window");
        assert!(gate.call("a").is_err(), "the second has not");
    }

    #[tokio::test(start_paused = true)]
    async fn all_methods_together_have_a_limit_and_refused_calls_do_not_count() {
        let gate = gate(3, 2);
        for method in ["a", "a", "b"] {
            assert!(gate.call(method).is_ok());
        }
        for _ in 0..50 {
            assert_eq!(gate.call("c"), Err(TryIn(10)));
        }
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(gate.call("c").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_limited_by_how_many_are_open_and_how_many_were_opened() {
        let gate = gate(1, 1);
        assert!(gate.connection(1).is_ok());
        assert_eq!(gate.connection(2), Err(TryIn(1)));
        assert!(gate.connection(0).is_ok());
        assert!(gate.connection(0).is_ok());
        assert_eq!(gate.connection(0), Err(TryIn(10)));
    }

    #[test]
    fn without_limits_nothing_is_refused() {
        let gate = Gate::new(None);
        assert!((0..1_000).all(|n| gate.call("a").is_ok() && gate.connection(n).is_ok()));
    }
}

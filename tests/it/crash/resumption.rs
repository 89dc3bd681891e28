//! Resumption: how long an order in flight stands still when what drives it dies.
//!
//! Read from the orders' own histories after all is over: nothing is asked, and so nothing is slowed down, meanwhile.

use std::{collections::HashSet, time::Duration};

use serde_json::Value;
use time::OffsetDateTime;

use super::{
    fleet::{Kill, Victims},
    report::events,
};

/// Times to the first new event of each order that was in flight when its process died.
#[derive(Default)]
pub struct Resumption {
    pub from_death: Vec<Duration>,
    pub from_start: Vec<Duration>,
    pub from_ready: Vec<Duration>,
    /// From the start too, of orders that only waited for the chain to say what became of a signature.
    pub of_submitted: Vec<Duration>,
    /// Those that took more than [`GOAL`] from the start, in words.
    slow: Vec<(Duration, String)>,
}

/// How soon an order should move again.
const GOAL: Duration = Duration::from_secs(2);

impl Resumption {
    /// Of every kill that `counts`. An order that got no further before the next kill is that one's.
    pub fn after(kills: &[Kill], orders: &[Value], counts: impl Fn(Victims) -> bool) -> Self {
        let mut times = Self::default();
        for (at, kill) in kills.iter().enumerate().filter(|(_, kill)| counts(kill.victims)) {
            let next = kills.get(at + 1).map_or(OffsetDateTime::now_utc(), |next| next.dead);
            let driven = Driven::by(kill);
            for order in orders {
                times.add(kill, next, &driven, order);
            }
        }
        times
    }

    fn add(&mut self, kill: &Kill, next_kill: OffsetDateTime, driven: &Driven, order: &Value) {
        let Some((last, seq, _)) = events(order).take_while(|(_, _, at)| *at <= kill.dead).last() else { return };
        let Some((next, _, resumed)) = events(order).find(|(_, _, at)| *at > kill.dead) else { return };
        let id = order["id"].as_str().unwrap();
        if resumed > next_kill || !driven.has(id, seq) {
            return;
        }
        let since = |then: OffsetDateTime| (resumed - then).try_into().unwrap_or(Duration::ZERO);
        if matches!(last, "signed" | "sent" | "outcome_unknown") {
            self.of_submitted.push(since(kill.started));
            return;
        }
        if since(kill.started) > GOAL {
            self.slow.push((since(kill.started), format!("from `{last}` to `{next}` of order {id}")));
        }
        self.from_death.push(since(kill.dead));
        self.from_start.push(since(kill.started));
        self.from_ready.push(since(kill.ready));
    }

    /// The slowest, in words.
    pub fn slowest(&mut self) -> Vec<String> {
        self.slow.sort_by_key(|(took, _)| std::cmp::Reverse(*took));
        self.slow.iter().take(5).map(|(took, what)| format!("{} ms {what}", took.as_millis())).collect()
    }

    /// For a report.
    pub fn times(self, what: &str) -> Vec<(String, Vec<Duration>)> {
        vec![
            (format!("{what}: from the death to an order's next event"), self.from_death),
            (format!("{what}: from the new start"), self.from_start),
            (format!("{what}: from `ready`"), self.from_ready),
            (format!("{what}: from the new start, of orders waiting for the chain's verdict"), self.of_submitted),
        ]
    }
}

/// Which orders the dead had in their hands.
enum Driven {
    /// Whatever was not over.
    All,
    /// What an api had stored, and perhaps not queued.
    New,
    /// What a worker had moved last: orders and the numbers of their events.
    Moved(HashSet<(String, u64)>),
}

impl Driven {
    fn by(kill: &Kill) -> Self {
        match kill.victims {
            Victims::All => Self::All,
            Victims::One(0) => Self::New,
            Victims::One(_) => Self::Moved(moved(&kill.last_words)),
        }
    }

    fn has(&self, id: &str, seq: u64) -> bool {
        match self {
            Self::All => true,
            Self::New => seq == 1,
            Self::Moved(moved) => moved.contains(&(id.to_owned(), seq)),
        }
    }
}

fn moved(log: &str) -> HashSet<(String, u64)> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["fields"]["message"] == "order moved")
        .filter_map(|line| Some((line["span"]["order_id"].as_str()?.to_owned(), line["fields"]["seq"].as_u64()?)))
        .collect()
}

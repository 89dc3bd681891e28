//! Report: what the scenarios found, as numbers and as a file to read.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use serde_json::Value;
use swapd::chaos::Counts;

use super::{
    audit::{Audit, last_event},
    fleet::Backend,
};

/// Slots from a transaction's blockhash to its block. From the first number on its landing is called late; from the
/// second on it was among the last blocks that could hold it, of 150.
const LATE: u64 = 20;
const LAST_MOMENT: u64 = 140;

/// One scenario on one backend.
pub struct Findings {
    pub scenario: String,
    pub backend: Backend,
    pub kills: usize,
    pub orders: usize,
    /// How orders ended: `confirmed`, or the code of the failure.
    pub outcomes: BTreeMap<String, usize>,
    /// Orders by their number of signatures.
    pub signatures: BTreeMap<u64, usize>,
    pub expired: usize,
    pub rejected: usize,
    /// Landings by the slots since the blockhash: late ones, and those of the last moment.
    pub late: usize,
    pub last_moment: usize,
    /// What the proxy did to the way to the chain.
    pub counts: Option<Counts>,
    /// Times, by what they are times of.
    pub times: Vec<(String, Vec<Duration>)>,
    /// What stood still the longest.
    pub slowest: Vec<String>,
    pub violations: Vec<String>,
}

impl Findings {
    pub fn new(scenario: &str, backend: Backend, kills: usize, audit: Audit) -> Self {
        let (mut outcomes, mut signatures) = (BTreeMap::new(), BTreeMap::new());
        let mut expired = 0;
        for order in &audit.orders {
            let outcome = order["failure"]["code"].as_str().or(order["status"].as_str()).unwrap_or_default();
            *outcomes.entry(outcome.to_owned()).or_default() += 1;
            *signatures.entry(order["signatures"].as_u64().unwrap_or_default()).or_default() += 1;
            let history = order["history"].as_array().map(Vec::as_slice).unwrap_or_default();
            expired += history.iter().filter(|event| event["event"] == "expired").count();
        }
        let aged =
            |slots| audit.orders.iter().filter(|order| slots_to_land(order).is_some_and(|it| it >= slots)).count();
        let (late, last_moment) = (aged(LATE), aged(LAST_MOMENT));
        let rejected = audit.orders.iter().filter(|order| last_event(order) == "rejected").count();
        Self {
            scenario: scenario.to_owned(),
            backend,
            kills,
            orders: audit.orders.len(),
            outcomes,
            signatures,
            expired,
            rejected,
            late,
            last_moment,
            counts: None,
            times: Vec::new(),
            slowest: Vec::new(),
            violations: audit.violations,
        }
    }

    /// Fails the test if anything is wrong; prints the findings either way.
    pub fn must_be_clean(&self) {
        eprintln!("{}", self.markdown());
        assert!(self.violations.is_empty(), "{}: {:#?}", self.scenario, self.violations);
    }

    /// A section of the report.
    pub fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n", self.scenario, self.backend.name());
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "| {name} | {value} |");
        };
        row("what", "count".into());
        row("---", "---".into());
        row("kills", self.kills.to_string());
        row("orders", self.orders.to_string());
        for (outcome, count) in &self.outcomes {
            row(&format!("ended `{outcome}`"), count.to_string());
        }
        for (signatures, count) in &self.signatures {
            row(&format!("orders with {signatures} signatures"), count.to_string());
        }
        row("signatures proven expired", self.expired.to_string());
        row("landed with an error", self.rejected.to_string());
        row(&format!("landed {LATE} or more slots after the blockhash"), self.late.to_string());
        row(&format!("landed {LAST_MOMENT} or more slots after it, of 150"), self.last_moment.to_string());
        if let Some(counts) = &self.counts {
            let (sends, total) = (counts.of("sendTransaction"), counts.total());
            row("sends, of them befallen by a fault", format!("{}, {}", sends.calls, sends.faults));
            row("sends delivered late", counts.late.to_string());
            row("calls, of them befallen by a fault", format!("{}, {}", total.calls, total.faults));
        }
        row("**violations**", format!("**{}**", self.violations.len()));
        if !self.times.is_empty() {
            text.push_str("\n| time | orders | p50 | p99 | most |\n| --- | --- | --- | --- | --- |\n");
        }
        for (name, times) in &self.times {
            let mut times = times.clone();
            times.sort();
            let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
            let shown = |time: Option<&Duration>| time.map_or("-".into(), |time| format!("{} ms", time.as_millis()));
            let (p50, p99, most) = (shown(at(50)), shown(at(99)), shown(times.last()));
            let _ = writeln!(text, "| {name} | {} | {p50} | {p99} | {most} |", times.len());
        }
        for slow in &self.slowest {
            let _ = writeln!(text, "\nslow: {slow}");
        }
        for violation in &self.violations {
            let _ = writeln!(text, "\n- {violation}");
        }
        text
    }
}

/// From the blockhash of the transaction that landed to its block.
fn slots_to_land(order: &Value) -> Option<u64> {
    let attempts = order["attempts"].as_array()?;
    let landed = attempts.iter().find(|attempt| attempt["signature"] == order["txHash"])?;
    Some(order["slot"].as_u64()?.saturating_sub(landed["contextSlot"].as_u64()?))
}

/// The events of an order with the times they happened at.
pub fn events(order: &Value) -> impl Iterator<Item = (&str, u64, time::OffsetDateTime)> {
    use time::format_description::well_known::Rfc3339;

    order["history"].as_array().into_iter().flatten().map(|event| {
        let at = time::OffsetDateTime::parse(event["at"].as_str().unwrap(), &Rfc3339).unwrap();
        (event["event"].as_str().unwrap(), event["seq"].as_u64().unwrap(), at)
    })
}

//! Plan: decides which faults befall a message.
//!
//! Owns the rules in force, how many messages each has seen, and the dice. A draw depends on the seed, the rule's
//! number and the count of the rule's own messages, and on nothing else: neither on time nor on other methods. Never
//! carries a fault out.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{ChaosError, Fault, Rule, When};
use crate::lock::lock;

/// Names a rule of a running [`super::Chaos`]: they are counted from zero as they are added, over `clear` too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuleId(u64);

/// The rules in force.
pub(super) struct Plan {
    seed: u64,
    state: Mutex<State>,
    /// Told of every change, for whoever waits for a rule's time.
    changes: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    added: u64,
    rules: Vec<Active>,
}

struct Active {
    id: RuleId,
    rule: Arc<Rule>,
    since: Instant,
    seen: u64,
    ticks: u64,
    /// Where finality stood at the first call, once known.
    frozen: Option<Tip>,
}

/// Slot and height of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tip {
    pub slot: u64,
    pub height: u64,
}

/// A rule that befalls a message.
#[derive(Clone)]
pub(super) struct Hit {
    pub id: RuleId,
    rule: Arc<Rule>,
    drawn: u64,
}

impl Hit {
    pub fn fault(&self) -> &Fault {
        &self.rule.fault
    }

    /// A time of the range, drawn with the hit.
    pub fn within(&self, min: Duration, max: Duration) -> Duration {
        let steps = u64::try_from(max.saturating_sub(min).as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        // The low bits decided whether the rule holds, so the time is taken from a draw of its own.
        min + Duration::from_micros(mixed(self.drawn) % steps)
    }

    /// A number of the range, drawn with the hit.
    pub fn between(&self, min: i64, max: i64) -> i64 {
        let steps = max.abs_diff(min).saturating_add(1);
        min.saturating_add_unsigned(mixed(self.drawn) % steps)
    }
}

/// Which side of the proxy a message is on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Http,
    Socket,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        Self { seed, state: Mutex::default(), changes: watch::Sender::new(()) }
    }

    pub fn add(&self, rule: Rule) -> Result<RuleId, ChaosError> {
        rule.check()?;
        let mut state = self.state();
        let id = RuleId(state.added);
        state.added += 1;
        let since = Instant::now();
        state.rules.push(Active { id, rule: Arc::new(rule), since, seen: 0, ticks: 0, frozen: None });
        drop(state);
        self.changes.send_replace(());
        Ok(id)
    }

    pub fn remove(&self, id: RuleId) {
        self.state().rules.retain(|active| active.id != id);
        self.changes.send_replace(());
    }

    pub fn clear(&self) {
        self.state().rules.clear();
        self.changes.send_replace(());
    }

    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Counts a message for every rule that concerns it, and gives those that befall it, in the order of the rules. A
    /// send comes with its signature.
    pub fn hits(&self, side: Side, method: &str, signature: Option<&str>) -> Vec<Hit> {
        let mut hits = Vec::new();
        for active in &mut self.state().rules {
            let of_this_side = active.rule.fault.is_for_sockets() == (side == Side::Socket);
            if !of_this_side || active.is_over() || !active.rule.concerns(method) {
                continue;
            }
            active.seen += 1;
            hits.extend(match (active.rule.when, signature) {
                (When::SignaturesPerMille(_), None) => None,
                (When::SignaturesPerMille(_), Some(signature)) => active.hit(self.seed, number_of(signature)),
                _ => active.hit(self.seed, active.seen),
            });
        }
        hits
    }

    /// Waits until a rule has ended.
    pub async fn ended(&self, id: RuleId) {
        let mut changes = self.changes();
        loop {
            let end = match self.state().rules.iter().find(|active| active.id == id) {
                Some(active) if !active.is_over() => active.rule.lasts.map(|lasts| active.since + lasts),
                _ => return,
            };
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => {}
            }
        }
    }

    /// The time of the next periodic cut.
    pub fn next_cut(&self) -> Option<Instant> {
        self.state().rules.iter().filter_map(Active::next_tick).min()
    }

    /// Counts the periodic cuts whose time has come; whether one of them is to be carried out.
    pub fn is_cut_due(&self) -> bool {
        let now = Instant::now();
        let mut due = false;
        for active in &mut self.state().rules {
            if active.next_tick().is_some_and(|at| at <= now) {
                active.ticks += 1;
                due |= !active.is_over() && active.hit(self.seed, active.ticks).is_some();
            }
        }
        due
    }

    /// Where a rule has stopped finality, once that is known.
    pub fn frozen(&self, id: RuleId) -> Option<Tip> {
        self.state().rules.iter().find(|active| active.id == id)?.frozen
    }

    /// Stops finality here, unless another call of the rule was quicker; where it stands.
    pub fn freeze(&self, id: RuleId, tip: Tip) -> Tip {
        match self.state().rules.iter_mut().find(|active| active.id == id) {
            Some(active) => *active.frozen.get_or_insert(tip),
            None => tip,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Active {
    fn is_over(&self) -> bool {
        self.rule.lasts.is_some_and(|lasts| self.since.elapsed() >= lasts)
    }

    /// `number` is the count of the message, or stands for its signature.
    fn hit(&self, seed: u64, number: u64) -> Option<Hit> {
        let drawn = mixed(mixed(mixed(seed) ^ self.id.0) ^ number);
        let share = u16::try_from(drawn % 1_000).unwrap_or_default(); // below a thousand
        self.rule.when.holds(number, share).then(|| Hit { id: self.id, rule: self.rule.clone(), drawn })
    }

    fn next_tick(&self) -> Option<Instant> {
        let Fault::CutSocketsEvery(period) = self.rule.fault else { return None };
        let number = u32::try_from(self.ticks + 1).ok()?;
        (!self.is_over()).then(|| self.since + period.saturating_mul(number))
    }
}

/// A number for a signature, or any text.
fn number_of(text: &str) -> u64 {
    text.bytes().fold(0, |number, byte| mixed(number ^ u64::from(byte)))
}

/// SplitMix64's output function: every bit of the result depends on every bit of the argument.
const fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

//! Report: a load test's outcome, computed once from the ledger; text, JSON and HTML only show it.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use serde::Serialize;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{
    Length, Machine, Pace, Plan, Wallets,
    audit::Findings,
    ledger::{Book, End, Moment, Track, as_micros},
    scrape::{Calls, Page},
    stats::{Spread, Times},
    timeline::{Interval, SECOND, interval, timeline},
};

/// Orders without an end that are named.
const NAMED: usize = 20;

/// What a run leaves behind beside the ledger.
pub(super) struct Ran<'a> {
    pub(super) plan: &'a Plan,
    pub(super) status: &'a Value,
    pub(super) began_at: OffsetDateTime,
    pub(super) gave_for: Duration,
    pub(super) took: Duration,
    pub(super) before: Option<Page>,
    pub(super) after: Option<Page>,
    pub(super) cpu: Option<f64>,
    pub(super) cuts: u64,
    pub(super) findings: Findings,
}

/// A load test's outcome. Times are microseconds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// When it began, RFC 3339.
    pub date: String,
    /// The generator's version.
    pub version: String,
    /// The daemon's.
    pub daemon: String,
    /// The daemon's cluster.
    pub cluster: String,
    /// What the generator ran on.
    pub machine: Machine,
    /// How orders followed each other, in words.
    pub pace: String,
    /// The mix.
    pub mix: String,
    /// Its seed.
    pub seed: u64,
    /// Who paid, in words.
    pub wallets: String,
    /// For how long orders were given, in seconds.
    pub gave_seconds: f64,
    /// Until the last end or the end of the wait, in seconds.
    pub took_seconds: f64,
    /// Orders given.
    pub given: u64,
    /// Orders taken.
    pub accepted: u64,
    /// Orders not taken.
    pub refused: u64,
    /// Orders of which nobody could say whether they were taken.
    pub unanswered: u64,
    /// Orders swapped.
    pub confirmed: u64,
    /// Orders that ended without a swap.
    pub failed: u64,
    /// Accepted orders without an end.
    pub stuck: u64,
    /// Some of them.
    pub stuck_orders: Vec<Uuid>,
    /// Orders that wait for a person, which are stuck, too.
    pub set_aside: u64,
    /// What was done twice.
    pub duplicates: Vec<String>,
    /// Orders whose history and signatures were to be looked at.
    pub sample: u64,
    /// Orders whose history and signatures were looked at.
    pub audited: u64,
    /// Idempotency keys that were used again.
    pub repeated_keys: u64,
    /// HTTP answers by status and code, and what broke without one.
    pub answers: BTreeMap<String, u64>,
    /// Failed orders by code.
    pub failures: BTreeMap<String, u64>,
    /// Signatures beyond each order's first.
    pub signed_again: u64,
    /// Accepted orders a second, while orders were given.
    pub accepted_per_second: f64,
    /// Ended orders a second, from the first turn to the last end.
    pub ended_per_second: f64,
    /// As this client saw it.
    pub seen: Seen,
    /// By the daemon's own clock, from accepted.
    pub told: Stages,
    /// RPC calls of the daemon by method; `None` where it shows no metrics.
    pub rpc: Option<BTreeMap<String, Calls>>,
    /// Processor time.
    pub cpu: Cpu,
    /// Times the stream was cut and resumed.
    pub stream_cuts: u64,
    /// Frames that came twice.
    pub repeated_frames: u64,
    /// Ends that no event told, but a question did.
    pub asked_for: u64,
    /// Percentiles and times, from the turn to the answer.
    pub answer_curve: Vec<(f64, u64)>,
    /// Percentiles and times, from accepted to confirmed.
    pub confirmed_curve: Vec<(f64, u64)>,
    /// How it went over time.
    pub timeline: Vec<Interval>,
    /// The length of an interval, in seconds.
    pub interval_seconds: u64,
}

/// Times by this client's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// How late orders left after their turn: the generator's own share, and what waited for a free connection.
    pub lateness: Spread,
    /// From the turn to the answer.
    pub answered: Spread,
    /// From the answer to each stage's event.
    pub stages: Stages,
    /// From the turn to the end, of whatever kind.
    pub ended: Spread,
}

/// From accepted to each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stages {
    /// Signed for the first time.
    pub signed: Spread,
    /// A node has taken it.
    pub sent: Spread,
    /// Swapped.
    pub confirmed: Spread,
}

/// Processor time during the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cpu {
    /// Of this generator, in seconds.
    pub generator_seconds: Option<f64>,
    /// Of the daemon, in seconds.
    pub daemon_seconds: Option<f64>,
    /// The generator's part of both, in percent.
    pub generator_share: Option<f64>,
    /// Of the generator for each order that was given, in microseconds.
    pub generator_per_order: Option<f64>,
    /// The daemon's memory at the end, in bytes.
    pub daemon_memory: Option<f64>,
}

/// What must hold, beside nothing stuck and nothing twice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Thresholds {
    /// The most that 99 of 100 may take from accepted to confirmed.
    pub max_p99: Option<Duration>,
    /// The most that 99 of 100 may take from their turn to the answer.
    pub max_answer_p99: Option<Duration>,
    /// The least orders that end in a second.
    pub min_rate: Option<f64>,
    /// The most orders that may fail or be refused.
    pub max_failed: Option<u64>,
}

/// Numbers and ids of the orders that were taken, in the order of their turns.
pub(super) fn accepted(book: &Book) -> Vec<(u64, Uuid)> {
    let mut accepted: Vec<_> = book.orders.iter().filter_map(|(id, track)| Some((track.turn?.0, *id))).collect();
    accepted.sort_unstable();
    accepted
}

impl Report {
    pub(super) fn new(ran: Ran<'_>, book: &Book) -> Self {
        let ours: Vec<(&Uuid, &Track)> = book.orders.iter().filter(|(_, track)| track.turn.is_some()).collect();
        let tracks = || ours.iter().map(|(_, track)| *track);
        let mut stuck: Vec<Uuid> = ours.iter().filter(|(_, track)| track.ended.is_none()).map(|(id, _)| **id).collect();
        stuck.sort_unstable();
        let mut duplicates = ran.findings.duplicates;
        for (id, track) in ours.iter().filter(|(_, track)| track.endings > 1) {
            let sentence = format!("{id} ended {} times", track.endings);
            if !duplicates.contains(&sentence) {
                duplicates.push(sentence);
            }
        }
        let keys = tracks().filter_map(|track| track.turn.map(|turn| turn.0)).collect::<HashSet<_>>();
        if keys.len() < ours.len() {
            duplicates.push(format!("{} idempotency keys have more than one order", ours.len() - keys.len()));
        }
        let mut failures = BTreeMap::new();
        for track in tracks() {
            if let Some((_, End::Failed(code))) = &track.ended {
                *failures.entry(code.clone()).or_default() += 1;
            }
        }
        let ended = book.counts.confirmed + book.counts.failed;
        let last_end = tracks().filter_map(|track| Some(track.ended.as_ref()?.0.seen)).max().unwrap_or_default();
        let interval = interval(as_micros(ran.took));
        let rpc = ran.after.as_ref().zip(ran.before.as_ref()).map(|(after, before)| after.since(before, ended));
        Self {
            date: ran.began_at.truncate_to_second().format(&Rfc3339).unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            daemon: ran.status["version"].as_str().unwrap_or("unknown").to_owned(),
            cluster: ran.status["cluster"].as_str().unwrap_or("unknown").to_owned(),
            machine: Machine::here(),
            pace: pace(ran.plan),
            mix: ran.plan.mix.to_string(),
            seed: ran.plan.seed,
            wallets: match &ran.plan.wallets {
                Wallets::Any => "the daemon's choice".to_owned(),
                Wallets::These(wallets) => format!("{} in turn", wallets.len()),
                Wallets::Listed => "all that the daemon lists, in turn".to_owned(),
            },
            gave_seconds: ran.gave_for.as_secs_f64(),
            took_seconds: ran.took.as_secs_f64(),
            given: book.counts.given,
            accepted: book.counts.accepted,
            refused: book.counts.refused,
            unanswered: book.lost.len() as u64,
            confirmed: book.counts.confirmed,
            failed: book.counts.failed,
            stuck: stuck.len() as u64,
            stuck_orders: stuck.into_iter().take(NAMED).collect(),
            set_aside: tracks().filter(|track| track.set_aside && track.ended.is_none()).count() as u64,
            duplicates,
            sample: ran.findings.sample,
            audited: ran.findings.audited,
            repeated_keys: ran.findings.repeated_keys,
            answers: book.answers.clone(),
            failures,
            signed_again: tracks().map(|track| u64::from(track.signatures.saturating_sub(1))).sum(),
            accepted_per_second: per_second(book.counts.accepted, as_micros(ran.gave_for)),
            ended_per_second: per_second(ended, last_end),
            seen: Seen {
                lateness: book.lateness.iter().map(|late| u64::from(*late)).collect::<Times>().spread(),
                answered: tracks().filter_map(answered).collect::<Times>().spread(),
                stages: Stages::of(&ours, seen_since),
                ended: tracks()
                    .filter_map(|it| Some(it.ended.as_ref()?.0.seen.saturating_sub(it.turn?.1)))
                    .collect::<Times>()
                    .spread(),
            },
            told: Stages::of(&ours, told_since),
            rpc,
            cpu: Cpu::of(ran.cpu, ran.before.as_ref().zip(ran.after.as_ref()), book.counts.given),
            stream_cuts: ran.cuts,
            repeated_frames: book.repeated,
            asked_for: tracks().filter(|it| it.ended.as_ref().is_some_and(|(at, _)| at.told.is_none())).count() as u64,
            answer_curve: tracks().filter_map(answered).collect::<Times>().curve(),
            confirmed_curve: tracks().filter_map(|track| confirmed(track, seen_since)).collect::<Times>().curve(),
            timeline: timeline(&ours, interval),
            interval_seconds: interval / SECOND,
        }
    }

    /// What of all that must hold does not, in a sentence each.
    pub fn broken(&self, thresholds: &Thresholds) -> Vec<String> {
        let mut broken = Vec::new();
        if self.stuck > 0 {
            broken.push(format!("{} accepted orders have no end", self.stuck));
        }
        if self.unanswered > 0 {
            broken.push(format!("of {} orders nobody can say whether they were taken", self.unanswered));
        }
        if !self.duplicates.is_empty() {
            broken.push(format!("{} times something was done twice", self.duplicates.len()));
        }
        if self.sample > 0 && self.audited == 0 {
            broken.push(format!("none of {} orders could be looked at for anything done twice", self.sample));
        }
        let slow = |what: &str, got: Spread, most: Option<Duration>| {
            let (most, p99) = (most?, Duration::from_micros(got.p99));
            if got.count == 0 {
                return Some(format!("{what}: nothing was measured, at most {most:?} was asked"));
            }
            (p99 > most).then(|| format!("{what}: p99 is {p99:?}, at most {most:?} was asked"))
        };
        broken.extend(slow("accepted to confirmed", self.seen.stages.confirmed, thresholds.max_p99));
        broken.extend(slow("turn to answer", self.seen.answered, thresholds.max_answer_p99));
        if let Some(least) = thresholds.min_rate.filter(|least| self.ended_per_second < *least) {
            broken.push(format!("{:.1} orders ended a second, at least {least} were asked", self.ended_per_second));
        }
        let bad = self.failed + self.refused;
        if let Some(most) = thresholds.max_failed.filter(|most| bad > *most) {
            broken.push(format!("{bad} orders failed or were refused, at most {most} were asked"));
        }
        broken
    }
}

impl Stages {
    fn of(ours: &[(&Uuid, &Track)], since: fn(&Track, Moment) -> Option<u64>) -> Self {
        let spread = |stage: fn(&Track) -> Option<Moment>| {
            ours.iter().filter_map(|(_, track)| since(track, stage(track)?)).collect::<Times>().spread()
        };
        Self {
            signed: spread(|track| track.signed),
            sent: spread(|track| track.sent),
            confirmed: ours.iter().filter_map(|(_, track)| confirmed(track, since)).collect::<Times>().spread(),
        }
    }
}

impl Cpu {
    fn of(generator: Option<f64>, pages: Option<(&Page, &Page)>, given: u64) -> Self {
        let daemon = pages.map(|(before, after)| after.cpu_seconds - before.cpu_seconds);
        let share = generator.zip(daemon).filter(|(own, theirs)| own + theirs > 0.0);
        #[expect(clippy::cast_precision_loss, reason = "counts to look at")]
        let per_order = |seconds: f64| seconds * 1e6 / given.max(1) as f64;
        Self {
            generator_seconds: generator,
            daemon_seconds: daemon,
            generator_share: share.map(|(own, theirs)| 100.0 * own / (own + theirs)),
            generator_per_order: generator.map(per_order),
            daemon_memory: pages.map(|(_, after)| after.memory),
        }
    }
}

/// From the turn to the answer.
pub(super) fn answered(track: &Track) -> Option<u64> {
    Some(track.accepted?.seen.saturating_sub(track.turn?.1))
}

/// From the answer to a moment by our clock. An event may be here before the answer is: that is no time at all.
pub(super) fn seen_since(track: &Track, moment: Moment) -> Option<u64> {
    Some(moment.seen.saturating_sub(track.accepted?.seen))
}

/// The same by the daemon's clock.
fn told_since(track: &Track, moment: Moment) -> Option<u64> {
    u64::try_from(moment.told? - track.accepted?.told?).ok()
}

/// To the swap, of those that were swapped and heard of.
fn confirmed(track: &Track, since: fn(&Track, Moment) -> Option<u64>) -> Option<u64> {
    match &track.ended {
        Some((at, End::Confirmed)) if at.told.is_some() => since(track, *at),
        _ => None,
    }
}

fn pace(plan: &Plan) -> String {
    let length = match plan.length {
        Length::Orders(orders) => format!("{orders} orders"),
        Length::For(time) => format!("for {}", humantime::format_duration(time)),
    };
    match plan.pace {
        Pace::Rate(rate) => format!(
            "open loop: {rate} orders a second, {length}, over {} connections; latencies count from each order's turn",
            plan.connections
        ),
        Pace::Clients(clients) => format!(
            "closed loop: {clients} clients, {length}; each waits for its order's end, so a slow daemon is asked less often"
        ),
    }
}

fn per_second(count: u64, micros: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts to look at")]
    let (count, seconds) = (count as f64, micros as f64 / 1e6);
    if micros == 0 { 0.0 } else { count / seconds }
}

//! Confirmer: sends the same bytes again until it can prove what became of each sent attempt.
//!
//! Owns every attempt in flight of this process, one batched status poll for all of them, the rebroadcasts, and the
//! proof of expiry: finalized height above the bound first, then absence with history on a node at or past that
//! height's slot, and where several endpoints are configured on two of them. That search goes on beside the polls, so that
//! a silent witness delays nobody who has landed. A time-out, an RPC error or a lagging node proves nothing and is
//! reported as such. Never signs, stores or changes anything, and never calls a time-out an expiry.

mod flight;
mod search;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use solana_sdk::signature::Signature;
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

pub use self::flight::{Report, Signed, Watch};
use self::{
    flight::InFlight,
    search::{Past, Search, search},
};
use super::{
    ChainError, Rpc, SendAnswer, SignatureState, Tip,
    hints::{Hint, Hints},
    rpc::{FinalizedTip, SIGNATURES_PER_CALL, Testimony},
};
use crate::{
    domain::{Absence, BlockHeight, ExpiryProof, StatusAnswer},
    metrics as names,
};

/// Sends going on at the same time in one round of rebroadcasts.
const PARALLEL_SENDS: usize = 16;
/// A hint makes the next poll come earlier, up to this many times as often: many hints are still one question.
const HINTED_POLLS: u32 = 5;
/// So many early polls a hint is worth, since another node than the one that gave it may be asked.
const HINTED_LOOKS: u8 = 5;
/// Hints that are remembered until their signature is handed in: a socket can be quicker than the answer to a send.
const EARLY_HINTS: usize = 256;
/// A block time measured over a standstill of finality is a long one: it must not put off the search after it.
const SLOWEST_BLOCK: Duration = Duration::from_secs(2);
/// Attempts that may wait to be taken up; a sender waits when it is full.
const INBOX: usize = 1_024;
/// Endpoints that must say that a signature is absent, where so many are configured.
const WITNESSES: usize = 2;

/// How often things are asked and sent.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Between two status polls.
    pub poll: Duration,
    /// Between two looks at the finalized height, which decides expiry.
    pub height_poll: Duration,
    /// Between two sends of the same bytes, at least.
    pub rebroadcast: Duration,
    /// Added to that for each attempt in flight, so that many orders stay within an endpoint's limits.
    pub rebroadcast_per_attempt: Duration,
    /// How long no answer at all may last before the outcome is called unknown.
    pub unknown_after: Duration,
}

/// Where attempts are handed in.
#[derive(Clone)]
pub struct Confirmer {
    inbox: mpsc::Sender<InFlight>,
    hints: Hints,
}

impl Confirmer {
    /// The handle, and the task that whoever owns the tasks must run.
    pub fn new(rpc: Arc<Rpc>, tip: Arc<Tip>, settings: Settings) -> (Self, ConfirmerTask) {
        let (inbox, arrivals) = mpsc::channel(INBOX);
        let (hints, heard) = Hints::new();
        let task = ConfirmerTask {
            rpc,
            tip,
            settings,
            arrivals,
            heard,
            early: VecDeque::with_capacity(EARLY_HINTS),
            in_flight: HashMap::new(),
            searches: JoinSet::new(),
            searched_at: None,
            finalized: None,
            last_poll: Instant::now(),
            next_poll: Instant::now(),
            silent_since: None,
        };
        (Self { inbox, hints }, task)
    }

    /// Where it is told when to look.
    pub fn hints(&self) -> Hints {
        self.hints.clone()
    }

    /// Watches an attempt from now on, sending its bytes again as long as they can land. `None` once stopped.
    pub async fn watch(&self, attempt: impl Into<Signed>, sent: bool) -> Option<Watch> {
        let (in_flight, watch) = InFlight::new(attempt.into(), sent);
        self.inbox.send(in_flight).await.ok()?;
        Some(watch)
    }
}

/// The loop behind `Confirmer`.
pub struct ConfirmerTask {
    rpc: Arc<Rpc>,
    tip: Arc<Tip>,
    settings: Settings,
    arrivals: mpsc::Receiver<InFlight>,
    heard: mpsc::Receiver<Hint>,
    /// The latest hints of signatures that are not in flight: not yet, or not any more.
    early: VecDeque<Signature>,
    in_flight: HashMap<Signature, InFlight>,
    /// At most one search for expired signatures, which ends with this task.
    searches: JoinSet<Option<Search>>,
    searched_at: Option<Instant>,
    /// The finalized height of the last search, and when it was asked for.
    finalized: Option<(BlockHeight, Instant)>,
    last_poll: Instant,
    next_poll: Instant,
    /// Since when every status poll has failed.
    silent_since: Option<Instant>,
}

impl ConfirmerTask {
    /// Runs until `shutdown`. What is then in flight stays in the store and is taken up at the next start.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let busy = !self.in_flight.is_empty();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                arrival = self.arrivals.recv() => match arrival {
                    Some(arrival) => {
                        self.take_up(arrival);
                        continue;
                    }
                    None => break,
                },
                Some(found) = self.searches.join_next() => {
                    self.weigh_all(found.unwrap_or_default());
                    self.count();
                    continue;
                }
                Some(hint) = self.heard.recv() => {
                    self.hear(hint);
                    continue;
                }
                () = tokio::time::sleep_until(self.next_poll), if busy => {}
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = self.round() => {}
            }
            self.last_poll = Instant::now();
            let hinted = self.in_flight.values().any(|flight| flight.looks > 0);
            self.next_poll = self.last_poll + if hinted { self.early_poll() } else { self.settings.poll };
        }
    }

    fn take_up(&mut self, arrival: InFlight) {
        let signature = arrival.attempt.signature;
        if self.in_flight.is_empty() && arrival.sent_at.is_some() {
            // Sent a moment ago, it is in no block yet.
            self.next_poll = self.next_poll.max(Instant::now() + self.settings.poll);
        }
        self.in_flight.insert(signature, arrival);
        if let Some(place) = self.early.iter().position(|early| *early == signature) {
            self.early.remove(place);
            self.hear(Hint::Of(signature));
        }
    }

    /// Lets the next poll come earlier, where the hint is about something in flight.
    fn hear(&mut self, hint: Hint) {
        if let Hint::Of(signature) = hint {
            match self.in_flight.get_mut(&signature) {
                Some(flight) => flight.looks = HINTED_LOOKS,
                None if self.early.contains(&signature) => return,
                None => {
                    self.early.truncate(EARLY_HINTS - 1);
                    return self.early.push_front(signature);
                }
            }
        }
        self.next_poll = self.next_poll.min(self.last_poll + self.early_poll());
    }

    fn early_poll(&self) -> Duration {
        self.settings.poll / HINTED_POLLS
    }

    /// One look at everything in flight.
    async fn round(&mut self) {
        self.in_flight.retain(|_, flight| flight.is_watched());
        for flight in self.in_flight.values_mut() {
            flight.looks = flight.looks.saturating_sub(1);
        }
        self.count();
        let signatures: Vec<Signature> = self.in_flight.keys().copied().collect();
        for chunk in signatures.chunks(SIGNATURES_PER_CALL) {
            match self.rpc.signature_states(chunk).await {
                Ok(said) => {
                    self.silent_since = None;
                    for (signature, state) in chunk.iter().zip(&said.states) {
                        self.landed(signature, state, &said);
                    }
                }
                Err(error) => self.no_answer(&error),
            }
        }
        if !self.in_flight.is_empty() {
            self.search();
            self.rebroadcast().await;
        }
        self.count();
    }

    fn count(&self) {
        let unknown = self.in_flight.values().filter(|flight| flight.told_unknown).count();
        metrics::gauge!(names::IN_FLIGHT).set(names::as_gauge(self.in_flight.len() as u64));
        metrics::gauge!(names::UNKNOWN).set(names::as_gauge(unknown as u64));
    }

    fn landed(&mut self, signature: &Signature, state: &SignatureState, said: &Testimony) {
        if let SignatureState::Landed { slot, commitment, error } = state
            && let Some(flight) = self.in_flight.remove(signature)
        {
            let answer = StatusAnswer {
                endpoint: said.by.clone(),
                context_slot: said.slot,
                confirmation_status: *commitment,
                err: error.clone(),
            };
            flight.report(Report::Landed { slot: *slot, answer });
        }
    }

    fn no_answer(&mut self, error: &ChainError) {
        let since = *self.silent_since.get_or_insert_with(Instant::now);
        tracing::warn!(%error, in_flight = self.in_flight.len(), "no answer about signatures in flight");
        if since.elapsed() >= self.settings.unknown_after {
            for flight in self.in_flight.values_mut().filter(|flight| !flight.told_unknown) {
                flight.told_unknown = true;
                flight.report(Report::Unknown(format!("nobody can say whether it landed: {error}")));
            }
        }
    }

    /// Begins a look for signatures that have expired, unless one is going on or was a moment ago, or it is too early.
    fn search(&mut self) {
        let due = self.searched_at.is_none_or(|at| at.elapsed() >= self.settings.height_poll);
        if !due || !self.searches.is_empty() || !self.may_have_expired() {
            return;
        }
        self.searched_at = Some(Instant::now());
        let bounds = self.in_flight.values().map(|flight| &flight.attempt);
        let bounds = bounds.map(|attempt| (attempt.signature, attempt.last_valid_block_height)).collect();
        self.searches.spawn(search(self.rpc.clone(), bounds));
    }

    /// Whether the finalized height can have passed a bound since it was last asked for, if blocks came at most twice as
    /// fast as they were measured to. Saves questions whose answer is known, and decides nothing.
    fn may_have_expired(&self) -> bool {
        let (Some((height, at)), Some(block_time)) = (self.finalized, self.tip.block_time()) else { return true };
        let blocks = at.elapsed().as_millis() * 2 / block_time.min(SLOWEST_BLOCK).as_millis().max(1) + 1;
        let highest = height.0.saturating_add(u64::try_from(blocks).unwrap_or(u64::MAX));
        self.in_flight.values().any(|flight| flight.attempt.last_valid_block_height.0 <= highest)
    }

    fn weigh_all(&mut self, found: Option<Search>) {
        let Some(Search { tip, asked_at, past }) = found else { return };
        self.finalized = Some((tip.height, asked_at));
        for Past { signatures, said } in past {
            for (at, signature) in signatures.iter().enumerate() {
                self.weigh(signature, at, tip, &said);
            }
        }
    }

    /// One endpoint that knows it is enough to see it alive; it takes all the witnesses to call it absent.
    fn weigh(&mut self, signature: &Signature, at: usize, tip: FinalizedTip, said: &[Testimony]) {
        let landed = |testimony: &&Testimony| matches!(testimony.states[at], SignatureState::Landed { .. });
        if let Some(testimony) = said.iter().find(landed) {
            self.landed(signature, &testimony.states[at], testimony);
            return;
        }
        // A processed one may still be confirmed.
        if said.iter().any(|testimony| testimony.states[at] == SignatureState::Processed) {
            return;
        }
        // A node behind the height's slot cannot prove absence.
        let witnesses: Vec<&Testimony> = said.iter().filter(|testimony| testimony.slot >= tip.slot).collect();
        let Some(searched_at) = witnesses.iter().map(|testimony| testimony.slot).min() else { return };
        if witnesses.len() < WITNESSES.min(self.rpc.endpoints()) {
            return;
        }
        if let Some(flight) = self.in_flight.remove(signature) {
            let absences: Vec<Absence> =
                witnesses.iter().map(|it| Absence { endpoint: it.by.clone(), context_slot: it.slot }).collect();
            tracing::info!(%signature, witnesses = ?absences, "a signature can never land any more");
            let proof = ExpiryProof {
                signature: *signature,
                last_valid_block_height: flight.attempt.last_valid_block_height,
                finalized_height: tip.height,
                searched_at,
                witnesses: u8::try_from(witnesses.len()).unwrap_or(u8::MAX),
                finalized_slot: Some(tip.slot),
                absences,
            };
            flight.report(Report::Expired(proof));
        }
    }

    async fn rebroadcast(&mut self) {
        let count = u32::try_from(self.in_flight.len()).unwrap_or(u32::MAX);
        let period = self.settings.rebroadcast.max(self.settings.rebroadcast_per_attempt.saturating_mul(count));
        let due = |flight: &InFlight| flight.sent_at.is_none_or(|at| at.elapsed() >= period);
        if !self.in_flight.values().any(due) {
            return;
        }
        // Bytes past their bound are not sent: they can only confuse. The height is a hint here, never a proof.
        let Ok(BlockHeight(height)) = self.rpc.confirmed_height().await else { return };
        let now = Instant::now();
        let mut sends = Vec::new();
        for flight in self.in_flight.values_mut().filter(|flight| due(flight)) {
            flight.sent_at = Some(now);
            if height <= flight.attempt.last_valid_block_height.0 {
                sends.push((flight.attempt.signature, flight.attempt.wire.clone(), flight.attempt.context_slot));
            }
        }
        let rpc = &self.rpc;
        let already_there: Vec<Signature> = stream::iter(sends)
            .map(|(signature, wire, slot)| async move {
                let answer = rpc.send(&wire, slot).await;
                tracing::debug!(%signature, ?answer, "sent again");
                matches!(answer, Ok(SendAnswer::AlreadyProcessed)).then_some(signature)
            })
            .buffer_unordered(PARALLEL_SENDS)
            .filter_map(std::future::ready)
            .collect()
            .await;
        for signature in already_there {
            self.hear(Hint::Of(signature));
        }
    }
}

#[cfg(test)]
mod tests;

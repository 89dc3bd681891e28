//! Ledger: what is known of every order of a load, from its turn to its end.
//!
//! Fed by the clients (answers) and the listener (events), which may come in either order: an event of an order whose
//! answer is still on its way waits for it here. Owns the counts, and notices an order that ends twice.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use serde::{Deserialize, de::IgnoredAny};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::client::{Answer, micros};
use crate::lock::lock;

/// An event as the daemon's stream tells it, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heard<'a> {
    /// Its place among all events.
    pub cursor: u64,
    /// Whose event.
    pub order_id: Uuid,
    /// Which one.
    pub event: &'a str,
    /// When, by the daemon's clock.
    pub at: &'a str,
    /// Why it failed.
    #[serde(borrow)]
    pub failure: Option<Code<'a>>,
}

/// A failure's code.
#[derive(Debug, Deserialize)]
pub struct Code<'a> {
    code: &'a str,
    #[serde(rename = "reason")]
    _reason: Option<IgnoredAny>,
}

/// The events that tell how far an order is.
pub const TOLD: &str = "signed,sent,landed,paper_filled,rejected,failed,cancelled,chain_reset,set_aside";

/// How an order ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Swapped.
    Confirmed,
    /// Not swapped, with the code.
    Failed(String),
}

impl End {
    /// What an event with this name ends an order as, if it does.
    pub fn of(event: &str, code: Option<&str>) -> Option<Self> {
        match event {
            "landed" | "paper_filled" => Some(Self::Confirmed),
            "rejected" | "failed" => Some(Self::Failed(code.unwrap_or("unknown").to_owned())),
            "cancelled" | "chain_reset" => Some(Self::Failed(event.to_owned())),
            _ => None,
        }
    }
}

/// A moment, by our clock (since the start) and by the daemon's (since 1970), in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Ours.
    pub seen: u64,
    /// The daemon's; `None` where it was not told.
    pub told: Option<i64>,
}

/// One order.
#[derive(Clone, Debug, Default)]
pub struct Track {
    /// Its number and when it was due; `None` for an order whose answer has not come, or somebody else's.
    pub turn: Option<(u64, u64)>,
    /// When it was accepted.
    pub accepted: Option<Moment>,
    /// When it had a signature.
    pub signed: Option<Moment>,
    /// When a node had taken it.
    pub sent: Option<Moment>,
    /// When and how it ended.
    pub ended: Option<(Moment, End)>,
    /// Signatures it had.
    pub signatures: u32,
    /// Events that ended it.
    pub endings: u32,
    /// Whether it waits for a person.
    pub set_aside: bool,
}

/// Counts, for whoever looks on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Orders given.
    pub given: u64,
    /// Orders taken.
    pub accepted: u64,
    /// Orders swapped.
    pub confirmed: u64,
    /// Orders that ended without a swap.
    pub failed: u64,
    /// Orders not taken.
    pub refused: u64,
}

impl Counts {
    /// Orders that were accepted and have not ended.
    pub const fn open(&self) -> u64 {
        self.accepted.saturating_sub(self.confirmed + self.failed)
    }

    fn ended(&mut self, end: &End) {
        match end {
            End::Confirmed => self.confirmed += 1,
            End::Failed(_) => self.failed += 1,
        }
    }
}

/// Everything that is known.
pub struct Ledger {
    start: Instant,
    book: Mutex<Book>,
}

/// What the ledger holds.
#[derive(Default)]
pub struct Book {
    /// All orders that were heard of.
    pub orders: HashMap<Uuid, Track>,
    /// Running counts.
    pub counts: Counts,
    /// Answers by status and code.
    pub answers: BTreeMap<String, u64>,
    /// Orders whose answers were lost and not found out: number and when it was due.
    pub lost: Vec<(u64, u64)>,
    /// How late each order left, after it was due, in microseconds.
    pub lateness: Vec<u32>,
    /// Frames that came twice.
    pub repeated: u64,
    /// The last cursor that was heard.
    pub cursor: u64,
    waiting: HashMap<Uuid, oneshot::Sender<()>>,
}

impl Ledger {
    /// Of a load that began at `start`, and hears events after `cursor`.
    pub fn new(start: Instant, cursor: u64) -> Self {
        Self { start, book: Mutex::new(Book { cursor, ..Book::default() }) }
    }

    /// The book itself.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }

    /// Microseconds since the start.
    pub fn now(&self) -> u64 {
        as_micros(self.start.elapsed())
    }

    /// An order leaves now.
    pub fn given(&self, due: u64) {
        let late = self.now().saturating_sub(due);
        let mut book = self.book();
        book.counts.given += 1;
        book.lateness.push(u32::try_from(late).unwrap_or(u32::MAX));
    }

    /// Its answer. For an accepted order that has not ended: what tells of its end.
    pub fn answered(&self, n: u64, due: u64, answer: &Answer) -> Option<oneshot::Receiver<()>> {
        let seen = self.now();
        let mut book = self.book();
        book.count(answer);
        match answer {
            Answer::Accepted { id, at, .. } => book.accept(*id, (n, due), Moment { seen, told: Some(*at) }),
            Answer::Refused { .. } => {
                book.counts.refused += 1;
                None
            }
            Answer::Lost { .. } => {
                book.lost.push((n, due));
                None
            }
        }
    }

    /// An answer, or none, that leaves it open whether the order was taken.
    pub fn unanswered(&self, n: u64, due: u64, answer: &Answer) {
        let mut book = self.book();
        book.count(answer);
        book.lost.push((n, due));
    }

    /// An event.
    pub fn heard(&self, heard: &Heard<'_>) {
        let seen = self.now();
        let moment = Moment { seen, told: Some(micros(heard.at)) };
        let mut book = self.book();
        if heard.cursor <= book.cursor {
            book.repeated += 1;
            return;
        }
        book.cursor = heard.cursor;
        let track = book.orders.entry(heard.order_id).or_default();
        match heard.event {
            "signed" => {
                track.signatures += 1;
                track.signed.get_or_insert(moment);
            }
            "sent" => {
                track.sent.get_or_insert(moment);
            }
            "set_aside" => track.set_aside = true,
            event => {
                if let Some(end) = End::of(event, heard.failure.as_ref().map(|failure| failure.code)) {
                    book.end(heard.order_id, moment, end);
                }
            }
        }
    }

    /// An order's end as a question to the daemon showed it, where no event did.
    pub fn found_ended(&self, id: Uuid, end: End) {
        let moment = Moment { seen: self.now(), told: None };
        let mut book = self.book();
        if book.orders.get(&id).is_some_and(|track| track.ended.is_none()) {
            book.end(id, moment, end);
        }
    }

    /// Accepted orders that have not ended, the oldest first.
    pub fn open(&self) -> Vec<Uuid> {
        let book = self.book();
        let mut open: Vec<_> = book.orders.iter().filter(|(_, it)| it.turn.is_some() && it.ended.is_none()).collect();
        open.sort_unstable_by_key(|(_, track)| track.turn);
        open.into_iter().map(|(id, _)| *id).collect()
    }
}

impl Book {
    fn count(&mut self, answer: &Answer) {
        let name = match answer {
            Answer::Accepted { status, .. } => status.to_string(),
            Answer::Refused { status, code, .. } => format!("{status} {code}"),
            Answer::Lost { reason } => (*reason).to_owned(),
        };
        *self.answers.entry(name).or_default() += 1;
    }

    fn accept(&mut self, id: Uuid, turn: (u64, u64), moment: Moment) -> Option<oneshot::Receiver<()>> {
        let track = self.orders.entry(id).or_default();
        track.turn = Some(turn);
        track.accepted = Some(moment);
        self.counts.accepted += 1;
        let Some((_, end)) = &track.ended else {
            let (tell, end) = oneshot::channel();
            self.waiting.insert(id, tell);
            return Some(end);
        };
        self.counts.ended(end);
        None
    }

    fn end(&mut self, id: Uuid, moment: Moment, end: End) {
        let track = self.orders.entry(id).or_default();
        track.endings += 1;
        if track.ended.is_some() {
            return;
        }
        let ours = track.turn.is_some();
        track.ended = Some((moment, end.clone()));
        if ours {
            self.counts.ended(&end);
        }
        if let Some(waiting) = self.waiting.remove(&id) {
            let _ = waiting.send(()); // nobody waits in an open loop
        }
    }
}

/// Microseconds of a time, as far as they fit.
pub fn as_micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(7);

    fn event(cursor: u64, name: &str) -> String {
        let failure = if name == "failed" { r#","failure":{"code":"no_route","reason":"x \"y\""}"# } else { "" };
        format!(
            r#"{{"cursor":{cursor},"orderId":"{ID}","seq":1,"status":"x","at":"2026-11-21T00:00:00.5Z","event":"{name}"{failure}}}"#
        )
    }

    fn hear(ledger: &Ledger, cursor: u64, name: &str) {
        ledger.heard(&serde_json::from_str(&event(cursor, name)).unwrap());
    }

    #[test]
    fn the_events_that_are_asked_for_exist() {
        for name in TOLD.split(',') {
            assert!(crate::domain::OrderEvent::NAMES.contains(&name), "{name}");
        }
    }

    const ACCEPTED: Answer = Answer::Accepted { id: ID, at: 1, status: 201 };

    #[test]
    fn an_order_that_ends_before_its_answer_comes_is_counted_once() {
        let ledger = Ledger::new(Instant::now(), 0);
        hear(&ledger, 1, "signed");
        hear(&ledger, 2, "landed");
        assert_eq!(ledger.book().counts, Counts::default(), "it may be anybody's");
        assert!(ledger.answered(0, 0, &ACCEPTED).is_none(), "there is nothing to wait for");
        let counts = ledger.book().counts;
        assert_eq!((counts.accepted, counts.confirmed, counts.open()), (1, 1, 0));
    }

    #[tokio::test]
    async fn a_client_hears_of_its_orders_end_and_a_second_end_is_noticed() {
        let ledger = Ledger::new(Instant::now(), 0);
        let end = ledger.answered(0, 0, &ACCEPTED).unwrap();
        assert_eq!(ledger.open(), [ID]);
        hear(&ledger, 5, "failed");
        end.await.unwrap();
        hear(&ledger, 5, "failed");
        assert_eq!(ledger.book().repeated, 1, "the same frame again is the stream's mistake");
        hear(&ledger, 6, "landed");
        let book = ledger.book();
        assert_eq!(book.orders[&ID].endings, 2, "another event is the order's");
        assert_eq!(book.orders[&ID].ended.as_ref().unwrap().1, End::Failed("no_route".into()));
        assert_eq!((book.counts.failed, book.counts.confirmed), (1, 0));
    }

    #[test]
    fn refusals_and_lost_answers_are_no_orders() {
        let ledger = Ledger::new(Instant::now(), 0);
        let refused = Answer::Refused { status: 503, code: "queue_full".into(), retry_after: None };
        ledger.answered(0, 0, &refused);
        ledger.answered(1, 10, &Answer::Lost { reason: "connection lost" });
        let book = ledger.book();
        assert_eq!((book.counts.accepted, book.counts.refused), (0, 1));
        assert_eq!(book.lost, [(1, 10)]);
        assert_eq!(book.answers["503 queue_full"], 1);
    }
}

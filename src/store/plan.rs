//! Plan: decides what becomes of every write of one group, and which rows that makes.
//!
//! Owns the compare-and-swap, the idempotency keys, the reservations and the numbering of events, once for both
//! databases. A write that is refused leaves the others of its group as they are. Pure: the backends load what it must
//! know and store what it decides, both inside one transaction that no other writer runs beside.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{
    Creation, IdempotencyKey, Reservation, Shortfall, StoreError,
    rows::{AttemptColumns, OrderRow, PromiseColumns, hex, json, stored_form, stored_time, time_text},
    tables::Statements,
};
use crate::domain::{BaseUnits, Lamports, Order, OrderEvent, OrderId, Slot, Status, StoredEvent};

/// One write that waits for its commit.
#[derive(Debug)]
pub(super) enum Change {
    /// An order's next event.
    Event(Box<EventChange>),
    /// Something to remember.
    Fact { name: String, value: String },
}

/// An order's next event, encoded by the caller so that the writer only has to decide.
#[derive(Debug)]
pub(super) struct EventChange {
    /// The event as it will be read back. Its cursor is given by the plan.
    stored: StoredEvent,
    payload: String,
    row: OrderRow,
    key: Option<IdempotencyKey>,
    reservation: Option<Reservation>,
    attempt: Option<AttemptColumns>,
    outcome: Option<AttemptOutcome>,
}

/// What became of an order's newest signature. The earlier ones are settled: at most one is ever alive.
#[derive(Debug, Serialize)]
pub(super) struct AttemptOutcome {
    order_id: String,
    n: u8,
    outcome: &'static str,
    slot: Option<Slot>,
}

impl EventChange {
    pub(super) fn created(order: &Order, key: Option<&IdempotencyKey>) -> Result<Self, StoreError> {
        Ok(Self { key: key.cloned(), ..Self::new(order, &OrderEvent::Created)? })
    }

    pub(super) fn appended(
        order: &Order,
        event: &OrderEvent,
        reservation: Option<&Reservation>,
    ) -> Result<Self, StoreError> {
        let attempt = match event {
            OrderEvent::Signed { attempt } => Some(AttemptColumns::new(order.id, attempt, order.updated_at)),
            _ => None,
        };
        let outcome = match event {
            OrderEvent::Landed { landing, .. } => Some(("landed", Some(landing.slot))),
            OrderEvent::Rejected { landing, .. } => Some(("rejected", Some(landing.slot))),
            OrderEvent::Expired { .. } => Some(("expired", None)),
            OrderEvent::ChainReset => Some(("chain_reset", None)),
            _ => None,
        };
        let outcome = outcome.map(|(outcome, slot)| AttemptOutcome {
            order_id: order.id.to_string(),
            n: order.signatures,
            outcome,
            slot,
        });
        Ok(Self { reservation: reservation.copied(), attempt, outcome, ..Self::new(order, event)? })
    }

    fn new(order: &Order, event: &OrderEvent) -> Result<Self, StoreError> {
        let (event, payload) = stored_form(event)?;
        let stored = StoredEvent {
            cursor: 0,
            order_id: order.id,
            seq: order.version,
            status: order.status.name(),
            token_in: order.token_in.symbol.clone(),
            token_out: order.token_out.symbol.clone(),
            at: stored_time(order.updated_at),
            event,
        };
        let row = OrderRow::new(order);
        Ok(Self { stored, payload, row, key: None, reservation: None, attempt: None, outcome: None })
    }
}

/// What became of a write.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The event is stored.
    Stored(Box<StoredEvent>),
    /// The idempotency key was used before; nothing is stored.
    KeyUsed(Creation),
    /// The fact is stored.
    Remembered,
}

/// What the plan must know of the database, as of now, inside the transaction.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The newest event's cursor.
    pub cursor: u64,
    /// Of the orders named by [`Wanted::orders`], those that exist.
    pub orders: HashMap<OrderId, KnownOrder>,
    /// Of the keys named by [`Wanted::keys`], those that were used: body and order.
    pub keys: HashMap<String, (Vec<u8>, OrderId)>,
    /// Promises of the wallets in [`Wanted::wallets`] to orders that are not in this group: those of open orders, which
    /// may come as sums per mint, and each one that ended after [`Wanted::ended_after`].
    pub promises: Vec<Promise>,
}

/// An order as the database has it before the group.
#[derive(Debug, Default)]
pub(super) struct KnownOrder {
    pub version: u64,
    pub promise: Option<Promise>,
}

/// What a wallet has promised.
#[derive(Debug)]
pub(super) struct Promise {
    pub wallet: String,
    pub mint: String,
    pub amount: u128,
    pub lamports: u128,
    /// The last cursor of an order that is terminal.
    pub ended_at: Option<u64>,
}

impl Promise {
    /// Whether the balance that was read after `as_of` may not show this yet.
    fn counts(&self, as_of: u64) -> bool {
        self.ended_at.is_none_or(|ended_at| ended_at > as_of)
    }
}

/// What a group needs to know.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub orders: Vec<OrderId>,
    pub keys: Vec<String>,
    pub wallets: Vec<String>,
    /// The oldest `as_of` of the group's reservations.
    pub ended_after: u64,
}

impl Wanted {
    pub(super) fn by(changes: &[Change]) -> Self {
        let mut wanted = Self { ended_after: u64::MAX, ..Self::default() };
        for change in changes {
            let Change::Event(change) = change else { continue };
            wanted.orders.push(change.stored.order_id);
            wanted.keys.extend(change.key.iter().map(|key| key.key.clone()));
            if let Some(reservation) = &change.reservation {
                wanted.wallets.push(reservation.wallet.to_string());
                wanted.ended_after = wanted.ended_after.min(reservation.as_of);
            }
        }
        wanted.orders.sort_unstable();
        wanted.orders.dedup();
        wanted.wallets.sort_unstable();
        wanted.wallets.dedup();
        wanted
    }
}

/// The rows to store, and the answer to every write of the group in its order.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    pub answers: Vec<Result<Outcome, StoreError>>,
    pub orders: Vec<PlannedOrder<'a>>,
    pub events: Vec<PlannedEvent<'a>>,
    pub attempts: Vec<&'a AttemptColumns>,
    pub outcomes: Vec<&'a AttemptOutcome>,
    pub keys: Vec<PlannedKey<'a>>,
    pub facts: Vec<PlannedFact<'a>>,
}

impl Plan<'_> {
    /// The statements to run, in an order that satisfies their references, each with its rows.
    pub(super) fn statements<'s>(&self, statements: &'s Statements) -> Vec<(&'s str, String)> {
        let mut filled = Vec::new();
        let mut add = |statement, rows: Option<String>| filled.extend(rows.map(|rows| (statement, rows)));
        add(statements.orders.as_str(), rows(&self.orders));
        add(&statements.events, rows(&self.events));
        add(&statements.attempts, rows(&self.attempts));
        add(statements.outcomes, rows(&self.outcomes));
        add(&statements.keys, rows(&self.keys));
        add(&statements.facts, rows(&self.facts));
        filled
    }
}

/// Rows as the parameter of their statement; nothing when there are none.
fn rows<T: Serialize>(rows: &[T]) -> Option<String> {
    (!rows.is_empty()).then(|| json(&rows))
}

/// An order's row as the group leaves it.
#[derive(Debug, Serialize)]
pub(super) struct PlannedOrder<'a> {
    #[serde(flatten)]
    row: &'a OrderRow,
    last_cursor: u64,
    /// Absent: the row keeps the promise it has.
    #[serde(flatten)]
    promise: Option<PromiseColumns>,
}

/// A row of the history.
#[derive(Debug, Serialize)]
pub(super) struct PlannedEvent<'a> {
    cursor: u64,
    order_id: &'a str,
    seq: u64,
    status: Status,
    event: &'static str,
    payload: &'a str,
    created_at: String,
}

/// A row of the keys.
#[derive(Debug, Serialize)]
pub(super) struct PlannedKey<'a> {
    key: &'a str,
    body: String,
    order_id: &'a str,
    created_at: String,
}

/// A row of the facts.
#[derive(Debug, Serialize)]
pub(super) struct PlannedFact<'a> {
    name: &'a str,
    value: &'a str,
}

/// Decides a group: each write in its turn, as if the ones before it were stored already.
pub(super) fn plan(changes: &[Change], mut known: Known) -> Plan<'_> {
    let mut plan = Plan::default();
    let mut row_of = HashMap::new();
    let mut facts = BTreeMap::new();
    for change in changes {
        let answer = match change {
            Change::Fact { name, value } => {
                facts.insert(name.as_str(), value.as_str());
                Ok(Outcome::Remembered)
            }
            Change::Event(change) => match refusal(change, &known) {
                Some(refused) => refused,
                None => Ok(Outcome::Stored(Box::new(accept(change, &mut known, &mut plan, &mut row_of)))),
            },
        };
        plan.answers.push(answer);
    }
    plan.facts = facts.into_iter().map(|(name, value)| PlannedFact { name, value }).collect();
    plan
}

/// Why a write is not stored, if it is not.
fn refusal(change: &EventChange, known: &Known) -> Option<Result<Outcome, StoreError>> {
    if let Some(key) = &change.key
        && let Some((body, order)) = known.keys.get(&key.key)
    {
        let same = body.as_slice() == key.body.as_slice();
        return Some(Ok(Outcome::KeyUsed(if same {
            Creation::Existing(*order)
        } else {
            Creation::KeyConflict(*order)
        })));
    }
    let version = known.orders.get(&change.stored.order_id).map_or(0, |order| order.version);
    if version + 1 != change.stored.seq {
        return Some(Err(StoreError::VersionConflict));
    }
    let reservation = change.reservation.as_ref()?;
    let lacking = shortfall(reservation, change.stored.order_id, known)?;
    Some(Err(StoreError::ReservationRefused(lacking)))
}

/// Takes a write into the plan.
fn accept<'a>(
    change: &'a EventChange,
    known: &mut Known,
    plan: &mut Plan<'a>,
    row_of: &mut HashMap<OrderId, usize>,
) -> StoredEvent {
    known.cursor += 1;
    let stored = StoredEvent { cursor: known.cursor, ..change.stored.clone() };
    let created_at = time_text(stored.at);

    let order = known.orders.entry(stored.order_id).or_default();
    order.version = stored.seq;
    if let Some(reservation) = &change.reservation {
        order.promise = Some(Promise::of(reservation));
    }
    if let Some(promise) = &mut order.promise {
        promise.ended_at = stored.status.is_terminal().then_some(stored.cursor);
    }
    if let Some(key) = &change.key {
        known.keys.insert(key.key.clone(), (key.body.to_vec(), stored.order_id));
        plan.keys.push(PlannedKey {
            key: &key.key,
            body: hex(&key.body),
            order_id: &change.row.id,
            created_at: created_at.clone(),
        });
    }

    let mut row = PlannedOrder {
        row: &change.row,
        last_cursor: stored.cursor,
        promise: change.reservation.as_ref().map(PromiseColumns::new),
    };
    // One statement cannot write a row twice: the last event's row stands for all of the group's.
    match row_of.get(&stored.order_id) {
        Some(&at) => {
            let before = &mut plan.orders[at];
            row.promise = row.promise.or(before.promise.take());
            *before = row;
        }
        None => {
            row_of.insert(stored.order_id, plan.orders.len());
            plan.orders.push(row);
        }
    }
    plan.events.push(PlannedEvent {
        cursor: stored.cursor,
        order_id: &change.row.id,
        seq: stored.seq,
        status: stored.status,
        event: stored.event.name(),
        payload: &change.payload,
        created_at,
    });
    plan.attempts.extend(&change.attempt);
    plan.outcomes.extend(&change.outcome);
    stored
}

impl Promise {
    fn of(reservation: &Reservation) -> Self {
        Self {
            wallet: reservation.wallet.to_string(),
            mint: reservation.mint.to_string(),
            amount: reservation.amount.get().into(),
            lamports: reservation.lamports.get().into(),
            ended_at: None,
        }
    }
}

/// What a reservation lacks, if it lacks something.
fn shortfall(reservation: &Reservation, order: OrderId, known: &Known) -> Option<Shortfall> {
    let (wallet, mint) = (reservation.wallet.to_string(), reservation.mint.to_string());
    let of_group = known.orders.iter().filter(|(id, _)| **id != order).filter_map(|(_, other)| other.promise.as_ref());
    let others = known.promises.iter().chain(of_group);
    let (mut lamports, mut amount) = (0_u128, 0_u128);
    for promise in others.filter(|promise| promise.wallet == wallet && promise.counts(reservation.as_of)) {
        lamports += promise.lamports;
        if promise.mint == mint {
            amount += promise.amount;
        }
    }
    let free = |balance: u64, promised: u128| {
        u64::try_from(u128::from(balance).saturating_sub(promised)).expect("no more than the balance, a u64")
    };
    let free_lamports = Lamports::new(free(reservation.balance_lamports.get(), lamports));
    if reservation.lamports > free_lamports {
        return Some(Shortfall::Lamports { needed: reservation.lamports, free: free_lamports });
    }
    let free_amount = BaseUnits::new(free(reservation.balance.get(), amount));
    (reservation.amount > free_amount).then_some(Shortfall::Tokens { needed: reservation.amount, free: free_amount })
}

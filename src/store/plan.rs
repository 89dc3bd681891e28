//! Plan: decides what becomes of every write of one group, and which rows that makes.
//!
//! Owns the compare-and-swap, the idempotency keys, the reservations and the numbering of events, once for both
//! databases. A write that is refused leaves the others of its group as they are. Pure: the backends load what it must
//! know and store what it decides, both inside one transaction that no other writer runs beside.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use time::OffsetDateTime;

use super::{
    PAUSED, Reservation, Shortfall, StoreError,
    cell::Cell,
    change::{AttemptOutcome, Change, EventChange, Outcome},
    known::{Known, Promise},
    marks::{PlannedMark, PlannedTakeUp, mark, take_up},
    rows::{AttemptColumns, FixedColumns, OrderRow, PromiseColumns},
    spending::Spend,
    statements::{Filled, Statements},
};
use crate::domain::{BaseUnits, Lamports, OrderId, Status, StoredEvent};

/// The rows to store, and the answer to every write of the group in its order.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    pub answers: Vec<Result<Outcome, StoreError>>,
    pub orders: Vec<PlannedOrder<'a>>,
    pub events: Vec<PlannedEvent<'a>>,
    pub attempts: Vec<&'a AttemptColumns>,
    pub outcomes: Vec<&'a AttemptOutcome>,
    pub marks: BTreeMap<OrderId, PlannedMark<'a>>,
    pub take_ups: BTreeMap<OrderId, PlannedTakeUp>,
    pub keys: Vec<PlannedKey<'a>>,
    pub facts: Vec<PlannedFact<'a>>,
}

impl Plan<'_> {
    /// The statements to run, in an order that satisfies their references, each with its rows, if it has any.
    pub(super) fn statements<'s>(&self, statements: &'s Statements) -> [Filled<'s, '_>; 9] {
        let (new, moved): (Vec<_>, Vec<_>) = self.orders.iter().partition(|order| order.fixed.is_some());
        [
            statements.orders.filled(new, |get, row| get(row)),
            statements.moves.filled(moved, |get, row| get(row)),
            statements.events.filled(&self.events, |get, row| get(row)),
            statements.attempts.filled(self.attempts.iter().copied(), |get, row| get(row)),
            statements.outcomes.filled(self.outcomes.iter().copied(), |get, row| get(row)),
            statements.marks.filled(self.marks.values(), |get, row| get(row)),
            statements.take_ups.filled(self.take_ups.values(), |get, row| get(row)),
            statements.keys.filled(&self.keys, |get, row| get(row)),
            statements.facts.filled(&self.facts, |get, row| get(row)),
        ]
    }
}

/// An order's row as the group leaves it.
#[derive(Debug)]
pub(super) struct PlannedOrder<'a> {
    pub row: &'a OrderRow,
    /// Of a row that is not there yet.
    fixed: Option<&'a FixedColumns>,
    pub last_cursor: u64,
    /// Absent: the row keeps the promise it has.
    promise: Option<PromiseColumns>,
}

impl PlannedOrder<'_> {
    /// A value of a row that is not there yet.
    pub(super) fn fixed<'r, T: Into<Cell<'r>>>(&'r self, get: fn(&'r FixedColumns) -> T) -> Cell<'r> {
        self.fixed.map(get).into()
    }

    /// A value of the promise.
    pub(super) fn promise<'r, T: Into<Cell<'r>>>(&'r self, get: fn(&'r PromiseColumns) -> T) -> Cell<'r> {
        self.promise.as_ref().map(get).into()
    }
}

/// A row of the history.
#[derive(Debug)]
pub(super) struct PlannedEvent<'a> {
    pub cursor: u64,
    pub order_id: OrderId,
    pub seq: u64,
    pub status: Status,
    pub event: &'static str,
    pub payload: &'a str,
    pub created_at: OffsetDateTime,
}

/// A row of the keys.
#[derive(Debug)]
pub(super) struct PlannedKey<'a> {
    pub key: &'a str,
    pub body: &'a [u8],
    pub order_id: OrderId,
    pub created_at: OffsetDateTime,
}

/// A row of the facts.
#[derive(Debug)]
pub(super) struct PlannedFact<'a> {
    pub name: &'a str,
    pub value: &'a str,
}

/// Decides a group: each write in its turn, as if the ones before it were stored already.
pub(super) fn plan(changes: &[Change], mut known: Known) -> Plan<'_> {
    let mut plan = Plan::default();
    let mut row_of = HashMap::new();
    let mut facts = BTreeMap::new();
    for change in changes {
        let answer = match change {
            Change::Fact { name, value } => {
                if name == PAUSED {
                    known.paused = !value.is_empty();
                }
                facts.insert(name.as_str(), value.as_str());
                Ok(Outcome::Remembered)
            }
            Change::Mark(change) => Ok(mark(change, &mut known, &mut plan)),
            Change::TakeUp { id, up } => Ok(take_up(*id, *up, &mut known, &mut plan)),
            // Nobody can have seen a mark of this very group: what comes after it is about an older version.
            Change::Event(change) if plan.marks.contains_key(&change.stored.order_id) => {
                Err(StoreError::VersionConflict)
            }
            Change::Event(change) => match refusal(change, &known) {
                Some(refused) => refused,
                None => Ok(Outcome::Stored(Arc::new(accept(change, &mut known, &mut plan, &mut row_of)))),
            },
        };
        if answer.is_err() {
            change.is_not_stored();
        }
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
        return Some(Ok(Outcome::KeyUsed(key.used_for(body, *order))));
    }
    if change.line.has_ended() {
        return Some(Err(StoreError::VersionConflict));
    }
    let version = known.orders.get(&change.stored.order_id).map_or(0, |order| order.version);
    if version + 1 != change.stored.seq {
        return Some(Err(StoreError::VersionConflict));
    }
    if change.attempt.is_some() && known.paused {
        return Some(Err(StoreError::Paused));
    }
    let reservation = change.reservation.as_ref()?;
    let lacking = shortfall(reservation, change.stored.order_id, known)
        .or_else(|| known.spending.exceeded(reservation, change.stored.order_id, change.stored.at))?;
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

    let order = known.orders.entry(stored.order_id).or_default();
    order.version = stored.seq;
    order.status = Some(stored.status);
    order.updated_at = Some(stored.at);
    order.has_work = change.row.has_work;
    order.is_aside = false;
    order.take_ups = 0;
    plan.take_ups.remove(&stored.order_id);
    if let Some(reservation) = &change.reservation {
        order.promise = Some(Promise::of(reservation));
        known.spending.group.insert(stored.order_id, Spend::of(reservation, stored.at));
    }
    if matches!(stored.status, Status::Failed | Status::Cancelled) {
        known.spending.group.remove(&stored.order_id);
    }
    if let Some(promise) = &mut order.promise {
        promise.ended_at = stored.status.is_terminal().then_some(stored.cursor);
    }
    if let Some(key) = &change.key {
        known.keys.insert(key.key.clone(), (key.body.to_vec(), stored.order_id));
        plan.keys.push(PlannedKey { key: &key.key, body: &key.body, order_id: stored.order_id, created_at: stored.at });
    }

    let mut row = PlannedOrder {
        row: &change.row,
        fixed: change.fixed.as_ref(),
        last_cursor: stored.cursor,
        promise: change.reservation.as_ref().map(|it| PromiseColumns::new(it, stored.at)),
    };
    // One statement cannot write a row twice: the last event's row stands for all of the group's.
    match row_of.get(&stored.order_id) {
        Some(&at) => {
            let before = &mut plan.orders[at];
            row.promise = row.promise.or(before.promise.take());
            row.fixed = row.fixed.or(before.fixed);
            *before = row;
        }
        None => {
            row_of.insert(stored.order_id, plan.orders.len());
            plan.orders.push(row);
        }
    }
    plan.events.push(PlannedEvent {
        cursor: stored.cursor,
        order_id: stored.order_id,
        seq: stored.seq,
        status: stored.status,
        event: stored.event.name(),
        payload: &change.payload,
        created_at: stored.at,
    });
    plan.attempts.extend(&change.attempt);
    plan.outcomes.extend(&change.outcome);
    stored
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

#[cfg(test)]
mod tests {
    use super::super::Creation;
    use super::*;
    use crate::{
        domain::{ErrorCode, Failure, HourCaps, Order, OrderEvent, samples},
        store::{IdempotencyKey, known::KnownOrder},
    };
    use solana_sdk::pubkey::Pubkey;

    fn order() -> Order {
        samples::order(OffsetDateTime::UNIX_EPOCH)
    }

    fn create(order: &Order, key: Option<&IdempotencyKey>) -> Change {
        Change::Event(Box::new(EventChange::created(order, key).unwrap()))
    }

    fn append(order: &mut Order, event: &OrderEvent, reservation: Option<&Reservation>) -> Change {
        order.apply(event, OffsetDateTime::UNIX_EPOCH).unwrap();
        Change::Event(Box::new(EventChange::appended(order, event, reservation).unwrap()))
    }

    fn lamports(wallet: Pubkey, lamports: u64, as_of: u64) -> Reservation {
        Reservation {
            wallet,
            mint: Pubkey::default(),
            amount: BaseUnits::ZERO,
            lamports: Lamports::new(lamports),
            balance: BaseUnits::ZERO,
            balance_lamports: Lamports::new(100),
            as_of,
            spends: BaseUnits::ZERO,
            caps: HourCaps::default(),
        }
    }

    #[test]
    fn a_write_sees_the_ones_before_it_in_its_group() {
        let mut first = order();
        let mut stale = first.clone();
        let key = IdempotencyKey { key: "k".into(), body: [1; 32] };
        let other_body = IdempotencyKey { body: [2; 32], ..key.clone() };
        let changes = [
            create(&first, Some(&key)),
            append(&mut first, &OrderEvent::Claimed, None),
            append(&mut stale, &OrderEvent::Cancelled, None),
            create(&order(), Some(&key)),
            create(&order(), Some(&other_body)),
        ];
        let plan = plan(&changes, Known { cursor: 41, ..Known::default() });
        let id = first.id;
        assert!(matches!(&plan.answers[0], Ok(Outcome::Stored(event)) if event.cursor == 42));
        assert!(matches!(&plan.answers[1], Ok(Outcome::Stored(event)) if event.cursor == 43 && event.seq == 2));
        assert!(matches!(&plan.answers[2], Err(StoreError::VersionConflict)));
        assert!(matches!(&plan.answers[3], Ok(Outcome::KeyUsed(Creation::Existing(order))) if *order == id));
        assert!(matches!(&plan.answers[4], Ok(Outcome::KeyUsed(Creation::KeyConflict(order))) if *order == id));
        assert_eq!((plan.orders.len(), plan.events.len(), plan.keys.len()), (1, 2, 1), "one row for one order");
        assert_eq!(plan.orders[0].last_cursor, 43);
    }

    #[test]
    fn promises_of_one_group_add_up() {
        let wallet = Pubkey::new_unique();
        let [mut first, mut second, mut third] = [order(), order(), order()];
        let known_order = |order: &Order| (order.id, KnownOrder { version: 1, ..KnownOrder::default() });
        let known = Known {
            cursor: 9,
            orders: [&first, &second, &third].map(known_order).into(),
            promises: vec![
                Promise::of(&lamports(wallet, 30, 0)),
                Promise { ended_at: Some(8), ..Promise::of(&lamports(wallet, 20, 0)) },
                Promise::of(&lamports(Pubkey::new_unique(), 1_000, 0)),
            ],
            ..Known::default()
        };
        let failed = OrderEvent::Failed { failure: Failure::new(ErrorCode::NoRoute, "none") };
        let changes = [
            append(&mut first, &OrderEvent::Claimed, Some(&lamports(wallet, 40, 7))),
            append(&mut second, &OrderEvent::Claimed, Some(&lamports(wallet, 40, 7))),
            append(&mut first, &failed, None),
            append(&mut third, &OrderEvent::Claimed, Some(&lamports(wallet, 30, 8))),
        ];
        let plan = plan(&changes, known);
        assert!(plan.answers[0].is_ok(), "30 open, 20 that ended after 7, and 40 are 90");
        let lacks = Shortfall::Lamports { needed: Lamports::new(40), free: Lamports::new(10) };
        assert!(matches!(&plan.answers[1], Err(StoreError::ReservationRefused(lacking)) if *lacking == lacks));
        assert!(plan.answers[2].is_ok());
        assert!(plan.answers[3].is_ok(), "30 open, 40 that ended after 8, and 30 are 100");
        assert!(plan.orders[0].promise.is_some(), "the row of its last event keeps the order's promise");
    }
}

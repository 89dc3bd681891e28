//! When two nodes are needed to call a signature dead, and what one of them alone can do.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use serde_json::{Value, json};
use solana_sdk::{hash::Hash, pubkey::Pubkey, signature::Signature};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    chain::rpc::node_stub::{Node, Reply, over},
    domain::{Attempt, BaseUnits, Commitment, Lamports, Slot, VenueId},
};

const BOUND: u64 = 150;
const SLOT: u64 = 1_000;

/// What a node says of the one signature.
#[derive(Clone, Copy)]
enum Says {
    /// Absent, at this slot.
    Absent(u64),
    /// In a block, at this slot.
    Landed(u64),
    /// Absent, and the finalized height is still the last valid one.
    AtItsBound,
    /// In a block that may be dropped, with an error.
    Forked,
    /// That it keeps no history.
    NoHistory,
    /// Nothing.
    Silence,
}

fn node(says: Says) -> impl FnMut(&str, &Value) -> Reply {
    move |method, _| {
        let states = |slot: u64, state: Value| Reply::Result(json!({"context": {"slot": slot}, "value": [state]}));
        match (method, says) {
            (_, Says::Silence) => Reply::Silence,
            ("getBlockHeight", Says::AtItsBound) => Reply::Result(json!(BOUND)),
            ("getBlockHeight", _) => Reply::Result(json!(BOUND + 1)),
            ("getSlot", _) => Reply::Result(json!(SLOT)),
            (_, Says::NoHistory) => Reply::Error(-32011),
            (_, Says::AtItsBound) => states(SLOT, Value::Null),
            (_, Says::Absent(slot)) => states(slot, Value::Null),
            (_, Says::Forked) => states(
                SLOT,
                json!({"slot": SLOT, "confirmations": 0, "err": "AccountInUse", "status": {"Err": "AccountInUse"},
                    "confirmationStatus": "processed"}),
            ),
            (_, Says::Landed(slot)) => states(
                slot,
                json!({"slot": 900, "confirmations": null, "err": null, "status": {"Ok": null},
                    "confirmationStatus": "finalized"}),
            ),
        }
    }
}

fn attempt() -> Attempt {
    Attempt {
        n: 1,
        signature: Signature::from([7; 64]),
        wallet: Pubkey::default(),
        blockhash: Hash::default(),
        last_valid_block_height: BlockHeight(BOUND),
        context_slot: Slot(800),
        venue: VenueId::RaydiumCpmm,
        pool: Pubkey::default(),
        quoted_in: BaseUnits::new(1),
        quoted_out: BaseUnits::new(1),
        limit: BaseUnits::new(1),
        compute_units: 1,
        priority_fee: Lamports::new(0),
        wire: Arc::new([1]),
    }
}

impl ConfirmerTask {
    /// One search from its beginning to its end.
    async fn look(&mut self) {
        self.search();
        let found = self.searches.join_next().await.unwrap().unwrap();
        self.weigh_all(found);
    }
}

/// What one look makes of a dead-looking signature with these nodes, and the look after they said something else.
async fn looks(first: &[Says], then: &[Says]) -> (Option<Report>, Option<Report>) {
    let mut nodes = Vec::new();
    for says in first {
        nodes.push(Node::start(node(*says)).await);
    }
    // The first poll of statuses must find nothing: it is the evidence that is looked at here.
    let rpc = Arc::new(over(&nodes.iter().collect::<Vec<_>>(), Duration::from_secs(1)));
    let settings = Settings {
        poll: Duration::from_millis(1),
        height_poll: Duration::ZERO,
        rebroadcast: Duration::from_secs(60),
        rebroadcast_per_attempt: Duration::ZERO,
        unknown_after: Duration::from_secs(60),
    };
    let (confirmer, mut task) = Confirmer::new(rpc.clone(), Arc::new(Tip::new(rpc)), settings);
    let mut watch = confirmer.watch(attempt(), true).await.unwrap();
    let arrival = task.arrivals.recv().await.unwrap();
    task.in_flight.insert(arrival.attempt.signature, arrival);
    task.look().await;
    let before = watch.next().now_or_never().flatten();
    for (at, says) in then.iter().enumerate() {
        nodes[at].now(node(*says));
    }
    let shutdown = CancellationToken::new();
    let after = match before {
        Some(_) => None,
        None if then.is_empty() => None,
        None => {
            let running = tokio::spawn(task.run(shutdown.clone()));
            let report = watch.next().await;
            shutdown.cancel();
            running.await.unwrap();
            report
        }
    };
    (before, after)
}

fn witnesses(report: Option<Report>) -> (u8, Slot) {
    match report {
        Some(Report::Expired(proof)) => (proof.witnesses, proof.searched_at),
        other => panic!("{other:?}"),
    }
}

/// E.14, 1.
#[tokio::test]
async fn at_its_last_valid_height_a_signature_lives_and_one_above_it_is_dead() {
    let (before, after) = looks(&[Says::AtItsBound], &[Says::Absent(SLOT)]).await;
    assert_eq!(before, None);
    assert_eq!(witnesses(after), (1, Slot(SLOT)));
}

/// E.14, 2.
#[tokio::test]
async fn one_endpoint_proves_absence_at_the_heights_slot_and_not_before() {
    let (before, after) = looks(&[Says::Absent(SLOT - 1)], &[Says::Absent(SLOT)]).await;
    assert_eq!(before, None);
    assert_eq!(witnesses(after), (1, Slot(SLOT)));
}

#[tokio::test]
async fn two_endpoints_prove_it_together_and_are_named_in_the_proof() {
    let (before, _) = looks(&[Says::Absent(SLOT + 3), Says::Absent(SLOT)], &[]).await;
    let Some(Report::Expired(proof)) = &before else { panic!("{before:?}") };
    assert_eq!(proof.finalized_slot, Some(Slot(SLOT)));
    let mut slots: Vec<Slot> = proof.absences.iter().map(|absence| absence.context_slot).collect();
    slots.sort_unstable();
    assert_eq!(slots, [Slot(SLOT), Slot(SLOT + 3)]);
    let names: std::collections::BTreeSet<&str> = proof.absences.iter().map(|it| it.endpoint.as_str()).collect();
    assert!(names.len() == 2 && names.iter().all(|name| name.starts_with("127.0.0.1")), "{names:?}");
    assert_eq!(witnesses(before), (2, Slot(SLOT)));
}

#[tokio::test]
async fn a_second_endpoint_that_lags_or_is_silent_proves_nothing() {
    for second in [Says::Absent(SLOT - 1), Says::Silence] {
        for both in [[Says::Absent(SLOT), second], [second, Says::Absent(SLOT)]] {
            let (before, after) = looks(&both, &[Says::Absent(SLOT), Says::Absent(SLOT)]).await;
            assert_eq!(before, None);
            assert_eq!(witnesses(after), (2, Slot(SLOT)), "once it has caught up");
        }
    }
}

/// E.14, 3, beyond expiry.
#[tokio::test]
async fn what_one_endpoint_hides_the_other_tells() {
    for both in [[Says::Absent(SLOT), Says::Landed(SLOT)], [Says::Landed(SLOT - 200), Says::Absent(SLOT)]] {
        let Some(Report::Landed { slot, answer }) = looks(&both, &[]).await.0 else { panic!("it landed") };
        assert_eq!((slot, answer.confirmation_status, answer.err), (Slot(900), Commitment::Finalized, None));
    }
}

#[tokio::test]
async fn two_of_three_are_enough() {
    let (before, _) = looks(&[Says::Absent(SLOT), Says::Absent(SLOT - 9), Says::Absent(SLOT)], &[]).await;
    assert_eq!(witnesses(before), (2, Slot(SLOT)));
}

/// E.14, 10.
#[tokio::test]
async fn an_error_at_processed_is_neither_a_landing_nor_an_absence() {
    let (before, after) = looks(&[Says::Forked], &[Says::Absent(SLOT)]).await;
    assert_eq!(before, None);
    assert_eq!(witnesses(after), (1, Slot(SLOT)), "once the fork is dropped");
}

/// E.14, 13.
#[tokio::test]
async fn an_endpoint_without_history_proves_no_absence() {
    let (before, after) = looks(&[Says::NoHistory], &[Says::Absent(SLOT)]).await;
    assert_eq!(before, None);
    assert_eq!(witnesses(after), (1, Slot(SLOT)));
}

#[tokio::test]
async fn a_silent_witness_does_not_keep_the_polls_from_seeing_a_landing() {
    let (first, second) = (Node::start(node(Says::Absent(SLOT))).await, Node::start(node(Says::Silence)).await);
    let long = Duration::from_secs(60);
    let rpc = Arc::new(over(&[&first, &second], long));
    let settings = Settings {
        poll: Duration::from_millis(1),
        height_poll: Duration::ZERO,
        rebroadcast: long,
        rebroadcast_per_attempt: Duration::ZERO,
        unknown_after: long,
    };
    let (confirmer, task) = Confirmer::new(rpc.clone(), Arc::new(Tip::new(rpc)), settings);
    let mut watch = confirmer.watch(attempt(), true).await.unwrap();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(task.run(shutdown.clone()));
    second.asked_times(1).await;
    first.now(node(Says::Landed(SLOT)));
    let report = tokio::time::timeout(long / 2, watch.next()).await.expect("a report although a witness is silent");
    assert!(matches!(report, Some(Report::Landed { slot: Slot(900), answer }) if answer.err.is_none()));
    shutdown.cancel();
    running.await.unwrap();
}

/// A confirmer that nobody runs, over one node.
fn idle(node: &Node) -> ConfirmerTask {
    let rpc = Arc::new(over(&[node], Duration::from_secs(60)));
    let settings = Settings {
        poll: Duration::from_secs(1),
        height_poll: Duration::ZERO,
        rebroadcast: Duration::from_secs(60),
        rebroadcast_per_attempt: Duration::ZERO,
        unknown_after: Duration::from_secs(60),
    };
    Confirmer::new(rpc.clone(), Arc::new(Tip::new(rpc)), settings).1
}

/// The attempt as it is handed in after its first send.
fn just_sent() -> InFlight {
    InFlight::new(attempt().into(), true).0
}

#[tokio::test(start_paused = true)]
async fn a_hint_hurries_the_poll_only_for_what_is_in_flight_also_when_it_came_first() {
    let mut task = idle(&Node::always(Reply::Silence).await);
    let (usual, early) = (task.last_poll + task.settings.poll, task.last_poll + task.early_poll());
    let hint = Hint::Of(attempt().signature);

    task.take_up(just_sent());
    assert_eq!(task.next_poll, usual, "sent a moment ago, it is in no block yet");
    task.hear(Hint::Of(Signature::from([8; 64])));
    assert_eq!(task.next_poll, usual, "somebody else's, or one that has been seen in its block");
    task.hear(hint);
    assert_eq!(task.next_poll, early);

    let mut task = idle(&Node::always(Reply::Silence).await);
    task.hear(hint);
    task.take_up(just_sent());
    assert_eq!(task.next_poll, early, "the socket was quicker than the answer to the send");

    let mut task = idle(&Node::always(Reply::Silence).await);
    task.hear(hint);
    for _ in 0..EARLY_HINTS {
        task.hear(Hint::Of(Signature::from([9; 64])));
    }
    task.take_up(just_sent());
    assert_eq!(task.next_poll, early, "another one that many tell of takes one place");
    assert_eq!(task.early, [Signature::from([9; 64])], "what was taken up needs none any more");

    let mut task = idle(&Node::always(Reply::Silence).await);
    task.take_up(just_sent());
    task.hear(Hint::Anything);
    assert_eq!(task.next_poll, early, "nobody listened for a while");
}

#[tokio::test(start_paused = true)]
async fn the_finalized_height_is_not_asked_for_while_it_cannot_have_passed_a_bound() {
    const BLOCK: Duration = Duration::from_millis(200);
    let start = Instant::now();
    let node = Node::start(move |_, _| {
        let height = start.elapsed().as_millis() / BLOCK.as_millis();
        Reply::Result(json!({"context": {"slot": SLOT}, "value": {
            "blockhash": Hash::default().to_string(), "lastValidBlockHeight": height,
        }}))
    })
    .await;
    let mut task = idle(&node);
    task.take_up(just_sent());
    task.finalized = Some((BlockHeight(BOUND - 60), Instant::now()));
    assert!(task.may_have_expired(), "nobody knows yet how fast blocks come");
    while task.tip.block_time().is_none() {
        task.tip.blockhash().await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    task.finalized = Some((BlockHeight(BOUND - 60), Instant::now()));
    assert!(!task.may_have_expired());
    tokio::time::advance(BLOCK * 28).await;
    assert!(!task.may_have_expired());
    tokio::time::advance(BLOCK * 4).await;
    assert!(task.may_have_expired(), "if blocks came twice as fast as they were measured to");
}

#[tokio::test(start_paused = true)]
async fn a_block_time_that_was_measured_over_a_standstill_does_not_put_off_the_search() {
    let mut task = idle(&Node::always(Reply::Silence).await);
    task.take_up(just_sent());
    task.tip.saw_finalized(BlockHeight(1), Instant::now());
    tokio::time::advance(Duration::from_secs(3_600)).await;
    task.tip.saw_finalized(BlockHeight(BOUND - 60), Instant::now());
    assert!(task.tip.block_time() > Some(Duration::from_secs(30)));
    task.finalized = Some((BlockHeight(BOUND - 60), Instant::now()));
    tokio::time::advance(SLOWEST_BLOCK * 60 / 2).await;
    assert!(task.may_have_expired());
}

//! The confirmer behind the proxy: whatever network and nodes do, an attempt gets the verdict that is true.
//!
//! The numbers are those of the landing reference's list of tests (E.14).

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use serde_json::json;
use solana_sdk::pubkey::Pubkey;
use swapd::{
    chain::{Confirmer, Report, SendAnswer, Tip, Watch, confirmer::Settings, push::Push},
    chaos::{Fault, Refusal, Rule, When, Which},
    domain::Attempt,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{MOVED, Scene};
use crate::support::{eventually, within_patience};

/// At 20 ms a slot a blockhash dies within 3 s.
const QUICK: Duration = Duration::from_millis(20);
/// A blockhash lives for 15 s: nothing expires meanwhile.
const SLOW: Duration = Duration::from_millis(100);

const SETTINGS: Settings = Settings {
    poll: Duration::from_millis(20),
    height_poll: Duration::from_millis(30),
    rebroadcast: Duration::from_millis(100),
    rebroadcast_per_attempt: Duration::ZERO,
    unknown_after: Duration::from_secs(60),
};

/// An attempt on its way: the confirmer's tasks end with it.
struct Flight {
    attempt: Attempt,
    to: Pubkey,
    watch: Watch,
    sent: bool,
    _tasks: JoinSet<()>,
}

impl Flight {
    /// As the executor does it: subscribe, send once, then hand over.
    async fn start(scene: &Scene, settings: Settings) -> Self {
        let (attempt, to) = scene.transfer().await;
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let tip = Arc::new(Tip::new(scene.rpc.clone()));
        let (confirmer, task) = Confirmer::new(scene.rpc.clone(), tip.clone(), settings);
        tasks.spawn(task.run(shutdown.clone()));
        let (push, task) = Push::new(scene.chaos.ws_url(), tip, confirmer.hints());
        tasks.spawn(task.run(shutdown));
        push.subscribe(attempt.signature);
        eventually("the subscription", || async {
            if scene.calls("signatureSubscribe") > 0 { Ok(()) } else { Err(()) }
        })
        .await;
        let answer = scene.rpc.send(&attempt.wire, attempt.context_slot).await;
        let sent = matches!(answer, Ok(SendAnswer::Accepted | SendAnswer::AlreadyProcessed));
        let watch = confirmer.watch(attempt.clone(), sent).await.unwrap();
        // The tasks hold on to it: the loop ends when all handles are gone.
        tasks.spawn(async move {
            let _handles = (confirmer, push);
            std::future::pending::<()>().await;
        });
        Self { attempt, to, watch, sent, _tasks: tasks }
    }

    /// The next report.
    async fn report(&mut self) -> Report {
        within_patience("a report", self.watch.next()).await.unwrap()
    }

    /// No report has come until now.
    fn is_silent(&mut self) -> bool {
        self.watch.next().now_or_never().is_none()
    }

    /// The first report is that it landed, and it landed once.
    async fn lands_once(&mut self, scene: &Scene) {
        let report = self.report().await;
        assert!(matches!(&report, Report::Landed { answer, .. } if answer.err.is_none()), "{report:?}");
        assert_eq!(scene.world.lamports(&self.to).await, MOVED);
    }

    /// The next report is that it expired, with a proof that holds against the chain itself.
    async fn expires(&mut self, scene: &Scene) {
        let Report::Expired(proof) = self.report().await else { panic!("no proof of expiry") };
        assert_eq!(proof.signature, self.attempt.signature);
        assert!(proof.finalized_height > self.attempt.last_valid_block_height);
        assert!(scene.world.rpc.finalized_tip().await.unwrap().height >= proof.finalized_height);
        assert_eq!(scene.world.lamports(&self.to).await, 0);
    }

    /// Waits until the chain itself has finalized more blocks than the attempt can live.
    async fn is_dead(&self, scene: &Scene) {
        eventually("the blockhash to die", || async {
            let height = scene.truly_finalized("getBlockHeight").await;
            if height > self.attempt.last_valid_block_height.0 { Ok(()) } else { Err(()) }
        })
        .await;
    }
}

/// Waits for this many more calls.
async fn calls(scene: &Scene, method: &str, more: u64) {
    let before = scene.calls(method);
    eventually("more calls", || async { if scene.calls(method) >= before + more { Ok(()) } else { Err(()) } }).await;
}

/// E.14, 2.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_behind_the_heights_slot_proves_no_expiry() {
    let scene = Scene::start(QUICK).await;
    scene.fault(Fault::Swallow);
    let lag = scene.rule(Rule::new(Fault::Lag { slots: 1_000 }).on(&["getSignatureStatuses"]));
    let mut flight = Flight::start(&scene, SETTINGS).await;
    flight.is_dead(&scene).await;
    calls(&scene, "getSlot", 5).await;
    calls(&scene, "getSignatureStatuses", 5).await;
    assert!(flight.is_silent(), "absent on a node that cannot know yet");
    scene.chaos.remove(lag);
    flight.expires(&scene).await;
}

/// E.14, 3. A node that hides beyond expiry lies; only a second endpoint could tell.
#[tokio::test(flavor = "multi_thread")]
async fn what_landed_but_was_hidden_is_reported_as_landed_when_it_shows() {
    let scene = Scene::start(SLOW).await;
    let hidden = scene.fault(Fault::Hide { signatures: Vec::new() });
    let mut flight = Flight::start(&scene, SETTINGS).await;
    assert!(flight.sent);
    calls(&scene, "getSignatureStatuses", 10).await;
    assert_eq!(scene.world.lamports(&flight.to).await, MOVED, "it has landed");
    assert!(flight.is_silent());
    scene.chaos.remove(hidden);
    flight.lands_once(&scene).await;
}

/// E.14, 4: the genuine answer, to a first send that arrived twice.
#[tokio::test(flavor = "multi_thread")]
async fn already_processed_on_the_first_send_is_the_way_to_landed() {
    let scene = Scene::start(SLOW).await;
    scene.rule(Rule::new(Fault::Duplicate { answer: Which::Second }).on(&["sendTransaction"]).when(When::Once));
    let mut flight = Flight::start(&scene, SETTINGS).await;
    assert!(flight.sent, "already processed is as good as accepted");
    flight.lands_once(&scene).await;
}

/// E.14, 4: a claim that is not true ends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn already_processed_on_later_sends_does_not_end_the_sending() {
    for refusal in [Refusal::AlreadyProcessed, Refusal::AlreadyProcessedText] {
        let scene = Scene::start(SLOW).await;
        scene.rule(Rule::new(Fault::Swallow).when(When::Once));
        scene.rule(Rule::new(Fault::Refuse(refusal)).when(When::Times(3)));
        let mut flight = Flight::start(&scene, SETTINGS).await;
        flight.lands_once(&scene).await;
        assert!(scene.calls("sendTransaction") >= 4);
    }
}

/// E.14, 5.
#[tokio::test(flavor = "multi_thread")]
async fn a_height_that_goes_back_between_reads_makes_no_false_proof() {
    let scene = Scene::start(QUICK).await;
    scene.fault(Fault::Swallow);
    scene.rule(Rule::new(Fault::HeightBack { by: 50 }).when(When::Every(2)));
    let mut flight = Flight::start(&scene, SETTINGS).await;
    flight.expires(&scene).await;
    assert!(scene.befallen("getSlot") > 0);
}

/// E.14, 6.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_not_reached_the_slot_gets_the_bytes_again() {
    let scene = Scene::start(SLOW).await;
    scene.rule(Rule::new(Fault::Refuse(Refusal::MinContextSlot)).on(&["sendTransaction"]).when(When::Times(2)));
    let mut flight = Flight::start(&scene, SETTINGS).await;
    assert!(!flight.sent);
    flight.lands_once(&scene).await;
    assert_eq!(scene.befallen("sendTransaction"), 2);
}

/// E.14, 7.
#[tokio::test(flavor = "multi_thread")]
async fn a_429_with_and_without_retry_after_is_outlived() {
    for retry_after in [Some(1), None] {
        let scene = Scene::start(SLOW).await;
        let methods = ["sendTransaction", "getSignatureStatuses"];
        let limited = Rule::new(Fault::TooManyRequests { retry_after }).on(&methods).when(When::Times(2));
        scene.rule(limited);
        let mut flight = Flight::start(&scene, SETTINGS).await;
        flight.lands_once(&scene).await;
        assert_eq!(scene.chaos.counts().total().limited, 2);
    }
}

/// E.14, 8.
#[tokio::test(flavor = "multi_thread")]
async fn a_502_after_the_node_accepted_is_one_landing() {
    let scene = Scene::start(SLOW).await;
    scene.rule(Rule::new(Fault::AcceptThen502).on(&["sendTransaction"]).when(When::Once));
    let mut flight = Flight::start(&scene, SETTINGS).await;
    assert!(!flight.sent, "its outcome is unknown");
    flight.lands_once(&scene).await;
}

/// E.14, 9: late, lost, double, wrong, and before the send's answer.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_push_says_the_verdict_is_the_chains() {
    let late = Duration::from_millis(300);
    for fault in [
        Fault::LoseNotification,
        Fault::DoubleNotification,
        Fault::DelayNotification { min: late, max: late },
        Fault::WrongNotification { error: json!("BlockhashNotFound") },
        Fault::EarlyNotification { error: json!("BlockhashNotFound") },
        Fault::EarlyNotification { error: json!(null) },
        Fault::CutSockets,
    ] {
        let scene = Scene::start(SLOW).await;
        let early = matches!(fault, Fault::EarlyNotification { .. });
        let method = if early { "signatureSubscribe" } else { "signatureNotification" };
        scene.rule(Rule::new(fault).on(&[method]));
        let mut flight = Flight::start(&scene, SETTINGS).await;
        flight.lands_once(&scene).await;
        eventually("the fault", || async { if scene.befallen(method) > 0 { Ok(()) } else { Err(()) } }).await;
    }
}

/// E.14, 9: a push that succeeds too early, of a transaction that never lands.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_success_for_a_swallowed_send_is_no_landing() {
    let scene = Scene::start(QUICK).await;
    scene.fault(Fault::Swallow);
    scene.fault(Fault::EarlyNotification { error: json!(null) });
    let mut flight = Flight::start(&scene, SETTINGS).await;
    flight.expires(&scene).await;
}

/// E.14, 10.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_on_a_fork_that_is_dropped_is_no_rejection() {
    let scene = Scene::start(SLOW).await;
    let error = json!({"InstructionError": [0, {"Custom": 6005}]});
    let fork = scene.fault(Fault::ForkedError { error });
    let mut flight = Flight::start(&scene, SETTINGS).await;
    calls(&scene, "getSignatureStatuses", 10).await;
    assert!(flight.is_silent(), "processed decides nothing");
    scene.chaos.remove(fork);
    flight.lands_once(&scene).await;
}

/// E.14, 12.
#[tokio::test(flavor = "multi_thread")]
async fn while_finality_stands_still_nothing_expires() {
    let scene = Scene::start(QUICK).await;
    scene.fault(Fault::Swallow);
    let stopped = scene.fault(Fault::FinalityStops);
    scene.rpc.finalized_tip().await.unwrap(); // it stands still from here on
    let mut flight = Flight::start(&scene, SETTINGS).await;
    flight.is_dead(&scene).await;
    calls(&scene, "getSlot", 5).await;
    assert!(flight.is_silent());
    scene.chaos.remove(stopped);
    flight.expires(&scene).await;
}

/// E.14, 13.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_history_is_no_answer_and_proves_no_expiry() {
    let scene = Scene::start(QUICK).await;
    scene.fault(Fault::Swallow);
    let without = scene.fault(Fault::Refuse(Refusal::NoHistory));
    let mut flight = Flight::start(&scene, Settings { unknown_after: Duration::from_millis(50), ..SETTINGS }).await;
    let report = flight.report().await;
    assert!(matches!(report, Report::Unknown(_)), "{report:?}");
    flight.is_dead(&scene).await;
    calls(&scene, "getSlot", 5).await;
    assert!(flight.is_silent(), "unknown is said once, and nothing else");
    scene.chaos.remove(without);
    flight.expires(&scene).await;
}

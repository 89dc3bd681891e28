//! Sends that are held, late, or all lost, by signature.

use std::time::Duration;

use serde_json::json;
use swapd::chaos::{Fault, Lateness, Rule, When};

use super::{MOVED, Scene};
use crate::support::{eventually, within_patience};

/// At 20 ms a slot a blockhash dies within 3 s.
const SLOT: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_late_send_lands_as_many_slots_later() {
    let scene = Scene::start(SLOT).await;
    let (attempt, to) = scene.transfer().await;
    let before = scene.ask("getSlot", json!([{"commitment": "processed"}])).await.as_u64().unwrap();
    scene.fault(Fault::Late(Lateness::Slots { min: 30, max: 40 }));
    assert_eq!(scene.ask("sendTransaction", Scene::send_params(&attempt)).await, attempt.signature.to_string());
    within_patience("the landing", async {
        while scene.world.lamports(&to).await == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let landed = scene.ask("getSlot", json!([{"commitment": "processed"}])).await.as_u64().unwrap();
    assert!(landed >= before + 30, "from slot {before} to {landed}");
    eventually("the count", || async { if scene.chaos.counts().late == 1 { Ok(()) } else { Err(()) } }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_at_the_end_of_its_blockhash_lands_just_before_and_never_after() {
    for (at, lands) in [(-2, true), (0, false)] {
        let scene = Scene::start(SLOT).await;
        // A young chain's heights lag behind the lives of its blockhashes.
        eventually("finality", || async {
            if scene.truly_finalized("getBlockHeight").await > 0 { Ok::<_, ()>(()) } else { Err(()) }
        })
        .await;
        // The bound is known from the answer that passed here.
        let (attempt, to) = scene.transfer_over(scene.rpc.latest_blockhash().await.unwrap());
        scene.fault(Fault::Late(Lateness::Expiry { min: at, max: at }));
        scene.ask("sendTransaction", Scene::send_params(&attempt)).await;
        eventually("the delivery", || async { if scene.chaos.counts().late == 1 { Ok(()) } else { Err(()) } }).await;
        assert_eq!(scene.world.lamports(&to).await, if lands { MOVED } else { 0 }, "{at}");
        assert!(scene.truly_finalized("getBlockHeight").await < attempt.last_valid_block_height.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sends_of_a_transaction_have_one_fate() {
    let scene = Scene::start(Duration::from_millis(100)).await;
    scene.rule(Rule::new(Fault::Swallow).when(When::SignaturesPerMille(500)));
    let (mut lost, mut landed) = (0, 0);
    for _ in 0..20 {
        let (attempt, to) = scene.transfer().await;
        let befallen = scene.befallen("sendTransaction");
        for _ in 0..3 {
            scene.try_ask("sendTransaction", Scene::send_params(&attempt)).await.unwrap();
        }
        match scene.befallen("sendTransaction") - befallen {
            0 => landed += u32::from(scene.world.lamports(&to).await == MOVED),
            3 => lost += u32::from(scene.world.lamports(&to).await == 0),
            other => panic!("{other} of three sends were befallen"),
        }
    }
    assert!(lost + landed == 20 && lost > 0 && landed > 0, "{lost} lost, {landed} landed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_call_is_answered_when_its_rule_ends_and_dies_with_its_client() {
    let scene = Scene::start(Duration::from_millis(100)).await;
    let (attempt, to) = scene.transfer().await;
    let held = scene.fault(Fault::Hold { forward: false });
    let mut gone = Box::pin(scene.try_ask("sendTransaction", Scene::send_params(&attempt)));
    tokio::select! {
        said = &mut gone => panic!("answered: {}", said.unwrap().body),
        () = eventually("the hold", || async {
            if scene.befallen("sendTransaction") == 1 { Ok::<_, ()>(()) } else { Err(()) }
        }) => {}
    }
    drop(gone);
    let mut waiting = Box::pin(scene.ask("getSlot", json!([])));
    tokio::select! {
        slot = &mut waiting => panic!("answered: {slot}"),
        () = eventually("the hold", || async {
            if scene.befallen("getSlot") == 1 { Ok::<_, ()>(()) } else { Err(()) }
        }) => {}
    }
    scene.chaos.remove(held);
    assert!(within_patience("the answer", waiting).await.is_u64());
    assert_eq!(scene.world.lamports(&to).await, 0, "the client that went away took its send with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_answer_comes_after_the_node_has_the_call() {
    let scene = Scene::start(Duration::from_millis(100)).await;
    let (attempt, to) = scene.transfer().await;
    scene.rule(Rule::new(Fault::Hold { forward: true }).on(&["sendTransaction"]));
    let mut sending = Box::pin(scene.ask("sendTransaction", Scene::send_params(&attempt)));
    tokio::select! {
        _ = &mut sending => panic!("answered"),
        () = eventually("the landing", || async {
            if scene.world.lamports(&to).await == MOVED { Ok::<_, ()>(()) } else { Err(()) }
        }) => {}
    }
    scene.chaos.clear();
    assert_eq!(within_patience("the answer", sending).await, attempt.signature.to_string());
}

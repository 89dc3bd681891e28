//! Each fault of a call does what it says.

use std::time::Duration;

use serde_json::{Value, json};
use swapd::chaos::{Fault, Refusal, Rule, Seen, When, Which};

use super::{MOVED, Scene};
use crate::support::eventually;

const SLOT: Duration = Duration::from_millis(50);

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// Lands a transfer directly; its signature, once the chain has a status for it.
async fn landed(scene: &Scene) -> String {
    let (attempt, _) = scene.transfer().await;
    scene.world.rpc.send(&attempt.wire, attempt.context_slot).await.unwrap();
    eventually("the transfer to land", || async {
        let said = scene.world.rpc.signature_states(&[attempt.signature]).await.unwrap();
        if matches!(said.states[0], swapd::chain::SignatureState::Landed { .. }) { Ok(()) } else { Err(()) }
    })
    .await;
    attempt.signature.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_gets_no_answer_and_reaches_the_node_only_if_told_to() {
    let scene = Scene::start(SLOT).await;
    for (forward, seen) in [(false, Seen::Close), (true, Seen::Close), (true, Seen::Silence), (false, Seen::Silence)] {
        let rule = scene.rule(Rule::new(Fault::Drop { seen, forward }).on(&["sendTransaction"]));
        let (attempt, to) = scene.transfer().await;
        let send = scene.try_ask("sendTransaction", Scene::send_params(&attempt));
        match seen {
            Seen::Close => assert!(send.await.is_err(), "the connection ended"),
            Seen::Silence => assert!(tokio::time::timeout(Duration::from_millis(500), send).await.is_err()),
        }
        assert_eq!(scene.world.lamports(&to).await, if forward { MOVED } else { 0 });
        scene.chaos.remove(rule);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_call_is_answered_as_if_nothing_had_happened() {
    let scene = Scene::start(SLOT).await;
    scene.fault(Fault::Delay { min: Duration::from_millis(1), max: Duration::from_millis(30) });
    assert!(number(&scene.ask("getSlot", json!([{"commitment": "confirmed"}])).await) > 0);
    assert_eq!(scene.befallen("getSlot"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_reaches_the_node_twice_and_a_502_comes_after_the_node_accepted() {
    let scene = Scene::start(SLOT).await;
    let rule = scene.fault(Fault::Duplicate { answer: Which::Second });
    let (attempt, to) = scene.transfer().await;
    let said = scene.try_ask("sendTransaction", Scene::send_params(&attempt)).await.unwrap();
    assert_eq!(said.body["error"]["code"], -32002, "the node had it already: {}", said.body);
    assert_eq!(scene.world.lamports(&to).await, MOVED);
    scene.chaos.remove(rule);

    scene.fault(Fault::AcceptThen502);
    let (attempt, to) = scene.transfer().await;
    assert_eq!(scene.try_ask("sendTransaction", Scene::send_params(&attempt)).await.unwrap().status, 502);
    assert_eq!(scene.world.lamports(&to).await, MOVED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swallowed_send_is_answered_with_its_signature_and_never_lands() {
    let scene = Scene::start(SLOT).await;
    scene.fault(Fault::Swallow);
    let (attempt, to) = scene.transfer().await;
    let answer = scene.ask("sendTransaction", Scene::send_params(&attempt)).await;
    assert_eq!(answer, attempt.signature.to_string());
    let base58 = bs58::encode(&attempt.wire).into_string();
    assert_eq!(scene.ask("sendTransaction", json!([base58])).await, attempt.signature.to_string());
    assert_eq!(scene.world.lamports(&to).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_transaction_is_null_beside_others_until_it_is_shown_again() {
    let scene = Scene::start(SLOT).await;
    let (hidden, other) = (landed(&scene).await, landed(&scene).await);
    let rule = scene.fault(Fault::Hide { signatures: vec![hidden.clone()] });
    let ask = || scene.ask("getSignatureStatuses", json!([[hidden, other], {"searchTransactionHistory": true}]));
    let said = ask().await;
    assert!(said["value"][0].is_null() && said["value"][1].is_object(), "{said}");
    let options = json!({"encoding": "json", "commitment": "confirmed", "maxSupportedTransactionVersion": 1});
    assert!(scene.ask("getTransaction", json!([hidden, options])).await.is_null());
    assert!(scene.ask("getTransaction", json!([other, options])).await.is_object());
    scene.chaos.remove(rule);
    assert!(ask().await["value"][0].is_object());
    scene.fault(Fault::Hide { signatures: Vec::new() });
    assert!(ask().await["value"].as_array().unwrap().iter().all(Value::is_null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lagging_node_is_behind_in_everything_and_keeps_a_blockhash_with_its_own_bound() {
    let scene = Scene::start(SLOT).await;
    let confirmed = json!([{"commitment": "confirmed"}]);
    let early = scene.ask("getLatestBlockhash", confirmed.clone()).await;
    let signature = landed(&scene).await;
    let lag = 1_000_000;
    scene.fault(Fault::Lag { slots: lag });
    assert_eq!(scene.ask("getSlot", confirmed.clone()).await, 0);
    assert_eq!(scene.ask("getBlockHeight", confirmed.clone()).await, 0);
    assert_eq!(scene.ask("getEpochInfo", confirmed.clone()).await["blockHeight"], 0);
    let said = scene.ask("getSignatureStatuses", json!([[signature], {"searchTransactionHistory": true}])).await;
    assert!(said["value"][0].is_null() && said["context"]["slot"] == 0, "{said}");
    let options = json!({"encoding": "json", "commitment": "confirmed", "maxSupportedTransactionVersion": 1});
    assert!(scene.ask("getTransaction", json!([signature, options])).await.is_null());

    let demanded = json!([{"commitment": "confirmed", "minContextSlot": number(&early["context"]["slot"])}]);
    let said = scene.try_ask("getLatestBlockhash", demanded).await.unwrap();
    assert_eq!(said.body["error"]["code"], -32016);
    assert_eq!(said.body["error"]["data"]["contextSlot"], 0);

    scene.chaos.clear();
    // The slot of the early hash is at least this far back when the question reaches the node.
    eventually("the chain to go on", || async {
        let slot = scene.world.rpc.slot().await.unwrap().0;
        if slot > number(&early["context"]["slot"]) + 3 { Ok(()) } else { Err(()) }
    })
    .await;
    scene.fault(Fault::Lag { slots: 3 });
    let late = scene.ask("getLatestBlockhash", confirmed).await;
    assert_eq!(late["value"], early["value"], "the only hash that has passed by is that node's newest");
    assert!(number(&late["context"]["slot"]) >= number(&early["context"]["slot"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_height_goes_back_and_comes_forward_again() {
    let scene = Scene::start(SLOT).await;
    scene.rule(Rule::new(Fault::HeightBack { by: 1_000_000 }).when(When::Every(2)));
    let confirmed = json!([{"commitment": "confirmed"}]);
    let first = number(&scene.ask("getSlot", confirmed.clone()).await);
    assert_eq!(scene.ask("getSlot", confirmed.clone()).await, 0);
    assert!(number(&scene.ask("getSlot", confirmed).await) >= first && first > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_has_retry_after_only_if_told_to() {
    let scene = Scene::start(SLOT).await;
    for retry_after in [Some(3), None] {
        scene.chaos.clear();
        scene.fault(Fault::TooManyRequests { retry_after });
        let said = scene.try_ask("getSlot", json!([])).await.unwrap();
        assert_eq!((said.status, said.retry_after), (429, retry_after.map(|seconds| seconds.to_string())));
    }
    assert_eq!(scene.chaos.counts().of("getSlot").limited, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_its_code_and_its_data() {
    let scene = Scene::start(SLOT).await;
    let (attempt, _) = scene.transfer().await;
    for (kind, method, code, data) in [
        (Refusal::NodeUnhealthy, "sendTransaction", -32005, json!({"numSlotsBehind": 150})),
        (Refusal::MinContextSlot, "sendTransaction", -32016, json!({"contextSlot": attempt.context_slot.0 - 1})),
        (Refusal::NoHistory, "getSignatureStatuses", -32011, Value::Null),
        (Refusal::AlreadyProcessedText, "sendTransaction", -32002, Value::Null),
        (Refusal::BlockhashNotFoundText, "sendTransaction", -32002, Value::Null),
    ] {
        scene.chaos.clear();
        scene.fault(Fault::Refuse(kind));
        let error = scene.try_ask(method, Scene::send_params(&attempt)).await.unwrap().body["error"].take();
        assert_eq!((&error["code"], &error["data"]), (&json!(code), &data), "{kind:?}");
    }
    for (kind, err) in
        [(Refusal::AlreadyProcessed, "AlreadyProcessed"), (Refusal::BlockhashNotFound, "BlockhashNotFound")]
    {
        scene.chaos.clear();
        scene.fault(Fault::Refuse(kind));
        let said = scene.try_ask("sendTransaction", Scene::send_params(&attempt)).await.unwrap();
        assert_eq!((&said.body["error"]["code"], &said.body["error"]["data"]["err"]), (&json!(-32002), &json!(err)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn finality_stops_for_slots_heights_and_statuses_while_confirmed_goes_on() {
    let scene = Scene::start(Duration::from_millis(20)).await;
    let finalized = json!([{"commitment": "finalized"}]);
    let rule = scene.fault(Fault::FinalityStops);
    let tip = scene.ask("getEpochInfo", finalized.clone()).await;
    let signature = landed(&scene).await;
    eventually("the transfer to be finalized in truth", || async {
        let slot = scene.truly_finalized("getSlot").await;
        if slot > number(&tip["absoluteSlot"]) + 40 { Ok(()) } else { Err(()) }
    })
    .await;
    assert_eq!(scene.ask("getEpochInfo", finalized.clone()).await["absoluteSlot"], tip["absoluteSlot"]);
    assert_eq!(scene.ask("getBlockHeight", finalized.clone()).await, tip["blockHeight"]);
    assert_eq!(scene.ask("getSlot", json!([])).await, tip["absoluteSlot"], "finalized is what nodes take for unsaid");
    let confirmed = scene.ask("getSlot", json!([{"commitment": "confirmed"}])).await;
    assert!(number(&confirmed) > number(&tip["absoluteSlot"]) + 40);
    let statuses = || scene.ask("getSignatureStatuses", json!([[signature], {"searchTransactionHistory": true}]));
    assert_eq!(statuses().await["value"][0]["confirmationStatus"], "confirmed");
    scene.chaos.remove(rule);
    assert_eq!(statuses().await["value"][0]["confirmationStatus"], "finalized");
    assert!(number(&scene.ask("getSlot", finalized).await) > number(&tip["absoluteSlot"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_node_is_a_502() {
    let chaos = swapd::chaos::Chaos::start(swapd::chaos::Options::new("http://127.0.0.1:9", "ws://127.0.0.1:9"));
    let chaos = chaos.await.unwrap();
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "getSlot"});
    let response = reqwest::Client::new().post(chaos.rpc_url()).json(&call).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 502);
    chaos.stop().await;
}

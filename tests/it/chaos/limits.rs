//! Limits, seeds and the rules as data.

use std::{io::Write, time::Duration};

use serde_json::json;
use swapd::chaos::{Chaos, ChaosError, Fault, Limits, Options, Refusal, Rule, Rules, Seen, When};

use super::Scene;

const SLOT: Duration = Duration::from_millis(50);

fn limits(requests: usize, per_method: usize) -> Limits {
    // Long enough that nothing leaves the window while a test runs.
    let window = Duration::from_secs(3_600);
    Limits { window, requests, per_method, connections: None, new_connections: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_answer_429_with_retry_after_at_the_right_call() {
    let scene = Scene::with(SLOT, |options| options.limits = Some(limits(5, 3))).await;
    for _ in 0..3 {
        assert_eq!(scene.try_ask("getSlot", json!([])).await.unwrap().status, 200);
    }
    let refused = scene.try_ask("getSlot", json!([])).await.unwrap();
    assert_eq!((refused.status, refused.body["error"]["code"].as_i64()), (429, Some(429)));
    let seconds: u64 = refused.retry_after.unwrap().parse().unwrap();
    assert!((1..=3_600).contains(&seconds));
    assert_eq!(scene.try_ask("getVersion", json!([])).await.unwrap().status, 200, "another method has its own limit");
    assert_eq!(scene.try_ask("getHealth", json!([])).await.unwrap().status, 200, "the refused call did not count");
    assert_eq!(scene.try_ask("getGenesisHash", json!([])).await.unwrap().status, 429, "five calls in all");
    let counts = scene.chaos.counts();
    assert_eq!((counts.of("getSlot").calls, counts.of("getSlot").limited), (4, 1));
    assert_eq!((counts.total().calls, counts.total().limited, counts.total().faults), (7, 2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_of_a_batch_counts_and_its_answers_keep_their_order() {
    let scene = Scene::with(SLOT, |options| options.limits = Some(limits(4, 4))).await;
    let call = |id: u64, method: &str| json!({"jsonrpc": "2.0", "id": id, "method": method});
    let said = scene.post(&json!([call(1, "getVersion"), call(2, "getSlot"), call(3, "noSuchMethod")])).await.unwrap();
    assert_eq!(said.status, 200);
    let ids: Vec<_> = said.body.as_array().unwrap().iter().map(|answer| answer["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3]);
    assert!(said.body[0]["result"]["solana-core"].is_string());
    assert_eq!(said.body[2]["error"]["code"], -32601);
    let said = scene.post(&json!([call(1, "getVersion"), call(2, "getSlot")])).await.unwrap();
    assert_eq!(said.status, 429, "one call above the limit takes the batch with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_above_the_limit_are_refused_and_counted() {
    let some = Limits { new_connections: Some(1), ..limits(100, 100) };
    let scene = Scene::with(SLOT, |options| options.limits = Some(some)).await;
    assert_eq!(scene.try_ask("getSlot", json!([])).await.unwrap().status, 200);
    let refused = tokio_tungstenite::connect_async(scene.chaos.ws_url()).await.unwrap_err();
    assert!(refused.to_string().contains("429"), "{refused}");
    assert_eq!(scene.chaos.counts().refused_connections, 1);
}

/// Which of forty calls fail.
async fn failures(seed: u64) -> Vec<bool> {
    let scene = Scene::with(SLOT, |options| options.seed = seed).await;
    scene.rule(
        Rule::new(Fault::Refuse(Refusal::NodeUnhealthy)).on(&["getSlot", "getVersion"]).when(When::PerMille(500)),
    );
    let mut failures = Vec::new();
    for n in 0..40 {
        let method = if n % 2 == 0 { "getSlot" } else { "getVersion" };
        failures.push(scene.try_ask(method, json!([])).await.unwrap().body.get("error").is_some());
    }
    failures
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_gives_the_same_faults_and_another_seed_gives_others() {
    let first = failures(7).await;
    assert_eq!(first, failures(7).await);
    assert_ne!(first, failures(8).await);
    let failed = first.iter().filter(|&&failed| failed).count();
    assert!((5..35).contains(&failed), "half of forty, more or less: {failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_befalls_the_calls_it_names_and_no_others() {
    for (when, expected) in [
        (When::Always, [true, true, true, true, true, true]),
        (When::Once, [true, false, false, false, false, false]),
        (When::Times(2), [true, true, false, false, false, false]),
        (When::AfterCalls(4), [false, false, false, false, true, true]),
        (When::Every(3), [false, false, true, false, false, true]),
        (When::PerMille(0), [false; 6]),
        (When::PerMille(1_000), [true; 6]),
    ] {
        let scene = Scene::start(SLOT).await;
        let id = scene.rule(Rule::new(Fault::AcceptThen502).on(&["getSlot"]).when(when));
        for expected in expected {
            assert_eq!(scene.try_ask("getVersion", json!([])).await.unwrap().status, 200);
            let status = scene.try_ask("getSlot", json!([])).await.unwrap().status;
            assert_eq!(status == 502, expected, "{when:?}");
        }
        assert_eq!(scene.befallen("getSlot"), expected.iter().filter(|&&hit| hit).count() as u64);
        scene.chaos.remove(id);
        assert_eq!(scene.try_ask("getSlot", json!([])).await.unwrap().status, 200);
        scene.fault(Fault::AcceptThen502);
        scene.chaos.clear();
        assert_eq!(scene.try_ask("getSlot", json!([])).await.unwrap().status, 200);
        scene.rule(Rule::new(Fault::AcceptThen502).lasting(Duration::ZERO));
        assert_eq!(scene.try_ask("getSlot", json!([])).await.unwrap().status, 200, "the rule is over");
        scene.chaos.stop().await;
    }
}

#[test]
fn rules_are_data_and_nonsense_is_refused() {
    let read = |text: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Rules::read(file.path()).map(|rules| rules.rules)
    };
    let rules = read(
        "[[rules]]\nmethods = [\"sendTransaction\"]\nwhen = { times = 2 }\nlasts = \"3s\"\n\
         fault = { drop = { seen = \"close\" } }\n[[rules]]\nfault = \"accept_then_502\"\n",
    );
    let dropped = Rule::new(Fault::Drop { seen: Seen::Close, forward: false })
        .on(&["sendTransaction"])
        .when(When::Times(2))
        .lasting(Duration::from_secs(3));
    assert_eq!(rules.unwrap(), [dropped, Rule::new(Fault::AcceptThen502)]);
    for nonsense in [
        "[[rules]]\nfault = \"no_such_fault\"",
        "[[rules]]\nfault = \"swallow\"\nhow = 1",
        "[[rules]]\nfault = \"swallow\"\nmethods = [\"getSlot\"]",
        "[[rules]]\nfault = \"swallow\"\nwhen = { per_mille = 1001 }",
        "[[rules]]\nfault = { delay = { min = \"2s\", max = \"1s\" } }",
    ] {
        assert!(matches!(read(nonsense), Err(ChaosError::Rule(_))), "{nonsense}");
    }
}

#[tokio::test]
async fn only_this_machine_is_served_and_a_url_is_never_repeated() {
    let mut options = Options::new("http://127.0.0.1:9", "ws://127.0.0.1:9");
    options.listen = "0.0.0.0:0".parse().unwrap();
    assert!(matches!(Chaos::start(options).await.err(), Some(ChaosError::NotLoopback(_))));
    let wrong = Chaos::start(Options::new("ftp://host/?api-key=hunter2", "ws://127.0.0.1:9")).await.err().unwrap();
    assert!(!wrong.to_string().contains("hunter2"), "{wrong}");
}

//! The kill switch: nothing new is signed, whoever asks and wherever; what is signed already is followed to its end.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    cut::Cut,
    daemon::{Daemon, Setup, World, command},
    eventually, servers,
};

const SLOT: Duration = Duration::from_millis(50);

fn order() -> Value {
    json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "0.5"})
}

async fn is_refused(daemon: &Daemon) {
    let (status, answer) = daemon.post("/v1/orders", &order()).await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("paused")), "{answer}");
}

/// Waits until this process says that trading is paused, or that it is not.
async fn says(daemon: &Daemon, paused: bool) -> Value {
    eventually("the switch to be seen", || async {
        let (_, control) = daemon.get("/v1/control").await;
        if control["paused"] == paused { Ok(control) } else { Err(()) }
    })
    .await
}

/// Waits until the order waits for the pause to end; nothing has been signed for it.
async fn waits(daemon: &Daemon, id: &str) {
    eventually("the order to wait", || async {
        let (_, order) = daemon.get(&format!("/v1/orders/{id}")).await;
        assert_eq!(order["signatures"], 0, "{order}");
        let waits = order["history"].as_array().unwrap().iter().any(|event| event["failure"]["code"] == "paused");
        if waits { Ok(()) } else { Err(()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_waits_for_the_end_of_a_pause_also_over_a_restart() {
    let world = World::start(SLOT, 1).await;
    let (cut, url) = Cut::before_url(world.chain.rpc_url()).await;
    let setup = Setup { endpoint: Some((url, world.chain.ws_url().to_owned())), ..world.embedded() };
    let config = world.config(&setup);
    let mut daemon = Daemon::spawn(&config, "all");
    daemon.is_ready().await;
    cut.cut();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(daemon.order(&order()).await);
    }
    let (status, said) = command(&config, &["pause", "--reason", "odd prices"]).await;
    assert!(status.success(), "{said}");
    let control = says(&daemon, true).await;
    assert_eq!(
        (&control["causes"][0]["cause"], &control["causes"][0]["reason"]),
        (&json!("command"), &json!("odd prices"))
    );
    is_refused(&daemon).await;
    cut.mend();
    for id in &ids {
        waits(&daemon, id).await;
    }
    let (status, ready) = daemon.get("/ready").await;
    assert_eq!((status, &ready["missing"]), (503, &json!(["trading"])), "{ready}");

    daemon.kill_9().await;
    let mut daemon = Daemon::spawn(&config, "all");
    daemon.is_ready().await;
    is_refused(&daemon).await;
    for id in &ids {
        waits(&daemon, id).await;
    }
    let (status, said) = command(&config, &["resume"]).await;
    assert!(status.success(), "{said}");
    for id in &ids {
        let order = daemon.ended(id).await;
        assert_eq!((&order["status"], &order["retries"]), (&json!("confirmed"), &json!(0)), "{order}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_when_a_pause_comes_is_followed_to_its_end() {
    let world = World::start(Duration::from_millis(400), 1).await;
    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    let id = daemon.order(&order()).await;
    daemon.had(&id, "signed").await;
    let (status, control) = daemon.post("/v1/control/pause", &json!({})).await;
    assert_eq!((status, &control["paused"]), (200, &json!(true)));
    assert_eq!(daemon.ended(&id).await["status"], "confirmed");
    is_refused(&daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_for_every_process_and_a_file_for_those_that_see_it() {
    let world = World::start(SLOT, 1).await;
    let setup = world.shared(&servers::fresh_database().await, &servers::shared_redis());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("PAUSE");
    let with_file = Setup { more: format!("[control]\npause_file = \"{}\"\n", file.display()), ..setup.clone() };
    let first = Daemon::start(&world, &setup, "api").await;
    let second = Daemon::start(&world, &with_file, "api").await;
    let worker = Daemon::start(&world, &with_file, "worker").await;

    first.post("/v1/control/pause", &json!({"reason": "drill"})).await;
    assert_eq!(says(&second, true).await["causes"][0]["cause"], "api");
    is_refused(&second).await;
    first.post("/v1/control/resume", &json!({})).await;
    says(&second, false).await;
    let id = second.order(&order()).await;
    assert_eq!(first.ended(&id).await["status"], "confirmed");

    fs::write(&file, "maintenance\n").unwrap();
    let control = says(&second, true).await;
    assert_eq!(
        (&control["causes"][0]["cause"], &control["causes"][0]["reason"]),
        (&json!("file"), &json!("maintenance"))
    );
    is_refused(&second).await;
    let (_, control) = second.post("/v1/control/resume", &json!({})).await;
    assert_eq!(control["paused"], true, "only whoever made the file may remove it");
    // The worker looks at the file for itself.
    eventually("the worker to see the file", || async {
        if worker.log().contains("maintenance") { Ok(()) } else { Err(()) }
    })
    .await;
    let id = first.order(&order()).await; // does not see the file; its worker does
    waits(&first, &id).await;
    fs::remove_file(&file).unwrap();
    assert_eq!(first.ended(&id).await["status"], "confirmed");
}

//! What is missing at the start is said in one line; what goes missing later is waited for.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use axum::{Json, Router, routing::post};
use serde_json::{Value, json};
use swapd::chain::Wallet;

use crate::support::{
    cut::Cut,
    daemon::{Daemon, Setup, World},
    eventually, servers,
};

const SLOT: Duration = Duration::from_millis(50);

/// A start that must fail: non-zero exit and one error line, which is returned.
async fn refused(world: &World, setup: &Setup, change: impl Fn(String) -> String) -> String {
    let path = world.config(setup);
    fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
    let mut daemon = Daemon::spawn(&path, "all");
    let status = daemon.wait().await;
    let log = daemon.whole_log().await;
    assert_eq!(status.code(), Some(1), "{log}");
    let errors: Vec<_> = log.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{log}");
    errors[0].to_owned()
}

/// An RPC endpoint that only says which chain it is on.
async fn endpoint_on(genesis: &'static str) -> String {
    let app = Router::new().route(
        "/",
        post(move |Json(request): Json<Value>| async move {
            Json(json!({"jsonrpc": "2.0", "id": request["id"], "result": genesis}))
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await }); // ends with the test's runtime
    format!("http://{address}")
}

/// A configuration with a second endpoint.
fn with_second(text: &str, first: &str, second: &str) -> String {
    let line = format!("rpc_url = \"{first}\"");
    text.replace(&line, &format!("{line}\nrpc_urls = [\"{second}\"]"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_at_the_start_is_one_clear_line() {
    let world = World::start(SLOT, 1).await;
    let setup = world.embedded();
    let rpc = world.chain.rpc_url().to_owned();
    let nothing_there = "http://127.0.0.1:9/?api-key=hunter2";

    let line = refused(&world, &setup, |text| text.replace(&rpc, nothing_there)).await;
    assert!(line.contains("chain.rpc_url") && !line.contains("hunter2"), "{line}");
    let line = refused(&world, &setup, |text| text.replace("cluster = \"local\"", "cluster = \"devnet\"")).await;
    assert!(line.contains("another cluster"), "{line}");
    let mainnet = endpoint_on("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d").await;
    let line = refused(&world, &setup, |text| text.replace(&rpc, &mainnet)).await;
    assert!(line.contains("mainnet"), "{line}");
    for (genesis, complaint) in [
        ("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d", "mainnet"),
        ("11111111111111111111111111111112", "mixes clusters"),
    ] {
        let second = endpoint_on(genesis).await;
        let line = refused(&world, &setup, |text| with_second(&text, &rpc, &second)).await;
        assert!(line.contains(complaint) && line.contains(&second["http://".len()..]), "{line}");
    }
    let line = refused(&world, &setup, |text| text.replace("memory:", "redis://127.0.0.1:9")).await;
    assert!(line.contains("queue"), "{line}");
    let postgres = Setup { store: "postgres://u:hunter2@127.0.0.1:9/db".into(), ..setup.clone() };
    let line = refused(&world, &postgres, |text| text).await;
    assert!(line.contains("store") && !line.contains("hunter2"), "{line}");
    let line = refused(&world, &setup, |text| text.replace("127.0.0.1:0\"", "0.0.0.0:0\"")).await;
    assert!(line.contains("api.key"), "{line}");
    let line = refused(&world, &setup, |text| text.replace("[raydium_cpmm]", "[raydium_cpmm]\nspread = 1")).await;
    assert!(line.contains("spread"), "{line}");
    let mint = world.scenario().token("USDC").unwrap().mint.to_string();
    let pool = world.scenario().pools[0].address.to_string();
    let line = refused(&world, &setup, |text| text.replace(&mint, &pool)).await;
    assert!(line.contains("not a mint"), "{line}");
    let config = world.scenario().configs[0].address.to_string();
    let line = refused(&world, &setup, |text| text.replace(&pool, &config)).await;
    assert!(line.contains(&config), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_the_same_file_is_refused_until_the_first_has_gone() {
    let world = World::start(SLOT, 1).await;
    let setup = world.embedded();
    let mut first = Daemon::start(&world, &setup, "all").await;
    let line = refused(&world, &setup, |text| text).await;
    assert!(line.contains("another swapd"), "{line}");
    first.kill_9().await;
    Daemon::start(&world, &setup, "all").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_missing_or_open_to_others_are_refused() {
    let world = World::start(SLOT, 1).await;
    let setup = world.embedded();
    let key = world.keys().join("wallet-0.json");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let line = refused(&world, &setup, |text| text).await;
    assert!(line.contains("chmod 600"), "{line}");
    fs::remove_file(&key).unwrap();
    let line = refused(&world, &setup, |text| text).await;
    assert!(line.contains("swapd wallet new"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_line_ever_shows_a_key() {
    let world = World::start(SLOT, 1).await;
    let file = fs::read_to_string(world.keys().join("wallet-0.json")).unwrap();
    let bytes: Vec<u8> = serde_json::from_str(&file).unwrap();
    let setup = Setup { more: "[engine]\nmemo = true\n".into(), ..world.embedded() };
    let daemon = Daemon::start(&world, &setup, "all").await;
    let order = daemon.order(&json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"})).await;
    let order = daemon.ended(&order).await;
    let said = format!("{}{order}", daemon.log());
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    for secret in
        [file.trim(), &bs58::encode(&bytes).into_string(), &hex[..64], &bs58::encode(&bytes[..32]).into_string()]
    {
        assert!(!said.contains(secret));
    }
    assert!(Wallet::load_dir(&world.keys()).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_wait_for_a_lost_rpc_and_go_on() {
    let world = World::start(SLOT, 1).await;
    let cut = Cut::before(world.chain.rpc_url().trim_start_matches("http://").parse().unwrap()).await;
    // One signer only: orders that come back from a rest must get it although no new job comes.
    let setup = Setup {
        more: "[engine]\nsigners = 1\n".into(),
        endpoint: Some((format!("http://{}", cut.address), world.chain.ws_url().to_owned())),
        ..world.embedded()
    };
    let daemon = Daemon::start(&world, &setup, "all").await;
    let body = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"});

    cut.cut();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(daemon.order(&body).await);
    }
    eventually("readiness to say what is missing", || async {
        let (status, answer) = daemon.get("/ready").await;
        if status == 503 && answer.to_string().contains("rpc") { Ok(()) } else { Err(()) }
    })
    .await;
    let (_, order) = daemon.get(&format!("/v1/orders/{}", ids[0])).await;
    assert!(!["failed", "confirmed"].contains(&order["status"].as_str().unwrap()), "{order}");

    cut.mend();
    for id in &ids {
        let order = daemon.ended(id).await;
        assert_eq!(order["status"], "confirmed", "{order}");
    }
    eventually("readiness to come back", || async {
        if daemon.get("/ready").await.0 == 200 { Ok(()) } else { Err(()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_go_on_while_one_of_two_endpoints_is_lost() {
    let world = World::start(SLOT, 1).await;
    let chain = world.chain.rpc_url().to_owned();
    let cut = Cut::before(chain.trim_start_matches("http://").parse().unwrap()).await;
    let first = format!("http://{}", cut.address);
    let path = world.config(&world.embedded());
    let text = fs::read_to_string(&path).unwrap().replace(&chain, &first);
    fs::write(&path, with_second(&text, &first, &chain)).unwrap();
    let mut daemon = Daemon::spawn(&path, "all");
    daemon.is_ready().await;
    cut.cut();
    for _ in 0..3 {
        let id = daemon.order(&json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"})).await;
        let order = daemon.ended(&id).await;
        assert_eq!(order["status"], "confirmed", "{order}");
        let events = order["history"].as_array().unwrap();
        assert!(events.iter().all(|event| event["event"] != "retrying"), "the loss was no outage: {order}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_wait_for_a_restarted_database_and_go_on() {
    let world = World::start(SLOT, 1).await;
    let mut postgres = servers::PostgresServer::start(servers::Disk::Durable);
    let setup = world.shared(&servers::create_database(&postgres.url()).await, &servers::shared_redis());
    let api = Daemon::start(&world, &setup, "api").await;
    let _worker = Daemon::start(&world, &setup, "worker").await;
    let body = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"});
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(api.order(&body).await);
    }
    postgres.crash();
    let (status, answer) = api.post("/v1/orders", &body).await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("store_unavailable")), "{answer}");
    eventually("readiness to say what is missing", || async {
        let (status, answer) = api.get("/ready").await;
        if status == 503 && answer.to_string().contains("store") { Ok(()) } else { Err(()) }
    })
    .await;
    postgres.start_again();
    for id in &ids {
        let order = api.ended(id).await;
        assert_eq!(order["status"], "confirmed", "{order}");
        assert_eq!(order["signatures"], 1, "nothing was signed twice: {order}");
    }
}

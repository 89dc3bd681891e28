//! A database that is there and refuses: locked, full, read-only, or waiting for somebody's lock. New orders are told so,
//! nothing is signed that is not stored, and what is under way goes on afterwards.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use solana_client::nonblocking::rpc_client::RpcClient;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use tokio::process::Command;

use crate::support::{
    daemon::{Daemon, World},
    eventually, servers, within_patience,
};

const SLOT: Duration = Duration::from_millis(50);

fn body() -> Value {
    json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"})
}

/// Orders on their way: some have just been accepted, some may have been signed.
async fn under_way(daemon: &Daemon) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(daemon.order(&body()).await);
    }
    ids
}

/// A new order is refused with the code that says why, and the daemon bears it.
async fn refuses(daemon: &Daemon) {
    let (status, answer) = daemon.post("/v1/orders", &body()).await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("store_unavailable")), "{answer}");
}

/// After the trouble: new orders are taken, every stored order ends well (all that were accepted, and perhaps one that was
/// told that nobody knows), and every transaction on the chain is one that the store knows.
async fn goes_on(world: &World, daemon: &Daemon, mut accepted: Vec<String>) {
    let fresh = eventually("orders to be taken again", || async {
        let (status, answer) = daemon.post("/v1/orders", &body()).await;
        if status == 201 { Ok(answer["id"].as_str().unwrap().to_owned()) } else { Err(()) }
    })
    .await;
    accepted.push(fresh);
    let (_, page) = daemon.get("/v1/orders?limit=200").await;
    let listed = page["orders"].as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned());
    let ids: BTreeSet<String> = listed.collect();
    assert!(accepted.iter().all(|id| ids.contains(id)), "an accepted order is lost");
    let mut stored = BTreeSet::new();
    for id in &ids {
        let order = daemon.ended(id).await;
        assert_eq!(order["status"], "confirmed", "{order}");
        let attempts = order["attempts"].as_array().unwrap();
        stored.extend(attempts.iter().map(|attempt| attempt["signature"].as_str().unwrap().to_owned()));
    }
    let chain = RpcClient::new(world.chain.rpc_url().to_owned());
    let landed = chain.get_signatures_for_address(&world.wallets[0]).await.unwrap();
    let landed = landed.into_iter().filter(|it| it.memo.is_some());
    let unknown: Vec<String> = landed.map(|it| it.signature).filter(|signature| !stored.contains(signature)).collect();
    assert_eq!(unknown, Vec::<String>::new(), "signed without being stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_wait_while_another_process_locks_the_file() {
    let world = World::start(SLOT, 1).await;
    let setup = world.embedded();
    let daemon = Daemon::start(&world, &setup, "all").await;
    let ids = under_way(&daemon).await;
    let mut other = SqliteConnection::connect(&setup.store).await.unwrap();
    other.execute("begin immediate").await.unwrap();
    refuses(&daemon).await;
    other.execute("rollback").await.unwrap();
    goes_on(&world, &daemon, ids).await;
}

/// Each write of the process beyond this size of a file fails from now on, or again succeeds.
async fn limit_files(daemon: &Daemon, size: &str) {
    let pid = daemon.pid().to_string();
    let limit = format!("--fsize={size}:unlimited");
    let set = Command::new("prlimit").args(["--pid", &pid, &limit]).status().await.expect("prlimit, of util-linux");
    assert!(set.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_wait_while_nothing_more_can_be_written_to_the_disk() {
    let world = World::start(SLOT, 1).await;
    let setup = world.embedded();
    // A process that ignores the signal gets the error that a full disk gives, instead of ending.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_swapd")]);
    let mut daemon = Daemon::run(shell, &world.config(&setup), "all");
    daemon.is_ready().await;
    let ids = under_way(&daemon).await;
    limit_files(&daemon, "1").await;
    refuses(&daemon).await;
    let (status, _) = daemon.get(&format!("/v1/orders/{}", ids[0])).await;
    assert_eq!(status, 200, "what is stored can be read");
    limit_files(&daemon, "unlimited").await;
    goes_on(&world, &daemon, ids).await;
}

/// One daemon on a PostgreSQL of its own, with orders on their way, and a connection with every right there.
async fn on_postgres(world: &World, server: &servers::PostgresServer) -> (Daemon, Vec<String>, PgConnection) {
    let database = servers::create_database(&server.url()).await;
    let setup = world.shared(&database, &servers::shared_redis());
    let daemon = Daemon::start(world, &setup, "all").await;
    let ids = under_way(&daemon).await;
    (daemon, ids, PgConnection::connect(&database).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_wait_while_postgres_takes_no_writes() {
    let world = World::start(SLOT, 1).await;
    let server = servers::PostgresServer::start(servers::Disk::Durable);
    let (daemon, mut ids, mut console) = on_postgres(&world, &server).await;
    console.execute("alter system set default_transaction_read_only = on").await.unwrap();
    console.execute("select pg_reload_conf()").await.unwrap();
    // The server's processes read their settings anew one after the other.
    within_patience("an order to be refused", async {
        while let (201, answer) = daemon.post("/v1/orders", &body()).await {
            ids.push(answer["id"].as_str().unwrap().to_owned());
        }
    })
    .await;
    refuses(&daemon).await;
    console.execute("set default_transaction_read_only = off").await.unwrap();
    console.execute("alter system reset default_transaction_read_only").await.unwrap();
    console.execute("select pg_reload_conf()").await.unwrap();
    goes_on(&world, &daemon, ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_wait_while_somebody_holds_a_lock_in_postgres() {
    let world = World::start(SLOT, 1).await;
    let server = servers::PostgresServer::start(servers::Disk::Durable);
    let (daemon, ids, mut console) = on_postgres(&world, &server).await;
    let mut locked = console.begin().await.unwrap();
    locked.execute("lock table orders in access exclusive mode").await.unwrap();
    refuses(&daemon).await;
    locked.rollback().await.unwrap();
    goes_on(&world, &daemon, ids).await;
}

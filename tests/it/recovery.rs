//! What a crash, a stop and a lost server leave behind: every accepted order ends once, and none executes twice.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use solana_client::{
    nonblocking::rpc_client::RpcClient, rpc_client::GetConfirmedSignaturesForAddress2Config,
    rpc_response::RpcConfirmedTransactionStatusWithSignature,
};
use solana_sdk::pubkey::Pubkey;
use swapd::chaos::{Chaos, Options, Rules};

use crate::support::{
    daemon::{Daemon, Setup, World},
    servers,
};

const SLOT: Duration = Duration::from_millis(50);

fn order(n: usize) -> Value {
    json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountInBase": (100_000_000 + n).to_string()})
}

/// How often the daemons are killed: `SWAPD_CRASH_KILLS`, or a few times, which is what a test run has time for.
fn kills(few: usize) -> usize {
    std::env::var("SWAPD_CRASH_KILLS").map_or(few, |text| text.parse().expect("SWAPD_CRASH_KILLS is a number"))
}

/// Kills every daemon with `kill -9` in the middle of orders, again and again, and counts on the chain itself what was
/// swapped. Each round gives one to eight orders and kills when the last of them has had some number of events, so
/// that in turn every step of an order is the last one before a kill.
async fn killed_at_any_point(world: &World, setup: &Setup, roles: &[&str], kills: usize) {
    let seed = std::env::var("SWAPD_CRASH_SEED").map_or(7, |text| text.parse().expect("SWAPD_CRASH_SEED is a number"));
    let mut random = StdRng::seed_from_u64(seed);
    let mut daemons = Vec::new();
    for role in roles {
        daemons.push(Daemon::start(world, setup, role).await);
    }
    let wallet = world.wallets[0];
    let usdc_before = world.tokens(&wallet, "USDC").await;
    let mut ids = Vec::new();
    for round in 0..kills {
        for _ in 0..random.random_range(1..=8) {
            ids.push(daemons[0].order(&order(ids.len())).await);
        }
        wait_for_events(&daemons[0], ids.last().unwrap(), 1 + round % 6).await;
        for daemon in &mut daemons {
            daemon.kill_9().await;
        }
        for (daemon, role) in daemons.iter_mut().zip(roles) {
            *daemon = Daemon::start(world, setup, role).await;
        }
        if (round + 1) % 10 == 0 {
            eprintln!("seed {seed}: {} of {kills} kills, {} orders", round + 1, ids.len());
        }
    }
    let daemon = &daemons[0];
    let ended: Vec<Value> =
        stream::iter(&ids).map(|id| async move { daemon.ended(id).await }).buffer_unordered(64).collect().await;

    let mut received = 0;
    for order in &ended {
        assert_eq!(order["status"], "confirmed", "{order}");
        let ends = ["landed", "rejected", "failed", "cancelled", "chain_reset", "paper_filled"];
        let history = order["history"].as_array().unwrap();
        let terminal = history.iter().filter(|it| ends.contains(&it["event"].as_str().unwrap())).count();
        assert_eq!(terminal, 1, "{order}");
        received += order["filled"]["amountOut"]["base"].as_str().unwrap().parse::<u64>().unwrap();
    }
    // If any order had swapped twice, the chain would have given more than the orders say.
    assert_eq!(world.tokens(&wallet, "USDC").await - usdc_before, received);
    assert_eq!(memos(world, &wallet).await, sorted(ids.clone()));
    eprintln!("seed {seed}: {kills} kills, {} orders: each ended once and swapped once", ids.len());
}

async fn wait_for_events(daemon: &Daemon, id: &str, count: usize) {
    crate::support::within_patience("an order's events", async {
        loop {
            let (_, order) = daemon.get(&format!("/v1/orders/{id}")).await;
            // An order may end with fewer: one whose first send was refused has no `sent`.
            let ended = matches!(order["status"].as_str(), Some("confirmed" | "failed"));
            if ended || order["history"].as_array().is_some_and(|history| history.len() >= count) {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

/// The order ids in the memos of the wallet's successful transactions, as the chain has them.
async fn memos(world: &World, wallet: &Pubkey) -> Vec<String> {
    let client = RpcClient::new(world.chain.rpc_url().to_owned());
    let mut transactions: Vec<RpcConfirmedTransactionStatusWithSignature> = Vec::new();
    loop {
        let before = transactions.last().map(|last| last.signature.parse().unwrap());
        let page = GetConfirmedSignaturesForAddress2Config { before, ..Default::default() };
        let page = client.get_signatures_for_address_with_config(wallet, page).await.unwrap();
        if page.is_empty() {
            break;
        }
        transactions.extend(page);
    }
    let ids = transactions.into_iter().filter(|it| it.err.is_none()).filter_map(|it| {
        let memo = it.memo?;
        memo.split_once("swapd:").map(|(_, id)| id.trim_end().to_owned())
    });
    sorted(ids.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_ends_every_order_once() {
    let world = World::start(SLOT, 1).await;
    killed_at_any_point(&world, &world.embedded(), &["all"], kills(12)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_over_redis_and_postgres_end_every_order_once() {
    let world = World::start(SLOT, 1).await;
    let setup = world.shared(&servers::fresh_database().await, &servers::shared_redis());
    killed_at_any_point(&world, &setup, &["api", "worker"], kills(6)).await;
}

/// An endpoint on a bad day: sends that vanish, that are taken and then denied, or come twice; answers that are late,
/// refused, missing or from a node behind.
const BAD_DAY: &str = r#"
    rules = [
        { methods = ["sendTransaction"], when = { per_mille = 150 }, fault = "swallow" },
        { methods = ["sendTransaction"], when = { per_mille = 100 }, fault = "accept_then_502" },
        { methods = ["sendTransaction"], when = { per_mille = 50 }, fault = { drop = { seen = "close", forward = true } } },
        { methods = ["sendTransaction"], when = { per_mille = 50 }, fault = { duplicate = { answer = "second" } } },
        { methods = ["sendTransaction"], when = { per_mille = 50 }, fault = { refuse = "blockhash_not_found" } },
        { methods = ["getSignatureStatuses"], when = { per_mille = 100 }, fault = { refuse = "no_history" } },
        { methods = ["getSignatureStatuses"], when = { every = 5 }, fault = { lag = { slots = 20 } } },
        { methods = ["getTransaction"], when = { per_mille = 200 }, fault = { refuse = "node_unhealthy" } },
        { when = { per_mille = 100 }, fault = { delay = { min = "5ms", max = "150ms" } } },
        { when = { per_mille = 10 }, fault = { too_many_requests = {} } },
    ]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn killed_daemons_behind_an_endpoint_on_a_bad_day_end_every_order_once() {
    let world = World::start(SLOT, 1).await;
    let rules: Rules = toml_rules(BAD_DAY);
    let options = Options { rules: rules.rules, seed: 7, ..Options::new(world.chain.rpc_url(), world.chain.ws_url()) };
    let chaos = Chaos::start(options).await.unwrap();
    let setup = Setup { endpoint: Some((chaos.rpc_url(), chaos.ws_url())), ..world.embedded() };
    killed_at_any_point(&world, &setup, &["all"], kills(8)).await;
    let counts = chaos.counts();
    assert!(counts.of("sendTransaction").faults > 0, "no fault befell a send: {counts:?}");
}

fn toml_rules(text: &str) -> Rules {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Rules::read(file.path()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_daemon_exits_cleanly_and_a_second_start_carries_on() {
    let world = World::start(SLOT, 1).await;
    let setup = world.embedded();
    let mut daemon = Daemon::start(&world, &setup, "all").await;
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(daemon.order(&order(n)).await);
    }
    assert!(daemon.terminate().await.success(), "{}", daemon.log());

    let daemon = Daemon::start(&world, &setup, "all").await;
    for id in &ids {
        assert_eq!(daemon.ended(id).await["status"], "confirmed");
    }
    assert_eq!(memos(&world, &world.wallets[0]).await, sorted(ids));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_redis_loses_no_order() {
    let world = World::start(SLOT, 2).await;
    let mut redis = servers::RedisServer::start(servers::Disk::Fast, &[]);
    let setup = Setup {
        more: "[engine]\nuntouched = \"1s\"\n".into(),
        ..world.shared(&servers::fresh_database().await, &redis.url())
    };
    let api = Daemon::start(&world, &setup, "api").await;
    let _worker = Daemon::start(&world, &setup, "worker").await;
    let mut ids = Vec::new();
    for n in 0..40 {
        ids.push(api.order(&order(n)).await);
        if n == 15 {
            redis.flush_all();
        }
        if n == 25 {
            redis.kill();
        }
        if n == 35 {
            redis.start_again();
        }
    }
    for id in &ids {
        assert_eq!(api.ended(id).await["status"], "confirmed");
    }
    let mut swapped = memos(&world, &world.wallets[0]).await;
    swapped.extend(memos(&world, &world.wallets[1]).await);
    assert_eq!(sorted(swapped), sorted(ids));
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_on_a_chain_that_is_gone_end_with_that_reason() {
    let mut world = World::start(Duration::from_millis(400), 1).await;
    let setup = world.embedded();
    let mut daemon = Daemon::start(&world, &setup, "all").await;
    let id = daemon.order(&order(1)).await;
    wait_for_events(&daemon, &id, 4).await; // created, claimed, routed, signed: not confirmed within the slot
    daemon.kill_9().await;

    world.restart_chain().await;
    let daemon = Daemon::start(&world, &setup, "all").await;
    let first = daemon.ended(&id).await;
    // Either it was confirmed just before the kill, or its end says why nobody can know more.
    assert!(first["status"] == "confirmed" || first["failure"]["code"] == "chain_reset", "{first}");
    let second = daemon.ended(&daemon.order(&order(2)).await).await;
    assert_eq!(second["status"], "confirmed");
}

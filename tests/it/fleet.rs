//! A fleet of wallets: paid for by one, made ready, emptied, and never paid twice.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use solana_sdk::pubkey::Pubkey;
use swapd::{
    chain::Wallet,
    chaos::{Chaos, Fault, Lateness, Options, Rule, When},
};

use crate::support::{
    cut::Cut,
    daemon::{Daemon, Setup, World, command},
    eventually,
};

const SLOT: Duration = Duration::from_millis(50);
const SOL: u64 = 1_000_000_000;
/// A transaction with one signature and no priority fee.
const FEE: u64 = 5_000;
/// The world's first wallet, which has SOL and tokens.
const TREASURY: &str = "wallet-0";

/// The fleet's addresses, in order.
pub fn fleet(keys: &Path) -> Vec<Pubkey> {
    let wallets = Wallet::load_dir(keys).unwrap();
    wallets.iter().filter(|wallet| wallet.name().starts_with("fleet-")).map(Wallet::address).collect()
}

/// Runs `swapd wallet fleet ...`, which must succeed; what it printed last, as JSON.
pub async fn act(config: &Path, words: &[&str]) -> Value {
    let (status, said) = try_act(config, words).await;
    assert!(status, "{words:?}: {said}");
    last_json(&said)
}

/// What a command printed last on its standard output; its progress is on the other one.
fn last_json(said: &str) -> Value {
    let line = said.lines().rfind(|line| line.starts_with('{')).unwrap_or_else(|| panic!("no JSON: {said}"));
    serde_json::from_str(line).unwrap()
}

async fn try_act(config: &Path, words: &[&str]) -> (bool, String) {
    let words: Vec<&str> = ["wallet", "fleet"].iter().chain(words).copied().chain(["--json"]).collect();
    let (status, said) = command(config, &words).await;
    (status.success(), said)
}

pub fn fees(done: &Value) -> u64 {
    done["fees"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_made_ready_in_few_transactions_and_comes_back_to_the_lamport() {
    let world = World::start(SLOT, 1).await;
    let config = world.config(&world.embedded());
    let treasury = world.wallets[0];
    let (before, usdc) = (world.lamports(&treasury).await, world.tokens(&treasury, "USDC").await);
    act(&config, &["create", "50"]).await;
    let wallets = fleet(&world.keys());
    assert_eq!(wallets.len(), 50);

    let funded = act(&config, &["fund", "0.1", "--treasury", TREASURY]).await;
    assert_eq!((&funded["landed"], fees(&funded)), (&json!(3), 3 * FEE), "fifty wallets in three transactions");
    let prepared = act(&config, &["prepare", "--give", "USDC=5", "--treasury", TREASURY]).await;
    assert!(prepared["landed"].as_u64().unwrap() <= 14, "eight accounts in each: {prepared}");
    for wallet in &wallets {
        assert_eq!((world.lamports(wallet).await, world.tokens(wallet, "USDC").await), (SOL / 10, 5_000_000));
    }
    let (_, shown) = command(&config, &["wallet", "fleet", "balances", "--treasury", TREASURY]).await;
    assert_eq!(shown.matches("0.1 SOL  5 USDC  0 LEVY").count(), 50, "{shown}");
    for again in [&["fund", "0.1"][..], &["prepare", "--give", "USDC=5"]] {
        let done = act(&config, &[again, &["--treasury", TREASURY]].concat()).await;
        assert_eq!((&done["landed"], fees(&done)), (&json!(0), 0), "nothing was missing");
    }

    let swept = act(&config, &["sweep", "--treasury", TREASURY]).await;
    for wallet in &wallets {
        assert_eq!(world.lamports(wallet).await, 0);
        for symbol in ["USDC", "LEVY"] {
            let account = world.scenario().token_account(wallet, world.scenario().token(symbol).unwrap());
            assert_eq!(world.lamports(&account).await, 0, "closed");
        }
    }
    let paid = fees(&funded) + fees(&prepared) + fees(&swept);
    assert_eq!(world.lamports(&treasury).await, before - paid, "all but the fees came back");
    assert_eq!(world.tokens(&treasury, "USDC").await, usdc);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_killed_while_paying_pays_nobody_twice() {
    let world = World::start(SLOT, 1).await;
    let chaos = Chaos::start(Options::new(world.chain.rpc_url(), world.chain.ws_url())).await.unwrap();
    let endpoint = Some((chaos.rpc_url(), chaos.ws_url()));
    let config = world.config(&Setup { endpoint, ..world.embedded() });
    let before = world.lamports(&world.wallets[0]).await;
    act(&config, &["create", "50"]).await;

    // The node has the bytes, and nobody sees anything of them for two seconds.
    chaos.add(Rule::new(Fault::Late(Lateness::Slots { min: 40, max: 40 }))).unwrap();
    let mut killed = tokio::process::Command::new(env!("CARGO_BIN_EXE_swapd"))
        .arg("--config")
        .arg(&config)
        .args(["wallet", "fleet", "fund", "0.1", "--treasury", TREASURY])
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually("all three to be with the node", || async {
        if chaos.counts().of("sendTransaction").calls >= 3 { Ok(()) } else { Err(()) }
    })
    .await;
    killed.kill().await.unwrap();
    chaos.clear();
    let wallets = fleet(&world.keys());
    assert_eq!(world.lamports(&wallets[0]).await, 0, "nothing to see yet");

    let done = act(&config, &["fund", "0.1", "--treasury", TREASURY]).await;
    assert_eq!(done["landed"], 3, "what was signed before, and nothing else");
    eventually("the late deliveries", || async { if chaos.counts().late >= 3 { Ok(()) } else { Err(()) } }).await;
    for wallet in &wallets {
        assert_eq!(world.lamports(wallet).await, SOL / 10);
    }
    assert_eq!(world.lamports(&world.wallets[0]).await, before - 50 * SOL / 10 - 3 * FEE);
    assert_eq!(act(&config, &["fund", "0.1", "--treasury", TREASURY]).await["landed"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_is_found_missing_and_sent_anew() {
    // At 20 ms a slot a blockhash dies within 3 s.
    let world = World::start(Duration::from_millis(20), 1).await;
    let chaos = Chaos::start(Options::new(world.chain.rpc_url(), world.chain.ws_url())).await.unwrap();
    let config = world.config(&Setup { endpoint: Some((chaos.rpc_url(), chaos.ws_url())), ..world.embedded() });
    act(&config, &["create", "5"]).await;
    chaos.add(Rule::new(Fault::Swallow)).unwrap();
    let outbox = world.keys().join(format!("{TREASURY}.outbox"));
    let signed = || std::fs::read_to_string(&outbox).ok().filter(|text| !text.is_empty()).ok_or(());
    let second_is_signed = async {
        let first = eventually("a signature", || async { signed() }).await;
        eventually("another one", || async { signed().and_then(|now| if now == first { Err(()) } else { Ok(()) }) })
            .await;
        chaos.clear();
    };
    let (done, ()) = tokio::join!(act(&config, &["fund", "0.1", "--treasury", TREASURY]), second_is_signed);
    assert_eq!((&done["landed"], &done["lost"], fees(&done)), (&json!(1), &json!(1), FEE));
    for wallet in fleet(&world.keys()) {
        assert_eq!(world.lamports(&wallet).await, SOL / 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_an_open_order_counts_on_is_not_emptied() {
    let world = World::start(SLOT, 1).await;
    let direct = world.config(&world.embedded());
    act(&direct, &["create", "3"]).await;
    act(&direct, &["fund", "0.5", "--treasury", TREASURY]).await;
    let wallets = fleet(&world.keys());
    let (cut, url) = Cut::before_url(world.chain.rpc_url()).await;
    let setup = Setup { endpoint: Some((url, world.chain.ws_url().to_owned())), ..world.embedded() };
    let daemon = Daemon::start(&world, &setup, "all").await;
    cut.cut();
    let body = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "0.2", "wallet": wallets[1].to_string()});
    let id = daemon.order(&body).await;

    let (complete, said) = try_act(&direct, &["sweep", "--treasury", TREASURY]).await;
    assert!(!complete, "{said}");
    let done = last_json(&said);
    assert_eq!(done["skipped"][0]["name"], "fleet-002", "{said}");
    let left =
        [world.lamports(&wallets[0]).await, world.lamports(&wallets[1]).await, world.lamports(&wallets[2]).await];
    assert_eq!(left, [0, SOL / 2, 0]);

    cut.mend();
    let order = daemon.ended(&id).await;
    assert_eq!(order["status"], "confirmed", "{order}");
    act(&direct, &["sweep", "--treasury", TREASURY]).await;
    assert_eq!(world.lamports(&wallets[1]).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_treasury_that_has_nothing_says_what_it_needs_or_asks_the_faucet() {
    let world = World::start(SLOT, 0).await;
    let chaos = Chaos::start(Options::new(world.chain.rpc_url(), world.chain.ws_url())).await.unwrap();
    let config = world.config(&Setup { endpoint: Some((chaos.rpc_url(), chaos.ws_url())), ..world.embedded() });
    let treasury = Wallet::create(&world.keys(), "treasury").unwrap().address();
    act(&config, &["create", "4"]).await;
    let (paid, said) = try_act(&config, &["fund", "1"]).await;
    assert!(!paid && said.contains(&treasury.to_string()) && said.contains("--faucet"), "{said}");

    // It is busy at first, and the answer says how long.
    let busy = Rule::new(Fault::TooManyRequests { retry_after: Some(1) }).on(&["requestAirdrop"]).when(When::Once);
    chaos.add(busy).unwrap();
    act(&config, &["fund", "1", "--faucet"]).await;
    for wallet in fleet(&world.keys()) {
        assert_eq!(world.lamports(&wallet).await, SOL);
    }
    assert_eq!(chaos.counts().of("requestAirdrop").calls, 2, "one that was refused and one for all");

    // Busy for good, and careless about how long.
    chaos.clear();
    chaos.add(Rule::new(Fault::TooManyRequests { retry_after: Some(0) }).on(&["requestAirdrop"])).unwrap();
    let (paid, said) = try_act(&config, &["fund", "100", "--faucet", "--patience", "3s"]).await;
    assert!(!paid && said.contains("the faucet gave nothing"), "{said}");
    let asked = chaos.counts().of("requestAirdrop").calls - 2;
    assert!((1..=4).contains(&asked), "each time after a rest: {asked} times");
    chaos.clear();
    act(&config, &["prepare"]).await; // what the faucet gave is enough for the token accounts, too
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_leaves_one_alone_whose_name_begins_like_its_own() {
    let world = World::start(SLOT, 1).await;
    let config = world.config(&world.embedded());
    act(&config, &["create", "1"]).await;
    act(&config, &["create", "1", "--name", "fleet-eu"]).await;
    let [one, other] = fleet(&world.keys())[..] else { panic!("two wallets") };
    let lamports = async || (world.lamports(&one).await, world.lamports(&other).await);
    act(&config, &["fund", "0.1", "--treasury", TREASURY]).await;
    assert_eq!(lamports().await, (SOL / 10, 0));
    act(&config, &["fund", "0.2", "--treasury", TREASURY, "--name", "fleet-eu"]).await;
    act(&config, &["sweep", "--treasury", TREASURY]).await;
    assert_eq!(lamports().await, (0, SOL / 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_serves_with_the_wallets_that_fit_its_pattern() {
    let world = World::start(SLOT, 1).await;
    let config = world.config(&world.embedded());
    act(&config, &["create", "2"]).await;
    let mut only = tokio::process::Command::new(env!("CARGO_BIN_EXE_swapd"));
    only.env("SWAPD_WALLETS__ONLY", "fleet-*");
    let mut daemon = Daemon::run(only, &config, "all");
    daemon.is_ready().await;
    let (_, answer) = daemon.get("/v1/wallets").await;
    let names: Vec<_> = answer["wallets"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["fleet-001", "fleet-002"], "and not the treasury");
}

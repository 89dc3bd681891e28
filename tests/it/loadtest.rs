//! The load test itself, on the embedded chain: what it reports is what happened.

use std::{
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::{
    fleet::{act, fees, fleet},
    support::{
        PATIENCE,
        cut::Cut,
        daemon::{Daemon, Setup, World, command},
        eventually, within_patience,
    },
};

const SLOT: Duration = Duration::from_millis(50);
const TREASURY: &str = "wallet-0";

/// A daemon that serves with the fleet alone.
async fn serve_fleet(config: &Path) -> Daemon {
    let mut only = Command::new(env!("CARGO_BIN_EXE_swapd"));
    only.env("SWAPD_WALLETS__ONLY", "fleet-*");
    let mut daemon = Daemon::run(only, config, "all");
    daemon.is_ready().await;
    daemon
}

/// Starts `swapd loadtest` with these words beside address and report.
fn load(config: &Path, url: &str, report: &Path, words: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_swapd"))
        .arg("--config")
        .arg(config)
        .args(["loadtest", "--url", url, "--json"])
        .arg(report)
        .args(words.split_whitespace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Its end, and its report.
async fn end(load: Child, report: &Path) -> (Output, Value) {
    let output = within_patience("the load test's end", load.wait_with_output()).await.unwrap();
    let text = std::fs::read_to_string(report).unwrap_or_else(|_| panic!("no report: {output:?}"));
    (output, serde_json::from_str(&text).unwrap())
}

/// Waits until the daemon has at least so many orders.
async fn has_orders(daemon: &Daemon, count: usize) {
    eventually("orders", || async {
        let (_, page) = daemon.get("/v1/orders?limit=200").await;
        if page["orders"].as_array().unwrap().len() >= count { Ok(()) } else { Err(()) }
    })
    .await;
}

fn base(value: &Value) -> u64 {
    value["base"].as_str().map_or(0, |text| text.parse().unwrap())
}

/// Every tag that is opened is closed, in order; scripts and other pages' addresses are not among them.
fn assert_whole(html: &str) {
    let mut open = Vec::new();
    for tag in html.split('<').skip(1).map(|rest| rest.split_once('>').expect("a tag ends").0) {
        if tag.starts_with('!') || tag.ends_with('/') {
            continue;
        }
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None => open.push(tag.split_whitespace().next().unwrap()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(!html.contains("<script") && !html.contains("http://") && !html.contains("https://"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_with_a_fleet_leaves_nothing_stuck_nothing_twice_and_no_lamport_astray() {
    let world = World::start(SLOT, 1).await;
    let config = world.config(&world.embedded());
    let treasury = world.wallets[0];
    let before = world.lamports(&treasury).await;
    act(&config, &["create", "4"]).await;
    let funded = act(&config, &["fund", "2", "--treasury", TREASURY]).await;
    let prepared = act(&config, &["prepare", "--give", "USDC=50", "--treasury", TREASURY]).await;
    let daemon = serve_fleet(&config).await;

    let dir = tempfile::tempdir().unwrap();
    let (json, html) = (dir.path().join("report.json"), dir.path().join("report.html"));
    let words = format!(
        "--rate 25 --orders 60 --fleet --mix SOL/USDC=2,USDC/SOL:out@0.001=1,SOL/LEVY=1 --html {}",
        html.display()
    );
    let (output, report) = end(load(&config, &daemon.url(), &json, &words), &json).await;
    assert!(output.status.success(), "{output:?}");
    for (name, value) in
        [("given", 60), ("accepted", 60), ("confirmed", 60), ("failed", 0), ("stuck", 0), ("unanswered", 0)]
    {
        assert_eq!(report[name], value, "{name} in {report}");
    }
    assert_eq!(
        (&report["duplicates"], &report["audited"], &report["repeatedKeys"]),
        (&serde_json::json!([]), &60.into(), &60.into())
    );
    assert_eq!(report["answers"], serde_json::json!({"201": 60}));
    for spread in [&report["seen"]["answered"], &report["seen"]["stages"]["signed"], &report["told"]["confirmed"]] {
        assert_eq!(spread["count"], 60);
        assert!(spread["p50"].as_u64() <= spread["p99"].as_u64() && spread["p99"].as_u64() <= spread["max"].as_u64());
    }
    assert!(report["rpc"]["sendTransaction"]["calls"].as_u64().unwrap() >= 60, "{}", report["rpc"]);
    let page = std::fs::read_to_string(&html).unwrap();
    assert_whole(&page);
    assert!(page.contains("<b>60</b> confirmed") && page.contains("<b>0</b> stuck"));
    assert_eq!(page.matches("<polyline").count(), 8, "two, three and three lines");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("confirmed 60   failed 0   stuck 0   duplicates 0"), "{text}");

    let (_, listed) = daemon.get("/v1/orders?limit=200").await;
    let orders = listed["orders"].as_array().unwrap();
    assert_eq!(orders.len(), 60, "a key that is used again makes no order");
    let mut spent = 0_i128;
    for order in orders {
        let filled = &order["filled"];
        spent += i128::from(base(&order["networkFee"]));
        spent += i128::from(if order["tokenIn"] == "SOL" { base(&filled["amountIn"]) } else { 0 });
        spent -= i128::from(if order["tokenOut"] == "SOL" { base(&filled["amountOut"]) } else { 0 });
    }
    let wallets = fleet(&world.keys());
    let used: std::collections::HashSet<_> = orders.iter().map(|order| order["wallet"].as_str().unwrap()).collect();
    assert_eq!(used.len(), wallets.len(), "each wallet has paid");
    let swept = act(&config, &["sweep", "--treasury", TREASURY]).await;
    for wallet in &wallets {
        assert_eq!(world.lamports(wallet).await, 0);
    }
    let paid = fees(&funded) + fees(&prepared) + fees(&swept);
    let left = i128::from(world.lamports(&treasury).await);
    assert_eq!(left, i128::from(before - paid) - spent, "what is not there was swapped or paid in fees");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_dies_is_reported_as_it_is() {
    let world = World::start(SLOT, 1).await;
    let (cut, url) = Cut::before_url(world.chain.rpc_url()).await;
    let setup = Setup { endpoint: Some((url, world.chain.ws_url().to_owned())), ..world.embedded() };
    let mut daemon = Daemon::start(&world, &setup, "all").await;
    cut.cut(); // from here on orders are taken, and none can end
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report.json");
    let load = load(&world.config(&setup), &daemon.url(), &report, "--rate 20 --for 30m --drain 2s");
    has_orders(&daemon, 5).await;
    daemon.kill_9().await;
    // A Ctrl-C ends the giving; what was given is still waited for and reported.
    let pid = load.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let (output, report) = end(load, &report).await;
    assert!(!output.status.success(), "{output:?}");
    let stuck = report["stuck"].as_u64().unwrap();
    assert!(stuck >= 4 && stuck == report["accepted"].as_u64().unwrap(), "{report}");
    assert_eq!(report["given"].as_u64(), Some(stuck + report["unanswered"].as_u64().unwrap()), "{report}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(&format!("FAIL {stuck} accepted orders have no end")), "{text}");
    assert!(text.contains(&format!("FAIL none of {stuck} orders could be looked at")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_cost_no_order_and_make_none_twice() {
    let world = World::start(SLOT, 2).await;
    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    let (cut, url) = Cut::before_url(&daemon.url()).await;
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report.json");
    let config = world.config(&world.embedded());
    let load = load(&config, &url, &report, "--rate 40 --orders 80 --timeout 2s");
    for seen in [10, 30] {
        has_orders(&daemon, seen).await;
        cut.cut();
        tokio::time::sleep(Duration::from_millis(200)).await; // orders fall due meanwhile
        cut.mend();
    }
    let (output, report) = end(load, &report).await;
    assert!(output.status.success(), "{output:?}");
    for (name, value) in [("given", 80), ("accepted", 80), ("confirmed", 80), ("stuck", 0), ("unanswered", 0)] {
        assert_eq!(report[name], value, "{name} in {report}");
    }
    assert!(report["streamCuts"].as_u64().unwrap() >= 1, "{report}");
    let (_, listed) = daemon.get("/v1/orders?limit=200").await;
    assert_eq!(listed["orders"].as_array().unwrap().len(), 80, "an answer that was lost made no second order");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_of_a_load_and_does_not_hold_fails_it() {
    let world = World::start(SLOT, 1).await;
    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    let config = world.config(&world.embedded());
    let url = daemon.url();
    let run = |words: &'static str| {
        let (config, url) = (config.clone(), url.clone());
        async move {
            let words: Vec<&str> = ["loadtest", "--url", &url].into_iter().chain(words.split_whitespace()).collect();
            command(&config, &words).await
        }
    };
    let (status, said) = run("--clients 4 --orders 12 --min-rate 0.01 --max-p99 10m --max-failed 0").await;
    assert!(status.success() && said.contains("closed loop"), "{said}");
    for (asked, answer) in [
        ("--orders 4 --min-rate 1000000", "orders ended a second"),
        ("--orders 4 --max-p99 1us", "accepted to confirmed: p99"),
        ("--orders 4 --max-answer-p99 1us", "turn to answer: p99"),
        ("--orders 4 --max-p99 10m --mix SOL/USDC@1000000", "accepted to confirmed: nothing was measured"),
        ("--orders 0 --max-answer-p99 10m", "turn to answer: nothing was measured"),
        ("--orders 4 --max-failed 3 --mix SOL/USDC@1000000", "4 orders failed or were refused"),
    ] {
        let (status, said) = run(asked).await;
        assert!(!status.success() && said.contains("FAIL") && said.contains(answer), "{asked}: {said}");
    }
    let (status, said) = run("--mix SOL/BONK").await;
    assert!(!status.success() && said.contains("no token BONK"), "{said}");
}

/// The script that does it all on devnet, pointed at the embedded chain.
fn round(world: &World, out: &Path, words: &str) -> Command {
    // A shell cannot hear of an interrupt that its parents ignore, as whatever was started in the background does.
    let mut script = Command::new("env");
    script.arg("--default-signal=INT").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/loadtest-devnet.sh"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    script
        .args(["--profile", "localnet", "--rpc", world.chain.rpc_url(), "--ws", world.chain.ws_url(), "--out"])
        .arg(out)
        .args(["--keys", world.keys().to_str().unwrap(), "--treasury", TREASURY, "--wallets", "3", "--sol", "0.5"])
        .args(["--port", &port.to_string()])
        .args(words.split_whitespace())
        .env("SWAPD_BIN", env!("CARGO_BIN_EXE_swapd"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    script
}

async fn assert_everything_came_back(world: &World) {
    let wallets = fleet(&world.keys());
    assert_eq!(wallets.len(), 3);
    for wallet in wallets {
        assert_eq!(world.lamports(&wallet).await, 0);
        assert_eq!(world.tokens(&wallet, "USDC").await, 0);
    }
}

#[tokio::test]
async fn the_script_says_which_option_lacks_its_value() {
    for option in ["--wallets", "--give"] {
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/loadtest-devnet.sh"));
        let output = within_patience("its end", script.args(["--port", "1", option]).output()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.ends_with(&format!("error: {option} needs a value\n")), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_script_does_the_whole_round() {
    let world = World::start(SLOT, 1).await;
    let out = tempfile::tempdir().unwrap();
    let words = "--give USDC=5 -- --rate 10 --orders 20 --mix SOL/USDC,USDC/SOL@0.1";
    let output = within_patience("the round", round(&world, out.path(), words).output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value =
        serde_json::from_str(&std::fs::read_to_string(out.path().join("report.json")).unwrap()).unwrap();
    assert_eq!((&report["confirmed"], &report["stuck"]), (&20.into(), &0.into()), "{report}");
    assert!(out.path().join("report.html").exists());
    assert_everything_came_back(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_is_interrupted_reports_and_brings_everything_back() {
    let world = World::start(SLOT, 1).await;
    let out = tempfile::tempdir().unwrap();
    let script = round(&world, out.path(), "-- --rate 10 --for 30m").spawn().unwrap();
    let wallets = || fleet(&world.keys());
    eventually("the first swap", || async {
        let first = wallets().first().copied().ok_or(())?;
        if world.tokens(&first, "USDC").await > 0 { Ok(()) } else { Err(()) }
    })
    .await;
    let pid = script.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    // Orders, then sweeps, then the daemon end one after another, each by blocks of the chain.
    let output = timeout(PATIENCE * 6, script.wait_with_output()).await.expect("the end of the round").unwrap();
    let report = std::fs::read_to_string(out.path().join("report.json")).unwrap_or_else(|_| panic!("{output:?}"));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["stuck"], 0, "{report}");
    assert_everything_came_back(&world).await;
}

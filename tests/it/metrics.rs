//! What Prometheus reads: counts that agree with what happened, on every role, under the names that the dashboard and
//! the alerts use.

use std::{collections::BTreeSet, path::Path, time::Duration};

use serde_json::json;

use crate::support::{
    daemon::{Daemon, Setup, World},
    eventually, servers,
};

const SLOT: Duration = Duration::from_millis(50);

/// A page of the text format.
struct Page(String);

impl Page {
    async fn read(url: &str) -> Self {
        let response = reqwest::get(format!("{url}/metrics")).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
        Self(response.text().await.unwrap())
    }

    /// The sum of all series of `name` that have these labels; `None` when there is none.
    fn sum(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let series = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let of_name = series.split('{').next() == Some(name);
            (of_name && labels.iter().all(|label| series.contains(label))).then(|| value.parse::<f64>().unwrap())
        });
        series.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }
}

async fn swap(daemon: &Daemon, amount: &str) {
    let id = daemon.order(&json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": amount})).await;
    daemon.ended(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_counts_what_happened() {
    let world = World::start(SLOT, 1).await;
    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    for _ in 0..3 {
        swap(&daemon, "1").await;
    }
    swap(&daemon, "1000000000").await; // more than any wallet has
    let page = Page::read(&daemon.url()).await;
    for (name, labels, expected) in [
        ("swapd_order_events_total", &["event=\"created\""][..], 4.0),
        ("swapd_order_events_total", &["event=\"signed\""], 3.0),
        ("swapd_order_events_total", &["event=\"landed\""], 3.0),
        ("swapd_orders_ended_total", &["status=\"confirmed\""], 3.0),
        ("swapd_orders_ended_total", &["status=\"failed\"", "code=\"insufficient_"], 1.0),
        ("swapd_order_handed_seconds_count", &[], 3.0),
        ("swapd_order_seconds_count", &["status=\"confirmed\""], 3.0),
        ("swapd_order_stage_seconds_count", &["event=\"signed\""], 3.0),
        ("swapd_orders_open", &[], 0.0),
        ("swapd_oldest_open_order_seconds", &["status=\"pending\""], 0.0),
        ("swapd_reserved_lamports", &[], 0.0),
        ("swapd_rpc_calls_total", &["method=\"sendTransaction\"", "result=\"ok\""], 3.0),
        ("swapd_http_requests_total", &["route=\"/v1/orders\"", "method=\"POST\"", "status=\"201\""], 4.0),
        ("swapd_up", &[], 2.0),
        ("swapd_switch", &[], 0.0),
        ("swapd_outcomes_unknown", &[], 0.0),
        ("swapd_build_info", &[], 1.0),
    ] {
        assert_eq!(page.sum(name, labels), Some(expected), "{name} {labels:?}\n{}", page.0);
    }
    assert!(page.sum("swapd_wallet_lamports", &[&world.wallets[0].to_string()]).unwrap() > 0.0);
    assert!(page.sum("process_resident_memory_bytes", &[]).unwrap() > 0.0);
    assert_eq!(page.sum("swapd_signers", &[]), Some(10.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_serves_its_own_page_and_a_lost_part_shows() {
    let world = World::start(SLOT, 1).await;
    let mut redis = servers::RedisServer::start(servers::Disk::Fast, &[]);
    let setup = world.shared(&servers::fresh_database().await, &redis.url());
    let worker = Setup { more: "[metrics]\nlisten = \"127.0.0.1:0\"\n".into(), ..setup.clone() };
    let api = Daemon::start(&world, &setup, "api").await;
    let worker = Daemon::start(&world, &worker, "worker").await;
    swap(&api, "1").await;
    let url = format!("http://{}", worker.logged("metrics are served", "address"));
    let page = Page::read(&url).await;
    assert_eq!(page.sum("swapd_order_events_total", &["event=\"landed\""]), Some(1.0), "{}", page.0);
    assert_eq!(page.sum("swapd_up", &[]), Some(2.0));
    redis.kill();
    eventually("the lost queue to show", || async {
        let page = Page::read(&url).await;
        if page.sum("swapd_up", &["part=\"queue\""]) == Some(0.0) { Ok(()) } else { Err(()) }
    })
    .await;
    assert_eq!(Page::read(&url).await.sum("swapd_up", &["part=\"store\""]), Some(1.0));
}

/// Names of ours in a text.
fn ours(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("swapd_"))
        .map(|word| {
            let plain = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
            plain.unwrap_or(word).to_owned()
        })
        .collect()
}

#[test]
fn dashboard_and_alerts_ask_only_for_what_is_counted() {
    let counted: BTreeSet<_> = swapd::metrics::names().map(str::to_owned).collect();
    let ops = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops");
    for (file, at_least) in [("alerts.yml", 7), ("grafana/dashboards/swapd.json", 18)] {
        let asked = ours(&std::fs::read_to_string(ops.join(file)).unwrap());
        assert!(asked.len() >= at_least, "{file} asks for {asked:?}");
        let unknown: Vec<_> = asked.difference(&counted).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}");
    }
}

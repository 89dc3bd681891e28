//! Webhooks of running daemons: real swaps, several processes, and one of them dies.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    daemon::{Daemon, World},
    eventually,
    receiver::{Heard, Receiver, in_order_and_once},
    servers,
};

const SLOT: Duration = Duration::from_millis(50);

async fn swap(daemon: &Daemon) -> Value {
    let id = daemon.order(&json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"})).await;
    daemon.ended(&id).await
}

/// What was taken of an order, as the order's own history has it.
fn told(taken: &[Heard], order: &Value) -> bool {
    let of_order = taken.iter().filter(|heard| heard.body["orderId"] == order["id"]);
    let told: Vec<_> = of_order.map(|heard| &heard.body).collect();
    told == order["history"].as_array().unwrap().iter().collect::<Vec<_>>()
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_are_told_once_by_two_api_processes_of_which_one_dies() {
    let world = World::start(SLOT, 1).await;
    let mut setup = world.shared(&servers::fresh_database().await, &servers::shared_redis());
    setup.more = "[webhooks]\nallow_private = true\n".into();
    let mut first = Daemon::start(&world, &setup, "api").await;
    let _worker = Daemon::start(&world, &setup, "worker").await;
    let receiver = Receiver::start().await;
    let (status, made) = first.post("/v1/webhooks", &json!({"url": receiver.url})).await;
    assert_eq!(status, 201, "{made}");
    let second = Daemon::start(&world, &setup, "api").await;
    let mut orders = vec![swap(&first).await, swap(&second).await];
    let events = |orders: &[Value]| orders.iter().map(|order| order["history"].as_array().unwrap().len()).sum();
    receiver.has_taken(events(&orders)).await;
    // What was received but not stored as delivered would rightly be told again.
    let path = format!("/v1/webhooks/{}", made["id"].as_str().unwrap());
    eventually("all receipts to be stored", || async {
        if second.get(&path).await.1["pending"] == 0 { Ok(()) } else { Err(()) }
    })
    .await;
    first.kill_9().await;
    orders.push(swap(&second).await);
    let taken = receiver.has_taken(events(&orders)).await;
    in_order_and_once(&taken);
    for order in &orders {
        assert!(told(&taken, order), "{order}");
    }
    for heard in &taken {
        heard.signed_with(made["secret"].as_str().unwrap());
    }
    assert_eq!(receiver.heard().len(), taken.len(), "nothing is told twice");
    let metrics = reqwest::get(format!("{}/metrics", second.url())).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("swapd_webhook_tries_total{result=\"delivered\"}"), "{metrics}");
    let (_, page) = second.get(&format!("{path}/deliveries?limit=3")).await;
    assert_eq!(page["deliveries"].as_array().unwrap().len(), 3);
    assert_eq!(page["nextCursor"], page["deliveries"][2]["id"]);
    assert!(!second.log().contains(made["secret"].as_str().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn private_receivers_are_refused_unless_the_configuration_allows_them() {
    let world = World::start(SLOT, 1).await;
    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    let receiver = Receiver::start().await;
    for url in [receiver.url.clone(), receiver.url.replace("http", "https")] {
        let (status, refused) = daemon.post("/v1/webhooks", &json!({"url": url})).await;
        assert_eq!((status, &refused["error"]["code"]), (400, &json!("invalid_request")), "{refused}");
    }
}

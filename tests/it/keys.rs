//! API keys on a running daemon: made, limited and revoked by the command line, on both kinds of store.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::{connect_async, tungstenite};

use crate::{
    api::served::Socket,
    support::{
        daemon::{Daemon, Setup, World, command},
        eventually, servers, within_patience,
    },
};

const SLOT: Duration = Duration::from_millis(50);

struct Answer {
    status: u16,
    retry_after: Option<u64>,
    body: Value,
}

impl Answer {
    fn code(&self) -> &str {
        self.body["error"]["code"].as_str().or(self.body["code"].as_str()).unwrap_or_default()
    }
}

async fn ask(daemon: &Daemon, method: &str, path: &str, key: &str) -> Answer {
    let client = reqwest::Client::new();
    let request = client.request(method.parse().unwrap(), format!("{}{path}", daemon.url())).bearer_auth(key);
    let body = match path {
        "/api/orders/execute" => json!({"tokenIn": "SOL", "tokenOut": "USDC", "amount": 0.5}),
        _ => json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "0.5"}),
    };
    let request = if method == "POST" { request.header("Idempotency-Key", "one").json(&body) } else { request };
    let answer = request.send().await.unwrap();
    let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
    Answer { status: answer.status().as_u16(), retry_after, body: answer.json().await.unwrap() }
}

/// The status a socket's handshake ends with.
async fn socket(daemon: &Daemon, path: &str) -> u16 {
    match connect_async(format!("{}{path}", daemon.ws())).await {
        Ok((_, response)) => response.status().as_u16(),
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("no handshake: {error}"),
    }
}

async fn until(daemon: &Daemon, key: &str, status: u16) {
    eventually("the key's change to count", || async {
        if ask(daemon, "GET", "/v1/tokens", key).await.status == status { Ok(()) } else { Err(()) }
    })
    .await;
}

async fn keys_are_made_limited_and_revoked(world: &World, setup: &Setup, roles: &[&str]) {
    let config = world.config(setup);
    let mut daemons = Vec::new();
    for role in roles {
        daemons.push(Daemon::start(world, setup, role).await);
    }
    let daemon = &daemons[0];
    assert_eq!(ask(daemon, "GET", "/v1/tokens", "").await.status, 200, "without keys everything is open");
    let make = async |words: &[&str]| {
        let (status, said) = command(&config, words).await;
        assert!(status.success(), "{said}");
        said.lines().next().unwrap().to_owned()
    };
    let reader = make(&["key", "create", "reader", "--scope", "read"]).await;
    let other = make(&["key", "create", "other", "--scope", "trade", "--rate", "3/s"]).await;
    let desk = make(&["key", "create", "desk", "--scope", "trade"]).await;
    assert!([&reader, &desk, &other].iter().all(|key| key.starts_with("swapd_")), "{reader}");
    for api in daemons.iter().zip(roles).filter(|(_, role)| **role != "worker").map(|(daemon, _)| daemon) {
        until(api, "", 401).await;
        until(api, &desk, 200).await; // the last one made
    }

    // Scopes, on our own paths and on the older engines'.
    for path in ["/v1/orders", "/api/orders/execute", "/v1/control/pause"] {
        let refused = ask(daemon, "POST", path, &reader).await;
        assert_eq!((refused.status, refused.code()), (403, "forbidden"), "{path}: {}", refused.body);
        assert_eq!(ask(daemon, "POST", path, "swapd_wrong").await.status, 401, "{path}");
    }
    for method in ["PATCH", "DELETE"] {
        let refused = ask(daemon, method, "/v1/webhooks/x", &reader).await;
        assert_eq!((refused.status, refused.code()), (403, "forbidden"), "{method}: {}", refused.body);
        assert_eq!(ask(daemon, method, "/v1/webhooks/x", &desk).await.status, 404, "{method}");
    }
    let first = ask(daemon, "POST", "/v1/orders", &desk).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let second = ask(daemon, "POST", "/v1/orders", &other).await;
    assert_eq!(second.status, 201, "two callers may choose the same idempotency key: {}", second.body);
    assert_eq!(ask(daemon, "POST", "/v1/orders", &desk).await.body["id"], first.body["id"]);
    assert_eq!(ask(daemon, "POST", "/api/orders/execute", &desk).await.status, 202);
    let id = first.body["id"].as_str().unwrap();
    for path in [format!("/v1/stream?orderId={id}"), format!("/ws?orderId={id}")] {
        assert_eq!(socket(daemon, &path).await, 401, "{path}");
        assert_eq!(socket(daemon, &format!("{path}&token={reader}")).await, 101, "{path}");
    }

    // A rate of its own, and the time to come back.
    let mut refused = None;
    for _ in 0..200 {
        let answer = ask(daemon, "GET", "/v1/tokens", &other).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("two hundred at once are more than three in a second");
    assert_eq!(
        (refused.status, refused.code(), refused.retry_after),
        (429, "rate_limited", Some(1)),
        "{}",
        refused.body
    );
    assert_eq!(ask(daemon, "GET", "/v1/tokens", &desk).await.status, 200, "others are not limited by it");

    let (status, said) = command(&config, &["key", "revoke", "desk"]).await;
    assert!(status.success(), "{said}");
    for api in daemons.iter().zip(roles).filter(|(_, role)| **role != "worker").map(|(daemon, _)| daemon) {
        until(api, &desk, 401).await;
    }
    let (_, listed) = command(&config, &["key", "list", "--json"]).await;
    let listed: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(listed.len(), 3);
    assert!(listed[0]["name"] == "desk" && listed[0]["revokedAt"].is_string(), "{listed:?}");
    let said: String = daemons.iter().map(Daemon::log).collect();
    assert!(said.contains("\"caller\":\"desk\""), "requests are told apart in the log");
    for key in [&reader, &desk, &other] {
        assert!(!said.contains(&key["swapd_".len()..]), "a key is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_limited_and_revoked_on_one_process() {
    let world = World::start(SLOT, 1).await;
    keys_are_made_limited_and_revoked(&world, &world.embedded(), &["all"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_limited_and_revoked_on_many_processes() {
    let world = World::start(SLOT, 1).await;
    let setup = world.shared(&servers::fresh_database().await, &servers::shared_redis());
    keys_are_made_limited_and_revoked(&world, &setup, &["api", "api", "worker"]).await;
}

const ORDER: &str = r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":0.001}"#;

/// What an order over a socket is answered with at once: its first frame, or the sentence that refuses it.
async fn give(socket: &mut Socket) -> Result<(), String> {
    socket.say(ORDER).await;
    loop {
        let frame = socket.frame().await;
        match frame["error"].as_str() {
            Some(error) => return Err(error.to_owned()),
            None if frame["status"] == "pending" => return Ok(()),
            None => {} // of an order that was taken before
        }
    }
}

/// Gives many orders, none of which waits for the answer to another; the first sentence that refuses one.
async fn give_many_at_once(socket: &mut Socket) -> String {
    for _ in 0..20 {
        socket.say(ORDER).await;
    }
    within_patience("an order to be refused", async {
        loop {
            if let Some(sentence) = socket.frame().await["error"].as_str() {
                return sentence.to_owned();
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_takes_orders_outlives_neither_its_key_nor_its_rate() {
    let world = World::start(SLOT, 1).await;
    let setup = world.embedded();
    let config = world.config(&setup);
    let daemon = Daemon::start(&world, &setup, "all").await;
    let open =
        async |query: &str| Socket::open(&format!("{}/api/orders/execute{query}", daemon.ws()), &[]).await.unwrap();
    let make = async |words: &[&str]| {
        let (status, said) = command(&config, words).await;
        assert!(status.success(), "{said}");
        said.lines().next().unwrap().to_owned()
    };
    let mut anyones = open("").await;
    give(&mut anyones).await.unwrap();

    let desk = make(&["key", "create", "desk", "--scope", "trade"]).await;
    let slow = make(&["key", "create", "slow", "--scope", "trade", "--rate", "5/s"]).await;
    until(&daemon, "", 401).await;
    until(&daemon, &slow, 200).await; // the last one made
    assert!(give(&mut anyones).await.unwrap_err().starts_with("a key is missing"), "the door is closed");

    let mut limited = open(&format!("?token={slow}")).await;
    assert!(give_many_at_once(&mut limited).await.contains("`slow` has used up its requests"));
    let mut revoked = open(&format!("?token={desk}")).await;
    give(&mut revoked).await.unwrap();
    make(&["key", "revoke", "desk"]).await;
    until(&daemon, &desk, 401).await;
    assert!(give(&mut revoked).await.unwrap_err().starts_with("a key is missing or wrong"));
}

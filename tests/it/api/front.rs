//! What every request has in common, whatever it asks for: its id, its key, its origin, and the bounds of its connection.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;
use swapd::api::Options;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    rest::{ORDERS, nothing_happened},
    served::Served,
};
use crate::support::within_patience;

#[tokio::test]
async fn a_request_id_is_kept_if_sane_and_made_otherwise() {
    let served = Served::start().await;
    let answer = served.send(served.request("GET", "/v1/orders/x").header("x-request-id", "abc-1")).await;
    assert_eq!((answer.header("x-request-id"), &answer.body["error"]["request_id"]), ("abc-1", &json!("abc-1")));
    let answer = served.send(served.request("GET", "/v1/orders/x").header("x-request-id", "a b")).await;
    assert_ne!(answer.header("x-request-id"), "a b");
    assert!(!served.get("/health").await.header("x-request-id").is_empty());
}

#[tokio::test]
async fn with_a_key_everything_but_health_demands_it() {
    let served = Served::keyed("k-1").await;
    for path in ["/health", "/ready", "/"] {
        assert_eq!(served.get(path).await.status, 200, "{path}");
    }
    let id = "00000000-0000-0000-0000-000000000000";
    for path in ["/v1/orders", "/v1/orders/x", "/v1/quote", "/v1/stream", "/v1/orders?token=k-1"] {
        let answer = served.get(path).await;
        assert_eq!((answer.status, answer.code()), (401, "unauthorized"), "{path}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    for path in [format!("/api/orders/{id}"), format!("/{id}/status"), "/api/orders/execute".into(), "/ws".into()] {
        let answer = served.get(&path).await;
        assert_eq!((answer.status, &answer.body["code"]), (401, &json!("unauthorized")), "{path}");
    }
    let body = r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":1,"amount":1}"#;
    assert_eq!(served.post(ORDERS, body).await.status, 401);
    assert_eq!(served.post("/api/orders/execute", body).await.status, 401);
    // What a keyed path takes is for those with a key, and where there is no path there is nothing to keep.
    assert_eq!(served.send(served.request("DELETE", ORDERS)).await.status, 401);
    assert_eq!(served.send(served.request("DELETE", ORDERS).header("x-api-key", "k-1")).await.status, 405);
    assert_eq!(served.send(served.request("DELETE", "/health")).await.status, 404);
    assert_eq!(served.get("/v1/nowhere").await.status, 404);
    nothing_happened(&served).await;

    for (name, value, status) in [
        ("authorization", "Bearer k-1", 200),
        ("authorization", "bearer k-1", 200),
        ("x-api-key", "k-1", 200),
        ("authorization", "Bearer k-2", 401),
        ("authorization", "Basic k-1", 401),
        ("x-api-key", "", 401),
    ] {
        let answer = served.send(served.request("GET", ORDERS).header(name, value)).await;
        assert_eq!(answer.status, status, "{name}: {value}");
    }
    assert_eq!(served.try_connect("/v1/stream", &[]).await.err(), Some(401));
    assert_eq!(served.try_connect("/v1/stream?token=k-2", &[]).await.err(), Some(401));
    assert!(served.try_connect("/v1/stream?token=k-1", &[]).await.is_ok());
    assert!(served.try_connect("/v1/stream", &[("authorization", "Bearer k-1")]).await.is_ok());
}

#[tokio::test]
async fn a_foreign_page_can_neither_open_a_socket_nor_write() {
    let served = Served::with(Options { cors: true, ..Options::default() }, 16).await;
    for path in ["/v1/stream", "/ws?orderId=x", "/api/orders/execute"] {
        assert_eq!(served.try_connect(path, &[("origin", "https://evil.example")]).await.err(), Some(403), "{path}");
        assert!(served.try_connect(path, &[("origin", "null")]).await.is_ok(), "{path}");
        assert!(served.try_connect(path, &[("origin", "http://localhost:5173")]).await.is_ok(), "{path}");
    }
    let post = served.request("POST", ORDERS).header("content-type", "application/json");
    let answer = served.send(post.header("origin", "https://evil.example").body("{}")).await;
    assert_eq!((answer.status, answer.code()), (403, "forbidden"));
    for path in [ORDERS, "/api/orders/execute", "/v1/control"] {
        let rebound = served.request("GET", path).header("host", "evil.example");
        assert_eq!(served.send(rebound).await.status, 403, "{path}");
    }

    let ask = |origin: &str| {
        let ask = served.request("OPTIONS", "/api/orders/execute").header("origin", origin);
        ask.header("access-control-request-method", "POST").header("access-control-request-headers", "content-type")
    };
    let answer = served.send(ask("null")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, "null"));
    assert!(answer.header("access-control-allow-headers").contains("content-type"));
    let answer = served.send(ask("https://evil.example")).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn health_always_answers_and_readiness_names_what_is_missing() {
    let served = Served::start().await;
    let health = served.get("/health").await;
    assert_eq!((health.status, &health.body["status"]), (200, &json!("ok")));
    assert_eq!(health.body["checks"], json!({"postgres": "ok", "redis": "ok"}));
    let ready = served.get("/ready").await;
    assert_eq!((ready.status, &ready.body["missing"]), (200, &json!([])), "{ready:?}");

    let paused = served.post("/v1/control/pause", r#"{"reason":"odd prices"}"#).await;
    assert_eq!((paused.status, &paused.body["causes"][0]["cause"]), (200, &json!("api")), "{paused:?}");
    let ready = served.get("/ready").await;
    assert_eq!((ready.status, &ready.body["missing"], ready.header("retry-after")), (503, &json!(["trading"]), "1"));
    assert!(ready.body["checks"]["trading"]["reason"].as_str().unwrap().contains("odd prices"), "{ready:?}");
    let resumed = served.post("/v1/control/resume", "").await;
    assert_eq!(resumed.body, json!({"paused": false, "causes": []}));
    served.switches.halted.store(true, Ordering::Relaxed);
    assert_eq!(served.get("/ready").await.body["missing"], json!(["finality"]));
    served.switches.halted.store(false, Ordering::Relaxed);

    served.store.close().await;
    within_patience("the store to be missed", async {
        while served.get("/ready").await.body["missing"] != json!(["store"]) {
            tokio::time::sleep(Duration::from_millis(10)).await; // answers are remembered for a moment
        }
    })
    .await;
    let health = served.get("/health").await;
    assert_eq!((health.status, &health.body["status"]), (200, &json!("error")));
    assert_eq!(health.body["checks"], json!({"postgres": "error", "redis": "ok"}));
    let answer = served.post(ORDERS, r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":1}"#).await;
    assert_eq!((answer.status, answer.code(), answer.header("retry-after")), (503, "store_unavailable", "1"));
}

#[tokio::test]
async fn connections_above_the_bound_wait_for_room() {
    let served = Served::with(Options { max_connections: 1, ..Options::default() }, 16).await;
    let ask = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut first = TcpStream::connect(served.address).await.unwrap();
    first.write_all(ask).await.unwrap();
    let mut buffer = [0; 12];
    within_patience("the first answer", first.read_exact(&mut buffer)).await.unwrap();
    let mut second = TcpStream::connect(served.address).await.unwrap();
    second.write_all(ask).await.unwrap();
    assert_eq!(second.try_read(&mut buffer).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    within_patience("the second answer", second.read_exact(&mut buffer)).await.unwrap();
    assert_eq!(&buffer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn a_client_that_never_ends_its_head_is_cut_off() {
    let options = Options { header_timeout: Duration::from_millis(50), ..Options::default() };
    let served = Served::with(options, 16).await;
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut rest = Vec::new();
    within_patience("the end of the connection", slow.read_to_end(&mut rest)).await.unwrap();
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn a_body_that_never_comes_is_answered_503() {
    let options = Options { request_timeout: Duration::from_millis(50), ..Options::default() };
    let served = Served::with(options, 16).await;
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    let head =
        b"POST /v1/orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n";
    slow.write_all(head).await.unwrap();
    let mut answer = [0; 12];
    within_patience("the answer", slow.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
}

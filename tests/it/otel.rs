//! Spans at a collector: what an order did is there when the process has ended.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use tokio::{net::TcpListener, process::Command};

use crate::support::within_patience;

type Received = Arc<Mutex<Vec<u8>>>;

async fn collect(State(received): State<Received>, body: Bytes) {
    received.lock().unwrap().extend_from_slice(&body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orders_span_reaches_the_collector_with_what_happened_in_it() {
    let received = Received::default();
    let app = Router::new().route("/v1/traces", post(collect)).with_state(received.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let demo = Command::new(env!("CARGO_BIN_EXE_swapd"))
        .arg("demo")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
        .env("SWAPD_LOG", "warn,swapd=info") // a command for people says less than the daemon
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let demo = within_patience("the demo", demo).await.unwrap();
    assert!(demo.status.success(), "{demo:?}");
    server.abort();
    // Protocol Buffers keep strings as they are.
    let spans = String::from_utf8_lossy(&received.lock().unwrap()).into_owned();
    for word in ["swapd", "order_id", "order moved", "landed", "request", "/v1/orders"] {
        assert!(spans.contains(word), "no `{word}` in {} bytes of spans", spans.len());
    }
}

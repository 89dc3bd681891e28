//! Sockets: readers that fall behind or have gone, how many there may be, and how they end.

use std::time::Duration;

use swapd::api::Options;

use super::{
    acts::retrying,
    served::{Heard, Served},
    stream::{assert_gapless, cursor},
};
use crate::support::{PATIENCE, eventually, within_patience};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_cut_off_with_a_reason_and_can_resume() {
    const BIG: usize = 200_000;
    const EVENTS: usize = 120;
    let served = Served::with(Options { send_timeout: PATIENCE, ..Options::default() }, 4).await;
    let mut socket = served.connect("/v1/stream?since=0").await;
    let mut order = served.order().await;
    let mut frames = vec![socket.frame().await];
    // More than any connection buffers, while nobody reads.
    for _ in 0..EVENTS {
        served.step(&mut order, retrying("x".repeat(BIG))).await;
    }
    let reason = loop {
        match socket.hear().await {
            Heard::Frame(frame) => frames.push(frame),
            Heard::Close(code, reason) => {
                assert_eq!(code, 1013, "{reason}");
                break reason;
            }
        }
    };
    let since = reason.strip_prefix("too slow: resume with since=").unwrap();
    assert_eq!(since, cursor(frames.last().unwrap()).to_string(), "it says exactly where this client stands");
    assert!(frames.len() <= EVENTS);
    let mut socket = served.connect(&format!("/v1/stream?since={since}")).await;
    frames.extend(socket.frames(EVENTS + 1 - frames.len()).await);
    assert_gapless(&frames);
    socket.is_silent().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_reads_nothing_loses_its_place() {
    let options = Options { send_timeout: Duration::from_millis(50), max_sockets: 1, ..Options::default() };
    let served = Served::with(options, 1_024).await;
    let mut order = served.order().await;
    let _deaf = served.connect("/v1/stream?since=0").await;
    for _ in 0..120 {
        served.step(&mut order, retrying("x".repeat(200_000))).await;
    }
    eventually("room for a socket", async || served.try_connect("/v1/stream", &[]).await).await;
}

#[tokio::test]
async fn sockets_above_the_bound_are_refused_until_one_has_gone() {
    let served = Served::with(Options { max_sockets: 2, ..Options::default() }, 16).await;
    let first = served.connect("/v1/stream").await;
    let _second = served.connect("/v1/stream").await;
    assert_eq!(served.try_connect("/v1/stream", &[]).await.err(), Some(503));
    assert_eq!(served.try_connect("/ws?orderId=x", &[]).await.err(), Some(503));
    drop(first);
    eventually("room for a socket", async || served.try_connect("/v1/stream", &[]).await).await;
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_dropped_and_one_that_does_stays() {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };
    let served = Served::with(Options { ping_interval: Duration::from_millis(200), ..Options::default() }, 16).await;
    let mut dead = TcpStream::connect(served.address).await.unwrap();
    let handshake = b"GET /v1/stream HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    dead.write_all(handshake).await.unwrap();
    let mut rest = Vec::new();
    let ended = dead.read_to_end(&mut rest); // reads the pings, answers none
    // Reading answers pings.
    let mut alive = served.connect("/v1/stream").await;
    tokio::select! {
        heard = alive.hear() => panic!("a silent stream said {heard:?}"),
        ended = within_patience("the end of a dead peer", ended) => { ended.unwrap(); }
    }
    assert!(rest.starts_with(b"HTTP/1.1 101"));
    served.order().await;
    assert_eq!(alive.frame().await["event"], "created");
}

#[tokio::test]
async fn a_shutdown_closes_sockets_with_a_reason_and_ends() {
    let served = Served::start().await;
    let order = served.order().await;
    let mut all = served.connect("/v1/stream?since=0").await;
    all.frame().await;
    let mut one = served.connect(&format!("/ws?orderId={}", order.id)).await;
    assert_eq!(one.frame().await["status"], "pending");
    served.shutdown.cancel();
    assert_eq!(all.closed().await, (1001, "the daemon is shutting down: resume with since=1".into()));
    assert_eq!(one.closed().await.0, 1001);
    served.stop().await;
}

#[tokio::test]
async fn a_request_that_has_begun_is_finished_during_a_shutdown() {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };
    let served = Served::start().await;
    let mut socket = served.connect("/v1/stream").await;
    let body = br#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":1}"#;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    // With `expect`, the daemon says when it has begun to read the body.
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    within_patience("100 Continue", client.read_exact(&mut go_on)).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"));
    served.shutdown.cancel();
    assert_eq!(socket.closed().await.0, 1001);
    client.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    within_patience("the answer and the end", client.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 201"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(served.queue.depth().await.unwrap(), 1);
    served.stop().await;
}

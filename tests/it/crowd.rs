//! A crowd at the sockets of the real daemon: a thousand on one order, five thousand on everything, some of them deaf.

use std::{collections::HashSet, fs, time::Duration};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::support::{
    daemon::{Daemon, Setup, World},
    within_patience,
};

const SLOT: Duration = Duration::from_millis(50);
/// Handshakes on their way at the same time: fewer than a listener's backlog.
const HANDSHAKES: usize = 64;
/// What the daemon may take for each socket of a crowd, with all its buffers.
const BYTES_PER_SOCKET: u64 = 32 * 1024;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A daemon with room for `sockets`, and as many descriptors as both ends need.
async fn roomy(world: &World, sockets: usize) -> Daemon {
    let limit = rlimit::increase_nofile_limit(rlimit::INFINITY).unwrap();
    assert!(limit > sockets as u64 + 1_000, "this machine allows {limit} open files: too few for {sockets} sockets");
    let setup = Setup { api: format!("max_sockets = {sockets}"), ..world.embedded() };
    Daemon::start(world, &setup, "all").await
}

async fn connect(daemon: &Daemon, path: &str, count: usize) -> Vec<Socket> {
    let url = format!("{}{path}", daemon.ws());
    stream::iter(0..count)
        .map(|_| async { within_patience("a socket", connect_async(&url)).await.unwrap().0 })
        .buffer_unordered(HANDSHAKES)
        .collect()
        .await
}

/// The next frame's text; panics when the socket ends.
async fn text(socket: &mut Socket) -> String {
    loop {
        match within_patience("a frame", socket.next()).await.expect("the daemon closed").unwrap() {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) => {}
            other => panic!("not a frame: {other:?}"),
        }
    }
}

/// What every one of them hears, up to the frame that `is_last`; they must all hear the same.
async fn heard_by_all(sockets: &mut [Socket], is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut first: Option<Vec<String>> = None;
    for socket in sockets {
        let mut heard = Vec::new();
        loop {
            let frame = text(socket).await;
            let last = is_last(&serde_json::from_str(&frame).unwrap());
            heard.push(frame);
            if last {
                break;
            }
        }
        match &first {
            None => first = Some(heard),
            Some(first) => assert!(*first == heard, "two sockets heard different things: {first:?} and {heard:?}"),
        }
    }
    first.unwrap().iter().map(|frame| serde_json::from_str(frame).unwrap()).collect()
}

/// Bytes of memory that the process holds.
fn resident(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn swap() -> Value {
    json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"})
}

fn is_settled(frame: &Value) -> bool {
    frame["event"] == "settled" || (frame["event"] == "landed" && !frame["fill"].is_null())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_sockets_on_one_order_hear_the_same_from_the_first_frame_on() {
    let world = World::start(SLOT, 1).await;
    let daemon = roomy(&world, 1_000).await;
    let id = daemon.order(&swap()).await;
    let mut sockets = connect(&daemon, &format!("/v1/stream?orderId={id}"), 1_000).await;
    let heard = heard_by_all(&mut sockets, is_settled).await;
    assert_eq!(heard, *daemon.ended(&id).await["history"].as_array().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_on_the_firehose_hear_everything_though_some_are_deaf() {
    const CROWD: usize = 5_000;
    const DEAF: usize = 50;
    const ORDERS: usize = 5;
    let world = World::start(SLOT, 1).await;
    let daemon = roomy(&world, CROWD).await;
    daemon.ended(&daemon.order(&swap()).await).await; // whatever is allocated once is allocated now
    let before = resident(&daemon);
    let mut sockets = connect(&daemon, "/v1/stream", CROWD).await;
    let _deaf = sockets.split_off(CROWD - DEAF);

    let mut ids = HashSet::new();
    for _ in 0..ORDERS {
        ids.insert(daemon.order(&swap()).await);
    }
    for id in &ids {
        assert_eq!(daemon.ended(id).await["status"], "confirmed", "no client is delayed for ever by a crowd");
    }
    let last = daemon.get("/v1/orders?limit=1").await; // answered while five thousand are being told
    assert_eq!(last.0, 200);
    let newest = newest_cursor(&daemon, &ids).await;
    let heard = heard_by_all(&mut sockets, |frame| frame["cursor"].as_u64() == Some(newest)).await;
    let cursors: Vec<u64> = heard.iter().map(|frame| frame["cursor"].as_u64().unwrap()).collect();
    assert!(cursors.windows(2).all(|pair| pair[1] == pair[0] + 1), "a gap: {cursors:?}");
    let told: HashSet<String> = heard.iter().map(|frame| frame["orderId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, ids);

    let grown = resident(&daemon).saturating_sub(before);
    eprintln!("{CROWD} sockets: {} KiB each in the daemon", grown / 1024 / CROWD as u64);
    assert!(grown < CROWD as u64 * BYTES_PER_SOCKET, "{grown} bytes for {CROWD} sockets");
}

/// The newest event's cursor, all of these orders having ended.
async fn newest_cursor(daemon: &Daemon, ids: &HashSet<String>) -> u64 {
    let mut newest = 0;
    for id in ids {
        let (_, order) = daemon.get(&format!("/v1/orders/{id}")).await;
        newest = newest.max(order["history"].as_array().unwrap().last().unwrap()["cursor"].as_u64().unwrap());
    }
    newest
}

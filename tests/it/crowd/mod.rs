//! A crowd at the sockets of the real daemon: a thousand on one order, five thousand on everything, some of them deaf,
//! and a few who trade meanwhile.

mod delays;

use std::{collections::HashSet, fs, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, future::join_all, stream};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async, connect_async,
    tungstenite::{Error, Message},
};

use crate::support::{
    daemon::{Daemon, Setup, World},
    eventually, within_patience,
};

const SLOT: Duration = Duration::from_millis(50);
/// Handshakes on their way at the same time: fewer than a listener's backlog.
const HANDSHAKES: usize = 64;
/// What the daemon may take for each socket of a crowd, with all its buffers.
const BYTES_PER_SOCKET: u64 = 32 * 1024;
/// What a deaf client's system keeps for it: as little as it allows.
const DEAF_BUFFER: u32 = 4 * 1024;
/// What may be on its way to a client that does not read, in the daemon and in both systems.
const MOST_UNREAD: usize = 320 * 1024;

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

/// A socket that is told everything from the beginning, and is not going to read it.
async fn connect_deaf(daemon: &Daemon) -> WebSocketStream<TcpStream> {
    let address: SocketAddr = daemon.url().trim_start_matches("http://").parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(DEAF_BUFFER).unwrap();
    let stream = within_patience("a connection", socket.connect(address)).await.unwrap();
    let url = format!("{}/v1/stream?since=0", daemon.ws());
    within_patience("a socket", client_async(url, stream)).await.unwrap().0
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

/// What one socket hears, up to the frame that `is_last`.
async fn heard(socket: &mut Socket, is_last: impl Fn(&Value) -> bool) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        heard.push(text(socket).await);
        if is_last(&parsed(heard.last().unwrap())) {
            return heard;
        }
    }
}

/// What every one of them hears, up to the frame that `is_last`; they must all hear the same.
async fn heard_by_all(sockets: &mut [Socket], is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
    let (first, others) = sockets.split_first_mut().unwrap();
    let told = heard(first, is_last).await;
    for socket in others {
        for expected in &told {
            assert_eq!(text(socket).await, *expected, "two sockets heard different things");
        }
    }
    told.iter().map(|frame| parsed(frame)).collect()
}

fn parsed(frame: &str) -> Value {
    serde_json::from_str(frame).unwrap()
}

/// Places an order and follows it on a socket of its own until its amounts are known; REST says the same.
async fn trade(daemon: &Daemon) -> String {
    let id = daemon.order(&swap()).await;
    let mut socket = connect(daemon, &format!("/v1/stream?orderId={id}"), 1).await.remove(0);
    let told = heard(&mut socket, is_settled).await;
    let order = daemon.ended(&id).await;
    assert_eq!(order["status"], "confirmed", "{order}");
    let told: Vec<Value> = told.iter().map(|frame| parsed(frame)).collect();
    assert_eq!(told, *order["history"].as_array().unwrap());
    id
}

/// What a socket that was deaf finds when it reads at last: the frames, and how many bytes they are.
async fn found_unread(mut socket: WebSocketStream<TcpStream>) -> (Vec<Value>, usize) {
    let (mut frames, mut bytes) = (Vec::new(), 0);
    loop {
        match within_patience("the rest of what was sent", socket.next()).await {
            Some(Ok(Message::Text(text))) => {
                bytes += text.len();
                frames.push(parsed(&text));
            }
            Some(Ok(Message::Ping(_) | Message::Close(_))) => {}
            // The daemon gave it up in the midst of a frame.
            Some(Err(Error::Protocol(_) | Error::Io(_))) | None => return (frames, bytes),
            other => panic!("not a frame: {other:?}"),
        }
    }
}

fn cursors(frames: &[Value]) -> Vec<u64> {
    frames.iter().map(|frame| frame["cursor"].as_u64().unwrap()).collect()
}

fn is_gapless(frames: &[Value]) -> bool {
    cursors(frames).windows(2).all(|pair| pair[1] == pair[0] + 1)
}

/// Bytes of memory that the process holds.
fn resident(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Sockets that the daemon counts as open.
async fn open_sockets(daemon: &Daemon) -> usize {
    let page = reqwest::get(format!("{}/metrics", daemon.url())).await.unwrap().text().await.unwrap();
    let value = page.lines().find_map(|line| line.strip_prefix("swapd_sockets "));
    value.unwrap_or_else(|| panic!("no number of sockets: {page}")).parse::<f64>().unwrap() as usize
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
async fn whoever_trades_among_five_thousand_listeners_hears_everything_though_some_are_deaf() {
    const CROWD: usize = 5_000;
    const DEAF: usize = 50;
    const TRADERS: usize = 8;
    /// So many that nobody's buffers hold what a deaf socket is owed.
    const BEFORE: usize = 80;
    let world = World::start(SLOT, 4).await;
    let daemon = roomy(&world, CROWD + TRADERS).await;
    let earlier = join_all((0..BEFORE).map(async |_| daemon.order(&swap()).await)).await;
    for id in earlier {
        daemon.ended(&id).await; // whatever is allocated once is allocated now
    }
    let before = resident(&daemon);
    let mut crowd = connect(&daemon, "/v1/stream", CROWD - DEAF).await;
    let deaf = join_all((0..DEAF).map(|_| connect_deaf(&daemon))).await;

    // Nothing of the deaf ones' is read until the traders are done.
    let ids: HashSet<String> = join_all((0..TRADERS).map(|_| trade(&daemon))).await.into_iter().collect();
    let newest = newest_cursor(&daemon, &ids).await;
    let told = heard_by_all(&mut crowd, |frame| frame["cursor"].as_u64() == Some(newest)).await;
    assert!(is_gapless(&told), "a gap: {:?}", cursors(&told));
    assert_eq!(told.iter().map(|frame| frame["orderId"].as_str().unwrap().to_owned()).collect::<HashSet<_>>(), ids);

    let grown = resident(&daemon).saturating_sub(before);
    eprintln!("{CROWD} sockets: {} KiB each in the daemon", grown / 1024 / CROWD as u64);
    assert!(grown < CROWD as u64 * BYTES_PER_SOCKET, "{grown} bytes for {CROWD} sockets");

    eventually("the deaf sockets to be given up", || async {
        let open = open_sockets(&daemon).await;
        if open == CROWD - DEAF { Ok(()) } else { Err(open) }
    })
    .await;
    for socket in deaf {
        let (mut frames, bytes) = found_unread(socket).await;
        assert!(bytes < MOST_UNREAD, "{bytes} bytes waited for a client that read nothing");
        // What it got is the beginning, and from there it goes on.
        let since = cursors(&frames).last().copied().unwrap_or_default();
        let mut again = connect(&daemon, &format!("/v1/stream?since={since}"), 1).await.remove(0);
        let rest = heard(&mut again, |frame| frame["cursor"].as_u64() == Some(newest)).await;
        frames.extend(rest.iter().map(|frame| parsed(frame)));
        assert!(is_gapless(&frames) && frames[0]["cursor"] == 1, "a gap: {:?}", cursors(&frames));
    }
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

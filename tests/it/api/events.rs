//! `/v1/events`, Server-Sent Events, as their clients see them.

use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;
use swapd::{
    api::Options,
    domain::{Lamports, OrderEvent, VenueId},
};

use super::{acts, served::Served};
use crate::support::{PATIENCE, eventually, within_patience};

/// A browser's side of a stream: blocks of lines, and the last id it has seen.
pub struct Source {
    response: reqwest::Response,
    buffer: String,
    last_id: Option<u64>,
}

/// A block of a stream that a page is told of.
#[derive(Debug, PartialEq)]
pub struct Message {
    pub id: Option<u64>,
    pub event: String,
    pub data: Value,
}

impl Source {
    pub async fn open(served: &Served, path: &str) -> Self {
        Self::resume(served, path, None).await
    }

    async fn resume(served: &Served, path: &str, last_id: Option<u64>) -> Self {
        let mut request = served.request("GET", path).header("accept", "text/event-stream");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id.to_string());
        }
        let response = within_patience("an answer", request.send()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, buffer: String::new(), last_id }
    }

    /// The next block, as its fields; `None` at the end of the stream.
    pub async fn block(&mut self) -> Option<Vec<(String, String)>> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let fields = block.lines().map(|line| {
                    let (name, value) = line.split_once(':').unwrap();
                    (name.to_owned(), value.trim_start().to_owned())
                });
                let fields: Vec<_> = fields.collect();
                self.buffer = rest.to_owned();
                if let Some((_, id)) = fields.iter().find(|(name, _)| name == "id") {
                    self.last_id = Some(id.parse().unwrap());
                }
                return Some(fields);
            }
            let chunk = within_patience("a chunk", self.response.chunk()).await.ok()??;
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Whether no message has come yet.
    pub fn has_heard_nothing(&mut self) -> bool {
        self.message().now_or_never().is_none()
    }

    /// The next message, past comments.
    async fn message(&mut self) -> Option<Message> {
        loop {
            let fields = self.block().await?;
            let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone());
            if let Some(data) = field("data") {
                let id = field("id").map(|id| id.parse().unwrap());
                return Some(Message {
                    id,
                    event: field("event").unwrap(),
                    data: serde_json::from_str(&data).unwrap(),
                });
            }
        }
    }

    pub async fn messages(&mut self, count: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        for _ in 0..count {
            messages.push(self.message().await.expect("the stream ended"));
        }
        messages
    }
}

#[tokio::test]
async fn an_order_is_told_from_its_first_event_to_the_one_that_ends_it() {
    let served = Served::start().await;
    let mut order = served.order().await;
    let path = format!("/v1/events?orderId={}", order.id);
    let mut source = Source::open(&served, &path).await;
    let mut socket = served.connect(&format!("/v1/stream?orderId={}", order.id)).await;
    served.order().await; // another order's events are not this stream's
    served.step(&mut order, OrderEvent::Claimed).await;
    served.step(&mut order, OrderEvent::Cancelled).await;
    let told = source.messages(3).await;
    assert_eq!(source.message().await, None, "the stream ends with the order");
    let names: Vec<_> = told.iter().map(|message| message.event.as_str()).collect();
    assert_eq!(names, ["created", "claimed", "cancelled"]);
    for (message, frame) in told.iter().zip(socket.frames(3).await) {
        assert_eq!(message.data, frame, "as over the WebSocket");
        assert_eq!(message.id, frame["cursor"].as_u64());
    }
    let mut rest = Source::resume(&served, &path, told[0].id).await;
    assert_eq!(rest.messages(2).await, told[1..]);
    assert_eq!(rest.message().await, None);
    // A browser asks again after every end. This answer tells it to stop.
    let again = served.request("GET", &path).header("last-event-id", told[2].id.unwrap().to_string());
    assert_eq!(served.send(again).await.status, 204);
}

#[tokio::test]
async fn a_landed_order_is_told_with_its_amounts_when_they_come_in_time() {
    for settles in [true, false] {
        let options = Options { settle_wait: if settles { PATIENCE } else { Duration::ZERO }, ..Options::default() };
        let served = Served::with(options, 64).await;
        let mut order = served.order().await;
        let mut source = Source::open(&served, &format!("/v1/events?orderId={}", order.id)).await;
        served.step(&mut order, OrderEvent::Claimed).await;
        let event = acts::routed(&order, VenueId::RaydiumCpmm);
        served.step(&mut order, event).await;
        let attempt = acts::attempt(&order);
        served.step(&mut order, OrderEvent::Signed { attempt: attempt.clone() }).await;
        served.step(&mut order, acts::landed(&attempt, None)).await;
        let last = if settles { "settled" } else { "landed" };
        if settles {
            let event = OrderEvent::Settled { fill: acts::fill(&order), fee: Lamports::new(5_010) };
            served.step(&mut order, event).await;
        }
        let mut told = Vec::new();
        while let Some(message) = source.message().await {
            told.push(message.event);
        }
        assert_eq!(told.last().unwrap(), last, "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_is_cut_off_again_and_again_misses_nothing_and_hears_nothing_twice() {
    const WRITERS: usize = 4;
    const EVENTS: usize = 30;
    let served = Served::start().await;
    // Opened before anything has happened: the id to resume with comes before the first event.
    let mut source = Source::open(&served, "/v1/events").await;
    source.block().await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (journal, mut order) = (served.journal.clone(), served.order().await);
        writers.spawn(async move {
            for n in 0..EVENTS {
                journal.append(&mut order, acts::retrying(format!("{n}")), None).await.unwrap();
            }
        });
    }
    let total = WRITERS * (EVENTS + 1);
    let mut cursors = Vec::new();
    while cursors.len() < total {
        source = Source::resume(&served, "/v1/events", source.last_id).await;
        for message in source.messages((total - cursors.len()).min(7)).await {
            cursors.push(message.id.unwrap());
        }
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    let expected: Vec<u64> = (1..=total as u64).collect();
    assert_eq!(cursors, expected);
}

#[tokio::test]
async fn heartbeats_carry_the_id_past_events_that_were_not_wanted() {
    let options = Options { ping_interval: Duration::from_millis(20), ..Options::default() };
    let served = Served::with(options, 64).await;
    let mut source = Source::open(&served, "/v1/events?status=confirmed").await;
    served.order().await;
    served.order().await;
    within_patience("an id past the two orders", async {
        while source.last_id != Some(2) {
            let fields = source.block().await.unwrap();
            assert!(fields.iter().all(|(name, _)| name != "data"), "{fields:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_falls_behind_is_told_so_and_can_resume() {
    const EVENTS: usize = 120;
    let served = Served::with(Options { send_timeout: PATIENCE, ..Options::default() }, 4).await;
    let mut source = Source::open(&served, "/v1/events").await;
    let mut order = served.order().await;
    // More than any connection buffers, while nobody reads.
    for _ in 0..EVENTS {
        served.step(&mut order, acts::retrying("x".repeat(200_000))).await;
    }
    let mut cursors = Vec::new();
    let closed = loop {
        let message = source.message().await.expect("a reason");
        match message.id {
            Some(id) => cursors.push(id),
            None => break message,
        }
    };
    assert_eq!((closed.event.as_str(), &closed.data["reason"]), ("closed", &"too slow".into()));
    assert_eq!(closed.data["since"].as_u64(), cursors.last().copied());
    assert_eq!(source.message().await, None);
    let mut source = Source::resume(&served, "/v1/events", source.last_id).await;
    while cursors.len() < EVENTS + 1 {
        cursors.push(source.message().await.expect("the rest").id.unwrap());
    }
    assert_eq!(cursors, (1..=EVENTS as u64 + 1).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_reads_nothing_is_cut_off() {
    let options = Options { send_timeout: Duration::from_millis(50), max_sockets: 1, ..Options::default() };
    let served = Served::with(options, 1_024).await;
    let mut order = served.order().await;
    let _deaf = Source::open(&served, "/v1/events?since=0").await;
    let refused = served.get("/v1/events").await;
    assert_eq!((refused.status, refused.code()), (503, "rate_limited"));
    for _ in 0..120 {
        served.step(&mut order, acts::retrying("x".repeat(200_000))).await;
    }
    eventually("room for a stream", async || served.try_connect("/v1/stream", &[]).await).await;
}

#[tokio::test]
async fn streams_count_as_sockets_and_keep_no_connection_from_others() {
    let options = Options { max_connections: 2, max_sockets: 3, ..Options::default() };
    let served = Served::with(options, 64).await;
    let order = served.order().await;
    let mut sources = Vec::new();
    for _ in 0..2 {
        sources.push(Source::open(&served, "/v1/events?since=0").await);
    }
    sources.push(Source::open(&served, &format!("/v1/events?orderId={}", order.id)).await);
    assert_eq!(served.try_connect("/v1/stream", &[]).await.err(), Some(503), "sockets are what there are too many of");
    for source in &mut sources {
        assert_eq!(source.messages(1).await[0].event, "created");
    }
    drop(sources);
    eventually("room for a socket", async || served.try_connect("/v1/stream", &[]).await).await;
}

#[tokio::test]
async fn a_stream_is_the_last_answer_on_its_connection() {
    let served = Served::with(Options { max_connections: 1, ..Options::default() }, 64).await;
    let mut order = served.order().await;
    served.step(&mut order, OrderEvent::Cancelled).await;
    let mut source = Source::open(&served, &format!("/v1/events?orderId={}", order.id)).await;
    assert_eq!(source.response.headers()["connection"], "close", "or it would be kept without a place");
    source.messages(2).await;
    assert_eq!(source.message().await, None);
    assert_eq!(served.get("/v1/tokens").await.status, 200);
}

#[tokio::test]
async fn a_shutdown_ends_streams_with_a_reason() {
    let served = Served::start().await;
    served.order().await;
    let mut source = Source::open(&served, "/v1/events?since=0").await;
    source.messages(1).await;
    served.shutdown.cancel();
    let closed = source.message().await.unwrap();
    assert_eq!((closed.event.as_str(), &closed.data["since"]), ("closed", &1.into()));
    assert!(closed.data["reason"].as_str().unwrap().contains("shutting down"));
    served.stop().await;
}

#[tokio::test]
async fn a_wrong_question_is_refused_and_a_browser_may_bring_its_key_in_the_address() {
    let served = Served::start().await;
    let order = served.order().await;
    for (path, status) in [
        ("/v1/events?status=done".to_owned(), 400),
        ("/v1/events?event=exploded".to_owned(), 400),
        ("/v1/events?pair=SOL".to_owned(), 400),
        ("/v1/events?pair=SOL-DOGE".to_owned(), 400),
        ("/v1/events?wallet=me".to_owned(), 400),
        ("/v1/events?orderIds=x".to_owned(), 400),
        (format!("/v1/events?orderId={}&status=failed", order.id), 400),
        ("/v1/events?orderId=x".to_owned(), 404),
        ("/v1/events?since=-1".to_owned(), 400),
        ("/v1/events?colour=red".to_owned(), 400),
    ] {
        assert_eq!(served.get(&path).await.status, status, "{path}");
    }
    for odd in ["abc", "90000"] {
        let request = served.request("GET", "/v1/events").header("last-event-id", odd);
        assert_eq!(served.send(request).await.status, 400, "{odd}");
    }
    let ahead = served.get("/v1/events?since=2").await;
    assert!(ahead.body["error"]["message"].as_str().unwrap().contains("newest event, whose cursor is 1"), "{ahead:?}");

    let keyed = Served::keyed("secret").await;
    assert_eq!(keyed.get("/v1/events?token=secret").await.status, 401, "only a browser's stream is read that way");
    Source::open(&keyed, "/v1/events?token=secret").await;
}

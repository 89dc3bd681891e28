//! Who listens to everything delays nobody else.

use std::sync::mpsc::{Sender, channel};

use swapd::domain::OrderEvent;

use super::{events::Source, served::Served};
use crate::support::eventually;

/// Keeps every thread of the gallery busy, as a crowd would, until the answer is dropped.
async fn busy(served: &Served) -> Vec<Sender<()>> {
    let gallery = served.gallery.handle();
    let (began, begun) = channel();
    let mut ends = Vec::new();
    for _ in 0..gallery.metrics().num_workers() {
        let (end, ended) = channel::<()>();
        let began = began.clone();
        gallery.spawn(async move {
            began.send(()).unwrap();
            let _ = ended.recv(); // an error says that the test goes on
        });
        ends.push(end);
    }
    let mut running = 0;
    eventually("all of its threads to be busy", || {
        running += begun.try_iter().count();
        let all = if running == ends.len() { Ok(()) } else { Err(()) };
        async move { all }
    })
    .await;
    ends
}

#[tokio::test]
async fn requests_and_whoever_follows_an_order_do_not_wait_for_those_who_listen_to_everything() {
    let served = Served::start().await;
    let mut everything = served.connect("/v1/stream").await;
    let mut source = Source::open(&served, "/v1/events").await;
    source.block().await.unwrap(); // the greeting
    let busy = busy(&served).await;
    everything.say("ping").await;

    let mut order = served.order().await;
    let mut own = served.connect(&format!("/v1/stream?orderId={}", order.id)).await;
    served.step(&mut order, OrderEvent::Cancelled).await;
    let told = own.frames(2).await;
    assert_eq!((&told[0]["event"], &told[1]["event"]), (&"created".into(), &"cancelled".into()));
    for _ in 0..5 {
        assert!(everything.has_heard_nothing() && source.has_heard_nothing(), "they do not share their threads");
        served.get("/v1/tokens").await; // a turn in which they would hear it, if they could
    }

    drop(busy);
    let mut heard = everything.frames(3).await;
    heard.retain(|frame| frame["type"] != "pong");
    assert_eq!(heard, told);
    assert_eq!(source.messages(2).await.into_iter().map(|message| message.data).collect::<Vec<_>>(), told);
}

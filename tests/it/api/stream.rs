//! `/v1/stream` as its clients see it.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;
use swapd::{
    api::Options,
    domain::{OrderEvent, StoredEvent, VenueId},
    store::StoreError,
};

use super::{
    acts,
    served::{Served, Socket},
};
use crate::support::{
    eventually,
    servers::{Disk, PostgresServer, RedisServer, create_database},
};

pub(super) fn cursor(frame: &Value) -> u64 {
    frame["cursor"].as_u64().unwrap()
}

/// Cursors grow by one, and each order's own numbers, too: no gap, no duplicate, in order.
pub(super) fn assert_gapless(frames: &[Value]) {
    let mut next = HashMap::new();
    for pair in frames.windows(2) {
        assert_eq!(cursor(&pair[1]), cursor(&pair[0]) + 1);
    }
    for frame in frames {
        let seq = frame["seq"].as_u64().unwrap();
        let expected = next.insert(frame["orderId"].as_str().unwrap(), seq + 1);
        assert!(expected.is_none_or(|expected| expected == seq), "{frame}");
    }
}

#[tokio::test]
async fn an_order_is_told_from_its_first_event_and_then_live() {
    let served = Served::start().await;
    let mut order = served.order().await;
    served.step(&mut order, OrderEvent::Claimed).await;
    let mut socket = served.connect(&format!("/v1/stream?orderId={}", order.id)).await;
    let stored = socket.frames(2).await;
    assert_eq!((&stored[0]["event"], &stored[1]["event"]), (&"created".into(), &"claimed".into()));
    served.order().await; // another order's events are not this socket's
    let event = acts::routed(&order, VenueId::RaydiumCpmm);
    served.step(&mut order, event).await;
    let attempt = acts::attempt(&order);
    served.step(&mut order, OrderEvent::Signed { attempt: attempt.clone() }).await;
    let live = socket.frames(2).await;
    assert_eq!(
        (&live[0]["event"], &live[0]["seq"], &live[0]["status"]),
        (&"routed".into(), &3.into(), &"building".into())
    );
    assert_eq!(live[1]["txHash"], attempt.signature.to_string(), "before anything was sent");
    socket.is_silent().await;

    let mut again = served.connect(&format!("/v1/stream?orderId={}&since={}", order.id, cursor(&stored[1]))).await;
    assert_eq!(again.frames(2).await, live);
    again.is_silent().await;
}

#[tokio::test]
async fn the_firehose_begins_now_or_where_it_is_asked_to() {
    let served = Served::start().await;
    let before = served.order().await;
    let mut all = served.connect("/v1/stream?since=0").await;
    assert_eq!(all.frame().await["orderId"], before.id.to_string());
    let mut live = served.connect("/v1/stream").await;
    live.is_silent().await;
    let after = served.order().await;
    assert_eq!(live.frame().await["orderId"], after.id.to_string());
    assert_eq!(all.frame().await["orderId"], after.id.to_string());
}

#[tokio::test]
async fn a_stream_is_not_resumed_after_an_event_that_never_was() {
    let served = Served::start().await;
    let order = served.order().await;
    let mut first = served.connect("/v1/stream?since=0").await;
    let newest = cursor(&first.frame().await);
    for path in ["/v1/stream?", &format!("/v1/stream?orderId={}&", order.id)] {
        let ahead = format!("{path}since={}", newest + 1);
        assert_eq!(served.try_connect(&ahead, &[]).await.err(), Some(400), "{ahead}");
        served.connect(&format!("{path}since={newest}")).await.is_silent().await;
    }
}

#[tokio::test]
async fn a_process_that_lags_resumes_what_another_one_told() {
    let served = Served::start().await;
    let mut order = served.order().await;
    // Stored and published elsewhere: here it is only found by the next look at the store.
    order.apply(&OrderEvent::Claimed, order.updated_at).unwrap();
    let told = served.store.append(&order, &OrderEvent::Claimed, None).await.unwrap().cursor;
    let mut socket = served.connect(&format!("/v1/stream?since={told}")).await;
    served.step(&mut order, OrderEvent::Cancelled).await;
    assert_eq!(cursor(&socket.frame().await), told + 1);
}

#[tokio::test]
async fn a_filter_lets_through_what_it_names() {
    let served = Served::start().await;
    let mut cancelled = served.connect("/v1/stream?status=cancelled,failed&since=0").await;
    let mut selling_usdc = served.connect("/v1/stream?tokenIn=USDC&since=0").await;
    for token in ["SOL", "USDC"] {
        let other = if token == "SOL" { "USDC" } else { "FEE" };
        let body = format!(r#"{{"tokenIn":"{token}","tokenOut":"{other}","amountIn":1}}"#);
        let id = served.post("/v1/orders", &body).await.body["id"].as_str().unwrap().to_owned();
        let mut order = served.load(&id).await;
        served.step(&mut order, OrderEvent::Claimed).await;
        served.step(&mut order, OrderEvent::Cancelled).await;
    }
    let frames = cancelled.frames(2).await;
    assert!(frames.iter().all(|frame| frame["event"] == "cancelled"));
    assert_eq!((&frames[0]["tokenIn"], &frames[1]["tokenIn"]), (&"SOL".into(), &"USDC".into()));
    let frames = selling_usdc.frames(3).await;
    assert_eq!(frames.iter().map(cursor).collect::<Vec<_>>(), [4, 5, 6]);
    cancelled.is_silent().await;
    selling_usdc.is_silent().await;
    assert_eq!(served.try_connect("/v1/stream?status=done", &[]).await.err(), Some(400));
    assert_eq!(served.try_connect("/v1/stream?tokenOut=DOGE", &[]).await.err(), Some(400));
}

#[tokio::test]
async fn a_stream_of_some_orders_or_one_kind_of_event_or_one_pair_tells_only_those() {
    let served = Served::start().await;
    let mut some = Vec::new();
    for body in [
        r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":1}"#,
        r#"{"tokenIn":"USDC","tokenOut":"SOL","amountIn":1}"#,
        r#"{"tokenIn":"SOL","tokenOut":"FEE","amountIn":1}"#,
    ] {
        let id = served.post("/v1/orders", body).await.body["id"].as_str().unwrap().to_owned();
        some.push(served.load(&id).await);
    }
    let mut two = served.connect(&format!("/v1/stream?since=0&orderIds={},{}", some[0].id, some[2].id)).await;
    let mut claims = served.connect("/v1/stream?since=0&event=claimed,landed").await;
    let mut pair = served.connect("/v1/stream?since=0&pair=usdc-SOL").await;
    for order in &mut some {
        served.step(order, OrderEvent::Claimed).await;
    }
    let cursors = |frames: Vec<Value>| frames.iter().map(cursor).collect::<Vec<_>>();
    assert_eq!(cursors(two.frames(4).await), [1, 3, 4, 6]);
    assert_eq!(cursors(claims.frames(3).await), [4, 5, 6]);
    assert_eq!(cursors(pair.frames(4).await), [1, 2, 4, 5], "in both directions");
    for socket in [&mut two, &mut claims, &mut pair] {
        socket.is_silent().await;
    }
    for wrong in ["event=x", "pair=SOL", "pair=SOL-DOGE", "wallet=x", "orderIds=x"] {
        assert_eq!(served.try_connect(&format!("/v1/stream?{wrong}"), &[]).await.err(), Some(400), "{wrong}");
    }
    let many = vec![some[0].id.to_string(); 101].join(",");
    assert_eq!(served.try_connect(&format!("/v1/stream?orderIds={many}"), &[]).await.err(), Some(400));
}

#[tokio::test]
async fn a_wallets_stream_tells_its_orders_from_the_moment_it_is_known_whose_they_are() {
    let served = Served::start().await;
    let (mut ours, mut theirs) = (served.order().await, served.order().await);
    let routed = acts::routed(&ours, VenueId::RaydiumCpmm);
    let OrderEvent::Routed { wallet: Some(wallet), .. } = &routed else { panic!("no wallet") };
    let path = format!("/v1/stream?since=0&wallet={wallet}");
    let mut live = served.connect(&path).await;
    live.is_silent().await;
    for order in [&mut ours, &mut theirs] {
        served.step(order, OrderEvent::Claimed).await;
    }
    served.step(&mut ours, routed).await;
    let event = acts::routed(&theirs, VenueId::RaydiumCpmm);
    served.step(&mut theirs, event).await;
    served.step(&mut ours, OrderEvent::Cancelled).await;
    let names = |frames: Vec<Value>| frames.iter().map(|frame| frame["event"].clone()).collect::<Vec<_>>();
    let told = names(live.frames(2).await);
    assert_eq!(told, ["routed", "cancelled"]);
    live.is_silent().await;
    let mut again = served.connect(&path).await;
    assert_eq!(names(again.frames(4).await), ["created", "claimed", "routed", "cancelled"]);
    again.is_silent().await;
}

#[tokio::test]
async fn whose_an_order_is_is_read_once_and_then_told_by_its_events() {
    let served = Served::start().await;
    let ours = served.order().await;
    let routed = acts::routed(&ours, VenueId::RaydiumCpmm);
    let OrderEvent::Routed { wallet: Some(wallet), .. } = &routed else { panic!("no wallet") };
    let mut all = served.connect(&format!("/v1/stream?since=0&wallet={wallet}")).await;
    let mut signatures = served.connect(&format!("/v1/stream?since=0&wallet={wallet}&event=created,signed")).await;
    let named = format!(r#"{{"tokenIn":"SOL","tokenOut":"USDC","amountIn":1,"wallet":"{wallet}"}}"#);
    let named = served.post("/v1/orders", &named).await.body["id"].clone();
    for socket in [&mut all, &mut signatures] {
        assert_eq!(socket.frame().await["orderId"], named, "the other order is nobody's so far");
    }

    // Events that this process hears of and, without a store, could not ask anybody about.
    served.store.close().await;
    let signed = OrderEvent::Signed { attempt: acts::attempt(&ours) };
    let mut moved = ours.clone();
    for (cursor, event) in (3..).zip([OrderEvent::Claimed, routed, signed]) {
        moved.apply(&event, moved.updated_at).unwrap();
        let stored = StoredEvent {
            cursor,
            order_id: ours.id,
            seq: moved.version,
            status: moved.status.name(),
            event,
            at: moved.updated_at,
            token_in: "SOL".into(),
            token_out: "USDC".into(),
        };
        served.bus.publish(&[Arc::new(stored)]).await.unwrap();
    }
    let names = |frames: Vec<Value>| frames.iter().map(|frame| frame["event"].clone()).collect::<Vec<_>>();
    assert_eq!(names(all.frames(2).await), ["routed", "signed"]);
    assert_eq!(signatures.frame().await["event"], "signed", "though `routed` itself was not asked for");
    all.is_silent().await;
    signatures.is_silent().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumed_stream_has_no_gap_and_no_duplicate_while_events_pour_in() {
    const WRITERS: usize = 6;
    const EVENTS: usize = 40;
    let served = Served::start().await;
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
    let mut frames = Vec::new();
    let mut since = 0;
    // A client that hangs up after every few frames and resumes where it was.
    while frames.len() < total {
        let mut socket = served.connect(&format!("/v1/stream?since={since}")).await;
        frames.extend(socket.frames((total - frames.len()).min(17)).await);
        since = cursor(frames.last().unwrap());
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    assert_eq!(frames.len(), total);
    assert_eq!(cursor(&frames[0]), 1);
    assert_gapless(&frames);
}

#[tokio::test]
async fn what_the_bus_loses_repeats_and_reorders_is_told_once_in_order() {
    let served = Served::start().await;
    let mut order = served.order().await;
    let mut all = served.connect("/v1/stream?since=0").await;
    let mut one = served.connect(&format!("/v1/stream?orderId={}", order.id)).await;
    assert_eq!(all.frame().await, one.frame().await);
    let mut unpublished = Vec::new();
    for n in 0..5 {
        let event = acts::retrying(format!("{n}"));
        order.apply(&event, order.updated_at).unwrap();
        unpublished.push(Arc::new(served.store.append(&order, &event, None).await.unwrap()));
    }
    for event in unpublished.iter().rev().chain(&unpublished[2..4]) {
        served.bus.publish(std::slice::from_ref(event)).await.unwrap();
    }
    let frames = all.frames(5).await;
    assert_gapless(&frames);
    assert_eq!(one.frames(5).await, frames);
    // Nothing at all is published: the feed finds it by looking.
    order.apply(&OrderEvent::Cancelled, order.updated_at).unwrap();
    served.store.append(&order, &OrderEvent::Cancelled, None).await.unwrap();
    assert_eq!(all.frame().await["event"], "cancelled");
    assert_eq!(one.frame().await["event"], "cancelled");
    all.is_silent().await;
    one.is_silent().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_outlives_an_outage_of_store_and_bus() {
    let mut postgres = PostgresServer::start(Disk::Durable);
    let mut redis = RedisServer::start(Disk::Fast, &[]);
    let database = create_database(&postgres.url()).await;
    let served = Served::on(&database, &redis.url(), Options::default(), 64).await;
    let mut order = served.order().await;
    let mut all = served.connect("/v1/stream?since=0").await;
    let mut one = served.connect(&format!("/v1/stream?orderId={}", order.id)).await;
    assert_eq!(all.frame().await, one.frame().await);
    postgres.crash();
    redis.kill();
    eventually("the outage to be noticed", async || {
        let ready = served.get("/ready").await;
        if ready.body["missing"] == serde_json::json!(["store", "bus"]) { Ok(()) } else { Err(()) }
    })
    .await;
    redis.start_again();
    postgres.start_again();
    let mut frames = Vec::new();
    for n in 0..3 {
        eventually("the store to take an event", async || {
            let mut moved = served.store.order(order.id).await?.expect("it is stored");
            // An append that broke off may have been made.
            while moved.version < n + 2 {
                let event = acts::retrying(format!("{n}"));
                moved.apply(&event, moved.updated_at).expect("a pending order may be retried");
                served.store.append(&moved, &event, None).await?;
            }
            Ok::<_, StoreError>(())
        })
        .await;
        frames.push(all.frame().await);
    }
    assert_gapless(&frames);
    assert_eq!(one.frames(3).await, frames);
    order = served.load(&order.id.to_string()).await;
    assert_eq!(order.version, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sockets_hear_the_same_events() {
    const SOCKETS: usize = 200;
    let served = Served::start().await;
    let mut order = served.order().await;
    let mut sockets: Vec<Socket> = Vec::new();
    for n in 0..SOCKETS {
        let path = if n % 2 == 0 { "/v1/stream?since=0".into() } else { format!("/v1/stream?orderId={}", order.id) };
        sockets.push(served.connect(&path).await);
    }
    for n in 0..20 {
        served.step(&mut order, acts::retrying(format!("{n}"))).await;
    }
    let expected = sockets[0].frames(21).await;
    assert_gapless(&expected);
    for mut socket in sockets.drain(1..) {
        assert_eq!(socket.frames(21).await, expected);
    }
}

//! What a Redis server can do to its queue: forget everything, die, come back, fill up, or be set up wrongly.

use std::error::Error;

use futures_util::future::join_all;
use swapd::{
    domain::OrderId,
    queue::{self, QueueError, QueueOptions},
    redis_link::{self, LinkError, RedisLink},
};
use tokio::time::timeout;

use super::backend::{Backend, LONG, SHORT, claim, ids};
use crate::support::{
    eventually,
    servers::{Disk, RedisServer, shared_redis},
    within_patience,
};

async fn refusal(url: &str) -> QueueError {
    match queue::open(url, &QueueOptions::default()).await {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

fn whole_story(error: &dyn Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text} {error}");
        source = error.source();
    }
    text
}

#[tokio::test]
async fn an_emptied_server_is_an_empty_queue() {
    let server = RedisServer::start(Disk::Fast, &[]);
    let queue = Backend::redis(server.url()).lease(LONG).open().await;
    queue.push(&ids(3)).await.unwrap();
    let lost = claim(&queue).await;
    server.flush_all();
    queue.renew(std::slice::from_ref(&lost)).await.unwrap();
    queue.ack(&lost).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), 0);
    // The same orders again: nothing remembers that they once waited.
    queue.push(&[lost.order_id]).await.unwrap();
    let again = claim(&queue).await;
    assert_eq!(again.order_id, lost.order_id);
    queue.ack(&again).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn a_claim_waits_through_an_emptied_server() {
    let server = RedisServer::start(Disk::Fast, &[]);
    let mut backend = Backend::redis(server.url()).lease(LONG);
    let (queue, other) = (backend.open().await, backend.open().await);
    let order = OrderId::new();
    let waiting = tokio::spawn(async move { claim(&queue).await });
    for _ in 0..20 {
        server.flush_all();
        tokio::task::yield_now().await;
    }
    other.push(&[order]).await.unwrap();
    assert_eq!(waiting.await.unwrap().order_id, order);
}

#[tokio::test]
async fn a_killed_and_restarted_server_still_has_every_job() {
    let mut server = RedisServer::start(Disk::Durable, &[]);
    let queue = Backend::redis(server.url()).lease(LONG).open().await;
    let ids = ids(5);
    queue.push(&ids).await.unwrap();
    let held = claim(&queue).await;
    server.kill();
    for _ in 0..3 {
        within_patience("a push fails", queue.push(&[OrderId::new()])).await.unwrap_err();
        within_patience("a renewal fails", queue.renew(std::slice::from_ref(&held))).await.unwrap_err();
        within_patience("a claim fails", queue.claim(1)).await.unwrap_err();
        within_patience("a ping fails", queue.ping()).await.unwrap_err();
    }
    server.start_again();
    eventually("the claim is renewed", || queue.renew(std::slice::from_ref(&held))).await;
    eventually("the claim is acknowledged", || queue.ack(&held)).await;
    for id in &ids[1..] {
        assert_eq!(eventually("a claim", || queue.claim(1)).await[0].order_id, *id);
    }
    assert_eq!(queue.depth().await.unwrap(), 4);
}

#[tokio::test]
async fn a_silent_server_makes_calls_fail_and_none_hang() {
    let mut server = RedisServer::start(Disk::Fast, &[]);
    let queue = Backend::redis(server.url()).lease(LONG).open().await;
    let ids = ids(2);
    queue.push(&ids).await.unwrap();
    let held = claim(&queue).await;
    server.freeze();
    let (push, renew, ack, claimed) = within_patience("every call fails", async {
        tokio::join!(queue.push(&ids), queue.renew(std::slice::from_ref(&held)), queue.ack(&held), queue.claim(1))
    })
    .await;
    for failed in [push.err(), renew.err(), ack.err(), claimed.err()] {
        assert!(matches!(failed, Some(QueueError::Unavailable(LinkError::TimedOut))), "{failed:?}");
    }
    server.thaw();
    eventually("the claim is renewed", || queue.renew(std::slice::from_ref(&held))).await;
    eventually("the claim is acknowledged", || queue.ack(&held)).await;
    eventually("a push", || queue.push(&ids)).await;
}

#[tokio::test]
async fn a_server_that_was_away_and_forgot_everything_is_used_again() {
    let mut server = RedisServer::start(Disk::Fast, &[]);
    let queue = Backend::redis(server.url()).lease(LONG).open().await;
    let order = OrderId::new();
    let worker = tokio::spawn({
        let queue = queue.clone();
        async move { eventually("a claim", || queue.claim(1)).await.remove(0) }
    });
    for _ in 0..2 {
        server.kill();
        server.start_again();
    }
    eventually("a push", || queue.push(std::slice::from_ref(&order))).await;
    assert_eq!(worker.await.unwrap().order_id, order);
}

#[tokio::test]
async fn a_connection_that_breaks_is_not_an_outage() {
    let server = RedisServer::start(Disk::Fast, &[]);
    let queue = Backend::redis(server.url()).lease(LONG).open().await;
    let client = redis::Client::open(server.url()).unwrap();
    for _ in 0..5 {
        let order = OrderId::new();
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal"]).exec(&mut client.get_connection().unwrap()).unwrap();
        queue.push(&[order]).await.unwrap();
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal"]).exec(&mut client.get_connection().unwrap()).unwrap();
        let held = claim(&queue).await;
        assert_eq!(held.order_id, order);
        queue.ack(&held).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_does_not_know_any_more_who_we_are_is_told_again() {
    let server = RedisServer::start(Disk::Fast, &[]);
    let link = RedisLink::new(redis_link::client(&server.url()).unwrap());
    link.query::<()>(&redis::cmd("RESET")).await.unwrap(); // what was said on this connection is forgotten
    link.query::<()>(&redis::cmd("PING")).await.unwrap();
}

#[tokio::test]
async fn a_full_server_refuses_new_jobs_and_finishes_the_others() {
    let server = RedisServer::start(Disk::Fast, &["--maxmemory", "64mb", "--maxmemory-policy", "noeviction"]);
    let queue = Backend::redis(server.url()).lease(LONG).open().await;
    let ids = ids(20);
    queue.push(&ids).await.unwrap();
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).exec(&mut connection).unwrap(); // full from here on
    assert!(matches!(queue.push(&[OrderId::new()]).await, Err(QueueError::Unavailable(_))));
    for id in &ids {
        let held = claim(&queue).await;
        assert_eq!(held.order_id, *id);
        queue.renew(std::slice::from_ref(&held)).await.unwrap();
        queue.ack(&held).await.unwrap();
    }
    assert_eq!(queue.depth().await.unwrap(), 0);
}

/// How often a command was run there so far.
fn run(command: &str, connection: &mut redis::Connection) -> u64 {
    let stats: String = redis::cmd("INFO").arg("commandstats").query(connection).unwrap();
    let wanted = format!("cmdstat_{command}:calls=");
    let line = stats.lines().find_map(|line| line.strip_prefix(&wanted)).unwrap_or("0");
    line.split(',').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn many_who_want_to_know_the_depth_ask_the_server_once() {
    let server = RedisServer::start(Disk::Fast, &[]);
    let queue = Backend::redis(server.url()).lease(LONG).open().await;
    queue.push(&ids(3)).await.unwrap();
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let before = run("xlen", &mut connection);
    let depths = within_patience("answers", join_all((0..100).map(|_| queue.depth_lately()))).await;
    assert!(depths.into_iter().all(|depth| depth.unwrap() == 3));
    assert_eq!(run("xlen", &mut connection) - before, 1);
}

#[tokio::test]
async fn a_push_that_the_server_refuses_is_not_sent_again() {
    let server = RedisServer::start(Disk::Fast, &["--maxmemory", "64mb", "--maxmemory-policy", "noeviction"]);
    let queue = Backend::redis(server.url()).lease(LONG).open().await;
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    queue.push(&ids(1)).await.unwrap();
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).exec(&mut connection).unwrap(); // full from here on
    let before = run("eval", &mut connection);
    queue.push(&ids(1)).await.unwrap_err();
    assert_eq!(run("eval", &mut connection) - before, 1);
}

#[tokio::test]
async fn what_was_left_lying_since_it_was_read_is_looked_at_in_one_go() {
    const JOBS: usize = 20;
    let mut server = RedisServer::start(Disk::Fast, &[]);
    let mut backend = Backend::redis(server.url()).lease(SHORT);
    let queue = backend.open().await;
    queue.push(&ids(1)).await.unwrap();
    queue.ack(&claim(&queue).await).await.unwrap(); // everything is connected
    let ids = ids(JOBS);
    queue.push(&ids).await.unwrap();
    // Whoever asks first is gone before there is an answer.
    server.freeze();
    assert!(timeout(SHORT / 4, queue.claim(JOBS)).await.is_err());
    server.thaw();
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let stream = format!("{}{{jobs}}", backend.options.prefix);
    eventually("a third of the lease to pass at the server", || {
        let mut pending = redis::cmd("XPENDING");
        pending.arg(&stream).arg("workers").arg("-").arg("+").arg(JOBS);
        let pending: Vec<(String, String, u128, u64)> = pending.query(&mut connection).unwrap();
        let is_late = pending.len() == JOBS && pending.iter().all(|(_, _, idle, _)| *idle > SHORT.as_millis() / 3);
        async move { if is_late { Ok(()) } else { Err(()) } }
    })
    .await;
    let before = run("eval", &mut connection);
    let claims = within_patience("the claims", queue.claim(JOBS)).await.unwrap();
    assert_eq!(claims.iter().map(|claim| claim.order_id).collect::<Vec<_>>(), ids);
    assert_eq!(run("eval", &mut connection) - before, 1, "one look at all of them");
}

#[tokio::test]
async fn an_entry_that_cannot_be_dropped_takes_no_job_with_it() {
    let server = RedisServer::start(Disk::Fast, &[]);
    let mut backend = Backend::redis(server.url()).lease(LONG);
    let queue = backend.open().await;
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let stream = format!("{}{{jobs}}", backend.options.prefix);
    let order = OrderId::new();
    queue.push(&[order]).await.unwrap();
    redis::cmd("XADD").arg(&stream).arg("*").arg(&["order", "not an id"]).exec(&mut connection).unwrap();
    redis::cmd("ACL").arg(&["SETUSER", "default", "-xack"]).exec(&mut connection).unwrap();
    let claims = within_patience("the claim", queue.claim(2)).await.unwrap();
    assert_eq!(claims.iter().map(|claim| claim.order_id).collect::<Vec<_>>(), [order]);
}

#[tokio::test]
async fn a_server_that_evicts_keys_is_refused() {
    let evicting = RedisServer::start(Disk::Fast, &["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]);
    let said = refusal(&evicting.url()).await.to_string();
    assert!(said.contains("allkeys-lru") && said.contains("maxmemory-policy noeviction"), "{said}");
    let unbounded = RedisServer::start(Disk::Fast, &["--maxmemory", "0", "--maxmemory-policy", "allkeys-lru"]);
    queue::open(&unbounded.url(), &QueueOptions::default()).await.unwrap();
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_refused_without_repeating_its_password() {
    let server = RedisServer::start(Disk::Fast, &[]);
    let address = server.url().split_once('@').unwrap().1.to_owned();
    for url in [
        format!("redis://:verysecret@{address}"),
        format!("redis://nobody:verysecret@{address}"),
        format!("rediss://:verysecret@{address}"),
        format!("redis://:verysecret@{address}x"),
        "redis://:verysecret@127.0.0.1:1/0".into(),
        "amqp://:verysecret@127.0.0.1/".into(),
        "verysecret".into(),
    ] {
        let error = within_patience("an answer", refusal(&url)).await;
        let story = whole_story(&error);
        assert!(!story.contains("verysecret"), "{story}");
    }
}

#[tokio::test]
async fn a_user_with_few_rights_and_a_database_number_is_enough() {
    let server = RedisServer::start(Disk::Fast, &[]);
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    redis::cmd("ACL")
        .arg(&[
            "SETUSER",
            "swapd",
            "on",
            ">pw",
            "~swapd:*",
            "&swapd:*",
            "+@stream",
            "+@hash",
            "+@scripting",
            "+@keyspace",
        ])
        .arg(&["+@connection", "-@dangerous"])
        .exec(&mut connection)
        .unwrap();
    let address = server.url().split_once('@').unwrap().1.to_owned();
    let url = format!("redis://swapd:pw@{}", address.replace("/0", "/3"));
    let queue = queue::open(&url, &QueueOptions::default()).await.unwrap();
    let order = OrderId::new();
    queue.push(&[order]).await.unwrap();
    let held = claim(&queue).await;
    assert_eq!(held.order_id, order);
    let in_first_database: i64 = redis::cmd("DBSIZE").query(&mut connection).unwrap();
    assert_eq!(in_first_database, 0);
    queue.ack(&held).await.unwrap();
}

#[tokio::test]
async fn deployments_with_different_prefixes_share_nothing() {
    let (one, other) = (Backend::redis(shared_redis()).open().await, Backend::redis(shared_redis()).open().await);
    one.push(&ids(1)).await.unwrap();
    assert_eq!(other.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn an_entry_that_is_no_order_does_not_stop_the_queue() {
    let mut backend = Backend::redis(shared_redis()).lease(SHORT);
    let queue = backend.open().await;
    let mut connection = redis::Client::open(shared_redis()).unwrap().get_connection().unwrap();
    let stream = format!("{}{{jobs}}", backend.options.prefix);
    for fields in [["order", "not an id"], ["something", "else"]] {
        redis::cmd("XADD").arg(&stream).arg("*").arg(&fields).exec(&mut connection).unwrap();
    }
    let order = OrderId::new();
    queue.push(&[order]).await.unwrap();
    let held = claim(&queue).await;
    assert_eq!(held.order_id, order);
    queue.ack(&held).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn entries_deleted_behind_our_back_do_no_harm() {
    let mut backend = Backend::redis(shared_redis()).lease(SHORT);
    let queue = backend.open().await;
    let ids = ids(2);
    queue.push(&ids).await.unwrap();
    let lost = claim(&queue).await;
    let mut connection = redis::Client::open(shared_redis()).unwrap().get_connection().unwrap();
    let stream = format!("{}{{jobs}}", backend.options.prefix);
    redis::cmd("XTRIM").arg(&stream).arg("MAXLEN").arg(0).exec(&mut connection).unwrap();
    queue.push(&ids).await.unwrap();
    for id in ids {
        let held = claim(&queue).await;
        assert_eq!(held.order_id, id);
        queue.ack(&held).await.unwrap();
    }
    queue.ack(&lost).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), 0);
}

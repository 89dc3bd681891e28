//! What a socket does on a real connection, whose node does as a test tells it.

use super::{
    stub::{Answers, Pubsub},
    *,
};

/// A subscription that nothing is known of but its name.
async fn subscribe(socket: &mut Socket<u8>, key: u8) {
    socket.subscribe(key, json!([key.to_string(), {"commitment": "confirmed"}])).await.unwrap();
}

async fn scene(answers: Answers) -> (Pubsub, Socket<u8>) {
    let node = Pubsub::start(answers).await;
    let socket = Socket::open(&node.url, "account", &CancellationToken::new()).await.unwrap();
    (node, socket)
}

#[tokio::test]
async fn what_several_subscriptions_are_told_comes_in_the_order_of_the_node() {
    let (node, mut socket) = scene(Answers::AtOnce).await;
    for key in [1, 2, 3] {
        subscribe(&mut socket, key).await;
        assert_eq!(socket.next().await, Ok(News::Subscribed(key)));
    }
    let told: Vec<(u8, u64)> = (0..3_000).map(|n| (u8::try_from(n * 7 % 3).unwrap() + 1, n)).collect();
    for (key, n) in &told {
        node.tell(key, &json!(n));
    }
    for (key, n) in told {
        assert_eq!(socket.next().await, Ok(News::Told(key, json!(n))));
    }
}

#[tokio::test(start_paused = true)]
async fn each_subscription_has_its_own_time_to_be_answered() {
    let (node, mut socket) = scene(Answers::Held).await;
    for key in [1, 2, 3] {
        subscribe(&mut socket, key).await;
        stub::eventually(|| node.holds(&[key])).await;
        tokio::time::advance(ANSWER_WITHIN * 3 / 4).await;
        node.now(Answers::AtOnce);
        assert_eq!(socket.next().await, Ok(News::Subscribed(key)), "longer than {ANSWER_WITHIN:?} altogether");
        node.now(Answers::Held);
    }
    subscribe(&mut socket, 4).await;
    assert_eq!(socket.next().await, Err(Ended), "never answered");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_nothing_to_tell_is_kept_and_one_that_is_not_there_any_more_is_not() {
    let (_node, mut quiet) = scene(Answers::AtOnce).await;
    assert!(timeout(SILENT_AFTER * 10, quiet.next()).await.is_err(), "it answers pings");
    let (_node, mut gone) = scene(Answers::Silence).await;
    assert_eq!(gone.next().await, Err(Ended));
}

#[tokio::test]
async fn what_was_given_up_is_not_told_any_more() {
    let (node, mut socket) = scene(Answers::AtOnce).await;
    for key in [1, 2] {
        subscribe(&mut socket, key).await;
        assert_eq!(socket.next().await, Ok(News::Subscribed(key)));
    }
    node.tell(&1, &json!("on its way"));
    assert_eq!(socket.unsubscribe(1).await, Ok(true));
    assert_eq!(socket.unsubscribe(1).await, Ok(false));
    node.tell(&2, &json!("new"));
    assert_eq!(socket.next().await, Ok(News::Told(2, json!("new"))));
    assert_eq!(socket.subscriptions(), 1);
    assert!(timeout(Duration::from_millis(1), socket.next()).await.is_err(), "the answer is nobody's news");
    assert!(!node.tells_of(&[1]));
}

#[tokio::test]
async fn a_refusal_and_a_cut_are_the_end() {
    let (_node, mut socket) = scene(Answers::Refusals).await;
    subscribe(&mut socket, 1).await;
    assert_eq!(socket.next().await, Err(Ended));
    let (node, mut socket) = scene(Answers::AtOnce).await;
    stub::eventually(|| node.connections() == 1).await;
    node.cut();
    assert_eq!(socket.next().await, Err(Ended));
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_stops_does_not_wait_for_a_connection_or_its_end() {
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(); // takes connections and never answers
    let url = format!("ws://{}", deaf.local_addr().unwrap());
    let (shutdown, started) = (CancellationToken::new(), Instant::now());
    let (socket, ()) = tokio::join!(Socket::<u8>::open(&url, "account", &shutdown), async {
        tokio::task::yield_now().await;
        shutdown.cancel();
    });
    assert!(socket.is_none());
    assert_eq!(started.elapsed(), Duration::ZERO);
    let (_node, socket) = scene(Answers::Silence).await;
    let started = Instant::now();
    socket.close().await;
    assert!(started.elapsed() <= CLOSE_WITHIN + Duration::from_millis(1)); // the clock's grain
}

#[tokio::test(start_paused = true)]
async fn rests_grow_until_a_connection_was_good_for_something() {
    let (mut rests, shutdown) = (Rests::default(), CancellationToken::new());
    let mut seconds = Vec::new();
    for listened in [false, false, false, true, false] {
        let before = Instant::now();
        rests.rest(listened, &shutdown).await;
        seconds.push(before.elapsed().as_millis());
    }
    assert_eq!(seconds, [500, 1_000, 2_000, 500, 1_000]);
    tokio::time::advance(LONGEST_REST * 2).await;
    let before = Instant::now();
    rests.rest(false, &shutdown).await;
    assert_eq!(before.elapsed(), FIRST_REST, "it lasted for long");
    shutdown.cancel();
    rests.rest(false, &shutdown).await;
    assert_eq!(before.elapsed(), FIRST_REST, "nobody rests when all stop");
}

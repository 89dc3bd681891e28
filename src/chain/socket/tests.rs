//! What a socket does on a real connection, whose node does as a test tells it.

use super::{
    stub::{Answers, Pubsub},
    *,
};

/// A subscription that nothing is known of but its name.
fn subscribe(socket: &mut Socket<u8>, key: u8) -> bool {
    socket.subscribe(key, json!([key.to_string(), {"commitment": "confirmed"}]))
}

impl PartialEq for News<u8> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Subscribed(one), Self::Subscribed(other)) | (Self::Refused(one), Self::Refused(other)) => {
                one == other
            }
            (Self::Told(one, news), Self::Told(other, others)) => (one, news.get()) == (other, others.get()),
            _ => false,
        }
    }
}

fn told(key: u8, body: &Value) -> News<u8> {
    News::Told(key, serde_json::value::to_raw_value(body).unwrap())
}

/// Listens until it is so: until then the node has no news.
async fn quiet_until(socket: &mut Socket<u8>, condition: impl Fn() -> bool) {
    tokio::select! {
        news = socket.next() => panic!("{news:?}"),
        () = stub::eventually(condition) => {}
    }
}

async fn scene(answers: Answers) -> (Pubsub, Socket<u8>) {
    let node = Pubsub::start(answers).await;
    let socket = Socket::open(&node.url, "account", &CancellationToken::new()).await.unwrap();
    (node, socket)
}

/// The next subscriptions that are taken, the smallest key first: the node takes what it held in no order.
async fn next_subscribed(socket: &mut Socket<u8>, count: usize) -> Vec<u8> {
    let mut subscribed = Vec::new();
    while subscribed.len() < count {
        let Ok(News::Subscribed(key)) = socket.next().await else { panic!("nothing happens to any of them") };
        subscribed.push(key);
    }
    subscribed.sort_unstable();
    subscribed
}

#[tokio::test]
async fn what_several_subscriptions_are_told_comes_in_the_order_of_the_node() {
    let (node, mut socket) = scene(Answers::AtOnce).await;
    for key in [1, 2, 3] {
        subscribe(&mut socket, key);
        assert_eq!(socket.next().await, Ok(News::Subscribed(key)));
    }
    let changes: Vec<(u8, u64)> = (0..3_000).map(|n| (u8::try_from(n * 7 % 3).unwrap() + 1, n)).collect();
    for (key, n) in &changes {
        node.tell(key, &json!(n));
    }
    for (key, n) in changes {
        assert_eq!(socket.next().await, Ok(told(key, &json!(n))));
    }
}

#[tokio::test(start_paused = true)]
async fn each_subscription_has_its_own_time_to_be_answered() {
    let (node, mut socket) = scene(Answers::Held).await;
    for key in [1, 2, 3] {
        subscribe(&mut socket, key);
        quiet_until(&mut socket, || node.holds(&[key])).await;
        tokio::time::advance(ANSWER_WITHIN * 3 / 4).await;
        node.now(Answers::AtOnce);
        assert_eq!(socket.next().await, Ok(News::Subscribed(key)), "longer than {ANSWER_WITHIN:?} altogether");
        node.now(Answers::Held);
    }
    subscribe(&mut socket, 4);
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
        subscribe(&mut socket, key);
        assert_eq!(socket.next().await, Ok(News::Subscribed(key)));
    }
    node.tell(&1, &json!("on its way"));
    socket.unsubscribe(1);
    quiet_until(&mut socket, || !node.tells_of(&[1])).await;
    node.tell(&2, &json!("new"));
    assert_eq!(socket.next().await, Ok(told(2, &json!("new"))));
    assert_eq!(socket.subscriptions(), 1);
}

#[tokio::test]
async fn what_was_given_up_before_its_answer_is_given_up_by_the_node_too() {
    let (node, mut socket) = scene(Answers::Held).await;
    for key in 1..=5 {
        subscribe(&mut socket, key);
    }
    quiet_until(&mut socket, || node.holds(&[1])).await;
    [1, 5].into_iter().for_each(|key| socket.unsubscribe(key));
    node.now(Answers::AtOnce);
    assert_eq!(next_subscribed(&mut socket, 3).await, [2, 3, 4]);
    quiet_until(&mut socket, || !node.tells_of(&[1])).await;
    assert!(node.tells_of(&[2, 3, 4]) && !node.tells_of(&[5]));
    assert_eq!((socket.subscriptions(), socket.unanswered()), (3, 0));
}

#[tokio::test]
async fn only_a_few_are_asked_for_at_the_same_time() {
    let (node, mut socket) = scene(Answers::AtOnce).await;
    subscribe(&mut socket, 0);
    assert_eq!(socket.next().await, Ok(News::Subscribed(0)));
    node.now(Answers::Held);
    for key in 1..=10 {
        subscribe(&mut socket, key);
    }
    quiet_until(&mut socket, || node.holds(&[1, 2, 3, 4])).await;
    // The node hears in order: once it has heard this, it has heard all that was said.
    socket.unsubscribe(0);
    quiet_until(&mut socket, || !node.tells_of(&[0])).await;
    assert!(!node.holds(&[5]));
    node.now(Answers::AtOnce);
    assert_eq!(next_subscribed(&mut socket, 10).await, (1..=10).collect::<Vec<u8>>());
}

#[tokio::test]
async fn what_is_wanted_already_is_not_asked_for_again() {
    let (node, mut socket) = scene(Answers::Held).await;
    assert!(subscribe(&mut socket, 1) && !subscribe(&mut socket, 1), "it waits");
    quiet_until(&mut socket, || node.holds(&[1])).await;
    assert!(!subscribe(&mut socket, 1), "it is asked for");
    node.now(Answers::AtOnce);
    assert_eq!(socket.next().await, Ok(News::Subscribed(1)));
    assert!(!subscribe(&mut socket, 1), "it is subscribed");
    assert_eq!(socket.subscriptions(), 1);
    socket.forget(1);
    assert!(subscribe(&mut socket, 1), "the node has ended it");
}

#[tokio::test]
async fn what_is_given_up_and_wanted_again_before_its_answer_is_subscribed() {
    let (node, mut socket) = scene(Answers::Held).await;
    subscribe(&mut socket, 1);
    quiet_until(&mut socket, || node.holds(&[1])).await;
    socket.unsubscribe(1);
    assert!(subscribe(&mut socket, 1));
    node.now(Answers::AtOnce);
    assert_eq!(socket.next().await, Ok(News::Subscribed(1)));
    node.tell(&1, &json!("new"));
    assert_eq!(socket.next().await, Ok(told(1, &json!("new"))));
    assert_eq!(socket.subscriptions(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_or_left_unanswered_ends_nothing_else() {
    let (node, mut socket) = scene(Answers::First(1)).await;
    for key in [1, 2] {
        subscribe(&mut socket, key);
    }
    assert_eq!(socket.next().await, Ok(News::Subscribed(1)));
    assert_eq!(socket.next().await, Ok(News::Refused(2)));
    node.now(Answers::Held);
    subscribe(&mut socket, 3);
    quiet_until(&mut socket, || node.holds(&[3])).await;
    tokio::time::advance(ANSWER_WITHIN / 2).await;
    node.tell(&1, &json!("new"));
    assert_eq!(socket.next().await, Ok(told(1, &json!("new"))));
    assert_eq!(socket.next().await, Ok(News::Refused(3)), "the node speaks, but not of this");
    assert_eq!(socket.subscriptions(), 1);
}

#[tokio::test]
async fn a_cut_is_the_end() {
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

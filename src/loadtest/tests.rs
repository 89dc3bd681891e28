//! What a load makes of a daemon's answers, from a daemon that gives them one after another.

use std::{collections::VecDeque, sync::Mutex};

use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;

/// A daemon that answers orders with these, in turn, and the keys it was given.
async fn daemon(answers: Vec<(u16, Value)>) -> (String, Arc<Mutex<Vec<String>>>) {
    let (answers, keys) = (Arc::new(Mutex::new(VecDeque::from(answers))), Arc::new(Mutex::new(Vec::new())));
    let heard = keys.clone();
    let answer = move |headers: HeaderMap| async move {
        heard.lock().unwrap().push(headers["Idempotency-Key"].to_str().unwrap().to_owned());
        let (status, body) = answers.lock().unwrap().pop_front().expect("another answer");
        (StatusCode::from_u16(status).unwrap(), Json(body))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().route("/v1/orders", post(answer));
    tokio::spawn(async move { axum::serve(listener, app).await }); // ends with the test's runtime
    (url, keys)
}

fn load(url: &str) -> Load {
    let turns = Turns::new(Pace::Clients(1), Length::Orders(2), CancellationToken::new());
    Load {
        client: Client::new(url, None, 1, Duration::from_secs(10)).unwrap(),
        mix: Arc::new(Mix::new(&"SOL/USDC".parse().unwrap(), |_| Some(9), 1, Vec::new(), None).unwrap()),
        ledger: Arc::new(Ledger::new(turns.start(), 0)),
        turns: Arc::new(turns),
        run: Uuid::nil(),
        drain: Duration::from_secs(10),
    }
}

#[tokio::test]
async fn an_order_whose_answer_was_lost_is_not_refused_by_what_comes_before_its_key() {
    let refused = |code: &str| json!({"error": {"code": code, "message": "later"}});
    let accepted = |n: u128| json!({"id": Uuid::from_u128(n), "createdAt": "2026-11-21T00:00:00Z"});
    let answers = vec![
        (429, refused("rate_limited")),
        (200, accepted(1)),
        (503, refused("overloaded")),
        (422, refused("insufficient_funds")),
    ];
    let (url, keys) = daemon(answers).await;
    let load = load(&url);
    for n in 0..2 {
        load.ledger.answered(n, 0, &Answer::Lost { reason: "connection lost" });
    }
    let until = Instant::now() + Duration::from_secs(60);
    let lost = || load.ledger.book().lost.iter().map(|(n, _)| *n).collect::<Vec<_>>();
    for left in [&[0, 1][..], &[1], &[]] {
        load.ask_again(until).await;
        assert_eq!(lost(), left);
    }
    let counts = load.counts();
    assert_eq!((counts.accepted, counts.refused), (1, 1), "what its key was looked up for counts");
    let asked = [0, 0, 1, 1].map(|n| load.key(n));
    assert_eq!(*keys.lock().unwrap(), asked);
    for name in ["429 rate_limited", "503 overloaded", "422 insufficient_funds", "200"] {
        assert_eq!(load.ledger.book().answers.get(name), Some(&1), "{name}");
    }
}

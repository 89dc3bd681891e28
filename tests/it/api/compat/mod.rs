//! The older engines' clients: what they send and what they look at, one file per dialect. Orders are moved here as a
//! worker would move them; `dialects` has the same clients at a daemon that swaps.

mod capitals;
mod pair;
mod percent;
mod plain;
mod typed;

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use swapd::{
    api::Options,
    domain::{Attempt, Order, OrderEvent, VenueId},
};

use super::{acts, served::Served};

const EXECUTE: &str = "/api/orders/execute";
const ORDERS: &str = "/api/orders";
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
const PLAIN: &str = r#"{"tokenIn":"SOL","tokenOut":"USDC","amount":14}"#;
const PERCENT: &str = r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":0.01,"slippage":0.5}"#;
const CAPITALS: &str = r#"{"inputToken":"SOL","outputToken":"USDC","amount":10}"#;
const TYPED: &str = r#"{"type":"market","tokenIn":"SOL","tokenOut":"USDC","amount":1,"slippageBps":100}"#;
const PAIR: &str = r#"{"pair":"SOL-USDC","amount":10,"side":"sell"}"#;

async fn posted(served: &Served, body: &str) -> Order {
    posted_at(served, if body == CAPITALS { ORDERS } else { EXECUTE }, body).await
}

async fn posted_at(served: &Served, path: &str, body: &str) -> Order {
    let answer = served.post(path, body).await;
    assert!((200..300).contains(&answer.status), "{answer:?}");
    served.load(answer.body["orderId"].as_str().unwrap()).await
}

async fn until_signed(served: &Served, order: &mut Order) -> Attempt {
    served.step(order, OrderEvent::Claimed).await;
    let event = acts::routed(order, VenueId::RaydiumCpmm);
    served.step(order, event).await;
    let attempt = acts::attempt(order);
    served.step(order, OrderEvent::Signed { attempt: attempt.clone() }).await;
    served.step(order, OrderEvent::Sent { signature: attempt.signature }).await;
    attempt
}

async fn until_confirmed(served: &Served, order: &mut Order) -> Attempt {
    let attempt = until_signed(served, order).await;
    let event = acts::landed(&attempt, Some(acts::fill(order)));
    served.step(order, event).await;
    attempt
}

fn statuses(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["status"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_body_of_any_dialect_may_have_a_deadline() {
    let served = Served::start().await;
    for body in [PLAIN, PERCENT, CAPITALS, TYPED, PAIR] {
        let with = |millis: &str| body.replacen('{', &format!(r#"{{"expiresInMs":{millis},"#), 1);
        let path = if body == CAPITALS { ORDERS } else { EXECUTE };
        for none in [body, &with("null")] {
            assert_eq!(posted_at(&served, path, none).await.expires_at, None, "{none}");
        }
        let order = posted_at(&served, path, &with("60000")).await;
        assert_eq!(order.expires_at, Some(order.created_at + time::Duration::MINUTE), "{body}");
        for wrong in ["0", "-1", "1.5", "\"60000\"", "604800001", "true"] {
            let refused = served.post(path, &with(wrong)).await;
            let said = if body == TYPED { &refused.body["error"][0]["message"] } else { &refused.body["error"] };
            assert_eq!(refused.status, 400, "{wrong}: {refused:?}");
            assert!(said.as_str().unwrap().starts_with("`expiresInMs` must be"), "{wrong}: {refused:?}");
            if body == TYPED {
                assert_eq!(refused.body["error"][0]["path"], json!(["expiresInMs"]));
            }
        }
    }
}

#[tokio::test]
async fn the_pool_that_a_client_insists_on_is_shown() {
    let served = Served::start().await;
    let wishing = PERCENT.replacen('{', r#"{"poolId":"test-pool","baseIn":true,"#, 1);
    for (body, wish) in [(PERCENT, Value::Null), (&wishing, json!({"address": "test-pool", "baseIn": true}))] {
        let order = posted(&served, body).await;
        let shown = served.get(&format!("/v1/orders/{}", order.id)).await.body;
        let listed = served.get("/v1/orders?limit=1").await.body["orders"][0].clone();
        assert_eq!((&shown["poolWish"], &listed["poolWish"], &listed["id"]), (&wish, &wish, &shown["id"]));
    }
}

#[tokio::test]
async fn a_socket_that_names_no_order_is_told_so() {
    let served = Served::start().await;
    assert_eq!(served.connect("/ws").await.closed().await, (1008, "orderId is required".into()));
    assert_eq!(served.connect("/ws?orderId=").await.closed().await, (1008, "orderId is required".into()));
    assert_eq!(served.connect("/ws?orderId=no-uuid").await.closed().await, (1008, "order not found".into()));
    let mut socket = served.connect(&format!("{EXECUTE}?orderId=")).await;
    assert_eq!(socket.frame().await, json!({"status": "failed", "error": "orderId missing"}));
    assert_eq!(socket.closed().await.0, 1008);
    for id in ["no-uuid", NOBODY] {
        let mut socket = served.connect(&format!("{EXECUTE}?orderId={id}")).await;
        assert_eq!(socket.frame().await["status"], "failed");
        assert_eq!(socket.closed().await.0, 1008);
        let mut socket = served.connect(&format!("/ws/orders/{id}")).await;
        assert_eq!(socket.frame().await, json!({"status": "connected", "orderId": id}));
        assert_eq!(socket.closed().await, (1008, "order not found".into()));
    }
    assert_eq!(served.connect("/ws/orders/%FF").await.frame().await["status"], "connected");
    let answer = served.get(EXECUTE).await;
    assert_eq!((answer.status, &answer.body["error"]), (400, &json!("Use POST or WebSocket")));
}

#[tokio::test]
async fn bodies_of_no_dialect_get_a_sentence_and_a_list() {
    let served = Served::start().await;
    for body in [r#"{"foo":"bar"}"#, "[]", "7", r#"{"inputToken":"SOL","outputToken":"USDC"}"#] {
        let answer = served.post(EXECUTE, body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.body["error"].is_string(), "{answer:?}");
        assert!(!answer.body["issues"].as_array().unwrap().is_empty(), "{answer:?}");
    }
    assert_eq!(served.store.cursor().await.unwrap(), 0);
}

#[tokio::test]
async fn what_their_web_framework_refused_is_refused_in_its_words() {
    let served = Served::start().await;
    for path in [EXECUTE, ORDERS] {
        let words = |status: u16, error: &str, code: &str| json!([status, error, status, code]);
        let typed = |kind: &str, body: &str| {
            served.request("POST", path).header("content-type", kind.to_owned()).body(body.to_owned())
        };
        let large = format!(r#"{{"tokenIn":"{}"}}"#, "x".repeat(20_000));
        for (request, expected) in [
            (
                typed("application/json", r#"{"tokenIn":"SOL",}"#),
                words(400, "Bad Request", "FST_ERR_CTP_INVALID_JSON_BODY"),
            ),
            (typed("application/json", ""), words(400, "Bad Request", "FST_ERR_CTP_EMPTY_JSON_BODY")),
            (served.request("POST", path), words(400, "Bad Request", "FST_ERR_CTP_EMPTY_JSON_BODY")),
            (typed("text/plain", PLAIN), words(415, "Unsupported Media Type", "FST_ERR_CTP_INVALID_MEDIA_TYPE")),
            (typed("application/json", &large), words(413, "Payload Too Large", "FST_ERR_CTP_BODY_TOO_LARGE")),
        ] {
            let answer = served.send(request).await;
            let body = &answer.body;
            assert_eq!(json!([answer.status, body["error"], body["statusCode"], body["code"]]), expected, "{path}");
            assert!(body["message"].is_string());
        }
    }
    for (method, path) in [("GET", "/x"), ("GET", ORDERS), ("PUT", EXECUTE), ("POST", "/health")] {
        let answer = served.send(served.request(method, path)).await;
        let message = format!("Route {method}:{path} not found");
        assert_eq!((answer.status, &answer.body["message"]), (404, &json!(message)));
        assert_eq!((&answer.body["error"], &answer.body["statusCode"]), (&json!("Not Found"), &json!(404)));
    }
    assert_eq!(served.store.cursor().await.unwrap(), 0);
}

#[tokio::test]
async fn older_sockets_are_kept_alive_by_pings_and_never_by_frames() {
    let served = Served::with(Options { ping_interval: Duration::from_millis(200), ..Options::default() }, 64).await;
    let pinged = async |path: String, greetings| {
        let mut socket = served.connect(&path).await;
        socket.frames(greetings).await;
        socket.is_pinged(3).await;
    };
    let mut paths = vec![(EXECUTE.to_owned(), 0)];
    for (body, greetings) in [(PLAIN, 1), (PERCENT, 1), (CAPITALS, 0), (TYPED, 1), (PAIR, 1)] {
        paths.push((format!("/ws?orderId={}", posted(&served, body).await.id), greetings));
    }
    join_all(paths.into_iter().map(|(path, greetings)| pinged(path, greetings))).await;
}

#[tokio::test]
async fn a_refusal_names_the_field_as_the_client_does() {
    let served = Served::start().await;
    let fine = "0.0000000001";
    for (body, field) in [
        (PLAIN.replace("14", fine), "`amount`"),
        (PERCENT.replace("0.01", fine), "`amountIn`"),
        (CAPITALS.replace("10", fine), "`amount`"),
        (TYPED.replace(":1,", &format!(":{fine},")), "`amount`"),
        (PAIR.replace("10", fine), "`amount`"),
        (CAPITALS.replace("USDC", "DOGE"), "`outputToken`"),
        (CAPITALS.replace("USDC", "sol"), "`outputToken`"),
        (PAIR.replace("USDC", "sol"), "`pair`"),
    ] {
        let path = if body.contains("inputToken") { ORDERS } else { EXECUTE };
        let refused = served.post(path, &body).await;
        let typed = &refused.body["error"][0];
        let said = typed["message"].as_str().or(refused.body["error"].as_str()).unwrap();
        assert!(refused.status == 400 && said.starts_with(field), "{body}: {refused:?}");
        assert!(typed.is_null() || typed["path"] == json!(["amount"]), "{refused:?}");
    }
}

#[tokio::test]
async fn an_order_keeps_its_dialect_on_every_socket() {
    let served = Served::start().await;
    let own = served.order().await;
    let first = |dialect: &str, order: &Order| match dialect {
        "plain" => json!({"status": "pending"}),
        "pair" => json!({"status": "connected", "orderId": order.id}),
        _ => json!({"status": "pending", "orderId": order.id}),
    };
    let mut orders = vec![];
    for (dialect, body) in [("plain", PLAIN), ("percent", PERCENT), ("typed", TYPED), ("pair", PAIR)] {
        let order = posted(&served, body).await;
        assert_eq!(order.dialect.as_str(), dialect);
        orders.push((dialect, order));
    }
    for (path, of_the_path) in
        [("/ws?orderId=", "plain"), ("/api/orders/execute?orderId=", "typed"), ("/ws/orders/", "pair")]
    {
        for (dialect, order) in orders.iter().map(|(dialect, order)| (*dialect, order)).chain([(of_the_path, &own)]) {
            let path = format!("{path}{}", order.id);
            assert_eq!(served.connect(&path).await.frame().await, first(dialect, order), "{path}");
        }
    }
    // The one dialect that greets nobody: the first frame comes with the first thing that happens.
    let mut order = posted(&served, CAPITALS).await;
    let mut socket = served.connect(&format!("/ws?orderId={}", order.id)).await;
    socket.is_silent().await;
    served.step(&mut order, OrderEvent::Claimed).await;
    assert_eq!(socket.frame().await["status"], "ROUTING");
}

//! `/v1` over REST.

use serde_json::{Value, json};
use swapd::{
    api::Options,
    domain::{ErrorCode, Failure, OrderEvent, OrderId, VenueId},
    store::OrderFilter,
};

use super::{acts, served::Served};
use crate::support::{servers, sql};

pub const ORDERS: &str = "/v1/orders";

/// Nothing is stored, told or queued.
pub async fn nothing_happened(served: &Served) {
    assert_eq!(served.store.list(&OrderFilter::default(), 10).await.unwrap(), []);
    assert_eq!(served.store.cursor().await.unwrap(), 0);
    assert_eq!(served.queue.depth().await.unwrap(), 0);
}

/// One page of three orders, one of which cannot be read, on the store behind `url`.
async fn a_page_with_an_unreadable_order(url: &str) {
    let served = Served::on(url, "local:", Options::default(), 16).await;
    let ids = [served.order().await.id, served.order().await.id, served.order().await.id];
    let odd = format!("update orders set state = '{{\"state\":\"odd\"}}' where id = '{}'", ids[1]);
    sql::execute(url, &odd).await;
    let first = served.get("/v1/orders?limit=2").await;
    assert_eq!(first.status, 200, "{first:?}");
    let message = "what is stored of this order cannot be read by this version";
    let unreadable = json!({"id": ids[1], "status": "pending", "unreadable": {"code": "internal", "message": message}});
    assert_eq!((&first.body["orders"][0]["id"], &first.body["orders"][1]), (&json!(ids[2]), &unreadable));
    let next = format!("/v1/orders?limit=2&cursor={}", first.body["nextCursor"].as_str().unwrap());
    assert_eq!(served.get(&next).await.body["orders"][0]["id"], json!(ids[0]), "the page after it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_order_says_so_and_hides_no_other_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    a_page_with_an_unreadable_order(&format!("sqlite:{}", folder.path().join("orders.db").display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_order_says_so_and_hides_no_other_on_postgres() {
    a_page_with_an_unreadable_order(&servers::fresh_database().await).await;
}

#[tokio::test]
async fn every_bad_order_is_refused_with_its_code_and_leaves_nothing_behind() {
    let served = Served::start().await;
    let with = |rest: &str| format!(r#"{{"tokenIn":"SOL","tokenOut":"USDC",{rest}}}"#);
    let cases = [
        (r#"{"tokenIn":"DOGE","tokenOut":"USDC","amountIn":1}"#.to_owned(), 400, "unknown_token"),
        (r#"{"tokenIn":"SOL","tokenOut":"DOGE","amountIn":1}"#.to_owned(), 400, "unknown_token"),
        (r#"{"tokenIn":"SOL","tokenOut":"SOL","amountIn":1}"#.to_owned(), 400, "invalid_request"),
        (r#"{"tokenOut":"SOL","amountIn":1}"#.to_owned(), 400, "invalid_request"),
        (with(r#""amountIn":0"#), 400, "invalid_amount"),
        (with(r#""amountIn":-1"#), 400, "invalid_amount"),
        (with(r#""amountIn":"-0.5""#), 400, "invalid_amount"),
        (with(r#""amountIn":"NaN""#), 400, "invalid_amount"),
        (with(r#""amountIn":"Infinity""#), 400, "invalid_amount"),
        (with(r#""amountIn":NaN"#), 400, "malformed_body"),
        (with(r#""amountIn":0.0000000001"#), 400, "invalid_amount"),
        (with(r#""amountOut":"0.0000001""#), 400, "invalid_amount"),
        (with(r#""amountIn":18446744073.709551616"#), 400, "invalid_amount"),
        (with(r#""amountIn":1e300"#), 400, "invalid_amount"),
        (with(r#""amountInBase":18446744073709551616"#), 400, "invalid_amount"),
        (with(r#""amountInBase":1.5"#), 400, "invalid_amount"),
        (with(r#""amountIn":1,"amountOut":1"#), 400, "invalid_amount"),
        (with(r#""amountIn":1,"amountInBase":1"#), 400, "invalid_amount"),
        (with(r#""slippageBps":50"#), 400, "invalid_amount"),
        (with(r#""amountIn":1,"maxIn":1"#), 400, "invalid_request"),
        (with(r#""amountIn":1,"slippageBps":1001"#), 400, "invalid_slippage"),
        (with(r#""amountIn":1,"slippageBps":-1"#), 400, "invalid_slippage"),
        (with(r#""amountIn":1,"slippageBps":0.5"#), 400, "invalid_slippage"),
        (with(r#""amountIn":1,"wallet":"me""#), 400, "invalid_request"),
        (with(r#""amountIn":1,"kind":"limit""#), 400, "invalid_request"),
        (with(r#""amountIn":1,"minimumOut":1"#), 400, "malformed_body"),
        (with(r#""amountIn":true"#), 400, "malformed_body"),
        ("{".to_owned(), 400, "malformed_body"),
        ("[]".to_owned(), 400, "malformed_body"),
        ("null".to_owned(), 400, "malformed_body"),
        (String::new(), 400, "malformed_body"),
        (with(&format!(r#""amountIn":1,"wallet":"{}""#, "x".repeat(17_000))), 413, "body_too_large"),
        ("x".repeat(2_000_000), 413, "body_too_large"),
    ];
    for (body, status, code) in &cases {
        let answer = served.post(ORDERS, body).await;
        assert_eq!((answer.status, answer.code()), (*status, *code), "{body:.200} {answer:?}");
        assert!(answer.body["error"]["message"].as_str().is_some_and(|message| message.len() > 10), "{answer:?}");
        assert_eq!(answer.body["error"]["request_id"], answer.header("x-request-id"));
        assert_eq!((answer.header("x-content-type-options"), answer.header("cache-control")), ("nosniff", "no-store"));
    }
    let plain = served.request("POST", ORDERS).header("content-type", "text/plain").body(with(r#""amountIn":1"#));
    let answer = served.send(plain).await;
    assert_eq!((answer.status, answer.code()), (415, "unsupported_media_type"));
    nothing_happened(&served).await;
}

#[tokio::test]
async fn an_accepted_order_is_stored_queued_and_shown_exactly() {
    let served = Served::start().await;
    let body = r#"{"tokenIn":"sol","tokenOut":"USDC","amountIn":0.1,"minOut":"15.05","slippageBps":100}"#;
    let answer = served.post(ORDERS, body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let id = answer.body["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/v1/orders/{id}"));
    assert_eq!(answer.body["status"], "pending");
    assert_eq!(answer.body["amountIn"], json!({"base": "100000000", "ui": "0.1"}));
    assert_eq!(answer.body["amountOut"], Value::Null);
    assert_eq!(answer.body["minOut"], json!({"base": "15050000", "ui": "15.05"}));
    assert_eq!(answer.body["slippageBps"], 100);
    assert_eq!(answer.body["tokenIn"], "SOL");
    assert_eq!(answer.body["txHash"], Value::Null);
    assert_eq!(answer.body["simulated"], false);
    assert_eq!(served.queue.depth().await.unwrap(), 1);

    let shown = served.get(&format!("/v1/orders/{id}")).await;
    assert_eq!(shown.status, 200);
    assert_eq!(shown.body["history"][0]["event"], "created");
    assert_eq!(shown.body["history"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_full_queue_refuses_new_orders_and_still_answers_a_used_key() {
    let served = Served::start().await;
    let body = r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":1}"#;
    let post = |key: &'static str, body: &'static str| {
        let request = served.request("POST", ORDERS).header("content-type", "application/json");
        served.send(request.header("idempotency-key", key).body(body))
    };
    let first = post("one", body).await;
    assert_eq!(first.status, 201);
    let waiting: Vec<_> = (0..1_000).map(|_| OrderId::new()).collect();
    served.queue.push(&waiting).await.unwrap();

    let refused = post("two", body).await;
    assert_eq!((refused.status, refused.code()), (503, "queue_full"), "{refused:?}");
    assert!(!refused.header("retry-after").is_empty());
    let again = post("one", body).await;
    assert_eq!((again.status, &again.body["id"]), (200, &first.body["id"]));
    let other = post("one", r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":2}"#).await;
    assert_eq!((other.status, other.code()), (409, "idempotency_conflict"));
    assert_eq!(served.store.open_count().await.unwrap(), 1);
}

#[tokio::test]
async fn the_tokens_that_may_be_traded_are_listed() {
    let served = Served::start().await;
    let answer = served.get("/v1/tokens").await;
    let symbols: Vec<_> = answer.body["tokens"].as_array().unwrap().iter().map(|it| it["symbol"].clone()).collect();
    assert_eq!(symbols, ["SOL", "USDC", "FEE"]);
    assert_eq!(answer.body["tokens"][1]["decimals"], 6);
}

#[tokio::test]
async fn a_finished_order_shows_its_transaction_price_and_attempts() {
    let served = Served::start().await;
    let mut order = served.order().await;
    served.step(&mut order, OrderEvent::Claimed).await;
    let event = acts::routed(&order, VenueId::RaydiumCpmm);
    served.step(&mut order, event).await;
    let attempt = acts::attempt(&order);
    served.step(&mut order, OrderEvent::Signed { attempt: attempt.clone() }).await;
    let path = format!("/v1/orders/{}", order.id);
    let submitted = served.get(&path).await.body;
    assert_eq!(submitted["status"], "submitted");
    assert_eq!(submitted["txHash"], attempt.signature.to_string(), "the signature is known before it is sent");
    assert_eq!(submitted["executionPrice"], Value::Null);

    let event = acts::landed(&attempt, Some(acts::fill(&order)));
    served.step(&mut order, event).await;
    let confirmed = served.get(&path).await.body;
    assert_eq!(confirmed["status"], "confirmed");
    assert_eq!(confirmed["executionPrice"], "150.5");
    assert_eq!(confirmed["amountOut"], json!({"base": "301000000", "ui": "301"}));
    assert_eq!(confirmed["quoted"]["amountOut"]["ui"], "301.5");
    assert_eq!(confirmed["networkFee"], json!({"base": "5010", "ui": "0.00000501"}));
    assert_eq!(
        confirmed["explorerUrl"],
        format!("https://explorer.solana.com/tx/{}?cluster=devnet", attempt.signature)
    );
    let events: Vec<_> = confirmed["history"].as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
    assert_eq!(events, ["created", "claimed", "routed", "signed", "landed"]);
    assert_eq!(confirmed["history"][4]["executionPrice"], "150.5");
    assert_eq!(confirmed["attempts"][0]["outcome"], "landed");
    assert_eq!(confirmed["attempts"][0].get("wire"), None, "signed bytes stay inside");
}

#[tokio::test]
async fn a_paper_fill_is_marked_and_has_no_transaction() {
    let served = Served::start().await;
    let mut order = served.order().await;
    served.step(&mut order, OrderEvent::Claimed).await;
    let event = acts::routed(&order, VenueId::MeteoraMock);
    served.step(&mut order, event).await;
    let fill = acts::fill(&order);
    served.step(&mut order, OrderEvent::PaperFilled { venue: VenueId::MeteoraMock, fill }).await;
    let shown = served.get(&format!("/v1/orders/{}", order.id)).await.body;
    assert_eq!(
        (&shown["status"], &shown["simulated"], &shown["txHash"]),
        (&json!("confirmed"), &json!(true), &Value::Null)
    );
    assert_eq!(shown["history"][3]["simulated"], true);
}

#[tokio::test]
async fn a_failed_order_says_why() {
    let served = Served::start().await;
    let mut order = served.order().await;
    let failure = Failure::new(ErrorCode::NoRoute, "nobody trades this");
    served.step(&mut order, OrderEvent::Failed { failure }).await;
    let shown = served.get(&format!("/v1/orders/{}", order.id)).await.body;
    assert_eq!(shown["failure"], json!({"code": "no_route", "reason": "nobody trades this"}));
}

#[tokio::test]
async fn an_idempotency_key_makes_one_order_and_refuses_another_body() {
    let served = Served::start().await;
    let send = async |key: &str, body: &str| {
        let request = served.request("POST", ORDERS).header("content-type", "application/json");
        served.send(request.header("Idempotency-Key", key).body(body.to_owned())).await
    };
    let body = r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":1}"#;
    let first = send("key-1", body).await;
    let again = send("key-1", r#"{"tokenIn":"sol","tokenOut":"USDC","amountInBase":"1000000000"}"#).await;
    assert_eq!((first.status, again.status), (201, 200), "the same meaning in other words is the same request");
    assert_eq!(first.body["id"], again.body["id"]);
    assert_eq!(again.header("location"), first.header("location"));
    let other = send("key-1", r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":2}"#).await;
    assert_eq!((other.status, other.code()), (409, "idempotency_conflict"));
    for bad in ["", "two words", &"x".repeat(256)] {
        let answer = send(bad, body).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_request"));
    }
    assert_eq!(served.store.list(&OrderFilter::default(), 10).await.unwrap().len(), 1);
    assert_eq!(served.queue.depth().await.unwrap(), 1);
}

#[tokio::test]
async fn simultaneous_posts_with_one_key_make_one_order() {
    let served = Served::start().await;
    let posts = (0..8).map(|_| {
        let request = served.request("POST", ORDERS).header("content-type", "application/json");
        let body = r#"{"tokenIn":"SOL","tokenOut":"USDC","amountIn":1}"#;
        served.send(request.header("idempotency-key", "race").body(body))
    });
    let answers = futures_util::future::join_all(posts).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(answers.iter().all(|answer| answer.body["id"] == answers[0].body["id"]));
    assert_eq!(served.store.list(&OrderFilter::default(), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn orders_are_listed_newest_first_filtered_and_paged_without_a_gap() {
    let served = Served::start().await;
    let mut ids = Vec::new();
    for n in 0..7 {
        let mut order = served.order().await;
        if n % 3 == 0 {
            served.step(&mut order, OrderEvent::Cancelled).await;
        }
        ids.push(order.id.to_string());
    }
    ids.reverse();
    let mut listed = Vec::new();
    let mut path = format!("{ORDERS}?limit=3");
    loop {
        let page = served.get(&path).await.body;
        assert!(page["orders"].as_array().unwrap().len() <= 3);
        listed.extend(page["orders"].as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned()));
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("{ORDERS}?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(listed, ids);
    let count =
        async |query: &str| served.get(&format!("{ORDERS}?{query}")).await.body["orders"].as_array().unwrap().len();
    assert_eq!(count("status=cancelled").await, 3);
    assert_eq!(count("status=pending,cancelled").await, 7);
    assert_eq!(count("tokenIn=sol&tokenOut=USDC").await, 7);
    assert_eq!(count("tokenIn=USDC").await, 0);
    for (query, code) in [
        ("status=done", "invalid_request"),
        ("tokenIn=DOGE", "unknown_token"),
        ("limit=0", "invalid_request"),
        ("limit=201", "invalid_request"),
        ("limit=many", "invalid_request"),
        ("cursor=x", "invalid_request"),
        ("wallet=x", "invalid_request"),
        ("colour=red", "invalid_request"),
    ] {
        let answer = served.get(&format!("{ORDERS}?{query}")).await;
        assert_eq!((answer.status, answer.code()), (400, code), "{query}");
    }
}

#[tokio::test]
async fn an_order_can_be_cancelled_until_it_is_signed() {
    let served = Served::start().await;
    let order = served.order().await;
    let path = format!("/v1/orders/{}/cancel", order.id);
    for _ in 0..2 {
        let answer = served.send(served.request("POST", &path)).await;
        assert_eq!((answer.status, &answer.body["status"]), (200, &json!("cancelled")));
    }
    assert!(served.handover.take(order.id).is_none(), "no worker drives it");
    let mut order = served.order().await;
    served.step(&mut order, OrderEvent::Claimed).await;
    let event = acts::routed(&order, VenueId::RaydiumCpmm);
    served.step(&mut order, event).await;
    let attempt = acts::attempt(&order);
    served.step(&mut order, OrderEvent::Signed { attempt }).await;
    let answer = served.send(served.request("POST", &format!("/v1/orders/{}/cancel", order.id))).await;
    assert_eq!((answer.status, answer.code()), (409, "conflict"));
}

#[tokio::test]
async fn an_order_that_nobody_set_aside_is_not_replayed_even_if_it_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("orders.db").display());
    let served = Served::on(&url, "local:", Options::default(), 16).await;
    let order = served.order().await;
    for damage in ["update order_status_history set payload = '{}'", "update orders set state = '{}'"] {
        sql::execute(&url, damage).await;
        let answer = served.post(&format!("/v1/dead-letters/{}/replay", order.id), "").await;
        assert_eq!((answer.status, answer.code()), (409, "conflict"), "{damage}");
    }
}

#[tokio::test]
async fn what_does_not_exist_is_said_to_be_missing() {
    let served = Served::start().await;
    let zero = "00000000-0000-0000-0000-000000000000";
    for (method, path, status, code) in [
        ("GET", format!("/v1/orders/{zero}"), 404, "not_found"),
        ("GET", "/v1/orders/no-uuid".to_owned(), 404, "not_found"),
        ("GET", "/v1/orders/%FF".to_owned(), 404, "not_found"),
        ("POST", format!("/v1/orders/{zero}/cancel"), 404, "not_found"),
        ("GET", "/v1".to_owned(), 404, "not_found"),
        ("DELETE", "/v1/orders".to_owned(), 405, "method_not_allowed"),
        ("GET", format!("/v1/stream?orderId={zero}"), 404, "not_found"),
        ("GET", "/v1/stream".to_owned(), 400, "invalid_request"),
        ("GET", "/v1/stream?since=-1".to_owned(), 400, "invalid_request"),
    ] {
        let answer = served.send(served.request(method, &path)).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{method} {path} {answer:?}");
    }
    let refused = served.send(served.request("DELETE", "/v1/orders")).await;
    let mut methods: Vec<_> = refused.header("allow").split(',').collect();
    methods.sort_unstable();
    assert_eq!(methods, ["GET", "HEAD", "POST"], "a path says what it takes");
}

#[tokio::test]
async fn a_quote_without_a_venue_is_a_refusal_that_says_so() {
    let served = Served::start().await;
    let answer = served.get("/v1/quote?tokenIn=SOL&tokenOut=USDC&amountIn=1").await;
    assert_eq!((answer.status, answer.code()), (422, "no_route"), "{answer:?}");
    assert_eq!(answer.body["error"]["quotes"], json!([]));
    for (query, code) in [
        ("tokenIn=SOL&tokenOut=USDC", "invalid_amount"),
        ("tokenIn=SOL&tokenOut=USDC&amountIn=0", "invalid_amount"),
        ("tokenIn=SOL&tokenOut=DOGE&amountIn=1", "unknown_token"),
        ("tokenIn=SOL&tokenOut=USDC&amountIn=1&slippageBps=5000", "invalid_slippage"),
        ("tokenIn=SOL&tokenOut=USDC&amountIn=1&side=buy", "invalid_request"),
    ] {
        let answer = served.get(&format!("/v1/quote?{query}")).await;
        assert_eq!((answer.status, answer.code()), (400, code), "{query}");
    }
    nothing_happened(&served).await;
}

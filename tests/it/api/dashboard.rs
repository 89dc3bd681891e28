//! The page at `/`, and what it asks of the daemon beside orders.

use serde_json::json;
use swapd::api::Options;

use super::served::{Answer, Served};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

async fn get(served: &Served, path: &str, accept: &str) -> Answer {
    served.send(served.request("GET", path).header("accept", accept)).await
}

#[tokio::test]
async fn a_browser_gets_the_page_and_every_other_client_the_greeting() {
    let served = Served::start().await;
    let page = get(&served, "/", BROWSER).await;
    assert!(page.header("content-type").starts_with("text/html"), "{page:?}");
    assert_eq!((page.status, page.header("vary")), (200, "accept"));
    assert!(page.body.as_str().unwrap().contains("<title>swapd</title>"));

    let greeting = json!({"message": "Order Execution Engine is running"});
    for accept in ["*/*", "application/json", "application/json, text/plain, */*"] {
        let answer = get(&served, "/", accept).await;
        assert_eq!((&answer.body, answer.header("vary")), (&greeting, "accept"), "{accept}");
    }
    assert_eq!(served.get("/").await.body, greeting, "without an Accept");
    served.stop().await;
}

#[tokio::test]
async fn the_page_needs_no_key_no_other_host_and_no_inline_code() {
    let served = Served::keyed("k").await;
    let page = get(&served, "/", BROWSER).await;
    let html = page.body.as_str().unwrap().to_owned();
    assert!(page.header("content-security-policy").starts_with("default-src 'self'"), "{page:?}");
    assert!(!html.contains("<style") && !html.contains(" style=") && !html.contains("onclick"), "{html}");

    // Every file the page or one of its modules names, and theirs in turn.
    let mut names: Vec<String> =
        html.split("/dashboard/").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
    let mut seen = 0;
    while seen < names.len() {
        let name = names[seen].clone();
        seen += 1;
        let answer = get(&served, &format!("/dashboard/{name}"), "*/*").await;
        let content = answer.body.as_str().unwrap_or_else(|| panic!("{name}: {answer:?}"));
        assert_eq!((answer.status, answer.header("x-content-type-options")), (200, "nosniff"), "{name}");
        let foreign = content.replace("http://www.w3.org/2000/svg", "");
        assert!(!foreign.contains("http://") && !foreign.contains("https://"), "{name} names another host");
        for module in content.split("from \"./").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()) {
            if !names.contains(&module) {
                names.push(module);
            }
        }
    }
    assert!(names.iter().any(|name| name == "stream.js"), "{names:?}");

    let unknown = served.get("/dashboard/..%2Fmod.rs").await;
    assert_eq!((unknown.status, &unknown.body["code"]), (404, &json!("not_found")));
    for path in ["/v1/status", "/v1/wallets"] {
        assert_eq!(served.get(path).await.status, 401, "{path}: what the page shows does need the key");
    }
    served.stop().await;
}

#[tokio::test]
async fn the_status_says_where_a_reader_of_events_may_begin() {
    let served = Served::with(Options { cluster: "devnet", ..Options::default() }, 16).await;
    let order = served.order().await;
    let status = served.get("/v1/status").await.body;
    assert_eq!(
        (&status["cluster"], &status["openOrders"], &status["cursor"]),
        (&json!("devnet"), &json!(1), &json!(1))
    );
    assert_eq!((&status["defaultSlippageBps"], &status["maxSlippageBps"]), (&json!(50), &json!(1000)));
    assert!(status["slot"].is_null(), "this process has no chain: {status}");

    let mut socket = served.connect(&format!("/v1/stream?since={}", status["cursor"])).await;
    let next = served.order().await;
    let frame = socket.frame().await;
    assert_eq!(frame["orderId"], next.id.to_string(), "not {}", order.id);
    served.stop().await;
}

#[tokio::test]
async fn a_process_without_keys_says_that_it_knows_no_wallets() {
    let served = Served::start().await;
    let answer = served.get("/v1/wallets").await;
    assert_eq!((answer.status, &answer.body["wallets"]), (200, &json!(null)));
    assert!(answer.body["reason"].as_str().unwrap().contains("holds no keys"), "{answer:?}");
    served.stop().await;
}

//! The description of the API, held against what is served.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use swapd::api::openapi;

use super::served::Served;

/// Every described method and path.
fn operations(document: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        all.extend(methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    all
}

fn document() -> Value {
    serde_json::to_value(openapi::document()).unwrap()
}

/// Calls `look` with every object in a document.
fn walk(value: &Value, look: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            look(map);
            map.values().for_each(|value| walk(value, look));
        }
        Value::Array(list) => list.iter().for_each(|value| walk(value, look)),
        _ => {}
    }
}

#[tokio::test]
async fn what_is_described_is_served_and_what_is_not_described_is_refused() {
    let served = Served::start().await;
    let described: BTreeSet<_> = operations(&document()).into_iter().collect();
    for (_, path) in &described {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let request = served.request(method, &path.replace(['{', '}'], "x")).timeout(crate::support::PATIENCE);
            // The answer's head is enough: one of the paths streams.
            let response = request.send().await.unwrap();
            let known = described.contains(&(method.to_owned(), path.clone()));
            let status = response.status();
            // The older engines knew no 405, so outside /v1 a method that is not taken is a path that is not there.
            let refused = match status.as_u16() {
                405 => true,
                404 => response.text().await.unwrap().contains(&format!("Route {method}:")),
                _ => false,
            };
            assert_eq!(refused, !known, "{method} {path}: {status}");
        }
    }
}

#[test]
fn every_reference_in_the_description_leads_somewhere_and_every_operation_has_a_name() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut references = BTreeSet::new();
    walk(&document, &mut |object| {
        references.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
    });
    assert!(references.len() > 30, "{references:?}");
    for reference in references {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }
    let mut names = BTreeSet::new();
    walk(&document["paths"], &mut |object| {
        if let Some(responses) = object.get("responses") {
            let name = object["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            assert!(
                !object["tags"][0].as_str().unwrap().is_empty()
                    && responses.as_object().is_some_and(|answers| !answers.is_empty())
            );
        }
    });
    assert_eq!(names.len(), operations(&document).len());
    let mut linked = BTreeSet::new();
    walk(&document, &mut |object| {
        if let Some(links) = object.get("links").and_then(Value::as_object) {
            linked.extend(links.values().map(|link| link["operationId"].as_str().unwrap().to_owned()));
        }
    });
    assert!(!linked.is_empty() && linked.is_subset(&names), "{linked:?}");
}

#[tokio::test]
async fn a_served_description_names_the_daemons_tokens_and_whether_it_demands_a_key() {
    let open = Served::start().await;
    let document = open.get("/openapi.json").await.body;
    let names = &document["components"]["schemas"]["TokenName"]["enum"];
    assert_eq!((&names[0], &names[2]), (&"SOL".into(), &"USDC".into()));
    let security = |document: &Value| document["paths"]["/v1/orders"]["post"]["security"].as_array().unwrap().len();
    assert_eq!(security(&document), 3, "bearer, a header, or nothing");
    let keyed = Served::keyed("secret").await;
    let document = keyed.get("/openapi.json").await.body;
    assert_eq!(security(&document), 2);
    for (method, path) in operations(&document) {
        let needs_key = !document["paths"][&path][method.to_lowercase()]["security"].is_null();
        let status = keyed.send(keyed.request(&method, &path)).await.status;
        assert_eq!(status == 401, needs_key, "{method} {path}");
    }
}

#[tokio::test]
async fn the_pages_load_nothing_from_another_host() {
    let served = Served::start().await;
    let page = served.get("/docs").await;
    assert_eq!(page.status, 200, "a redirect leads to it");
    let html = page.body.as_str().unwrap();
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(!html.contains("http") && !html.contains("<script>") && !html.contains("style="), "{html}");
    let files: Vec<_> = html.split('"').filter(|text| text.starts_with("./") || text.ends_with(".css")).collect();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let answer = served.get(&format!("/docs/{}", file.trim_start_matches("./"))).await;
        assert_eq!(answer.status, 200, "{file}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        if file.ends_with("initializer.js") {
            let script = answer.body.as_str().unwrap();
            assert!(script.contains(r#""/openapi.json""#) && script.contains(r#""validatorUrl": "none""#), "{script}");
            assert!(!script.contains("http"), "{script}");
        }
    }
    assert_eq!((served.get("/docs/nothing").await.status, served.get("/docs/..%2fx").await.status), (404, 404));
}

/// What a test script of the collection says about an answer.
fn expected(item: &Value) -> Vec<u16> {
    let line = item["event"][0]["script"]["exec"][0].as_str().unwrap();
    let list = line.split(['[', ']']).nth(1).unwrap();
    list.split(", ").map(|status| status.parse().unwrap()).collect()
}

#[tokio::test]
async fn every_request_of_the_postman_collection_is_answered_as_described() {
    let served = Served::start().await;
    let collection = served.get("/postman.json").await.body;
    assert!(collection["info"]["schema"].as_str().unwrap().ends_with("/v2.1.0/collection.json"));
    let (mut ids, mut asked) = (BTreeMap::<_, String>::new(), Vec::new());
    for folder in collection["item"].as_array().unwrap() {
        for item in folder["item"].as_array().unwrap() {
            let request = &item["request"];
            let mut url = request["url"]["raw"].as_str().unwrap().to_owned();
            for (name, id) in &ids {
                url = url.replace(&format!("{{{{{name}}}}}"), id);
            }
            let path = url.strip_prefix("{{baseUrl}}").unwrap();
            let method = request["method"].as_str().unwrap();
            let mut sent = served.request(method, path);
            for (kind, list) in [("query", &request["url"]["query"]), ("header", &request["header"])] {
                for entry in list.as_array().unwrap().iter().filter(|entry| entry["disabled"] != true) {
                    let (name, value) = (entry["key"].as_str().unwrap(), entry["value"].as_str().unwrap());
                    sent = if kind == "query" { sent.query(&[(name, value)]) } else { sent.header(name, value) };
                }
            }
            if let Some(body) = request["body"]["raw"].as_str() {
                sent = sent.body(body.to_owned());
            }
            let answer = served.send(sent).await;
            assert!(expected(item).contains(&answer.status), "{method} {path}: {answer:?}");
            let no_venue = path == "/v1/quote" && answer.code() == "no_route"; // none is served here
            let not_aside = path.ends_with("/replay") && answer.code() == "conflict"; // the order makes no trouble
            let no_delivery = path.ends_with("{{deliveryId}}/redeliver") && answer.code() == "not_found"; // none was made
            assert!(answer.status < 400 || no_venue || not_aside || no_delivery, "{method} {path}: {answer:?}");
            let script = item["event"][0]["script"]["exec"].to_string();
            for name in ["orderId", "webhookId"] {
                if script.contains(&format!("'{name}'")) {
                    ids.insert(name, answer.body["id"].as_str().unwrap().to_owned());
                }
            }
            asked.push(format!("{method} {path}"));
        }
    }
    let ends =
        [format!("POST /v1/orders/{}/cancel", ids["orderId"]), format!("DELETE /v1/webhooks/{}", ids["webhookId"])];
    assert!(asked.len() >= 20 && ends.iter().all(|end| asked.contains(end)), "{asked:?}");
}

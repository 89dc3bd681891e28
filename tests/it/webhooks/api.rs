//! Webhooks over REST.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use swapd::{
    api::{ApiKey, Options},
    store::{self, KeyRecord, Scope},
};
use time::OffsetDateTime;

use crate::{
    api::served::Served,
    support::receiver::{Receiver, Reply},
};

#[tokio::test]
async fn a_webhook_is_made_shown_changed_and_removed_and_its_secret_is_shown_once() {
    let served = Served::start().await;
    let receiver = Receiver::start().await;
    let body = json!({"url": receiver.url, "description": "desk", "statuses": ["confirmed"], "events": ["landed"]});
    let made = served.post("/v1/webhooks", &body.to_string()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let secret = made.body["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    let path = made.header("location").to_owned();
    let shown = served.get(&path).await;
    let listed = served.get("/v1/webhooks").await;
    assert_eq!((shown.status, &listed.body["webhooks"]), (200, &json!([shown.body])));
    assert!(!shown.body.to_string().contains(&secret));
    let fields: BTreeSet<_> = made.body.as_object().unwrap().keys().collect();
    let again: BTreeSet<_> = shown.body.as_object().unwrap().keys().collect();
    assert_eq!(fields.difference(&again).collect::<Vec<_>>(), [&"secret"]);
    assert_eq!((&shown.body["events"], &shown.body["enabled"]), (&json!(["landed"]), &json!(true)));

    let patch = async |body: Value| {
        let request = served.request("PATCH", &path).header("content-type", "application/json");
        served.send(request.body(body.to_string())).await
    };
    let changed = patch(json!({"enabled": false, "events": [], "description": "other"})).await.body;
    assert_eq!((&changed["description"], &changed["events"]), (&json!("other"), &json!([])));
    assert_eq!((&changed["statuses"], &changed["enabled"]), (&json!(["confirmed"]), &json!(false)), "the rest stays");
    assert_eq!(changed["disabled"]["reason"], "it was disabled by hand");
    assert_eq!(patch(json!({"enabled": true, "resumeFrom": "now"})).await.body["disabled"], Value::Null);
    for wrong in [json!({"resumeFrom": "now"}), json!({"url": "nowhere"}), json!({"events": ["landing"]})] {
        let refused = patch(wrong.clone()).await;
        assert_eq!((refused.status, refused.code()), (400, "invalid_request"), "{wrong}");
    }
    assert_eq!(patch(json!({"secret": "mine"})).await.code(), "malformed_body");

    assert_eq!(served.send(served.request("DELETE", &path)).await.status, 204);
    for (method, path) in [
        ("GET", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/test")),
        ("GET", format!("{path}/deliveries")),
        ("POST", format!("{path}/deliveries/x/redeliver")),
        ("GET", "/v1/webhooks/x".into()),
    ] {
        let gone = served.send(served.request(method, &path)).await;
        assert_eq!((gone.status, gone.code()), (404, "not_found"), "{method} {path}");
    }
}

#[tokio::test]
async fn a_webhook_that_makes_no_sense_is_refused() {
    let served = Served::start().await;
    let url = "https://hooks.example/in";
    for (body, status, code) in [
        (json!({}), 400, "malformed_body"),
        (json!({"url": url, "surprise": 1}), 400, "malformed_body"),
        (json!({"url": url, "statuses": ["done"]}), 400, "malformed_body"),
        (json!({"url": "mailto:a@b.c"}), 400, "invalid_request"),
        (json!({"url": "https://me:secret@hooks.example/"}), 400, "invalid_request"),
        (json!({"url": url, "events": ["landing"]}), 400, "invalid_request"),
        (json!({"url": url, "description": "x".repeat(201)}), 400, "invalid_request"),
        (json!({"url": url, "since": 1}), 400, "invalid_request"),
    ] {
        let refused = served.post("/v1/webhooks", &body.to_string()).await;
        assert_eq!((refused.status, refused.code()), (status, code), "{body}: {refused:?}");
    }
    for n in 0..20 {
        assert_eq!(served.post("/v1/webhooks", &json!({"url": url}).to_string()).await.status, 201, "{n}");
    }
    let refused = served.post("/v1/webhooks", &json!({"url": url}).to_string()).await;
    assert_eq!((refused.status, refused.code()), (409, "conflict"), "{refused:?}");
}

#[tokio::test]
async fn a_key_that_may_only_read_sees_where_a_webhook_leads_but_not_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("orders.db").display());
    let store = store::open(&url).await.unwrap();
    for (name, scope) in [("desk", Scope::Trade), ("screen", Scope::Read)] {
        let record = KeyRecord {
            name: name.into(),
            digest: ApiKey::new(name).digest(),
            scope,
            per_second: None,
            created_at: OffsetDateTime::UNIX_EPOCH,
            revoked_at: None,
        };
        assert!(store.create_key(&record).await.unwrap());
    }
    store.close().await;
    let served = Served::on(&url, "local:", Options::default(), 16).await;
    let whole = "https://hooks.example:8443/in/T0P-SECRET?also=this";
    let post = served.request("POST", "/v1/webhooks").bearer_auth("desk");
    let made = served.send(post.json(&json!({"url": whole}))).await;
    assert_eq!((made.status, &made.body["url"]), (201, &json!(whole)), "{made:?}");
    let one = made.header("location");
    for (key, url) in [("desk", whole), ("screen", "https://hooks.example:8443")] {
        let get = async |path: &str| served.send(served.request("GET", path).bearer_auth(key)).await.body;
        assert_eq!(get(one).await["url"], url, "{key}");
        assert_eq!(get("/v1/webhooks").await["webhooks"][0]["url"], url, "{key}");
    }
}

#[tokio::test]
async fn a_test_is_sent_at_once_signed_and_its_answer_is_told() {
    let served = Served::start().await;
    let receiver = Receiver::answering(|_, before| Reply::Status(if before == 0 { 200 } else { 502 })).await;
    let made = served.post("/v1/webhooks", &json!({"url": receiver.url}).to_string()).await.body;
    let path = format!("/v1/webhooks/{}/test", made["id"].as_str().unwrap());
    let test = async || served.send(served.request("POST", &path)).await.body;
    let first = test().await;
    assert_eq!((&first["delivered"], &first["status"], &first["error"]), (&json!(true), &json!(200), &Value::Null));
    let second = test().await;
    assert_eq!((&second["delivered"], &second["status"]), (&json!(false), &json!(502)));
    let heard = receiver.heard();
    assert_eq!((&heard[0].body["event"], &heard[0].body["webhookId"]), (&json!("test"), &made["id"]));
    heard[0].signed_with(made["secret"].as_str().unwrap());
    drop(receiver);
}

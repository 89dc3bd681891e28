//! Postman: the description as a collection, v2.1.
//!
//! A folder per tag, a request per operation with its first example, and a test of its status. Posting an order or a
//! webhook sets the variable `orderId` or `webhookId`, which the requests after it use. Sockets and streams are left
//! out: they never end.

use serde_json::{Value, json};

const SCHEMA: &str = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json";
const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";

/// The collection of a document.
pub fn collection(document: &Value) -> Value {
    let folders = entries(&document["tags"]).map(|(_, tag)| {
        let requests: Vec<Value> = operations(document)
            .filter(|(_, _, operation)| operation["tags"][0] == tag["name"] && ends(operation))
            .map(|(path, method, operation)| request(path, method, operation))
            .collect();
        json!({ "name": tag["name"], "description": tag["description"], "item": requests })
    });
    let ids = ["orderId", "webhookId", "deliveryId"].map(|name| (name, ""));
    let variables = [("baseUrl", "http://127.0.0.1:3000"), ("apiKey", "")].into_iter().chain(ids);
    json!({
        "info": {
            "name": document["info"]["title"],
            "description": document["info"]["description"],
            "version": document["info"]["version"],
            "schema": SCHEMA,
        },
        "auth": { "type": "bearer", "bearer": [{ "key": "token", "value": "{{apiKey}}", "type": "string" }] },
        "variable": variables.map(|(key, value)| json!({ "key": key, "value": value })).collect::<Vec<_>>(),
        "item": folders.collect::<Vec<_>>(),
    })
}

/// Every operation: what makes a thing comes before what looks at it, and what ends it last.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let all = entries(&document["paths"])
        .flat_map(|(path, methods)| entries(methods).map(move |(method, operation)| (path, method, operation)));
    let mut all: Vec<_> = all.collect();
    let turn = |path: &str, method: &str| match method {
        "post" if !path.contains('{') => 0,
        "post" => 2,
        "delete" => 3,
        _ => 1,
    };
    all.sort_by_key(|(path, method, _)| (turn(path, method), *path));
    all.into_iter()
}

fn entries(value: &Value) -> Box<dyn Iterator<Item = (&str, &Value)> + '_> {
    match value {
        Value::Object(map) => Box::new(map.iter().map(|(name, value)| (name.as_str(), value))),
        Value::Array(list) => Box::new(list.iter().map(|value| ("", value))),
        _ => Box::new(std::iter::empty()),
    }
}

/// Whether an answer to it has an end.
fn ends(operation: &Value) -> bool {
    let streams = |response: &Value| entries(&response["content"]).any(|(kind, _)| kind == EVENT_STREAM);
    successes(operation).next().is_some() && !successes(operation).any(|(_, response)| streams(response))
}

fn successes(operation: &Value) -> impl Iterator<Item = (&str, &Value)> {
    entries(&operation["responses"]).filter(|(status, _)| status.starts_with('2'))
}

fn request(path: &str, method: &str, operation: &Value) -> Value {
    let path = path.replace("{id}", "{orderId}").replace('{', "{{").replace('}', "}}");
    let (mut query, mut headers) = (Vec::new(), Vec::new());
    for (_, parameter) in entries(&operation["parameters"]) {
        // What has no example is there to be filled in.
        let example = parameter.get("example").unwrap_or(&parameter["schema"]["example"]);
        let entry = json!({
            "key": parameter["name"],
            "value": example,
            "description": parameter["description"],
            "disabled": example.is_null(),
        });
        match parameter["in"].as_str() {
            Some("query") => query.push(entry),
            Some("header") => headers.push(entry),
            _ => {}
        }
    }
    let mut request = json!({
        "method": method.to_uppercase(),
        "description": operation["description"],
        "url": {
            "raw": format!("{{{{baseUrl}}}}{path}"),
            "host": ["{{baseUrl}}"],
            "path": path.trim_start_matches('/').split('/').collect::<Vec<_>>(),
            "query": query,
        },
    });
    if let Some(body) = body(operation) {
        headers.push(json!({ "key": "Content-Type", "value": JSON }));
        request["body"] = json!({
            "mode": "raw", "raw": format!("{body:#}"), "options": { "raw": { "language": "json" } },
        });
    }
    request["header"] = json!(headers);
    if operation.get("security").is_none() {
        request["auth"] = json!({ "type": "noauth" });
    }
    let name = operation["summary"].as_str().or(operation["operationId"].as_str()).unwrap_or(&path);
    let script = script(operation);
    let event = json!([{ "listen": "test", "script": { "type": "text/javascript", "exec": script } }]);
    json!({ "name": name.trim_end_matches('.'), "request": request, "event": event })
}

/// The first example of a body.
fn body(operation: &Value) -> Option<&Value> {
    let content = &operation["requestBody"]["content"][JSON];
    entries(&content["examples"]).next().map(|(_, example)| &example["value"])
}

/// Tests that the status is a documented one, and remembers what was made under the name that its links ask for it by.
fn script(operation: &Value) -> Vec<String> {
    let statuses: Vec<_> = entries(&operation["responses"]).map(|(status, _)| status).collect();
    let mut lines = vec![format!(
        "pm.test('the status is a documented one', () => pm.expect([{}]).to.include(pm.response.code));",
        statuses.join(", ")
    )];
    // The older engines' answer to a new order leads nowhere by itself.
    for (_, answer) in successes(operation).filter(|(status, _)| *status == "201") {
        let parameter = entries(&answer["links"]).next().and_then(|(_, link)| entries(&link["parameters"]).next());
        if let Some((name, _)) = parameter {
            let name = if name == "id" { "orderId" } else { name };
            lines.push(format!("pm.collectionVariables.set('{name}', pm.response.json().id);"));
        }
    }
    lines
}

//! Refusal: the answers that the proxy makes up instead of asking the node.
//!
//! Owns their wire forms, as Agave writes them and, where it differs, as Surfpool does.

use axum::body::Bytes;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use super::{alter::min_context_slot, fault::Refusal, node::Reply};

/// How far behind an unhealthy node says it is.
const BEHIND: u64 = 150;

/// An answer without an error.
pub(super) fn result(id: &Value, result: Value) -> Reply {
    Reply::json(&json!({"jsonrpc": "2.0", "result": result, "id": id}))
}

/// A JSON-RPC error.
pub(super) fn error(id: &Value, code: i64, message: &str, data: Value) -> Reply {
    let mut error = json!({"code": code, "message": message});
    if !data.is_null() {
        error["data"] = data;
    }
    Reply::json(&json!({"jsonrpc": "2.0", "error": error, "id": id}))
}

/// HTTP 429.
pub(super) fn too_many(id: &Value, retry_after: Option<u64>) -> Reply {
    let reply = error(id, 429, "Too many requests from your IP, contact your app developer or support", Value::Null);
    Reply { status: 429, retry_after: retry_after.map(|seconds| seconds.to_string()), ..reply }
}

/// HTTP 502, as a proxy says it.
pub(super) fn bad_gateway() -> Reply {
    Reply { status: 502, retry_after: None, body: Bytes::from_static(b"<html><title>502 Bad Gateway</title></html>") }
}

/// The node has not reached the slot that the call demands.
pub(super) fn behind(id: &Value, context_slot: u64) -> Reply {
    error(id, -32016, "Minimum context slot has not been reached", json!({"contextSlot": context_slot}))
}

/// The error that a rule asks for.
pub(super) fn refusal(id: &Value, params: &Value, kind: Refusal) -> Reply {
    let preflight = |text: &str, err: &str| {
        let data = json!({
            "err": err, "logs": [], "accounts": null, "unitsConsumed": 0, "returnData": null,
            "innerInstructions": null, "replacementBlockhash": null,
        });
        error(id, -32002, &format!("Transaction simulation failed: {text}"), data)
    };
    let plain = |text: &str| {
        let signature = signature(params).unwrap_or_default();
        let message = format!("Transaction verification failed for transaction {signature}: {text}");
        error(id, -32002, &message, Value::Null)
    };
    const PROCESSED: &str = "This transaction has already been processed";
    const NOT_FOUND: &str = "Blockhash not found";
    match kind {
        Refusal::NodeUnhealthy => {
            let message = format!("Node is behind by {BEHIND} slots");
            error(id, -32005, &message, json!({"numSlotsBehind": BEHIND}))
        }
        Refusal::MinContextSlot => behind(id, min_context_slot(params).unwrap_or_default().saturating_sub(1)),
        Refusal::NoHistory => error(id, -32011, "Transaction history is not available from this node", Value::Null),
        Refusal::AlreadyProcessed => preflight(PROCESSED, "AlreadyProcessed"),
        Refusal::BlockhashNotFound => preflight(NOT_FOUND, "BlockhashNotFound"),
        Refusal::AlreadyProcessedText => plain(PROCESSED),
        Refusal::BlockhashNotFoundText => plain(NOT_FOUND),
    }
}

/// The signature that a `sendTransaction` would be answered with. `None` when the bytes cannot be read, or are of a
/// version that does not begin with its signatures.
pub(super) fn signature(params: &Value) -> Option<String> {
    let wire = wire(params)?;
    let count = *wire.first()?;
    if !(1..0x80).contains(&count) {
        return None;
    }
    wire.get(1..65).map(|signature| bs58::encode(signature).into_string())
}

/// The bytes of a `sendTransaction`.
pub(super) fn wire(params: &Value) -> Option<Vec<u8>> {
    let text = params.get(0)?.as_str()?;
    match params.pointer("/1/encoding").and_then(Value::as_str) {
        Some("base64") => BASE64.decode(text).ok(),
        _ => bs58::decode(text).into_vec().ok(),
    }
}

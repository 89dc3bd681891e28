//! Alter: makes a node's true answer a wrong one.
//!
//! Pure: takes an answer's `result` and what the fault needs to know, and changes the result. An answer never becomes
//! more than some node could say: a blockhash keeps the bound it came with, since a bound of another hash would let a
//! client sign twice, which no lagging node does.

use serde_json::{Value, json};

use super::plan::Tip;

/// What is asked for at, where a call does not say: finalized, as nodes have it.
pub(super) fn commitment(params: &Value) -> &str {
    let named = |key| {
        let items = params.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().rev().find_map(|item| item.get(key)?.as_str())
    };
    named("commitment").or_else(|| named("preflightCommitment")).unwrap_or("finalized")
}

/// The slot that the node must have reached, if a call demands one.
pub(super) fn min_context_slot(params: &Value) -> Option<u64> {
    params.as_array()?.iter().rev().find_map(|item| item.get("minContextSlot")?.as_u64())
}

/// Null in place of what is known of `signatures`, or of any when it names none.
pub(super) fn hide(method: &str, params: &Value, signatures: &[String], result: &mut Value) {
    let hidden = |signature: Option<&Value>| {
        let signature = signature.and_then(Value::as_str).unwrap_or_default();
        signatures.is_empty() || signatures.iter().any(|hidden| hidden == signature)
    };
    match method {
        "getSignatureStatuses" => {
            for (at, status) in statuses(result).iter_mut().enumerate() {
                if hidden(params.get(0).and_then(|asked| asked.get(at))) {
                    *status = Value::Null;
                }
            }
        }
        "getTransaction" if hidden(params.get(0)) => *result = Value::Null,
        _ => {}
    }
}

/// Every signature has failed at `processed`, in the newest block.
pub(super) fn fork(error: &Value, result: &mut Value) {
    let slot = result["context"]["slot"].clone();
    for status in statuses(result) {
        *status = json!({
            "slot": slot, "confirmations": 0, "status": {"Err": error}, "err": error, "confirmationStatus": "processed",
        });
    }
}

/// Every signature is in a final block at `slot`, without an error and without any effect.
pub(super) fn not_run(method: &str, params: &Value, slot: u64, result: &mut Value) {
    if method == "getSignatureStatuses" {
        for status in statuses(result) {
            *status = json!({
                "slot": slot, "confirmations": null, "status": {"Ok": null}, "err": null, "confirmationStatus": "finalized",
            });
        }
        return;
    }
    *result = json!({
        "slot": slot, "blockTime": null, "version": 0,
        "meta": {
            "err": null, "status": {"Ok": null}, "fee": 0, "logMessages": [], "innerInstructions": [],
            "preBalances": [], "postBalances": [], "preTokenBalances": [], "postTokenBalances": [],
        },
        "transaction": {"signatures": [params[0]], "message": {"accountKeys": [], "instructions": []}},
    });
}

/// Slot and height are smaller by `by`.
pub(super) fn height_back(by: u64, result: &mut Value) {
    less(by, result);
    for field in ["absoluteSlot", "slotIndex", "blockHeight"] {
        if let Some(number) = result.get_mut(field) {
            less(by, number);
        }
    }
}

/// The answer of a node that is `slots` behind. `newest` is the newest confirmed slot, for answers that do not say
/// when they were given; `older` gives a blockhash of a slot or before.
pub(super) fn lag(
    method: &str,
    slots: u64,
    newest: Option<u64>,
    older: impl Fn(u64) -> Option<Value>,
    result: &mut Value,
) {
    match method {
        "getSlot" | "getBlockHeight" | "getEpochInfo" => return height_back(slots, result),
        "getTransaction" => {
            if let (Some(newest), Some(slot)) = (newest, result["slot"].as_u64())
                && slot > newest.saturating_sub(slots)
            {
                *result = Value::Null;
            }
            return;
        }
        _ => {}
    }
    let Some(slot) = result.pointer_mut("/context/slot") else { return };
    less(slots, slot);
    let seen = slot.as_u64().unwrap_or_default();
    match method {
        "getLatestBlockhash" => {
            if let Some(older) = older(seen) {
                result["value"] = older;
            }
        }
        "getSignatureStatuses" => {
            for status in statuses(result) {
                if status["slot"].as_u64().is_some_and(|slot| slot > seen) {
                    *status = Value::Null;
                }
            }
        }
        _ => {}
    }
}

/// The answer of a node whose finality has stopped at `tip`.
pub(super) fn stop_finality(
    method: &str,
    params: &Value,
    tip: Tip,
    older: impl Fn(u64) -> Option<Value>,
    result: &mut Value,
) {
    if method == "getSignatureStatuses" {
        for status in statuses(result) {
            if status["slot"].as_u64().is_some_and(|slot| slot > tip.slot)
                && status["confirmationStatus"] == "finalized"
            {
                status["confirmationStatus"] = json!("confirmed");
                status["confirmations"] = json!(31);
            }
        }
        return;
    }
    if matches!(commitment(params), "processed" | "confirmed") {
        return;
    }
    match method {
        "getSlot" => at_most(tip.slot, result),
        "getBlockHeight" => at_most(tip.height, result),
        "getEpochInfo" => {
            let ahead = result["absoluteSlot"].as_u64().unwrap_or_default().saturating_sub(tip.slot);
            if let Some(index) = result.get_mut("slotIndex") {
                less(ahead, index);
            }
            for (field, most) in [("absoluteSlot", tip.slot), ("blockHeight", tip.height)] {
                if let Some(number) = result.get_mut(field) {
                    at_most(most, number);
                }
            }
        }
        "getLatestBlockhash" => {
            if let Some(slot) = result.pointer_mut("/context/slot") {
                at_most(tip.slot, slot);
            }
            if let (Some(value), Some(older)) = (result.get_mut("value"), older(tip.slot)) {
                *value = older;
            }
        }
        "getTransaction" if result["slot"].as_u64().is_some_and(|slot| slot > tip.slot) => *result = Value::Null,
        _ => {}
    }
}

fn statuses(result: &mut Value) -> &mut [Value] {
    result.get_mut("value").and_then(Value::as_array_mut).map(Vec::as_mut_slice).unwrap_or_default()
}

fn less(by: u64, number: &mut Value) {
    if let Some(value) = number.as_u64() {
        *number = json!(value.saturating_sub(by));
    }
}

fn at_most(most: u64, number: &mut Value) {
    if number.as_u64().is_some_and(|value| value > most) {
        *number = json!(most);
    }
}

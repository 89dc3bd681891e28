//! Audit: asks the daemon about orders after a load, whether any of them was done twice.
//!
//! Owns the evidence: an order's whole history and all its signatures, and what a second POST with the same
//! `Idempotency-Key` is answered. Looks at a sample, or at all.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde_json::Value;
use uuid::Uuid;

use super::{
    LoadError,
    client::{Answer, Client},
    ledger::{End, Ledger},
};

/// Questions at the same time.
const PARALLEL: usize = 16;
/// Orders of the sample that are given again under their key.
const REPEATED: usize = 200;

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Orders that were to be looked at.
    pub sample: u64,
    /// Orders that could be looked at.
    pub audited: u64,
    /// Keys that were used again and answered.
    pub repeated_keys: u64,
    /// What was done twice, in a sentence each.
    pub duplicates: Vec<String>,
}

/// Looks at up to `sample` of these orders, spread over all; `again` makes the key and body of order number `n`.
pub async fn audit(
    client: &Client,
    orders: &[(u64, Uuid)],
    sample: usize,
    again: impl Fn(u64) -> (String, String),
) -> Findings {
    let chosen = spread(orders, sample);
    let mut findings = Findings { sample: chosen.len() as u64, ..Findings::default() };
    let mut looks = stream::iter(&chosen)
        .map(|(_, id)| async move { (id, client.get(&format!("/v1/orders/{id}")).await) })
        .buffer_unordered(PARALLEL);
    while let Some((id, answer)) = looks.next().await {
        let order = match answer {
            Ok(order) => order,
            Err(LoadError::Http(_)) => break, // nobody is there, and nobody will be for the others
            Err(_) => continue,
        };
        findings.audited += 1;
        findings.duplicates.extend(done_twice(&order).map(|what| format!("{id} {what}")));
    }
    let mut repeats = stream::iter(spread(&chosen, REPEATED))
        .map(|(n, id)| {
            let (key, body) = again(n);
            async move { (id, client.give(&key, body).await) }
        })
        .buffer_unordered(PARALLEL);
    while let Some((first, answer)) = repeats.next().await {
        match answer {
            Answer::Accepted { id, .. } => {
                findings.repeated_keys += 1;
                if id != first {
                    findings.duplicates.push(format!("{first} and {id} have one idempotency key"));
                }
            }
            Answer::Refused { .. } => {}
            Answer::Lost { .. } => break,
        }
    }
    findings
}

/// At most `count` of them, at even distances.
fn spread<T: Copy>(all: &[T], count: usize) -> Vec<T> {
    let count = count.min(all.len());
    (0..count).map(|n| all[n * all.len() / count]).collect()
}

/// What of this order was done twice.
fn done_twice(order: &Value) -> Option<String> {
    let history = order["history"].as_array().map(Vec::as_slice).unwrap_or_default();
    let endings = history.iter().filter(|event| ending(event).is_some()).count();
    let attempts = order["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let landed = attempts.iter().filter(|attempt| attempt["outcome"] == "landed").count();
    if endings > 1 {
        Some(format!("ended {endings} times"))
    } else if landed > 1 {
        Some(format!("swapped {landed} times"))
    } else {
        None
    }
}

fn ending(event: &Value) -> Option<End> {
    End::of(event["event"].as_str()?, event["failure"]["code"].as_str())
}

/// Asks for orders whose end was not heard, and writes what it finds into the ledger.
pub async fn find_ends(client: &Client, ledger: &Arc<Ledger>, open: Vec<Uuid>) {
    stream::iter(open)
        .for_each_concurrent(PARALLEL, |id| async move {
            let Ok(order) = client.get(&format!("/v1/orders/{id}")).await else { return };
            let history = order["history"].as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(end) = history.iter().find_map(ending) {
                ledger.found_ended(id, end);
            }
        })
        .await;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_done_twice_is_seen_and_what_was_tried_twice_is_not() {
        let order = |events: &[&str], outcomes: &[&str]| {
            let history: Vec<_> = events.iter().map(|event| json!({"event": event})).collect();
            let attempts: Vec<_> = outcomes.iter().map(|outcome| json!({"outcome": outcome})).collect();
            done_twice(&json!({"history": history, "attempts": attempts}))
        };
        assert_eq!(order(&["created", "signed", "landed", "settled"], &["landed"]), None);
        assert_eq!(order(&["signed", "expired", "signed", "landed"], &["expired", "landed"]), None);
        assert!(order(&["landed", "failed"], &["landed"]).unwrap().contains("ended 2 times"));
        assert!(order(&["landed"], &["landed", "landed"]).unwrap().contains("swapped 2 times"));
    }

    #[test]
    fn a_sample_is_spread_over_all() {
        assert_eq!(spread(&[0, 1, 2, 3, 4, 5, 6, 7], 4), [0, 2, 4, 6]);
        assert_eq!(spread(&[0, 1], 4), [0, 1]);
        assert!(spread::<u8>(&[], 4).is_empty());
    }
}

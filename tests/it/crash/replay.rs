//! Replay: the stream from its first event, as a client that connects when all is over gets it.

use std::collections::HashMap;

use futures_util::StreamExt;
use serde_json::Value;
use tokio_tungstenite::{connect_async, tungstenite::Message};

use super::audit::Audit;
use crate::support::{daemon::Daemon, within_patience};

const TERMINAL: [&str; 6] = ["landed", "rejected", "failed", "cancelled", "chain_reset", "paper_filled"];

/// Every order is told of without a gap, as its history says, with one terminal event.
pub async fn against(daemon: &Daemon, audit: &mut Audit) {
    let histories: HashMap<&str, &Vec<Value>> = audit
        .orders
        .iter()
        .map(|order| (order["id"].as_str().unwrap(), order["history"].as_array().unwrap()))
        .collect();
    let count = histories.values().map(|history| history.len()).sum();
    let frames = frames(daemon, count).await;
    let mut found = Vec::new();
    if !frames.windows(2).all(|pair| cursor(&pair[1]) == cursor(&pair[0]) + 1) {
        found.push("the stream has a gap".to_owned());
    }
    let mut told: HashMap<&str, Vec<&Value>> = HashMap::new();
    for frame in &frames {
        told.entry(frame["orderId"].as_str().unwrap()).or_default().push(frame);
    }
    for (id, history) in histories {
        let told = told.remove(id).unwrap_or_default();
        if !told.iter().copied().eq(history) {
            found.push(format!("the stream tells another story of {id}: {told:?}"));
        }
        let names: Vec<&str> = told.iter().map(|frame| frame["event"].as_str().unwrap()).collect();
        let ends = names.iter().filter(|name| TERMINAL.contains(name)).count();
        let after = names.iter().rev().take_while(|name| !TERMINAL.contains(name)).collect::<Vec<_>>();
        if ends != 1 || after.iter().any(|name| **name != "settled") {
            found.push(format!("{ends} terminal events: {names:?} of {id}"));
        }
    }
    audit.violations.extend(found);
}

fn cursor(frame: &Value) -> u64 {
    frame["cursor"].as_u64().unwrap()
}

/// The first `count` events of all orders. A socket that is closed because it reads too slowly is opened again.
async fn frames(daemon: &Daemon, count: usize) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    while all.len() < count {
        let since = all.last().map_or(0, cursor);
        let connected = connect_async(format!("{}/v1/stream?since={since}", daemon.ws()));
        let (mut socket, _) = within_patience("the stream", connected).await.unwrap();
        while all.len() < count {
            match within_patience("a frame", socket.next()).await {
                Some(Ok(Message::Text(text))) => all.push(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => break,
            }
        }
    }
    all
}

//! Scripts: what runs on the server as one step.
//!
//! Owns the texts, the keys they touch, and the calls that change jobs. What each does is said in its file.

use redis::{Cmd, cmd};

use crate::{
    domain::OrderId,
    queue::QueueError,
    redis_link::{LinkError, RedisLink},
};

/// The consumer group of all workers.
pub(super) const GROUP: &str = "workers";
const PUSH: &str = include_str!("../lua/push.lua");
pub(super) const CLAIM: &str = include_str!("../lua/claim.lua");
pub(super) const RENEW: &str = include_str!("../lua/renew.lua");
const ACK: &str = include_str!("../lua/ack.lua");
pub(super) const OPEN: &str = include_str!("../lua/open.lua");

/// What the scripts touch, and who runs them.
pub(super) struct Keys {
    /// Both keys share a hash tag, so that scripts may touch both on a cluster.
    pub stream: String,
    pub index: String,
    /// This process (this open queue) within the group.
    pub consumer: String,
}

/// Why a job is added.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// There is something to do: now, or after the turn of whoever has the order claimed.
    Pushed,
    /// It was lost.
    Restored,
}

/// Adds a job for each id that needs one, or none; how many.
pub(super) async fn add(
    link: &RedisLink,
    keys: &Keys,
    max_depth: u64,
    ids: &[OrderId],
    why: Why,
) -> Result<usize, QueueError> {
    if ids.is_empty() {
        return Ok(0);
    }
    let mut push = script(PUSH, &[&keys.stream, &keys.index]);
    push.arg(GROUP).arg(max_depth).arg(u8::from(why == Why::Restored));
    for id in ids {
        push.arg(id.to_string());
    }
    // The bound is below zero in the answer: a count never is.
    usize::try_from(link.query::<i64>(&push).await?).map_err(|_| QueueError::Full)
}

/// Takes entries out, each given with its delivery count and its text.
pub(super) async fn ack(link: &RedisLink, keys: &Keys, entries: &[(&str, &str, &str)]) -> Result<(), LinkError> {
    let mut ack = script(ACK, &[&keys.stream, &keys.index]);
    ack.arg(GROUP).arg(&keys.consumer);
    for (entry, deliveries, text) in entries {
        ack.arg(entry).arg(deliveries).arg(text);
    }
    link.query::<u64>(&ack).await.map(drop)
}

/// A call of a script.
pub(super) fn script(text: &str, keys: &[&str]) -> Cmd {
    let mut eval = cmd("EVAL");
    eval.arg(text).arg(keys.len()).arg(keys);
    eval
}

//! Late: sends that reach the node after their time.
//!
//! Owns the bytes from the call on, and when they are due. Clients come and go meanwhile: what was sent stays sent.

use std::{sync::Arc, time::Duration};

use axum::body::Bytes;
use futures_util::future::join_all;
use serde_json::Value;
use solana_sdk::transaction::VersionedTransaction;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Shared, fault::Lateness, plan::Hit, refusal};

/// Sends that may be kept; a further one is never delivered.
const ROOM: usize = 4_096;
/// Between two looks at the node's slot and height, while anything is kept.
const LOOK: Duration = Duration::from_millis(5);

/// Where sends are kept.
pub(super) struct Late(mpsc::Sender<Kept>);

/// A send, and when the node gets it.
pub(super) struct Kept {
    call: Bytes,
    due: Due,
}

/// As the node counts at commitment `processed`.
enum Due {
    Slot(u64),
    Height(u64),
}

impl Late {
    pub fn new() -> (Self, mpsc::Receiver<Kept>) {
        let (sender, kept) = mpsc::channel(ROOM);
        (Self(sender), kept)
    }

    /// Keeps a call that is a send with these params.
    pub async fn keep(&self, shared: &Shared, call: Bytes, params: &Value, lateness: Lateness, hit: &Hit) {
        let due = match lateness {
            Lateness::Slots { min, max } => {
                let now = shared.node.slot("processed").await.unwrap_or_default();
                Due::Slot(now.saturating_add_signed(hit.between(min.into(), max.into())))
            }
            Lateness::Expiry { min, max } => {
                let bound = bound(shared, params).unwrap_or_default();
                Due::Height(bound.saturating_add_signed(hit.between(min.into(), max.into())))
            }
        };
        if self.0.try_send(Kept { call, due }).is_err() {
            tracing::warn!("too many late sends: one is lost");
        }
    }
}

/// Delivers what is due, until `shutdown`.
pub(super) async fn deliver(mut arrivals: mpsc::Receiver<Kept>, shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut kept = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            arrival = arrivals.recv() => match arrival {
                Some(send) if kept.len() < ROOM => kept.push(send),
                Some(_) => tracing::warn!("too many late sends: one is lost"),
                None => break,
            },
            () = tokio::time::sleep(LOOK), if !kept.is_empty() => {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => break,
                    () = deliver_due(&mut kept, &shared) => {}
                }
            }
        }
    }
}

async fn deliver_due(kept: &mut Vec<Kept>, shared: &Shared) {
    let (slot, height) = tokio::join!(shared.node.slot("processed"), shared.node.height("processed"));
    let (Some(slot), Some(height)) = (slot, height) else { return };
    let due: Vec<Kept> = kept
        .extract_if(.., |send| match send.due {
            Due::Slot(due) => due <= slot,
            Due::Height(due) => due <= height,
        })
        .collect();
    join_all(due.into_iter().map(|send| async {
        let reply = shared.node.forward(send.call).await;
        tracing::debug!(status = reply.status, slot, height, "a late send reached the node");
        shared.counts.late();
    }))
    .await;
}

/// The last height at which the transaction may land.
fn bound(shared: &Shared, params: &Value) -> Option<u64> {
    let transaction: VersionedTransaction = bincode::deserialize(&refusal::wire(params)?).ok()?;
    shared.node.bound_of(&transaction.message.recent_blockhash().to_string())
}

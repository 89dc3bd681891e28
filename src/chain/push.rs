//! Push: one socket that says when to look.
//!
//! Owns the WebSocket connection and its signature subscriptions. What it hears is a hint and nothing else: a
//! notification may be lost, late, doubled or wrong, so it only wakes the confirmer, which asks for the status.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use solana_commitment_config::CommitmentConfig;
use solana_pubsub_client::nonblocking::pubsub_client::PubsubClient;
use solana_rpc_client_api::config::RpcSignatureSubscribeConfig;
use solana_sdk::signature::Signature;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Tip,
    hints::{Hint, Hints},
    tip::BLOCKHASH_LIFE,
};

/// Public sockets drop connections at about 240 subscriptions; stay well below.
const MAX_SUBSCRIPTIONS: usize = 100;
/// Signatures that may wait to be subscribed; more are left to the poll.
const INBOX: usize = 256;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A signature is decided within this many blocks: the life of its blockhash, and what finality may take after it.
const DECIDED_WITHIN: u32 = BLOCKHASH_LIFE + 50;
/// How long a subscription is kept while nobody knows what a block takes.
const SUBSCRIPTION_LIFE: Duration = Duration::from_secs(600);
const FIRST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Where signatures are handed in.
#[derive(Clone)]
pub struct Push {
    inbox: mpsc::Sender<Signature>,
}

impl Push {
    /// The handle, and the task that whoever owns the tasks must run. Every notification is passed on to `hints`.
    pub fn new(url: String, tip: Arc<Tip>, hints: Hints) -> (Self, PushTask) {
        let (inbox, arrivals) = mpsc::channel(INBOX);
        (Self { inbox }, PushTask { url, tip, hints, arrivals })
    }

    /// Asks to be woken when the signature is confirmed. Left out when too many wait: the poll sees it anyway.
    pub fn subscribe(&self, signature: Signature) {
        if self.inbox.try_send(signature).is_err() {
            tracing::debug!(%signature, "not subscribed, left to the poll");
        }
    }
}

/// The loop behind `Push`.
pub struct PushTask {
    url: String,
    tip: Arc<Tip>,
    hints: Hints,
    arrivals: mpsc::Receiver<Signature>,
}

impl PushTask {
    /// Runs until `shutdown`, reconnecting with growing rests.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut rest = FIRST_REST;
        while !shutdown.is_cancelled() {
            match tokio::time::timeout(CONNECT_TIMEOUT, PubsubClient::new(&self.url)).await {
                Ok(Ok(client)) => {
                    rest = FIRST_REST;
                    self.listen(&client, &shutdown).await;
                    // What happened while the socket was down was not announced: look once.
                    self.hints.give(Hint::Anything);
                    let _ = tokio::time::timeout(CONNECT_TIMEOUT, client.shutdown()).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "no push connection, polling goes on"),
                Err(_) => tracing::debug!("no push connection in time, polling goes on"),
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(rest) => rest = (rest * 2).min(LONGEST_REST),
            }
        }
    }

    /// Until the connection ends.
    async fn listen(&mut self, client: &PubsubClient, shutdown: &CancellationToken) {
        let mut subscriptions = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                arrival = self.arrivals.recv() => match arrival {
                    Some(signature) if subscriptions.len() < MAX_SUBSCRIPTIONS => {
                        let life = subscription_life(self.tip.block_time());
                        let heard = notification(client, signature, life);
                        subscriptions.push(heard.map(move |heard| (signature, heard)).boxed());
                    }
                    Some(_) => {}
                    None => break,
                },
                Some((signature, heard)) = subscriptions.next(), if !subscriptions.is_empty() => {
                    self.hints.give(Hint::Of(signature));
                    if heard == Heard::ConnectionLost {
                        break;
                    }
                }
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Heard {
    Something,
    Nothing,
    ConnectionLost,
}

/// Long enough for the signature's whole life on this cluster.
fn subscription_life(block_time: Option<Duration>) -> Duration {
    block_time.map_or(SUBSCRIPTION_LIFE, |block_time| block_time.saturating_mul(DECIDED_WITHIN))
}

async fn notification(client: &PubsubClient, signature: Signature, life: Duration) -> Heard {
    let config = RpcSignatureSubscribeConfig {
        commitment: Some(CommitmentConfig::confirmed()),
        enable_received_notification: None,
    };
    let subscribed = tokio::time::timeout(CONNECT_TIMEOUT, client.signature_subscribe(&signature, Some(config))).await;
    let Ok(Ok((mut notifications, unsubscribe))) = subscribed else { return Heard::ConnectionLost };
    match tokio::time::timeout(life, notifications.next()).await {
        Ok(Some(_)) => Heard::Something,
        Ok(None) => Heard::ConnectionLost,
        Err(_) => {
            let _ = tokio::time::timeout(CONNECT_TIMEOUT, unsubscribe()).await;
            Heard::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E.14, 11.
    #[test]
    fn a_subscription_outlives_its_blockhash_at_any_block_time() {
        for millis in [150, 200, 400, 2_000] {
            let block_time = Duration::from_millis(millis);
            assert!(subscription_life(Some(block_time)) > block_time * BLOCKHASH_LIFE);
        }
        assert!(subscription_life(None) > Duration::from_secs(2) * BLOCKHASH_LIFE);
    }
}

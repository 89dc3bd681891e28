//! Push: one socket that says when to look.
//!
//! Owns the WebSocket connection and its signature subscriptions. What it hears is a hint and nothing else: a
//! notification may be lost, late, doubled or wrong, so it only wakes the confirmer, which asks for the status.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use serde_json::{Value, json};
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client_api::config::RpcSignatureSubscribeConfig;
use solana_sdk::signature::Signature;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Tip,
    hints::{Hint, Hints},
    socket::{Ended, News, Rests, Socket},
    tip::BLOCKHASH_LIFE,
};

/// Public sockets drop connections at about 240 subscriptions; stay well below.
const MAX_SUBSCRIPTIONS: usize = 100;
/// Signatures that may wait to be subscribed; more are left to the poll.
const INBOX: usize = 256;
/// A signature is decided within this many blocks: the life of its blockhash, and what finality may take after it.
const DECIDED_WITHIN: u32 = BLOCKHASH_LIFE + 50;
/// How long a subscription is kept while nobody knows what a block takes.
const SUBSCRIPTION_LIFE: Duration = Duration::from_secs(600);

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
        let mut rests = Rests::default();
        while !shutdown.is_cancelled() {
            let mut listened = false;
            if let Some(mut socket) = Socket::open(&self.url, "signature", &shutdown).await {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    Err(Ended) = self.listen(&mut socket, &mut listened) => {}
                }
                // What happened while the socket was down is not announced: look once.
                self.hints.give(Hint::Anything);
                socket.close().await;
            }
            rests.rest(listened, &shutdown).await;
        }
    }

    /// Until the connection ends. It has `listened` once the node took a subscription.
    async fn listen(&mut self, socket: &mut Socket<Signature>, listened: &mut bool) -> Result<Infallible, Ended> {
        // Who was subscribed to, and until when it is worth a place: the oldest first.
        let mut lives: VecDeque<(Signature, Instant)> = VecDeque::new();
        loop {
            tokio::select! {
                Some(signature) = self.arrivals.recv() => {
                    while let Some((oldest, _)) = lives.pop_front_if(|(_, until)| *until <= Instant::now()) {
                        socket.unsubscribe(oldest);
                    }
                    let has_room = socket.subscriptions() < MAX_SUBSCRIPTIONS;
                    if has_room && socket.subscribe(signature, params(&signature)) {
                        lives.push_back((signature, Instant::now() + subscription_life(self.tip.block_time())));
                    }
                }
                news = socket.next() => match news? {
                    News::Subscribed(_) => *listened = true,
                    // Left to the poll.
                    News::Refused(signature) => lives.retain(|(subscribed, _)| *subscribed != signature),
                    // It is told once, and the node ends the subscription by itself.
                    News::Told(signature, _) => {
                        socket.forget(signature);
                        lives.retain(|(subscribed, _)| *subscribed != signature);
                        self.hints.give(Hint::Of(signature));
                    }
                },
            }
        }
    }
}

fn params(signature: &Signature) -> Value {
    let config = RpcSignatureSubscribeConfig {
        commitment: Some(CommitmentConfig::confirmed()),
        enable_received_notification: None,
    };
    json!([signature.to_string(), config])
}

/// Long enough for the signature's whole life on this cluster.
fn subscription_life(block_time: Option<Duration>) -> Duration {
    block_time.map_or(SUBSCRIPTION_LIFE, |block_time| block_time.saturating_mul(DECIDED_WITHIN))
}

#[cfg(test)]
mod tests {
    use tokio::{task::JoinSet, time::timeout};

    use super::*;
    use crate::chain::{
        rpc::node_stub::{Node, Reply, over},
        socket::stub::{Answers, Pubsub, eventually},
    };

    /// Whoever is told by a node that answers so, and where the hints come out.
    async fn scene(answers: Answers) -> (Pubsub, Push, mpsc::Receiver<Hint>, JoinSet<()>) {
        let node = Pubsub::start(answers).await;
        let rpc = over(&[&Node::always(Reply::Silence).await], Duration::from_secs(1));
        let (hints, heard) = Hints::new();
        let (push, task) = Push::new(node.url.clone(), Arc::new(Tip::new(Arc::new(rpc))), hints);
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run(CancellationToken::new()));
        (node, push, heard, tasks)
    }

    #[tokio::test(start_paused = true)]
    async fn a_told_signature_is_a_hint_and_one_that_outlived_its_blockhash_makes_room() {
        let (node, push, mut heard, _tasks) = scene(Answers::AtOnce).await;
        let signatures: Vec<Signature> = (0..=MAX_SUBSCRIPTIONS).map(|_| Signature::new_unique()).collect();
        let (beyond, first) = signatures.split_last().unwrap();
        first.iter().for_each(|signature| push.subscribe(*signature));
        eventually(|| node.tells_of(first)).await;
        push.subscribe(*beyond);
        assert!(timeout(SUBSCRIPTION_LIFE, heard.recv()).await.is_err(), "nothing has happened to any of them");
        assert!(!node.tells_of(&[*beyond]), "there was no room");
        let late = Signature::new_unique();
        push.subscribe(late);
        eventually(|| node.tells_of(&[late])).await;
        assert!(first.iter().all(|signature| !node.tells_of(&[*signature])));
        node.tell(&late, &json!({}));
        assert_eq!(heard.recv().await, Some(Hint::Of(late)));
        assert_eq!(node.connections(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_signature_that_is_handed_in_twice_takes_one_place() {
        let (node, push, mut heard, _tasks) = scene(Answers::AtOnce).await;
        let twice = Signature::new_unique();
        push.subscribe(twice);
        eventually(|| node.tells_of(&[twice])).await;
        push.subscribe(twice);
        let more: Vec<Signature> = (1..MAX_SUBSCRIPTIONS).map(|_| Signature::new_unique()).collect();
        more.iter().for_each(|signature| push.subscribe(*signature));
        eventually(|| node.tells_of(&more)).await;
        node.tell(&twice, &json!({}));
        assert_eq!(heard.recv().await, Some(Hint::Of(twice)));
        let last = Signature::new_unique();
        push.subscribe(last);
        eventually(|| node.tells_of(&[last])).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_signature_that_the_node_refuses_is_left_to_the_poll_and_the_others_are_told() {
        let (node, push, mut heard, _tasks) = scene(Answers::First(1)).await;
        let [first, refused, last] = [(); 3].map(|()| Signature::new_unique());
        push.subscribe(first);
        eventually(|| node.tells_of(&[first])).await;
        push.subscribe(refused);
        eventually(|| node.refusals() == 1).await;
        node.tell(&first, &json!({}));
        assert_eq!(heard.recv().await, Some(Hint::Of(first)));
        node.now(Answers::AtOnce);
        push.subscribe(last);
        eventually(|| node.tells_of(&[last])).await;
        assert_eq!(node.connections(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_hangs_up_before_it_takes_a_subscription_is_asked_less_and_less_often() {
        let (node, _push, _heard, _tasks) = scene(Answers::AtOnce).await;
        for connection in 1..=4 {
            eventually(|| node.connections() == connection).await;
            node.cut();
        }
        eventually(|| node.connections() == 5).await;
        let rests = node.rests();
        assert!(rests.windows(2).all(|pair| pair[1] > pair[0]), "{rests:?}");
    }

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

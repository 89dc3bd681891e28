//! Records: what landed transactions of our wallets did, told over a socket instead of asked for.
//!
//! Owns one socket with one subscription per wallet, and the logs of what was last told. That a transaction landed is
//! never learned here: whoever asks names the slot that the status gave, and a record of another slot is none. What is not
//! told in time is asked for, so a lost, late or doubled notification costs a call and nothing else.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client_api::{
    config::{RpcTransactionLogsConfig, RpcTransactionLogsFilter},
    response::{Response, RpcLogsResponse},
};
use solana_sdk::{pubkey::Pubkey, signature::Signature};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    hints::{Hint, Hints},
    socket::{Ended, News, Rests, Socket},
};
use crate::{domain::Slot, lock::lock};

/// Public sockets drop connections at about 240 subscriptions; with more wallets than this everything is asked for.
const MOST_WALLETS: usize = 100;
/// Records that are kept, of about three kilobytes each.
const KEPT: usize = 2_048;
/// How long a record is waited for once its transaction is known to have landed.
const WITHIN: Duration = Duration::from_millis(500);
/// So many records that did not come, one after the other, are a socket that is silent.
const SILENT_AFTER: u32 = 3;

/// No connection has this number.
const NONE: u64 = 0;

/// Where records are asked for.
#[derive(Clone)]
pub struct Records(Arc<Heard>);

#[derive(Default)]
struct Heard {
    kept: Mutex<Kept>,
    /// One was told.
    news: Notify,
    /// The connection on which every wallet has its subscription.
    listening: AtomicU64,
    /// How many did not come, one after the other, on one connection.
    missed: AtomicU32,
    /// Those are too many by now, or were when this was told.
    silent: Notify,
}

#[derive(Default)]
struct Kept {
    records: HashMap<Signature, Record>,
    order: VecDeque<Signature>,
}

struct Record {
    slot: Slot,
    logs: Vec<String>,
}

impl Records {
    /// The handle, and the task that whoever owns the tasks must run. Every record is passed on to `hints`.
    pub fn new(url: String, wallets: Vec<Pubkey>, hints: Hints) -> (Self, RecordsTask) {
        let heard = Arc::new(Heard::default());
        (Self(heard.clone()), RecordsTask { url, wallets, hints, heard })
    }

    /// Whether what lands is expected to be told.
    pub fn are_told(&self) -> bool {
        self.0.listening.load(Ordering::Relaxed) != NONE
    }

    /// The logs of a transaction that landed in `slot`; `None` when they are not told in time. Each is given once.
    pub async fn logs(&self, signature: &Signature, slot: Slot) -> Option<Vec<String>> {
        let connection = self.0.listening.load(Ordering::Relaxed);
        let wait = if connection == NONE { Duration::ZERO } else { WITHIN };
        match tokio::time::timeout(wait, self.told(signature)).await {
            Ok(record) => {
                self.0.missed.store(0, Ordering::Relaxed);
                (record.slot == slot).then_some(record.logs)
            }
            Err(_) => {
                let is_missed = connection != NONE && connection == self.0.listening.load(Ordering::Relaxed);
                if is_missed && self.0.missed.fetch_add(1, Ordering::Relaxed) + 1 >= SILENT_AFTER {
                    self.0.silent.notify_one();
                }
                None
            }
        }
    }

    async fn told(&self, signature: &Signature) -> Record {
        loop {
            let news = self.0.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(record) = self.0.kept().records.remove(signature) {
                return record;
            }
            news.await;
        }
    }
}

impl Heard {
    /// The signature that it is about.
    fn keep(&self, told: Response<RpcLogsResponse>) -> Option<Signature> {
        let signature = told.value.signature.parse().ok()?;
        let record = Record { slot: Slot(told.context.slot), logs: told.value.logs };
        {
            let mut kept = self.kept();
            if kept.records.insert(signature, record).is_none() {
                kept.order.push_back(signature);
            }
            if kept.order.len() > KEPT
                && let Some(oldest) = kept.order.pop_front()
            {
                kept.records.remove(&oldest);
            }
        }
        self.news.notify_waiters();
        Some(signature)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }
}

/// The loop behind `Records`.
pub struct RecordsTask {
    url: String,
    wallets: Vec<Pubkey>,
    hints: Hints,
    heard: Arc<Heard>,
}

impl RecordsTask {
    /// Runs until `shutdown`, reconnecting with growing rests.
    pub async fn run(self, shutdown: CancellationToken) {
        if self.wallets.len() > MOST_WALLETS {
            tracing::info!(wallets = self.wallets.len(), "too many wallets for one socket: landed swaps are asked for");
            return shutdown.cancelled().await;
        }
        let mut rests = Rests::default();
        let mut connection = NONE;
        while !shutdown.is_cancelled() {
            connection += 1;
            if let Some(mut socket) = Socket::open(&self.url, "logs", &shutdown).await {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    Err(Ended) = self.listen(&mut socket, connection) => {}
                }
                socket.close().await;
            }
            let listened = self.heard.listening.swap(NONE, Ordering::Relaxed) != NONE;
            rests.rest(listened, &shutdown).await;
        }
    }

    /// Until the connection ends or falls silent.
    async fn listen(&self, socket: &mut Socket<Pubkey>, connection: u64) -> Result<Infallible, Ended> {
        self.heard.missed.store(0, Ordering::Relaxed);
        for wallet in &self.wallets {
            socket.subscribe(*wallet, params(wallet));
        }
        loop {
            tokio::select! {
                // It may still say so of the last connection.
                () = self.heard.silent.notified() => if self.heard.missed.load(Ordering::Relaxed) >= SILENT_AFTER {
                    tracing::debug!("records do not come any more, connecting again");
                    return Err(Ended);
                },
                news = socket.next() => match news? {
                    News::Subscribed(_) if socket.unanswered() == 0 => {
                        self.heard.listening.store(connection, Ordering::Relaxed);
                    }
                    News::Subscribed(_) => {}
                    // What is told of some wallets only would be waited for in vain.
                    News::Refused(_) => return Err(Ended),
                    News::Told(_, told) => {
                        let told = serde_json::from_str(told.get()).ok();
                        if let Some(signature) = told.and_then(|told| self.heard.keep(told)) {
                            self.hints.give(Hint::Of(signature));
                        }
                    }
                },
            }
        }
    }
}

fn params(wallet: &Pubkey) -> Value {
    let config = RpcTransactionLogsConfig { commitment: Some(CommitmentConfig::confirmed()) };
    json!([RpcTransactionLogsFilter::Mentions(vec![wallet.to_string()]), config])
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use solana_rpc_client_api::response::RpcResponseContext;

    use super::*;
    use crate::chain::socket::stub::{Answers, Pubsub, eventually};

    #[tokio::test(start_paused = true)]
    async fn records_are_told_while_every_wallet_has_its_subscription() {
        let node = Pubsub::start(Answers::Held).await;
        let wallets = [Pubkey::new_unique(), Pubkey::new_unique()];
        let (hints, mut heard) = Hints::new();
        let (records, task) = Records::new(node.url.clone(), wallets.to_vec(), hints);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(task.run(CancellationToken::new()));
        eventually(|| node.holds(&wallets)).await;
        assert!(!records.are_told());
        node.now(Answers::AtOnce);
        eventually(|| records.are_told()).await;

        let signature = Signature::new_unique();
        let value = json!({"signature": signature.to_string(), "err": null, "logs": ["in 7"]});
        node.tell(&wallets[1], &json!({"context": {"slot": 7}, "value": value}));
        assert_eq!(heard.recv().await, Some(Hint::Of(signature)));
        assert_eq!(records.logs(&signature, Slot(7)).await.unwrap(), ["in 7"]);

        node.cut();
        eventually(|| !records.are_told()).await;
        eventually(|| records.are_told()).await;
        assert_eq!((node.connections(), tasks.len()), (2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_refuses_a_wallet_is_asked_less_and_less_often() {
        let node = Pubsub::start(Answers::First(1)).await;
        let (records, task) =
            Records::new(node.url.clone(), vec![Pubkey::new_unique(), Pubkey::new_unique()], Hints::new().0);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(task.run(CancellationToken::new()));
        eventually(|| node.connections() == 5).await;
        assert!(!records.are_told());
        let rests = node.rests();
        assert!(rests.windows(2).all(|pair| pair[1] > pair[0]), "{rests:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn records_that_a_lost_connection_owed_are_no_fault_of_the_next_one() {
        let node = Pubsub::start(Answers::AtOnce).await;
        let (records, task) = Records::new(node.url.clone(), vec![Pubkey::new_unique()], Hints::new().0);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(task.run(CancellationToken::new()));
        eventually(|| records.are_told()).await;
        let many = || {
            let missed = (0..=SILENT_AFTER).map(|_| async { records.logs(&Signature::new_unique(), Slot(1)).await });
            futures_util::future::join_all(missed)
        };
        // The second ones are still waited for when the first ones end the connection.
        tokio::join!(many(), async {
            tokio::time::sleep(WITHIN / 2).await;
            many().await
        });
        eventually(|| records.are_told()).await;
        assert_eq!(node.connections(), 2, "the next one is kept");
        many().await;
        eventually(|| node.connections() == 3).await;
    }

    fn told(signature: &Signature, slot: u64) -> Response<RpcLogsResponse> {
        let value = RpcLogsResponse { signature: signature.to_string(), err: None, logs: vec![format!("in {slot}")] };
        Response { context: RpcResponseContext::new(slot), value }
    }

    fn listening() -> Records {
        let (records, _) = Records::new(String::new(), Vec::new(), Hints::new().0);
        records.0.listening.store(1, Ordering::Relaxed);
        records
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_counts_only_for_the_slot_that_the_status_gave() {
        let (records, signature) = (listening(), Signature::new_unique());
        records.0.keep(told(&signature, 7));
        assert_eq!(records.logs(&signature, Slot(8)).await, None, "it was dropped, and landed again in another block");
        records.0.keep(told(&signature, 8));
        assert_eq!(records.logs(&signature, Slot(8)).await.unwrap(), ["in 8"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_comes_a_little_later_is_waited_for_and_a_silent_socket_is_given_up() {
        let (records, late) = (listening(), Signature::new_unique());
        let (found, ()) = tokio::join!(records.logs(&late, Slot(1)), async {
            tokio::time::sleep(WITHIN / 2).await;
            records.0.keep(told(&late, 1));
        });
        assert!(found.is_some());
        for n in 1..=SILENT_AFTER {
            assert_eq!(records.0.silent.notified().now_or_never(), None, "{n}");
            assert_eq!(records.logs(&Signature::new_unique(), Slot(1)).await, None);
        }
        assert_eq!(records.0.silent.notified().now_or_never(), Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn records_that_nobody_asks_for_are_forgotten() {
        let records = listening();
        let first = Signature::new_unique();
        records.0.keep(told(&first, 1));
        for _ in 0..KEPT {
            records.0.keep(told(&Signature::new_unique(), 1));
        }
        let kept = records.0.kept();
        assert_eq!((kept.records.len(), kept.order.len()), (KEPT, KEPT));
        assert!(!kept.records.contains_key(&first));
    }
}

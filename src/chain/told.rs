//! Told: what became of accounts since they were read, as a socket tells it, so that quotes need no call.
//!
//! Owns one socket with a subscription for each account that is asked about, and one for the clock, which says when a
//! block has been told whole. Nothing is known without a read to begin with, nothing is known of half a block, and a
//! socket that is cut, or whose slots stand still, knows nothing: then accounts are read as if there were none.

mod book;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream, SelectAll, once},
};
use solana_account_decoder_client_types::{UiAccount, UiAccountEncoding};
use solana_commitment_config::CommitmentConfig;
use solana_pubsub_client::nonblocking::pubsub_client::{PubsubClient, PubsubClientError};
use solana_rpc_client_api::{config::RpcAccountInfoConfig, response::Response};
use solana_sdk::{account::Account, pubkey::Pubkey, sysvar};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use self::book::{Book, Untimed};
use super::AccountSnapshot;
use crate::domain::Slot;

/// Public sockets drop connections at about 240 subscriptions; what is beyond this is read.
const MOST_ACCOUNTS: usize = 100;
/// Subscriptions asked for at the same time: the embedded chain loses some of many.
const AT_ONCE: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A clock that does not come for this long is a socket that is silent.
const SILENT_AFTER: Duration = Duration::from_secs(10);
const FIRST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Where it is asked what accounts have become.
#[derive(Clone, Default)]
pub struct Told(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// More accounts are wanted.
    more: Notify,
}

#[derive(Default)]
struct State {
    wanted: HashSet<Pubkey>,
    book: Book,
}

impl Told {
    /// The handle, and the task that whoever owns the tasks must run. The sockets are listened to one at a time.
    pub fn new(urls: Vec<String>) -> (Self, ToldTask) {
        let told = Self::default();
        (told.clone(), ToldTask { urls: urls.into_iter().map(Some).collect(), shared: told.0 })
    }

    /// Asks to be told of these accounts from now on, if there is room for all of them.
    pub fn want(&self, keys: &[Pubkey]) {
        let mut state = self.0.lock();
        let new: Vec<Pubkey> = keys.iter().filter(|key| !state.wanted.contains(key)).copied().collect();
        if !new.is_empty() && state.wanted.len() + new.len() <= MOST_ACCOUNTS {
            state.wanted.extend(new);
            self.0.more.notify_one();
        }
    }

    /// What `base`, a read of the accounts `keys`, has become at a newer slot, and since when that is known. `None` when
    /// nothing newer is known for certain.
    pub fn since(&self, base: &AccountSnapshot, keys: &[Pubkey]) -> Option<(AccountSnapshot, Instant)> {
        self.0.lock().book.since(base, keys)
    }
}

#[cfg(test)]
impl Told {
    pub(super) fn follow(&self, keys: &[Pubkey]) {
        keys.iter().for_each(|key| self.0.lock().book.follow(*key));
    }

    pub(super) fn note(&self, key: Pubkey, slot: Slot, account: Account) {
        self.0.lock().book.note(key, slot, account, Instant::now()).unwrap();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop behind `Told`.
pub struct ToldTask {
    /// `None` for one whose slots cannot be relied on.
    urls: Vec<Option<String>>,
    shared: Arc<Shared>,
}

/// How listening to a socket ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The daemon stops.
    Stop,
    /// It never listened.
    Unusable,
    /// It listened, and was cut or fell silent.
    Lost,
    /// Its slots do not say when things changed.
    Untimed,
}

/// A change of an account; `None` is the end of its subscription.
type Change = Option<(Pubkey, Response<UiAccount>)>;

impl ToldTask {
    /// Runs until `shutdown`, reconnecting with growing rests, to the next socket each time.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut rest = FIRST_REST;
        let mut at = 0;
        loop {
            if self.urls.iter().all(Option::is_none) {
                return shutdown.cancelled().await;
            }
            // Nobody needs a connection before somebody asks.
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.is_wanted() => {}
            }
            let Some(url) = self.urls[at % self.urls.len()].clone() else {
                at += 1;
                continue;
            };
            let end = self.connect(&url, &shutdown).await;
            self.shared.lock().book = Book::default();
            match end {
                End::Stop => break,
                End::Unusable => {}
                End::Lost => rest = FIRST_REST,
                End::Untimed => {
                    let place = at % self.urls.len();
                    tracing::info!(socket = place + 1, "this socket does not say when accounts changed: they are read");
                    self.urls[place] = None;
                }
            }
            at += 1;
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(rest) => rest = (rest * 2).min(LONGEST_REST),
            }
        }
    }

    async fn is_wanted(&self) {
        while self.shared.lock().wanted.is_empty() {
            self.shared.more.notified().await;
        }
    }

    async fn connect(&self, url: &str, shutdown: &CancellationToken) -> End {
        match tokio::time::timeout(CONNECT_TIMEOUT, PubsubClient::new(url)).await {
            Ok(Ok(client)) => {
                let end = tokio::select! {
                    () = shutdown.cancelled() => End::Stop,
                    end = self.listen(&client) => end,
                };
                let _ = tokio::time::timeout(CONNECT_TIMEOUT, client.shutdown()).await;
                end
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "no connection for accounts, they are read");
                End::Unusable
            }
            Err(_) => {
                tracing::debug!("no connection for accounts in time, they are read");
                End::Unusable
            }
        }
    }

    /// Until the connection ends.
    async fn listen(&self, client: &PubsubClient) -> End {
        let mut changes: SelectAll<BoxStream<'_, Change>> = SelectAll::new();
        let mut followed = HashSet::new();
        let mut last_clock = Instant::now();
        loop {
            let wanted = self.shared.lock().wanted.clone();
            let new: Vec<Pubkey> =
                [sysvar::clock::ID].into_iter().chain(wanted).filter(|key| followed.insert(*key)).collect();
            let subscribed = stream::iter(new.clone()).map(|key| subscribe(client, key)).buffered(AT_ONCE);
            let subscribed = subscribed.try_collect::<Vec<_>>();
            let Ok(Ok(streams)) = tokio::time::timeout(CONNECT_TIMEOUT, subscribed).await else {
                tracing::debug!("the socket takes no subscriptions to accounts, they are read");
                return if changes.is_empty() { End::Unusable } else { End::Lost };
            };
            changes.extend(streams);
            new.into_iter().for_each(|key| self.shared.lock().book.follow(key));
            loop {
                tokio::select! {
                    () = self.shared.more.notified() => break,
                    () = tokio::time::sleep_until(last_clock + SILENT_AFTER) => return End::Lost,
                    change = changes.next() => match change.flatten() {
                        None => return End::Lost,
                        Some((key, change)) => {
                            if key == sysvar::clock::ID {
                                last_clock = Instant::now();
                            }
                            if let Err(Untimed) = self.note(key, change) {
                                return End::Untimed;
                            }
                        }
                    }
                }
            }
        }
    }

    fn note(&self, key: Pubkey, change: Response<UiAccount>) -> Result<(), Untimed> {
        let Some(account) = change.value.decode::<Account>() else {
            tracing::debug!(account = %key, "a change that cannot be read");
            return Err(Untimed);
        };
        self.shared.lock().book.note(key, Slot(change.context.slot), account, Instant::now())
    }
}

/// The account's changes, and at last that they have ended.
fn subscribe(client: &PubsubClient, key: Pubkey) -> BoxFuture<'_, Result<BoxStream<'_, Change>, PubsubClientError>> {
    let config = RpcAccountInfoConfig {
        encoding: Some(UiAccountEncoding::Base64),
        commitment: Some(CommitmentConfig::confirmed()),
        ..RpcAccountInfoConfig::default()
    };
    async move {
        let (changes, _) = client.account_subscribe(&key, Some(config)).await?;
        let changes = changes.map(move |change| Some((key, change)));
        Ok(changes.chain(once(std::future::ready(None))).boxed())
    }
    .boxed()
}

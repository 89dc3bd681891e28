//! Told: what became of accounts since they were read, as a socket tells it, so that quotes need no call.
//!
//! Owns one socket with a subscription for each account that is asked about, and one for the clock, which says when a
//! block has been told whole. Nothing is known without a read to begin with, nothing is known of half a block, and a
//! socket that is cut, or whose slots stand still, knows nothing: then accounts are read as if there were none.

mod book;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::{Value, json, value::RawValue};
use solana_account_decoder_client_types::{UiAccount, UiAccountEncoding};
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client_api::{config::RpcAccountInfoConfig, response::Response};
use solana_sdk::{account::Account, pubkey::Pubkey, sysvar};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::book::{Book, Untimed};
use super::{
    AccountSnapshot,
    socket::{Ended, News, Rests, Socket},
};
use crate::{domain::Slot, lock::lock};

const CLOCK: Pubkey = sysvar::clock::ID;
/// Public sockets drop connections at about 240 subscriptions; what is beyond this is read.
const MOST_ACCOUNTS: usize = 100;
/// Where there is no room, an account that nobody asked about for this long makes some.
const WANTED_FOR: Duration = Duration::from_secs(600);
/// A clock that does not come for this long is a socket that is silent.
const SILENT_AFTER: Duration = Duration::from_secs(10);
/// A socket that tells nonsense so often is left for good. Once may be a fork, or a node that has just started.
const MOST_FAULTS: u8 = 2;
/// A connection that was good for this long makes up for earlier faults.
const GOOD_AFTER: Duration = Duration::from_secs(60);

/// Where it is asked what accounts have become.
#[derive(Clone, Default)]
pub struct Told(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Other accounts are wanted.
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// With the time when each was last asked about.
    wanted: HashMap<Pubkey, Instant>,
    book: Book,
}

impl Told {
    /// The handle, and the task that whoever owns the tasks must run. The sockets are listened to one at a time.
    pub fn new(urls: Vec<String>) -> (Self, ToldTask) {
        let told = Self::default();
        let sockets = urls.into_iter().map(|url| Candidate { url, faults: 0 }).collect();
        (told.clone(), ToldTask { sockets, shared: told.0 })
    }

    /// Asks to be told of these accounts from now on, if there is room for all of them.
    pub fn want(&self, keys: &[Pubkey]) {
        let (mut state, now) = (self.0.lock(), Instant::now());
        let wanted = &mut state.wanted;
        let mut new = Vec::new();
        for key in keys {
            match wanted.get_mut(key) {
                Some(asked_at) => *asked_at = now,
                None => new.push(*key),
            }
        }
        if new.is_empty() {
            return;
        }
        if wanted.len() + new.len() > MOST_ACCOUNTS {
            wanted.retain(|_, asked_at| asked_at.elapsed() < WANTED_FOR);
        }
        if wanted.len() + new.len() <= MOST_ACCOUNTS {
            wanted.extend(new.into_iter().map(|key| (key, now)));
            self.0.changed.notify_one();
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
        lock(&self.state)
    }
}

/// The loop behind `Told`.
pub struct ToldTask {
    /// Those whose slots can be relied on, as far as is known.
    sockets: VecDeque<Candidate>,
    shared: Arc<Shared>,
}

struct Candidate {
    url: String,
    /// How often what it told was nonsense.
    faults: u8,
}

/// How listening to a socket ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It was cut, or fell silent.
    Lost,
    /// What it told cannot be: its slots do not say when things changed, or an account cannot be read.
    Nonsense,
}

impl From<Ended> for End {
    fn from(Ended: Ended) -> Self {
        Self::Lost
    }
}

impl From<Untimed> for End {
    fn from(Untimed: Untimed) -> Self {
        Self::Nonsense
    }
}

impl ToldTask {
    /// Runs until `shutdown`, reconnecting with growing rests, to the next socket each time.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut rests = Rests::default();
        // Nobody needs a connection before somebody asks.
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.is_wanted() => {}
        }
        while !shutdown.is_cancelled() {
            let Some(mut candidate) = self.sockets.pop_front() else { return shutdown.cancelled().await };
            let listened = self.connect(&mut candidate, &shutdown).await;
            if candidate.faults < MOST_FAULTS {
                self.sockets.push_back(candidate);
            } else {
                tracing::info!(left = self.sockets.len(), "a socket does not say when accounts changed: it is left");
            }
            rests.rest(listened, &shutdown).await;
        }
    }

    async fn is_wanted(&self) {
        while self.shared.lock().wanted.is_empty() {
            self.shared.changed.notified().await;
        }
    }

    /// One connection from its beginning to its end. True if it was good for something.
    async fn connect(&self, candidate: &mut Candidate, shutdown: &CancellationToken) -> bool {
        let Some(mut socket) = Socket::open(&candidate.url, "account", shutdown).await else { return false };
        let begun = Instant::now();
        let end = tokio::select! {
            () = shutdown.cancelled() => End::Lost,
            Err(end) = self.listen(&mut socket) => end,
        };
        let book = std::mem::take(&mut self.shared.lock().book);
        if begun.elapsed() > GOOD_AFTER {
            candidate.faults = 0;
        }
        candidate.faults += u8::from(end == End::Nonsense);
        socket.close().await;
        end == End::Lost && book.is_of_use()
    }

    /// Until the connection ends.
    async fn listen(&self, socket: &mut Socket<Pubkey>) -> Result<Infallible, End> {
        socket.subscribe(CLOCK, params(&CLOCK));
        let (mut followed, mut refused) = (HashSet::from([CLOCK]), HashSet::new());
        let mut last_clock = Instant::now();
        self.shared.changed.notify_one(); // what is wanted by now is new here
        loop {
            tokio::select! {
                biased; // what has come counts, however late it is looked at
                news = socket.next() => match news? {
                    News::Subscribed(key) => self.shared.lock().book.follow(key),
                    News::Refused(key) => {
                        followed.remove(&key);
                        refused.insert(key);
                        // Nothing is known without the clock, and it is not what is asked about.
                        if key == CLOCK || followed.len() == 1 {
                            return Err(End::Lost);
                        }
                    }
                    News::Told(key, change) => {
                        if key == CLOCK {
                            last_clock = Instant::now();
                        }
                        self.note(key, &change)?;
                    }
                },
                () = self.shared.changed.notified() => {
                    let mut wanted: HashSet<Pubkey> = self.shared.lock().wanted.keys().copied().chain([CLOCK]).collect();
                    refused.retain(|key| wanted.contains(key));
                    wanted.retain(|key| !refused.contains(key));
                    for key in followed.difference(&wanted) {
                        socket.unsubscribe(*key);
                        self.shared.lock().book.forget(key);
                    }
                    for key in wanted.difference(&followed) {
                        socket.subscribe(*key, params(key));
                    }
                    followed = wanted;
                }
                () = sleep_until(last_clock + SILENT_AFTER) => return Err(End::Lost),
            }
        }
    }

    fn note(&self, key: Pubkey, change: &RawValue) -> Result<(), End> {
        let change = serde_json::from_str::<Response<UiAccount>>(change.get()).ok();
        let read = change.and_then(|change| Some((Slot(change.context.slot), change.value.decode::<Account>()?)));
        let Some((slot, account)) = read else {
            tracing::debug!(account = %key, "a change that cannot be read");
            return Err(End::Nonsense);
        };
        Ok(self.shared.lock().book.note(key, slot, account, Instant::now())?)
    }
}

fn params(key: &Pubkey) -> Value {
    let config = RpcAccountInfoConfig {
        encoding: Some(UiAccountEncoding::Base64),
        commitment: Some(CommitmentConfig::confirmed()),
        ..RpcAccountInfoConfig::default()
    };
    json!([key.to_string(), config])
}

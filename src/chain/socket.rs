//! Socket: subscriptions over a node's WebSocket, told in the order in which the node told them.
//!
//! Owns one connection, what was subscribed to on it, and the rests between one connection and the next. The client
//! library's own socket gives each subscription a queue, without a bound: it loses the order in which things were told, and
//! only that order says that a block has been told whole. Ends when the node hangs up or is silent; a subscription that it
//! refuses is news of that one. Everything is sent and received in `next`, so whoever listens also speaks. Never connects
//! by itself, and never says what the words mean.

#[cfg(test)]
pub(super) mod stub;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Bytes, Error, Message},
};
use tokio_util::sync::CancellationToken;

/// A second small message does not wait until the first is acknowledged.
const NO_DELAY: bool = true;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long one subscription may take to be answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Subscriptions asked for at the same time: the embedded chain loses some of many.
const AT_ONCE: usize = 4;
/// Shorter than the time that the daemon gives its tasks to end.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// A node that has told nothing for this long is asked whether it is there.
const PING_AFTER: Duration = Duration::from_secs(10);
/// Without a word for this long, not even an answer to that, it is not.
const SILENT_AFTER: Duration = Duration::from_secs(30);
const FIRST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// A connection whose subscriptions are all of one kind, each about a `K`.
pub(super) struct Socket<K> {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// As in the method `accountSubscribe`.
    kind: &'static str,
    last_request: u64,
    /// Wanted, with what the method wants, but not asked for yet.
    waiting: VecDeque<(K, Value)>,
    /// Requests that are not answered yet, the oldest first.
    asked: BTreeMap<u64, Asked<K>>,
    /// By the node's own number. No key is twice among all these: a node may give one number for both.
    subscribed: HashMap<u64, K>,
    /// Numbers of subscriptions that the node has not been told to end yet.
    given_up: Vec<u64>,
    heard_at: Instant,
    ping_at: Instant,
}

struct Asked<K> {
    key: K,
    at: Instant,
    /// False when it was given up meanwhile: then so is the subscription, once it has a number.
    is_wanted: bool,
}

/// What a node says.
#[derive(Debug)]
pub(super) enum News<K> {
    /// It will tell of this one.
    Subscribed(K),
    /// It will not tell of this one: it said so, or left it unanswered while it told other things.
    Refused(K),
    /// Something happened to it: the notification's `result`, as it was told.
    Told(K, Box<RawValue>),
}

/// The connection is of no use any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended;

/// An answer or a notification.
#[derive(Deserialize)]
struct Frame<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    params: Option<Notification<'a>>,
}

#[derive(Deserialize)]
struct Notification<'a> {
    subscription: u64,
    #[serde(borrow)]
    result: &'a RawValue,
}

impl<K: Copy + Eq> Socket<K> {
    /// Connects. `None` when that fails, takes too long, or is not wanted any more.
    pub(super) async fn open(url: &str, kind: &'static str, shutdown: &CancellationToken) -> Option<Self> {
        let connected = tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            connected = timeout(CONNECT_WITHIN, connect_async_with_config(url, None, NO_DELAY)) => connected,
        };
        match connected {
            Ok(Ok((stream, _))) => {
                let now = Instant::now();
                Some(Self {
                    stream,
                    kind,
                    last_request: 0,
                    waiting: VecDeque::new(),
                    asked: BTreeMap::new(),
                    subscribed: HashMap::new(),
                    given_up: Vec::new(),
                    heard_at: now,
                    ping_at: now + PING_AFTER,
                })
            }
            // It may name the URL, and part of that may be a key.
            Ok(Err(Error::Url(_))) => {
                tracing::debug!(kind, "no socket: its address is no URL of one");
                None
            }
            Ok(Err(error)) => {
                tracing::debug!(kind, %error, "no socket");
                None
            }
            Err(_) => {
                tracing::debug!(kind, "no socket in time");
                None
            }
        }
    }

    /// Wants to be told of `key` from now on; `params` is what the method wants. False when it is wanted already.
    pub(super) fn subscribe(&mut self, key: K, params: Value) -> bool {
        if let Some(asked) = self.asked.values_mut().find(|asked| asked.key == key) {
            return !std::mem::replace(&mut asked.is_wanted, true);
        }
        let is_wanted = self.waiting.iter().map(|(it, _)| it).chain(self.subscribed.values()).any(|it| *it == key);
        if !is_wanted {
            self.waiting.push_back((key, params));
        }
        !is_wanted
    }

    /// Wants to be told of `key` no more, and is not from now on.
    pub(super) fn unsubscribe(&mut self, key: K) {
        self.waiting.retain(|(it, _)| *it != key);
        self.asked.values_mut().filter(|asked| asked.key == key).for_each(|asked| asked.is_wanted = false);
        self.given_up.extend(self.subscribed.extract_if(|_, it| *it == key).map(|(number, _)| number));
    }

    /// Takes in that the node has ended a subscription by itself.
    pub(super) fn forget(&mut self, key: K) {
        self.subscribed.retain(|_, it| *it != key);
    }

    /// How many subscriptions are not answered yet.
    pub(super) fn unanswered(&self) -> usize {
        self.waiting.len() + self.asked.len()
    }

    /// How many subscriptions there are, with those that are not answered yet.
    pub(super) fn subscriptions(&self) -> usize {
        self.unanswered() + self.subscribed.len()
    }

    /// What the node says next, once it knows what it is wanted to say. Cancel-safe.
    ///
    /// # Errors
    /// When the node has hung up, is silent, says nothing at all after a subscription was asked for, or talks nonsense.
    pub(super) async fn next(&mut self) -> Result<News<K>, Ended> {
        loop {
            self.speak().await?;
            let overdue_at = self.overdue_at();
            tokio::select! {
                biased; // what has come counts, however late it is looked at
                message = self.stream.next() => {
                    self.heard_at = Instant::now();
                    self.ping_at = self.heard_at + PING_AFTER;
                    match message {
                        Some(Ok(Message::Text(text))) => {
                            if let Some(news) = self.understand(&text)? {
                                return Ok(news);
                            }
                        }
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Ended),
                        Some(Ok(_)) => {}
                    }
                }
                () = sleep_until(overdue_at) => {
                    if let Some(key) = self.give_up_waiting()? {
                        return Ok(News::Refused(key));
                    }
                }
                () = sleep_until(self.ping_at) => {
                    self.ping_at += PING_AFTER;
                    self.hand_over(Message::Ping(Bytes::new())).await?;
                }
            }
        }
    }

    /// Says good-bye, if the node takes it.
    pub(super) async fn close(mut self) {
        let _ = timeout(CLOSE_WITHIN, self.stream.close(None)).await;
    }

    fn understand(&mut self, text: &str) -> Result<Option<News<K>>, Ended> {
        let Ok(frame) = serde_json::from_str::<Frame>(text) else {
            tracing::debug!(kind = self.kind, "the socket says what is no answer and no notification");
            return Err(Ended);
        };
        if let Some(Notification { subscription, result }) = frame.params {
            // One that was given up may still be told of for a moment.
            return Ok(self.subscribed.get(&subscription).map(|key| News::Told(*key, result.to_owned())));
        }
        let number = frame.result.and_then(|result| result.get().parse().ok());
        let Some(asked) = frame.id.and_then(|id| self.asked.remove(&id)) else {
            if frame.id.is_none() && frame.error.is_some() {
                tracing::debug!(kind = self.kind, error = ?frame.error, "the socket refuses everything");
                return Err(Ended);
            }
            return Ok(None); // the answer about one that nobody waits for any more, or a notice
        };
        Ok(match (number, asked.is_wanted) {
            (Some(number), true) => {
                self.subscribed.insert(number, asked.key);
                Some(News::Subscribed(asked.key))
            }
            (Some(number), false) => {
                self.given_up.push(number);
                None
            }
            (None, is_wanted) => {
                tracing::debug!(kind = self.kind, error = ?frame.error, "the socket refuses a subscription");
                is_wanted.then_some(News::Refused(asked.key))
            }
        })
    }

    /// Takes in that the node has let us wait for too long. Whose answer is not waited for any more, if anybody wants it;
    /// the end, if the node has said nothing at all since.
    fn give_up_waiting(&mut self) -> Result<Option<K>, Ended> {
        match self.asked.first_entry() {
            Some(oldest) if oldest.get().at < self.heard_at => {
                tracing::debug!(kind = self.kind, "the socket leaves a subscription unanswered");
                let Asked { key, is_wanted, .. } = oldest.remove();
                Ok(is_wanted.then_some(key))
            }
            _ => {
                tracing::debug!(kind = self.kind, "the socket does not answer");
                Err(Ended)
            }
        }
    }

    /// When the node has let us wait for too long.
    fn overdue_at(&self) -> Instant {
        let silent_at = self.heard_at + SILENT_AFTER;
        let unanswered_at = self.asked.first_key_value().map(|(_, asked)| asked.at + ANSWER_WITHIN);
        unanswered_at.unwrap_or(silent_at).min(silent_at)
    }

    /// Says what is wanted and what is not wanted any more. Cancel-safe: nothing is taken off its list before the
    /// connection has it.
    async fn speak(&mut self) -> Result<(), Ended> {
        while let Some(number) = self.given_up.last() {
            let params = json!([number]);
            self.request("Unsubscribe", &params).await?;
            self.given_up.pop();
        }
        while self.asked.len() < AT_ONCE
            && let Some((key, params)) = self.waiting.front().cloned()
        {
            let request = self.request("Subscribe", &params).await?;
            self.waiting.pop_front();
            self.asked.insert(request, Asked { key, at: Instant::now(), is_wanted: true });
        }
        in_time(self.overdue_at(), self.stream.flush()).await
    }

    async fn request(&mut self, verb: &str, params: &Value) -> Result<u64, Ended> {
        self.last_request += 1;
        let method = format!("{}{verb}", self.kind);
        let request = json!({"jsonrpc": "2.0", "id": self.last_request, "method": method, "params": params});
        self.hand_over(Message::text(request.to_string())).await?;
        Ok(self.last_request)
    }

    /// Gives the connection a message, which is sent with the next flush.
    async fn hand_over(&mut self, message: Message) -> Result<(), Ended> {
        in_time(self.overdue_at(), self.stream.feed(message)).await
    }
}

async fn in_time(until: Instant, sent: impl Future<Output = Result<(), Error>>) -> Result<(), Ended> {
    match timeout_at(until, sent).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Ended),
    }
}

/// The rests between connections: they grow until one was good for something.
pub(super) struct Rests {
    next: Duration,
    /// The last rest.
    last_ended: Instant,
}

impl Default for Rests {
    fn default() -> Self {
        Self { next: FIRST_REST, last_ended: Instant::now() }
    }
}

impl Rests {
    /// Rests after a connection, unless `shutdown` comes first. It was good if it `listened`, or lasted for long.
    pub(super) async fn rest(&mut self, listened: bool, shutdown: &CancellationToken) {
        let was_good = listened || self.last_ended.elapsed() > LONGEST_REST;
        let rest = if was_good { FIRST_REST } else { self.next };
        self.next = (rest * 2).min(LONGEST_REST);
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep(rest) => {}
        }
        self.last_ended = Instant::now();
    }
}

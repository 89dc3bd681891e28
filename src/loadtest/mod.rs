//! Load test: gives a running daemon many orders as its clients would, and reports what became of each.
//!
//! ```text
//! turns -> client -> ledger <- listener       every order from its turn to its end
//!                    ledger -> audit          was any done twice, is any without an end
//!                    ledger -> report -> text, JSON, html
//! ```
//!
//! Knows the daemon by its address alone. Cheap enough to stand beside it: connections stay open, one socket hears of
//! all orders, and only the events that tell how far an order is are asked for.

mod audit;
mod client;
mod html;
mod ledger;
mod listen;
mod machine;
mod mix;
mod plot;
mod report;
mod scrape;
mod stats;
#[cfg(test)]
mod tests;
mod text;
mod timeline;
mod turns;

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use time::OffsetDateTime;
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use html::html;
pub use ledger::Counts;
pub use machine::Machine;
pub use mix::{Mix, MixError, MixText};
pub use report::{Report, Thresholds};
pub use stats::{Spread, Times};
pub use text::text;
pub use turns::{Length, Pace};

use client::{Answer, Client};
use ledger::{Ledger, as_micros};
use report::Ran;
use scrape::scrape;
use turns::Turns;

/// Between two looks of whoever watches.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// While nothing is heard for so long and orders are open, the daemon is asked about them.
const QUIET: Duration = Duration::from_secs(3);
/// Orders that are asked for at one such look.
const ASKED_AT_ONCE: usize = 500;
/// How long the last look for ends may take.
const LAST_LOOK: Duration = Duration::from_secs(30);
/// The longest a client of a closed loop rests after a refusal.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// The shortest: a daemon that is not there must not be asked a million times.
const SHORTEST_REST: Duration = Duration::from_millis(20);

/// Refusals that come before the daemon looks at an order's key: given again, it may have been taken all the same.
const BEFORE_THE_KEY: [&str; 2] = ["rate_limited", "overloaded"];

/// Why there was no load test.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No answer.
    #[error("the daemon does not answer")]
    Http(#[source] reqwest::Error),
    /// A refusal.
    #[error("the daemon refuses: {message} ({code})")]
    Refused {
        /// Its code.
        code: String,
        /// Its words.
        message: String,
    },
    /// No stream.
    #[error("the daemon's stream cannot be opened")]
    Stream(#[source] Box<tokio_tungstenite::tungstenite::Error>),
    /// No stream in time.
    #[error("the daemon's stream did not open in time")]
    StreamTimedOut,
    /// The key is no header.
    #[error("the key has odd characters")]
    Key,
    /// The mix does not fit the daemon.
    #[error(transparent)]
    Mix(#[from] MixError),
    /// No fleet there.
    #[error("the daemon lists no wallets: its api process holds no keys, name them with --wallet")]
    NoWallets,
}

/// Whose wallets pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wallets {
    /// The daemon chooses.
    Any,
    /// These, in turn.
    These(Vec<String>),
    /// All that the daemon lists, in turn.
    Listed,
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The daemon.
    pub url: String,
    /// The key to it.
    pub key: Option<String>,
    /// How orders follow each other.
    pub pace: Pace,
    /// How many.
    pub length: Length,
    /// Which ones.
    pub mix: MixText,
    /// Same seed, same orders.
    pub seed: u64,
    /// Who pays.
    pub wallets: Wallets,
    /// Their slippage; the daemon's default without it.
    pub slippage_bps: Option<u16>,
    /// Connections of an open loop. In a closed loop each client has one.
    pub connections: usize,
    /// The longest wait for an answer.
    pub timeout: Duration,
    /// The longest wait for ends after the last order was given.
    pub drain: Duration,
    /// How many orders are looked at afterwards.
    pub audit: usize,
    /// Metrics pages beside the daemon's own: those of its workers.
    pub metrics: Vec<String>,
}

/// Gives the load and waits for its end. `stop` ends the giving; what was given is still waited for and reported.
/// `watcher` is called now and then.
///
/// # Errors
/// When the daemon cannot be reached at the start, or the plan does not fit it.
pub async fn run(
    plan: Plan,
    stop: CancellationToken,
    watcher: &(dyn Fn(Counts, Duration) + Send + Sync),
) -> Result<Report, LoadError> {
    let clients = match plan.pace {
        Pace::Rate(_) => plan.connections,
        Pace::Clients(clients) => clients,
    };
    let client = Client::new(&plan.url, plan.key.clone(), clients, plan.timeout)?;
    let status = client.get("/v1/status").await?;
    let mix = Arc::new(fit(&plan, &client).await?);
    let pages: Vec<String> =
        std::iter::once(format!("{}/metrics", client.base())).chain(plan.metrics.iter().cloned()).collect();
    let cursor = status["cursor"].as_u64().unwrap_or_default();
    let socket = listen::open(&client, cursor).await?;
    let before = scrape(&client, &pages).await;
    let cpu_before = machine::own_cpu_seconds();

    let began_at = OffsetDateTime::now_utc();
    let turns = Arc::new(Turns::new(plan.pace, plan.length, stop));
    let ledger = Arc::new(Ledger::new(turns.start(), cursor));
    let deaf = CancellationToken::new();
    let mut listening = JoinSet::new();
    listening.spawn(listen::listen(client.clone(), socket, ledger.clone(), deaf.clone()));
    let load =
        Load { client: client.clone(), mix, ledger: ledger.clone(), turns, run: Uuid::now_v7(), drain: plan.drain };
    let load = Arc::new(load);
    load.give_all(clients, watcher).await;
    let gave_for = load.turns.start().elapsed();
    load.drain(watcher).await;

    let took = load.turns.start().elapsed();
    let after = scrape(&client, &pages).await;
    let cpu = machine::own_cpu_seconds().zip(cpu_before).map(|(after, before)| after - before);
    let accepted = report::accepted(&ledger.book());
    let findings = audit::audit(&client, &accepted, plan.audit, |n| (load.key(n), load.mix.body(n))).await;
    deaf.cancel();
    let cuts = listening.join_next().await.and_then(Result::ok).unwrap_or_default();
    let ran = Ran { plan: &plan, status: &status, began_at, gave_for, took, before, after, cpu, cuts, findings };
    Ok(Report::new(ran, &ledger.book()))
}

/// The plan's mix with what this daemon says of its tokens and wallets.
async fn fit(plan: &Plan, client: &Client) -> Result<Mix, LoadError> {
    let tokens = client.get("/v1/tokens").await?;
    let decimals = |symbol: &str| {
        let named = |token: &&Value| {
            token["mint"] == symbol || token["symbol"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(symbol))
        };
        let token = tokens["tokens"].as_array()?.iter().find(named)?;
        u8::try_from(token["decimals"].as_u64()?).ok()
    };
    let wallets = match &plan.wallets {
        Wallets::Any => Vec::new(),
        Wallets::These(wallets) => wallets.clone(),
        Wallets::Listed => {
            let listed = client.get("/v1/wallets").await?;
            let addresses = listed["wallets"].as_array().map(Vec::as_slice).unwrap_or_default();
            let addresses: Vec<String> =
                addresses.iter().filter_map(|wallet| Some(wallet["address"].as_str()?.to_owned())).collect();
            if addresses.is_empty() {
                return Err(LoadError::NoWallets);
            }
            addresses
        }
    };
    Ok(Mix::new(&plan.mix, decimals, plan.seed, wallets, plan.slippage_bps)?)
}

/// A load under way.
struct Load {
    client: Client,
    mix: Arc<Mix>,
    ledger: Arc<Ledger>,
    turns: Arc<Turns>,
    /// Makes the keys of this run its own.
    run: Uuid,
    drain: Duration,
}

impl Load {
    fn key(&self, n: u64) -> String {
        format!("loadtest-{}-{n}", self.run)
    }

    /// Gives every order at its turn.
    async fn give_all(self: &Arc<Self>, clients: usize, watcher: &(dyn Fn(Counts, Duration) + Send + Sync)) {
        let mut giving = JoinSet::new();
        for _ in 0..clients {
            let load = self.clone();
            giving.spawn(async move { load.client().await });
        }
        let turns = self.turns.clone();
        giving.spawn_blocking(move || turns.open_all(clients));
        let mut looks = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                ended = giving.join_next() => match ended {
                    Some(Ok(())) => {}
                    Some(Err(error)) => tracing::error!(%error, "a client of the load test panicked"),
                    None => return,
                },
                _ = looks.tick() => watcher(self.counts(), self.turns.start().elapsed()),
            }
        }
    }

    /// One client: takes turns until there are no more.
    async fn client(&self) {
        while let Some(turn) = self.turns.take().await {
            let due = as_micros(turn.due);
            self.ledger.given(due);
            let answer = self.client.give(&self.key(turn.n), self.mix.body(turn.n)).await;
            let end = self.ledger.answered(turn.n, due, &answer);
            if let Pace::Clients(_) = self.turns.pace() {
                match (end, answer) {
                    // An order without an end must not keep its client for ever.
                    (Some(end), _) => drop(timeout(self.drain, end).await),
                    (None, Answer::Accepted { .. }) => {}
                    (None, Answer::Refused { retry_after, .. }) => {
                        sleep(retry_after.unwrap_or_default().clamp(SHORTEST_REST, LONGEST_REST)).await;
                    }
                    (None, Answer::Lost { .. }) => sleep(SHORTEST_REST).await,
                }
            }
        }
    }

    /// Waits for the ends of what was given, and finds out what was lost.
    async fn drain(&self, watcher: &(dyn Fn(Counts, Duration) + Send + Sync)) {
        let until = Instant::now() + self.drain;
        let mut heard = (self.ledger.book().cursor, Instant::now());
        loop {
            watcher(self.counts(), self.turns.start().elapsed());
            self.ask_again(until).await;
            let nothing_is_open = {
                let book = self.ledger.book();
                book.counts.open() == 0 && book.lost.is_empty()
            };
            if nothing_is_open || Instant::now() >= until {
                // What the stream did not tell may have happened all the same. Nobody is waited for who is not there.
                let open = self.ledger.open();
                let looked = timeout(LAST_LOOK, audit::find_ends(&self.client, &self.ledger, open)).await;
                if looked.is_err() {
                    tracing::warn!("the daemon did not answer for all orders without an end");
                }
                return;
            }
            let cursor = self.ledger.book().cursor;
            if cursor != heard.0 {
                heard = (cursor, Instant::now());
            } else if heard.1.elapsed() >= QUIET {
                let some = self.ledger.open().into_iter().take(ASKED_AT_ONCE).collect();
                let _ = timeout_at(until, audit::find_ends(&self.client, &self.ledger, some)).await;
                heard.1 = Instant::now();
            }
            sleep(LOOK_EVERY / 4).await;
        }
    }

    /// Gives the orders whose answers were lost once more, under the same keys: whoever took them says so now.
    async fn ask_again(&self, until: Instant) {
        let lost = std::mem::take(&mut self.ledger.book().lost);
        for (at, &(n, due)) in lost.iter().enumerate() {
            let answer = self.client.give(&self.key(n), self.mix.body(n)).await;
            let rest = match &answer {
                Answer::Lost { .. } => Some(LOOK_EVERY),
                Answer::Refused { code, retry_after, .. } if BEFORE_THE_KEY.contains(&code.as_str()) => {
                    Some(retry_after.unwrap_or_default().max(LOOK_EVERY))
                }
                _ => None,
            };
            if rest.is_some() {
                self.ledger.unanswered(n, due, &answer);
            } else {
                self.ledger.answered(n, due, &answer);
            }
            // After a rest, because the others will hear nothing else now.
            if rest.is_some() || Instant::now() >= until {
                self.ledger.book().lost.extend(&lost[at + 1..]);
                return sleep_until(until.min(Instant::now() + rest.unwrap_or_default())).await;
            }
        }
    }

    fn counts(&self) -> Counts {
        self.ledger.book().counts
    }
}

//! Redis queue: one stream with one consumer group, shared by every process of a deployment.
//!
//! Owns the stream, its group and an index of what waits. Leases run on the server's clock: an entry nobody renewed
//! for a lease is idle and goes to whoever asks next. Scripts make each step atomic and check that a claim still
//! holds before they touch it. Never trusts Redis to remember anything: an emptied server is an empty queue.

mod scripts;
mod server;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use redis::{Client, cmd, streams::StreamReadReply};
use tokio::{sync::Mutex, time::sleep};
use uuid::Uuid;

use self::{
    scripts::{CLAIM, GROUP, Keys, OPEN, RENEW, Why, ack, add, script},
    server::check_server,
};
use super::{Claim, JobQueue, QueueError, QueueOptions};
use crate::{
    domain::OrderId,
    gather::Gather,
    lock::lock,
    redis_link::{LinkError, RedisLink, WAIT},
};

/// A consumer that asked for nothing this long and holds nothing belonged to a process that ended.
const GONE_AFTER: Duration = Duration::from_secs(60 * 60);
/// The longest a read blocks; what is left of `WAIT` is for the way there and back.
const LONGEST_BLOCK: Duration = Duration::from_millis(500);
/// How long a count of the jobs holds: far shorter than it takes to fill a queue, far longer than an order takes to come in
/// when there are many.
const COUNT_HOLDS: Duration = Duration::from_millis(10);
/// The rest between tries of one `claim` during an outage.
const OUTAGE_REST: Duration = Duration::from_millis(100);

/// A queue on a Redis server.
pub struct RedisQueue {
    keys: Arc<Keys>,
    /// Everything that answers at once.
    commands: Arc<RedisLink>,
    /// Reads that block the connection they are on: no other command waits behind one.
    reads: Arc<RedisLink>,
    lease: Duration,
    max_depth: u64,
    reading: Mutex<Reading>,
    counted: Arc<Counted>,
    counts: Gather<(), Result<u64, LinkError>>,
    /// Whether the batch that an order became part of was queued; false when the bound forbids it.
    pushes: Gather<OrderId, Result<bool, LinkError>>,
    acks: Gather<Claim, Result<(), LinkError>>,
}

/// When the jobs were counted last, and how many there were and were pushed since.
type Counted = std::sync::Mutex<Option<(Instant, u64)>>;

/// The one read that is under way. It outlives the `claim` that began it: what it brings goes to the next caller.
#[derive(Default)]
struct Reading {
    under_way: Option<Read>,
    /// What a read brought beyond what its caller asked for, and when that read began.
    spare: VecDeque<(Entry, Instant)>,
    /// When to look for leases that ran out again. Looking walks over every claim there is.
    look_for_late: Option<Instant>,
}

struct Read {
    began: Instant,
    looks_for_late: bool,
    answer: BoxFuture<'static, Result<Vec<Entry>, LinkError>>,
}

/// What the server hands out: entry id, its text, how often it was handed out so far, whether nobody had its order before.
type Entry = (String, String, u64, bool);

impl RedisQueue {
    /// Opens the queue and checks that the server can keep it.
    ///
    /// # Errors
    /// When the server cannot be reached, is too old, or is set to evict keys.
    pub async fn open(client: Client, options: &QueueOptions) -> Result<Self, QueueError> {
        let commands = Arc::new(RedisLink::new(client.clone()));
        check_server(&commands).await?;
        let keys = Keys {
            stream: format!("{}{{jobs}}", options.prefix),
            index: format!("{}{{jobs}}:waiting", options.prefix),
            consumer: format!("{}-{}", std::process::id(), Uuid::now_v7().simple()),
        };
        commands.query::<u64>(script(OPEN, &[&keys.stream]).arg(GROUP).arg(GONE_AFTER.as_millis().to_string())).await?;
        let (keys, max_depth) = (Arc::new(keys), options.max_depth);
        let pushes = Gather::start({
            let (link, keys) = (commands.clone(), keys.clone());
            move |ids: Vec<OrderId>| {
                let (link, keys) = (link.clone(), keys.clone());
                async move {
                    match add(&link, &keys, max_depth, &ids, Why::Pushed).await {
                        Ok(_) => Ok(true),
                        Err(QueueError::Unavailable(error)) => Err(error),
                        Err(_) => Ok(false),
                    }
                }
            }
        });
        let acks = Gather::start({
            let (link, keys) = (commands.clone(), keys.clone());
            move |claims: Vec<Claim>| {
                let (link, keys) = (link.clone(), keys.clone());
                async move {
                    let texts: Vec<_> = claims.iter().map(|claim| claim.order_id.to_string()).collect();
                    let entries = claims.iter().zip(&texts);
                    let entries: Vec<_> = entries
                        .filter_map(|(claim, text)| {
                            let (entry, deliveries) = claim.entry()?;
                            Some((entry, deliveries, text.as_str()))
                        })
                        .collect();
                    ack(&link, &keys, &entries).await
                }
            }
        });
        let counted = Arc::new(Counted::default());
        let counts = Gather::start({
            let (link, keys, counted) = (commands.clone(), keys.clone(), counted.clone());
            move |_| {
                let (link, keys, counted) = (link.clone(), keys.clone(), counted.clone());
                async move {
                    let at = Instant::now();
                    let depth = count(&link, &keys).await?;
                    *lock(&counted) = Some((at, depth));
                    Ok(depth)
                }
            }
        });
        Ok(Self {
            keys,
            commands,
            pushes,
            acks,
            counted,
            counts,
            reads: Arc::new(RedisLink::new(client)),
            lease: options.lease,
            max_depth,
            reading: Mutex::default(),
        })
    }

    /// Begins a read: jobs that are there at once, else what is pushed within a short while.
    fn read(&self, most: usize, looks_for_late: bool) -> Read {
        let (link, keys) = (self.reads.clone(), self.keys.clone());
        let lease = if looks_for_late { millis(self.lease) } else { 0 };
        let block = millis(self.between_looks().max(Duration::from_millis(1)));
        let answer = async move {
            let mut now = script(CLAIM, &[&keys.stream]);
            now.arg(GROUP).arg(&keys.consumer).arg(lease).arg(most);
            let entries = link.query::<Vec<Entry>>(&now).await?;
            if !entries.is_empty() {
                return Ok(entries);
            }
            let mut later = cmd("XREADGROUP");
            later.arg("GROUP").arg(GROUP).arg(&keys.consumer).arg("COUNT").arg(most).arg("BLOCK").arg(block);
            later.arg("STREAMS").arg(&keys.stream).arg(">");
            match link.query::<Option<StreamReadReply>>(&later).await {
                Ok(reply) => Ok(reply.map(entries_of).unwrap_or_default()),
                // Emptied while we waited; the next read makes the group again.
                Err(error) if matches!(error.server_code(), Some("NOGROUP" | "UNBLOCKED")) => Ok(Vec::new()),
                Err(error) => Err(error),
            }
        };
        Read { began: Instant::now(), looks_for_late, answer: Box::pin(answer) }
    }

    /// The next entries, from what is spare, the read that is under way or a new one; none when none came in a while.
    /// Dropping this drops no entry.
    async fn next_entries(&self, most: usize, reading: &mut Reading) -> Result<Vec<(Entry, Instant)>, LinkError> {
        if reading.spare.is_empty() {
            let read = match &mut reading.under_way {
                Some(read) => read,
                none => none.insert(self.read(most, reading.look_for_late.is_none_or(|at| at <= Instant::now()))),
            };
            let answer = read.answer.as_mut().await;
            let (began, looked_for_late) = (read.began, read.looks_for_late);
            reading.under_way = None;
            let entries = answer?;
            if looked_for_late && entries.iter().all(|(_, _, deliveries, _)| *deliveries == 1) {
                reading.look_for_late = Some(began + self.between_looks());
            }
            reading.spare.extend(entries.into_iter().map(|entry| (entry, began)));
        }
        let most = most.min(reading.spare.len());
        Ok(reading.spare.drain(..most).collect())
    }

    /// Between two looks for leases that ran out. No read blocks for longer, so that none delays the next look.
    fn between_looks(&self) -> Duration {
        (self.lease / 8).min(LONGEST_BLOCK)
    }

    /// Starts the leases of these entries anew; answers those that are lost.
    async fn hold(&self, held: impl Iterator<Item = (&str, &str)>) -> Result<Vec<String>, LinkError> {
        let mut renew = script(RENEW, &[&self.keys.stream]);
        renew.arg(GROUP).arg(&self.keys.consumer);
        let mut any = false;
        for (entry, deliveries) in held {
            renew.arg(entry).arg(deliveries);
            any = true;
        }
        if !any {
            return Ok(Vec::new());
        }
        self.commands.query(&renew).await
    }
}

#[async_trait]
impl JobQueue for RedisQueue {
    async fn push(&self, ids: &[OrderId]) -> Result<(), QueueError> {
        if let Some((_, depth)) = lock(&self.counted).as_mut() {
            *depth += ids.len() as u64;
        }
        if let [id] = ids {
            match self.pushes.call(*id).await {
                Some(Ok(true)) => return Ok(()),
                Some(Err(error)) => return Err(error.into()),
                // What was gathered is too much for the bound together and may fit alone.
                Some(Ok(false)) | None => {}
            }
        }
        add(&self.commands, &self.keys, self.max_depth, ids, Why::Pushed).await.map(drop)
    }

    async fn restore(&self, ids: &[OrderId]) -> Result<usize, QueueError> {
        add(&self.commands, &self.keys, self.max_depth, ids, Why::Restored).await
    }

    async fn claim(&self, most: usize) -> Result<Vec<Claim>, QueueError> {
        let mut reading = self.reading.lock().await;
        let mut outage: Option<Instant> = None;
        loop {
            match self.next_entries(most.max(1), &mut reading).await {
                Ok(entries) => {
                    outage = None;
                    let claims = self.claims(entries).await;
                    if !claims.is_empty() {
                        return Ok(claims);
                    }
                }
                Err(error) if outage.get_or_insert_with(Instant::now).elapsed() < WAIT => {
                    tracing::debug!(%error, "could not read the queue; trying again");
                    sleep(OUTAGE_REST).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn renew(&self, claims: &[Claim]) -> Result<(), QueueError> {
        match self.hold(claims.iter().filter_map(Claim::entry)).await {
            Ok(lost) if lost.is_empty() => Ok(()),
            Ok(lost) => {
                // Or their jobs were done meanwhile, which is no loss.
                tracing::debug!(claims = lost.len(), "leases not found to renew");
                Ok(())
            }
            Err(error) if error.server_code() == Some("NOGROUP") => Ok(()), // an emptied server: all are lost
            Err(error) => Err(error.into()),
        }
    }

    async fn ack(&self, claim: &Claim) -> Result<(), QueueError> {
        match self.acks.call(claim.clone()).await.unwrap_or(Err(LinkError::TimedOut)) {
            Err(error) if error.server_code() == Some("NOGROUP") => Ok(()),
            answer => Ok(answer?),
        }
    }

    async fn depth(&self) -> Result<u64, QueueError> {
        Ok(count(&self.commands, &self.keys).await?)
    }

    async fn depth_lately(&self) -> Result<u64, QueueError> {
        let counted = *lock(&self.counted);
        if let Some((_, depth)) = counted.filter(|(at, _)| at.elapsed() < COUNT_HOLDS) {
            return Ok(depth);
        }
        Ok(self.counts.call(()).await.unwrap_or(Err(LinkError::TimedOut))?)
    }

    async fn ping(&self) -> Result<(), QueueError> {
        Ok(self.commands.query(&cmd("PING")).await?)
    }
}

impl RedisQueue {
    /// The claims on what was read, but for what is lost again or no job.
    async fn claims(&self, entries: Vec<(Entry, Instant)>) -> Vec<Claim> {
        // What was left lying since it was read may be somebody else's by now.
        let is_late = |began: &Instant| began.elapsed() > self.lease / 3;
        let (late, fresh): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(_, began)| is_late(began));
        let counts: Vec<_> = late.iter().map(|((_, _, deliveries, _), _)| deliveries.to_string()).collect();
        let held = late.iter().zip(&counts).map(|(((entry, ..), _), count)| (entry.as_str(), count.as_str()));
        let mut ours = match self.hold(held).await {
            Ok(lost) => late.into_iter().filter(|((entry, ..), _)| !lost.contains(entry)).collect(),
            Err(_) => Vec::new(), // nobody can say: it comes again
        };
        ours.extend(fresh);
        let mut claims = Vec::with_capacity(ours.len());
        for ((entry, text, deliveries, is_first), _) in ours {
            let deliveries = deliveries.to_string();
            match Claim::of(&entry, &deliveries, &text, is_first) {
                Some(claim) => claims.push(claim),
                None => {
                    tracing::warn!(entry, "an entry of the queue is no order id; dropping it");
                    if let Err(error) = ack(&self.commands, &self.keys, &[(&entry, &deliveries, &text)]).await {
                        tracing::warn!(entry, %error, "it could not be dropped: it will come again");
                    }
                }
            }
        }
        claims
    }
}

/// How many jobs there are.
async fn count(link: &RedisLink, keys: &Keys) -> Result<u64, LinkError> {
    link.query(cmd("XLEN").arg(&keys.stream)).await
}

impl Claim {
    /// The claim on an entry; `None` when its text is no order id.
    fn of(entry: &str, deliveries: &str, text: &str, is_first: bool) -> Option<Self> {
        let handle = format!("{entry}/{deliveries}");
        Some(Self { order_id: text.parse().ok()?, handle, is_first })
    }

    /// The entry and its delivery count; `None` for a handle of another backend.
    fn entry(&self) -> Option<(&str, &str)> {
        self.handle.split_once('/')
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn entries_of(reply: StreamReadReply) -> Vec<Entry> {
    let ids = reply.keys.into_iter().flat_map(|key| key.ids);
    ids.map(|entry| {
        let is_first = !entry.contains_key("restored");
        (entry.id.clone(), entry.get::<String>("order").unwrap_or_default(), 1, is_first)
    })
    .collect()
}

//! App: builds a role from the configuration, owns its tasks and stops them in order.
//!
//! The only place that knows backends, roles and long-lived tasks. Stop order: 1. `/ready` says draining, so that no new
//! traffic is sent here; 2. the worker claims nothing more and its orders finish or reach a stored step, at most for
//! the grace, while the API still tells their clients; 3. what waits for the chain stops waiting, the API takes no new
//! connections and its sockets close; 4. the store finishes its writes and closes; 5. the embedded chain ends.

#[cfg(feature = "localnet")]
mod embedded;
mod front;
mod gallery;
mod guard;
mod market;
mod outside;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

#[cfg(feature = "localnet")]
pub use embedded::{embed, localnet_options};
pub use gallery::Gallery;
pub use market::Market;
use outside::lock_store;
pub use outside::{Outside, connect_rpc, load_wallets, open_store};

use crate::{
    api,
    chain::{Confirmer, Halt, Records, Rpc, Snapshots, Tip, Told, confirmer, fees::Fees, push::Push},
    config::{self, Config},
    domain::Lamports,
    engine::{
        Admission, Announcer, Control, Executor, Handover, Holdings, Intake, Journal, Parts, Policy, Rehearsal, Rents,
        Simulations, Treasury,
        deadline::Deadlines,
        execute::Stop,
        simulations::Simulate,
        sweeper::{self, Sweeper},
        worker::{Active, Worker},
    },
    store::SharedStore,
};

/// How long tasks may take to end once nothing keeps them any more.
const LAST_STEP: Duration = Duration::from_secs(2);
/// The task that the first signal waits for.
const WORKER: &str = "worker";
/// Orders that an intake leaves to the worker of the same process at a time.
const HANDOVER_PLACES: usize = 16_384;
/// A claim is renewed this many times per lease.
const RENEWALS_PER_LEASE: u32 = 3;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Everything in one process.
    All,
    /// Takes orders and streams events.
    Api,
    /// Executes orders.
    Worker,
}

impl Role {
    const fn serves(self) -> bool {
        matches!(self, Self::All | Self::Api)
    }

    const fn works(self) -> bool {
        matches!(self, Self::All | Self::Worker)
    }
}

/// A running role.
pub struct App {
    role: Role,
    addresses: Vec<SocketAddr>,
    rpc: Arc<Rpc>,
    store: SharedStore,
    tasks: JoinSet<&'static str>,
    stop: Stop,
    /// Held while this process is the one that works on an SQLite file.
    _store_lock: Option<std::fs::File>,
    switches: Arc<api::Switches>,
    grace: Duration,
    /// Dropped after the store is closed, which may hold connections that were opened on it.
    gallery: Gallery,
    #[cfg(feature = "localnet")]
    chain: Option<crate::localnet::Localnet>,
}

impl App {
    /// Starts a role. Nothing is left running when it fails.
    ///
    /// # Errors
    /// One clear sentence for whatever is missing: cluster, store, queue, keys, a port.
    pub async fn start(config: Config, role: Role) -> anyhow::Result<Self> {
        if role != Role::All && !config.is_shared() {
            bail!(
                "this role shares its work: configure postgres for the store and redis for queue and events, or run `all`"
            );
        }
        #[cfg(not(feature = "localnet"))]
        if config.localnet.is_some() {
            bail!(
                "this build has no embedded chain: remove the [localnet] section or build with `--features localnet`"
            );
        }
        let wallets = if role.works() { load_wallets(&config)? } else { Vec::new() };
        #[cfg(feature = "localnet")]
        let (config, chain) = embed(config, &wallets).await?;

        let store_lock = if role.works() { lock_store(&config)? } else { None };
        let outside = Outside::open(&config).await?;
        let tip = Arc::new(Tip::new(outside.rpc.clone()));
        let within = config.router.deadline * 4 / 5;
        let (told, telling) = Told::new(config.chain.sockets().into_iter().map(str::to_owned).collect());
        let snapshots = Arc::new(Snapshots::new(outside.rpc.clone(), tip.clone(), within, Some(told)));
        let market = Market::connect(&config, snapshots.clone()).await?;
        let journal = Journal::new(outside.store.clone());
        let announcer = Announcer::new(&outside.store, outside.bus.clone());
        guard::remember_chain(&outside, &journal, config.chain.cluster).await?;

        let control = Control::open(outside.store.clone(), config.control.pause_file.clone()).await;
        let control = Arc::new(control.context("the kill switch cannot be read")?);
        let (halt, halting) = Halt::new(outside.rpc.clone(), tip.clone());
        let mut app = Self {
            role,
            addresses: Vec::new(),
            rpc: outside.rpc.clone(),
            store: outside.store.clone(),
            tasks: JoinSet::new(),
            stop: Stop { soft: CancellationToken::new(), hard: CancellationToken::new() },
            _store_lock: store_lock,
            switches: Arc::new(api::Switches {
                paused: control.flag(),
                halted: halt.flag(),
                ..api::Switches::default()
            }),
            grace: config.engine.shutdown_grace,
            gallery: Gallery::open()?,
            #[cfg(feature = "localnet")]
            chain,
        };
        app.spawn_bus(&outside, announcer);
        let hard = app.stop.hard.clone();
        app.tasks.spawn(async move {
            telling.run(hard).await;
            "told"
        });
        let page = app.spawn_metrics(&config, &outside).await?;
        let hard = app.stop.hard.clone();
        app.tasks.spawn(async move {
            halting.run(hard).await;
            "halt"
        });
        let rents = Rents::read(&outside.rpc).await.context("cannot read the cluster's rents")?;
        let cap = Lamports::new(config.chain.priority_fee_cap);
        let fees = Arc::new(Fees::new(outside.rpc.clone(), config.chain.priority_fee_floor, cap));
        let (rpc, store) = (outside.rpc.clone(), outside.store.clone());
        let holdings = role.works().then(|| Arc::new(Holdings::new(rpc, store, &market.rules, &wallets)));
        let known = role.works().then(|| wallets.iter().map(|wallet| wallet.address()).collect());
        let treasury = Arc::new(Treasury::new(
            outside.rpc.clone(),
            outside.store.clone(),
            rents,
            cap,
            market.caps.clone(),
            wallets,
        ));
        // Worth the places only where what is accepted here may be claimed here.
        let handover = Arc::new(Handover::new(if role == Role::All { HANDOVER_PLACES } else { 0 }));
        app.spawn_keepers(&config, &outside, &journal, &control);
        if role.serves() {
            let rehearsal = Rehearsal::new(
                market.router.clone(),
                market.venues.clone(),
                outside.rpc.clone(),
                fees.clone(),
                treasury.clone(),
                config.engine.memo,
            );
            let admission = Admission {
                wallets: known,
                max_depth: config.queue.max_depth,
                caps: market.caps.clone(),
                control: control.clone(),
            };
            let intake = Intake::new(
                journal.clone(),
                outside.store.clone(),
                outside.queue.clone(),
                market.rules.clone(),
                admission,
                handover.clone(),
            );
            app.spawn_api(&config, &outside, &market, intake, (rehearsal, page, control.clone(), holdings)).await?;
        }
        if role.works() {
            let journal = (journal, handover);
            app.spawn_worker(&config, &outside, &market, journal, (treasury, fees), (tip, snapshots, halt, control));
        }
        Ok(app)
    }

    /// Where the API listens, in the order configured.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The connection to the cluster.
    pub const fn rpc(&self) -> &Arc<Rpc> {
        &self.rpc
    }

    /// Runs until `shutdown` or until a task ends by itself, then stops everything in order.
    ///
    /// # Errors
    /// When a task ended by itself: the process must not go on without it.
    pub async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let ended = tokio::select! {
            () = shutdown.cancelled() => None,
            ended = self.tasks.join_next() => ended,
        };
        self.stop_all().await;
        match ended {
            None => Ok(()),
            Some(Ok(name)) => bail!("task `{name}` ended by itself"),
            Some(Err(error)) => Err(error).context("a task panicked"),
        }
    }

    async fn stop_all(&mut self) {
        tracing::info!("draining");
        self.switches.draining.store(true, Ordering::Relaxed);
        self.stop.soft.cancel();
        if self.role.works() {
            // The worker ends by itself once its orders have; everything else waits for `hard`.
            let worker_done = async {
                while let Some(ended) = self.tasks.join_next().await {
                    if matches!(ended, Ok(WORKER)) {
                        break;
                    }
                }
            };
            if tokio::time::timeout(self.grace, worker_done).await.is_err() {
                tracing::warn!("orders still wait for the chain: they go on at the next start");
            }
        }
        self.stop.hard.cancel();
        let rest = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_STEP, rest).await.is_err() {
            tracing::warn!("tasks did not end in time and are cut off");
            self.tasks.abort_all();
        }
        if tokio::time::timeout(LAST_STEP, self.store.close()).await.is_err() {
            tracing::warn!("the store did not close in time; what was answered is stored");
        }
        #[cfg(feature = "localnet")]
        if let Some(chain) = self.chain.take() {
            let _ = tokio::task::spawn_blocking(move || chain.stop()).await;
        }
        tracing::info!("stopped");
    }

    fn spawn_bus(&mut self, outside: &Outside, announcer: Announcer) {
        let hard = self.stop.hard.clone();
        self.tasks.spawn(async move {
            announcer.run(hard).await;
            "announcer"
        });
        let (bus, hard) = (outside.bus.clone(), self.stop.hard.clone());
        self.tasks.spawn(async move {
            bus.run(hard).await;
            "bus"
        });
    }

    /// What every role does: sees the kill switch, and ends orders that were not signed in time.
    fn spawn_keepers(&mut self, config: &Config, outside: &Outside, journal: &Journal, control: &Arc<Control>) {
        let (control, hard) = (control.clone(), self.stop.hard.clone());
        self.tasks.spawn(async move {
            control.run(hard).await;
            "control"
        });
        let deadlines = Arc::new(Deadlines::new(outside.store.clone(), journal.clone(), config.engine.sweep_every));
        let soft = self.stop.soft.clone();
        self.tasks.spawn(async move {
            deadlines.run(soft).await;
            "deadlines"
        });
    }

    fn spawn_worker(
        &mut self,
        config: &Config,
        outside: &Outside,
        market: &Market,
        (journal, handover): (Journal, Arc<Handover>),
        (treasury, fees): (Arc<Treasury>, Arc<Fees>),
        (tip, snapshots, halt, control): (Arc<Tip>, Arc<Snapshots>, Halt, Arc<Control>),
    ) {
        let rpc = outside.rpc.clone();
        let (confirmer, confirming) = Confirmer::new(
            rpc.clone(),
            tip.clone(),
            confirmer::Settings {
                poll: config.chain.status_poll,
                height_poll: config.chain.height_poll,
                rebroadcast: config.chain.rebroadcast,
                rebroadcast_per_attempt: config.chain.rebroadcast_per_order,
                unknown_after: config.engine.unknown_after,
            },
        );
        let hard = self.stop.hard.clone();
        self.tasks.spawn(async move {
            confirming.run(hard).await;
            "confirmer"
        });
        let mut pushes = Vec::new();
        for url in config.chain.sockets() {
            let (push, pushing) = Push::new(url.to_owned(), tip.clone(), confirmer.hints());
            pushes.push(push);
            let hard = self.stop.hard.clone();
            self.tasks.spawn(async move {
                pushing.run(hard).await;
                "push"
            });
        }
        // What landed is told by one endpoint; what it does not tell is asked for.
        let records = config.chain.sockets().first().map(|url| {
            let (records, recording) = Records::new((*url).to_owned(), treasury.addresses(), confirmer.hints());
            let hard = self.stop.hard.clone();
            self.tasks.spawn(async move {
                recording.run(hard).await;
                "records"
            });
            records
        });
        let executor = Executor::new(
            Parts {
                store: outside.store.clone(),
                journal,
                handover,
                router: market.router.clone(),
                venues: market.venues.clone(),
                rpc,
                snapshots,
                simulations: Simulations::new(match config.engine.simulate {
                    config::Simulate::Always => Simulate::Always,
                    config::Simulate::WhenNeeded => Simulate::WhenNeeded,
                }),
                tip,
                halt,
                control,
                fees,
                treasury,
                confirmer,
                pushes,
                records,
                signers: Arc::new(Semaphore::new(config.engine.signers)),
            },
            Policy {
                max_signatures: config.engine.max_signatures,
                max_retries: config.engine.max_retries,
                backoff: config.engine.backoff,
                memo: config.engine.memo,
                max_take_ups: config.engine.max_take_ups,
                details_within: config.engine.details_within,
            },
        );
        let active = Active::default();
        let sweeper = Sweeper::new(
            outside.store.clone(),
            outside.queue.clone(),
            active.clone(),
            sweeper::Settings {
                every: config.engine.sweep_every,
                untouched: config.engine.untouched,
                untouched_at_start: if config.is_shared() { config.engine.untouched } else { Duration::ZERO },
            },
        );
        let worker = Arc::new(Worker::new(
            Arc::new(executor),
            outside.queue.clone(),
            active,
            config.engine.max_in_flight,
            config.queue.lease / RENEWALS_PER_LEASE,
        ));
        let soft = self.stop.soft.clone();
        self.tasks.spawn(async move {
            sweeper.run(soft).await;
            "sweeper"
        });
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            worker.run(stop).await;
            WORKER
        });
    }
}

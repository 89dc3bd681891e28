//! App: builds a role from the configuration, owns its tasks and stops them in order.
//!
//! The only place that knows backends, roles and long-lived tasks. Stop order: 1. `/ready` says draining, so that no new
//! traffic is sent here; 2. the worker claims nothing more and its orders finish or reach a stored step, at most for
//! the grace, while the API still tells their clients; 3. what waits for the chain stops waiting, the API takes no new
//! connections and its sockets close; 4. the store finishes its writes and closes; 5. the embedded chain ends.

#[cfg(feature = "localnet")]
mod embedded;
mod guard;
mod market;
mod outside;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

#[cfg(feature = "localnet")]
pub use embedded::{embed, localnet_options};
pub use market::Market;
use outside::lock_store;
pub use outside::{Outside, connect_rpc, load_wallets, open_store};

use crate::{
    api,
    chain::{Confirmer, Halt, Rpc, Tip, Wallet, confirmer, fees::Fees, push::Push},
    config::{Cluster, Config, Secret},
    domain::{Bps, Lamports},
    engine::{
        Executor, Holdings, Intake, Journal, Parts, Policy, Rents, Treasury,
        execute::Stop,
        sweeper::{self, Sweeper},
        worker::{Active, Worker},
    },
    metrics,
    store::SharedStore,
};

/// How long tasks may take to end once nothing keeps them any more.
const LAST_STEP: Duration = Duration::from_secs(2);
/// The task that the first signal waits for.
const WORKER: &str = "worker";
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
        let market = Market::connect(&config, outside.rpc.clone()).await?;
        let journal = Journal::new(outside.store.clone(), outside.bus.clone());
        guard::remember_chain(&outside, &journal, config.chain.cluster).await?;

        let tip = Arc::new(Tip::new(outside.rpc.clone()));
        let (halt, halting) = Halt::new(outside.rpc.clone(), tip.clone());
        let mut app = Self {
            role,
            addresses: Vec::new(),
            rpc: outside.rpc.clone(),
            store: outside.store.clone(),
            tasks: JoinSet::new(),
            stop: Stop { soft: CancellationToken::new(), hard: CancellationToken::new() },
            _store_lock: store_lock,
            switches: Arc::new(api::Switches { halted: halt.flag(), ..api::Switches::default() }),
            grace: config.engine.shutdown_grace,
            #[cfg(feature = "localnet")]
            chain,
        };
        app.spawn_bus(&outside);
        let page = app.spawn_metrics(&config, &outside).await?;
        let hard = app.stop.hard.clone();
        app.tasks.spawn(async move {
            halting.run(hard).await;
            "halt"
        });
        if role.serves() {
            let known = role.works().then_some(wallets.as_slice());
            app.spawn_api(&config, &outside, &market, journal.clone(), (known, page)).await?;
        }
        if role.works() {
            app.spawn_worker(&config, &outside, &market, journal, wallets, (tip, halt)).await?;
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

    fn spawn_bus(&mut self, outside: &Outside) {
        let (bus, hard) = (outside.bus.clone(), self.stop.hard.clone());
        self.tasks.spawn(async move {
            bus.run(hard).await;
            "bus"
        });
    }

    /// The page that Prometheus reads, and its own listener where one is configured.
    async fn spawn_metrics(&mut self, config: &Config, outside: &Outside) -> anyhow::Result<Arc<api::MetricsPage>> {
        let page = Arc::new(api::MetricsPage::new(
            metrics::recorder().context("metrics cannot be recorded")?,
            outside.store.clone(),
            outside.queue.clone(),
            self.switches.clone(),
        ));
        if let Some(listen) = config.metrics.listen {
            let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
            let address = listener.local_addr().context("a bound socket has no address")?;
            tracing::info!(%address, "metrics are served");
            let (page, shutdown) = (page.clone(), self.stop.hard.clone());
            self.tasks.spawn(async move {
                if let Err(error) = api::metrics::serve(listener, page, shutdown).await {
                    tracing::error!(%error, "the metrics' server ended");
                }
                "metrics"
            });
        }
        Ok(page)
    }

    async fn spawn_api(
        &mut self,
        config: &Config,
        outside: &Outside,
        market: &Market,
        journal: Journal,
        (wallets, metrics): (Option<&[Arc<Wallet>]>, Arc<api::MetricsPage>),
    ) -> anyhow::Result<()> {
        let intake = Intake::new(
            journal,
            outside.store.clone(),
            outside.queue.clone(),
            market.rules.clone(),
            wallets.map(|wallets| wallets.iter().map(|wallet| wallet.address()).collect()),
            config.queue.max_depth,
        );
        let views = api::Views::new(market.rules.clone(), &explorer_query(config));
        let feed = Arc::new(api::Feed::new(views, config.events.capacity));
        let probes = api::Probes::new(
            outside.store.clone(),
            outside.queue.clone(),
            outside.bus.clone(),
            Some(outside.rpc.clone()),
            self.switches.clone(),
        );
        let (rpc, store) = (outside.rpc.clone(), outside.store.clone());
        let holdings = wallets.map(|wallets| Arc::new(Holdings::new(rpc, store, &market.rules, wallets)));
        let key = config.api.key.as_ref().map(Secret::expose).filter(|key| !key.is_empty());
        let state = api::ApiState::new(
            api::Parts {
                intake: Arc::new(intake),
                store: outside.store.clone(),
                router: market.router.clone(),
                feed: feed.clone(),
                probes: Arc::new(probes),
                metrics,
                holdings,
            },
            api::Options {
                api_key: key.map(api::ApiKey::new),
                cluster: config.chain.cluster.as_str(),
                origins: api::Origins {
                    own: key.is_some(),
                    listed: config.api.origins.clone(),
                    ..api::Origins::default()
                },
                cors: config.api.cors,
                body_limit: config.api.body_limit,
                max_connections: config.api.max_connections,
                max_sockets: config.api.max_sockets,
                request_timeout: config.api.request_timeout,
                percent_slippage: Bps::new(config.orders.percent_slippage_bps)
                    .context("`orders.percent_slippage_bps` is above 10000 basis points")?,
                shutdown_grace: LAST_STEP,
                ..api::Options::default()
            },
        );
        let (store, bus, hard) = (outside.store.clone(), outside.bus.clone(), self.stop.hard.clone());
        self.tasks.spawn(async move {
            feed.run(store, bus, hard).await;
            "feed"
        });
        for listen in std::iter::once(config.api.listen).chain(config.api.also_listen) {
            let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
            self.addresses.push(listener.local_addr().context("a bound socket has no address")?);
            let (state, shutdown) = (state.clone(), self.stop.hard.clone());
            self.tasks.spawn(async move {
                if let Err(error) = api::serve(listener, state, shutdown).await {
                    tracing::error!(%error, "the API ended");
                }
                "api"
            });
        }
        Ok(())
    }

    async fn spawn_worker(
        &mut self,
        config: &Config,
        outside: &Outside,
        market: &Market,
        journal: Journal,
        wallets: Vec<Arc<Wallet>>,
        (tip, halt): (Arc<Tip>, Halt),
    ) -> anyhow::Result<()> {
        let rpc = outside.rpc.clone();
        let cap = Lamports::new(config.chain.priority_fee_cap);
        let rents = Rents::read(&rpc).await.context("cannot read the cluster's rents")?;
        let hint = Arc::new(Notify::new());
        let (confirmer, confirming) = Confirmer::new(
            rpc.clone(),
            confirmer::Settings {
                poll: config.chain.status_poll,
                height_poll: config.chain.height_poll,
                rebroadcast: config.chain.rebroadcast,
                rebroadcast_per_attempt: config.chain.rebroadcast_per_order,
                unknown_after: config.engine.unknown_after,
            },
            hint.clone(),
        );
        let hard = self.stop.hard.clone();
        self.tasks.spawn(async move {
            confirming.run(hard).await;
            "confirmer"
        });
        let push = Some(config.chain.ws_url.expose()).filter(|url| !url.is_empty()).map(|url| {
            let (push, pushing) = Push::new(url.to_owned(), hint);
            let hard = self.stop.hard.clone();
            self.tasks.spawn(async move {
                pushing.run(hard).await;
                "push"
            });
            push
        });
        let executor = Executor::new(
            Parts {
                store: outside.store.clone(),
                journal,
                router: market.router.clone(),
                venues: market.venues.clone(),
                rpc: rpc.clone(),
                tip,
                halt,
                fees: Arc::new(Fees::new(rpc.clone(), config.chain.priority_fee_floor, cap)),
                treasury: Arc::new(Treasury::new(rpc, outside.store.clone(), rents, cap, wallets)),
                confirmer,
                push,
                signers: Arc::new(Semaphore::new(config.engine.signers)),
            },
            Policy {
                max_signatures: config.engine.max_signatures,
                max_retries: config.engine.max_retries,
                backoff: config.engine.backoff,
                memo: config.engine.memo,
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
        Ok(())
    }
}

/// How the explorer is told which cluster a signature is on.
fn explorer_query(config: &Config) -> String {
    match config.chain.cluster {
        Cluster::Devnet => "?cluster=devnet".to_owned(),
        Cluster::Testnet => "?cluster=testnet".to_owned(),
        Cluster::Local => {
            let url = config.chain.endpoints().first().copied().unwrap_or_default();
            let url = url::form_urlencoded::byte_serialize(url.as_bytes());
            format!("?cluster=custom&customUrl={}", url.collect::<String>())
        }
    }
}

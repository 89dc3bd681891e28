//! App: builds a role from the configuration, owns its tasks and stops them in order.
//!
//! The only place that knows backends, roles and long-lived tasks. Stop order: 1. `/ready` says draining, so that no new
//! traffic is sent here; 2. the worker claims nothing more and its orders finish or reach a stored step, at most for
//! the grace, while the API still tells their clients; 3. what waits for the chain stops waiting, the API takes no new
//! connections and its sockets close; 4. the store finishes its writes and closes; 5. the embedded chain ends.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, bail};
use solana_sdk::pubkey::Pubkey;
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    api,
    chain::{Confirmer, Rpc, Tip, Wallet, confirmer, fees::Fees, push::Push},
    config::{Cluster, Config, Mode, Secret},
    domain::{Bps, Lamports, Rules, Token},
    engine::{
        Executor, Intake, Journal, Parts, Policy, Rents, Treasury,
        execute::Stop,
        sweeper::{self, Sweeper},
        worker::{Active, Worker},
    },
    events::{self, BusOptions, SharedBus},
    queue::{self, QueueOptions, SharedQueue},
    router::{self, Router},
    store::{self, SharedStore},
    venue::{
        Venue, Venues,
        meteora_mock::{MeteoraMock, MockSettings},
        raydium_cpmm::{Discovery, RaydiumCpmm},
    },
};

mod guard;

/// How long tasks may take to end once nothing keeps them any more.
const LAST_STEP: Duration = Duration::from_secs(2);
/// How often a pair's pools are searched for at most: public endpoints throttle the search.
const DISCOVERY_PERIOD: Duration = Duration::from_secs(600);
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
    switches: Arc<api::Switches>,
    grace: Duration,
    #[cfg(feature = "localnet")]
    chain: Option<crate::localnet::Localnet>,
}

/// What every role needs of the outside world, opened and checked.
pub struct Outside {
    /// The cluster.
    pub rpc: Arc<Rpc>,
    /// The truth.
    pub store: SharedStore,
    /// The hint.
    pub queue: SharedQueue,
    /// The courtesy.
    pub bus: SharedBus,
}

/// What is traded where.
pub struct Market {
    /// Tokens with what the chain says of them, and the limits of orders.
    pub rules: Arc<Rules>,
    /// All venues that are asked.
    pub venues: Venues,
    /// Asks them.
    pub router: Arc<Router>,
}

impl App {
    /// Starts a role. Nothing is left running when it fails.
    ///
    /// # Errors
    /// One clear sentence for whatever is missing: cluster, store, queue, keys, a port.
    pub async fn start(mut config: Config, role: Role) -> anyhow::Result<Self> {
        if role != Role::All && !config.is_shared() {
            bail!("role `{role:?}` needs a shared queue and bus: configure redis for both, or run role `all`");
        }
        #[cfg(not(feature = "localnet"))]
        if config.localnet.is_some() {
            bail!(
                "this build has no embedded chain: remove the [localnet] section or build with `--features localnet`"
            );
        }
        let wallets = if role.works() { load_wallets(&config)? } else { Vec::new() };
        #[cfg(feature = "localnet")]
        let chain = embed_chain(&mut config, &wallets).await?;

        let outside = Outside::open(&config).await?;
        let market = Market::connect(&config, outside.rpc.clone()).await?;
        let journal = Journal::new(outside.store.clone(), outside.bus.clone());
        guard::remember_chain(&outside, &journal, config.chain.cluster).await?;

        let mut app = Self {
            role,
            addresses: Vec::new(),
            rpc: outside.rpc.clone(),
            store: outside.store.clone(),
            tasks: JoinSet::new(),
            stop: Stop { soft: CancellationToken::new(), hard: CancellationToken::new() },
            switches: Arc::default(),
            grace: config.engine.shutdown_grace,
            #[cfg(feature = "localnet")]
            chain,
        };
        app.spawn_bus(&outside);
        if role.serves() {
            let known = role.works().then(|| wallets.iter().map(|wallet| wallet.address()).collect());
            app.spawn_api(&config, &outside, &market, journal.clone(), known).await?;
        }
        if role.works() {
            app.spawn_worker(&config, &outside, &market, journal, wallets).await?;
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
        self.store.close().await;
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

    async fn spawn_api(
        &mut self,
        config: &Config,
        outside: &Outside,
        market: &Market,
        journal: Journal,
        wallets: Option<Vec<Pubkey>>,
    ) -> anyhow::Result<()> {
        let intake = Intake::new(
            journal,
            outside.store.clone(),
            outside.queue.clone(),
            market.rules.clone(),
            wallets,
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
        let key = config.api.key.as_ref().map(Secret::expose).filter(|key| !key.is_empty());
        let state = api::ApiState::new(
            api::Parts {
                intake: Arc::new(intake),
                store: outside.store.clone(),
                router: market.router.clone(),
                feed: feed.clone(),
                probes: Arc::new(probes),
            },
            api::Options {
                api_key: key.map(api::ApiKey::new),
                origins: api::Origins { listed: config.api.origins.clone(), ..api::Origins::default() },
                cors: config.api.cors,
                body_limit: config.api.body_limit,
                max_connections: config.api.max_connections,
                max_sockets: config.api.max_sockets,
                request_timeout: config.api.request_timeout,
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
                tip: Arc::new(Tip::new(rpc.clone())),
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

impl Outside {
    /// Connects to everything, the cluster first: a wrong one must not be touched any further.
    ///
    /// # Errors
    /// The first thing that is missing or wrong.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let rpc = connect_rpc(config).await?;
        let store = open_store(config).await?;
        let options = QueueOptions {
            lease: config.queue.lease,
            max_depth: config.queue.max_depth,
            prefix: config.queue.prefix.clone(),
        };
        let queue = queue::open(config.queue.url.expose(), &options).await.context("the job queue cannot be used")?;
        let options = BusOptions { capacity: config.events.capacity, prefix: config.queue.prefix.clone() };
        let bus = events::open(config.events.url.expose(), &options).await.context("the event bus cannot be used")?;
        Ok(Self { rpc, store, queue, bus })
    }
}

/// Connects to the cluster and checks that it is the one configured, and not mainnet.
///
/// # Errors
/// When it does not answer or is another one.
pub async fn connect_rpc(config: &Config) -> anyhow::Result<Arc<Rpc>> {
    let rpc = Arc::new(Rpc::new(config.chain.rpc_url.expose().to_owned(), config.chain.rpc_timeout));
    let genesis = rpc.genesis_hash().await.context("the RPC endpoint (`chain.rpc_url`) cannot be used")?;
    guard::check_cluster(&genesis.to_string(), config.chain.cluster)?;
    Ok(rpc)
}

/// Opens the durable store, making the folder of an SQLite file where it is missing.
///
/// # Errors
/// When it cannot be opened or migrated.
pub async fn open_store(config: &Config) -> anyhow::Result<SharedStore> {
    let url = config.store.url.expose();
    if let Some(path) = url.strip_prefix("sqlite:")
        && let Some(dir) = std::path::Path::new(path.trim_start_matches("//")).parent()
    {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    }
    store::open(url).await.context("the store (`store.url`) cannot be used")
}

impl Market {
    /// Reads tokens and pools from the chain.
    ///
    /// # Errors
    /// When the chain does not answer, or an account is not what the configuration says.
    pub async fn connect(config: &Config, rpc: Arc<Rpc>) -> anyhow::Result<Self> {
        let tokens = read_tokens(config, &rpc).await?;
        let bps = |raw| Bps::new(raw).context("a slippage is above 10000 basis points");
        let rules = Arc::new(Rules {
            tokens,
            default_slippage: bps(config.orders.default_slippage_bps)?,
            max_slippage: bps(config.orders.max_slippage_bps)?,
        });
        let pools = config
            .raydium_cpmm
            .pools
            .iter()
            .map(|text| text.parse().with_context(|| format!("`raydium_cpmm.pools`: {text} is no address")))
            .collect::<anyhow::Result<Vec<Pubkey>>>()?;
        let discovery = if config.raydium_cpmm.discover { Discovery::Every(DISCOVERY_PERIOD) } else { Discovery::Off };
        let (raydium, missing) = RaydiumCpmm::connect(rpc, config.raydium_cpmm.program, pools, discovery)
            .await
            .context("Raydium CPMM (`raydium_cpmm`) cannot be used")?;
        for pool in missing {
            tracing::warn!(%pool, "no such pool on this cluster: left out");
        }
        let raydium: Arc<dyn Venue> = Arc::new(raydium);
        let mut venues: Venues = vec![raydium.clone()];
        if config.meteora_mock.enabled {
            let mock = &config.meteora_mock;
            let settings = MockSettings {
                seed: mock.seed,
                spread: bps(mock.spread_bps)?,
                fee: bps(mock.fee_bps)?,
                latency: mock.latency_min..=mock.latency_max,
                failure_per_mille: mock.failures_per_mille,
            };
            venues.push(Arc::new(MeteoraMock::new(settings, raydium)));
        }
        let mode = match config.router.mode {
            Mode::QuoteOnly => router::Mode::QuoteOnly,
            Mode::Paper => router::Mode::Paper,
        };
        let router = Arc::new(Router::new(venues.clone(), config.router.deadline, mode));
        Ok(Self { rules, venues, router })
    }
}

/// Reads each configured mint. One that is not there is left out; one that is no mint is refused.
async fn read_tokens(config: &Config, rpc: &Rpc) -> anyhow::Result<Vec<Token>> {
    const DECIMALS_OFFSET: usize = 44;
    const MINT_BYTES: usize = 82;
    let mints: Vec<Pubkey> = config.tokens.iter().map(|token| token.mint).collect();
    let snapshot = rpc.accounts(&mints).await.context("cannot read the configured tokens")?;
    let mut tokens = Vec::with_capacity(mints.len());
    for (token, account) in config.tokens.iter().zip(snapshot.accounts) {
        let Some(account) = account else {
            tracing::warn!(symbol = token.symbol, mint = %token.mint, "no such mint on this cluster: left out");
            continue;
        };
        let is_mint = (account.owner == spl_token::ID || account.owner == spl_token_2022_interface::ID)
            && account.data.len() >= MINT_BYTES;
        if !is_mint {
            bail!("token {}: {} is not a mint on this cluster", token.symbol, token.mint);
        }
        tokens.push(Token {
            symbol: token.symbol.clone(),
            mint: token.mint,
            decimals: account.data[DECIMALS_OFFSET],
            program: account.owner,
        });
    }
    if tokens.len() < 2 {
        bail!("fewer than two of the configured tokens exist on this cluster: nothing can be traded");
    }
    Ok(tokens)
}

/// Loads the keys of the folder and the one of the configuration.
///
/// # Errors
/// When a key is unreadable, too open or no key, or when there is none and none can be made.
pub fn load_wallets(config: &Config) -> anyhow::Result<Vec<Arc<Wallet>>> {
    let dir = &config.wallets.dir;
    let mut wallets = if dir.is_dir() { Wallet::load_dir(dir)? } else { Vec::new() };
    if let Some(key) = &config.wallets.key {
        wallets.push(Wallet::parse("configured".into(), key.expose(), "`wallets.key`")?);
    }
    if wallets.is_empty() {
        match &config.localnet {
            Some(localnet) => {
                for n in 1..=localnet.wallets {
                    wallets.push(Wallet::create(dir, &format!("localnet-{n}"))?);
                }
            }
            None => bail!(
                "there is no wallet in {}: make one with `swapd wallet new`, fund it, and start again",
                dir.display()
            ),
        }
    }
    Ok(wallets.into_iter().map(Arc::new).collect())
}

/// Boots the chain of the `[localnet]` section, if there is one, and points the configuration at it.
#[cfg(feature = "localnet")]
pub(crate) async fn embed_chain(
    config: &mut Config,
    wallets: &[Arc<Wallet>],
) -> anyhow::Result<Option<crate::localnet::Localnet>> {
    use crate::localnet;

    let Some(section) = &config.localnet else { return Ok(None) };
    let options = localnet_options(section, config.raydium_cpmm.program, wallets)?;
    let chain = tokio::task::spawn_blocking(move || localnet::Localnet::start(options))
        .await
        .context("the embedded chain's start panicked")?
        .context("the embedded chain did not start")?;
    config.chain.rpc_url = Secret::new(chain.rpc_url().to_owned());
    config.chain.ws_url = Secret::new(chain.ws_url().to_owned());
    Ok(Some(chain))
}

/// The embedded chain's options from its section.
///
/// # Errors
/// When a program or URL is malformed.
#[cfg(feature = "localnet")]
pub fn localnet_options(
    section: &crate::config::Localnet,
    cpmm_program: Pubkey,
    wallets: &[Arc<Wallet>],
) -> anyhow::Result<crate::localnet::Options> {
    let programs = section
        .programs
        .iter()
        .map(|text| {
            let (id, file) = text.split_once('=').context("a program is given as ID=FILE.so")?;
            Ok((id.parse().with_context(|| format!("{id} is no program id"))?, file.into()))
        })
        .collect::<anyhow::Result<_>>()?;
    let clone_from =
        section.clone_from.as_ref().map(|url| url.expose().parse().context("`clone_from` is no URL")).transpose()?;
    Ok(crate::localnet::Options {
        slot_time: section.slot_time,
        rpc_port: section.rpc_port,
        ws_port: section.ws_port,
        cpmm_program,
        programs,
        clone_from,
        wallets: wallets.iter().map(|wallet| wallet.address()).collect(),
        ..crate::localnet::Options::default()
    })
}

/// How the explorer is told which cluster a signature is on.
fn explorer_query(config: &Config) -> String {
    match config.chain.cluster {
        Cluster::Devnet => "?cluster=devnet".to_owned(),
        Cluster::Testnet => "?cluster=testnet".to_owned(),
        Cluster::Local => {
            let url = url::form_urlencoded::byte_serialize(config.chain.rpc_url.expose().as_bytes());
            format!("?cluster=custom&customUrl={}", url.collect::<String>())
        }
    }
}

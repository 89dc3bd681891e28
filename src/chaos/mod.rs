//! Chaos: a proxy between a client and a Solana endpoint that does what networks and nodes do on a bad day.
//!
//! HTTP JSON-RPC and the pubsub WebSocket pass through it. [`Rule`]s say which messages suffer which [`Fault`], and
//! [`Limits`] refuse what a public endpoint would refuse. Both are data, and all chance comes from one seed: the same
//! seed, rules and calls give the same faults.
//!
//! Owns its ports, its tasks and its rules. Listens on this machine only. Knows nothing of swapd: it imports no other
//! module, and whatever talks to it sees two URLs.

mod alter;
mod call;
mod counts;
mod fault;
mod http;
mod late;
mod limits;
mod node;
mod plan;
mod refusal;
mod rule;
mod socket;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use counts::Counter;
pub use counts::{Counts, MethodCounts};
pub use fault::{Fault, Lateness, Refusal, Seen, Which};
use late::Late;
use limits::Gate;
pub use limits::Limits;
use node::Node;
use plan::Plan;
pub use plan::RuleId;
pub use rule::{Rule, Rules, When};

/// Connections open at once; further ones are closed at once.
const CONNECTIONS: usize = 1_024;
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What to put the proxy in front of, and how it starts. No `Debug`: a URL may hold a key.
#[derive(Clone)]
pub struct Options {
    /// The node's JSON-RPC.
    pub rpc_url: String,
    /// The node's WebSocket.
    pub ws_url: String,
    /// Where the proxy's JSON-RPC listens, on a loopback address; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where the proxy's WebSocket listens, on a loopback address; port 0 takes any free one.
    pub ws_listen: SocketAddr,
    /// Where all chance comes from.
    pub seed: u64,
    /// In force from the start.
    pub rules: Vec<Rule>,
    /// What is refused with HTTP 429; `None` refuses nothing.
    pub limits: Option<Limits>,
}

impl Options {
    /// In front of a node, on free ports, without rules and limits.
    pub fn new(rpc_url: &str, ws_url: &str) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            rpc_url: rpc_url.to_owned(),
            ws_url: ws_url.to_owned(),
            listen,
            ws_listen: listen,
            seed: 0,
            rules: Vec::new(),
            limits: None,
        }
    }
}

/// Why there is no proxy, or no such rule.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// Not a URL of the right scheme. Only the option is named: the URL may hold a key.
    #[error("{0} is no URL that a proxy can be put in front of")]
    Url(&'static str),
    /// Faults are for this machine.
    #[error("{0} is not a loopback address")]
    NotLoopback(SocketAddr),
    /// The port is taken or forbidden.
    #[error("cannot listen on {address}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The HTTP client cannot be made.
    #[error("no HTTP client")]
    Client(#[source] reqwest::Error),
    /// There is no rules file of this name.
    #[error("there is no file {0}")]
    NoFile(PathBuf),
    /// A rule cannot be read, or could never do what it says.
    #[error("a rule makes no sense: {0}")]
    Rule(String),
}

/// A running proxy. Ends with `stop`; dropped, it is cut off.
pub struct Chaos {
    shared: Arc<Shared>,
    address: SocketAddr,
    ws_address: SocketAddr,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

/// What every connection needs.
struct Shared {
    node: Node,
    ws_url: String,
    plan: Plan,
    gate: Gate,
    counts: Counter,
    late: Late,
    /// Changes with every cut.
    cuts: watch::Sender<u64>,
    room: Arc<Semaphore>,
}

impl Shared {
    fn cut_sockets(&self) {
        self.counts.cut();
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Connections open now.
    fn open(&self) -> usize {
        CONNECTIONS - self.room.available_permits()
    }
}

impl Chaos {
    /// Listens, and starts to forward.
    ///
    /// # Errors
    /// When an option makes no sense or a port cannot be had.
    pub async fn start(options: Options) -> Result<Self, ChaosError> {
        let ws = url::Url::parse(&options.ws_url).map_err(|_| ChaosError::Url("ws_url"))?;
        if !matches!(ws.scheme(), "ws" | "wss") {
            return Err(ChaosError::Url("ws_url"));
        }
        let (late, kept) = Late::new();
        let shared = Arc::new(Shared {
            node: Node::new(&options.rpc_url)?,
            ws_url: options.ws_url,
            plan: Plan::new(options.seed),
            gate: Gate::new(options.limits),
            counts: Counter::default(),
            late,
            cuts: watch::Sender::new(0),
            room: Arc::new(Semaphore::new(CONNECTIONS)),
        });
        for rule in options.rules {
            shared.plan.add(rule)?;
        }
        let (listener, address) = listen(options.listen).await?;
        let (ws_listener, ws_address) = listen(options.ws_listen).await?;
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(http::serve(listener, shared.clone(), shutdown.clone()));
        tasks.spawn(socket::serve(ws_listener, shared.clone(), shutdown.clone()));
        tasks.spawn(socket::cut_periodically(shared.clone(), shutdown.clone()));
        tasks.spawn(late::deliver(kept, shared.clone(), shutdown.clone()));
        Ok(Self { shared, address, ws_address, shutdown, tasks })
    }

    /// Where the proxy's JSON-RPC listens.
    pub fn rpc_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where the proxy's WebSocket listens.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.ws_address)
    }

    /// Puts a rule in force, behind the others.
    ///
    /// # Errors
    /// When it could never do what it says.
    pub fn add(&self, rule: Rule) -> Result<RuleId, ChaosError> {
        self.shared.plan.add(rule)
    }

    /// Ends one rule. What it has delayed stays delayed.
    pub fn remove(&self, rule: RuleId) {
        self.shared.plan.remove(rule);
    }

    /// Ends all rules. Limits stay.
    pub fn clear(&self) {
        self.shared.plan.clear();
    }

    /// Cuts every open socket, without a closing frame. New ones are accepted.
    pub fn cut_sockets(&self) {
        self.shared.cut_sockets();
    }

    /// What became of all messages so far.
    pub fn counts(&self) -> Counts {
        self.shared.counts.now()
    }

    /// Cuts off what is going on and gives the ports back.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIMEOUT, ended).await.is_err() {
            tracing::warn!("the proxy's tasks did not end in time and are cut off");
            self.tasks.abort_all();
        }
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ChaosError> {
    if !address.ip().is_loopback() {
        return Err(ChaosError::NotLoopback(address));
    }
    let refused = |source| ChaosError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

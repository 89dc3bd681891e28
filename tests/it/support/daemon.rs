//! The real daemon as its users run it: a process of its own, a chain beside it, and a client that talks HTTP.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use solana_sdk::pubkey::Pubkey;
use swapd::{
    chain::{Rpc, Wallet},
    localnet::{Localnet, Options, Scenario},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::watch,
};

use super::within_patience;

/// A chain with funded wallets that outlives any daemon, and a folder for the daemon's files.
pub struct World {
    pub chain: Localnet,
    pub wallets: Vec<Pubkey>,
    pub rpc: Rpc,
    dir: TempDir,
}

/// What a daemon's configuration says beside the chain.
#[derive(Clone)]
pub struct Setup {
    pub store: String,
    pub queue: String,
    pub events: String,
    /// More TOML in the section `api`.
    pub api: String,
    /// More TOML, in sections that the rest does not use.
    pub more: String,
    /// JSON-RPC and WebSocket in place of the chain's own: something that stands in front of it.
    pub endpoint: Option<(String, String)>,
}

impl World {
    /// Slots of `slot`, and this many wallets with SOL, USDC and LEVY.
    pub async fn start(slot: Duration, wallets: usize) -> Self {
        Self::with(Options { slot_time: slot, ..Options::default() }, wallets).await
    }

    pub async fn with(options: Options, wallets: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        let wallets: Vec<_> =
            (0..wallets).map(|n| Wallet::create(&keys, &format!("wallet-{n}")).unwrap().address()).collect();
        let mut options = Options { wallets: wallets.clone(), ..options };
        // A genuine binary in place of the model: it insists on the id it was built for, which is mainnet's.
        if let Ok(file) = std::env::var("SWAPD_CPMM_SO") {
            options.cpmm_program = "CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C".parse().unwrap();
            options.programs.push((options.cpmm_program, PathBuf::from(file)));
        }
        let chain = tokio::task::spawn_blocking(move || Localnet::start(options)).await.unwrap().unwrap();
        let rpc = Rpc::new(chain.rpc_url().to_owned(), Duration::from_secs(10));
        Self { chain, wallets, rpc, dir }
    }

    /// Puts a fresh chain in place of the old one: other genesis, nothing of what was.
    pub async fn restart_chain(&mut self) {
        let options = Options { wallets: self.wallets.clone(), ..Options::default() };
        self.chain = tokio::task::spawn_blocking(move || Localnet::start(options)).await.unwrap().unwrap();
        self.rpc = Rpc::new(self.chain.rpc_url().to_owned(), Duration::from_secs(10));
    }

    pub fn keys(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    pub fn scenario(&self) -> &Scenario {
        self.chain.scenario()
    }

    /// SQLite in the world's folder, queue and bus in memory.
    pub fn embedded(&self) -> Setup {
        Setup {
            store: format!("sqlite:{}", self.dir.path().join("swapd.db").display()),
            queue: "memory:".into(),
            events: "local:".into(),
            api: String::new(),
            more: String::new(),
            endpoint: None,
        }
    }

    /// PostgreSQL and Redis at these URLs, under a prefix of its own.
    pub fn shared(&self, postgres: &str, redis: &str) -> Setup {
        Setup {
            store: postgres.to_owned(),
            queue: redis.to_owned(),
            events: redis.to_owned(),
            api: String::new(),
            more: String::new(),
            endpoint: None,
        }
    }

    /// Lamports of a wallet.
    pub async fn lamports(&self, wallet: &Pubkey) -> u64 {
        self.account(wallet).await.map_or(0, |(lamports, _)| lamports)
    }

    /// Base units of a token in the wallet's associated account.
    pub async fn tokens(&self, wallet: &Pubkey, symbol: &str) -> u64 {
        let token = self.scenario().token(symbol).unwrap();
        let account = self.scenario().token_account(wallet, token);
        self.account(&account).await.map_or(0, |(_, data)| swapd::engine::treasury::token_amount(&data).unwrap())
    }

    async fn account(&self, key: &Pubkey) -> Option<(u64, Vec<u8>)> {
        let snapshot = self.rpc.accounts(&[*key]).await.unwrap();
        snapshot.accounts.into_iter().next().unwrap().map(|account| (account.lamports, account.data))
    }

    /// The configuration file of a daemon in this world.
    pub fn config(&self, setup: &Setup) -> PathBuf {
        let scenario = self.scenario();
        let pools: Vec<_> = scenario.pools.iter().map(|pool| format!("\"{}\"", pool.address)).collect();
        let tokens: String = scenario
            .tokens
            .iter()
            .map(|token| format!("[[tokens]]\nsymbol = \"{}\"\nmint = \"{}\"\n", token.symbol, token.mint))
            .collect();
        let prefix = self.dir.path().file_name().unwrap().to_string_lossy().into_owned();
        let text = format!(
            "{more}\n[chain]\ncluster = \"local\"\nrpc_url = \"{rpc}\"\nws_url = \"{ws}\"\nstatus_poll = \"50ms\"\n\
             height_poll = \"200ms\"\nrebroadcast = \"500ms\"\nrebroadcast_per_order = \"0ms\"\n\
             [store]\nurl = \"{store}\"\n[queue]\nurl = \"{queue}\"\nprefix = \"{prefix}:\"\n\
             [events]\nurl = \"{events}\"\n[api]\nlisten = \"127.0.0.1:0\"\n{api}\n[wallets]\ndir = \"{keys}\"\n\
             [raydium_cpmm]\nprogram = \"{program}\"\npools = [{pools}]\n{tokens}",
            more = setup.more,
            api = setup.api,
            rpc = setup.endpoint.as_ref().map_or(self.chain.rpc_url(), |(rpc, _)| rpc),
            ws = setup.endpoint.as_ref().map_or(self.chain.ws_url(), |(_, ws)| ws),
            store = setup.store,
            queue = setup.queue,
            events = setup.events,
            keys = self.keys().display(),
            program = scenario.cpmm_program,
            pools = pools.join(", "),
        );
        let path = self.dir.path().join(format!("{}.toml", swapd::domain::OrderId::new()));
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// A daemon process. Dropping it kills it.
pub struct Daemon {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    ready: watch::Receiver<Seen>,
    http: reqwest::Client,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    address: Option<SocketAddr>,
    ready: bool,
    ended: bool,
}

impl Daemon {
    /// Starts one and waits until it says that it is ready.
    pub async fn start(world: &World, setup: &Setup, role: &str) -> Self {
        let mut daemon = Self::spawn(&world.config(setup), role);
        daemon.is_ready().await;
        daemon
    }

    /// Waits until it says that it is ready.
    pub async fn is_ready(&mut self) {
        let seen = within_patience("the daemon's start", self.ready.wait_for(|seen| seen.ready || seen.ended)).await;
        let ended = seen.is_ok_and(|seen| seen.ended && !seen.ready);
        assert!(!ended, "the daemon ended at its start:\n{}", self.log());
    }

    /// Everything it has said, after it has ended.
    pub async fn whole_log(&mut self) -> String {
        let _ = within_patience("the daemon's last words", self.ready.wait_for(|seen| seen.ended)).await;
        self.log()
    }

    /// Starts one with a configuration file, without waiting for anything.
    pub fn spawn(config: &Path, role: &str) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_swapd")), config, role)
    }

    /// The same, started by a command that hands its arguments on to the daemon.
    pub fn run(mut command: Command, config: &Path, role: &str) -> Self {
        let mut child = command
            .args(["--log-json", "--config"])
            .arg(config)
            .args(["serve", "--role", role])
            .env("SWAPD_LOG", "info,swapd=debug,sqlx=error")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let (sender, ready) = watch::channel(Seen::default());
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let kept = log.clone();
        // Ends with the process whose output it reads.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let fields = serde_json::from_str::<Value>(&line).map(|it| it["fields"].clone()).unwrap_or_default();
                match fields["message"].as_str() {
                    Some("listening") => sender.send_modify(|seen| {
                        seen.address = fields["address"].as_str().and_then(|text| text.parse().ok());
                    }),
                    Some("ready") => sender.send_modify(|seen| seen.ready = true),
                    _ => {}
                }
                kept.lock().unwrap().push(line);
            }
            sender.send_modify(|seen| seen.ended = true);
        });
        Self { child, log, ready, http: reqwest::Client::new() }
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub fn url(&self) -> String {
        let address = self.ready.borrow().address;
        format!("http://{}", address.unwrap_or_else(|| panic!("it serves no API:\n{}", self.log())))
    }

    pub fn ws(&self) -> String {
        self.url().replacen("http", "ws", 1)
    }

    /// What it said in `field` of its last line with this message.
    pub fn logged(&self, message: &str, field: &str) -> String {
        let log = self.log.lock().unwrap();
        let lines = log.iter().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found = lines.map(|line| line["fields"].clone()).find(|fields| fields["message"] == message);
        found.and_then(|fields| Some(fields[field].as_str()?.to_owned())).expect("it has not said that")
    }

    /// Everything the daemon has said, for a failing test.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Ends it as a power cut would.
    pub async fn kill_9(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to stop, as Ctrl-C or an orchestrator does.
    pub async fn terminate(&mut self) -> ExitStatus {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        self.wait().await
    }

    pub async fn wait(&mut self) -> ExitStatus {
        within_patience("the daemon's end", self.child.wait()).await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = self.http.post(format!("{}{path}", self.url())).json(body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.http.get(format!("{}{path}", self.url())).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Posts an order that must be accepted; its id.
    pub async fn order(&self, body: &Value) -> String {
        let (status, answer) = self.post("/v1/orders", body).await;
        assert_eq!(status, 201, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Waits until the order has ended and its amounts are known; the order with its history.
    pub async fn ended(&self, id: &str) -> Value {
        let what = format!("order {id} to end");
        let looked = tokio::time::timeout(super::PATIENCE * 4, async {
            loop {
                let (_, order) = self.get(&format!("/v1/orders/{id}")).await;
                let read = order["status"] != "confirmed" || !order["filled"].is_null();
                if matches!(order["status"].as_str(), Some("confirmed" | "failed" | "cancelled")) && read {
                    return order;
                }
                tokio::time::sleep(Duration::from_millis(20)).await; // between looks; nothing relies on its length
            }
        });
        match looked.await {
            Ok(order) => order,
            Err(_) => panic!("waited in vain for {what}:\n{}", self.log()),
        }
    }
}

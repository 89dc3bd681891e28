//! The real daemon as its users run it: a process of its own, a chain beside it, and a client that talks HTTP.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
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

const QUICK_POLLS: &str =
    "status_poll = \"50ms\"\nheight_poll = \"200ms\"\nrebroadcast = \"500ms\"\nrebroadcast_per_order = \"0ms\"\n";

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
    /// How many jobs may wait.
    pub max_depth: u64,
    /// JSON-RPC and WebSocket in place of the chain's own: something that stands in front of it.
    pub endpoint: Option<(String, String)>,
    /// More of the section `chain`: quick polls, unless something else is said.
    pub chain: String,
    /// What the configuration is laid over.
    pub profile: Option<&'static str>,
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
            max_depth: 10_000,
            endpoint: None,
            chain: QUICK_POLLS.into(),
            profile: None,
        }
    }

    /// The same with a store of its own.
    pub fn embedded_anew(&self) -> Setup {
        let file = self.dir.path().join(format!("{}.db", swapd::domain::OrderId::new()));
        Setup { store: format!("sqlite:{}", file.display()), ..self.embedded() }
    }

    /// PostgreSQL and Redis at these URLs, under a prefix of its own.
    pub fn shared(&self, postgres: &str, redis: &str) -> Setup {
        Setup {
            store: postgres.to_owned(),
            queue: redis.to_owned(),
            events: redis.to_owned(),
            api: String::new(),
            more: String::new(),
            max_depth: 10_000,
            endpoint: None,
            chain: QUICK_POLLS.into(),
            profile: None,
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

    /// Puts lamports into a wallet, whatever it had. No transaction explains it.
    pub async fn set_lamports(&self, wallet: &Pubkey, lamports: u64) {
        self.set_account(wallet, json!({"lamports": lamports})).await;
    }

    /// Changes the cluster's rent: what an account must hold for each of its bytes and 128 more. The chain starts with
    /// 6,960 lamports.
    pub async fn set_rent(&self, lamports_per_byte: u64) {
        // The sysvar: lamports per byte and year, years (a float), the share that is burnt.
        let mut data = (lamports_per_byte / 2).to_le_bytes().to_vec();
        data.extend(2_f64.to_le_bytes());
        data.push(50);
        let data: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
        self.set_account(&solana_sdk::sysvar::rent::ID, json!({"data": data})).await;
        assert_eq!(self.rpc.rent_exemption(0).await.unwrap().get(), lamports_per_byte * 128);
    }

    async fn set_account(&self, key: &Pubkey, account: Value) {
        let params = json!([key.to_string(), account]);
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "surfnet_setAccount", "params": params});
        let answer = reqwest::Client::new().post(self.chain.rpc_url()).json(&call).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert!(answer.get("error").is_none(), "{answer}");
    }

    async fn account(&self, key: &Pubkey) -> Option<(u64, Vec<u8>)> {
        let snapshot = self.rpc.accounts(&[*key]).await.unwrap();
        snapshot.accounts.into_iter().next().unwrap().map(|account| (account.lamports, account.data))
    }

    /// The configuration of a daemon in this world: a file, over a profile if there is one.
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
            "{more}\n[chain]\ncluster = \"local\"\nrpc_url = \"{rpc}\"\nws_url = \"{ws}\"\n{chain}\
             [store]\nurl = \"{store}\"\n[queue]\nurl = \"{queue}\"\nprefix = \"{prefix}:\"\nmax_depth = {depth}\n\
             [events]\nurl = \"{events}\"\n[api]\nlisten = \"127.0.0.1:0\"\n{api}\n[wallets]\ndir = \"{keys}\"\n\
             [raydium_cpmm]\nprogram = \"{program}\"\npools = [{pools}]\n{tokens}",
            depth = setup.max_depth,
            more = setup.more,
            api = setup.api,
            chain = setup.chain,
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
        match setup.profile {
            Some(profile) => format!("{profile},{}", path.display()).into(),
            None => path,
        }
    }
}

/// Runs another command of the program to its end, with a configuration file.
pub async fn command(config: &Path, words: &[&str]) -> (ExitStatus, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swapd"));
    command.arg("--config").arg(config).args(words).kill_on_drop(true);
    let output = within_patience("a command", command.output()).await.unwrap();
    (output.status, format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
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
        self.all_logged(message, field).pop().expect("it has not said that")
    }

    /// What it said in `field` of each line with this message.
    pub fn all_logged(&self, message: &str, field: &str) -> Vec<String> {
        let log = self.log.lock().unwrap();
        let lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let said = lines.map(|line| line["fields"].clone()).filter(|fields| fields["message"] == message);
        said.filter_map(|fields| Some(fields[field].as_str()?.to_owned())).collect()
    }

    /// The most memory it has had resident, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
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

    /// Waits until the order has had this event; the order.
    pub async fn had(&self, id: &str, event: &str) -> Value {
        super::eventually(&format!("order {id} to be {event}"), || async {
            let (_, order) = self.get(&format!("/v1/orders/{id}")).await;
            let had = order["history"].as_array().unwrap().iter().any(|it| it["event"] == event);
            if had { Ok(order) } else { Err(()) }
        })
        .await
    }

    /// Waits until the order has ended and its amounts are known; the order with its history.
    pub async fn ended(&self, id: &str) -> Value {
        match self.try_ended(id).await {
            Ok(order) => order,
            Err(order) => panic!("waited in vain for an order to end: {order}\n{}", self.log()),
        }
    }

    /// The same; as an error, the order that did not end.
    pub async fn try_ended(&self, id: &str) -> Result<Value, Value> {
        let mut last = Value::Null;
        let looked = tokio::time::timeout(super::PATIENCE * 4, async {
            loop {
                last = self.get(&format!("/v1/orders/{id}")).await.1;
                let read = last["status"] != "confirmed" || !last["filled"].is_null();
                if matches!(last["status"].as_str(), Some("confirmed" | "failed" | "cancelled")) && read {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await; // between looks; nothing relies on its length
            }
        });
        if looked.await.is_ok() { Ok(last) } else { Err(last) }
    }
}

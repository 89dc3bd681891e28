//! Localnet: a Solana chain inside this process, with pools to trade on (cargo feature `localnet`).
//!
//! Surfpool gives the runtime, JSON-RPC, WebSocket, slots, blockhash expiry and faucet; a native `model` of
//! Raydium CPMM (or a genuine binary, if one is at hand) gives the program; `scenario` says which mints,
//! pools and wallets are there, and `seed` writes them. The rest of swapd sees two URLs and a [`Scenario`].
//!
//! Owns the chain's threads and ports. Binds 127.0.0.1 only, keeps everything in memory, and forgets it all
//! at the end: never keep a journal across a restart of the chain.

mod events;
mod ids;
mod model;
mod scenario;
mod seed;
mod surfnet;

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use solana_sdk::pubkey::Pubkey;
use url::Url;

pub use scenario::{FeeConfig, Pool, Scenario, Token, TransferFee};
pub use seed::Allowance;
use surfnet::{Program, Surfnet};

use crate::lock::lock;

/// Two chains must not be offered the same free port. Only the start is serial.
static STARTING: Mutex<()> = Mutex::new(());

/// How often a start is tried again when someone took a port that was free a moment ago.
const PORT_ATTEMPTS: usize = 4;

/// What to run. Plain values: knows nothing of swapd's config. No `Debug`: the cluster's URL may hold a key.
#[derive(Clone)]
pub struct Options {
    /// Length of a slot. Clusters have had 400 ms and go down to 200; a blockhash lives for about 150 of them.
    pub slot_time: Duration,
    /// Port of JSON-RPC; 0 takes any free one.
    pub rpc_port: u16,
    /// Port of the WebSocket; 0 takes any free one.
    pub ws_port: u16,
    /// Where the CPMM program is. Configs and pools are derived from it.
    pub cpmm_program: Pubkey,
    /// Genuine program binaries. One at `cpmm_program` replaces the model.
    pub programs: Vec<(Pubkey, PathBuf)>,
    /// A cluster's RPC from which missing accounts are fetched as they are asked for. Without it the chain
    /// is offline. With it the CPMM program is the cluster's own, not the model, and the genesis hash too.
    pub clone_from: Option<Url>,
    /// Who starts with money.
    pub wallets: Vec<Pubkey>,
    /// How much each of them starts with.
    pub allowance: Allowance,
}

impl Default for Options {
    /// Offline, slots of 200 ms, any free ports, the model at Raydium's devnet id, no wallets.
    fn default() -> Self {
        Self {
            slot_time: Duration::from_millis(200),
            rpc_port: 0,
            ws_port: 0,
            cpmm_program: ids::CPMM_DEVNET,
            programs: Vec::new(),
            clone_from: None,
            wallets: Vec::new(),
            allowance: Allowance::default(),
        }
    }
}

/// Why there is no chain, or why it did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum LocalnetError {
    /// Shorter than a millisecond, or longer than a minute.
    #[error("a slot of {0:?} is not between one millisecond and one minute")]
    SlotTime(Duration),
    /// A program file cannot be read.
    #[error("cannot read program {path}")]
    ProgramFile {
        /// The file that was named.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program file is no program this runtime can load.
    #[error("cannot load program {path}: {reason}")]
    ProgramRefused {
        /// The file that was named.
        path: PathBuf,
        /// What the runtime said.
        reason: String,
    },
    /// No port could be had.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Port {
        /// The port that was asked for; 0 for any.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// Surfpool ended instead of starting.
    #[error("the embedded chain did not start: {0}")]
    Chain(String),
    /// Surfpool neither started nor ended in time.
    #[error("the embedded chain did not answer within {0:?}")]
    NotReady(Duration),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// The chain has ended.
    #[error("the embedded chain has ended")]
    Ended,
    /// Only the scenario's tokens can be handed out.
    #[error("mint {0} is not one of the scenario's")]
    UnknownMint(Pubkey),
}

/// A running chain. Ends with `stop`, or when dropped.
#[derive(Debug)]
pub struct Localnet {
    scenario: Scenario,
    rpc_url: String,
    ws_url: String,
    surfnet: Surfnet,
}

impl Localnet {
    /// Starts the chain and returns when its RPC answers. Blocks for some hundred milliseconds: call it from
    /// `spawn_blocking` where that matters.
    pub fn start(options: Options) -> Result<Self, LocalnetError> {
        let slots = Duration::from_millis(1)..=Duration::from_secs(60);
        if !slots.contains(&options.slot_time) {
            return Err(LocalnetError::SlotTime(options.slot_time));
        }
        let programs = read_programs(&options)?;
        let scenario = Scenario::new(options.cpmm_program);
        let accounts = seed::accounts(&scenario, &options.wallets, options.allowance);

        let _one_at_a_time = lock(&STARTING);
        let any_port = options.rpc_port == 0 || options.ws_port == 0;
        let mut attempt = 1;
        let (surfnet, rpc_port, ws_port) = loop {
            let (rpc, ws) = surfnet::free_ports(options.rpc_port, options.ws_port)?;
            match Surfnet::start(&options, (rpc, ws), &programs, &accounts) {
                Ok(surfnet) => break (surfnet, rpc, ws),
                Err(LocalnetError::Chain(reason)) if any_port && attempt < PORT_ATTEMPTS => {
                    tracing::debug!(%reason, attempt, "embedded chain did not start, taking other ports");
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        };
        tracing::info!(rpc_port, ws_port, slot_time = ?options.slot_time, "embedded chain is up");
        Ok(Self {
            scenario,
            rpc_url: format!("http://127.0.0.1:{rpc_port}"),
            ws_url: format!("ws://127.0.0.1:{ws_port}"),
            surfnet,
        })
    }

    /// Where JSON-RPC listens.
    pub fn rpc_url(&self) -> &str {
        &self.rpc_url
    }

    /// Where the WebSocket listens.
    pub fn ws_url(&self) -> &str {
        &self.ws_url
    }

    /// What was on the chain when it started.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Adds tokens of the scenario to the owner's associated account, which is created where it is missing,
    /// and gives its address. SOL proper comes from `requestAirdrop`; this gives wrapped SOL for SOL's mint.
    /// No transaction explains the money. Blocks for a moment.
    pub fn fund_tokens(&self, owner: &Pubkey, mint: &Pubkey, amount: u64) -> Result<Pubkey, LocalnetError> {
        let tokens = &self.scenario.tokens;
        let token = tokens.iter().find(|token| token.mint == *mint).ok_or(LocalnetError::UnknownMint(*mint))?;
        self.surfnet.fund(owner, token, amount)
    }

    /// Ends the chain and gives its ports back, within two seconds.
    pub fn stop(self) {
        drop(self);
    }
}

fn read_programs(options: &Options) -> Result<Vec<Program>, LocalnetError> {
    let mut programs = Vec::new();
    for (id, path) in &options.programs {
        let bytes = std::fs::read(path).map_err(|source| LocalnetError::ProgramFile { path: path.clone(), source })?;
        programs.push(Program::Binary { id: *id, path: Path::to_path_buf(path), bytes });
    }
    let genuine = options.programs.iter().any(|(id, _)| *id == options.cpmm_program);
    if !genuine && options.clone_from.is_none() {
        programs.push(Program::Model { id: options.cpmm_program });
    }
    Ok(programs)
}

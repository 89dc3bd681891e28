//! Surfnet: Surfpool on threads of its own.
//!
//! Owns the seam to Surfpool and its newer Solana crates: what crosses it is bytes, numbers and addresses.
//! Owns also start, readiness and the end. Never decides
//! what is on the chain.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use solana_program_runtime::solana_sbpf::program::BuiltinFunctionDefinition;
use solana_sdk::pubkey::Pubkey;
use surfpool_core::{
    runloops::start_local_surfnet_runloop,
    solana_account::Account,
    surfnet::{
        GeyserEvent,
        locker::SurfnetSvmLocker,
        svm::{SurfnetSvm, SurfnetSvmConfig},
    },
};
use surfpool_types::{
    ClockCommand, RpcConfig, SerialVmMutationResult, SerialVmMutationTask, SimnetCommand, SimnetConfig, SimnetEvent,
    SurfpoolConfig,
};

use super::events::{self, Redaction};
use super::scenario::Token;
use super::seed::{self, Seeded};
use super::{LocalnetError, Options, ids, model};

const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_millis(1_500);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Surfpool's clock thread cannot be ended, only slowed down: after a stop it wakes up once a year.
const PARKED_CLOCK_MS: u64 = 365 * 24 * 3_600 * 1_000;

/// A program to put on the chain.
pub(super) enum Program {
    /// The native model of CPMM.
    Model { id: Pubkey },
    /// A genuine binary.
    Binary { id: Pubkey, path: PathBuf, bytes: Vec<u8> },
}

/// A running Surfpool.
#[derive(Debug)]
pub(super) struct Surfnet {
    commands: Sender<SimnetCommand>,
    locker: Handle,
    ports: (u16, u16),
    chain: Option<JoinHandle<()>>,
    /// Says how the chain ended. Disconnected when it ended without a word.
    ended: Receiver<Result<(), String>>,
    events: Option<JoinHandle<()>>,
    /// Dropped to end the event thread.
    stop_events: Option<Sender<()>>,
}

/// The chain's state; without a `Debug` that would print all of it.
struct Handle(SurfnetSvmLocker);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

impl Surfnet {
    /// Starts Surfpool and waits until its RPC answers.
    pub fn start(
        options: &Options,
        ports: (u16, u16),
        programs: &[Program],
        accounts: &[Seeded],
    ) -> Result<Self, LocalnetError> {
        let slot_time = u64::try_from(options.slot_time.as_millis()).unwrap_or(u64::MAX);
        let (mut svm, simnet_events, geyser_events) = new_svm(slot_time)?;
        for program in programs {
            add_program(&mut svm, program)?;
        }
        for account in accounts {
            put(&mut svm, account)?;
        }
        let locker = SurfnetSvmLocker::new(svm);
        let (commands, commands_rx) = crossbeam_channel::unbounded();
        let (stop_events, stopped) = crossbeam_channel::bounded(0);
        let redaction = Redaction::of(options.clone_from.as_ref());
        let told = redaction.clone();
        let (ready_tx, ready) = crossbeam_channel::bounded(1);
        let events = spawn("localnet-events", move || {
            events::drain(&simnet_events, &stopped, &ready_tx, &told);
        })?;
        let (ended_tx, ended) = crossbeam_channel::bounded(1);
        let config = surfpool_config(options, ports, slot_time);
        let (chain_locker, chain_commands) = (locker.clone(), commands.clone());
        let chain = spawn("localnet-chain", move || {
            let outcome = run_chain(chain_locker, config, chain_commands, commands_rx, geyser_events);
            let _ = ended_tx.send(outcome.map_err(|reason| redaction.apply(&reason)));
        })?;
        let surfnet = Self {
            commands,
            locker: Handle(locker),
            ports,
            chain: Some(chain),
            ended,
            events: Some(events),
            stop_events: Some(stop_events),
        };
        surfnet.wait_until_ready(&ready)?;
        Ok(surfnet)
    }

    /// Adds to an owner's token account, between two transactions.
    pub fn fund(&self, owner: &Pubkey, token: &Token, amount: u64) -> Result<Pubkey, LocalnetError> {
        let address = ids::token_account(owner, &token.mint, &token.program);
        let (locker, owner, token) = (self.locker.0.clone(), *owner, token.clone());
        let (answer_tx, answer) = crossbeam_channel::bounded(1);
        let task = SerialVmMutationTask::new(move || {
            Box::pin(async move {
                let done = locker.with_svm_writer(move |svm| add_tokens(svm, &owner, &token, amount));
                let _ = answer_tx.send(done);
                SerialVmMutationResult::NoBlock
            })
        });
        self.commands.send(SimnetCommand::ProcessSerialVmMutation(task)).map_err(|_| LocalnetError::Ended)?;
        answer.recv_timeout(ANSWER_TIMEOUT).map_err(|_| LocalnetError::Ended)??;
        Ok(address)
    }

    fn wait_until_ready(&self, ready: &Receiver<()>) -> Result<(), LocalnetError> {
        let deadline = Instant::now() + START_TIMEOUT;
        crossbeam_channel::select! {
            recv(ready) -> started => started.map_err(|_| LocalnetError::Ended)?,
            recv(self.ended) -> outcome => return Err(match outcome {
                Ok(Err(reason)) => LocalnetError::Chain(reason),
                Ok(Ok(())) | Err(_) => LocalnetError::Ended,
            }),
            default(START_TIMEOUT) => return Err(LocalnetError::NotReady(START_TIMEOUT)),
        }
        while Instant::now() < deadline {
            if is_healthy(self.ports.0) && !is_free(self.ports.1) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(LocalnetError::NotReady(START_TIMEOUT))
    }
}

impl Drop for Surfnet {
    fn drop(&mut self) {
        let deadline = Instant::now() + STOP_TIMEOUT;
        let park = ClockCommand::UpdateSlotInterval(PARKED_CLOCK_MS);
        let _ = self.commands.send(SimnetCommand::CommandClock(None, park));
        let _ = self.commands.send(SimnetCommand::Terminate(None));
        match self.ended.recv_deadline(deadline) {
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!("embedded chain does not end, leaving its thread behind");
            }
            Ok(_) | Err(RecvTimeoutError::Disconnected) => {
                if let Some(chain) = self.chain.take() {
                    let _ = chain.join();
                }
            }
        }
        // Surfpool closes its servers on a thread of their own.
        while !(is_free(self.ports.0) && is_free(self.ports.1)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(self.stop_events.take());
        if let Some(events) = self.events.take() {
            let _ = events.join();
        }
    }
}

/// Two different ports nobody listens on. A port that is asked for by number is only tried.
pub(super) fn free_ports(rpc: u16, ws: u16) -> Result<(u16, u16), LocalnetError> {
    let bind = |port| {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .and_then(|listener| Ok((listener.local_addr()?.port(), listener)))
            .map_err(|source| LocalnetError::Port { port, source })
    };
    // Both are held until both are known.
    let (rpc, _rpc_listener) = bind(rpc)?;
    let (ws, _ws_listener) = bind(ws)?;
    Ok((rpc, ws))
}

/// A fresh Surfpool runtime. Instruction profiling is off: it runs every instruction twice.
pub(super) fn new_svm(
    slot_time: u64,
) -> Result<(SurfnetSvm, Receiver<SimnetEvent>, Receiver<GeyserEvent>), LocalnetError> {
    SurfnetSvm::new(SurfnetSvmConfig {
        slot_time,
        instruction_profiling_enabled: false,
        max_profiles: 1,
        ..SurfnetSvmConfig::default()
    })
    .map_err(|error| LocalnetError::Chain(error.to_string()))
}

/// Puts a program where it can be called.
pub(super) fn add_program(svm: &mut SurfnetSvm, program: &Program) -> Result<(), LocalnetError> {
    match program {
        Program::Model { id } => {
            svm.inner.svm.add_builtin(id.to_bytes().into(), model::Entrypoint::register);
            Ok(())
        }
        Program::Binary { id, path, bytes } => svm
            .inner
            .svm
            .add_program(id.to_bytes(), bytes)
            .map_err(|error| LocalnetError::ProgramRefused { path: path.clone(), reason: error.to_string() }),
    }
}

/// Puts an account on the chain, whatever was there.
pub(super) fn put(svm: &mut SurfnetSvm, seeded: &Seeded) -> Result<(), LocalnetError> {
    let account = Account {
        lamports: seeded.lamports,
        data: seeded.data.clone(),
        owner: seeded.owner.to_bytes().into(),
        executable: false,
        rent_epoch: u64::MAX,
    };
    svm.set_account(&seeded.address.to_bytes().into(), account).map_err(|error| LocalnetError::Chain(error.to_string()))
}

fn add_tokens(svm: &mut SurfnetSvm, owner: &Pubkey, token: &Token, amount: u64) -> Result<(), LocalnetError> {
    let mut account = seed::wallet_token_account(owner, token, amount);
    let read = |svm: &SurfnetSvm, address: &Pubkey| {
        svm.get_account(&address.to_bytes().into()).map_err(|error| LocalnetError::Chain(error.to_string()))
    };
    if let Some(held) = read(svm, &account.address)?.filter(|held| held.data.len() >= 165) {
        let wrapped = if token.mint == ids::WRAPPED_SOL { amount } else { 0 };
        account.lamports = held.lamports.saturating_add(wrapped);
        account.data = held.data;
        add_u64(&mut account.data[64..72], amount);
    }
    put(svm, &account)?;
    if token.mint == ids::WRAPPED_SOL {
        return Ok(());
    }
    let Some(mut mint) = read(svm, &token.mint)? else {
        return Err(LocalnetError::UnknownMint(token.mint));
    };
    add_u64(&mut mint.data[36..44], amount); // supply
    svm.set_account(&token.mint.to_bytes().into(), mint).map_err(|error| LocalnetError::Chain(error.to_string()))
}

fn add_u64(bytes: &mut [u8], amount: u64) {
    let mut value = [0; 8];
    value.copy_from_slice(bytes);
    let sum = u64::from_le_bytes(value).saturating_add(amount);
    bytes.copy_from_slice(&sum.to_le_bytes());
}

fn surfpool_config(options: &Options, (rpc, ws): (u16, u16), slot_time: u64) -> SurfpoolConfig {
    SurfpoolConfig {
        simnets: vec![SimnetConfig {
            offline_mode: options.clone_from.is_none(),
            remote_rpc_url: options.clone_from.as_ref().map(ToString::to_string),
            slot_time,
            instruction_profiling_enabled: false,
            max_profiles: 1,
            ..SimnetConfig::default()
        }],
        rpc: RpcConfig {
            bind_host: Ipv4Addr::LOCALHOST.to_string(),
            bind_port: rpc,
            ws_port: ws,
            ..RpcConfig::default()
        },
        ..SurfpoolConfig::default()
    }
}

fn run_chain(
    locker: SurfnetSvmLocker,
    config: SurfpoolConfig,
    commands: Sender<SimnetCommand>,
    commands_rx: Receiver<SimnetCommand>,
    geyser_events: Receiver<GeyserEvent>,
) -> Result<(), String> {
    // Surfpool waits in place, which needs a runtime of several threads; one of them is enough.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("localnet-tokio")
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime
        .block_on(start_local_surfnet_runloop(locker, config, commands, commands_rx, geyser_events))
        .map_err(|error| error.to_string())
}

/// Whether `getHealth` says "ok".
fn is_healthy(port: u16) -> bool {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"getHealth"}"#;
    let request = format!(
        "POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = || -> std::io::Result<String> {
        let mut stream = connect(port)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    answer().is_ok_and(|answer| answer.contains(r#""result":"ok""#))
}

/// Whether nobody listens there. Asks by binding: the WebSocket server does not take a mere connection well.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_millis(200))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LocalnetError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(LocalnetError::Thread)
}

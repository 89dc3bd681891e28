//! The commands: what each takes, and the way from arguments to the parts that do the work.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use logging::Logging;
use tokio_util::sync::CancellationToken;

use crate::{
    api::openapi,
    app::{App, Role},
    config::Config,
};

/// `println!` for a command's output: when whoever reads it has heard enough (`| head`), the command ends quietly.
macro_rules! say {
    ($($words:tt)*) => {
        $crate::cli::print_line(format_args!($($words)*))
    };
}

mod chaos;
mod check;
mod client;
mod dead_letters;
#[cfg(feature = "localnet")]
mod demo;
mod fleet;
mod key;
mod loadtest;
#[cfg(feature = "localnet")]
mod localnet;
mod logging;
mod pause;
mod progress;
mod quote;
mod swap;
mod wallet;

/// Executes swap orders on Solana devnet: best price, signed once, landed once, every step streamed.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Profiles (localnet, devnet, scaled) or files, a later one laid over an earlier one.
    #[arg(long, global = true, value_delimiter = ',', env = "SWAPD_CONFIG", default_value = default_profile())]
    config: Vec<String>,
    /// Log lines as JSON.
    #[arg(long, global = true)]
    log_json: bool,
}

const fn default_profile() -> &'static str {
    if cfg!(feature = "localnet") { "localnet" } else { "devnet" }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Boot the embedded chain, swap once through the API, and show every step as it arrives.
    #[cfg(feature = "localnet")]
    Demo(demo::Arguments),
    /// Run the daemon.
    Serve {
        /// What this process does.
        #[arg(long, value_enum, default_value_t = Role::All)]
        role: Role,
    },
    /// Run the embedded chain alone, for daemons and tools that connect to it.
    #[cfg(feature = "localnet")]
    Localnet(localnet::Arguments),
    /// Give a running daemon many orders, and report what became of them and how long it took.
    Loadtest(loadtest::Arguments),
    /// Make, list and fund wallets.
    #[command(subcommand)]
    Wallet(wallet::Command),
    /// Make, list and revoke the keys of the API.
    #[command(subcommand)]
    Key(key::Command),
    /// Ask every venue what a swap would give. Needs no running daemon.
    Quote(quote::Arguments),
    /// Give a running daemon an order and follow it to its end.
    Swap(swap::Arguments),
    /// Stop trading: nothing new is signed until `resume`, by no process on this store.
    Pause {
        /// Why; shown by `/ready` and `/v1/control`.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let trading go on.
    Resume,
    /// Try everything the daemon needs and say what would happen.
    Check(check::Arguments),
    /// Show the orders a running daemon has set aside, or let them go on.
    DeadLetters(dead_letters::Arguments),
    /// Print the description of the API: OpenAPI 3.1, or a Postman collection.
    Openapi {
        /// As a Postman collection, v2.1.
        #[arg(long)]
        postman: bool,
    },
    /// Put a proxy with faults in front of a Solana endpoint, to see how its clients bear them.
    ChaosRpc(chaos::Arguments),
}

/// How much to swap, for the commands that take it.
#[derive(Debug, Args)]
pub(crate) struct SwapArguments {
    /// What to pay with: a symbol or a mint.
    token_in: String,
    /// What to get: a symbol or a mint.
    token_out: String,
    /// Pay exactly this many tokens.
    #[arg(long, required_unless_present = "amount_out")]
    amount_in: Option<String>,
    /// Get exactly this many tokens.
    #[arg(long, conflicts_with = "amount_in")]
    amount_out: Option<String>,
    /// How far the fill may be from the first quote, in basis points.
    #[arg(long)]
    slippage_bps: Option<i64>,
}

/// Runs a command.
///
/// # Errors
/// One clear sentence, with its causes.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let quiet = !matches!(cli.command, Command::Serve { .. });
    // Held to the end: what is not exported yet goes out when it is dropped.
    let _logging = Logging::start(cli.log_json, quiet)?;
    let config = || Config::load(&cli.config);
    match cli.command {
        #[cfg(feature = "localnet")]
        Command::Demo(arguments) => demo::run(arguments, interrupted()).await,
        Command::Serve { role } => serve(config()?, role).await,
        #[cfg(feature = "localnet")]
        Command::Localnet(arguments) => localnet::run(arguments, &config()?, interrupted()).await,
        Command::Loadtest(arguments) => {
            raise_descriptor_limit();
            loadtest::run(arguments, &config()?, interrupted()).await
        }
        Command::Wallet(command) => wallet::run(command, config()?).await,
        Command::Key(command) => key::run(command, &config()?).await,
        Command::Quote(arguments) => quote::run(arguments, config()?).await,
        Command::Swap(arguments) => swap::run(arguments).await,
        Command::Pause { reason } => pause::pause(reason, &config()?).await,
        Command::Resume => pause::resume(&config()?).await,
        Command::Check(arguments) => check::run(arguments, config()?).await,
        Command::DeadLetters(arguments) => dead_letters::run(arguments).await,
        Command::Openapi { postman } => {
            let document = if postman { openapi::collection() } else { serde_json::json!(openapi::document()) };
            say!("{document:#}");
            Ok(ExitCode::SUCCESS)
        }
        Command::ChaosRpc(arguments) => chaos::run(arguments, interrupted()).await,
    }
}

async fn serve(config: Config, role: Role) -> anyhow::Result<ExitCode> {
    raise_descriptor_limit();
    let shutdown = interrupted();
    let app = tokio::select! {
        app = App::start(config, role) => app?,
        () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    for address in app.addresses() {
        tracing::info!(%address, "listening");
    }
    tracing::info!(?role, "ready");
    app.run(shutdown).await?;
    Ok(ExitCode::SUCCESS)
}

/// Every connection is a descriptor, and the soft limit is often 1,024: what the hard limit allows is taken.
fn raise_descriptor_limit() {
    match rlimit::increase_nofile_limit(rlimit::INFINITY) {
        Ok(limit) => tracing::debug!(limit, "open files allowed"),
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised: many connections may be refused")
        }
    }
}

/// Cancelled by the first SIGINT or SIGTERM; the second ends the process at once.
fn interrupted() -> CancellationToken {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    // Lives as long as the process: it is the process's ear, and there is nothing to wait for at its end.
    tokio::spawn(async move {
        signal().await;
        cancelled.cancel();
        signal().await;
        tracing::warn!("second signal: ending at once");
        std::process::exit(130);
    });
    token
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};

    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Where key files are, unless a command says otherwise.
fn keys_dir(config: &Config, named: Option<PathBuf>) -> PathBuf {
    named.unwrap_or_else(|| config.wallets.dir.clone())
}

/// The configuration with a chain that answers: where the profile embeds one, it is booted for the command.
#[cfg(feature = "localnet")]
async fn reachable(config: Config) -> anyhow::Result<(Config, Option<crate::localnet::Localnet>)> {
    crate::app::embed(config, &[]).await
}

/// The configuration with a chain that answers. This build embeds none.
#[cfg(not(feature = "localnet"))]
async fn reachable(config: Config) -> anyhow::Result<(Config, Option<()>)> {
    Ok((config, None))
}

/// One line on the standard output, or the end of the process when nobody reads it any more.
fn print_line(line: std::fmt::Arguments<'_>) {
    use std::io::Write;

    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

//! `swapd wallet`: makes, lists and funds wallets.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::json;

use super::{fleet, keys_dir};
use crate::{
    app::connect_rpc,
    chain::{Wallet, rpc::ACCOUNTS_PER_CALL},
    config::Config,
    domain::{BaseUnits, Lamports},
};

const SOL_DECIMALS: u8 = 9;
const FUNDED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a new key file with mode 0600.
    New {
        /// The file's name without `.json`.
        #[arg(default_value = "trader")]
        name: String,
        /// The folder; by default the configured one.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Show addresses and SOL balances.
    List {
        /// The folder; by default the configured one.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Ask the cluster's faucet for SOL and wait until the balance has it.
    Fund {
        /// The key file's name without `.json`.
        name: String,
        /// How much SOL.
        #[arg(default_value = "1")]
        sol: String,
        /// The folder; by default the configured one.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Make, fund, prepare and empty many wallets, all paid for by one.
    #[command(subcommand)]
    Fleet(fleet::Command),
}

pub(super) async fn run(command: Command, config: Config) -> anyhow::Result<ExitCode> {
    match command {
        Command::New { name, dir } => {
            let dir = keys_dir(&config, dir);
            let wallet = Wallet::create(&dir, &name)?;
            say!("{}  {}", wallet.address(), dir.join(format!("{name}.json")).display());
        }
        Command::List { dir, json } => list(&config, dir, json).await?,
        Command::Fund { name, sol, dir } => {
            let path = keys_dir(&config, dir).join(format!("{name}.json"));
            fund(&config, &Wallet::load(&path)?, &sol).await?;
        }
        Command::Fleet(command) => return fleet::run(command, &config).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(config: &Config, dir: Option<PathBuf>, json: bool) -> anyhow::Result<()> {
    let dir = keys_dir(config, dir);
    if !dir.is_dir() {
        bail!("there is no folder {}: make a wallet with `swapd wallet new`", dir.display());
    }
    let wallets = Wallet::load_dir(&dir)?;
    // Addresses are worth showing also when no chain answers.
    let balances = match connect_rpc(config).await {
        Ok(rpc) => {
            let keys: Vec<_> = wallets.iter().map(Wallet::address).collect();
            let mut lamports = Vec::with_capacity(keys.len());
            for chunk in keys.chunks(ACCOUNTS_PER_CALL) {
                let snapshot = rpc.accounts(chunk).await.context("cannot read the balances")?;
                lamports.extend(snapshot.accounts.into_iter().map(|account| account.map_or(0, |it| it.lamports)));
            }
            Some(lamports)
        }
        Err(error) => {
            eprintln!("no balances: {error:#}");
            None
        }
    };
    for (at, wallet) in wallets.iter().enumerate() {
        let sol = balances.as_ref().map(|all| BaseUnits::new(all[at]).to_ui(SOL_DECIMALS));
        if json {
            say!("{}", json!({"name": wallet.name(), "address": wallet.address().to_string(), "sol": sol}));
        } else {
            say!("{}  {:<20} {} SOL", wallet.address(), wallet.name(), sol.as_deref().unwrap_or("?"));
        }
    }
    Ok(())
}

/// A faucet may answer with a signature and send nothing: the balance decides.
async fn fund(config: &Config, wallet: &Wallet, sol: &str) -> anyhow::Result<()> {
    let amount = BaseUnits::from_ui(sol, SOL_DECIMALS).map_err(|error| anyhow::anyhow!("the amount {error}"))?;
    let rpc = connect_rpc(config).await?;
    let address = wallet.address();
    let balance = || async {
        let snapshot = rpc.accounts(&[address]).await?;
        anyhow::Ok(snapshot.accounts.into_iter().flatten().next().map_or(0, |account| account.lamports))
    };
    let before = balance().await?;
    rpc.request_airdrop(&address, Lamports::new(amount.get())).await.context("the faucet refuses")?;
    let arrived = async {
        loop {
            if balance().await? > before {
                return anyhow::Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(FUNDED_WITHIN, arrived).await {
        Ok(arrived) => arrived?,
        Err(_) => bail!("the faucet took the request, but no SOL came within {FUNDED_WITHIN:?}"),
    }
    say!("{address}  {} SOL", BaseUnits::new(balance().await?).to_ui(SOL_DECIMALS));
    Ok(())
}

//! `swapd wallet fleet`: makes, funds, prepares, empties and shows many wallets.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use solana_sdk::pubkey::Pubkey;

use super::{keys_dir, progress::Progress};
use crate::{
    app::{Market, connect_rpc, open_store},
    chain::{Rpc, Snapshots, Wallet, confirmer::Settings, fees::Fees},
    config::Config,
    domain::{BaseUnits, Lamports, SOL_DECIMALS, Token},
    fleet::{Carrier, Coin, Done, Fleet, FleetError, Gift, Outbox, Purse, coins, purses},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make key files until there are so many: `fleet-001.json` and so on.
    Create {
        /// How many wallets the fleet has then.
        count: usize,
        #[command(flatten)]
        which: Which,
    },
    /// Give every wallet SOL from the treasury, up to a target. Running it again pays nobody twice.
    Fund {
        /// How much SOL each wallet has then.
        sol: String,
        #[command(flatten)]
        from: From,
        /// Ask the cluster's faucet for what the treasury lacks.
        #[arg(long)]
        faucet: bool,
        /// How long the faucet may keep refusing.
        #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
        patience: Duration,
    },
    /// Open the accounts of all configured tokens, and give tokens.
    Prepare {
        #[command(flatten)]
        from: From,
        /// Give every wallet this much of a token, up to that: `USDC=5`. May be given more than once.
        #[arg(long, value_parser = gift)]
        give: Vec<(String, String)>,
    },
    /// Send everything back to the treasury and close the token accounts. Wallets that open orders of the configured
    /// store count on are left alone; pause or stop the daemon first, so that there are none.
    Sweep {
        #[command(flatten)]
        from: From,
    },
    /// Show what the wallets and the treasury hold.
    Balances {
        #[command(flatten)]
        from: From,
    },
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The fleet's name: its key files are `NAME-001.json` and so on.
    #[arg(long, default_value = "fleet")]
    name: String,
    /// The folder; by default the configured one.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct From {
    #[command(flatten)]
    which: Which,
    /// The key file that pays for all, without `.json`.
    #[arg(long, default_value = "treasury")]
    treasury: String,
}

pub(super) async fn run(command: Command, config: &Config) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create { count, which } => create(count, &which, config),
        Command::Fund { sol, from, faucet, patience } => {
            let target =
                BaseUnits::from_ui(&sol, SOL_DECIMALS).map_err(|error| anyhow::anyhow!("the amount {error}"))?;
            let target = Lamports::new(target.get());
            act(&from, config, async |site, progress| {
                site.fleet
                    .fund(target, faucet.then_some(patience), &|done, all| {
                        progress.at(done as u64, &format!("of {all} funded"))
                    })
                    .await
            })
            .await
        }
        Command::Prepare { from, give } => {
            act(&from, config, async |site, progress| {
                let gifts = gifts(&give, &site.coins)?;
                site.fleet.prepare(&gifts, &|done, all| progress.at(done as u64, &format!("of {all} prepared"))).await
            })
            .await
        }
        Command::Sweep { from } => {
            let store = open_store(config).await?;
            let swept = act(&from, config, async |site, progress| {
                site.fleet.sweep(&store, &|done, all| progress.at(done as u64, &format!("of {all} empty"))).await
            })
            .await;
            store.close().await;
            swept
        }
        Command::Balances { from } => balances(&from, config).await,
    }
}

fn create(count: usize, which: &Which, config: &Config) -> anyhow::Result<ExitCode> {
    let dir = keys_dir(config, which.dir.clone());
    for n in 1..=count {
        let name = format!("{}-{n:03}", which.name);
        let path = dir.join(format!("{name}.json"));
        let wallet = if path.exists() { Wallet::load(&path)? } else { Wallet::create(&dir, &name)? };
        if which.json {
            say!("{}", json!({"name": wallet.name(), "address": wallet.address().to_string()}));
        } else {
            say!("{}  {}", wallet.address(), path.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What an act works with.
struct Site {
    fleet: Fleet,
    coins: Vec<Coin>,
}

/// Opens everything an act needs, does it, and says what it did.
async fn act<F>(from: &From, config: &Config, act: F) -> anyhow::Result<ExitCode>
where
    F: AsyncFnOnce(&Site, &Progress) -> Result<Done, FleetError>,
{
    let dir = keys_dir(config, from.which.dir.clone());
    let wallets = load(&from.which, config)?;
    let treasury = dir.join(format!("{}.json", from.treasury));
    if !treasury.exists() {
        bail!("there is no treasury: make it with `swapd wallet new {}`", from.treasury);
    }
    let treasury = Arc::new(Wallet::load(&treasury)?);
    if wallets.iter().any(|wallet| wallet.address() == treasury.address()) {
        bail!("the treasury is one of the fleet's wallets: it would pay itself");
    }
    let (rpc, coins) = connect(config).await?;
    let outbox = Outbox::open(&dir, &from.treasury, rpc.genesis_hash().await?.to_string())?;
    let cap = Lamports::new(config.chain.priority_fee_cap);
    let fees = Fees::new(rpc.clone(), config.chain.priority_fee_floor, cap);
    let settings = Settings {
        poll: config.chain.status_poll,
        height_poll: config.chain.height_poll,
        rebroadcast: config.chain.rebroadcast,
        rebroadcast_per_attempt: config.chain.rebroadcast_per_order,
        unknown_after: config.engine.unknown_after,
    };
    let (carrier, watching) = Carrier::new(rpc.clone(), fees, settings, outbox, treasury.clone());
    let site = Site { fleet: Fleet::new(wallets.clone(), treasury, coins.clone(), rpc, carrier), coins };
    let progress = Progress::new(wallets.len() as u64);
    let done = tokio::select! {
        done = act(&site, &progress) => done,
        () = watching.run(tokio_util::sync::CancellationToken::new()) => Err(FleetError::Stopped),
    };
    progress.end();
    report(&done?, &wallets, from.which.json)
}

fn report(done: &Done, wallets: &[Arc<Wallet>], json: bool) -> anyhow::Result<ExitCode> {
    if json {
        let skipped = done.skipped.iter().map(|(n, reason)| {
            let (name, address) = (wallets[*n].name(), wallets[*n].address().to_string());
            json!({"name": name, "address": address, "reason": reason})
        });
        let (fees, skipped) = (done.fees.to_string(), skipped.collect::<Vec<_>>());
        say!("{}", json!({"landed": done.landed, "lost": done.lost, "fees": fees, "skipped": skipped}));
    } else {
        for (n, reason) in &done.skipped {
            say!("{} left alone: {reason}", wallets[*n].name());
        }
        let fees = BaseUnits::new(done.fees).to_ui(SOL_DECIMALS);
        say!("{} transactions landed, {} did not, {fees} SOL of fees", done.landed, done.lost);
    }
    Ok(if done.skipped.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn balances(from: &From, config: &Config) -> anyhow::Result<ExitCode> {
    let mut wallets = load(&from.which, config)?;
    let treasury = keys_dir(config, from.which.dir.clone()).join(format!("{}.json", from.treasury));
    if treasury.exists() {
        wallets.push(Arc::new(Wallet::load(&treasury)?));
    }
    let (rpc, coins) = connect(config).await?;
    let addresses: Vec<Pubkey> = wallets.iter().map(|wallet| wallet.address()).collect();
    let purses = purses(&rpc, &coins, &addresses).await?;
    for (wallet, purse) in wallets.iter().zip(&purses) {
        let (name, address) = (wallet.name(), wallet.address().to_string());
        if from.which.json {
            let token = |(token, amount): (&Token, u64)| json!({"symbol": token.symbol, "base": amount.to_string()});
            let tokens: Vec<_> = held(&coins, purse).map(token).collect();
            let lamports = purse.lamports.to_string();
            say!("{}", json!({"name": name, "address": address, "lamports": lamports, "tokens": tokens}));
        } else {
            let sol = BaseUnits::new(purse.lamports).to_ui(SOL_DECIMALS);
            let token = |(token, amount): (&Token, u64)| {
                format!("  {} {}", BaseUnits::new(amount).to_ui(token.decimals), token.symbol)
            };
            let tokens: String = held(&coins, purse).map(token).collect();
            say!("{address}  {name:<20} {sol} SOL{tokens}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The token accounts that are there, with what is in them.
fn held<'a>(coins: &'a [Coin], purse: &'a Purse) -> impl Iterator<Item = (&'a Token, u64)> {
    coins.iter().zip(&purse.pockets).filter_map(|(coin, pocket)| Some((&coin.token, (*pocket)?.amount)))
}

fn load(which: &Which, config: &Config) -> anyhow::Result<Vec<Arc<Wallet>>> {
    let dir = keys_dir(config, which.dir.clone());
    let mut wallets = if dir.is_dir() { Wallet::load_dir(&dir)? } else { Vec::new() };
    wallets.retain(|wallet| is_of_fleet(wallet.name(), &which.name));
    if wallets.is_empty() {
        return Err(FleetError::NoFleet { name: which.name.clone(), dir }.into());
    }
    Ok(wallets.into_iter().map(Arc::new).collect())
}

/// Whether this is the name of one of the fleet's wallets: `eu-001` is of the fleet `eu`, `eu-west-001` is of another.
fn is_of_fleet(wallet: &str, fleet: &str) -> bool {
    let number = wallet.strip_prefix(fleet).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

async fn connect(config: &Config) -> anyhow::Result<(Arc<Rpc>, Vec<Coin>)> {
    if config.localnet.is_some() {
        bail!(
            "this profile's chain lives inside the daemon: run `swapd localnet`, and say where it is with \
             `localnet.embed = false` and `chain.rpc_url`"
        );
    }
    let rpc = connect_rpc(config).await?;
    let market = Market::connect(config, Snapshots::over(rpc.clone())).await?;
    let coins = coins(&rpc, &market.rules.tokens).await.context("the configured tokens cannot be read")?;
    Ok((rpc, coins))
}

fn gift(text: &str) -> Result<(String, String), String> {
    let (symbol, amount) = text.split_once('=').ok_or("a gift is given as USDC=5")?;
    Ok((symbol.to_owned(), amount.to_owned()))
}

fn gifts(given: &[(String, String)], coins: &[Coin]) -> Result<Vec<Gift>, FleetError> {
    let read = |(symbol, amount): &(String, String)| {
        let unknown = |reason: String| FleetError::Gift { symbol: symbol.clone(), reason };
        let coin = coins.iter().find(|coin| coin.token.symbol.eq_ignore_ascii_case(symbol));
        let token = &coin.ok_or_else(|| unknown("no such token is configured".into()))?.token;
        let target =
            BaseUnits::from_ui(amount, token.decimals).map_err(|error| unknown(format!("the amount {error}")))?;
        Ok(Gift { symbol: token.symbol.clone(), target })
    };
    given.iter().map(read).collect()
}

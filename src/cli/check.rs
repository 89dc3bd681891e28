//! `swapd check`: tries everything the daemon needs and says what would happen.

use std::{fmt::Display, process::ExitCode, time::Duration};

use clap::Args;
use serde_json::json;
use time::OffsetDateTime;

use crate::{
    app::{self, Market},
    chain::{Rpc, Snapshots},
    config::Config,
    domain::{BaseUnits, ErrorCode, Pair, QuoteRequest, Swap, Token},
    engine::Rents,
    events::{self, BusOptions},
    queue::{self, QueueOptions},
};

/// A block's clock may be this far from ours before it is worth a word.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(30);
/// The Clock sysvar and where its unix time is.
const CLOCK: solana_sdk::pubkey::Pubkey =
    solana_sdk::pubkey::Pubkey::from_str_const("SysvarC1ock11111111111111111111111111111111");
const CLOCK_TIME_OFFSET: usize = 32;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON, one line per part.
    #[arg(long)]
    json: bool,
}

struct Report {
    json: bool,
    failed: bool,
}

impl Report {
    fn line(&mut self, part: &str, outcome: Result<impl Display, impl Display>) {
        let (ok, text) = match outcome {
            Ok(text) => (true, text.to_string()),
            Err(text) => (false, text.to_string()),
        };
        self.failed |= !ok;
        if self.json {
            say!("{}", json!({"part": part, "ok": ok, "detail": text}));
        } else {
            say!("{} {part:<10} {text}", if ok { "ok  " } else { "FAIL" });
        }
    }
}

pub(super) async fn run(arguments: Arguments, config: Config) -> anyhow::Result<ExitCode> {
    let mut report = Report { json: arguments.json, failed: false };
    let embedded = config.localnet.is_some();
    let (config, _chain) = super::reachable(config).await?;

    match app::connect_rpc(&config).await {
        Ok(rpc) => {
            let version = rpc.version().await.unwrap_or_else(|_| "unknown".into());
            let kind = if embedded { ", embedded" } else { "" };
            report.line("chain", Ok::<_, String>(format!("{:?}, node {version}{kind}", config.chain.cluster)));
            clock(&mut report, &rpc).await;
            wallets(&mut report, &config, &rpc).await;
            market(&mut report, &config, rpc).await;
        }
        Err(error) => report.line("chain", Err::<String, _>(format!("{error:#}"))),
    }
    match app::open_store(&config).await {
        Ok(store) => {
            let open = store.open_count().await;
            report.line("store", open.map(|count| format!("{count} orders have not ended yet")));
            store.close().await;
        }
        Err(error) => report.line("store", Err::<String, _>(format!("{error:#}"))),
    }
    let options = QueueOptions { prefix: config.queue.prefix.clone(), ..QueueOptions::default() };
    let depth = match queue::open(config.queue.url.expose(), &options).await {
        Ok(queue) => queue.depth().await.map(|depth| format!("{depth} jobs wait")),
        Err(error) => Err(error),
    };
    report.line("queue", depth);
    let options = BusOptions { prefix: config.queue.prefix.clone(), ..BusOptions::default() };
    report.line("events", events::open(config.events.url.expose(), &options).await.map(|_| "reachable"));
    let open = if config.api.key.is_some() { "an API key is needed" } else { "no API key, this machine only" };
    report.line("api", Ok::<_, String>(format!("would listen on {}, {open}", config.api.listen)));
    Ok(if report.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn clock(report: &mut Report, rpc: &Rpc) {
    let outcome = match rpc.accounts(&[CLOCK]).await {
        Ok(snapshot) => {
            let data = snapshot.accounts.into_iter().flatten().next().map(|account| account.data).unwrap_or_default();
            let bytes = data.get(CLOCK_TIME_OFFSET..CLOCK_TIME_OFFSET + 8).and_then(|bytes| bytes.try_into().ok());
            let chain = bytes.map_or(0, i64::from_le_bytes);
            let apart = OffsetDateTime::now_utc().unix_timestamp().abs_diff(chain);
            if apart > CLOCK_TOLERANCE.as_secs() {
                Err(format!("the chain's clock and ours are {apart} s apart"))
            } else {
                Ok(format!("{apart} s from the chain's"))
            }
        }
        Err(error) => Err(error.to_string()),
    };
    report.line("clock", outcome);
}

async fn wallets(report: &mut Report, config: &Config, rpc: &Rpc) {
    if config.localnet.is_some() && !config.wallets.dir.is_dir() {
        report.line("wallets", Ok::<_, String>("will be made and funded at the first start"));
        return;
    }
    let wallets = match app::load_wallets(config) {
        Ok(wallets) => wallets,
        Err(error) => return report.line("wallets", Err::<String, _>(format!("{error:#}"))),
    };
    match Rents::read(rpc).await {
        Ok(rents) => {
            report.line("rent", Ok::<_, String>(format!("{} lamports for a token account today", rents.token_account)))
        }
        Err(error) => report.line("rent", Err::<String, _>(error)),
    }
    for wallet in wallets {
        let balance = rpc.accounts(&[wallet.address()]).await.map(|snapshot| {
            let lamports = snapshot.accounts.into_iter().flatten().next().map_or(0, |account| account.lamports);
            let funded = if lamports == 0 && config.localnet.is_none() { ", fund it before trading" } else { "" };
            format!("{} {} SOL{funded}", wallet.address(), BaseUnits::new(lamports).to_ui(9))
        });
        report.line("wallet", balance);
    }
}

/// What one whole first token (SOL in every profile) would give. No pool is no failure: devnet's come and go.
async fn sample_quote(market: &Market, token: &Token) -> Result<String, String> {
    let first = market.rules.tokens.first().ok_or("no token")?;
    let one = BaseUnits::from_ui("1", first.decimals).map_err(|error| error.to_string())?;
    let pair = Pair { mint_in: first.mint, mint_out: token.mint };
    match market.router.route(&QuoteRequest { pair, swap: Swap::ExactIn(one) }).await {
        Ok(route) => Ok(format!(
            "1 {} -> {} {} in pool {}",
            first.symbol,
            route.chosen.amount_out.to_ui(token.decimals),
            token.symbol,
            route.chosen.pool
        )),
        Err(error) if error.code == ErrorCode::RpcUnavailable => Err(error.reason),
        Err(error) => Ok(format!("{} -> {}: not tradable now: {}", first.symbol, token.symbol, error.reason)),
    }
}

async fn market(report: &mut Report, config: &Config, rpc: std::sync::Arc<Rpc>) {
    match Market::connect(config, Snapshots::over(rpc)).await {
        Ok(market) => {
            for token in &market.rules.tokens {
                report.line(
                    "token",
                    Ok::<_, String>(format!("{} {}, {} decimals", token.symbol, token.mint, token.decimals)),
                );
            }
            for token in market.rules.tokens.iter().skip(1) {
                report.line("quote", sample_quote(&market, token).await);
            }
            let venues: Vec<_> = market.venues.iter().map(|venue| venue.id().as_str()).collect();
            report.line("venues", Ok::<_, String>(venues.join(", ")));
        }
        Err(error) => report.line("market", Err::<String, _>(format!("{error:#}"))),
    }
}

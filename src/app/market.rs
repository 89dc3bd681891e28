//! Market: what is traded where, read from the chain.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use solana_sdk::pubkey::Pubkey;

use crate::{
    chain::{Rpc, Snapshots},
    config::{CapAmount, Config, Mode},
    domain::{BaseUnits, Bps, Caps, Rules, Token},
    router::{self, Router},
    venue::{
        Venue, Venues,
        meteora_mock::{MeteoraMock, MockSettings},
        raydium_cpmm::{Discovery, RaydiumCpmm},
    },
};

/// How often a pair's pools are searched for at most: public endpoints throttle the search.
const DISCOVERY_PERIOD: Duration = Duration::from_secs(600);

/// What is traded where.
pub struct Market {
    /// Tokens with what the chain says of them, and the limits of orders.
    pub rules: Arc<Rules>,
    /// All venues that are asked.
    pub venues: Venues,
    /// Asks them.
    pub router: Arc<Router>,
    /// How much may be spent.
    pub caps: Arc<Caps>,
}

impl Market {
    /// Reads tokens and pools from the chain.
    ///
    /// # Errors
    /// When the chain does not answer, or an account is not what the configuration says.
    pub async fn connect(config: &Config, snapshots: Arc<Snapshots>) -> anyhow::Result<Self> {
        let tokens = read_tokens(config, snapshots.rpc()).await?;
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
        let (raydium, missing) = RaydiumCpmm::connect(snapshots, config.raydium_cpmm.program, pools, discovery)
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
        let caps = Arc::new(caps(config, &rules)?);
        Ok(Self { rules, venues, router, caps })
    }
}

/// The caps with what the chain says of their tokens. A cap for a token that is not there is a mistake that costs money.
fn caps(config: &Config, rules: &Rules) -> anyhow::Result<Caps> {
    let read = |name: &str, caps: &BTreeMap<String, CapAmount>| {
        caps.iter()
            .map(|(symbol, amount)| {
                let place = format!("`caps.{name}` for {symbol}");
                let token = rules.token(symbol).with_context(|| format!("{place}: no such token"))?;
                let amount = match amount {
                    CapAmount::Ui(text) => BaseUnits::from_ui(text, token.decimals),
                    CapAmount::Whole(whole) => BaseUnits::from_ui(&whole.to_string(), token.decimals),
                    CapAmount::Base { base } => base.parse(),
                };
                Ok((token.mint, amount.map_err(|error| anyhow::anyhow!("{place}: the amount {error}"))?))
            })
            .collect::<anyhow::Result<HashMap<_, _>>>()
    };
    Ok(Caps {
        per_order: read("per_order", &config.caps.per_order)?,
        per_hour: read("per_hour", &config.caps.per_hour)?,
        per_wallet_hour: read("per_wallet_hour", &config.caps.per_wallet_hour)?,
    })
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

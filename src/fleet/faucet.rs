//! Faucet: asks the cluster for what the treasury lacks, gently.
//!
//! A faucet may refuse, limit, or answer with a signature and send nothing: only the balance says what came. It is asked
//! for all that lacks at once; where that is too much, for half, and so on.

use std::time::Duration;

use solana_sdk::pubkey::Pubkey;
use tokio::time::{Instant, sleep, timeout};

use super::FleetError;
use crate::{
    chain::{ChainError, Rpc, owned},
    domain::{BaseUnits, Lamports, SOL_DECIMALS},
};

/// Less is not worth a request: a tenth of a SOL.
const LEAST: u64 = 100_000_000;
/// How long a granted request may take to show in the balance.
const ARRIVES_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at the balance.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The rest after the first "not now" that does not say how long; doubled each time.
const FIRST_REST: Duration = Duration::from_secs(5);

/// The shortest rest, whatever the faucet says.
const LEAST_REST: Duration = Duration::from_secs(1);

/// Asks until `wallet` has got `lacks` more, at most for `patience`, and says what it has then.
///
/// # Errors
/// With the faucet's last words when it gives too little for as long, and when the chain does not answer.
pub async fn ask_faucet(
    rpc: &Rpc,
    wallet: &Pubkey,
    lacks: Lamports,
    patience: Duration,
) -> Result<Lamports, FleetError> {
    let goal = balance(rpc, wallet).await?.saturating_add(lacks.get());
    let until = Instant::now() + patience;
    let (mut portion, mut rest) = (lacks.get().max(LEAST), FIRST_REST);
    loop {
        let has = balance(rpc, wallet).await?;
        let Some(missing) = goal.checked_sub(has).filter(|missing| *missing > 0) else {
            return Ok(Lamports::new(has));
        };
        let ask = missing.min(portion).max(LEAST.min(missing));
        let words = match rpc.request_airdrop(wallet, Lamports::new(ask)).await {
            Ok(_) if has_more(rpc, wallet, has).await => {
                rest = FIRST_REST;
                continue;
            }
            Ok(_) => "it took the request, and nothing came".to_owned(),
            Err(error @ ChainError::Refused { .. }) => {
                portion = ask / 2;
                if portion >= LEAST {
                    tracing::debug!(%error, asked = ask, "the faucet refuses, asking for half");
                    continue;
                }
                portion = LEAST;
                error.to_string()
            }
            Err(error) => {
                if let ChainError::RateLimited { retry_after: Some(wait) } = &error {
                    rest = LEAST_REST.max(*wait);
                }
                error.to_string()
            }
        };
        if Instant::now() + rest > until {
            let missing = BaseUnits::new(missing).to_ui(SOL_DECIMALS);
            return Err(FleetError::Faucet(format!(
                "{words}; {wallet} still lacks {missing} SOL: send it from elsewhere, such as faucet.solana.com"
            )));
        }
        tracing::warn!(rest = ?rest, reason = words, "the faucet gives nothing now");
        sleep(rest).await;
        rest *= 2;
    }
}

async fn has_more(rpc: &Rpc, wallet: &Pubkey, than: u64) -> bool {
    let arrived = async {
        while !balance(rpc, wallet).await.is_ok_and(|has| has > than) {
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(ARRIVES_WITHIN, arrived).await.is_ok()
}

async fn balance(rpc: &Rpc, wallet: &Pubkey) -> Result<u64, ChainError> {
    Ok(owned(rpc, &[*wallet], &[]).await?.first().map_or(0, |wallet| wallet.lamports.get()))
}

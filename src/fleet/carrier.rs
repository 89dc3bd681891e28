//! Carrier: brings bundles onto the chain, each at most once.
//!
//! Owns the way of one bundle: simulated, signed once, kept in the outbox, sent, and watched until it has landed or can
//! never land any more. What is to be done after that is not decided here: the balances say it.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use solana_sdk::signature::Signature;

use super::{
    Bundle, FleetError, Part,
    outbox::{Letter, Outbox},
};
use crate::{
    chain::{
        Confirmer, Report, Rpc, SendAnswer, Tip, Wallet,
        confirmer::{ConfirmerTask, Settings},
        fees::Fees,
        transaction::BASE_FEE,
    },
    domain::Lamports,
};

/// Bundles on their way at the same time.
const PARALLEL: usize = 8;
/// A bundle asks for this much more than its simulation used, in percent: balances may have moved a little.
const UNITS_MARGIN: u64 = 20;

/// What became of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// In a block, and done.
    Landed {
        /// Its signature.
        signature: Signature,
        /// What it cost.
        fee: Lamports,
    },
    /// In a block, with an error: nothing was done, and the fee is spent.
    Failed {
        /// Its signature.
        signature: Signature,
        /// What it cost.
        fee: Lamports,
        /// The chain's error.
        error: String,
    },
    /// It can never land any more.
    Expired,
    /// The simulation says that it would fail; it was not signed.
    Refused {
        /// The wallets it was for.
        wallets: Vec<usize>,
        /// The simulation's error.
        error: String,
    },
}

/// Brings bundles onto the chain.
pub struct Carrier {
    rpc: Arc<Rpc>,
    fees: Fees,
    confirmer: Confirmer,
    outbox: Outbox,
    payer: Arc<Wallet>,
}

impl Carrier {
    /// The carrier, and the task that must run beside it.
    pub fn new(
        rpc: Arc<Rpc>,
        fees: Fees,
        settings: Settings,
        outbox: Outbox,
        payer: Arc<Wallet>,
    ) -> (Self, ConfirmerTask) {
        let (confirmer, task) = Confirmer::new(rpc.clone(), Arc::new(Tip::new(rpc.clone())), settings);
        (Self { rpc, fees, confirmer, outbox, payer }, task)
    }

    /// The most a transaction with so many signatures may cost.
    pub const fn highest_fee(&self, signatures: u64) -> Lamports {
        Lamports::new(BASE_FEE.get() * signatures).saturating_add(self.fees.cap())
    }

    /// Decides what an earlier run has signed and not seen the end of.
    ///
    /// # Errors
    /// When the outbox cannot be written.
    pub async fn finish_earlier(&self) -> Result<Vec<Fate>, FleetError> {
        let letters = self.outbox.letters();
        let fates: Vec<_> =
            stream::iter(letters).map(|letter| self.decide(letter, false)).buffer_unordered(PARALLEL).collect().await;
        fates.into_iter().collect()
    }

    /// Does all parts in as few transactions as hold them, and calls `landed` with the number of parts that each did.
    /// Where a transaction would fail, its parts are tried one by one, so that one wallet's trouble is its own.
    ///
    /// # Errors
    /// When the chain does not answer or the outbox cannot be written. What is on its way then stays in the outbox.
    pub async fn carry(
        &self,
        parts: Vec<Part>,
        landed: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<Vec<Fate>, FleetError> {
        let bundles = Bundle::pack(&self.payer, parts)?;
        let (mut fates, refused) = self.carry_all(bundles, landed).await?;
        let (several, single): (Vec<_>, Vec<_>) = refused.into_iter().partition(|(bundle, _)| bundle.parts().len() > 1);
        let alone = several.into_iter().flat_map(|(bundle, _)| bundle.split()).collect();
        let (more, still_refused) = self.carry_all(alone, landed).await?;
        fates.extend(more);
        fates.extend(single.into_iter().chain(still_refused).map(|(bundle, error)| Fate::Refused {
            wallets: bundle.parts().iter().map(|part| part.wallet).collect(),
            error,
        }));
        Ok(fates)
    }

    /// The fates of what was signed, and what was refused.
    async fn carry_all(
        &self,
        bundles: Vec<Bundle>,
        landed: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<(Vec<Fate>, Vec<(Bundle, String)>), FleetError> {
        let mut carried = stream::iter(bundles)
            .map(|bundle| async move { (self.one(&bundle).await, bundle) })
            .buffer_unordered(PARALLEL);
        let (mut fates, mut refused) = (Vec::new(), Vec::new());
        while let Some((outcome, bundle)) = carried.next().await {
            match outcome? {
                Ok(fate) => {
                    if matches!(fate, Fate::Landed { .. }) {
                        landed(bundle.parts().len());
                    }
                    fates.push(fate);
                }
                Err(error) => {
                    tracing::debug!(error, parts = bundle.parts().len(), "would fail");
                    refused.push((bundle, error));
                }
            }
        }
        Ok((fates, refused))
    }

    /// One bundle to its end; as the inner error, what the simulation has against it.
    async fn one(&self, bundle: &Bundle) -> Result<Result<Fate, String>, FleetError> {
        let simulation = self.rpc.simulate(&bundle.for_simulation()?).await?;
        if let Some(error) = simulation.error {
            let log = simulation.logs.iter().rev().find(|line| line.contains("rror")).cloned().unwrap_or_default();
            return Ok(Err(format!("{error} {log}").trim_end().to_owned()));
        }
        let units = simulation.units + simulation.units * UNITS_MARGIN / 100;
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let payer = bundle.payer();
        let offer = self.fees.offer(payer, &[payer], units).await;
        let blockhash = self.rpc.latest_blockhash().await?;
        let (signed, fee) = bundle.sign(units, offer, &blockhash)?;
        let letter = Letter { signed, fee };
        self.outbox.put(letter.clone())?;
        let sent = self.rpc.send(&letter.signed.wire, letter.signed.context_slot).await;
        // Any other answer proves nothing: the confirmer sends again and finds out.
        let is_there = matches!(sent, Ok(SendAnswer::Accepted | SendAnswer::AlreadyProcessed));
        self.decide(letter, is_there).await.map(Ok)
    }

    /// Waits for the proof of what became of it, sending the same bytes meanwhile.
    async fn decide(&self, letter: Letter, sent: bool) -> Result<Fate, FleetError> {
        let Letter { signed, fee } = &letter;
        let signature = signed.signature;
        let mut watch = self.confirmer.watch(signed.clone(), sent).await.ok_or(FleetError::Stopped)?;
        let fate = loop {
            match watch.next().await.ok_or(FleetError::Stopped)? {
                Report::Landed { answer, .. } => {
                    break match answer.err {
                        None => Fate::Landed { signature, fee: *fee },
                        Some(error) => Fate::Failed { signature, fee: *fee, error: error.to_string() },
                    };
                }
                Report::Expired(_) => break Fate::Expired,
                Report::Unknown(reason) => tracing::warn!(%signature, reason, "still waiting for the chain's verdict"),
            }
        };
        self.outbox.remove(&letter)?;
        Ok(fate)
    }
}

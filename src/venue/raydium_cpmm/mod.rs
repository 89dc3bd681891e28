//! Raydium CPMM: constant-product pools, also of Token-2022 mints with transfer fees.
//!
//! `registry` knows the pools, `layout` decodes accounts (`decoded` remembers them), `snapshot` makes a quote of them, `math` is the swap itself,
//! `program` is the IDL, `fill` reads what happened. This file asks the chain and speaks the venue's contract. Quotes
//! every pool of a pair from one snapshot at one slot, which quotes of the same moment share; keeps no price.

use std::sync::Arc;

use anchor_client::{Client, Cluster, Program};
use async_trait::async_trait;
use solana_commitment_config::CommitmentConfig;
use solana_sdk::{instruction::Instruction, pubkey::Pubkey, signer::null_signer::NullSigner, sysvar};

use self::{
    decoded::Decoded,
    layout::EpochSchedule,
    program::client,
    registry::Registry,
    snapshot::{Accounts, Pool, Snapshot},
};
use super::{SwapPlan, Venue, VenueError};
use crate::{
    chain::{LandedTransaction, Snapshots},
    domain::{Failure, Fill, Quote, QuoteRequest, Swap, VenueId},
};

pub mod decoded;
pub mod fill;
pub mod layout;
pub mod math;
pub mod program;
pub mod registry;
pub mod snapshot;

#[cfg(test)]
mod fill_tests;
#[cfg(test)]
mod golden;
#[cfg(all(test, feature = "localnet"))]
mod localnet_tests;
#[cfg(test)]
mod math_tests;
#[cfg(test)]
mod snapshot_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod venue_tests;

pub use registry::Discovery;

/// The venue.
pub struct RaydiumCpmm {
    snapshots: Arc<Snapshots>,
    program: Pubkey,
    /// Writes instructions of the program at its configured id. Holds no key, and nothing is ever sent through it.
    client: Program<Arc<NullSigner>>,
    registry: Registry,
    epochs: Option<EpochSchedule>,
    decoded: Decoded,
}

impl RaydiumCpmm {
    /// Reads and checks the configured pools of the program at `program`. Also returns the addresses at which the
    /// chain has nothing: those pools are left out, and worth a warning.
    ///
    /// # Errors
    /// [`VenueError::Mismatch`] when a configured address holds something else than a pool of `program` whose vaults,
    /// observation account and fee configuration are where the program puts them; [`VenueError::Chain`] when the chain
    /// does not answer.
    pub async fn connect(
        snapshots: Arc<Snapshots>,
        program: Pubkey,
        pools: Vec<Pubkey>,
        discovery: Discovery,
    ) -> Result<(Self, Vec<Pubkey>), VenueError> {
        let rpc = snapshots.rpc();
        let epochs = rpc.accounts(&[sysvar::epoch_schedule::ID]).await?.accounts.into_iter().next().flatten();
        let epochs = epochs.as_ref().and_then(layout::epoch_schedule);
        let (registry, missing) = Registry::read(Arc::clone(rpc), program, &pools, discovery).await?;
        let client = instruction_writer(program)?;
        Ok((Self { snapshots, program, client, registry, epochs, decoded: Decoded::default() }, missing))
    }

    /// The best quote of these pools, all read at one slot.
    async fn quote_over(&self, pools: &[Arc<Pool>], request: &QuoteRequest) -> Result<Quote, VenueError> {
        // The clock, and per pool: state, fee configuration, two vaults; the two mints are the same for all.
        let mut keys = vec![sysvar::clock::ID];
        keys.extend(pools.iter().flat_map(|pool| Snapshot::keys(pool)));
        keys.sort_unstable();
        keys.dedup();
        let read = self.snapshots.read(&keys).await?;
        let addresses = pools.iter().map(|pool| pool.address).collect();
        let decoded = self.decoded.of(addresses, &read, || {
            let accounts = Accounts::new(read.slot, &keys, &read.accounts);
            pools.iter().map(|pool| Snapshot::read(&self.program, pool, &accounts)).collect()
        });
        self.best(request, pools.iter().zip(&*decoded))
    }

    /// The best quote of pools that were read together; the reason of the most telling refusal if there is none.
    fn best<'a>(
        &self,
        request: &QuoteRequest,
        pools: impl Iterator<Item = (&'a Arc<Pool>, &'a Result<Snapshot, VenueError>)>,
    ) -> Result<Quote, VenueError> {
        let mut best: Option<Quote> = None;
        let mut refusal = VenueError::NoPool;
        for (pool, snapshot) in pools {
            let Some(direction) = pool.direction(&request.pair) else { continue };
            let quote = match snapshot {
                Ok(snapshot) => snapshot.quote(direction, request.swap, self.epochs.as_ref()),
                Err(error) => Err(error.clone()),
            };
            match quote {
                Ok(quote) if best.as_ref().is_none_or(|best| is_better(request.swap, &quote, best)) => {
                    best = Some(quote)
                }
                Ok(_) => {}
                Err(error) if tells_more(&error) > tells_more(&refusal) => refusal = error,
                Err(_) => {}
            }
        }
        best.ok_or(refusal)
    }

    fn instruction(&self, pool: &Pool, plan: &SwapPlan) -> Result<Instruction, VenueError> {
        let direction = pool.direction(&plan.pair).ok_or_else(|| VenueError::Mismatch {
            account: pool.address,
            reason: "the pool is not of this pair".to_owned(),
        })?;
        let (side_in, side_out) = pool.in_and_out(direction);
        // Both instructions take the same accounts.
        let request = self.client.request().accounts(client::accounts::SwapBaseInput {
            payer: plan.owner,
            authority: pool.authority,
            amm_config: pool.amm_config,
            pool_state: pool.address,
            input_token_account: plan.source,
            output_token_account: plan.destination,
            input_vault: side_in.vault,
            output_vault: side_out.vault,
            input_token_program: side_in.token_program,
            output_token_program: side_out.token_program,
            input_token_mint: side_in.mint,
            output_token_mint: side_out.mint,
            observation_state: pool.observation,
        });
        let limit = plan.limit.get();
        let request = match plan.swap {
            Swap::ExactIn(amount) => {
                request.args(client::args::SwapBaseInput { amount_in: amount.get(), minimum_amount_out: limit })
            }
            Swap::ExactOut(amount) => {
                request.args(client::args::SwapBaseOutput { max_amount_in: limit, amount_out: amount.get() })
            }
        };
        Ok(request.instructions().swap_remove(0)) // arguments were given, so there is one
    }
}

#[async_trait]
impl Venue for RaydiumCpmm {
    fn id(&self) -> VenueId {
        VenueId::RaydiumCpmm
    }

    async fn quote(&self, request: &QuoteRequest) -> Result<Quote, VenueError> {
        let pools = self.registry.pools(&request.pair).await?;
        if pools.is_empty() {
            return Err(VenueError::NoPool);
        }
        self.quote_over(&pools, request).await
    }

    async fn quote_in(&self, pool: &Pubkey, request: &QuoteRequest) -> Result<Quote, VenueError> {
        let refused = |reason: String| VenueError::NotThisPool { pool: *pool, reason };
        let pool = self.registry.pool(pool).await.map_err(|error| match error {
            VenueError::NoPool => refused("the cluster has no such pool".to_owned()),
            VenueError::Mismatch { reason, .. } => refused(reason),
            error => error,
        })?;
        if pool.direction(&request.pair).is_none() {
            return Err(refused("it trades other tokens".to_owned()));
        }
        self.quote_over(&[pool], request).await
    }

    async fn swap_instruction(&self, plan: &SwapPlan) -> Result<Instruction, VenueError> {
        let pool = self.registry.pool(&plan.pool).await?;
        self.instruction(&pool, plan)
    }

    async fn contended_accounts(&self, pool: &Pubkey) -> Result<Vec<Pubkey>, VenueError> {
        let pool = self.registry.pool(pool).await?;
        let [zero, one] = &pool.sides;
        Ok(vec![pool.address, zero.vault, one.vault, pool.observation])
    }

    fn fill(&self, pool: &Pubkey, transaction: &LandedTransaction) -> Option<Fill> {
        fill::fill(&self.program, pool, self.registry.known(pool).as_deref(), transaction)
    }

    fn explain(&self, program: &Pubkey, error: u32) -> Option<Failure> {
        (*program == self.program).then(|| fill::explain(error))
    }
}

/// The program as `anchor-client` knows it, without a cluster to talk to and without a key.
fn instruction_writer(program: Pubkey) -> Result<Program<Arc<NullSigner>>, VenueError> {
    let nobody = Arc::new(NullSigner::new(&Pubkey::default()));
    let nowhere = Cluster::Custom(String::new(), String::new());
    Client::new_with_options(nowhere, nobody, CommitmentConfig::confirmed())
        .program(program)
        .map_err(|error| VenueError::Failed(error.to_string()))
}

/// More out, or less in. Equal ones stay with the pool that comes first.
fn is_better(swap: Swap, quote: &Quote, than: &Quote) -> bool {
    match swap {
        Swap::ExactIn(_) => quote.amount_out > than.amount_out,
        Swap::ExactOut(_) => quote.amount_in < than.amount_in,
    }
}

/// Which of several refusals is the answer: an open pool that is too small says more than a closed or a broken one.
const fn tells_more(error: &VenueError) -> u8 {
    match error {
        VenueError::NoPool | VenueError::NotThisPool { .. } | VenueError::QuoteOnly => 0,
        VenueError::Mismatch { .. } | VenueError::Failed(_) | VenueError::Chain(_) => 1,
        VenueError::NotTradable { .. } => 2,
        VenueError::InsufficientLiquidity { .. } => 3,
    }
}

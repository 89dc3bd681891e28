//! The venue over the embedded chain: what is quoted is what is swapped, and what is read back.
//!
//! The chain's program is another author's, so this also holds two readings of the same program against each other.

use std::{sync::Arc, time::Duration};

use solana_client::nonblocking::rpc_client::RpcClient;
use solana_commitment_config::CommitmentConfig;
use solana_sdk::{
    instruction::InstructionError,
    pubkey::Pubkey,
    signature::{Keypair, Signature},
    signer::Signer as _,
    transaction::{Transaction, TransactionError},
};

use super::{Discovery, RaydiumCpmm};
use crate::{
    chain::{LandedTransaction, Rpc, Snapshots},
    domain::{BaseUnits, ErrorCode, Fill, Pair, Quote, QuoteRequest, Slot, Swap},
    localnet::{Localnet, Options, Pool},
    venue::{SwapPlan, Venue as _},
};

struct Chain {
    localnet: Localnet,
    rpc: Arc<Rpc>,
    client: RpcClient,
    wallet: Keypair,
}

impl Chain {
    fn start() -> Self {
        let wallet = Keypair::new();
        let options =
            Options { slot_time: Duration::from_millis(50), wallets: vec![wallet.pubkey()], ..Options::default() };
        let localnet = Localnet::start(options).unwrap();
        for token in &localnet.scenario().tokens {
            localnet.fund_tokens(&wallet.pubkey(), &token.mint, 1_000_000_000_000).unwrap();
        }
        let url = localnet.rpc_url().to_owned();
        let rpc = Arc::new(Rpc::new(url.clone(), Duration::from_secs(5)));
        let client = RpcClient::new_with_commitment(url, CommitmentConfig::confirmed());
        Self { localnet, rpc, client, wallet }
    }

    fn pools(&self) -> &[Pool] {
        &self.localnet.scenario().pools
    }

    async fn venue(&self, pools: Vec<Pubkey>, discovery: Discovery) -> RaydiumCpmm {
        let program = self.localnet.scenario().cpmm_program;
        let (venue, missing) =
            RaydiumCpmm::connect(Snapshots::over(self.rpc.clone()), program, pools, discovery).await.unwrap();
        assert_eq!(missing, []);
        venue
    }

    fn plan(&self, pool: &Pool, side: usize, swap: Swap, limit: BaseUnits) -> SwapPlan {
        let scenario = self.localnet.scenario();
        let owner = self.wallet.pubkey();
        SwapPlan {
            pool: pool.address,
            pair: pair(pool, side),
            swap,
            limit,
            owner,
            source: scenario.token_account(&owner, &pool.tokens[side]),
            destination: scenario.token_account(&owner, &pool.tokens[1 - side]),
        }
    }

    async fn swap(&self, venue: &RaydiumCpmm, plan: &SwapPlan) -> Result<LandedTransaction, TransactionError> {
        let instruction = venue.swap_instruction(plan).await.unwrap();
        let blockhash = self.client.get_latest_blockhash().await.unwrap();
        let payer = self.wallet.pubkey();
        let signed = Transaction::new_signed_with_payer(&[instruction], Some(&payer), &[&self.wallet], blockhash);
        let sent = self.client.send_and_confirm_transaction(&signed).await;
        let signature = sent.map_err(|error| error.get_transaction_error().unwrap_or_else(|| panic!("{error:?}")))?;
        Ok(self.landed(&signature).await)
    }

    async fn landed(&self, signature: &Signature) -> LandedTransaction {
        loop {
            if let Some(landed) = self.rpc.transaction(signature).await.unwrap() {
                return landed;
            }
        }
    }
}

fn pair(pool: &Pool, side: usize) -> Pair {
    Pair { mint_in: pool.tokens[side].mint, mint_out: pool.tokens[1 - side].mint }
}

fn of_quote(quote: &Quote) -> Fill {
    Fill { amount_in: quote.amount_in, amount_out: quote.amount_out }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_quoted_is_what_is_swapped_in_every_pool_both_ways() {
    let chain = Chain::start();
    let mut swaps = 0;
    for pool in chain.pools() {
        let venue = chain.venue(vec![pool.address], Discovery::Off).await;
        for side in 0..2 {
            let unit = |side: usize| 10_u64.pow(pool.tokens[side].decimals.into());
            for swap in
                [Swap::ExactIn(BaseUnits::new(unit(side) + 12_345)), Swap::ExactOut(BaseUnits::new(unit(1 - side) / 7))]
            {
                let quote = venue.quote(&QuoteRequest { pair: pair(pool, side), swap }).await.unwrap();
                let limit = match swap {
                    Swap::ExactIn(_) => quote.amount_out,
                    Swap::ExactOut(_) => quote.amount_in,
                };
                // one unit past the quote is refused by the program itself
                let beyond = match swap {
                    Swap::ExactIn(_) => BaseUnits::new(limit.get() + 1),
                    Swap::ExactOut(_) => BaseUnits::new(limit.get() - 1),
                };
                let plan = chain.plan(pool, side, swap, beyond);
                let refused = chain.swap(&venue, &plan).await.unwrap_err();
                assert_eq!(refused, TransactionError::InstructionError(0, InstructionError::Custom(6005)));
                let program = chain.localnet.scenario().cpmm_program;
                assert_eq!(venue.explain(&program, 6005).unwrap().code, ErrorCode::SlippageExceeded);

                let landed = chain.swap(&venue, &chain.plan(pool, side, swap, limit)).await.unwrap();
                // The next quote must not come from what was read before: this chain may land a swap in the slot of the read.
                venue.snapshots.moved(Slot(landed.slot.0 + 1));
                let fill = venue.fill(&pool.address, &landed);
                assert_eq!(fill, Some(of_quote(&quote)), "{} side {side} {swap:?}", pool.name);
                // and without the program's own word, from the balances alone
                let silent = LandedTransaction { logs: Vec::new(), ..landed };
                assert_eq!(venue.fill(&pool.address, &silent), fill, "{} side {side} {swap:?}", pool.name);
                swaps += 1;
            }
        }
    }
    assert!(swaps >= 8, "{swaps} swaps");
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_are_found_on_the_chain_and_the_best_one_is_taken() {
    let chain = Chain::start();
    let all = chain.pools();
    let configured = chain.venue(all.iter().map(|pool| pool.address).collect(), Discovery::Off).await;
    let searching = chain.venue(Vec::new(), Discovery::Every(Duration::from_secs(600))).await;
    for pool in all {
        for side in 0..2 {
            let amount = BaseUnits::new(10_u64.pow(pool.tokens[side].decimals.into()));
            let request = QuoteRequest { pair: pair(pool, side), swap: Swap::ExactIn(amount) };
            let found = searching.quote(&request).await.unwrap();
            assert_eq!(of_quote(&found), of_quote(&configured.quote(&request).await.unwrap()));
            let alone = chain.venue(vec![pool.address], Discovery::Off).await.quote(&request).await.unwrap();
            assert!(found.amount_out >= alone.amount_out, "{}", pool.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_chain_says_when_epochs_end() {
    let chain = Chain::start();
    let venue = chain.venue(Vec::new(), Discovery::Off).await;
    assert!(venue.epochs.is_some_and(|epochs| epochs.slots_per_epoch > 0), "{:?}", venue.epochs);
}

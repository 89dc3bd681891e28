//! The parts of an engine, put together without a configuration.

use std::{sync::Arc, time::Duration};

use swapd::{
    chain::{
        Confirmer, Halt, Rpc, Snapshots, Tip, Wallet,
        confirmer::{self, ConfirmerTask},
        fees::Fees,
    },
    domain::Lamports,
    engine::{Control, Handover, Journal, Parts, Policy, Rents, Simulations, Treasury, simulations::Simulate},
    router::{Mode, Router},
    store::SharedStore,
    venue::Venues,
};
use tokio::sync::Semaphore;

const FREE: Rents = Rents { wallet: NONE, token_account: NONE, large_token_account: NONE };
const NONE: Lamports = Lamports::new(0);

/// How an engine reaches its chain.
pub struct Chain {
    pub rpc: Arc<Rpc>,
    pub tip: Arc<Tip>,
    pub snapshots: Arc<Snapshots>,
    pub rents: Rents,
}

impl Chain {
    /// The chain behind a node's URL.
    pub async fn at(url: &str) -> Self {
        let chain = Self::behind(url, FREE);
        Self { rents: Rents::read(&chain.rpc).await.unwrap(), ..chain }
    }

    /// One that nobody asks.
    pub fn nowhere() -> Self {
        Self::behind("http://127.0.0.1:9", FREE)
    }

    fn behind(url: &str, rents: Rents) -> Self {
        let rpc = Arc::new(Rpc::new(url.to_owned(), Duration::from_secs(5)));
        let tip = Arc::new(Tip::new(rpc.clone()));
        let snapshots = Arc::new(Snapshots::new(rpc.clone(), tip.clone(), Duration::from_secs(5), None));
        Self { rpc, tip, snapshots, rents }
    }
}

/// An engine with one signer, and its confirmer's task, which whoever wants orders to land must run.
pub async fn parts(
    store: &SharedStore,
    handover: Arc<Handover>,
    chain: Chain,
    venues: Venues,
    wallets: Vec<Arc<Wallet>>,
) -> (Parts, ConfirmerTask) {
    let Chain { rpc, tip, snapshots, rents } = chain;
    let settings = confirmer::Settings {
        poll: Duration::from_millis(50),
        height_poll: Duration::from_millis(200),
        rebroadcast: Duration::from_millis(500),
        rebroadcast_per_attempt: Duration::ZERO,
        unknown_after: Duration::from_secs(60),
    };
    let (confirmer, confirming) = Confirmer::new(rpc.clone(), tip.clone(), settings);
    let (halt, _halting) = Halt::new(rpc.clone(), tip.clone());
    let cap = Lamports::new(100_000);
    let parts = Parts {
        store: store.clone(),
        journal: Journal::new(store.clone()),
        handover,
        router: Arc::new(Router::new(venues.clone(), Duration::from_secs(5), Mode::QuoteOnly)),
        venues,
        rpc: rpc.clone(),
        snapshots,
        simulations: Simulations::new(Simulate::Always),
        tip,
        halt,
        control: Arc::new(Control::open(store.clone(), None).await.unwrap()),
        fees: Arc::new(Fees::new(rpc.clone(), 0, cap)),
        treasury: Arc::new(Treasury::new(rpc, store.clone(), rents, cap, Arc::default(), wallets)),
        confirmer,
        pushes: Vec::new(),
        records: None,
        signers: Arc::new(Semaphore::new(1)),
    };
    (parts, confirming)
}

/// A policy that is patient with what fails, and sets aside what was taken up more often than `max_take_ups`.
pub fn policy(max_take_ups: u32) -> Policy {
    Policy {
        max_signatures: 3,
        max_retries: 3,
        backoff: Duration::from_millis(100),
        memo: true,
        max_take_ups,
        details_within: Duration::from_secs(2),
    }
}

//! The fault proxy before the embedded chain: each fault does what it says, and landing bears it.

mod faults;
mod landing;
mod late;
mod limits;
mod orders;
mod sockets;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use solana_sdk::{
    message::{VersionedMessage, v0},
    pubkey::Pubkey,
    transaction::VersionedTransaction,
};
use solana_system_interface::instruction::transfer;
use swapd::{
    chain::{Blockhash, Rpc, Wallet},
    chaos::{Chaos, Fault, Options, Rule},
    domain::{Attempt, BaseUnits, Lamports, VenueId},
};

use crate::support::daemon::World;

/// What each transfer moves.
const MOVED: u64 = 1_234_567;

/// A chain, the proxy before it, and one funded wallet.
struct Scene {
    world: World,
    chaos: Chaos,
    /// Through the proxy; `world.rpc` is the direct way.
    rpc: Arc<Rpc>,
    http: reqwest::Client,
}

/// What came back over HTTP.
struct Said {
    status: u16,
    retry_after: Option<String>,
    body: Value,
}

impl Scene {
    async fn start(slot: Duration) -> Self {
        Self::with(slot, |_| {}).await
    }

    async fn with(slot: Duration, change: impl FnOnce(&mut Options)) -> Self {
        let world = World::start(slot, 1).await;
        let mut options = Options::new(world.chain.rpc_url(), world.chain.ws_url());
        change(&mut options);
        let chaos = Chaos::start(options).await.unwrap();
        let rpc = Arc::new(Rpc::new(chaos.rpc_url(), Duration::from_secs(10)));
        Self { world, chaos, rpc, http: reqwest::Client::new() }
    }

    fn rule(&self, rule: Rule) -> swapd::chaos::RuleId {
        self.chaos.add(rule).unwrap()
    }

    fn fault(&self, fault: Fault) -> swapd::chaos::RuleId {
        self.rule(Rule::new(fault))
    }

    /// One call through the proxy; an error when there is no answer.
    async fn try_ask(&self, method: &str, params: Value) -> reqwest::Result<Said> {
        self.post(&json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})).await
    }

    /// The finalized height or slot as the chain itself has it. Its getEpochInfo knows no commitment.
    async fn truly_finalized(&self, method: &str) -> u64 {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": [{"commitment": "finalized"}]});
        let response = self.http.post(self.world.chain.rpc_url()).json(&call).send().await.unwrap();
        response.json::<Value>().await.unwrap()["result"].as_u64().unwrap()
    }

    async fn post(&self, body: &Value) -> reqwest::Result<Said> {
        let response = self.http.post(self.chaos.rpc_url()).json(body).send().await?;
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
        Ok(Said { status, retry_after, body })
    }

    /// One call through the proxy that must bring a result.
    async fn ask(&self, method: &str, params: Value) -> Value {
        let mut said = self.try_ask(method, params).await.unwrap();
        assert!(said.body.get("result").is_some(), "{method}: {}", said.body);
        said.body["result"].take()
    }

    /// A signed transfer to a new address, with what the chain says directly.
    async fn transfer(&self) -> (Attempt, Pubkey) {
        self.transfer_over(self.world.rpc.latest_blockhash().await.unwrap())
    }

    /// The same over a blockhash.
    fn transfer_over(&self, blockhash: Blockhash) -> (Attempt, Pubkey) {
        let wallet = Wallet::load_dir(&self.world.keys()).unwrap().remove(0);
        let (owner, recipient) = (wallet.address(), Pubkey::new_unique());
        let instruction = transfer(&owner, &recipient, MOVED);
        let message = v0::Message::try_compile(&owner, &[instruction], &[], blockhash.hash).unwrap();
        let message = VersionedMessage::V0(message);
        let signature = wallet.sign(&message.serialize());
        let wire = bincode::serialize(&VersionedTransaction { signatures: vec![signature], message }).unwrap();
        let attempt = Attempt {
            n: 1,
            signature,
            wallet: owner,
            blockhash: blockhash.hash,
            last_valid_block_height: blockhash.last_valid_block_height,
            context_slot: blockhash.context_slot,
            venue: VenueId::RaydiumCpmm,
            pool: recipient,
            quoted_in: BaseUnits::new(MOVED),
            quoted_out: BaseUnits::new(MOVED),
            limit: BaseUnits::new(MOVED),
            compute_units: 200_000,
            priority_fee: Lamports::new(0),
            wire: wire.into(),
        };
        (attempt, recipient)
    }

    /// A send's params, as the daemon's own.
    fn send_params(attempt: &Attempt) -> Value {
        use base64::Engine as _;
        json!([base64::engine::general_purpose::STANDARD.encode(&attempt.wire), {
            "encoding": "base64", "skipPreflight": true, "minContextSlot": attempt.context_slot,
        }])
    }

    fn calls(&self, method: &str) -> u64 {
        self.chaos.counts().of(method).calls
    }

    fn befallen(&self, method: &str) -> u64 {
        self.chaos.counts().of(method).faults
    }
}

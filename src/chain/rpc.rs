//! Rpc: typed calls with a time-out each, and a sorted answer where a raw error would need interpretation.
//!
//! Owns the wire forms of questions and answers; who is asked is the pool's. Never caches or decides.

mod answers;
mod budget;
mod call;
mod endpoint;
mod health;
#[cfg(test)]
pub(crate) mod node_stub;
mod pool;
mod refusals;
#[cfg(test)]
mod tests;
mod transport;

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use serde_json::{Value, json};
use solana_rpc_client_api::{request::RpcRequest, response::Response};
use solana_sdk::{account::Account, hash::Hash, pubkey::Pubkey, signature::Signature};

pub use answers::{
    AccountSnapshot, Blockhash, FinalizedTip, LandedTransaction, SendAnswer, SignatureState, Simulation, TokenBalance,
};
use answers::{RawAccount, landed_transaction, signature_states};
pub use budget::Limits;
use call::Call;
use pool::Pool;
pub use refusals::ChainError;
use refusals::unreadable;

use crate::domain::{BlockHeight, Lamports, Slot};

/// At most this many accounts are asked for in one call (the RPC's own limit).
pub const ACCOUNTS_PER_CALL: usize = 100;
/// At most this many signatures are asked for in one call (the RPC's own limit).
pub const SIGNATURES_PER_CALL: usize = 256;

/// A connection to the cluster, over one endpoint or several.
pub struct Rpc {
    pool: Pool,
}

/// What one endpoint knows of some signatures.
#[derive(Clone, Debug)]
pub struct Testimony {
    /// The endpoint's name: a host.
    pub by: String,
    /// The slot it answered at.
    pub slot: Slot,
    /// In the order asked for.
    pub states: Vec<SignatureState>,
}

impl Rpc {
    /// One endpoint without limits. Connects lazily; every call ends within `timeout`.
    pub fn new(url: String, timeout: Duration) -> Self {
        Self::over(vec![url], timeout, None)
    }

    /// Several endpoints, the preferred one first, each with these limits. Connects lazily; every call ends within
    /// `timeout`, however many endpoints it asks.
    pub fn over(urls: Vec<String>, timeout: Duration, limits: Option<Limits>) -> Self {
        Self { pool: Pool::new(urls, timeout, limits) }
    }

    /// How many endpoints are configured.
    pub const fn endpoints(&self) -> usize {
        self.pool.len()
    }

    /// Each endpoint's name and the cluster it says it is on.
    pub async fn genesis_hashes(&self) -> Vec<(String, Result<Hash, ChainError>)> {
        let call = Call::new(RpcRequest::GetGenesisHash, Value::Null);
        let mut said = self.pool.everyone(&call).await;
        if said.iter().all(|(_, answer)| matches!(answer, Err(ChainError::RateLimited { .. })))
            && let Some((_, first)) = said.first_mut()
        {
            // Every one wants to be left alone for a moment, which is no reason not to start.
            *first = self.pool.read(&call).await;
        }
        said.into_iter().map(|(name, answer)| (name.to_owned(), answer.and_then(genesis))).collect()
    }

    /// Settles which cluster this is: an endpoint that has not shown it yet does so before it is used.
    pub fn trust(&self, genesis: &Hash) {
        self.pool.trust(genesis.to_string());
    }

    /// The cluster's identity.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn genesis_hash(&self) -> Result<Hash, ChainError> {
        genesis(self.call(RpcRequest::GetGenesisHash, Value::Null).await?)
    }

    /// The node's version text.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn version(&self) -> Result<String, ChainError> {
        let value: Value = self.call(RpcRequest::GetVersion, Value::Null).await?;
        Ok(value["solana-core"].as_str().unwrap_or("unknown").to_owned())
    }

    /// The newest confirmed slot.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn slot(&self) -> Result<Slot, ChainError> {
        self.call(RpcRequest::GetSlot, json!([{"commitment": "confirmed"}])).await.map(Slot)
    }

    /// Accounts at one slot. Asks once, so at most 100 keys.
    ///
    /// # Errors
    /// When there is no answer or more than 100 keys are asked for.
    pub async fn accounts(&self, keys: &[Pubkey]) -> Result<AccountSnapshot, ChainError> {
        if keys.len() > ACCOUNTS_PER_CALL {
            return Err(unreadable("getMultipleAccounts", format!("{} keys are too many for one slot", keys.len())));
        }
        let keys: Vec<String> = keys.iter().map(Pubkey::to_string).collect();
        let response: Response<Vec<Option<RawAccount>>> = self
            .call(RpcRequest::GetMultipleAccounts, json!([keys, {"encoding": "base64", "commitment": "confirmed"}]))
            .await?;
        let accounts = response
            .value
            .into_iter()
            .map(|raw| raw.map(|raw| raw.decode("getMultipleAccounts")).transpose())
            .collect::<Result<_, _>>()?;
        Ok(AccountSnapshot { slot: Slot(response.context.slot), accounts })
    }

    /// All accounts of a program with exactly `size` bytes that hold `bytes` at `offset`, for each `(offset, bytes)`.
    /// Public endpoints throttle this call: cache what it brings.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn program_accounts(
        &self,
        program: &Pubkey,
        size: u64,
        holds: &[(usize, Vec<u8>)],
    ) -> Result<Vec<(Pubkey, Account)>, ChainError> {
        #[derive(Deserialize)]
        struct Keyed {
            pubkey: String,
            account: RawAccount,
        }
        let mut filters = vec![json!({"dataSize": size})];
        filters.extend(holds.iter().map(|(offset, bytes)| {
            json!({"memcmp": {"offset": offset, "bytes": bs58::encode(bytes).into_string(), "encoding": "base58"}})
        }));
        let found: Vec<Keyed> = self
            .call(
                RpcRequest::GetProgramAccounts,
                json!([program.to_string(), {"encoding": "base64", "commitment": "confirmed", "filters": filters}]),
            )
            .await?;
        found
            .into_iter()
            .map(|keyed| {
                let key = keyed.pubkey.parse().map_err(|error| unreadable("getProgramAccounts", error))?;
                Ok((key, keyed.account.decode("getProgramAccounts")?))
            })
            .collect()
    }

    /// A blockhash at commitment `confirmed`, with its bound and slot of the same reply.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn latest_blockhash(&self) -> Result<Blockhash, ChainError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Latest {
            blockhash: String,
            last_valid_block_height: u64,
        }
        let response: Response<Latest> =
            self.call(RpcRequest::GetLatestBlockhash, json!([{"commitment": "confirmed"}])).await?;
        Ok(Blockhash {
            hash: response.value.blockhash.parse().map_err(|error| unreadable("getLatestBlockhash", error))?,
            last_valid_block_height: BlockHeight(response.value.last_valid_block_height),
            context_slot: Slot(response.context.slot),
        })
    }

    /// The confirmed block height: how old a blockhash is. Never evidence of expiry.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn confirmed_height(&self) -> Result<BlockHeight, ChainError> {
        self.call(RpcRequest::GetBlockHeight, json!([{"commitment": "confirmed"}])).await.map(BlockHeight)
    }

    /// The finalized height. Without the slot it is no evidence: nobody knows who may be asked for absence.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn finalized_height(&self) -> Result<BlockHeight, ChainError> {
        self.call(RpcRequest::GetBlockHeight, json!([{"commitment": "finalized"}])).await.map(BlockHeight)
    }

    /// The finalized height, and a finalized slot that is at or past it: the slot is read after the height, from the
    /// same node, since another one may be behind. (One call could tell both, `getEpochInfo`, but the embedded chain
    /// answers that for its newest block at every commitment.)
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn finalized_tip(&self) -> Result<FinalizedTip, ChainError> {
        let finalized = json!([{"commitment": "finalized"}]);
        let height = Call::new(RpcRequest::GetBlockHeight, finalized.clone());
        let slot = Call::new(RpcRequest::GetSlot, finalized);
        let (height, slot) = self.pool.read_both(&height, &slot).await?;
        let number = |value: Value, what| value.as_u64().ok_or_else(|| unreadable(what, "not a number"));
        Ok(FinalizedTip {
            height: BlockHeight(number(height, "getBlockHeight")?),
            slot: Slot(number(slot, "getSlot")?),
        })
    }

    /// What the node that answers first knows of at most 256 signatures, searched with history.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn signature_states(&self, signatures: &[Signature]) -> Result<Testimony, ChainError> {
        let (by, value) = self.pool.read_from(&states_call(signatures)).await?;
        let (slot, states) = signature_states(value, signatures.len())?;
        Ok(Testimony { by: by.to_owned(), slot, states })
    }

    /// The same of each endpoint by itself, of those that answer. None when fewer than `enough` could; who is silent is not
    /// waited for much longer than usual once `enough` have answered.
    pub async fn testimonies(&self, signatures: &[Signature], enough: usize) -> Vec<Testimony> {
        let said = self.pool.testimony(&states_call(signatures), enough).await;
        let read = said.into_iter().map(|(by, answer)| {
            let (slot, states) = signature_states(answer?, signatures.len())?;
            Ok(Testimony { by: by.to_owned(), slot, states })
        });
        read.filter_map(|said: Result<_, ChainError>| {
            said.inspect_err(|error| tracing::debug!(%error, "an endpoint has nothing to say of absence")).ok()
        })
        .collect()
    }

    /// Simulates unsigned bytes over the node's own newest blockhash.
    ///
    /// # Errors
    /// When there is no answer. A transaction that would fail is an answer.
    pub async fn simulate(&self, wire: &[u8]) -> Result<Simulation, ChainError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Simulated {
            err: Option<Value>,
            logs: Option<Vec<String>>,
            units_consumed: Option<u64>,
        }
        let response: Response<Simulated> = self
            .call(
                RpcRequest::SimulateTransaction,
                json!([BASE64.encode(wire), {
                    "encoding": "base64", "commitment": "confirmed",
                    "sigVerify": false, "replaceRecentBlockhash": true,
                }]),
            )
            .await?;
        Ok(Simulation {
            error: response.value.err,
            logs: response.value.logs.unwrap_or_default(),
            units: response.value.units_consumed.unwrap_or_default(),
            slot: Slot(response.context.slot),
        })
    }

    /// Hands signed bytes to every endpoint, without preflight and without the node's own retries; the best answer counts.
    ///
    /// # Errors
    /// When there is no answer: the outcome of the send is then unknown.
    pub async fn send(&self, wire: &[u8], min_context_slot: Slot) -> Result<SendAnswer, ChainError> {
        let params = json!([BASE64.encode(wire), {
            "encoding": "base64", "skipPreflight": true, "preflightCommitment": "confirmed",
            "maxRetries": 0, "minContextSlot": min_context_slot,
        }]);
        self.pool.send(&Call::new(RpcRequest::SendTransaction, params)).await
    }

    /// A landed transaction's details; `None` while the node asked does not have them.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn transaction(&self, signature: &Signature) -> Result<Option<LandedTransaction>, ChainError> {
        let value: Value = self
            .call(
                RpcRequest::GetTransaction,
                json!([signature.to_string(), {
                    "encoding": "json", "commitment": "confirmed", "maxSupportedTransactionVersion": 1,
                }]),
            )
            .await?;
        if value.is_null() { Ok(None) } else { landed_transaction(value).map(Some) }
    }

    /// Recent prioritization fees for transactions that write `accounts`, in micro-lamports per compute unit.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn recent_fees(&self, accounts: &[Pubkey]) -> Result<Vec<u64>, ChainError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Fee {
            prioritization_fee: u64,
        }
        let keys: Vec<String> = accounts.iter().take(128).map(Pubkey::to_string).collect();
        let fees: Vec<Fee> = self.call(RpcRequest::GetRecentPrioritizationFees, json!([keys])).await?;
        Ok(fees.into_iter().map(|fee| fee.prioritization_fee).collect())
    }

    /// What an account of `bytes` bytes must hold. Read from the cluster: the rate changes.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn rent_exemption(&self, bytes: usize) -> Result<Lamports, ChainError> {
        self.call(RpcRequest::GetMinimumBalanceForRentExemption, json!([bytes])).await.map(Lamports::new)
    }

    /// Asks the cluster's faucet. Check the balance afterwards, not the signature.
    ///
    /// # Errors
    /// When the faucet refuses or does not answer.
    pub async fn request_airdrop(&self, to: &Pubkey, lamports: Lamports) -> Result<Signature, ChainError> {
        let text: String = self.call(RpcRequest::RequestAirdrop, json!([to.to_string(), lamports.get()])).await?;
        text.parse().map_err(|error| unreadable("requestAirdrop", error))
    }

    async fn call<T: serde::de::DeserializeOwned>(&self, request: RpcRequest, params: Value) -> Result<T, ChainError> {
        let call = Call::new(request, params);
        let value = self.pool.read(&call).await?;
        serde_json::from_value(value).map_err(|error| unreadable(call.method, error))
    }
}

fn genesis(value: Value) -> Result<Hash, ChainError> {
    let text = value.as_str().ok_or_else(|| unreadable("getGenesisHash", "not a text"))?;
    text.parse().map_err(|error| unreadable("getGenesisHash", error))
}

fn states_call(signatures: &[Signature]) -> Call {
    let texts: Vec<String> = signatures.iter().map(Signature::to_string).collect();
    Call::new(RpcRequest::GetSignatureStatuses, json!([texts, {"searchTransactionHistory": true}]))
}

//! Rpc: typed calls with a time-out each, and a sorted answer where a raw error would need interpretation.
//!
//! Owns the HTTP client and the wire forms. Never retries, caches or decides.

mod answers;
mod refusals;

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use serde_json::{Value, json};
use solana_client::nonblocking::rpc_client::RpcClient;
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client_api::{request::RpcRequest, response::Response};
use solana_sdk::{account::Account, hash::Hash, pubkey::Pubkey, signature::Signature};

pub use answers::{
    AccountSnapshot, Blockhash, FinalizedTip, LandedTransaction, SendAnswer, SignatureState, Simulation, TokenBalance,
};
use answers::{RawAccount, landed_transaction, signature_state};
pub use refusals::ChainError;
use refusals::{chain_error, send_refusal, unreadable};

use crate::domain::{BlockHeight, Lamports, Slot};

/// At most this many accounts are asked for in one call (the RPC's own limit).
const ACCOUNTS_PER_CALL: usize = 100;
/// At most this many signatures are asked for in one call (the RPC's own limit).
pub const SIGNATURES_PER_CALL: usize = 256;

/// A connection to one endpoint.
pub struct Rpc {
    client: RpcClient,
    timeout: Duration,
}

impl Rpc {
    /// Connects lazily; reads at commitment `confirmed`; every call ends within `timeout`.
    pub fn new(url: String, timeout: Duration) -> Self {
        Self {
            client: RpcClient::new_with_timeout_and_commitment(url, timeout, CommitmentConfig::confirmed()),
            timeout,
        }
    }

    /// The cluster's identity.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn genesis_hash(&self) -> Result<Hash, ChainError> {
        let text: String = self.call(RpcRequest::GetGenesisHash, Value::Null).await?;
        text.parse().map_err(|error| unreadable("getGenesisHash", error))
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

    /// The finalized height, and a finalized slot that is at or past it: the slot is read after the height. (One call
    /// could tell both, `getEpochInfo`, but the embedded chain answers that for its newest block at every commitment.)
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn finalized_tip(&self) -> Result<FinalizedTip, ChainError> {
        let finalized = json!([{"commitment": "finalized"}]);
        let height = self.call(RpcRequest::GetBlockHeight, finalized.clone()).await?;
        let slot = self.call(RpcRequest::GetSlot, finalized).await?;
        Ok(FinalizedTip { height: BlockHeight(height), slot: Slot(slot) })
    }

    /// What the node knows of at most 256 signatures, searched with history, and the slot it answered at.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn signature_states(&self, signatures: &[Signature]) -> Result<(Slot, Vec<SignatureState>), ChainError> {
        let texts: Vec<String> = signatures.iter().map(Signature::to_string).collect();
        let response: Response<Vec<Option<Value>>> =
            self.call(RpcRequest::GetSignatureStatuses, json!([texts, {"searchTransactionHistory": true}])).await?;
        if response.value.len() != signatures.len() {
            return Err(unreadable("getSignatureStatuses", "the answer has another length than the question"));
        }
        let states = response.value.into_iter().map(signature_state).collect::<Result<_, _>>()?;
        Ok((Slot(response.context.slot), states))
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

    /// Hands signed bytes to the node, without preflight and without the node's own retries.
    ///
    /// # Errors
    /// When there is no answer: the outcome of the send is then unknown.
    pub async fn send(&self, wire: &[u8], min_context_slot: Slot) -> Result<SendAnswer, ChainError> {
        let params = json!([BASE64.encode(wire), {
            "encoding": "base64", "skipPreflight": true, "preflightCommitment": "confirmed",
            "maxRetries": 0, "minContextSlot": min_context_slot,
        }]);
        let sent = self.client.send::<String>(RpcRequest::SendTransaction, params);
        match tokio::time::timeout(self.timeout, sent).await {
            Err(_) => Err(ChainError::TimedOut { method: "sendTransaction", after: self.timeout }),
            Ok(Ok(_signature)) => Ok(SendAnswer::Accepted),
            Ok(Err(error)) => send_refusal(error),
        }
    }

    /// A landed transaction's details; `None` while this node does not have them.
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
        let method = method_name(request);
        match tokio::time::timeout(self.timeout, self.client.send(request, params)).await {
            Err(_) => Err(ChainError::TimedOut { method, after: self.timeout }),
            Ok(answer) => answer.map_err(|error| chain_error(method, error)),
        }
    }
}

const fn method_name(request: RpcRequest) -> &'static str {
    match request {
        RpcRequest::GetBlockHeight => "getBlockHeight",
        RpcRequest::GetGenesisHash => "getGenesisHash",
        RpcRequest::GetLatestBlockhash => "getLatestBlockhash",
        RpcRequest::GetMinimumBalanceForRentExemption => "getMinimumBalanceForRentExemption",
        RpcRequest::GetMultipleAccounts => "getMultipleAccounts",
        RpcRequest::GetProgramAccounts => "getProgramAccounts",
        RpcRequest::GetRecentPrioritizationFees => "getRecentPrioritizationFees",
        RpcRequest::GetSignatureStatuses => "getSignatureStatuses",
        RpcRequest::GetSlot => "getSlot",
        RpcRequest::GetTransaction => "getTransaction",
        RpcRequest::GetVersion => "getVersion",
        RpcRequest::RequestAirdrop => "requestAirdrop",
        RpcRequest::SendTransaction => "sendTransaction",
        RpcRequest::SimulateTransaction => "simulateTransaction",
        _ => "rpc",
    }
}

//! Rpc: typed calls with a time-out each, and a sorted answer where a raw error would need interpretation.
//!
//! Owns the HTTP client and the wire forms. Never retries, caches or decides.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use serde_json::{Value, json};
use solana_client::nonblocking::rpc_client::RpcClient;
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client_api::{
    client_error::{Error as ClientError, ErrorKind},
    request::{RpcError, RpcRequest, RpcResponseErrorData},
    response::Response,
};
use solana_sdk::{account::Account, hash::Hash, pubkey::Pubkey, signature::Signature};
use solana_transaction_status_client_types::TransactionStatus;

use crate::domain::{BlockHeight, ErrorCode, Lamports, Slot};

/// At most this many accounts are asked for in one call (the RPC's own limit).
const ACCOUNTS_PER_CALL: usize = 100;
/// At most this many signatures are asked for in one call (the RPC's own limit).
pub const SIGNATURES_PER_CALL: usize = 256;

/// Why an RPC call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// No connection, a dropped one, or an HTTP error: for a send the outcome is unknown.
    #[error("the RPC endpoint does not answer")]
    Unreachable(#[source] Box<ClientError>),
    /// No answer in time: for a send the outcome is unknown.
    #[error("the RPC endpoint did not answer {method} within {after:?}")]
    TimedOut {
        /// The call.
        method: &'static str,
        /// Its limit.
        after: Duration,
    },
    /// HTTP 429, or the same as a JSON-RPC code.
    #[error("the RPC endpoint limits our rate")]
    RateLimited,
    /// The node is behind or unhealthy (-32005, -32016).
    #[error("the RPC node is behind")]
    NodeBehind,
    /// The node refuses the request itself.
    #[error("the RPC node refuses {method}: {message} ({code})")]
    Refused {
        /// The call.
        method: &'static str,
        /// JSON-RPC code.
        code: i64,
        /// Its text.
        message: String,
    },
    /// An answer this version cannot read.
    #[error("the RPC answer to {method} cannot be read: {detail}")]
    Unreadable {
        /// The call.
        method: &'static str,
        /// What was wrong.
        detail: String,
    },
}

impl ChainError {
    /// The client's code: whatever kept the chain from answering, the client sees one thing.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Unreachable(_) | Self::TimedOut { .. } | Self::RateLimited | Self::NodeBehind => {
                ErrorCode::RpcUnavailable
            }
            Self::Refused { .. } | Self::Unreadable { .. } => ErrorCode::RpcUnavailable,
        }
    }
}

/// Accounts read at one slot.
#[derive(Clone, Debug)]
pub struct AccountSnapshot {
    /// The slot all of them were read at.
    pub slot: Slot,
    /// In the order asked for; `None` where there is no account.
    pub accounts: Vec<Option<Account>>,
}

/// A blockhash with its bound, of one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blockhash {
    /// What is signed over.
    pub hash: Hash,
    /// The last block height at which a transaction over it can land.
    pub last_valid_block_height: BlockHeight,
    /// The slot of the reply.
    pub context_slot: Slot,
}

/// Height and slot of the newest finalized block, of one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinalizedTip {
    /// Blocks so far.
    pub height: BlockHeight,
    /// The slot of that block.
    pub slot: Slot,
}

/// What a node knows of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureState {
    /// This node does not know it. Not evidence of absence by itself.
    Unknown,
    /// In a block that may still be dropped.
    Processed,
    /// In a block that stays, with the transaction's own error if it failed.
    Landed {
        /// The block's slot.
        slot: Slot,
        /// The error's wire form, or `None` when it succeeded.
        error: Option<Value>,
    },
}

/// What a node said to a send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendAnswer {
    /// Taken for forwarding. Nothing more.
    Accepted,
    /// It is in the status cache: landed, or about to.
    AlreadyProcessed,
    /// The node does not know the blockhash: expired, or the node is behind.
    BlockhashNotFound,
    /// Preflight or sanitation refused it; nothing was forwarded.
    Refused(String),
}

/// What a simulation predicts.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// The error's wire form, or `None` when it would succeed.
    pub error: Option<Value>,
    /// Program logs.
    pub logs: Vec<String>,
    /// Compute units used.
    pub units: u64,
    /// The bank it ran on.
    pub slot: Slot,
}

/// A landed transaction's details.
#[derive(Clone, Debug)]
pub struct LandedTransaction {
    /// The block's slot.
    pub slot: Slot,
    /// Base and priority fee together.
    pub fee: Lamports,
    /// The error's wire form, or `None` when it succeeded.
    pub error: Option<Value>,
    /// Program logs.
    pub logs: Vec<String>,
    /// Token balances before, by account.
    pub pre_token_balances: Vec<TokenBalance>,
    /// Token balances after, by account.
    pub post_token_balances: Vec<TokenBalance>,
}

/// One token account's balance beside a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBalance {
    /// The token account.
    pub account: Pubkey,
    /// Its mint.
    pub mint: Pubkey,
    /// Base units.
    pub amount: u64,
}

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

    /// Height and slot of the newest finalized block.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn finalized_tip(&self) -> Result<FinalizedTip, ChainError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct EpochInfo {
            absolute_slot: u64,
            block_height: u64,
        }
        let info: EpochInfo = self.call(RpcRequest::GetEpochInfo, json!([{"commitment": "finalized"}])).await?;
        Ok(FinalizedTip { height: BlockHeight(info.block_height), slot: Slot(info.absolute_slot) })
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

/// An account as JSON-RPC writes it.
#[derive(Deserialize)]
struct RawAccount {
    lamports: u64,
    data: (String, String),
    owner: String,
    executable: bool,
}

impl RawAccount {
    fn decode(self, method: &'static str) -> Result<Account, ChainError> {
        Ok(Account {
            lamports: self.lamports,
            data: BASE64.decode(self.data.0).map_err(|error| unreadable(method, error))?,
            owner: self.owner.parse().map_err(|error| unreadable(method, error))?,
            executable: self.executable,
            rent_epoch: 0,
        })
    }
}

fn signature_state(value: Option<Value>) -> Result<SignatureState, ChainError> {
    let Some(value) = value else { return Ok(SignatureState::Unknown) };
    let error = value.get("err").filter(|error| !error.is_null()).cloned();
    let status: TransactionStatus =
        serde_json::from_value(value).map_err(|error| unreadable("getSignatureStatuses", error))?;
    Ok(if status.satisfies_commitment(CommitmentConfig::confirmed()) {
        SignatureState::Landed { slot: Slot(status.slot), error }
    } else {
        SignatureState::Processed
    })
}

fn landed_transaction(value: Value) -> Result<LandedTransaction, ChainError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Raw {
        slot: u64,
        meta: Meta,
        transaction: Transaction,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Meta {
        err: Option<Value>,
        fee: u64,
        #[serde(default)]
        log_messages: Option<Vec<String>>,
        #[serde(default)]
        pre_token_balances: Option<Vec<Balance>>,
        #[serde(default)]
        post_token_balances: Option<Vec<Balance>>,
        #[serde(default)]
        loaded_addresses: Option<Loaded>,
    }
    #[derive(Deserialize, Default)]
    struct Loaded {
        writable: Vec<String>,
        readonly: Vec<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Balance {
        account_index: usize,
        mint: String,
        ui_token_amount: UiAmount,
    }
    #[derive(Deserialize)]
    struct UiAmount {
        amount: String,
    }
    #[derive(Deserialize)]
    struct Transaction {
        message: Message,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Message {
        account_keys: Vec<String>,
    }
    const METHOD: &str = "getTransaction";

    let raw: Raw = serde_json::from_value(value).map_err(|error| unreadable(METHOD, error))?;
    let mut keys = raw.transaction.message.account_keys;
    let loaded = raw.meta.loaded_addresses.unwrap_or_default();
    keys.extend(loaded.writable);
    keys.extend(loaded.readonly);
    let balances = |list: Option<Vec<Balance>>| {
        list.unwrap_or_default()
            .into_iter()
            .map(|balance| {
                let key = keys
                    .get(balance.account_index)
                    .ok_or_else(|| unreadable(METHOD, "a token balance names no account"))?;
                Ok(TokenBalance {
                    account: key.parse().map_err(|error| unreadable(METHOD, error))?,
                    mint: balance.mint.parse().map_err(|error| unreadable(METHOD, error))?,
                    amount: balance.ui_token_amount.amount.parse().map_err(|error| unreadable(METHOD, error))?,
                })
            })
            .collect::<Result<Vec<_>, ChainError>>()
    };
    Ok(LandedTransaction {
        slot: Slot(raw.slot),
        fee: Lamports::new(raw.meta.fee),
        error: raw.meta.err,
        logs: raw.meta.log_messages.unwrap_or_default(),
        pre_token_balances: balances(raw.meta.pre_token_balances)?,
        post_token_balances: balances(raw.meta.post_token_balances)?,
    })
}

fn unreadable(method: &'static str, detail: impl ToString) -> ChainError {
    ChainError::Unreadable { method, detail: detail.to_string() }
}

/// Sorts a failed call by its kind and code, never by its text.
fn chain_error(method: &'static str, error: ClientError) -> ChainError {
    match error.kind() {
        ErrorKind::RpcError(RpcError::RpcResponseError { code, message, .. }) => match *code {
            -32005 | -32016 => ChainError::NodeBehind,
            429 => ChainError::RateLimited,
            code => ChainError::Refused { method, code, message: message.clone() },
        },
        ErrorKind::Reqwest(inner) if inner.status().is_some_and(|status| status.as_u16() == 429) => {
            ChainError::RateLimited
        }
        ErrorKind::SerdeJson(inner) => unreadable(method, inner),
        _ => ChainError::Unreachable(Box::new(error)),
    }
}

/// Sorts a refused send. `data.err` decides; the local chain sends none, so its two texts are known here.
fn send_refusal(error: ClientError) -> Result<SendAnswer, ChainError> {
    use solana_sdk::transaction::TransactionError;

    let known = |error: &TransactionError| match error {
        TransactionError::AlreadyProcessed => SendAnswer::AlreadyProcessed,
        TransactionError::BlockhashNotFound => SendAnswer::BlockhashNotFound,
        other => SendAnswer::Refused(other.to_string()),
    };
    match error.kind() {
        ErrorKind::TransactionError(inner) => Ok(known(inner)),
        ErrorKind::RpcError(RpcError::RpcResponseError { code, message, data }) => {
            if let RpcResponseErrorData::SendTransactionPreflightFailure(result) = data
                && let Some(inner) = &result.err
            {
                return Ok(known(&inner.clone().into()));
            }
            match *code {
                -32002 if message.contains("already been processed") => Ok(SendAnswer::AlreadyProcessed),
                -32002 if message.contains("Blockhash not found") => Ok(SendAnswer::BlockhashNotFound),
                -32002 | -32003 | -32006 | -32602 => Ok(SendAnswer::Refused(message.clone())),
                _ => Err(chain_error("sendTransaction", error)),
            }
        }
        _ => Err(chain_error("sendTransaction", error)),
    }
}

const fn method_name(request: RpcRequest) -> &'static str {
    match request {
        RpcRequest::GetBlockHeight => "getBlockHeight",
        RpcRequest::GetEpochInfo => "getEpochInfo",
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

//! Answers: what the RPC says, as types, and how they are read from its JSON.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use serde_json::Value;
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client_api::response::Response;
use solana_sdk::{account::Account, hash::Hash, pubkey::Pubkey};
use solana_transaction_status_client_types::TransactionStatus;

use super::refusals::{ChainError, unreadable};
use crate::domain::{BlockHeight, Commitment, Lamports, Slot};

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

/// A finalized height, and a slot at or past its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinalizedTip {
    /// Blocks that are final.
    pub height: BlockHeight,
    /// A finalized slot, read after the height.
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
        /// How sure the node is of that block.
        commitment: Commitment,
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

impl LandedTransaction {
    /// Whether any token account held another amount after it than before, as after every swap that ran.
    pub fn moved_tokens(&self) -> bool {
        self.pre_token_balances != self.post_token_balances
    }
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

/// An account as JSON-RPC writes it.
#[derive(Deserialize)]
pub(super) struct RawAccount {
    lamports: u64,
    data: (String, String),
    owner: String,
    executable: bool,
}

impl RawAccount {
    pub(super) fn decode(self, method: &'static str) -> Result<Account, ChainError> {
        Ok(Account {
            lamports: self.lamports,
            data: BASE64.decode(self.data.0).map_err(|error| unreadable(method, error))?,
            owner: self.owner.parse().map_err(|error| unreadable(method, error))?,
            executable: self.executable,
            rent_epoch: 0,
        })
    }
}

pub(super) fn signature_states(value: Value, asked: usize) -> Result<(Slot, Vec<SignatureState>), ChainError> {
    const METHOD: &str = "getSignatureStatuses";
    let response: Response<Vec<Option<Value>>> =
        serde_json::from_value(value).map_err(|error| unreadable(METHOD, error))?;
    if response.value.len() != asked {
        return Err(unreadable(METHOD, "the answer has another length than the question"));
    }
    let states = response.value.into_iter().map(signature_state).collect::<Result<_, _>>()?;
    Ok((Slot(response.context.slot), states))
}

fn signature_state(value: Option<Value>) -> Result<SignatureState, ChainError> {
    let Some(value) = value else { return Ok(SignatureState::Unknown) };
    let error = value.get("err").filter(|error| !error.is_null()).cloned();
    let status: TransactionStatus =
        serde_json::from_value(value).map_err(|error| unreadable("getSignatureStatuses", error))?;
    Ok(if status.satisfies_commitment(CommitmentConfig::confirmed()) {
        let is_final = status.satisfies_commitment(CommitmentConfig::finalized());
        let commitment = if is_final { Commitment::Finalized } else { Commitment::Confirmed };
        SignatureState::Landed { slot: Slot(status.slot), commitment, error }
    } else {
        SignatureState::Processed
    })
}

pub(super) fn landed_transaction(value: Value) -> Result<LandedTransaction, ChainError> {
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

//! What the chain itself knows of a wallet's transactions, asked directly.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use solana_sdk::pubkey::Pubkey;

use crate::support::daemon::World;

/// Signatures on a page of history.
const PAGE: usize = 1_000;
/// Under this the embedded chain notes sends that came after their blockhash's death; none of them is in a block.
const NO_SIGNATURE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
/// Questions at a time.
const AT_ONCE: usize = 8;

/// A transaction in a block.
#[derive(Debug)]
pub struct Seen {
    /// Who signed and paid.
    pub wallet: String,
    pub signature: String,
    /// The error's wire form; null when it succeeded.
    pub error: Value,
    /// The order's id in the memo, of one that succeeded.
    pub memo: Option<String>,
    /// Lamports.
    pub fee: i128,
}

/// The way to the chain, past every proxy.
pub struct Chain {
    http: reqwest::Client,
    url: String,
}

impl Chain {
    pub fn of(world: &World) -> Self {
        Self { http: reqwest::Client::new(), url: world.chain.rpc_url().to_owned() }
    }

    /// All there are, of these wallets.
    pub async fn transactions(&self, wallets: &[Pubkey]) -> Vec<Seen> {
        let mut all = Vec::new();
        for wallet in wallets {
            let mut rows: Vec<Value> = Vec::new();
            loop {
                let before = rows.last().map(|row| row["signature"].clone());
                let params = json!([wallet.to_string(), {"limit": PAGE, "before": before, "commitment": "confirmed"}]);
                let page = self.ask("getSignaturesForAddress", params).await;
                let page = page.as_array().unwrap();
                rows.extend(page.iter().cloned());
                if page.len() < PAGE {
                    break;
                }
            }
            rows.retain(|row| row["signature"] != NO_SIGNATURE);
            let seen = stream::iter(rows).map(|row| self.seen(wallet, row)).buffer_unordered(AT_ONCE);
            all.extend(seen.collect::<Vec<_>>().await);
        }
        all
    }

    /// Whether a signature is in a block, and with which error.
    pub async fn status(&self, signature: &str) -> Option<Value> {
        let params = json!([[signature], {"searchTransactionHistory": true}]);
        let mut answer = self.ask("getSignatureStatuses", params).await;
        let status = answer["value"][0].take();
        status.is_object().then(|| status["err"].clone())
    }

    async fn seen(&self, wallet: &Pubkey, row: Value) -> Seen {
        let options = json!({"encoding": "base64", "maxSupportedTransactionVersion": 1, "commitment": "confirmed"});
        let transaction = self.ask("getTransaction", json!([row["signature"], options])).await;
        let memo = row["memo"].as_str().and_then(|memo| memo.split_once("swapd:"));
        Seen {
            wallet: wallet.to_string(),
            signature: row["signature"].as_str().unwrap().to_owned(),
            error: row["err"].clone(),
            memo: memo.map(|(_, id)| id.trim_end().to_owned()),
            fee: transaction["meta"]["fee"].as_i64().unwrap_or_else(|| panic!("no fee: {transaction}")).into(),
        }
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let response = self.http.post(&self.url).json(&call).send().await.unwrap();
        let mut answer: Value = response.json().await.unwrap();
        assert!(answer.get("result").is_some(), "{method}: {answer}");
        answer["result"].take()
    }
}

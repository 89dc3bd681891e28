//! Load: a client that gives orders through crashes, as a careful one does.
//!
//! Each order has an `Idempotency-Key` and is sent again until there is an answer, so that no answer lost with a
//! daemon makes an order unknown or two of one.

use std::{sync::Mutex, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use solana_sdk::pubkey::Pubkey;
use tokio::sync::watch;

/// How long one try of a request may take.
const TRY: Duration = Duration::from_secs(5);
/// Between two tries while nobody answers.
const REST: Duration = Duration::from_millis(20);

/// A client of one fleet.
pub struct Client {
    url: watch::Receiver<String>,
    http: reqwest::Client,
    given: Mutex<Vec<String>>,
}

impl Client {
    pub fn new(url: watch::Receiver<String>) -> Self {
        let http = reqwest::Client::builder().timeout(TRY).build().unwrap();
        Self { url, http, given: Mutex::default() }
    }

    /// Gives one order, however often the daemon dies meanwhile; its id.
    pub async fn order(&self, body: &Value) -> String {
        let key = swapd::domain::OrderId::new().to_string();
        loop {
            let url = format!("{}/v1/orders", self.url.borrow().as_str());
            let asked = self.http.post(url).header("Idempotency-Key", &key).json(body).send().await;
            if let Ok(response) = asked {
                let status = response.status().as_u16();
                match (status, response.json::<Value>().await) {
                    (200 | 201, Ok(order)) => {
                        let id = order["id"].as_str().unwrap().to_owned();
                        self.given.lock().unwrap().push(id.clone());
                        return id;
                    }
                    (400..=428, answer) => panic!("{body} was refused with {status}: {answer:?}"),
                    _ => {} // nobody knows whether it was stored: again, with the same key
                }
            }
            tokio::time::sleep(REST).await;
        }
    }

    /// The ids of all orders given so far.
    pub fn given(&self) -> Vec<String> {
        self.given.lock().unwrap().clone()
    }
}

/// An endless choice of orders: small ones of every kind, some that bear no move of the price, and some of a whale's
/// that move it.
pub struct Orders {
    random: StdRng,
    whale: Pubkey,
    count: u64,
}

impl Orders {
    pub fn new(seed: u64, whale: Pubkey) -> Self {
        Self { random: StdRng::seed_from_u64(seed), whale, count: 0 }
    }

    pub fn next(&mut self) -> Value {
        self.count += 1;
        let n = self.count;
        match self.random.random_range(0..100) {
            0..15 => tight(n),
            15..25 => whale(&self.whale, self.random.random_bool(0.5)),
            _ => small(n),
        }
    }
}

/// Both directions, exact in and exact out, with and without a transfer fee; each amount is used once.
pub fn small(n: u64) -> Value {
    match n % 5 {
        0 => json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountInBase": (100_000_000 + n).to_string()}),
        1 => json!({"tokenIn": "USDC", "tokenOut": "SOL", "amountInBase": (10_000_000 + n).to_string()}),
        2 => json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountOutBase": (20_000_000 + n).to_string()}),
        3 => json!({"tokenIn": "USDC", "tokenOut": "LEVY", "amountOutBase": (5_000_000 + n).to_string()}),
        _ => json!({"tokenIn": "LEVY", "tokenOut": "USDC", "amountInBase": (5_000_000 + n).to_string()}),
    }
}

/// SOL to LEVY, for which there is one pool, at a price that must not move by more than 0.01%.
pub fn tight(n: u64) -> Value {
    json!({"tokenIn": "SOL", "tokenOut": "LEVY", "amountInBase": (100_000_000 + n).to_string(), "slippageBps": 1})
}

/// Moves the price of that pool by about one percent.
pub fn whale(wallet: &Pubkey, sells_sol: bool) -> Value {
    let (from, to, amount) = if sells_sol { ("SOL", "LEVY", "100") } else { ("LEVY", "SOL", "30000") };
    json!({"tokenIn": from, "tokenOut": to, "amountIn": amount, "slippageBps": 1000, "wallet": wallet.to_string()})
}

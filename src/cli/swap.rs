//! `swapd swap`: gives a running daemon an order and follows it to its end.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Map, Value, json};

use super::{SwapArguments, client::Client};
use crate::domain::BaseUnits;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    swap: SwapArguments,
    /// The wallet to pay with; left out, the least busy one that can.
    #[arg(long)]
    wallet: Option<String>,
    /// The daemon.
    #[arg(long, default_value = "http://127.0.0.1:3000", env = "SWAPD_URL")]
    url: String,
    /// The daemon's API key.
    #[arg(long, env = "SWAPD_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// One JSON event per line, then the order.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let client = Client::new(&arguments.url, arguments.api_key.clone())?;
    let mut body = order_body(&arguments.swap);
    if let Some(wallet) = arguments.wallet {
        body.insert("wallet".into(), json!(wallet));
    }
    let order = follow(&client, &Value::Object(body), arguments.json).await?;
    Ok(if order["status"] == "confirmed" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The order as the API takes it.
pub(super) fn order_body(swap: &SwapArguments) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("tokenIn".into(), json!(swap.token_in));
    body.insert("tokenOut".into(), json!(swap.token_out));
    if let Some(amount) = &swap.amount_in {
        body.insert("amountIn".into(), json!(amount));
    }
    if let Some(amount) = &swap.amount_out {
        body.insert("amountOut".into(), json!(amount));
    }
    if let Some(slippage) = swap.slippage_bps {
        body.insert("slippageBps".into(), json!(slippage));
    }
    body
}

/// Posts an order, prints its events as they arrive over the WebSocket, and returns it as it ended.
pub(super) async fn follow(client: &Client, body: &Value, json: bool) -> anyhow::Result<Value> {
    let accepted = client.post("/v1/orders", body).await?;
    let id = accepted["id"].as_str().context("the daemon's answer names no order")?.to_owned();
    let mut stream = client.stream(&format!("/v1/stream?orderId={id}")).await?;
    let tokens = Tokens(client.get("/v1/tokens").await?);
    if !json {
        say!("order {id} accepted");
    }
    while let Some(event) = stream.next().await? {
        if json {
            say!("{event}");
        } else {
            say!("{}", line(&event, &tokens));
        }
        if is_last(&event) {
            break;
        }
    }
    let order = client.get(&format!("/v1/orders/{id}")).await?;
    if json {
        say!("{order}");
    }
    Ok(order)
}

/// A confirmed swap's amounts may come one event later.
fn is_last(event: &Value) -> bool {
    match event["event"].as_str() {
        Some("landed") => !event["fill"].is_null(),
        Some("settled" | "paper_filled" | "failed" | "rejected" | "cancelled" | "chain_reset") => true,
        _ => false,
    }
}

/// What the daemon says of its tokens.
struct Tokens(Value);

impl Tokens {
    /// Base units as people write them.
    fn ui(&self, base: &Value, symbol: &Value) -> String {
        let token = self.0["tokens"].as_array().into_iter().flatten().find(|token| token["symbol"] == *symbol);
        let decimals = token.and_then(|token| u8::try_from(token["decimals"].as_u64()?).ok());
        let amount = base.as_str().and_then(|text| text.parse::<BaseUnits>().ok());
        match (amount, decimals) {
            (Some(amount), Some(decimals)) => {
                format!("{} {}", amount.to_ui(decimals), symbol.as_str().unwrap_or_default())
            }
            _ => base.to_string(),
        }
    }
}

fn line(event: &Value, tokens: &Tokens) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let status = text(&event["status"]);
    let detail = match event["event"].as_str().unwrap_or_default() {
        "created" => "stored".to_owned(),
        "claimed" => "a signer took it up".to_owned(),
        "routed" => {
            let quotes = event["route"]["quotes"].as_array().cloned().unwrap_or_default();
            let mut lines = vec![text(&event["route"]["reason"])];
            lines.extend(quotes.iter().map(|quote| {
                let answer = match (&quote["quote"], quote["refusal"]["reason"].as_str()) {
                    (_, Some(reason)) => reason.to_owned(),
                    (answer, None) => format!(
                        "{} -> {}{}",
                        tokens.ui(&answer["amountIn"], &event["tokenIn"]),
                        tokens.ui(&answer["amountOut"], &event["tokenOut"]),
                        if answer["executable"] == true { "" } else { "  (quote only)" }
                    ),
                };
                format!("{:>28} {:>5} ms  {answer}", text(&quote["venue"]), quote["latencyMs"])
            }));
            lines.join("\n")
        }
        "signed" => format!("signature {}", text(&event["attempt"]["signature"])),
        "sent" => "sent".to_owned(),
        "landed" => match &event["fill"] {
            Value::Null => format!("in slot {}", event["landing"]["slot"]),
            fill => format!(
                "in slot {}: {} -> {}",
                event["landing"]["slot"],
                tokens.ui(&fill["amountIn"], &event["tokenIn"]),
                tokens.ui(&fill["amountOut"], &event["tokenOut"])
            ),
        },
        "settled" => "amounts read back".to_owned(),
        "retrying" | "failed" | "rejected" => {
            format!("{}: {}", text(&event["failure"]["code"]), text(&event["failure"]["reason"]))
        }
        "requoted" | "outcome_unknown" => text(&event["reason"]),
        other => other.replace('_', " "),
    };
    format!("{:>3}  {status:<10} {detail}", event["seq"].as_u64().unwrap_or_default())
}

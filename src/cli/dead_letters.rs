//! `swapd dead-letters`: shows the orders that wait for a person, and takes them up again.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Client;
use crate::domain::OrderId;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The daemon.
    #[arg(long, global = true, default_value = "http://127.0.0.1:3000", env = "SWAPD_URL")]
    url: String,
    /// The daemon's API key.
    #[arg(long, global = true, env = "SWAPD_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show every order that is set aside, newest first.
    List {
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Let orders go on from where they stand.
    Replay {
        /// Which ones.
        #[arg(required = true)]
        ids: Vec<OrderId>,
    },
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let client = Client::new(&arguments.url, arguments.api_key)?;
    match arguments.command {
        Command::List { json } => list(&client, json).await?,
        Command::Replay { ids } => {
            for id in ids {
                client.post(&format!("/v1/dead-letters/{id}/replay"), &json!({})).await?;
                say!("{id}  replayed");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let mut path = "/v1/dead-letters".to_owned();
    loop {
        let page = client.get(&path).await?;
        for letter in page["deadLetters"].as_array().into_iter().flatten() {
            if json {
                say!("{letter}");
            } else {
                say!("{}", line(letter));
            }
        }
        let Some(cursor) = page["nextCursor"].as_str() else { return Ok(()) };
        path = format!("/v1/dead-letters?cursor={cursor}");
    }
}

fn line(letter: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let aside = &letter["setAside"];
    format!(
        "{}  {:<9}  {}  {:<10}  {}",
        text(&letter["id"]),
        text(&letter["status"]),
        text(&aside["at"]),
        text(&aside["cause"]),
        text(&aside["reason"])
    )
}

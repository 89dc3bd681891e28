//! `swapd key`: makes, lists and revokes the keys of the API, in the store that the daemons read.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    api::ApiKey,
    app::open_store,
    config::Config,
    store::{KeyRecord, Scope},
};

/// The longest name, in characters.
const LONGEST_NAME: usize = 64;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key and show it, once. Running daemons know it within two seconds.
    Create {
        /// What it is called in lists and logs: letters, digits, `-`, `_` and `.`.
        name: String,
        /// What it may do.
        #[arg(long, value_enum)]
        scope: Scope,
        /// Requests in a second, such as `50/s`, for each api process; left out, no limit.
        #[arg(long, value_parser = rate)]
        rate: Option<u32>,
    },
    /// List all keys, also the revoked ones.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a key back. Running daemons refuse it within two seconds.
    Revoke {
        /// Its name.
        name: String,
    },
}

pub(super) async fn run(command: Command, config: &Config) -> anyhow::Result<ExitCode> {
    let store = open_store(config).await?;
    let now = OffsetDateTime::now_utc();
    match command {
        Command::Create { name, scope, rate } => {
            let sane = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(sane) {
                bail!("a name has 1 to {LONGEST_NAME} letters, digits, `-`, `_` or `.`");
            }
            let (text, key) = ApiKey::generate();
            let record = KeyRecord {
                name: name.clone(),
                digest: key.digest(),
                scope,
                per_second: rate,
                created_at: now,
                revoked_at: None,
            };
            if !store.create_key(&record).await? {
                bail!("the name `{name}` is or was in use: choose another one");
            }
            say!("{text}");
            eprintln!("this is the only time that the key is shown; from now on every caller needs a key");
        }
        Command::List { json } => {
            for key in store.keys().await? {
                list(&key, json);
            }
        }
        Command::Revoke { name } => {
            if !store.revoke_key(&name, now).await? {
                bail!("no key `{name}` is in use");
            }
            say!("{name} is revoked");
        }
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

fn list(key: &KeyRecord, json: bool) {
    let time = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
    let (created, revoked) = (time(key.created_at), key.revoked_at.map(time));
    if json {
        say!(
            "{}",
            json!({"name": key.name, "scope": key.scope.as_str(), "perSecond": key.per_second,
                "createdAt": created, "revokedAt": revoked})
        );
        return;
    }
    let rate = key.per_second.map_or_else(|| "no limit".to_owned(), |rate| format!("{rate}/s"));
    let state = revoked.map_or_else(|| "in use".to_owned(), |at| format!("revoked {at}"));
    say!("{:<20} {:<5} {rate:>9}  made {created}  {state}", key.name, key.scope.as_str());
}

fn rate(text: &str) -> Result<u32, String> {
    let count = text.strip_suffix("/s").unwrap_or(text).parse::<u32>().ok().filter(|&count| count > 0);
    count.ok_or_else(|| "write requests in a second, such as 50/s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn a_rate_is_requests_in_a_second() {
        assert_eq!((rate("50/s"), rate("7")), (Ok(50), Ok(7)));
        for bad in ["", "0", "0/s", "-1/s", "5/m", "1.5/s"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}

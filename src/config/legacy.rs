//! The environment variables of the engines that swapd replaces, read as ours.
//!
//! Owns the list of names and what each means. Our own `SWAPD_*` names win over all of them. The embedded profile of a
//! newcomer is not touched by accident: a name counts only when `SWAPD_LEGACY_ENV=1` is set, which `.env.example` does.

use serde_json::{Map, Value, json};

use crate::domain::BaseUnits;

/// `DEFAULT_SLIPPAGE` is percent: 0.5 is 50 basis points.
const PERCENT_DECIMALS: u8 = 2;

/// The values that the older names give, as sections of our configuration.
pub fn values(var: impl Fn(&str) -> Option<String>) -> Value {
    let var = |name: &str| var(name).filter(|value| !value.is_empty());
    let mut sections = Map::new();
    if var("SWAPD_LEGACY_ENV").as_deref() != Some("1") {
        return Value::Object(sections);
    }
    let mut set = |section: &str, key: &str, value: Value| {
        if let Value::Object(values) = sections.entry(section).or_insert_with(|| json!({})) {
            values.insert(key.to_owned(), value);
        }
    };
    if let Some(url) = var("SOLANA_RPC_URL") {
        set("chain", "rpc_url", json!(url));
    }
    if let Some(key) = var("WALLET_PRIVATE_KEY") {
        set("wallets", "key", json!(key));
    }
    if let Some(url) = redis_url(&var) {
        set("queue", "url", json!(url));
        set("events", "url", json!(url));
    }
    if let Some(url) = postgres_url(&var) {
        set("store", "url", json!(url));
    }
    if let Some(name) = var("QUEUE_NAME") {
        set("queue", "prefix", json!(format!("{name}:")));
    }
    if var("HOST").is_some() || var("PORT").is_some() {
        set("api", "listen", json!(listen(&var)));
    }
    for name in ["CONCURRENCY", "QUEUE_CONCURRENCY"] {
        if let Some(text) = var(name) {
            set("engine", "signers", number(text));
        }
    }
    if let Some(text) = var("QUEUE_MAX_RETRIES") {
        set("engine", "max_retries", number(text));
    }
    if let Some(millis) = var("QUEUE_BACKOFF_DELAY") {
        set("engine", "backoff", json!(format!("{millis}ms")));
    }
    if let Some(text) = var("DEFAULT_SLIPPAGE") {
        let bps = BaseUnits::from_ui(&text, PERCENT_DECIMALS).map_or_else(|_| json!(text), |bps| json!(bps.get()));
        set("orders", "default_slippage_bps", bps.clone());
        set("orders", "percent_slippage_bps", bps);
    }
    Value::Object(sections)
}

/// The log filter that the older name gives.
pub fn log_filter(var: impl Fn(&str) -> Option<String>) -> Option<String> {
    if var("SWAPD_LEGACY_ENV").as_deref() != Some("1") {
        return None;
    }
    let level = var("LOG_LEVEL")?.to_lowercase();
    Some(match level.as_str() {
        "silent" => "off".into(),
        "fatal" | "error" => "error".into(),
        "warn" => "warn".into(),
        "info" | "debug" | "trace" => format!("warn,swapd={level}"),
        _ => return None,
    })
}

/// A number, or the text, which the configuration then refuses by its key.
fn number(text: String) -> Value {
    text.parse::<u64>().map_or(json!(text), |number| json!(number))
}

fn listen(var: &impl Fn(&str) -> Option<String>) -> String {
    let host = var("HOST").filter(|host| host != "localhost").unwrap_or_else(|| "127.0.0.1".into());
    let port = var("PORT").unwrap_or_else(|| "3000".into());
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn redis_url(var: &impl Fn(&str) -> Option<String>) -> Option<String> {
    var("REDIS_URL").or_else(|| {
        let host = var("REDIS_HOST")?;
        let port = var("REDIS_PORT").unwrap_or_else(|| "6379".into());
        let password = var("REDIS_PASSWORD").map(|password| format!(":{}@", escape(&password))).unwrap_or_default();
        Some(format!("redis://{password}{host}:{port}"))
    })
}

fn postgres_url(var: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let either = |a: &str, b: &str| var(a).or_else(|| var(b));
    var("DATABASE_URL").or_else(|| {
        let host = either("POSTGRES_HOST", "PGHOST")?;
        let port = either("POSTGRES_PORT", "PGPORT").unwrap_or_else(|| "5432".into());
        let user = either("POSTGRES_USER", "PGUSER").unwrap_or_else(|| "postgres".into());
        let password = either("POSTGRES_PASSWORD", "PGPASSWORD").map(|text| format!(":{}", escape(&text)));
        let database = either("POSTGRES_DB", "PGDATABASE").unwrap_or_else(|| user.clone());
        Some(format!("postgres://{}{}@{host}:{port}/{database}", escape(&user), password.unwrap_or_default()))
    })
}

fn escape(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Value {
        values(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_older_names_are_understood() {
        let values = read(&[
            ("SWAPD_LEGACY_ENV", "1"),
            ("REDIS_HOST", "cache"),
            ("REDIS_PASSWORD", "p@ss"),
            ("PGHOST", "db"),
            ("PGUSER", "trader"),
            ("PGPASSWORD", "a b"),
            ("PGDATABASE", "orders"),
            ("PORT", "4000"),
            ("DEFAULT_SLIPPAGE", "0.5"),
            ("QUEUE_CONCURRENCY", "20"),
            ("QUEUE_MAX_RETRIES", "4"),
            ("QUEUE_BACKOFF_DELAY", "1000"),
            ("QUEUE_NAME", "orders"),
            ("SOLANA_RPC_URL", "https://rpc.example"),
            ("WALLET_PRIVATE_KEY", "[1,2]"),
        ]);
        assert_eq!(values["queue"]["url"], "redis://:p%40ss@cache:6379");
        assert_eq!(values["store"]["url"], "postgres://trader:a%20b@db:5432/orders");
        assert_eq!(values["api"]["listen"], "127.0.0.1:4000");
        assert_eq!(values["orders"]["default_slippage_bps"], 50);
        assert_eq!(values["orders"]["percent_slippage_bps"], 50);
        assert_eq!(values["engine"], json!({ "signers": 20, "max_retries": 4, "backoff": "1000ms" }));
        assert_eq!(values["queue"]["prefix"], "orders:");
        assert_eq!(values["chain"]["rpc_url"], "https://rpc.example");
        assert_eq!(values["wallets"]["key"], "[1,2]");
    }

    #[test]
    fn the_urls_of_the_others_are_understood() {
        let on = ("SWAPD_LEGACY_ENV", "1");
        let values = read(&[on, ("DATABASE_URL", "postgres://a/b"), ("REDIS_URL", "redis://c"), ("PGHOST", "unused")]);
        assert_eq!(values["store"]["url"], "postgres://a/b");
        assert_eq!((&values["queue"]["url"], &values["events"]["url"]), (&json!("redis://c"), &json!("redis://c")));
        let names = [("POSTGRES_HOST", "db"), ("POSTGRES_PORT", "5433"), ("POSTGRES_USER", "u"), ("POSTGRES_DB", "d")];
        let values = read(&[&[on], names.as_slice()].concat());
        assert_eq!(values["store"]["url"], "postgres://u@db:5433/d");
        assert_eq!(read(&[on, ("HOST", "::1")])["api"]["listen"], "[::1]:3000");
        assert_eq!(read(&[on, ("HOST", "localhost"), ("PORT", "5")])["api"]["listen"], "127.0.0.1:5");
    }

    #[test]
    fn nonsense_is_left_for_the_configuration_to_refuse() {
        let values = read(&[("SWAPD_LEGACY_ENV", "1"), ("CONCURRENCY", "many"), ("DEFAULT_SLIPPAGE", "0.125")]);
        assert_eq!(
            (&values["engine"]["signers"], &values["orders"]["default_slippage_bps"]),
            (&json!("many"), &json!("0.125"))
        );
    }

    #[test]
    fn a_log_level_becomes_a_filter() {
        let filter = |on: &str, level: &str| {
            log_filter(|name| Some(if name == "LOG_LEVEL" { level.to_owned() } else { on.to_owned() }))
        };
        assert_eq!(filter("1", "debug").as_deref(), Some("warn,swapd=debug"));
        assert_eq!(filter("1", "fatal").as_deref(), Some("error"));
        assert_eq!(filter("1", "silent").as_deref(), Some("off"));
        assert_eq!((filter("1", "loud"), filter("", "debug")), (None, None));
    }

    #[test]
    fn they_count_only_when_asked_for() {
        assert_eq!(read(&[("DATABASE_URL", "postgres://elsewhere/db")]), json!({}));
    }
}

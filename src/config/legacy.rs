//! The environment variables of the engines that swapd replaces, read as ours.
//!
//! Owns the list of names and what each means. Our own `SWAPD_*` names win over all of them. The embedded profile of a
//! newcomer is not touched by accident: a name counts only when `SWAPD_LEGACY_ENV=1` is set, which `.env.example` does.

use serde_json::{Map, Value, json};

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
    if let Some(port) = var("PORT") {
        let host = var("HOST").filter(|host| host != "localhost").unwrap_or_else(|| "127.0.0.1".into());
        set("api", "listen", json!(format!("{host}:{port}")));
    }
    for name in ["CONCURRENCY", "QUEUE_CONCURRENCY"] {
        if let Some(Ok(signers)) = var(name).map(|text| text.parse::<u64>()) {
            set("engine", "signers", json!(signers));
        }
    }
    if let Some(Ok(retries)) = var("QUEUE_MAX_RETRIES").map(|text| text.parse::<u64>()) {
        set("engine", "max_retries", json!(retries));
    }
    if let Some(Ok(millis)) = var("QUEUE_BACKOFF_DELAY").map(|text| text.parse::<u64>()) {
        set("engine", "backoff", json!(format!("{millis}ms")));
    }
    if let Some(Ok(slippage)) = var("DEFAULT_SLIPPAGE").map(|text| crate::domain::BaseUnits::from_ui(&text, 2)) {
        // Percent in the older engine's document: 0.5 is 50 basis points.
        set("orders", "default_slippage_bps", json!(slippage.get()));
    }
    Value::Object(sections)
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
            ("QUEUE_BACKOFF_DELAY", "1000"),
        ]);
        assert_eq!(values["queue"]["url"], "redis://:p%40ss@cache:6379");
        assert_eq!(values["store"]["url"], "postgres://trader:a%20b@db:5432/orders");
        assert_eq!(values["api"]["listen"], "127.0.0.1:4000");
        assert_eq!(values["orders"]["default_slippage_bps"], 50);
        assert_eq!(values["engine"]["backoff"], "1000ms");
    }

    #[test]
    fn they_count_only_when_asked_for() {
        assert_eq!(read(&[("DATABASE_URL", "postgres://elsewhere/db")]), json!({}));
    }
}

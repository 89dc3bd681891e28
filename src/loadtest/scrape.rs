//! Scrape: what the daemon counts about itself, read before and after a load.
//!
//! Owns the reading of Prometheus's text format, as far as these few numbers need it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::client::Client;
use crate::metrics::RPC_CALLS;

/// What the pages say together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// RPC calls by method.
    pub rpc_calls: BTreeMap<String, f64>,
    /// Processor time of the daemon's processes, in seconds.
    pub cpu_seconds: f64,
    /// Their resident memory, in bytes.
    pub memory: f64,
}

/// RPC calls of one method.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Calls {
    /// How many.
    pub calls: u64,
    /// For each order that ended.
    pub per_order: f64,
}

/// Reads the pages at `urls`; `None` when one does not answer.
pub async fn scrape(client: &Client, urls: &[String]) -> Option<Page> {
    let mut all = Page::default();
    for url in urls {
        let page = read(&client.text(url).await?);
        for (method, calls) in page.rpc_calls {
            *all.rpc_calls.entry(method).or_default() += calls;
        }
        all.cpu_seconds += page.cpu_seconds;
        all.memory += page.memory;
    }
    Some(all)
}

fn read(text: &str) -> Page {
    let mut page = Page::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        let Ok(value) = value.parse::<f64>() else { continue };
        if let Some(labels) = name.strip_prefix(RPC_CALLS) {
            let method = labels.split("method=\"").nth(1).and_then(|rest| rest.split('"').next());
            *page.rpc_calls.entry(method.unwrap_or("unknown").to_owned()).or_default() += value;
        }
        match name {
            "process_cpu_seconds_total" => page.cpu_seconds = value,
            "process_resident_memory_bytes" => page.memory = value,
            _ => {}
        }
    }
    page
}

impl Page {
    /// The calls made since `before`, by method, and the sum under `all`.
    pub fn since(&self, before: &Self, orders: u64) -> BTreeMap<String, Calls> {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts to look at"
        )]
        let calls = |count: f64| Calls { calls: count as u64, per_order: count / (orders.max(1) as f64) };
        let made = |(method, count): (&String, &f64)| {
            let count = count - before.rpc_calls.get(method).copied().unwrap_or_default();
            (count > 0.0).then(|| (method.clone(), count))
        };
        let made: Vec<(String, f64)> = self.rpc_calls.iter().filter_map(made).collect();
        let all = made.iter().map(|(_, count)| count).sum();
        made.into_iter().chain([("all".to_owned(), all)]).map(|(method, count)| (method, calls(count))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_method_whatever_came_of_them() {
        let page = |ok: u32, failed: u32| {
            read(&format!(
                "# HELP swapd_rpc_calls_total RPC calls\nprocess_cpu_seconds_total 1.5\n\
                 swapd_rpc_calls_total{{endpoint=\"a\",method=\"sendTransaction\",result=\"ok\"}} {ok}\n\
                 swapd_rpc_calls_total{{endpoint=\"a\",method=\"sendTransaction\",result=\"timed_out\"}} {failed}\n\
                 swapd_rpc_calls_total{{endpoint=\"a\",method=\"getSlot\",result=\"ok\"}} 7\n"
            ))
        };
        let made = page(18, 4).since(&page(10, 2), 10);
        assert_eq!(made["sendTransaction"], Calls { calls: 10, per_order: 1.0 });
        assert_eq!(made["all"].calls, 10);
        assert!(!made.contains_key("getSlot"), "none since");
    }
}

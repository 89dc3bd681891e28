//! Growth: what a daemon asks of its store must not cost more because more orders are stored. Not times are looked at but
//! what the databases say they do: SQLite its plans, PostgreSQL the rows it has read.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection, Row, SqliteConnection};
use swapd::{
    domain::{ErrorCode, Failure, OrderEvent},
    store,
};
use tokio::process::Command;

use crate::{
    store_contract::sample::{step, stored},
    support::{
        daemon::{Daemon, Setup, World},
        eventually, servers, sql,
    },
};

/// Ended orders in the store: many more than a page or a sweep may touch.
const STORED: usize = 3_000;
/// The tables that grow with each order.
const GROWING: [&str; 4] = ["orders", "order_status_history", "attempts", "idempotency_keys"];
/// Indexes of SQLite that hold only orders with something left to do.
const SMALL: [&str; 4] = ["orders_with_work", "orders_set_aside", "orders_with_deadline", "orders_open_promises"];
const SLOT: std::time::Duration = std::time::Duration::from_millis(50);

/// Stores orders that have ended, as many as there are.
async fn fill(url: &str) {
    let store = store::open(url).await.unwrap();
    let ended = (0..STORED).map(|n| {
        let store = store.clone();
        async move {
            let mut order = stored(&store).await;
            let failure = Failure::new(ErrorCode::NoRoute, "none");
            let end = if n % 3 == 0 { OrderEvent::Cancelled } else { OrderEvent::Failed { failure } };
            step(&store, &mut order, end).await.unwrap();
        }
    });
    join_all(ended).await;
    store.close().await;
}

/// Starts a daemon, does everything that clients do with stored orders, swaps once, and ends it; what it logged.
async fn a_days_work(world: &World, setup: &Setup) -> String {
    let mut command = Command::new("env");
    command.arg("SWAPD_LOG=info,sqlx::query=debug").arg(env!("CARGO_BIN_EXE_swapd"));
    let mut daemon = Daemon::run(command, &world.config(setup), "all");
    daemon.is_ready().await;
    let wallet = world.wallets[0];
    let filters =
        ["", "&status=failed", "&status=cancelled,failed", "&status=pending", "&tokenIn=SOL", "&tokenOut=USDC"]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("&wallet={wallet}"), format!("&status=failed&tokenIn=SOL&tokenOut=USDC&wallet={wallet}")]);
    for filter in filters {
        let (code, page) = daemon.get(&format!("/v1/orders?limit=5{filter}")).await;
        assert_eq!(code, 200, "{page}");
        if let Some(cursor) = page["nextCursor"].as_str() {
            assert_eq!(daemon.get(&format!("/v1/orders?limit=5&cursor={cursor}{filter}")).await.0, 200);
        }
    }
    let id = daemon.order(&json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"})).await;
    let order = daemon.ended(&id).await;
    assert_eq!(order["status"], "confirmed", "{order}");
    for path in [&*format!("/v1/orders/{id}/receipt"), "/v1/dead-letters", "/v1/status", "/v1/wallets", "/ready"] {
        assert_eq!(daemon.get(path).await.0, 200, "{path}");
    }
    assert!(daemon.terminate().await.success());
    daemon.whole_log().await
}

/// Every statement of a log that reads or writes rows, once.
fn statements(log: &str) -> BTreeSet<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let whole = lines.filter(|line| line["target"] == "sqlx::query").filter_map(|line| {
        let text = |field: &str| line["fields"][field].as_str().unwrap_or_default().trim().to_owned();
        Some(text("db.statement")).filter(|text| !text.is_empty()).or_else(|| Some(text("summary")))
    });
    let ours = ["select", "with", "insert", "update", "delete"];
    whole.filter(|text| ours.iter().any(|word| text.starts_with(word)) && !text.contains("_sqlx_")).collect()
}

/// The statements that walk a growing table from end to end, with the line of the plan that says so.
async fn walks(url: &str, statements: &BTreeSet<String>) -> Vec<String> {
    let mut db = SqliteConnection::connect(url).await.unwrap();
    let mut found = Vec::new();
    for statement in statements {
        let plan = sqlx::query(&format!("explain query plan {statement}")).fetch_all(&mut db).await.unwrap();
        for step in plan {
            let step: String = step.get("detail");
            let mut words = step.split_whitespace();
            let table = (words.next() == Some("SCAN")).then(|| words.next()).flatten().unwrap_or_default();
            // Statements call the history `e` and its orders `o`.
            let grows = GROWING.contains(&table) || ["e", "o"].contains(&table);
            // In the order of an index, a walk ends where the limit is reached.
            let ends = SMALL.iter().any(|index| step.ends_with(index))
                || step.contains(" USING ") && statement.contains(" limit ");
            // What a key's order would have to be is looked for only while a foreign key is violated.
            let never = table == "idempotency_keys" && statement.starts_with("insert into orders");
            if grows && !ends && !never {
                found.push(format!("{step}: {statement}"));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_on_sqlite_walks_through_all_orders() {
    let world = World::start(SLOT, 1).await;
    let setup = world.embedded();
    fill(&setup.store).await;
    let statements = statements(&a_days_work(&world, &setup).await);
    for part in ["from orders where id in (select id from (", "has_work = 1", "insert into orders ", "e.order_id = ?1"]
    {
        assert!(
            statements.iter().any(|text| text.contains(part)),
            "`{part}` was not run, or is not seen: {statements:#?}"
        );
    }
    assert_eq!(walks(&setup.store, &statements).await, [""; 0]);

    for index in ["orders_by_status", "orders_with_work"] {
        sql::execute(&setup.store, &format!("drop index {index}")).await;
        assert_ne!(walks(&setup.store, &statements).await, [""; 0], "without {index} there is a walk, and it is seen");
    }
}

/// Rows that statements have read from the growing tables, by whatever way, once all connections of stores are gone:
/// a connection reports what it has done at its end at the latest.
async fn rows_read(url: &str) -> u64 {
    eventually("the stores' connections to end", || async {
        let query = "select count(*)::text from pg_stat_activity \
            where application_name = 'swapd' and datname = current_database()";
        if sql::text(url, query).await == "0" { Ok(()) } else { Err(()) }
    })
    .await;
    let tables = GROWING.map(|table| format!("'{table}'")).join(", ");
    let query = format!(
        "select (coalesce((select sum(seq_tup_read) from pg_stat_user_tables where relname in ({tables})), 0) \
         + coalesce((select sum(idx_tup_read) from pg_stat_user_indexes where relname in ({tables})), 0))::text"
    );
    sql::text(url, &query).await.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_on_postgresql_reads_few_of_many_stored_orders() {
    let world = World::start(SLOT, 1).await;
    let setup = Setup { store: servers::fresh_database().await, ..world.embedded() };
    fill(&setup.store).await;
    // What a server that has had its tables for a while has done by itself: entries of indexes for what orders were
    // before they ended are gone, each of which would be read once more.
    sql::execute(&setup.store, "vacuum analyze").await;
    let before = rows_read(&setup.store).await;
    a_days_work(&world, &setup).await;
    let read = rows_read(&setup.store).await - before;
    assert!(read > 0, "what was read is counted");
    assert!(read < STORED as u64, "{read} rows were read, with {STORED} stored orders");
}

//! Upgrades: a database that an earlier version made, at every number of migrations there ever was, is opened by this one.

use std::{fs, path::Path};

use solana_sdk::pubkey::Pubkey;
use sqlx::{
    Connection, Executor, PgConnection, Row, SqliteConnection,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::SqliteConnectOptions,
};
use swapd::{
    domain::{Dialect, ErrorCode, Expiry, Failure, Lamports, NewOrder, Order, OrderEvent, OrderId, PoolWish, VenueId},
    store::{Census, Creation, IdempotencyKey, OrderFilter, SharedStore},
};
use tempfile::TempDir;
use time::Duration;

use super::{
    open,
    sample::{START, attempt, fill, landing, listed, new_order, reservation, reserve, routed, step, stored},
};
use crate::support::servers;

/// The tables that hold what was traded, in an order that satisfies their references.
const TABLES: [&str; 5] = ["orders", "order_status_history", "attempts", "idempotency_keys", "facts"];
/// What the third migration gave other names, as it was before.
const FORMER_NAMES: [&str; 4] = [
    "update orders set dialect = 's0' where dialect = 'plain'",
    "update orders set dialect = 's3' where dialect = 'typed'",
    "update idempotency_keys set key = 's0:plain-1' where key = 'plain:plain-1'",
    "update idempotency_keys set key = 's3:typed-1' where key = 'typed:typed-1'",
];
const KEY_BODY: [u8; 32] = [7; 32];

/// The migrations of a backend, by number.
fn migrations(backend: &str) -> Vec<Migration> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(backend);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let migration = |(at, path): (usize, &std::path::PathBuf)| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let number = i64::try_from(at).unwrap() + 1;
        assert!(name.starts_with(&format!("{number:04}_")), "{name} is not number {number}");
        let text = fs::read_to_string(path).unwrap();
        Migration::new(number, name.into(), MigrationType::Simple, text.into(), false)
    };
    files.iter().enumerate().map(migration).collect()
}

fn keyed(dialect: &str) -> IdempotencyKey {
    IdempotencyKey { key: format!("{dialect}:{dialect}-1"), body: KEY_BODY }
}

async fn spoken(store: &SharedStore, dialect: Dialect) -> Order {
    let order = Order::create(OrderId::new(), NewOrder { dialect, ..new_order() }, START);
    store.create(&order, Some(&keyed(dialect.as_str()))).await.unwrap();
    order
}

/// One order of every state there is, two in the words that had other names once, one with all that orders can ask for.
async fn one_of_each(store: &SharedStore) -> Vec<Order> {
    let wallet = Pubkey::new_unique();
    let failure = Failure::new(ErrorCode::NoRoute, "none");
    let mut all = vec![spoken(store, Dialect::Plain).await, spoken(store, Dialect::Typed).await];
    let wishing = NewOrder {
        pool_wish: Some(PoolWish { address: Some("test-pool".into()), base_in: Some(false) }),
        expiry: Some(Expiry::In(Duration::HOUR)),
        wallet: Some(wallet),
        ..new_order()
    };
    let wishing = Order::create(OrderId::new(), wishing, START);
    store.create(&wishing, None).await.unwrap();
    all.push(wishing);
    // How far each of them goes.
    let ends = ["routing", "building", "submitted", "confirmed", "rejected", "paper", "failed", "cancelled"];
    for end in ends {
        let mut order = stored(store).await;
        let go = async |order: &mut Order, event: OrderEvent| drop(step(store, order, event).await.unwrap());
        match end {
            "failed" => go(&mut order, OrderEvent::Failed { failure: failure.clone() }).await,
            "cancelled" => go(&mut order, OrderEvent::Cancelled).await,
            _ => go(&mut order, OrderEvent::Claimed).await,
        }
        if ["building", "submitted", "confirmed", "rejected"].contains(&end) {
            let event = routed(&order, wallet, true);
            reserve(store, &mut order, event, Some(reservation(wallet, 5, u64::MAX, 0))).await.unwrap();
        }
        if ["submitted", "confirmed", "rejected"].contains(&end) {
            let attempt = attempt(&order);
            go(&mut order, OrderEvent::Signed { attempt: attempt.clone() }).await;
            let (landing, failure) = (landing(&attempt), failure.clone());
            match end {
                "confirmed" => {
                    let fee = Some(Lamports::new(5_000));
                    go(&mut order, OrderEvent::Landed { landing, fill: Some(fill()), fee }).await;
                }
                "rejected" => go(&mut order, OrderEvent::Rejected { landing, failure }).await,
                _ => {}
            }
        }
        if end == "paper" {
            let event = routed(&order, wallet, false);
            go(&mut order, event).await;
            go(&mut order, OrderEvent::PaperFilled { venue: VenueId::MeteoraMock, fill: fill() }).await;
        }
        all.push(order);
    }
    store.set_fact("genesis", "hash").await.unwrap();
    all
}

/// An empty database on the same server or in a folder, as the first `number` migrations leave it; with what `current`
/// has in the columns that there were then.
async fn of_version(number: usize, current: &str, folder: &TempDir) -> String {
    let schema = |backend: &str| {
        let migrations = migrations(backend).into_iter().take(number).collect::<Vec<_>>();
        Migrator { migrations: migrations.into(), ..Migrator::DEFAULT }
    };
    if let Some(path) = current.strip_prefix("sqlite:") {
        let file = folder.path().join(format!("version-{number}.db"));
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let mut old = SqliteConnection::connect_with(&options).await.unwrap();
        schema("sqlite").run(&mut old).await.unwrap();
        old.execute(format!("attach database '{path}' as current").as_str()).await.unwrap();
        for table in TABLES {
            let names = format!("select name from pragma_table_info('{table}', 'main')");
            let names = columns(old.fetch_all(names.as_str()).await.unwrap().iter().map(|row| row.get(0)));
            let copy = format!("insert into main.{table} ({names}) select {names} from current.{table}");
            old.execute(copy.as_str()).await.unwrap();
        }
        for rename in FORMER_NAMES.into_iter().filter(|_| number < 3) {
            old.execute(rename).await.unwrap();
        }
        old.close().await.unwrap();
        return format!("sqlite:{}", file.display());
    }
    let url = servers::create_database(current).await;
    let mut old = PgConnection::connect(&url).await.unwrap();
    schema("postgres").run(&mut old).await.unwrap();
    let mut new = PgConnection::connect(current).await.unwrap();
    for table in TABLES {
        let names = format!(
            "select column_name::text from information_schema.columns where table_schema = 'public' \
             and table_name = '{table}'"
        );
        let names = columns(old.fetch_all(names.as_str()).await.unwrap().iter().map(|row| row.get(0)));
        let rows = format!("select coalesce(json_agg(t), '[]')::text from {table} t");
        let rows: String = new.fetch_one(rows.as_str()).await.unwrap().get(0);
        let copy = format!(
            "insert into {table} ({names}) select {names} from json_populate_recordset(null::{table}, $1::json)"
        );
        sqlx::query(&copy).bind(rows).execute(&mut old).await.unwrap();
    }
    for rename in FORMER_NAMES.into_iter().filter(|_| number < 3) {
        old.execute(rename).await.unwrap();
    }
    url
}

fn columns(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

async fn census(store: &SharedStore) -> Vec<Census> {
    let mut rows = store.census().await.unwrap();
    rows.sort_by_key(|row| row.status);
    rows
}

pub async fn a_database_of_every_earlier_version_keeps_all_it_has(url: String) {
    let store = open(&url).await;
    let mut originals = Vec::new();
    for order in one_of_each(&store).await {
        originals.push(store.order(order.id).await.unwrap().unwrap());
    }
    store.close().await;
    let backend = if url.starts_with("sqlite:") { "sqlite" } else { "postgres" };
    let folder = tempfile::tempdir().unwrap();
    for number in 1..=migrations(backend).len() {
        let upgraded = open(&of_version(number, &url, &folder).await).await;
        let current = open(&url).await;
        let mut expected = originals.clone();
        for order in &mut expected {
            order.pool_wish = order.pool_wish.take().filter(|_| number >= 3);
            order.expires_at = order.expires_at.filter(|_| number >= 4);
        }
        for order in &expected {
            let id = order.id;
            assert_eq!(upgraded.order(id).await.unwrap().as_ref(), Some(order), "from {number}");
            assert_eq!(upgraded.history(id, 0).await.unwrap(), current.history(id, 0).await.unwrap());
            assert_eq!(upgraded.attempts(id).await.unwrap(), current.attempts(id).await.unwrap());
        }
        for (dialect, order) in [("plain", &expected[0]), ("typed", &expected[1])] {
            let used = upgraded.used_key(&keyed(dialect)).await.unwrap();
            assert_eq!(used, Some(Creation::Existing(order.id)), "{dialect} from {number}");
        }
        assert_eq!(census(&upgraded).await, census(&current).await, "promises, too");
        assert_eq!(upgraded.fact("genesis").await.unwrap().as_deref(), Some("hash"));
        let cursor = upgraded.cursor().await.unwrap();
        assert_eq!(cursor, current.cursor().await.unwrap());

        // It goes on where it was.
        let mut pending = expected[0].clone();
        assert_eq!(step(&upgraded, &mut pending, OrderEvent::Claimed).await.unwrap().cursor, cursor + 1);
        stored(&upgraded).await;
        assert_eq!(listed(&upgraded, &OrderFilter::default(), 100).await.len(), originals.len() + 1);
        upgraded.close().await;
        current.close().await;
    }
}

//! Redis emptied, Redis and PostgreSQL killed and restarted, each in the middle of 500 orders of several wallets.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;

use super::{
    audit::Before,
    fleet::{Backend, Fleet},
    load::{Client, small},
    report::Findings,
};
use crate::support::{
    daemon::World,
    servers::{Disk, PostgresServer, RedisServer, create_database},
};

const SLOT: Duration = Duration::from_millis(50);
const WALLETS: usize = 4;
/// In one run.
pub const ORDERS: u64 = 500;
/// Orders that are given at the same time.
const AT_ONCE: usize = 24;
/// How long a killed server stays away.
const AWAY: Duration = Duration::from_millis(700);

/// What happens to a server.
#[derive(Clone, Copy, Debug)]
pub enum Outage {
    /// `FLUSHALL`.
    RedisEmptied,
    /// `kill -9`, and a start with what its file has: nothing.
    RedisKilled,
    /// A stop as an operator does it, and a start.
    PostgresRestarted,
    /// An end without a shutdown, and a start that recovers from the log.
    PostgresCrashed,
}

/// 500 orders, and each of the outages once among them, evenly apart.
pub async fn outages(outages: &[Outage], progress: &ProgressBar) -> Findings {
    let world = World::start(SLOT, WALLETS).await;
    let before = Before::read(&world).await;
    let mut redis = RedisServer::start(Disk::Fast, &[]);
    let mut postgres = PostgresServer::start(Disk::Durable);
    let setup = world.shared(&create_database(&postgres.url()).await, &redis.url());
    let fleet = Fleet::start(&world, setup, Backend::Shared).await;
    let client = Client::new(fleet.url());

    let bodies: Vec<_> = (0..ORDERS).map(small).collect();
    let giving = stream::iter(&bodies).for_each_concurrent(AT_ONCE, |body| async {
        client.order(body).await;
        progress.inc(1);
    });
    let breaking = async {
        for (n, outage) in outages.iter().enumerate() {
            let due = ORDERS as usize * (n + 1) / (outages.len() + 1);
            while client.given().len() < due {
                tokio::time::sleep(Duration::from_millis(1)).await; // between looks
            }
            match outage {
                Outage::RedisEmptied => redis.flush_all(),
                Outage::RedisKilled => {
                    redis.kill();
                    tokio::time::sleep(AWAY).await;
                    redis.start_again();
                }
                Outage::PostgresRestarted => {
                    postgres.stop();
                    tokio::time::sleep(AWAY).await;
                    postgres.start_again();
                }
                Outage::PostgresCrashed => {
                    postgres.crash();
                    tokio::time::sleep(AWAY).await;
                    postgres.start_again();
                }
            }
        }
    };
    tokio::join!(giving, breaking);

    let audit = before.audit(&world, fleet.api(), &client.given()).await;
    Findings::new(&format!("{ORDERS} orders and {outages:?}"), Backend::Shared, 0, audit)
}

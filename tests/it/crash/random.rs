//! Kills at random moments under load, before a chain that is far away: what is sent lands late, never, or with an
//! error, and the answers are late, wrong, missing or refused.

use std::{sync::Mutex, time::Duration};

use indicatif::ProgressBar;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio_util::sync::CancellationToken;

use super::{
    audit::Before,
    fleet::{Backend, Fleet, Victims, proxy},
    load::{Client, Orders},
    report::Findings,
    resumption::Resumption,
};
use crate::support::daemon::World;

/// At 40 ms a slot a blockhash dies within 6 s.
const SLOT: Duration = Duration::from_millis(40);
/// Clients that give orders, one after the other each.
const CLIENTS: usize = 3;
/// The longest rest of a client between two orders, in milliseconds.
const CLIENT_RESTS: u64 = 800;
/// The longest a fleet lives after it is ready, in milliseconds.
const LIFE: u64 = 600;
/// One death of so many is followed by another one during the new start.
const DEATHS_AT_START: u32 = 10;

/// What befalls transactions, each with all its sends, and then single calls.
const BAD_DAY: &str = r#"
    rules = [
        { when = { signatures_per_mille = 60 }, fault = "swallow" },
        { when = { signatures_per_mille = 120 }, fault = { late = { slots = { min = 5, max = 80 } } } },
        { when = { signatures_per_mille = 80 }, fault = { late = { expiry = { min = -5, max = 3 } } } },
        { methods = ["sendTransaction"], when = { per_mille = 60 }, fault = "swallow" },
        { methods = ["sendTransaction"], when = { per_mille = 80 }, fault = "accept_then_502" },
        { methods = ["sendTransaction"], when = { per_mille = 50 }, fault = { drop = { seen = "close", forward = true } } },
        { methods = ["sendTransaction"], when = { per_mille = 50 }, fault = { duplicate = { answer = "second" } } },
        { methods = ["sendTransaction"], when = { per_mille = 50 }, fault = { refuse = "blockhash_not_found" } },
        { methods = ["getSignatureStatuses"], when = { per_mille = 100 }, fault = { refuse = "no_history" } },
        { methods = ["getSignatureStatuses"], when = { every = 5 }, fault = { lag = { slots = 20 } } },
        { methods = ["getTransaction"], when = { per_mille = 200 }, fault = { refuse = "node_unhealthy" } },
        { methods = ["getBlockHeight", "getSlot"], when = { every = 7 }, fault = { height_back = { by = 30 } } },
        { when = { per_mille = 100 }, fault = { delay = { min = "5ms", max = "150ms" } } },
        { when = { per_mille = 10 }, fault = { too_many_requests = {} } },
        { when = { every = 5 }, fault = "lose_notification" },
        { when = { per_mille = 50 }, fault = { wrong_notification = {} } },
        { fault = { cut_sockets_every = "5s" } },
    ]
"#;

/// So many kills; the same seed gives the same orders, faults and moments.
pub async fn random_kills(backend: Backend, kills: usize, seed: u64, progress: &ProgressBar) -> Findings {
    let world = World::start(SLOT, 3).await;
    let before = Before::read(&world).await;
    let chaos = proxy(&world, BAD_DAY, seed).await;
    let mut setup = backend.setup(&world, "[engine]\nunknown_after = \"2s\"\nmax_take_ups = 10000\n").await;
    setup.endpoint = Some((chaos.rpc_url(), chaos.ws_url()));
    let mut fleet = Fleet::start(&world, setup, backend).await;
    let client = Client::new(fleet.url());
    let orders = Mutex::new(Orders::new(seed, world.wallets[2]));
    let over = CancellationToken::new();

    let give = |n: usize| {
        let (client, orders, over) = (&client, &orders, &over);
        async move {
            let mut random = StdRng::seed_from_u64(seed ^ n as u64);
            while !over.is_cancelled() {
                let order = orders.lock().unwrap().next();
                client.order(&order).await;
                tokio::time::sleep(Duration::from_millis(random.random_range(0..CLIENT_RESTS))).await; // the load
            }
        }
    };
    let giving = futures_util::future::join_all((0..CLIENTS).map(give));
    let killing = async {
        let mut random = StdRng::seed_from_u64(seed);
        while fleet.kills.len() < kills {
            let victims = victims(&mut random, fleet.len());
            tokio::time::sleep(Duration::from_millis(random.random_range(0..LIFE))).await; // the random moment
            fleet.kill(victims).await;
            if random.random_ratio(1, DEATHS_AT_START) {
                fleet.spawn(victims);
                tokio::time::sleep(Duration::from_millis(random.random_range(0..LIFE))).await; // another one
                fleet.kill(victims).await;
            }
            fleet.start_again(victims).await;
            progress.set_position(fleet.kills.len() as u64);
            progress.set_message(format!("{} orders", client.given().len()));
        }
        over.cancel();
    };
    tokio::join!(giving, killing);

    progress.set_message("waiting for every order to end");
    let audit = before.audit(&world, fleet.api(), &client.given()).await;
    let mut resumption = Resumption::after(&fleet.kills, &audit.orders, |victims| victims == Victims::All);
    let findings = Findings::new(&format!("Kills at random moments, seed {seed}"), backend, fleet.kills.len(), audit);
    Findings {
        counts: Some(chaos.counts()),
        slowest: resumption.slowest(),
        times: resumption.times("all processes killed"),
        ..findings
    }
}

/// All of them half of the time, else any one.
fn victims(random: &mut StdRng, processes: usize) -> Victims {
    if processes == 1 || random.random_bool(0.5) {
        Victims::All
    } else {
        Victims::One(random.random_range(0..processes))
    }
}

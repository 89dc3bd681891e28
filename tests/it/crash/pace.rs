//! Pace: how soon orders in flight move again after a kill, with nothing else in their way.

use std::time::Duration;

use futures_util::future::join_all;
use indicatif::ProgressBar;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    audit::Before,
    fleet::{Backend, Fleet, Victims},
    load::{Client, small},
    report::Findings,
    resumption::Resumption,
};
use crate::support::daemon::World;

const SLOT: Duration = Duration::from_millis(50);
/// Orders that are given at once before each kill: twice what the signers of a process take up.
const BURST: u64 = 20;
/// The longest time between one of the burst's orders and the kill, in milliseconds.
const LIFE: u64 = 100;

/// So many rounds of a burst of orders and a kill among them: of all processes and, where there are several, of one
/// worker and of the api.
pub async fn restarts(backend: Backend, rounds: usize, progress: &ProgressBar) -> Findings {
    let world = World::start(SLOT, 3).await;
    let before = Before::read(&world).await;
    let setup = backend.setup(&world, "").await;
    let mut fleet = Fleet::start(&world, setup, backend).await;
    let client = Client::new(fleet.url());
    let mut random = StdRng::seed_from_u64(7);
    let kinds: &[Victims] = match backend {
        Backend::Embedded => &[Victims::All],
        Backend::Shared => &[Victims::All, Victims::One(1), Victims::One(0)],
    };
    for round in 0..rounds {
        let victims = kinds[round % kinds.len()];
        let bodies: Vec<_> = (0..BURST).map(|n| small(round as u64 * BURST + n)).collect();
        let due = client.given().len() + random.random_range(1..=BURST as usize);
        let (given, ()) = tokio::join!(join_all(bodies.iter().map(|body| client.order(body))), async {
            while client.given().len() < due {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(random.random_range(0..LIFE))).await; // the random moment
            fleet.restart(victims).await;
        });
        // Each in flight has moved, before the next kill.
        join_all(given.iter().map(|id| fleet.api().ended(id))).await;
        progress.set_position(round as u64 + 1);
    }
    let audit = before.audit(&world, fleet.api(), &client.given()).await;
    let (mut times, mut slowest) = (Vec::new(), Vec::new());
    for (victims, what) in [
        (Victims::All, "all processes killed"),
        (Victims::One(1), "one worker killed"),
        (Victims::One(0), "api killed"),
    ] {
        if kinds.contains(&victims) {
            let mut resumption = Resumption::after(&fleet.kills, &audit.orders, |it| it == victims);
            slowest.extend(resumption.slowest());
            times.extend(resumption.times(what));
        }
    }
    let findings = Findings::new("Orders in flight after a restart", backend, fleet.kills.len(), audit);
    Findings { times, slowest, ..findings }
}

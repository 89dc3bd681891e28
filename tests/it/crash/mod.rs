//! Whatever dies: every accepted order ends, none executes twice, and no end is told that the chain does not know.
//!
//! Daemons and servers are killed; what then holds is counted on the chain. The tests here are a short run of each
//! scenario; `scripts/crash-kit` makes the long one and writes a report.

mod audit;
mod chain;
mod fleet;
mod load;
mod long;
mod outages;
mod pace;
mod random;
mod replay;
mod report;
mod resumption;
mod steps;
mod stops;

use indicatif::ProgressBar;

use fleet::Backend;
use outages::Outage;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_each_order_ends_as_it_must() {
    steps::every_step(Backend::Embedded).await.must_be_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_over_redis_and_postgres_each_order_ends_as_it_must() {
    steps::every_step(Backend::Shared).await.must_be_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_of_a_bad_day_every_order_ends_once() {
    random::random_kills(Backend::Embedded, 12, 7, &ProgressBar::hidden()).await.must_be_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_over_redis_and_postgres_every_order_ends_once() {
    random::random_kills(Backend::Shared, 12, 7, &ProgressBar::hidden()).await.must_be_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_in_flight_go_on_after_a_restart() {
    pace::restarts(Backend::Embedded, 3, &ProgressBar::hidden()).await.must_be_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_in_flight_go_on_when_any_process_of_several_dies() {
    pace::restarts(Backend::Shared, 3, &ProgressBar::hidden()).await.must_be_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_and_a_killed_redis_cost_no_order() {
    outages::outages(&[Outage::RedisEmptied, Outage::RedisKilled], &ProgressBar::hidden()).await.must_be_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_and_a_crashed_postgres_cost_no_order() {
    let outages = [Outage::PostgresRestarted, Outage::PostgresCrashed];
    outages::outages(&outages, &ProgressBar::hidden()).await.must_be_clean();
}

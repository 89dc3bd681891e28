//! Integration tests: one binary, so that the tree is linked once. What they need from outside is in `support`.

mod api;
mod bus_contract;
#[cfg(feature = "localnet")]
mod chaos;
#[cfg(feature = "localnet")]
mod clock;
#[cfg(feature = "localnet")]
mod crash;
#[cfg(feature = "localnet")]
mod crowd;
#[cfg(feature = "localnet")]
mod database;
#[cfg(feature = "localnet")]
mod dead_letters;
#[cfg(feature = "localnet")]
mod deadlines;
#[cfg(feature = "localnet")]
mod dialects;
mod driving;
#[cfg(feature = "localnet")]
mod dry_runs;
#[cfg(feature = "localnet")]
mod economy;
#[cfg(feature = "localnet")]
mod fleet;
#[cfg(feature = "localnet")]
mod growth;
#[cfg(feature = "localnet")]
mod idempotency;
#[cfg(feature = "localnet")]
mod keys;
#[cfg(feature = "localnet")]
mod landing;
#[cfg(feature = "localnet")]
mod loadtest;
#[cfg(feature = "localnet")]
mod metrics;
#[cfg(all(feature = "localnet", feature = "otel"))]
mod otel;
#[cfg(feature = "localnet")]
mod outages;
#[cfg(feature = "localnet")]
mod overload;
#[cfg(feature = "localnet")]
mod pause;
mod queue_contract;
mod servers;
#[cfg(feature = "localnet")]
mod spend_caps;
mod store_contract;
#[cfg(feature = "localnet")]
mod streams;
mod support;
#[cfg(feature = "localnet")]
mod swaps;
#[cfg(feature = "localnet")]
mod wallets;
mod webhooks;

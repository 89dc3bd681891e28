//! Integration tests: one binary, so that the tree is linked once. What they need from outside is in `support`.

mod api;
mod bus_contract;
#[cfg(feature = "localnet")]
mod chaos;
#[cfg(feature = "localnet")]
mod crowd;
#[cfg(feature = "localnet")]
mod dialects;
#[cfg(feature = "localnet")]
mod landing;
#[cfg(feature = "localnet")]
mod metrics;
#[cfg(all(feature = "localnet", feature = "otel"))]
mod otel;
#[cfg(feature = "localnet")]
mod outages;
mod queue_contract;
#[cfg(feature = "localnet")]
mod recovery;
mod servers;
mod store_contract;
#[cfg(feature = "localnet")]
mod streams;
mod support;
#[cfg(feature = "localnet")]
mod swaps;
#[cfg(feature = "localnet")]
mod wallets;

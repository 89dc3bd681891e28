//! swapd: executes swap orders on Solana devnet.
pub mod api;
pub mod chain;
pub mod config;
pub mod domain;
pub mod engine;
pub mod events;
#[cfg(feature = "localnet")]
pub mod localnet;
pub mod queue;
pub mod redis_link;
pub mod router;
pub mod store;
pub mod venue;

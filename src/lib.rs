//! swapd: executes swap orders on Solana devnet.
pub mod chain;
pub mod domain;
pub mod events;
pub mod queue;
pub mod store;
pub mod venue;

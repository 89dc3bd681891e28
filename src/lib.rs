//! swapd: executes swap orders on Solana devnet.
pub mod domain;
pub mod events;
pub mod queue;
pub mod redis_link;
pub mod store;

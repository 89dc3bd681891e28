//! swapd executes swap orders on Solana devnet: it takes them over HTTP and WebSocket, finds the best price over live
//! pools, signs one transaction whose bound cannot loosen, lands it exactly once, and streams every step.
//!
//! An order's way through the code:
//!
//! ```text
//! api -> engine::intake -> store, then queue -> engine::worker -> engine::execute
//!     -> router -> venue            which pool, at which price
//!     -> engine::build              treasury, chain::transaction, chain::wallet: attempt stored, not yet sent
//!     -> engine::land               chain::rpc sends, chain::confirmer proves what became of it
//!     -> engine::journal -> store, then events -> api::feed -> api::stream
//! ```
//!
//! A module imports only from lines above its own:
//!
//! ```text
//! domain                            amounts, orders, quotes, the life of an order; pure
//! metrics lock                      the names of what is counted; mutexes that outlive a panic
//! gather redis_link                 what queue and events are made of on Redis
//! config store queue events chain   siblings that do not know each other
//! venue                             Raydium CPMM, mock Meteora
//! router                            asks all venues at once
//! engine                            what happens to an order
//! webhooks                          tells receivers of it
//! api                               HTTP and WebSocket
//! fleet                             many wallets that one treasury pays for; the daemon does not know it
//! loadtest                          a client that measures a daemon; it knows only its URL
//! localnet                          the embedded chain; the rest sees only its URLs
//! chaos                             a proxy with faults before a chain; the rest sees only its URLs
//! app                               builds a role, owns its tasks
//! cli                               the commands
//! ```
//!
//! Invariants: the store is the truth, the queue a hint, the bus a courtesy. A status changes only in
//! `engine::journal`. A signature is stored before its first byte is sent, and another one is made only when every
//! earlier one is proven dead (`chain::confirmer`). The user's bound never loosens. A mock never pretends to be the
//! chain.

pub mod api;
pub mod app;
pub mod chain;
pub mod chaos;
pub mod cli;
pub mod config;
pub mod domain;
pub mod engine;
pub mod events;
pub mod fleet;
pub mod gather;
pub mod loadtest;
#[cfg(feature = "localnet")]
pub mod localnet;
mod lock;
pub mod metrics;
pub mod queue;
pub mod redis_link;
pub mod router;
pub mod store;
pub mod venue;
pub mod webhooks;

//! The chain: everything that crosses an RPC connection, and what is built for it.
//!
//! `rpc` asks, `tip` remembers the newest blockhash, `wallet` signs, `transaction` builds, `sender` sends the same
//! bytes until they are decided, `confirmer` decides. Knows nothing of orders or venues.

pub mod rpc;

pub use rpc::{AccountSnapshot, ChainError, LandedTransaction, Rpc, SendAnswer, SignatureState};

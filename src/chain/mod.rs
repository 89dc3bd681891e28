//! The chain: everything that crosses an RPC connection, and what is built for it.
//!
//! `rpc` asks, over one endpoint or several, `pace` measures how fast blocks come, `halt` watches whether finality goes on,
//! `tip` remembers the newest blockhash, `fees` what others pay, `wallet` signs, `transaction` builds,
//! `confirmer` sends the same bytes until it can prove what became of them, `push` hints it when to look.
//! Knows nothing of orders or venues.

pub mod confirmer;
pub mod failure;
pub mod fees;
pub mod halt;
pub mod pace;
pub mod push;
pub mod rpc;
pub mod tip;
pub mod transaction;
pub mod wallet;

pub use confirmer::{Confirmer, Report, Watch};
pub use halt::Halt;
pub use rpc::{AccountSnapshot, Blockhash, ChainError, LandedTransaction, Rpc, SendAnswer, SignatureState};
pub use tip::Tip;
pub use wallet::{Wallet, WalletError};

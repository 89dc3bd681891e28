//! The chain: everything that crosses an RPC connection, and what is built for it.
//!
//! `rpc` asks, over one endpoint or several, `pace` measures how fast blocks come, `halt` watches whether finality goes on,
//! `tip` remembers the newest blockhash, `fees` what others pay, `snapshots` the pools' accounts, `told` hears what becomes
//! of them; what many ask for at once is `one_read`, what many wallets own is `owned`. `wallet` signs, `transaction` builds,
//! `confirmer` sends the same bytes until it can prove what became of them, `push` and `records` hear of them and give it
//! `hints` when to look, and `records` keeps what a landed one did. All that is heard comes through a `socket`.
//! Knows nothing of orders or venues.

pub mod confirmer;
pub mod failure;
pub mod fees;
pub mod halt;
pub mod hints;
pub mod one_read;
pub mod owned;
pub mod pace;
pub mod push;
pub mod records;
pub mod rpc;
pub mod snapshots;
mod socket;
pub mod tip;
pub mod told;
pub mod transaction;
pub mod wallet;

pub use confirmer::{Confirmer, Report, Signed, Watch};
pub use halt::Halt;
pub use owned::{Owned, owned};
pub use records::Records;
pub use rpc::{AccountSnapshot, Blockhash, ChainError, LandedTransaction, Rpc, SendAnswer, SignatureState};
pub use snapshots::Snapshots;
pub use tip::Tip;
pub use told::Told;
pub use wallet::{Wallet, WalletError};

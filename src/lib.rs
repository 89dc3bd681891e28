//! swapd: executes swap orders on Solana devnet.

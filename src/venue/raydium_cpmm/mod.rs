//! Raydium CPMM.
pub mod layout;
pub mod math;
pub mod program;
pub mod snapshot;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

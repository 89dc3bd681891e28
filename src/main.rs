//! Command line of swapd.
fn main() {}

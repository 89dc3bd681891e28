//! Tests of the whole: a chain is started and talked to as swapd would.

use std::time::{Duration, Instant};

use super::{Localnet, Options};

#[test]
fn a_chain_starts_answers_and_ends() {
    let started = Instant::now();
    let localnet = Localnet::start(Options::default()).expect("a chain");
    eprintln!("ready after {:?}", started.elapsed());
    let stopping = Instant::now();
    localnet.stop();
    eprintln!("ended after {:?}", stopping.elapsed());
    assert!(stopping.elapsed() < Duration::from_secs(2));
}

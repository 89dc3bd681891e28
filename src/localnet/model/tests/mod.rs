//! Tests of the model, each of which can also run on a genuine binary of the program: name the file in
//! `SWAPD_CPMM_SO`. A mainnet binary insists on its mainnet id, so that is where these tests put it.

mod bench;
mod creator;
mod golden;
mod initialize;
mod refusals;

use std::path::PathBuf;

use bench::Bench;

/// Runs `test` on the model, and on the genuine binary when there is one.
fn on_each_program(test: impl Fn(&mut Bench)) {
    test(&mut Bench::model());
    match genuine() {
        Some(path) => test(&mut Bench::genuine(path)),
        None => eprintln!("SWAPD_CPMM_SO is not set: only the model was tested"),
    }
}

fn genuine() -> Option<PathBuf> {
    std::env::var_os("SWAPD_CPMM_SO").map(PathBuf::from)
}

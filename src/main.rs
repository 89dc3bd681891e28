//! Command line of swapd: parses, dispatches, and turns the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser;
use swapd::cli::{Cli, run};
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    // Values of a `.env` file are the environment's defaults. Read before any thread exists.
    let dotenv = dotenvy::dotenv();
    let cli = Cli::parse();
    if let Err(error) = &dotenv
        && !error.not_found()
    {
        eprintln!("error: the file .env cannot be read: {error}");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

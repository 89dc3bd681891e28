//! The long run: every scenario, one after the other, with a progress bar and a report. `scripts/crash-kit` calls it.

use std::{env, fs, path::PathBuf};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{
    fleet::Backend,
    outages::{self, Outage},
    pace, random,
    report::Findings,
    steps,
};

const BACKENDS: [Backend; 2] = [Backend::Embedded, Backend::Shared];
/// Restarts whose recovery is timed, per backend.
const RESTARTS: usize = 30;

/// `SWAPD_CRASH_KILLS` random kills per backend, drawn from `SWAPD_CRASH_SEED`; the report goes to
/// `SWAPD_CRASH_REPORT`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a quarter of an hour: run scripts/crash-kit"]
async fn the_crash_kit() {
    let kills: usize = variable("SWAPD_CRASH_KILLS").map_or(300, |text| text.parse().expect("a number of kills"));
    let seed: u64 = variable("SWAPD_CRASH_SEED").map_or(7, |text| text.parse().expect("a number as seed"));
    let path = PathBuf::from(variable("SWAPD_CRASH_REPORT").unwrap_or_else(|| "crash-kit.md".into()));

    let mut report = Report {
        path,
        text: format!("# Crash kit\n\n{kills} random kills per backend, seed {seed}.\n\n"),
        violations: 0,
    };
    for backend in BACKENDS {
        let bar = bar(1, "every step", backend.name());
        report.take(&steps::every_step(backend).await);
        bar.finish();
    }
    // Timed, so nothing runs beside it.
    for backend in BACKENDS {
        let bar = bar(RESTARTS, "restarts", backend.name());
        report.take(&pace::restarts(backend, RESTARTS, &bar).await);
        bar.finish();
    }
    for outage in [Outage::RedisEmptied, Outage::RedisKilled, Outage::PostgresRestarted, Outage::PostgresCrashed] {
        let bar = bar(outages::ORDERS as usize, "orders", &format!("{outage:?}"));
        report.take(&outages::outages(&[outage], &bar).await);
        bar.finish();
    }
    let bars = MultiProgress::new();
    let [one, other] = BACKENDS.map(|backend| (backend, bars.add(bar(kills, "random kills", backend.name()))));
    let (one, other) = tokio::join!(
        random::random_kills(one.0, kills, seed, &one.1),
        random::random_kills(other.0, kills, seed, &other.1)
    );
    report.take(&one);
    report.take(&other);
    eprintln!("\n{} violations; report: {}", report.violations, report.path.display());
    assert_eq!(report.violations, 0, "see {}", report.path.display());
}

struct Report {
    path: PathBuf,
    text: String,
    violations: usize,
}

impl Report {
    /// Adds findings, and writes everything so far: a run that is broken off leaves what it found.
    fn take(&mut self, findings: &Findings) {
        self.text += &findings.markdown();
        self.text.push('\n');
        let Findings { scenario, backend, orders, violations, .. } = findings;
        eprintln!("{scenario}, {}: {orders} orders, {} violations", backend.name(), violations.len());
        self.violations += findings.violations.len();
        fs::write(&self.path, &self.text).expect("the report can be written");
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|text| !text.is_empty())
}

fn bar(length: usize, unit: &str, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} [{bar:20}] {pos}/{len} {elapsed_precise}, {eta} left {msg}");
    let bar = ProgressBar::new(length as u64).with_style(style.expect("a template"));
    bar.set_prefix(format!("{what}: {unit}"));
    bar.tick();
    bar
}

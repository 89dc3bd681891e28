//! Progress: shows long work on the standard error, as a bar where a person looks and as lines where a file does.

use std::{
    io::IsTerminal,
    sync::Mutex,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::lock::lock;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Some work's progress.
pub(super) struct Progress {
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    /// When the last line was written.
    Lines(Mutex<Option<Instant>>),
}

impl Progress {
    /// Of `total` things; 0 when nobody knows how many there will be.
    pub(super) fn new(total: u64) -> Self {
        let shown = if std::io::stderr().is_terminal() {
            let bar = if total == 0 { ProgressBar::new_spinner() } else { ProgressBar::new(total) };
            let template =
                if total == 0 { "{spinner} {elapsed} {msg}" } else { "{elapsed} [{wide_bar}] {pos}/{len} {msg}" };
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            Shown::Bar(bar)
        } else {
            Shown::Lines(Mutex::new(None))
        };
        Self { shown }
    }

    /// So many are done; `words` say more.
    pub(super) fn at(&self, done: u64, words: &str) {
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(words.to_owned());
            }
            Shown::Lines(last) => {
                let mut last = lock(last);
                if last.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
                    *last = Some(Instant::now());
                    eprintln!("{done}  {words}");
                }
            }
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

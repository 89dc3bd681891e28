//! Control: the kill switch.
//!
//! Owns what stops trading: a switch in the store, which holds for every process and survives a restart, and a file,
//! which holds for the processes that see it. While either holds nothing new is signed; what is signed already is
//! followed to its end. The store refuses signatures itself while its switch is on (`store::PAUSED`), so that nothing
//! is signed after a pause was answered, by no process; the look at it here, and at the file, is about half a second
//! old and saves the work.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{ErrorCode, Failure},
    store::{PAUSED, SharedStore, StoreError},
};

/// Between two looks at the store and the file.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The longest reason that is kept, in characters.
const LONGEST_REASON: usize = 200;

/// Where a pause comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// `swapd pause`.
    Command,
    /// `POST /v1/control/pause`.
    Api,
    /// The file `control.pause_file` is there.
    File,
}

/// One thing that stops trading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Where it comes from.
    pub cause: Cause,
    /// What was said about it.
    pub reason: Option<String>,
    /// Since when; unknown for a file.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
}

impl Pause {
    /// A pause from now on.
    pub fn now(cause: Cause, reason: Option<&str>) -> Self {
        let reason = reason.map(shortened).filter(|reason| !reason.is_empty());
        Self { cause, reason, since: Some(OffsetDateTime::now_utc()) }
    }
}

/// The switch as one process sees it.
pub struct Control {
    store: SharedStore,
    file: Option<PathBuf>,
    pauses: watch::Sender<Vec<Pause>>,
    flag: Arc<AtomicBool>,
    /// Held while looking, so that an older look never replaces a newer one.
    looking: Mutex<()>,
}

impl Control {
    /// Reads the switch. Somebody has to run it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn open(store: SharedStore, file: Option<PathBuf>) -> Result<Self, StoreError> {
        let (pauses, flag) = (watch::Sender::new(Vec::new()), Arc::default());
        let control = Self { store, file, pauses, flag, looking: Mutex::new(()) };
        control.look().await?;
        Ok(control)
    }

    /// Everything that stops trading now; nothing when it goes on.
    pub fn pauses(&self) -> Vec<Pause> {
        self.pauses.borrow().clone()
    }

    /// Why nothing may be signed now, if so.
    pub fn stopped(&self) -> Option<Failure> {
        let pauses = self.pauses.borrow();
        let first = pauses.first()?;
        let reason = first.reason.as_deref().map_or_else(String::new, |reason| format!(" ({reason})"));
        Some(Failure::new(ErrorCode::Paused, format!("trading is paused{reason}: nothing new is signed")))
    }

    /// Whether it is on, for those who only show it.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.flag.clone()
    }

    /// Returns once nothing stops trading any more.
    pub async fn resumed(&self) {
        // An error would say that the sender is gone, which is `self`.
        let _ = self.pauses.subscribe().wait_for(Vec::is_empty).await;
    }

    /// Turns the store's switch on: no process stores a signature after this has returned.
    ///
    /// # Errors
    /// When the store does not answer; nobody knows then whether the switch is on.
    pub async fn pause(&self, pause: &Pause) -> Result<(), StoreError> {
        let text = serde_json::to_string(pause).expect("a pause is plain data");
        self.store.set_fact(PAUSED, &text).await?;
        self.look().await
    }

    /// Turns the store's switch off. A file that stops trading has to be removed by whoever put it there.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn resume(&self) -> Result<(), StoreError> {
        self.store.set_fact(PAUSED, "").await?;
        self.look().await
    }

    /// Looks at store and file, again and again, until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        let looking = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                if let Err(error) = self.look().await {
                    tracing::debug!(%error, "the kill switch cannot be read: it stays as it was");
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = looking => {}
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let _looking = self.looking.lock().await;
        let mut pauses = Vec::new();
        pauses.extend(self.in_file().await);
        let stored = self.store.fact(PAUSED).await?.filter(|text| !text.is_empty());
        // A text that cannot be read stops trading all the same.
        pauses.extend(stored.map(|text| {
            serde_json::from_str(&text).unwrap_or(Pause { cause: Cause::Command, reason: Some(text), since: None })
        }));
        self.flag.store(!pauses.is_empty(), Ordering::Relaxed);
        self.pauses.send_if_modified(|known| {
            let changed = *known != pauses;
            if changed && pauses.is_empty() {
                tracing::warn!("trading goes on");
            } else if changed {
                tracing::warn!(?pauses, "trading is paused: nothing new is signed");
            }
            *known = pauses;
            changed
        });
        Ok(())
    }

    async fn in_file(&self) -> Option<Pause> {
        let reason = match tokio::fs::read_to_string(self.file.as_ref()?).await {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => format!("the file cannot be read: {error}"),
        };
        Some(Pause { since: None, ..Pause::now(Cause::File, reason.lines().next()) })
    }
}

fn shortened(reason: &str) -> String {
    reason.trim().chars().filter(|c| !c.is_control()).take(LONGEST_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    async fn control(file: Option<PathBuf>) -> Control {
        Control::open(store::open("sqlite::memory:").await.unwrap(), file).await.unwrap()
    }

    #[tokio::test]
    async fn each_cause_stops_trading_and_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("PAUSE");
        let control = control(Some(file.clone())).await;
        assert_eq!((control.stopped(), control.pauses()), (None, Vec::new()));

        control.pause(&Pause::now(Cause::Api, Some(" odd\nprices "))).await.unwrap();
        std::fs::write(&file, "maintenance\nuntil noon").unwrap();
        control.look().await.unwrap();
        let told: Vec<_> = control.pauses().into_iter().map(|it| (it.cause, it.reason.unwrap())).collect();
        assert_eq!(told, [(Cause::File, "maintenance".to_owned()), (Cause::Api, "oddprices".to_owned())]);

        control.resume().await.unwrap();
        assert_eq!(control.pauses().len(), 1, "the file is still there");
        std::fs::remove_file(&file).unwrap();
        control.look().await.unwrap();
        assert_eq!(control.stopped(), None);
        control.resumed().await;
    }

    #[tokio::test]
    async fn what_cannot_be_read_stops_trading() {
        let folder = tempfile::tempdir().unwrap();
        let control = control(Some(folder.path().to_owned())).await;
        assert_eq!(control.pauses()[0].cause, Cause::File, "a folder is no readable file");
        let control = Control::open(control.store, None).await.unwrap();
        control.store.set_fact(PAUSED, "by hand").await.unwrap();
        control.look().await.unwrap();
        assert!(control.stopped().unwrap().reason.contains("by hand"));
    }
}

//! Outbox: what was signed and is not decided yet, on the disk, so that a crash does not pay twice.
//!
//! A transaction is written here before its first byte is sent and taken out when it has landed or can never land any
//! more. Whoever looks at balances first waits until the outbox is empty: only then do they say what is still to do.
//! The file belongs to one process at a time.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Mutex,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

use super::FleetError;
use crate::{
    chain::Signed,
    domain::{BlockHeight, Lamports, Slot},
    lock::lock,
};

/// A signed transaction that is not decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its bytes, and when they die.
    pub signed: Signed,
    /// What it costs if it lands.
    pub fee: Lamports,
}

/// The file.
pub struct Outbox {
    path: PathBuf,
    genesis: String,
    letters: Mutex<Vec<Letter>>,
    /// Letters for other chains, as they stand in the file: they may still land there.
    foreign: String,
    /// Held as long as this process works with it.
    _lock: File,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    genesis: String,
    signature: String,
    last_valid_block_height: u64,
    context_slot: u64,
    fee: u64,
    wire: String,
}

impl Outbox {
    /// The outbox of the wallet `treasury` in a folder. What was written for another chain than `genesis` can never land
    /// on this one: it is left alone until the outbox is opened for that one.
    ///
    /// # Errors
    /// When another process has it, or the file cannot be read.
    pub fn open(dir: &Path, treasury: &str, genesis: String) -> Result<Self, FleetError> {
        let path = dir.join(format!("{treasury}.outbox"));
        let failed = |source| FleetError::Outbox { path: path.clone(), source };
        let mut private = OpenOptions::new();
        private.write(true).create(true).truncate(false).mode(0o600);
        let lock = private.open(path.with_extension("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(FleetError::Busy(treasury.to_owned())),
            Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
        };
        let (mut letters, mut foreign) = (Vec::new(), String::new());
        for text in text.lines() {
            let line: Line = serde_json::from_str(text).map_err(|error| failed(error.into()))?;
            if line.genesis == genesis {
                letters.push(line.letter().ok_or_else(|| failed(std::io::ErrorKind::InvalidData.into()))?);
            } else {
                foreign.extend([text, "\n"]);
            }
        }
        Ok(Self { path, genesis, letters: Mutex::new(letters), foreign, _lock: lock })
    }

    /// What is not decided.
    pub fn letters(&self) -> Vec<Letter> {
        lock(&self.letters).clone()
    }

    /// Keeps a letter. When this returns, it is on the disk.
    ///
    /// # Errors
    /// When it cannot be written: it must not be sent then.
    pub fn put(&self, letter: Letter) -> Result<(), FleetError> {
        let mut letters = lock(&self.letters);
        letters.push(letter);
        self.write(&letters)
    }

    /// Forgets a letter that is decided.
    ///
    /// # Errors
    /// When the file cannot be written; the next run decides it again.
    pub fn remove(&self, letter: &Letter) -> Result<(), FleetError> {
        let mut letters = lock(&self.letters);
        letters.retain(|other| other.signed.signature != letter.signed.signature);
        self.write(&letters)
    }

    /// Writes all of it beside the file and then puts it in its place, so that a crash leaves the old or the new one.
    fn write(&self, letters: &[Letter]) -> Result<(), FleetError> {
        let lines = letters.iter().map(|letter| Line {
            genesis: self.genesis.clone(),
            signature: letter.signed.signature.to_string(),
            last_valid_block_height: letter.signed.last_valid_block_height.0,
            context_slot: letter.signed.context_slot.0,
            fee: letter.fee.get(),
            wire: BASE64.encode(&letter.signed.wire),
        });
        let text: String = lines.map(|line| serde_json::json!(line).to_string() + "\n").collect();
        let beside = self.path.with_extension("outbox-new");
        let written = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(self.foreign.as_bytes())?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &self.path)?;
            self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
        };
        written().map_err(|source| FleetError::Outbox { path: self.path.clone(), source })
    }
}

impl Line {
    fn letter(&self) -> Option<Letter> {
        let signed = Signed {
            signature: self.signature.parse().ok()?,
            wire: BASE64.decode(&self.wire).ok()?.into(),
            last_valid_block_height: BlockHeight(self.last_valid_block_height),
            context_slot: Slot(self.context_slot),
        };
        Some(Letter { signed, fee: Lamports::new(self.fee) })
    }
}

#[cfg(test)]
mod tests {
    use solana_sdk::signature::Signature;

    use super::*;

    fn letter(n: u8) -> Letter {
        let signed = Signed {
            signature: Signature::from([n; 64]),
            wire: vec![n; 3].into(),
            last_valid_block_height: BlockHeight(150),
            context_slot: Slot(9),
        };
        Letter { signed, fee: Lamports::new(5_000) }
    }

    #[test]
    fn what_is_not_decided_outlives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let open = |genesis: &str| Outbox::open(dir.path(), "treasury", genesis.to_owned());
        let outbox = open("a").unwrap();
        (1..=3).for_each(|n| outbox.put(letter(n)).unwrap());
        outbox.remove(&letter(2)).unwrap();
        assert!(matches!(open("a"), Err(FleetError::Busy(_))), "one process at a time");
        drop(outbox);
        assert_eq!(open("a").unwrap().letters(), [letter(1), letter(3)]);
        let elsewhere = open("b").unwrap();
        assert!(elsewhere.letters().is_empty(), "another chain never takes them");
        (4..=5).for_each(|n| elsewhere.put(letter(n)).unwrap());
        elsewhere.remove(&letter(4)).unwrap();
        drop(elsewhere);
        assert_eq!(open("a").unwrap().letters(), [letter(1), letter(3)], "they may have landed meanwhile");
        assert_eq!(open("b").unwrap().letters(), [letter(5)]);
    }

    #[test]
    fn an_outbox_that_cannot_be_read_is_not_taken_for_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("treasury.outbox"), "half a li").unwrap();
        let opened = Outbox::open(dir.path(), "treasury", "a".into());
        assert!(matches!(opened, Err(FleetError::Outbox { .. })));
    }
}

//! Wallet: loads keypairs and signs. The only file that sees secret bytes.
//!
//! Key files are the Solana CLI's JSON arrays of 64 bytes, readable by their owner alone. What was read is wiped;
//! no secret appears in an error, a log or a Debug.

use std::{
    fmt, fs,
    io::{ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use solana_sdk::{
    pubkey::Pubkey,
    signature::{Keypair, Signature, Signer},
};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

/// Why a key cannot be used. Never says what the key is.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// The file or folder is not there or not readable.
    #[error("cannot read or write {path}")]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Others could read the key.
    #[error("{path} has mode {mode:04o}: a key file must be readable by its owner alone, run `chmod 600 {path}`")]
    TooOpen {
        /// Where.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a keypair.
    #[error("{origin} holds no keypair: it must be a JSON array of 64 bytes as the Solana CLI writes it, or base58")]
    NotAKeypair {
        /// The file or variable it came from.
        origin: String,
    },
    /// A file of that name exists.
    #[error("{0} exists already and is not overwritten")]
    Exists(PathBuf),
}

/// A keypair that signs.
pub struct Wallet {
    name: String,
    keypair: Keypair,
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wallet").field("name", &self.name).field("address", &self.address()).finish_non_exhaustive()
    }
}

impl Wallet {
    /// Loads every `*.json` of a folder, in the order of the names.
    ///
    /// # Errors
    /// When the folder or a file is unreadable, too open, or holds no keypair.
    pub fn load_dir(dir: &Path) -> Result<Vec<Self>, WalletError> {
        let unreadable = |source| WalletError::Unreadable { path: dir.to_owned(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                paths.push(path);
            }
        }
        paths.sort();
        paths.iter().map(|path| Self::load(path)).collect()
    }

    /// Loads one key file.
    ///
    /// # Errors
    /// When it is unreadable, too open, or holds no keypair.
    pub fn load(path: &Path) -> Result<Self, WalletError> {
        let unreadable = |source| WalletError::Unreadable { path: path.to_owned(), source };
        let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(WalletError::TooOpen { path: path.to_owned(), mode });
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(unreadable)?);
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Self::parse(name, &text, &path.display().to_string())
    }

    /// Reads a keypair from text: a JSON array of 64 bytes, or base58.
    ///
    /// # Errors
    /// When it is neither. `origin` names the place it came from.
    pub fn parse(name: String, text: &str, origin: &str) -> Result<Self, WalletError> {
        let not_a_keypair = || WalletError::NotAKeypair { origin: origin.to_owned() };
        let text = text.trim();
        let bytes = Zeroizing::new(if text.starts_with('[') {
            serde_json::from_str::<Vec<u8>>(text).map_err(|_| not_a_keypair())?
        } else {
            bs58::decode(text).into_vec().map_err(|_| not_a_keypair())?
        });
        let keypair = Keypair::try_from(bytes.as_slice()).map_err(|_| not_a_keypair())?;
        Ok(Self { name, keypair })
    }

    /// Makes a new keypair and writes it to `dir/name.json` with mode 0600. The file appears when it is whole: whoever loads
    /// the folder meanwhile, or after this was killed, finds no half of a key.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(dir: &Path, name: &str) -> Result<Self, WalletError> {
        let wallet = Self { name: name.to_owned(), keypair: Keypair::new() };
        let path = dir.join(format!("{name}.json"));
        let unreadable = |source| WalletError::Unreadable { path: path.clone(), source };
        fs::create_dir_all(dir).map_err(unreadable)?;
        let mut file = NamedTempFile::new_in(dir).map_err(unreadable)?; // its mode is 0600
        let bytes = Zeroizing::new(wallet.keypair.to_bytes());
        let text = Zeroizing::new(serde_json::to_string(bytes.as_slice()).expect("bytes are JSON"));
        file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(unreadable)?;
        match file.persist_noclobber(&path) {
            // Whoever pays to its address relies on the file, and so on its place in the folder.
            Ok(_) => fs::File::open(dir).and_then(|dir| dir.sync_all()).map(|()| wallet).map_err(unreadable),
            Err(failed) if failed.error.kind() == ErrorKind::AlreadyExists => Err(WalletError::Exists(path)),
            Err(failed) => Err(unreadable(failed.error)),
        }
    }

    /// Its file's name without the ending.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its public key.
    pub fn address(&self) -> Pubkey {
        self.keypair.pubkey()
    }

    /// Signs a serialized message.
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.keypair.sign_message(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_key_loads_again() {
        let dir = tempfile::tempdir().unwrap();
        let created = Wallet::create(dir.path(), "trader").unwrap();
        let loaded = Wallet::load_dir(dir.path()).unwrap();
        assert_eq!(loaded.len(), 1);
        assert_eq!(loaded[0].address(), created.address());
        assert!(matches!(Wallet::create(dir.path(), "trader"), Err(WalletError::Exists(_))));
    }

    #[test]
    fn a_folder_can_be_loaded_while_keys_are_made() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            let making = scope.spawn(|| {
                for n in 0..100 {
                    Wallet::create(dir.path(), &n.to_string()).unwrap();
                }
            });
            while !making.is_finished() {
                Wallet::load_dir(dir.path()).unwrap();
            }
        });
        assert_eq!(Wallet::load_dir(dir.path()).unwrap().len(), 100);
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        Wallet::create(dir.path(), "trader").unwrap();
        let path = dir.path().join("trader.json");
        for mode in [0o640, 0o604, 0o660, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(Wallet::load(&path), Err(WalletError::TooOpen { .. })), "{mode:o}");
        }
    }

    #[test]
    fn both_text_forms_give_the_same_key_and_neither_leaks() {
        let keypair = Keypair::new();
        let array = serde_json::to_string(keypair.to_bytes().as_slice()).unwrap();
        let base58 = keypair.to_base58_string();
        for text in [&array, &base58] {
            let wallet = Wallet::parse("w".into(), text, "a test").unwrap();
            assert_eq!(wallet.address(), keypair.pubkey());
            assert!(!format!("{wallet:?}").contains(&base58));
        }
        let error = Wallet::parse("w".into(), &base58[..60], "WALLET_PRIVATE_KEY").unwrap_err();
        assert!(!format!("{error} {error:?}").contains(&base58[..20]));
    }
}

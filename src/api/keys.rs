//! Keys: who a request comes from, and what its key allows.
//!
//! Owns this process's copy of the keys and their rate limits. The store is read once a second, not for each request:
//! a new or revoked key counts within two seconds in every process, and when the store cannot be read for longer than
//! `MOST_STALE`, named keys are refused rather than believed.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ApiError;
use crate::{
    domain::ErrorCode,
    store::{KeyRecord, Scope, SharedStore, StoreError},
};

/// Between two looks at the store.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The oldest copy that is believed.
const MOST_STALE: Duration = Duration::from_secs(5);
/// The name of callers where no key is demanded.
const ANYONE: &str = "anyone";
/// How a key begins, so that people and scanners for leaked secrets know it.
const PREFIX: &str = "swapd_";

/// A key's digest. The key has 256 random bits, so its plain SHA-256 cannot be turned back by guessing; a slow hash
/// would only cost every request.
#[derive(Clone)]
pub struct ApiKey([u8; 32]);

impl ApiKey {
    /// Remembers a key.
    pub fn new(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// A fresh key, which nobody can read back from here, and its digest.
    pub fn generate() -> (String, Self) {
        let key = format!("{PREFIX}{}", bs58::encode(rand::random::<[u8; 32]>()).into_string());
        let digest = Self::new(&key);
        (key, digest)
    }

    /// What the store keeps.
    pub const fn digest(&self) -> [u8; 32] {
        self.0
    }

    /// Compares in a time that tells nothing about the key, not even its length.
    pub fn matches(&self, candidate: &str) -> bool {
        self.is(&Self::new(candidate))
    }

    fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(redacted)")
    }
}

/// Who a request comes from.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key's name; `admin` for the configured key, `anyone` where none is demanded.
    pub name: Arc<str>,
    /// What it may do.
    pub scope: Scope,
    /// Whether it is one of the store's keys.
    pub named: bool,
}

impl Caller {
    fn unnamed(name: &str) -> Self {
        Self { name: name.into(), scope: Scope::Trade, named: false }
    }

    /// Whether the caller showed no key, as none is demanded.
    pub fn is_anyone(&self) -> bool {
        !self.named && &*self.name == ANYONE
    }

    /// Whether the caller may do what needs `scope`.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn may(&self, scope: Scope) -> Result<(), ApiError> {
        if self.scope >= scope {
            return Ok(());
        }
        let message =
            format!("the key `{}` may only read: this needs one with the scope `{}`", self.name, scope.as_str());
        Err(ApiError::new(ErrorCode::Forbidden, message))
    }

    /// Where the caller's idempotency keys live: two callers that choose the same key do not meet.
    pub fn idempotency_scope(&self, dialect: &str) -> String {
        if self.named { format!("{dialect}/{}", self.name) } else { dialect.to_owned() }
    }
}

struct Named {
    record: KeyRecord,
    caller: Caller,
    key: ApiKey,
    limiter: Option<DefaultDirectRateLimiter>,
}

struct Known {
    keys: Vec<Arc<Named>>,
    /// Whether a key was ever made: revoking the last one must not open the door.
    closed: bool,
    read_at: Instant,
}

/// The keys of one process.
pub struct KeyRing {
    store: SharedStore,
    admin: Option<ApiKey>,
    known: RwLock<Known>,
    clock: DefaultClock,
}

impl KeyRing {
    /// Reads the keys. `admin` is the configured one, which may do everything. Somebody has to run it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn open(store: SharedStore, admin: Option<ApiKey>) -> Result<Self, StoreError> {
        let known = Known { keys: Vec::new(), closed: false, read_at: Instant::now() };
        let ring = Self { store, admin, known: RwLock::new(known), clock: DefaultClock::default() };
        ring.look().await?;
        Ok(ring)
    }

    /// Keeps the copy fresh until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        let looking = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                if let Err(error) = self.look().await {
                    tracing::warn!(%error, "the API keys cannot be read");
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = looking => {}
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let read_at = Instant::now();
        let records = self.store.keys().await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let closed = !records.is_empty();
        let keys = records.into_iter().filter(|record| record.revoked_at.is_none()).map(|record| {
            // A key that stays keeps its limiter, and with it what it has used up.
            let same = known.keys.iter().find(|known| known.record == record);
            same.cloned().unwrap_or_else(|| Arc::new(Named::new(record)))
        });
        *known = Known { keys: keys.collect(), closed, read_at };
        Ok(())
    }

    /// Whether nobody comes in without a key.
    pub fn are_demanded(&self) -> bool {
        self.admin.is_some() || self.known().closed
    }

    /// Who sends this key, and whether they may send one more request now.
    ///
    /// # Errors
    /// `unauthorized`, `rate_limited`, or `store_unavailable` when the copy of the keys is too old.
    pub fn admit(&self, candidate: Option<&str>) -> Result<Caller, ApiError> {
        let candidate = candidate.map(ApiKey::new);
        if let (Some(admin), Some(candidate)) = (&self.admin, &candidate)
            && admin.is(candidate)
        {
            return Ok(Caller::unnamed("admin"));
        }
        let known = self.known();
        if self.admin.is_none() && !known.closed {
            return Ok(Caller::unnamed(ANYONE));
        }
        let named = candidate.and_then(|candidate| known.keys.iter().find(|named| named.key.is(&candidate)));
        let named = self.count(&known, named)?;
        Ok(named.caller.clone())
    }

    /// Whether a caller who was admitted earlier may send one more request now: for whoever sends many over one socket.
    ///
    /// # Errors
    /// As `admit`.
    pub fn again(&self, caller: &Caller) -> Result<(), ApiError> {
        if !caller.named {
            // The configured key does not change, but the first one that is made closes the door for those without.
            return if caller.is_anyone() && self.are_demanded() { Err(unauthorized()) } else { Ok(()) };
        }
        let known = self.known();
        let named = known.keys.iter().find(|named| named.caller.name == caller.name);
        self.count(&known, named).map(drop)
    }

    /// Counts a request of a key, if it was found, still counts, and has not used up its rate.
    fn count<'a>(&self, known: &Known, named: Option<&'a Arc<Named>>) -> Result<&'a Named, ApiError> {
        let named = named.ok_or_else(unauthorized)?;
        if known.read_at.elapsed() > MOST_STALE {
            let message = "nobody can say whether this key still counts, as the store does not answer: try again later";
            return Err(ApiError::new(ErrorCode::StoreUnavailable, message));
        }
        if let Some(limiter) = &named.limiter
            && let Err(refused) = limiter.check()
        {
            let message = format!("the key `{}` has used up its requests for now", named.caller.name);
            let wait = refused.wait_time_from(self.clock.now());
            return Err(ApiError::new(ErrorCode::RateLimited, message).retry_after(wait));
        }
        Ok(named)
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        // Nothing panics while holding it.
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unauthorized() -> ApiError {
    ApiError::new(
        ErrorCode::Unauthorized,
        "a key is missing or wrong: send `Authorization: Bearer <key>` or `X-API-Key: <key>`",
    )
}

impl Named {
    fn new(record: KeyRecord) -> Self {
        let caller = Caller { name: record.name.as_str().into(), scope: record.scope, named: true };
        let rate = record.per_second.and_then(std::num::NonZeroU32::new);
        Self {
            caller,
            key: ApiKey(record.digest),
            limiter: rate.map(|rate| RateLimiter::direct(Quota::per_second(rate))),
            record,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    fn record(name: &str, key: &ApiKey, scope: Scope, per_second: Option<u32>) -> KeyRecord {
        KeyRecord {
            name: name.into(),
            digest: key.digest(),
            scope,
            per_second,
            created_at: time::OffsetDateTime::UNIX_EPOCH,
            revoked_at: None,
        }
    }

    #[test]
    fn a_key_is_recognisable_matches_only_itself_and_is_never_shown() {
        let (text, key) = ApiKey::generate();
        assert!(text.starts_with(PREFIX) && text.len() > 40, "{} characters", text.len());
        assert!(key.matches(&text) && !key.matches(&text[1..]) && !key.matches(""));
        assert!(!format!("{key:?}").contains(&text));
        assert_ne!(ApiKey::generate().0, text);
    }

    #[tokio::test]
    async fn the_first_key_closes_the_door_and_revoking_it_does_not_open_it() {
        let store = store::open("sqlite::memory:").await.unwrap();
        let ring = KeyRing::open(store.clone(), None).await.unwrap();
        let anyone = ring.admit(None).unwrap();
        assert_eq!(&*anyone.name, "anyone");
        ring.again(&anyone).unwrap();
        let (text, key) = ApiKey::generate();
        assert!(store.create_key(&record("desk", &key, Scope::Read, None)).await.unwrap());
        assert!(!store.create_key(&record("desk", &ApiKey::new("x"), Scope::Read, None)).await.unwrap());
        ring.look().await.unwrap();
        assert_eq!(ring.admit(None).unwrap_err().code(), ErrorCode::Unauthorized);
        let caller = ring.admit(Some(&text)).unwrap();
        assert_eq!((&*caller.name, caller.may(Scope::Read).is_ok()), ("desk", true));
        assert_eq!(caller.may(Scope::Trade).unwrap_err().code(), ErrorCode::Forbidden);
        assert_eq!(ring.again(&anyone).unwrap_err().code(), ErrorCode::Unauthorized, "who was in is put out");
        ring.again(&caller).unwrap();

        assert!(store.revoke_key("desk", time::OffsetDateTime::now_utc()).await.unwrap());
        assert!(!store.revoke_key("desk", time::OffsetDateTime::now_utc()).await.unwrap());
        ring.look().await.unwrap();
        assert_eq!(ring.admit(Some(&text)).unwrap_err().code(), ErrorCode::Unauthorized);
        assert_eq!(ring.admit(None).unwrap_err().code(), ErrorCode::Unauthorized);
        assert_eq!(ring.again(&caller).unwrap_err().code(), ErrorCode::Unauthorized);
    }

    #[tokio::test]
    async fn each_key_has_a_rate_of_its_own_that_a_look_does_not_renew() {
        let store = store::open("sqlite::memory:").await.unwrap();
        let [(slow, slow_key), (quick, quick_key)] = [ApiKey::generate(), ApiKey::generate()];
        store.create_key(&record("slow", &slow_key, Scope::Trade, Some(2))).await.unwrap();
        store.create_key(&record("quick", &quick_key, Scope::Trade, None)).await.unwrap();
        let ring = KeyRing::open(store, Some(ApiKey::new("root"))).await.unwrap();
        let (root, slow_caller) = (ring.admit(Some("root")).unwrap(), ring.admit(Some(&slow)).unwrap());
        let refused = (0..10).filter_map(|_| ring.admit(Some(&slow)).err()).count();
        assert!(refused >= 7, "{refused} of ten at once were refused with two in a second");
        ring.look().await.unwrap();
        let error = ring.admit(Some(&slow)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::RateLimited);
        assert_eq!(ring.again(&slow_caller).unwrap_err().code(), ErrorCode::RateLimited, "it is one and the same rate");
        assert!((0..100).all(|_| ring.again(&root).is_ok()));
        assert!((0..100).all(|_| ring.admit(Some(&quick)).is_ok() && ring.admit(Some("root")).is_ok()));
    }
}

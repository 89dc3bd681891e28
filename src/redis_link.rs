//! Redis link: one connection to one server that fails fast and heals itself.
//!
//! Owns connecting, the bound on every wait, the rest between failed connects and the one repeat after a connection
//! broke. Never knows what a command means; every command given to it must be safe to send twice.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, aio::MultiplexedConnection,
};
use tokio::time::{Instant, timeout};

use crate::lock::lock;

/// The longest any call waits for the server.
pub const WAIT: Duration = Duration::from_secs(2);
/// The longest a connect may take, so that a call still has time for its command.
const CONNECT_WAIT: Duration = Duration::from_secs(1);
/// The rest after a first failed connect; doubles up to `LONGEST_REST`.
const FIRST_REST: Duration = Duration::from_millis(50);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Why the server gave no answer that can be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LinkError {
    /// It refused, broke off, or answered with an error.
    #[error("Redis is unavailable")]
    Unavailable(#[source] RedisError),
    /// It said nothing in time.
    #[error("Redis did not answer in time")]
    TimedOut,
}

impl LinkError {
    /// The error code that the server answered with (`NOGROUP`), if it answered at all.
    pub fn server_code(&self) -> Option<&str> {
        match self {
            Self::Unavailable(error) => error.code(),
            Self::TimedOut => None,
        }
    }

    /// Whether the connection is of no more use: broken, silent, or to a server that is no longer the primary, or that does
    /// not know any more who we are.
    fn ends_connection(&self) -> bool {
        match self {
            Self::TimedOut => true,
            Self::Unavailable(error) => match error.kind() {
                ErrorKind::Server(kind) => matches!(kind, ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown),
                // An answer whose code the client library does not know: OOM, NOGROUP.
                ErrorKind::Extension => error.code() == Some("NOAUTH"),
                _ => true,
            },
        }
    }
}

impl From<RedisError> for LinkError {
    fn from(error: RedisError) -> Self {
        Self::Unavailable(error)
    }
}

/// Reads a `redis:`, `rediss:` or `redis+unix:` URL (user, password, host, port, database number).
///
/// # Errors
/// When it is none. The sentence never repeats the URL: it may hold a password.
pub fn client(url: &str) -> Result<Client, String> {
    Client::open(url).map_err(|error| format!("the Redis URL cannot be used: {}", error.category()))
}

/// A connection that is made when first needed and made again when it broke. Shared by all callers.
#[derive(Debug)]
pub struct RedisLink {
    client: Client,
    current: Mutex<Current>,
    connecting: tokio::sync::Mutex<Connecting>,
}

#[derive(Default)]
struct Current {
    generation: u64,
    connection: Option<MultiplexedConnection>,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current").field("generation", &self.generation).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Connecting {
    rest: Duration,
    resting: Option<(Instant, LinkError)>,
}

impl RedisLink {
    /// A link that is not connected yet.
    pub fn new(client: Client) -> Self {
        Self { client, current: Mutex::default(), connecting: tokio::sync::Mutex::default() }
    }

    /// Sends a command and reads its answer within `WAIT`, connecting first where needed.
    /// Cancel-safe: a dropped call may or may not have reached the server.
    ///
    /// # Errors
    /// When the server cannot be reached, does not answer in time, or answers with an error.
    pub async fn query<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, LinkError> {
        let mut used = None;
        let answer = timeout(WAIT, self.send(command, &mut used)).await.unwrap_or(Err(LinkError::TimedOut));
        if let (Err(error), Some(generation)) = (&answer, used)
            && error.ends_connection()
        {
            self.forget(generation);
        }
        answer
    }

    async fn send<T: FromRedisValue>(&self, command: &redis::Cmd, used: &mut Option<u64>) -> Result<T, LinkError> {
        let (generation, mut connection, made_now) = self.connection().await?;
        *used = Some(generation);
        match command.query_async(&mut connection).await.map_err(LinkError::from) {
            // The server went away since the last call; it may be back already.
            Err(error) if error.ends_connection() && !made_now => {
                self.forget(generation);
                let (generation, mut connection, _) = self.connection().await?;
                *used = Some(generation);
                Ok(command.query_async(&mut connection).await?)
            }
            answer => answer,
        }
    }

    /// The connection, its number, and whether it was made just now. One caller connects, the others wait for it;
    /// after a failure everybody gets that failure at once until the rest is over.
    async fn connection(&self) -> Result<(u64, MultiplexedConnection, bool), LinkError> {
        if let Some((generation, connection)) = self.established() {
            return Ok((generation, connection, false));
        }
        let mut connecting = self.connecting.lock().await;
        if let Some((generation, connection)) = self.established() {
            return Ok((generation, connection, false));
        }
        if let Some((until, error)) = &connecting.resting
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        // Every wait is bounded here and in `query`; the client's own half second would cut blocking reads short.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let made = match timeout(CONNECT_WAIT, self.client.get_multiplexed_async_connection_with_config(&config)).await
        {
            Ok(made) => made.map_err(LinkError::from),
            Err(_) => Err(LinkError::TimedOut),
        };
        match made {
            Ok(connection) => {
                *connecting = Connecting::default();
                let mut current = self.current();
                current.generation += 1;
                current.connection = Some(connection.clone());
                Ok((current.generation, connection, true))
            }
            Err(error) => {
                connecting.rest = (connecting.rest * 2).clamp(FIRST_REST, LONGEST_REST);
                connecting.resting = Some((Instant::now() + connecting.rest, error.clone()));
                Err(error)
            }
        }
    }

    fn established(&self) -> Option<(u64, MultiplexedConnection)> {
        let current = self.current();
        current.connection.clone().map(|connection| (current.generation, connection))
    }

    fn forget(&self, generation: u64) {
        let mut current = self.current();
        if current.generation == generation {
            current.connection = None;
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        lock(&self.current)
    }
}

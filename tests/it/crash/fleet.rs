//! Fleet: the processes of a deployment, how they are killed and started again, and when that was.

use swapd::chaos::{Chaos, Options, Rules};
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::support::{
    daemon::{Daemon, Setup, World},
    servers,
};

/// What keeps orders, jobs and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// SQLite and memory, one process.
    Embedded,
    /// PostgreSQL and Redis, an api and two workers.
    Shared,
}

impl Backend {
    /// As reports call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "SQLite and memory, `all`",
            Self::Shared => "PostgreSQL and Redis, `api` and two `worker`s",
        }
    }

    const fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Embedded => &["all"],
            Self::Shared => &["api", "worker", "worker"],
        }
    }

    /// A fresh store and queue in the world.
    pub async fn setup(self, world: &World, more: &str) -> Setup {
        let setup = match self {
            Self::Embedded => world.embedded(),
            Self::Shared => world.shared(&servers::fresh_database().await, &servers::shared_redis()),
        };
        Setup { more: more.to_owned(), ..setup }
    }
}

/// A proxy before the world's chain, with rules as TOML.
pub async fn proxy(world: &World, rules: &str, seed: u64) -> Chaos {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rules).unwrap();
    let rules = Rules::read(file.path()).unwrap().rules;
    let options = Options { rules, seed, ..Options::new(world.chain.rpc_url(), world.chain.ws_url()) };
    Chaos::start(options).await.unwrap()
}

/// Which processes die. An index counts the roles: the api is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victims {
    All,
    One(usize),
}

/// One death.
pub struct Kill {
    pub victims: Victims,
    /// When the processes were gone.
    pub dead: OffsetDateTime,
    /// When their successors were started, and when all of them said that they were ready.
    pub started: OffsetDateTime,
    pub ready: OffsetDateTime,
    /// Everything the dead had said.
    pub last_words: String,
}

/// The processes. Dropped, they are killed.
pub struct Fleet<'a> {
    world: &'a World,
    setup: Setup,
    roles: &'static [&'static str],
    daemons: Vec<Daemon>,
    /// Where the API is at the moment.
    url: watch::Sender<String>,
    pub kills: Vec<Kill>,
}

impl<'a> Fleet<'a> {
    /// Starts every process of the backend.
    pub async fn start(world: &'a World, setup: Setup, backend: Backend) -> Self {
        let roles = backend.roles();
        let mut daemons = Vec::new();
        for role in roles {
            daemons.push(Daemon::start(world, &setup, role).await);
        }
        let url = watch::Sender::new(daemons[0].url());
        Self { world, setup, roles, daemons, url, kills: Vec::new() }
    }

    /// The process with the API.
    pub fn api(&self) -> &Daemon {
        &self.daemons[0]
    }

    /// Where the API is, also after the next start.
    pub fn url(&self) -> watch::Receiver<String> {
        self.url.subscribe()
    }

    /// How many processes there are.
    pub const fn len(&self) -> usize {
        self.roles.len()
    }

    /// `kill -9` and a new start.
    pub async fn restart(&mut self, victims: Victims) {
        self.kill(victims).await;
        self.start_again(victims).await;
    }

    /// `kill -9`.
    pub async fn kill(&mut self, victims: Victims) {
        let mut last_words = String::new();
        for index in self.indices(victims) {
            self.daemons[index].kill_9().await;
        }
        let dead = OffsetDateTime::now_utc();
        for index in self.indices(victims) {
            last_words += &self.daemons[index].whole_log().await;
            last_words.push('\n');
        }
        self.kills.push(Kill { victims, dead, started: dead, ready: dead, last_words });
    }

    /// Starts anew what was killed last.
    pub async fn start_again(&mut self, victims: Victims) {
        self.spawn(victims);
        for index in self.indices(victims) {
            self.daemons[index].is_ready().await;
        }
        self.url.send_replace(self.daemons[0].url());
        self.kills.last_mut().unwrap().ready = OffsetDateTime::now_utc();
    }

    /// Starts processes in place of dead ones, without waiting for them.
    pub fn spawn(&mut self, victims: Victims) {
        self.kills.last_mut().unwrap().started = OffsetDateTime::now_utc();
        for index in self.indices(victims) {
            self.daemons[index] = Daemon::spawn(&self.world.config(&self.setup), self.roles[index]);
        }
    }

    fn indices(&self, victims: Victims) -> Vec<usize> {
        match victims {
            Victims::All => (0..self.roles.len()).collect(),
            Victims::One(index) => vec![index],
        }
    }
}

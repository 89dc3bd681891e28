//! Real Redis and PostgreSQL servers for the tests: private, on free ports, gone when the test process is gone.
//!
//! Needs `redis-server` (6.2 or newer) and PostgreSQL's `initdb` and `postgres` (Debian: `apt-get install
//! redis-server postgresql`; PostgreSQL is also found in `/usr/lib/postgresql`). A missing one fails the test.
//! `SWAPD_TEST_REDIS_URL` and `SWAPD_TEST_POSTGRES_URL` name servers that already run and take the place of the
//! shared ones; a test that stops, starts or empties a server always starts its own.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use sqlx::{Connection, Executor, PgConnection};
use swapd::domain::OrderId;

const START_WAIT: Duration = Duration::from_secs(20);

/// A shell that starts and halts one server as it is told on its standard input, and cleans up when that closes:
/// however a test process ends, its pipe closes. It ignores the signals that are meant for the tests.
const KEEPER: &str = r#"
    trap '' HUP INT TERM
    dir=$1 signal=$2; shift 2; pid=
    halt() { if [ -n "$pid" ]; then kill -"$signal" "$pid"; wait "$pid"; pid=; fi; }
    while read -r word; do
        case $word in
            start) "$@" </dev/null >>"$dir/log" 2>&1 & pid=$! ;;
            halt) halt ;;
            stop) kill -INT "$pid"; wait "$pid"; pid= ;;
            freeze) kill -STOP "$pid" ;;
            thaw) kill -CONT "$pid" ;;
        esac
        echo done
    done
    halt
    rm -rf "$dir"
"#;

struct Keeper {
    shell: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    dir: PathBuf,
}

impl Keeper {
    fn new(dir: &Path, signal: &str, server: &[OsString]) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(dir)
            .arg(signal)
            .args(server)
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell");
        let orders = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().expect("piped"));
        Self { shell, orders, answers, dir: dir.to_owned() }
    }

    fn tell(&mut self, word: &str) {
        writeln!(self.orders.as_mut().expect("open until dropped"), "{word}").expect("the keeper listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the keeper answers");
        assert_eq!(answer, "done\n");
    }

    /// Starts the server; whether `is_ready` came true in time.
    fn start(&mut self, is_ready: impl Fn() -> bool) -> bool {
        self.tell("start");
        let deadline = Instant::now() + START_WAIT;
        while Instant::now() < deadline {
            if is_ready() {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.shell.wait();
    }
}

/// What a server does for the safety of its data. `Fast` survives the death of the server, not of the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// Redis: nothing is kept. PostgreSQL: no fsync.
    Fast,
    /// Redis: append-only file. PostgreSQL: its defaults.
    Durable,
}

/// A Redis of this test's own. Dropped, it is killed.
pub struct RedisServer {
    keeper: Keeper,
    port: u16,
    password: String,
}

impl RedisServer {
    /// Starts one, with additional settings (`["--maxmemory", "10mb"]`).
    pub fn start(disk: Disk, settings: &[&str]) -> Self {
        let program = program("redis-server", "redis-server");
        for _ in 0..5 {
            // The password keeps a test from another process's server, if both picked the same port.
            let (port, password) = (free_port(), OrderId::new().to_string());
            let dir = temp_dir("redis");
            let mut command = vec![program.clone().into_os_string()];
            let (port_text, dir_text) = (port.to_string(), dir.to_string_lossy().into_owned());
            let appendonly = if disk == Disk::Durable { "yes" } else { "no" };
            command.extend(
                ["--bind", "127.0.0.1", "--port", &port_text, "--requirepass", &password, "--dir", &dir_text]
                    .into_iter()
                    .chain(["--save", "", "--appendonly", appendonly, "--appendfsync", "always"])
                    .chain(settings.iter().copied())
                    .map(OsString::from),
            );
            let keeper = Keeper::new(&dir, "KILL", &command);
            let mut server = Self { keeper, port, password };
            if server.start_again_if_possible() {
                return server;
            }
            eprintln!("redis-server did not start:\n{}", server.keeper.log());
        }
        panic!("redis-server does not start; its log is above");
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("redis://:{}@127.0.0.1:{}/0", self.password, self.port)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.keeper.tell("halt");
    }

    /// Starts it again, on the same port and data.
    pub fn start_again(&mut self) {
        assert!(self.start_again_if_possible(), "redis-server did not start again:\n{}", self.keeper.log());
    }

    /// Leaves it running and connected, but silent.
    pub fn freeze(&mut self) {
        self.keeper.tell("freeze");
    }

    /// Ends `freeze`.
    pub fn thaw(&mut self) {
        self.keeper.tell("thaw");
    }

    /// `FLUSHALL`.
    pub fn flush_all(&self) {
        redis::cmd("FLUSHALL").exec(&mut self.connection().expect("a running server")).expect("FLUSHALL");
    }

    fn start_again_if_possible(&mut self) -> bool {
        let url = self.url();
        self.keeper.start(|| redis_connection(&url).is_ok())
    }

    fn connection(&self) -> redis::RedisResult<redis::Connection> {
        redis_connection(&self.url())
    }
}

fn redis_connection(url: &str) -> redis::RedisResult<redis::Connection> {
    let mut connection = redis::Client::open(url)?.get_connection_with_timeout(Duration::from_secs(1))?;
    redis::cmd("PING").exec(&mut connection)?; // refused while it still loads its data
    Ok(connection)
}

/// A PostgreSQL cluster of this test's own. Dropped, it is stopped and removed.
pub struct PostgresServer {
    keeper: Keeper,
    port: u16,
    user: String,
}

impl PostgresServer {
    /// Makes a cluster and starts it.
    pub fn start(disk: Disk) -> Self {
        let (initdb, postgres) = (program("initdb", "postgresql"), program("postgres", "postgresql"));
        for _ in 0..5 {
            // The user's name keeps a test from another process's server, if both picked the same port.
            let (port, user) = (free_port(), format!("u{}", OrderId::new().0.simple()));
            let dir = temp_dir("postgres");
            let data = dir.join("data");
            let as_user = unprivileged(&dir);
            let mut make = as_user.clone();
            make.extend([initdb.clone().into_os_string(), "-D".into(), data.clone().into_os_string()]);
            make.extend(["-U", &user, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"].map(OsString::from));
            let made = Command::new(&make[0]).args(&make[1..]).current_dir(&dir).output().expect("initdb runs");
            assert!(made.status.success(), "initdb failed:\n{}", String::from_utf8_lossy(&made.stderr));

            let mut command = as_user;
            command.extend([postgres.clone().into_os_string(), "-D".into(), data.into_os_string()]);
            let mut settings = vec![
                format!("port={port}"),
                "listen_addresses=127.0.0.1".into(),
                "unix_socket_directories=".into(),
                "max_connections=200".into(),
            ];
            if disk == Disk::Fast {
                settings.extend(["fsync=off", "full_page_writes=off"].map(String::from));
            }
            for setting in settings {
                command.extend(["-c".into(), setting.into()]);
            }
            // An immediate shutdown is as rough as a crash, but leaves no process and no shared memory behind.
            let keeper = Keeper::new(&dir, "QUIT", &command);
            let mut server = Self { keeper, port, user };
            if server.start_again_if_possible() {
                return server;
            }
            eprintln!("postgres did not start:\n{}", server.keeper.log());
        }
        panic!("postgres does not start; its log is above");
    }

    /// The database that every cluster has: for making others.
    pub fn url(&self) -> String {
        format!("postgres://{}@127.0.0.1:{}/postgres?sslmode=disable", self.user, self.port)
    }

    /// Stops it as an operator does: connections are ended, everything is on the disk.
    pub fn stop(&mut self) {
        self.keeper.tell("stop");
    }

    /// Stops it as a crash would.
    pub fn crash(&mut self) {
        self.keeper.tell("halt");
    }

    /// Starts it again, on the same port and data.
    pub fn start_again(&mut self) {
        assert!(self.start_again_if_possible(), "postgres did not start again:\n{}", self.keeper.log());
    }

    fn start_again_if_possible(&mut self) -> bool {
        let url = self.url();
        self.keeper.start(|| {
            let url = url.clone();
            // Callers may be inside a runtime already, where nothing may block on another one.
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async { PgConnection::connect(&url).await.is_ok() })
            })
            .join()
            .expect("connecting does not panic")
        })
    }
}

/// The Redis all tests of this process share: bring a prefix of your own.
pub fn shared_redis() -> String {
    static SERVER: OnceLock<Mutex<RedisServer>> = OnceLock::new();
    env::var("SWAPD_TEST_REDIS_URL").unwrap_or_else(|_| {
        SERVER.get_or_init(|| Mutex::new(RedisServer::start(Disk::Fast, &[]))).lock().expect("never poisoned").url()
    })
}

/// An empty database of this test's own, on the PostgreSQL all tests of this process share.
pub async fn fresh_database() -> String {
    static SERVER: OnceLock<Mutex<PostgresServer>> = OnceLock::new();
    let url = env::var("SWAPD_TEST_POSTGRES_URL").unwrap_or_else(|_| {
        SERVER.get_or_init(|| Mutex::new(PostgresServer::start(Disk::Fast))).lock().expect("never poisoned").url()
    });
    create_database(&url).await
}

/// Makes a database with a new name on the server behind `url`; answers its URL.
pub async fn create_database(url: &str) -> String {
    let name = format!("test_{}", OrderId::new().0.simple());
    let mut connection = PgConnection::connect(url).await.expect("PostgreSQL answers");
    connection.execute(format!("create database {name}").as_str()).await.expect("the user may create databases");
    let mut url = url::Url::parse(url).expect("a URL");
    url.set_path(&name);
    url.into()
}

fn program(name: &str, package: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    versions.sort();
    env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .chain(versions.into_iter().rev())
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("this test needs `{name}`: install it with `apt-get install {package}`"))
}

/// What a command begins with so that it does not run as root, which PostgreSQL refuses.
fn unprivileged(dir: &Path) -> Vec<OsString> {
    let id = |arguments: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(arguments).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    if id(&["-u"]) != Some(0) {
        return Vec::new();
    }
    let (user, group) = (id(&["-u", "postgres"]), id(&["-g", "postgres"]));
    assert!(user.is_some(), "PostgreSQL refuses to run as root, and there is no user `postgres` to run it as");
    chown(dir, user, group).expect("root may give a directory away");
    let mut command = vec![program("setpriv", "util-linux").into_os_string()];
    command.extend(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"].map(OsString::from));
    command
}

fn temp_dir(of: &str) -> PathBuf {
    // The keeper removes it.
    tempfile::Builder::new().prefix(&format!("swapd-test-{of}-")).tempdir().expect("a temporary directory").keep()
}

/// A port nobody listens on, outside the range that the system gives to outgoing connections: a client that knocks
/// while the server is down could otherwise be given the very port it knocks at, and talk to itself.
fn free_port() -> u16 {
    loop {
        let port = rand::random_range(20_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

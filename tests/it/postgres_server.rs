//! PostgreSQL for tests: the server named by `SWAPD_TEST_POSTGRES_URL`, else a private one in a temporary folder.
//!
//! A private server lives under a small shell that waits for this process: however the tests end, its standard input
//! closes, and it stops the server and removes the folder. Never skips: a test without a server fails and says why.

use std::{
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::OnceCell;

const MISSING: &str = "PostgreSQL's `initdb` and `postgres` were not found in PATH or /usr/lib/postgresql/*/bin: \
    install them (Debian: apt-get install postgresql) or set SWAPD_TEST_POSTGRES_URL to a server where databases may \
    be created";

/// A private server.
pub struct PostgresServer {
    folder: PathBuf,
    port: u16,
    keeper: Option<Child>,
    /// Shared by this process's tests: nobody stops it, so its keeper cleans up.
    shared: bool,
}

impl PostgresServer {
    /// Makes a cluster and starts it.
    pub async fn start() -> Self {
        Self::start_as(false).await
    }

    async fn start_as(shared: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("swapd-postgres-").tempdir().unwrap().keep();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&folder));
        }
        let data = folder.join("data");
        run(as_server("initdb")
            .args(["--auth=trust", "--username=swapd", "--encoding=UTF8", "--no-sync", "-D"])
            .arg(&data));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { folder, port, keeper: None, shared };
        server.resume().await;
        server
    }

    /// The URL of its database `postgres`.
    pub fn url(&self) -> String {
        format!("postgres://swapd@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it (again), and waits until it answers.
    pub async fn resume(&mut self) {
        let keeper = "postgres=$1 folder=$2 port=$3\n\
            \"$postgres\" -D \"$folder/data\" -p \"$port\" -k \"$folder\" -c listen_addresses=127.0.0.1 -c fsync=off \
            -c max_connections=200 >\"$folder/log\" 2>&1 &\n\
            cat >/dev/null; kill -INT $!; wait\n\
            [ \"$4\" = keep ] || rm -rf \"$folder\"";
        let mut command = as_server("sh");
        command.args(["-c", keeper, "keeper"]).arg(binary("postgres")).arg(&self.folder).arg(self.port.to_string());
        command.arg(if self.shared { "remove" } else { "keep" });
        self.keeper = Some(command.stdin(Stdio::piped()).spawn().unwrap());
        let give_up = Instant::now() + Duration::from_secs(60);
        while let Err(error) = PgConnection::connect(&self.url()).await {
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < give_up, "PostgreSQL does not start: {error}\n{}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops it at once, and waits until it has gone. Its data stays.
    pub fn stop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            keeper.wait().unwrap();
        }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.stop();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// A fresh database on the server that the tests of this process share.
pub async fn fresh_database() -> String {
    static SERVER: OnceCell<String> = OnceCell::const_new();
    let server = SERVER
        .get_or_init(|| async {
            match std::env::var("SWAPD_TEST_POSTGRES_URL") {
                Ok(url) => url,
                // Not dropped: a static never is. The keeper sees this process end.
                Err(_) => Box::leak(Box::new(PostgresServer::start_as(true).await)).url(),
            }
        })
        .await;
    database_on(server).await
}

/// A fresh database on the server of `url`.
pub async fn database_on(url: &str) -> String {
    let name = format!("swapd_test_{}", uuid::Uuid::now_v7().simple());
    let mut connection = PgConnection::connect(url).await.expect("SWAPD_TEST_POSTGRES_URL must name a running server");
    connection.execute(format!("create database {name}").as_str()).await.unwrap();
    let mut url: url::Url = url.parse().unwrap();
    url.set_path(&name);
    url.to_string()
}

/// A command as the user that PostgreSQL accepts: it refuses root.
fn as_server(program: &str) -> Command {
    let program = if program == "sh" { PathBuf::from("sh") } else { binary(program) };
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/").stdout(Stdio::null());
    command
}

fn run(command: &mut Command) {
    let output = command.stderr(Stdio::piped()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn binary(name: &str) -> PathBuf {
    let versions = || -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir("/usr/lib/postgresql")?.map(|entry| Ok(entry?.path().join("bin"))).collect()
    };
    let mut folders = versions().unwrap_or_default();
    folders.sort();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    folders.iter().rev().map(|folder| folder.join(name)).find(|path| path.is_file()).expect(MISSING)
}

fn is_root() -> bool {
    // The owner of this process's own folder in /proc is its user; elsewhere nobody runs tests as root.
    use std::os::unix::fs::MetadataExt;
    Path::new("/proc/self").metadata().is_ok_and(|meta| meta.uid() == 0)
}

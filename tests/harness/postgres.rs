//! A PostgreSQL server of the tests' own: in a temporary folder, as an ordinary user, on a port of
//! its own. No other server is touched. And a pooler before it.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::certificate::Certificate;
use crate::tools::{Tool, require};
use crate::wait_for;

/// Where Debian keeps the programs of the version that it has.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// The server and its client.
const POSTGRES: Tool = Tool {
    name: "PostgreSQL 15",
    probe: &["/usr/lib/postgresql/15/bin/postgres", "--version"],
    packages: &["postgresql-15"],
};

const PGBOUNCER: Tool = Tool {
    name: "PgBouncer",
    probe: &["/usr/sbin/pgbouncer", "--version"],
    packages: &["pgbouncer"],
};

/// The superuser, who is the role of the tests too.
const ROLE: &str = "postgres";
const PASSWORD: &str = "a password of the tests";

/// Runs the server until its input ends, however the process ends that holds the other end of it;
/// then removes the folder, unless it read that it should not.
const SUPERVISOR: &str = r#"
    folder=$1; shift
    exec 3<&0
    "$@" </dev/null 3<&- &
    said=$(cat <&3)
    if [ "$said" = keep ]; then
        kill -INT $! 2>/dev/null
        wait $!
    else
        # Without a checkpoint: nobody reads it again.
        kill -QUIT $! 2>/dev/null
        wait $!
        rm -rf "$folder"
    fi
"#;

/// A running server; it ends when this is dropped, or the process ends.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    port: u16,
    supervisor: Mutex<Option<Child>>,
    databases: AtomicU32,
}

/// What came of an attempt to start a server.
#[derive(Debug, Clone, Copy)]
enum Start {
    Done,
    /// What a killed one began has not ended yet.
    InUse,
    /// Another program has the port.
    PortTaken,
}

impl Postgres {
    /// Whether the programs are there; otherwise the test has to be skipped.
    pub fn is_there(test: &str) -> bool {
        require(test, &[&POSTGRES])
    }

    /// A new server, or none when the test has to be skipped.
    pub fn start(test: &str) -> Option<Self> {
        Self::is_there(test).then(Self::new)
    }

    /// The server that the tests of this process share, or none when the test has to be skipped.
    pub fn shared(test: &str) -> Option<&'static Self> {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        Self::is_there(test).then(|| SHARED.get_or_init(Self::new))
    }

    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        give(&folder);
        fs::write(folder.join("password"), PASSWORD).unwrap();
        give(&folder.join("password"));
        keep_private(&folder.join("password"));
        let made = command(&program("initdb"))
            .arg("--pgdata")
            .arg(folder.join("data"))
            .arg("--pwfile")
            .arg(folder.join("password"))
            .args(["--username", ROLE, "--auth", "scram-sha-256"])
            .args([
                "--encoding",
                "UTF8",
                "--locale",
                "C.UTF-8",
                "--data-checksums",
            ])
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {made:?}");
        Self::first_run(folder)
    }

    /// A server of what is in the folder's "data", which has never run. Another program may take
    /// a free port before it is bound; nobody knows this one yet, so another port will do.
    fn first_run(folder: PathBuf) -> Self {
        let mut server = Self {
            folder,
            port: free_port(),
            supervisor: Mutex::new(None),
            databases: AtomicU32::new(0),
        };
        wait_for("PostgreSQL to start", || match server.try_start() {
            Start::Done => Some(()),
            Start::InUse => None,
            Start::PortTaken => {
                server.port = free_port();
                None
            }
        });
        server
    }

    /// A standby that this server's commits wait for from now on.
    pub fn standby(&self) -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        give(&folder);
        let copied = command(&program("pg_basebackup"))
            .args(["-c", "fast", "-R", "-X", "stream", "-h", "127.0.0.1"])
            .args(["-p", &self.port.to_string(), "-U", ROLE, "-D"])
            .arg(folder.join("data"))
            .env("PGPASSWORD", PASSWORD)
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(copied.status.success(), "pg_basebackup: {copied:?}");
        fs::copy(self.password_file(), folder.join("password")).unwrap();
        give(&folder.join("password"));
        let standby = Self::first_run(folder);
        self.run(
            "postgres",
            "alter system set synchronous_standby_names = '*'",
        );
        self.run("postgres", "select pg_reload_conf()");
        wait_for("the standby to be synchronous", || {
            let state = "select sync_state from pg_stat_replication";
            (self.run("postgres", state) == "sync").then_some(())
        });
        standby
    }

    /// Makes a primary of a standby.
    pub fn promote(&self) {
        assert_eq!(self.run("postgres", "select pg_promote()"), "t");
    }

    /// Starts it again after [`Postgres::crash`] or [`Postgres::stop`], with what it has on its
    /// disk, on the port that others know. Whoever has taken that meanwhile may let go of it.
    pub fn restart(&self) {
        wait_for("PostgreSQL to start", || {
            matches!(self.try_start(), Start::Done).then_some(())
        });
    }

    fn try_start(&self) -> Start {
        let log = self.folder.join("log");
        let file = fs::File::create(&log).unwrap();
        let child = command(Path::new("/bin/sh"))
            .args(["-c", SUPERVISOR, "supervisor"])
            .arg(&self.folder)
            .arg(program("postgres"))
            .arg("-D")
            .arg(self.folder.join("data"))
            .arg("-k")
            .arg(&self.folder)
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "max_connections=200"])
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        *self.lock() = Some(child);
        let started = wait_for("PostgreSQL to accept connections", || {
            let said = fs::read_to_string(&log).unwrap();
            if said.contains("still in use") {
                return Some(Start::InUse);
            }
            // It ends by that; its port may even be another server's, which would answer.
            if said.contains("could not bind") || said.contains("could not create any TCP/IP") {
                return Some(Start::PortTaken);
            }
            let is_ready = said.contains("ready to accept");
            let answers = || self.ask("postgres", "select 1").is_ok();
            (is_ready && answers()).then_some(Start::Done)
        });
        if !matches!(started, Start::Done) {
            self.stop();
        }
        started
    }

    /// Kills the server and its back ends: these would answer for a while without it.
    pub fn crash(&self) {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let pid = file.lines().next().unwrap();
        let began = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        for pid in std::iter::once(pid).chain(began.split_ascii_whitespace()) {
            let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
            // What ends by itself meanwhile is no problem.
            let _ = kill_process(pid, Signal::KILL);
        }
        self.stop();
    }

    /// Stops it at once, rolling back what is under way.
    pub fn stop(&self) {
        if let Some(mut child) = self.lock().take() {
            let input = child.stdin.take();
            input.unwrap().write_all(b"keep").unwrap();
            child.wait().unwrap();
        }
    }

    /// Offers TLS from now on.
    pub fn use_tls(&self, certificate: &Certificate) {
        let files = [
            (&certificate.certificate, "server.crt"),
            (&certificate.key, "server.key"),
        ];
        for (from, name) in files {
            let to = self.folder.join("data").join(name);
            fs::copy(from, &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
            give(&to);
        }
        self.run("postgres", "alter system set ssl = on");
        self.run("postgres", "select pg_reload_conf()");
        wait_for("PostgreSQL to offer TLS", || {
            (self.run("postgres", "show ssl") == "on").then_some(())
        });
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process that started it, from which the server and all its back ends descend; none
    /// while it is stopped.
    pub fn id(&self) -> Option<u32> {
        self.lock().as_ref().map(Child::id)
    }

    /// What a commit waits for. Not the disk, while a database is filled whose loss is no loss.
    pub fn set_fsync(&self, on: bool) {
        let word = if on { "on" } else { "off" };
        self.run("postgres", &format!("alter system set fsync = {word}"));
        self.run("postgres", "select pg_reload_conf()");
        wait_for("PostgreSQL to take over fsync", || {
            (self.run("postgres", "show fsync") == word).then_some(())
        });
    }

    /// The password of the role.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// A file with it.
    pub fn password_file(&self) -> PathBuf {
        self.folder.join("password")
    }

    /// A database with nothing in it: its name.
    pub fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test{number}");
        self.run("postgres", &format!("create database {name}"));
        name
    }

    /// How a database is reached through this port, or the server's own.
    pub fn url(&self, database: &str, port: Option<u16>) -> String {
        let port = port.unwrap_or(self.port);
        format!("postgresql://{ROLE}@127.0.0.1:{port}/{database}")
    }

    /// What psql says to this: rows in lines, columns with "|" between.
    pub fn run(&self, database: &str, sql: &str) -> String {
        match self.ask(database, sql) {
            Ok(said) => said,
            Err(said) => panic!("{sql}: {said}"),
        }
    }

    /// A session of psql, which runs this and then ends, however that goes.
    pub fn session(&self, database: &str, sql: &str) -> std::thread::JoinHandle<()> {
        let mut psql = self.psql(database, sql);
        std::thread::spawn(move || drop(psql.output().unwrap()))
    }

    fn ask(&self, database: &str, sql: &str) -> Result<String, String> {
        let said = self.psql(database, sql).output().unwrap();
        match said.status.success() {
            true => Ok(String::from_utf8(said.stdout).unwrap().trim().to_owned()),
            false => Err(String::from_utf8_lossy(&said.stderr).into_owned()),
        }
    }

    fn psql(&self, database: &str, sql: &str) -> Command {
        let mut psql = command(&program("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["-U", ROLE, "-d", database, "-c", sql])
            .env("PGPASSWORD", PASSWORD)
            .current_dir("/");
        psql
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.supervisor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut child) = self.lock().take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
        // Of one that was stopped or killed.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A running PgBouncer in transaction mode; it ends when this is dropped.
#[derive(Debug)]
pub struct PgBouncer {
    _folder: TempDir,
    port: u16,
    child: Child,
}

impl PgBouncer {
    /// Whether the program is there; otherwise the test has to be skipped.
    pub fn is_there(test: &str) -> bool {
        require(test, &[&PGBOUNCER])
    }

    /// Before this server, or none when the test has to be skipped.
    pub fn start(test: &str, server: &Postgres) -> Option<Self> {
        if !Self::is_there(test) {
            return None;
        }
        // Another program may have taken the port meanwhile.
        Some(wait_for("PgBouncer to listen", || {
            Self::on(free_port(), server)
        }))
    }

    /// None: it cannot listen on this port.
    fn on(port: u16, server: &Postgres) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        give(folder.path());
        let path = folder.path().display();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = plain\nauth_file = {path}/users\npool_mode = transaction\n\
             default_pool_size = 4\nlogfile = {path}/log\npidfile = {path}/pid\n",
            server.port
        );
        fs::write(folder.path().join("settings"), settings).unwrap();
        let users = format!("\"{ROLE}\" \"{PASSWORD}\"\n");
        fs::write(folder.path().join("users"), users).unwrap();
        for file in ["settings", "users"] {
            give(&folder.path().join(file));
        }
        let child = command(Path::new("/usr/sbin/pgbouncer"))
            .arg("-q")
            .arg(folder.path().join("settings"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let log = folder.path().join("log");
        let mut pooler = Self {
            _folder: folder,
            port,
            child,
        };
        let is_up = wait_for("PgBouncer to start", || {
            if pooler.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let said = fs::read_to_string(&log).unwrap_or_default();
            said.contains("process up").then_some(true)
        });
        is_up.then_some(pooler)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(name: &str) -> PathBuf {
    Path::new(PROGRAMS).join(name)
}

/// Runs as the user of the package if this is root, which the server refuses to be.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = user() {
        command.uid(user).gid(group);
    }
    command.env_remove("PGDATA").env("LC_ALL", "C.UTF-8");
    command
}

fn keep_private(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn give(path: &Path) {
    if let Some((user, group)) = user() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

/// The ids of the user `postgres`, if this is root.
fn user() -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let mut fields = line.expect("the package made its user").split(':').skip(2);
    let mut next = || fields.next().unwrap().parse().unwrap();
    Some((next(), next()))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

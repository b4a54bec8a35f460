//! The server as a process: started, watched, stopped.

use std::collections::HashMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::tools::skip;
use crate::{Pop3, repository, wait_for};

/// The program under test: `RESTANTE_BIN`, else beside the tests.
pub fn binary() -> PathBuf {
    let path = match std::env::var_os("RESTANTE_BIN") {
        Some(path) => PathBuf::from(path),
        None => build_directory().join("restante"),
    };
    assert!(
        path.is_file(),
        "there is no server at {}: run `cargo xtask test`",
        path.display()
    );
    path
}

/// Where `cargo xtask` puts components; .cargo/config.toml sets the variable.
fn components() -> PathBuf {
    match std::env::var_os("RESTANTE_COMPONENTS") {
        Some(path) => PathBuf::from(path),
        None => repository().join("target/components"),
    }
}

/// A plugin of plugins/ in another language than Rust, or none when the test has to
/// be skipped: it is built only where the language's tools are to be had.
pub fn plugin_in_another_language(name: &str) -> Option<PathBuf> {
    let path = components().join("languages").join(format!("{name}.wasm"));
    if path.is_file() {
        return Some(path);
    }
    skip(&format!(
        "there is no {}: `cargo xtask plugins` says why",
        path.display()
    ));
    None
}

/// A component of tests/guests, by its name.
pub fn test_guest(name: &str) -> PathBuf {
    let path = components().join("test").join(format!("{name}.wasm"));
    assert!(
        path.is_file(),
        "there is no component at {}: run `cargo xtask test`",
        path.display()
    );
    path
}

/// Where the running tests were built: target/PROFILE, of target/PROFILE/deps/TEST.
pub(crate) fn build_directory() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().to_owned()
}

/// What a command left behind that ended by itself.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a command to its end, within the harness's patience.
pub fn run_to_end(command: &mut Command) -> Finished {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("stdout");
    let err = directory.path().join("stderr");
    let mut child = command
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let status = ended(&mut child, || {
        format!("{command:?}\n{}\n{}", text(&out), text(&err))
    });
    Finished {
        code: status.code(),
        stdout: text(&out),
        stderr: text(&err),
    }
}

/// A command that runs beside the test. Dropped, it is killed; when the test
/// failed, what it said is shown.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts a command whose outputs go to files of that name, with the
    /// endings `.out` and `.err`.
    pub fn start(command: &mut Command, outputs: &Path) -> Process {
        let stdout = outputs.with_extension("out");
        let stderr = outputs.with_extension("err");
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Process {
            child,
            stdout,
            stderr,
        }
    }

    /// What it wrote to its standard output so far.
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// What it wrote to its standard error so far.
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// Sends SIGTERM and goes on.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGINT, as Ctrl-C does, and goes on.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Sends SIGHUP and goes on.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Sends SIGSTOP: it stands still until [`Process::go_on`], and notices nothing.
    pub fn stand_still(&self) {
        self.signal(Signal::STOP);
    }

    /// Sends SIGCONT.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let stderr = self.stderr.clone();
        ended(&mut self.child, || text(&stderr))
    }

    /// `kill -9`, at once.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let (stdout, stderr) = (self.stdout(), self.stderr());
            eprintln!("---- what the server said ----\n{stdout}{stderr}----");
        }
    }
}

/// A running `restante serve`.
#[derive(Debug)]
pub struct Server {
    process: Process,
    addresses: HashMap<String, SocketAddr>,
}

impl Server {
    /// Starts a server and waits until the named listeners accept. Its log goes
    /// to a file named `outputs`, with the ending `.err`. `arguments`: of `serve`
    /// beside `--config`.
    pub fn start(
        config: &Path,
        outputs: &Path,
        listeners: &[String],
        arguments: &[String],
    ) -> Server {
        let mut process = Process::start(
            Command::new(binary())
                .args(["serve", "--config"])
                .arg(config)
                .args(arguments)
                .env_remove("RUST_LOG"),
            outputs,
        );
        let mut addresses = HashMap::new();
        for name in listeners {
            let address = wait_for(&format!("listener {name} to accept"), || {
                assert!(process.is_running(), "the server ended at once");
                listening(&process.stderr(), name)
            });
            addresses.insert(name.clone(), address);
        }
        Server { process, addresses }
    }

    /// Where a listener accepts.
    pub fn address(&self, listener: &str) -> SocketAddr {
        *self
            .addresses
            .get(listener)
            .unwrap_or_else(|| panic!("the site has no listener {listener}"))
    }

    /// Where the listener "pop3" accepts, in the clear.
    pub fn pop3(&self) -> SocketAddr {
        self.address("pop3")
    }

    /// Everything logged since this start.
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    /// Waits for a line of the log that holds all of these, and gives it back.
    pub fn logged(&self, words: &[&str]) -> String {
        wait_for(&format!("a log line with {words:?}"), || {
            self.log()
                .lines()
                .find(|line| words.iter().all(|word| line.contains(word)))
                .map(str::to_owned)
        })
    }

    /// The memory that the process holds now, in KiB (`VmRSS`).
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory it held since [`Server::forget_peak`], in KiB (`VmHWM`).
    pub fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// How many file descriptors it has open now.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// From now on it may have so many file descriptors open, and no more.
    pub fn limit_descriptors(&self, descriptors: usize) {
        let descriptors = u64::try_from(descriptors).unwrap();
        let limit = Rlimit {
            current: Some(descriptors),
            maximum: Some(descriptors),
        };
        let process = Pid::from_raw(self.process.child.id().try_into().unwrap());
        prlimit(process, Resource::Nofile, limit).unwrap();
    }

    /// How many threads it has now.
    pub fn threads(&self) -> usize {
        fs::read_dir(self.proc("task")).unwrap().count()
    }

    /// Begins a new measure of [`Server::peak`].
    pub fn forget_peak(&self) {
        // proc(5): "5" resets the peak resident set size.
        fs::write(self.proc("clear_refs"), "5").unwrap();
    }

    /// User and system time used so far, in clock ticks.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(self.proc("stat")).unwrap();
        // The fields behind the name in parentheses; utime and stime are the
        // 14th and 15th of all (proc(5)).
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = fields.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .unwrap_or_else(|| panic!("no {field} in {status}"));
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// A file of proc(5) about the process.
    pub fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.process.child.id()))
    }

    /// Sends SIGTERM and goes on.
    pub fn terminate(&self) {
        self.process.terminate();
    }

    /// Sends SIGSTOP: it stands still until [`Server::go_on`], and notices nothing.
    pub fn stand_still(&self) {
        self.process.stand_still();
    }

    /// Sends SIGCONT.
    pub fn go_on(&self) {
        self.process.go_on();
    }

    /// Sends SIGHUP and waits for the log line with which it is answered.
    pub fn reload(&self) -> String {
        let answered = |log: &str| {
            let answers = ["reloaded", "nothing reloaded"];
            log.lines()
                .filter(|line| answers.iter().any(|answer| line.contains(answer)))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let before = answered(&self.log()).len();
        self.process.hang_up();
        wait_for("the answer to SIGHUP", || {
            answered(&self.log()).get(before).cloned()
        })
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        self.process.ended()
    }

    /// SIGTERM, its end with exit code 0, and the whole log.
    pub fn stop(mut self) -> String {
        self.terminate();
        let status = self.ended();
        let log = self.log();
        assert_eq!(status.code(), Some(0), "after SIGTERM:\n{log}");
        log
    }

    /// `kill -9`, at once.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Sends QUIT and kills the server after `delay`; whether it had answered.
    pub fn kill_in_update(&mut self, mut client: Pop3, delay: Duration) -> bool {
        let start = Instant::now();
        client.send("QUIT");
        // sleep() oversleeps by more than what UPDATE takes.
        while start.elapsed() < delay {
            std::hint::spin_loop();
        }
        self.kill();
        match client.status_if_open() {
            Some(status) => {
                assert!(status.ok, "QUIT: {status:?}");
                true
            }
            None => false,
        }
    }

    /// What curl gets at a path, in the clear: "" is the scan listing, "1" a message.
    pub fn curl(&self, path: &str, user: &str, password: &str) -> Finished {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--verbose", "--max-time", "60"]);
        curl.arg("--user").arg(format!("{user}:{password}"));
        run_to_end(curl.arg(format!("pop3://{}/{path}", self.pop3())))
    }
}

/// The address in the line with which a listener says that it accepts.
fn listening(log: &str, name: &str) -> Option<SocketAddr> {
    log.lines()
        .map(plain)
        .filter(|line| line.contains("listening") && field(line, "listener") == Some(name))
        .find_map(|line| field(&line, "address")?.parse().ok())
}

/// The value of `key=value` or `key="value"` in a log line.
fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split_whitespace()
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        .map(|value| value.trim_matches('"'))
}

/// A log line without terminal colours.
fn plain(line: &str) -> String {
    let mut parts = line.split('\x1b');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

fn ended(child: &mut Child, context: impl Fn() -> String) -> ExitStatus {
    let start = std::time::Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > crate::PATIENCE {
            // It must not outlive the test that gives up on it.
            let _ = child.kill();
            let _ = child.wait();
            panic!("did not end within {:?}: {}", crate::PATIENCE, context());
        }
        std::thread::sleep(crate::GLANCE);
    }
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

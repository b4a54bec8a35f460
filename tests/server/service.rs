//! The server as a service manager sees it.
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use restante_tests::{PATIENCE, Pop3, Process, Site, binary, python, run_to_end, wait_for};

/// The service manager's end.
struct Manager(UnixDatagram);

impl Manager {
    /// The next message, as keys and values.
    fn told(&self) -> BTreeMap<String, String> {
        let mut octets = [0; 4096];
        let length = self.0.recv(&mut octets).unwrap();
        let text = std::str::from_utf8(&octets[..length]).unwrap();
        let pairs = text.lines().map(|line| line.split_once('=').unwrap());
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    /// The next message that is no sign of life.
    fn next(&self) -> BTreeMap<String, String> {
        loop {
            let told = self.told();
            if !told.contains_key("WATCHDOG") {
                return told;
            }
        }
    }
}

fn start(site: &Site, environment: &[(&str, &str)]) -> (Manager, Process) {
    let path = site.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let config = site.write_config(&site.config());
    let mut command = Command::new(binary());
    command.arg("serve").arg("--config").arg(config);
    command.env("NOTIFY_SOCKET", &path).env_remove("RUST_LOG");
    command.envs(environment.iter().copied());
    (
        Manager(socket),
        Process::start(&mut command, &site.path().join("server")),
    )
}

/// Microseconds since the system started.
fn monotonic() -> u64 {
    // proc(5): seconds since the start of the system, with two digits behind the point.
    let text = std::fs::read_to_string("/proc/uptime").unwrap();
    let seconds: f64 = text.split(' ').next().unwrap().parse().unwrap();
    (seconds * 1e6) as u64
}

/// A manager that does not read leaves its socket full, and nobody waits for it: neither
/// clients nor the end.
#[test]
fn a_service_manager_that_does_not_read_holds_nothing_up() {
    let mut site = Site::new();
    site.user("ada", "x");
    site.maildir("ada");
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    site.listeners[0].address = free.to_string();
    // Some hundred messages a second.
    let (manager, mut server) = start(&site, &[("WATCHDOG_USEC", "5000")]);
    assert_eq!(manager.told()["READY"], "1");
    let queued = std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap();
    let queued: u64 = queued.trim().parse().unwrap();
    std::thread::sleep(Duration::from_millis(500 + 3 * queued));
    for _ in 0..5 {
        let asked = Instant::now();
        restante_tests::Pop3::login(free, "ada", "x").quit();
        assert!(asked.elapsed() < Duration::from_secs(10));
    }
    server.terminate();
    assert!(server.ended().success());
    drop(manager);
}

#[test]
fn the_service_manager_is_told_of_readiness_reloads_and_the_end() {
    let mut site = Site::new();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    site.listeners[0].address = free.to_string();
    let (manager, mut server) = start(&site, &[]);
    assert_eq!(manager.told()["READY"], "1");
    // Whoever is told so can connect at once.
    Pop3::connect(free).quit();
    for good in [true, false] {
        if !good {
            site.write_config("rubbish");
        }
        let before = monotonic();
        server.hang_up();
        let told = manager.told();
        assert_eq!(told["RELOADING"], "1");
        let at: u64 = told["MONOTONIC_USEC"].parse().unwrap();
        // Within the steps of that clock.
        let step = 20_000;
        assert!((before - step..=monotonic() + step).contains(&at), "{at}");
        assert_eq!(manager.told()["READY"], "1");
        assert_eq!(server.stderr().contains("nothing reloaded"), !good);
    }
    server.terminate();
    assert_eq!(manager.told()["STOPPING"], "1");
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn the_watchdog_hears_of_the_server_twice_in_its_interval() {
    let site = Site::new();
    let (manager, mut server) = start(&site, &[("WATCHDOG_USEC", "1000000")]);
    let began = Instant::now();
    for _ in 0..6 {
        while !manager.told().contains_key("WATCHDOG") {}
    }
    let took = began.elapsed();
    assert!(took > Duration::from_millis(2000), "{took:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    server.terminate();
    assert_eq!(manager.next().keys().next().unwrap(), "STOPPING");
    server.ended();
    // A watchdog for another process is none of ours.
    let site = Site::new();
    let other = [("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")];
    let (manager, mut server) = start(&site, &other);
    assert_eq!(manager.told()["READY"], "1");
    std::thread::sleep(Duration::from_millis(200));
    server.terminate();
    assert_eq!(manager.told()["STOPPING"], "1");
    server.ended();
}

/// A service manager that does not read: its socket is full before the server starts.
#[test]
fn manager_that_does_not_read_holds_up_neither_clients_nor_the_end() {
    let mut site = Site::new();
    site.user("ada", "x");
    site.maildir("ada");
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    site.listeners[0].address = free.to_string();
    let path = site.path().join("full.sock");
    let unread = UnixDatagram::bind(&path).unwrap();
    let fill = UnixDatagram::unbound().unwrap();
    fill.set_nonblocking(true).unwrap();
    while fill.send_to(b"full", &path).is_ok() {}
    // In the place of the socket that `start` makes.
    let notify = path.to_str().unwrap();
    let environment = [("NOTIFY_SOCKET", notify), ("WATCHDOG_USEC", "20000")];
    let (_manager, mut server) = start(&site, &environment);
    wait_for("a listener", || std::net::TcpStream::connect(free).ok());
    // As many signs of life as are queued, and more.
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        Pop3::login(free, "ada", "x").quit();
    }
    server.hang_up();
    Pop3::login(free, "ada", "x").quit();
    server.terminate();
    assert_eq!(server.ended().code(), Some(0));
    drop(unread);
}

/// Not even where whoever starts the server wants dumps.
#[test]
fn a_crash_leaves_no_mail_behind() {
    let site = Site::new();
    let config = site.write_config(&site.config());
    // What becomes of a process here that does nothing against it.
    let dumped = |program: &str| {
        let script = format!("ulimit -c unlimited && {program} & sleep 2; kill -ABRT $!; wait $!");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(site.path());
        let ended = run_to_end(&mut shell);
        assert_eq!(ended.code, Some(128 + 6), "{ended:?}");
        let mut files = std::fs::read_dir(site.path()).unwrap().flatten();
        files.any(|file| file.file_name().to_string_lossy().starts_with("core"))
    };
    let server = format!(
        "exec {} serve --config {}",
        binary().display(),
        config.display()
    );
    assert!(!dumped(&server));
    if !dumped("exec sleep 60") {
        eprintln!("skipped in part: this system writes no core dumps into files");
    }

    let server = site.start();
    let limits = std::fs::read_to_string(server.proc("limits")).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{limits}");
    server.stop();
}

/// Becomes a server with a socket that it was handed over, as systemd does it.
const HANDED_OVER: &str = "
import os, socket, sys
name, program = sys.argv[1], sys.argv[2:]
handed = socket.create_server(('127.0.0.1', 0))
print(handed.getsockname()[1], flush=True)
os.dup2(handed.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES=name)
os.execv(program[0], program)
";

fn handed_over(site: &Site, name: &str) -> Option<Command> {
    let mut python = python("socket activation")?;
    let config = site.write_config(&site.config());
    python.args(["-c", HANDED_OVER, name]).arg(binary());
    python.args(["serve", "--config"]).arg(config);
    python.env_remove("RUST_LOG");
    Some(python)
}

#[test]
fn a_listener_has_the_socket_that_was_handed_over() {
    let mut site = Site::new();
    site.user("ada", "x");
    let Some(mut command) = handed_over(&site, "pop3") else {
        return;
    };
    let mut server = Process::start(&mut command, &site.path().join("server"));
    let port: u16 = wait_for("the port", || server.stdout().trim().parse().ok());
    let address = ([127, 0, 0, 1], port).into();
    Pop3::login(address, "ada", "x").quit();
    // The others are bound as ever.
    let log = wait_for("the listeners", || {
        Some(server.stderr()).filter(|log| log.matches("listening").count() == 3)
    });
    assert!(
        log.contains(&format!("listener=pop3 address=127.0.0.1:{port}")),
        "{log}"
    );
    server.terminate();
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn a_socket_that_is_no_listeners_is_refused() {
    let site = Site::new();
    let Some(mut command) = handed_over(&site, "imap") else {
        return;
    };
    let refused = run_to_end(&mut command);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    for words in ["\"imap\"", "FileDescriptorName=", "pop3s"] {
        assert!(refused.stderr.contains(words), "{refused:#?}");
    }
}

/// Everything below a folder is this user's from now on.
fn give(path: &Path, user: u32) {
    lchown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), user);
        }
    }
}

#[test]
fn who_starts_as_root_becomes_the_user_for_good() {
    const NOBODY: u32 = 65534;
    let mut site = Site::new();
    site.user("ada", "x");
    site.maildir("ada").deliver(b"Subject: one\n\nbody\n");
    site.server = "user = \"nobody\"\n".to_owned();
    if !rustix::process::geteuid().is_root() {
        let refused = run_to_end(
            Command::new(binary())
                .args(["serve", "--config"])
                .arg(site.write_config(&site.config())),
        );
        assert!(
            refused.stderr.contains("only root can become"),
            "{refused:#?}"
        );
        return;
    }
    // Made for the user in a folder that is somebody else's.
    site.state = site.path().join("state");
    fs::set_permissions(site.path(), Permissions::from_mode(0o755)).unwrap();
    give(&site.path().join("mail"), NOBODY);
    give(&site.certificate.key, NOBODY);
    let server = site.start();
    let status = fs::read_to_string(server.proc("status")).unwrap();
    let field = |name: &str| -> Vec<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let words = line.unwrap().split_whitespace();
        words.map(|word| word.parse().unwrap()).collect()
    };
    assert_eq!(field("Uid:"), [NOBODY; 4]);
    assert!(
        !field("Gid:").contains(&0) && !field("Groups:").contains(&0),
        "{status}"
    );
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    assert_eq!(fs::metadata(&site.state).unwrap().uid(), NOBODY);
    let mut client = Pop3::login(server.pop3(), "ada", "x");
    client.accepted("DELE 1");
    client.quit();
    let mut client = Pop3::login(server.pop3(), "ada", "x");
    assert_eq!(client.stat().0, 0);
    client.quit();
    // What is read at a start can be read at a reload.
    assert!(!server.reload().contains("nothing"));
    server.stop();
}

#[test]
fn users_that_there_are_not_are_told_by_check() {
    let mut site = Site::new();
    for (lines, words) in [
        (
            "user = \"nobody-is-called-this\"\n",
            "no user \"nobody-is-called-this\"",
        ),
        (
            "user = \"root\"\ngroup = \"no-such-group\"\n",
            "no group \"no-such-group\"",
        ),
        ("group = \"root\"\n", "write `user` as well"),
        ("user = \"\"\n", "name of a user"),
        (
            "compiler-user = \"nobody-is-called-this\"\n",
            "compiler-user: this machine has no user",
        ),
        ("compiler-user = \"root\"\n", "is root, or in its group"),
        (
            "user = \"nobody\"\ncompiler-user = \"nobody\"\n",
            "`compiler-user` in [server] is never used",
        ),
    ] {
        site.server = lines.to_owned();
        let checked = site.check();
        assert_eq!(checked.code, Some(1), "{checked:#?}");
        assert!(checked.stderr.contains(words), "{checked:#?}");
    }
}

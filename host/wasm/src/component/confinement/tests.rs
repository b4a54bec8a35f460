//! Each layer in a process of its own, which is this test program once more: what it
//! tries there must fail, and what it tries before must not.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::io::FdFlags;

use super::*;
use crate::component::engine;

/// Which layers the other process has: none, one of the two, or all.
const LAYERS: &str = "RESTANTE_TEST_LAYERS";
/// A directory for what it tries.
const PLACE: &str = "RESTANTE_TEST_PLACE";
/// An address at which somebody listens.
const ADDRESS: &str = "RESTANTE_TEST_ADDRESS";
/// A descriptor that it inherits.
const DESCRIPTOR: &str = "RESTANTE_TEST_DESCRIPTOR";

/// What starts a line of the other process's.
const LINE: &str = "confined: ";

/// What the other process found, by what it tried.
struct Found(BTreeMap<String, String>);

impl Found {
    fn of(layers: &str) -> Found {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("file"), "text").unwrap();
        let _socket = UnixListener::bind(place.path().join("socket")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let inherited = File::open(place.path().join("file")).unwrap();
        rustix::io::fcntl_setfd(&inherited, FdFlags::empty()).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "component::confinement::tests::other_process"])
            .args(["--ignored", "--nocapture", "--test-threads=1"])
            .env(LAYERS, layers)
            .env(PLACE, place.path())
            .env(ADDRESS, listener.local_addr().unwrap().to_string())
            .env(DESCRIPTOR, inherited.as_raw_fd().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut found = BTreeMap::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some(line) = line.strip_prefix(LINE) else {
                continue;
            };
            let (what, told) = line.split_once(" = ").unwrap();
            if what == "thread" {
                // It waits until it has been looked at, and its stdin is closed.
                let task = format!("/proc/{}/task/{told}", child.id());
                found.extend(looked_at(Path::new(&task)));
                drop(child.stdin.take());
            } else {
                found.insert(what.to_owned(), told.to_owned());
            }
        }
        assert!(child.wait().unwrap().success(), "{layers}: {found:#?}");
        Found(found)
    }

    fn get(&self, what: &str) -> &str {
        self.0.get(what).map_or("", String::as_str)
    }

    fn assert_all(&self, tries: &[&str], expected: &str) {
        for what in tries {
            assert_eq!(self.get(what), expected, "{what}: {:#?}", self.0);
        }
    }

    /// False where the system has not got it, which the output of the test tells.
    fn is_held(&self, layer: &str) -> bool {
        match self.get("missing") {
            "" => true,
            missing => {
                eprintln!("{layer} is not held on this machine: {missing}");
                false
            }
        }
    }
}

/// What the kernel says of a thread.
fn looked_at(task: &Path) -> BTreeMap<String, String> {
    let status = fs::read_to_string(task.join("status")).unwrap();
    let lines = status.lines().filter_map(|line| line.split_once(":\t"));
    let mut found: BTreeMap<_, _> = lines
        .map(|(what, value)| (what.to_owned(), value.trim().to_owned()))
        .collect();
    // Root's alone, whoever it runs as: nobody else may look into its memory.
    let owner = fs::metadata(task.join("status")).unwrap().uid();
    found.insert("Owner".into(), owner.to_string());
    found
}

const FILES: [&str; 5] = ["read", "create", "directory", "remove", "run"];
const NETWORK: [&str; 2] = ["connect", "listen"];
const CALLS: [&str; 5] = ["unix", "udp", "stat", "signal", "executable memory"];
const COMPUTING: [&str; 2] = ["threads", "compile"];

const DENIED: &str = "PermissionDenied";

#[test]
fn what_is_tried_could_be_done() {
    let found = Found::of("none");
    found.assert_all(&FILES, "done");
    found.assert_all(&NETWORK, "done");
    found.assert_all(&CALLS, "done");
    found.assert_all(&COMPUTING, "done");
    found.assert_all(&["inherited"], "done");
}

#[test]
fn landlock_denies_files_and_the_network() {
    let found = Found::of("landlock");
    found.assert_all(&COMPUTING, "done");
    if found.is_held("Landlock") {
        found.assert_all(&FILES, DENIED);
        found.assert_all(&NETWORK, DENIED);
        found.assert_all(&["signal"], DENIED);
    }
}

#[test]
fn seccomp_denies_every_other_system_call() {
    let found = Found::of("seccomp");
    found.assert_all(&COMPUTING, "done");
    if found.is_held("seccomp") {
        found.assert_all(&FILES, DENIED);
        found.assert_all(&NETWORK, DENIED);
        found.assert_all(&CALLS, DENIED);
    }
}

#[test]
fn a_confined_process_computes_and_does_nothing_else() {
    let found = Found::of("all");
    found.assert_all(&COMPUTING, "done");
    found.assert_all(&["NoNewPrivs"], "1");
    found.assert_all(&["Owner"], "0");
    if found.is_held("all of it") {
        found.assert_all(&FILES, DENIED);
        found.assert_all(&NETWORK, DENIED);
        found.assert_all(&CALLS, DENIED);
        // EBADF has no kind.
        found.assert_all(&["inherited"], "Uncategorized");
        found.assert_all(&["Seccomp"], "2");
        found.assert_all(&["CapEff", "CapPrm", "CapInh", "CapAmb"], &"0".repeat(16));
        if geteuid().is_root() {
            let nobody = ["65534"; 4].join("\t");
            found.assert_all(&["Uid", "Gid"], &nobody);
            found.assert_all(&["Groups"], "");
        }
    }
}

#[test]
#[ignore = "it is the other process of the tests above, and gives up what a test needs"]
fn other_process() {
    let Ok(layers) = std::env::var(LAYERS) else {
        return;
    };
    let place = PathBuf::from(std::env::var_os(PLACE).unwrap());
    let address = std::env::var(ADDRESS).unwrap();
    let descriptor: RawFd = std::env::var(DESCRIPTOR).unwrap().parse().unwrap();
    #[allow(clippy::print_stdout, reason = "the other process tells this one")]
    let told = |what: &str, found: &str| println!("{LINE}{what} = {found}");
    let missing = match layers.as_str() {
        "landlock" => give_up_files().err().unwrap_or_default(),
        "seccomp" => give_up_system_calls()
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default(),
        "all" => enter(None).unwrap().join("; "),
        _ => String::new(),
    };
    told("missing", &missing);
    for (what, tried) in tries(&place, &address, descriptor) {
        match tried {
            Ok(()) => told(what, "done"),
            Err(error) => told(what, &format!("{:?}", error.kind())),
        }
    }
    told("thread", &rustix::thread::gettid().to_string());
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Everything that is tried, and what became of it.
fn tries(place: &Path, address: &str, descriptor: RawFd) -> Vec<(&'static str, io::Result<()>)> {
    let parent = rustix::process::getppid().unwrap();
    // SAFETY: nothing else has it; or it is not open any more, which is the question.
    let inherited = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let inherited = rustix::io::fcntl_getfd(inherited);
    let signal = rustix::process::test_kill_process(parent);
    vec![
        ("read", File::open(place.join("file")).map(drop)),
        ("create", File::create(place.join("new")).map(drop)),
        ("directory", fs::create_dir(place.join("directory"))),
        ("run", Command::new("/bin/true").status().map(drop)),
        ("connect", TcpStream::connect(address).map(drop)),
        ("listen", TcpListener::bind("127.0.0.1:0").map(drop)),
        ("unix", UnixStream::connect(place.join("socket")).map(drop)),
        ("udp", UdpSocket::bind("127.0.0.1:0").map(drop)),
        ("stat", fs::metadata(place).map(drop)),
        ("signal", signal.map_err(Into::into)),
        ("executable memory", executable_memory()),
        ("inherited", inherited.map(drop).map_err(Into::into)),
        ("remove", fs::remove_file(place.join("file"))),
        ("threads", threads()),
        ("compile", compile()),
    ]
}

fn executable_memory() -> io::Result<()> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let protection = ProtFlags::READ | ProtFlags::EXEC;
    // SAFETY: a mapping at a place of the kernel's choice, which nothing uses.
    let mapping = unsafe { mmap_anonymous(std::ptr::null_mut(), 1, protection, MapFlags::PRIVATE) };
    mapping.map(drop).map_err(Into::into)
}

/// Threads are started, have names, and sleep.
fn threads() -> io::Result<()> {
    for _ in 0..4 {
        let thread = thread::Builder::new().name("sleeper".into());
        let sleeper = thread.spawn(|| thread::sleep(Duration::from_millis(1)))?;
        sleeper.join().unwrap();
    }
    Ok(())
}

/// A core module of some functions, which are compiled on several threads.
fn compile() -> io::Result<()> {
    const FUNCTIONS: u8 = 60;
    let section = |id: u8, contents: Vec<u8>| {
        let length = contents.len();
        // LEB128 of two octets.
        let length = [(length & 0x7f | 0x80) as u8, (length >> 7) as u8];
        [vec![id], length.to_vec(), contents].concat()
    };
    let all = |each: &[u8]| [vec![FUNCTIONS], each.repeat(FUNCTIONS.into())].concat();
    // () -> (i32), and i32.const 7.
    let octets = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, vec![1, 0x60, 0, 1, 0x7f]),
        section(3, all(&[0])),
        section(10, all(&[4, 0, 0x41, 7, 0x0b])),
    ];
    let engine = engine::compiler().map_err(io::Error::other)?;
    let code = engine.precompile_module(&octets.concat());
    code.map(drop).map_err(io::Error::other)
}

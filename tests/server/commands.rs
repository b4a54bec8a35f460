//! The commands that are for people: what `restante demo` prints works when it
//! is typed, and what `restante hash-password` prints opens a maildrop.
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use restante_tests::{Maildir, Pop3, Process, Site, Tool, binary, require, run_to_end, wait_for};

const TOOLS: [Tool; 2] = [
    Tool {
        name: "curl",
        probe: &["curl", "--version"],
        packages: &["curl"],
    },
    Tool {
        name: "openssl",
        probe: &["openssl", "version"],
        packages: &["openssl"],
    },
];

/// A running demo, and the three lines that it says to type.
fn demo(directory: &Path, arguments: &[&str]) -> (Process, Vec<String>) {
    let temporary = directory.join("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut demo = Process::start(
        Command::new(binary())
            .args([
                "demo",
                "--listen",
                "127.0.0.1:0",
                "--listen-tls",
                "127.0.0.1:0",
            ])
            .args(arguments)
            .env("TMPDIR", temporary)
            .env_remove("RUST_LOG"),
        &directory.join("demo"),
    );
    let lines = wait_for("three lines to type", || {
        assert!(demo.is_running(), "the demo ended at once");
        let lines: Vec<String> = demo
            .stdout()
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("curl ") || line.starts_with("openssl "))
            .map(str::to_owned)
            .collect();
        (lines.len() == 3).then_some(lines)
    });
    (demo, lines)
}

/// Types a line into a shell; what it prints. Whoever asks for more input gets
/// QUIT.
fn type_in(directory: &Path, line: &str) -> String {
    let input = directory.join("input");
    fs::write(&input, "QUIT\n").unwrap();
    let finished = run_to_end(
        Command::new("sh")
            .args(["-c", line])
            .stdin(File::open(input).unwrap()),
    );
    assert_eq!(finished.code, Some(0), "{line}: {finished:#?}");
    finished.stdout
}

#[test]
fn what_demo_says_to_type_works() {
    let tools: Vec<&Tool> = TOOLS.iter().collect();
    if !require("demo", &tools) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (mut demo, lines) = demo(directory.path(), &[]);
    for line in &lines {
        let printed = type_in(directory.path(), line);
        if line.starts_with("openssl ") {
            assert_eq!(printed.matches("+OK").count(), 2, "{line}: {printed}");
        } else {
            assert!(printed.lines().count() > 1, "{line}: {printed}");
        }
    }
    // Ctrl-C ends it, and leaves nothing behind.
    demo.interrupt();
    let status = demo.ended();
    assert_eq!(status.code(), Some(0), "{}", demo.stderr());
    let left: Vec<_> = fs::read_dir(directory.path().join("tmp"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn demo_serves_a_maildir_that_is_there() {
    let tools: Vec<&Tool> = TOOLS.iter().collect();
    if !require("demo", &tools) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut maildir = Maildir::create(directory.path().join("mine {x} \"y\""));
    let path = maildir.deliver(b"Subject: mine\n\nand nobody else's\n");
    let (mut demo, lines) = demo(
        directory.path(),
        &["--maildrop", maildir.root().to_str().unwrap()],
    );
    let printed = type_in(directory.path(), &lines[0]);
    assert_eq!(printed, "Subject: mine\r\n\r\nand nobody else's\r\n");
    demo.interrupt();
    assert_eq!(demo.ended().code(), Some(0), "{}", demo.stderr());
    assert_eq!(
        fs::read(path).unwrap(),
        b"Subject: mine\n\nand nobody else's\n"
    );
}

#[test]
fn demo_of_no_maildir_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let finished = run_to_end(
        Command::new(binary())
            .args([
                "demo",
                "--listen",
                "127.0.0.1:0",
                "--listen-tls",
                "127.0.0.1:0",
            ])
            .arg("--maildrop")
            .arg(directory.path()),
    );
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    let path = directory.path().to_str().unwrap();
    assert!(finished.stderr.contains(path), "{finished:#?}");
    assert!(finished.stderr.contains("not a Maildir"), "{finished:#?}");
}

#[test]
fn printed_hash_opens_a_maildrop() {
    const PASSWORD: &str = " pass: wörd with \"everything\" ";
    let site = Site::new();
    let input = site.path().join("password");
    fs::write(&input, format!("{PASSWORD}\n")).unwrap();
    let mut hashes = Vec::new();
    for _ in 0..2 {
        let finished = run_to_end(
            Command::new(binary())
                .arg("hash-password")
                .stdin(File::open(&input).unwrap()),
        );
        assert_eq!(finished.code, Some(0), "{finished:#?}");
        let hash = finished.stdout.strip_suffix('\n').unwrap().to_owned();
        assert!(!hash.contains('\n') && !hash.contains("pass"), "{hash}");
        hashes.push(hash);
    }
    assert_ne!(hashes[0], hashes[1], "the salt is always the same");

    let passwd = site.path().join("users/passwd");
    fs::write(passwd, format!("ada:{}\nbob:{}\n", hashes[0], hashes[1])).unwrap();
    let server = site.start();
    for user in ["ada", "bob"] {
        Pop3::login(server.pop3(), user, PASSWORD).quit();
        let mut client = Pop3::connect(server.pop3());
        let wrong = client.authenticate(user, PASSWORD.trim());
        assert!(!wrong.ok && wrong.text.starts_with("[AUTH] "), "{wrong:?}");
    }
    server.stop();
}

#[test]
fn every_scheme_opens_a_maildrop() {
    const PASSWORD: &str = "p\u{e4}ssword";
    let mut site = Site::new();
    site.limits = "failure-delay = \"0s\"\n".to_owned();
    let input = site.path().join("password");
    fs::write(&input, format!("{PASSWORD}\n")).unwrap();
    let hash = |arguments: &[&str]| {
        let finished = run_to_end(
            Command::new(binary())
                .arg("hash-password")
                .args(arguments)
                .stdin(File::open(&input).unwrap()),
        );
        assert_eq!(finished.code, Some(0), "{finished:#?}");
        finished.stdout.strip_suffix('\n').unwrap().to_owned()
    };
    let mut lines = String::new();
    let mut users = Vec::new();
    for (arguments, begin) in [
        (&["--scheme", "argon2id"][..], "{ARGON2ID}$argon2id$"),
        (&["--scheme", "scrypt"], "{SCRYPT}$scrypt$"),
        (&["--scheme", "bcrypt"], "{BLF-CRYPT}$2y$"),
        (&["--scheme", "sha512-crypt"], "{SHA512-CRYPT}$6$"),
        (&["--scheme", "scram-sha-256"], "{SCRAM-SHA-256}4096,"),
        (
            &["--scheme", "scram-sha-1", "--iterations", "10000"],
            "{SCRAM-SHA-1}10000,",
        ),
        (
            &["--scheme", "bcrypt", "--scheme", "scram-sha-256"],
            "{BLF-CRYPT}$2y$",
        ),
    ] {
        let hash = hash(arguments);
        assert!(hash.starts_with(begin), "{hash}");
        let both = hash.contains("|{SCRAM-SHA-256}4096,");
        assert_eq!(both, arguments.len() == 4 && arguments[2] == "--scheme");
        let user = format!("user-{}", users.len());
        lines += &format!("{user}:{hash}\n");
        users.push(user);
    }
    fs::write(site.path().join("users/passwd"), lines).unwrap();
    let server = site.start();
    for user in users {
        Pop3::login(server.pop3(), &user, PASSWORD).quit();
        let mut client = Pop3::connect(server.pop3());
        let wrong = client.authenticate(&user, "password");
        assert!(!wrong.ok && wrong.text.starts_with("[AUTH] "), "{wrong:?}");
    }
    server.stop();
}

#[test]
fn what_cannot_be_hashed_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("password");
    fs::write(&input, "x".repeat(73)).unwrap();
    for (arguments, code, words) in [
        (&["--scheme", "md5"][..], 2, "scram-sha-256"),
        (&["--iterations", "4095"], 2, "4096"),
        (&["--scheme", "bcrypt"], 1, "72 octets"),
        (
            &["--scheme", "scram-sha-1", "--iterations", "4000001"],
            1,
            "4000000 iterations",
        ),
    ] {
        let finished = run_to_end(
            Command::new(binary())
                .arg("hash-password")
                .args(arguments)
                .stdin(File::open(&input).unwrap()),
        );
        assert_eq!(finished.code, Some(code), "{finished:#?}");
        assert_eq!(finished.stdout, "");
        assert!(finished.stderr.contains(words), "{finished:#?}");
    }
}

#[test]
fn no_password_is_no_hash() {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("nothing");
    fs::write(&input, "").unwrap();
    let finished = run_to_end(
        Command::new(binary())
            .arg("hash-password")
            .stdin(File::open(&input).unwrap()),
    );
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    assert_eq!(finished.stdout, "");
    assert!(!finished.stderr.is_empty());
}

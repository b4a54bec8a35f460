//! Guests that reach for files: out of their grant, or for what is no file.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use restante_tests::{Pop3, Site};

use crate::arena::{HONEST, logged_in, login, site, temporary, told, under_attack};

/// What nobody may read, however it is spelled; "NUL" is the octet.
const PATHS: [&str; 14] = [
    "../secret",
    "../../secret",
    "cur/../../secret",
    "/etc/passwd",
    "//etc/passwd",
    "link",
    "absolute-link",
    "magic-link",
    "directory-link/secret",
    "device",
    "fifo",
    "ownNUL",
    "../n0@neighbour.example/new",
    "../../users/passwd",
];

/// Lays the traps out in the maildrop of the attacked tenant's user.
fn lay_out(site: &Site) {
    let maildrop = site.maildir_path("ada");
    fs::write(site.path().join("mail/secret"), "of somebody else").unwrap();
    fs::write(site.path().join("secret"), "of somebody else").unwrap();
    fs::write(maildrop.join("own"), HONEST).unwrap();
    symlink("../secret", maildrop.join("link")).unwrap();
    symlink("/etc/passwd", maildrop.join("absolute-link")).unwrap();
    symlink("/proc/self/root/etc/passwd", maildrop.join("magic-link")).unwrap();
    symlink("..", maildrop.join("directory-link")).unwrap();
    symlink("/dev/zero", maildrop.join("device")).unwrap();
    fifo(&maildrop.join("fifo"));
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

/// Named for a RETR: the host opens it.
#[test]
fn paths_named_to_the_host() {
    for path in PATHS.into_iter().chain(["", ".", "..", "cur", "missing"]) {
        let site = site("store", &format!("misdeed = \"path\"\npath = {path:?}\n"));
        lay_out(&site);
        let log = under_attack(&site, |server| {
            let mut client = logged_in(server);
            temporary(&client.command("RETR 2"));
            assert_eq!(client.retr(3), HONEST);
            client.quit();
        });
        told(&log, &["cannot be opened"]);
    }
}

/// Opened by the guest itself, in every way that it has.
#[test]
fn paths_opened_by_the_guest() {
    let paths = PATHS.join("\\n");
    let site = site(
        "store",
        &format!("misdeed = \"look-around\"\nat = \"content\"\npaths = \"{paths}\"\n"),
    );
    lay_out(&site);
    let mut site = site;
    site.plugins[2].limits = site.plugins[2].limits.replace("100", "1000");
    let log = under_attack(&site, |server| {
        let mut client = logged_in(server);
        assert_eq!(client.retr(2), HONEST);
        client.quit();
    });
    let looked = told(&log, &["nothing by files.read"]).len();
    assert_eq!(looked, PATHS.len(), "{log}");
    // Its own names may be given other names; nothing is read through them.
    let reached: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("reached by"))
        .filter(|line| !line.contains("by rename") && !line.contains("by hard link"))
        .collect();
    assert!(reached.is_empty(), "{reached:#?}");
    assert_eq!(
        fs::read(site.path().join("secret")).unwrap(),
        b"of somebody else"
    );
}

/// To open a FIFO is to wait for its other end: not on a thread that everybody
/// shares. More logins than the server has such threads.
#[test]
fn fifos_hold_no_threads() {
    let mut site = site(
        "store",
        "misdeed = \"look-around\"\nat = \"open\"\npaths = \"fifo\"\n",
    );
    lay_out(&site);
    for user in 0..20 {
        site.user(&format!("u{user}"), "x");
        fs::create_dir_all(site.maildir_path(&format!("u{user}"))).unwrap();
        fifo(&site.maildir_path(&format!("u{user}")).join("fifo"));
    }
    under_attack(&site, |server| {
        let before = server.threads();
        thread::scope(|scope| {
            for user in 0..20 {
                scope.spawn(move || {
                    for _ in 0..30 {
                        let user = format!("u{user}");
                        Pop3::login(server.pop3(), &user, "x").quit();
                    }
                });
            }
        });
        let after = server.threads();
        assert!(after < before + 200, "{before} threads, then {after}");
    });
}

/// A file that another takes the place of while it is sent is sent as it was; one
/// that is cut short is never sent as if it were whole.
#[test]
fn file_swapped_during_the_read() {
    let long: Vec<u8> = b"a line of thirty-two octets....\r\n".repeat(300_000);
    let octets = long.len();
    for cut in [false, true] {
        let site = site(
            "store",
            &format!("misdeed = \"path\"\npath = \"own\"\noctets = \"{octets}\"\n"),
        );
        lay_out(&site);
        let own = site.maildir_path("ada").join("own");
        fs::write(&own, &long).unwrap();
        let other = site.path().join("other");
        fs::write(&other, b"another's".repeat(octets / 9)).unwrap();
        under_attack(&site, |server| {
            let mut client = logged_in(server);
            client.accepted("RETR 2");
            if cut {
                fs::File::options()
                    .write(true)
                    .open(&own)
                    .unwrap()
                    .set_len(500_000)
                    .unwrap();
                let rest = client.rest();
                assert!(!rest.ends_with(b"\r\n.\r\n"), "looks whole");
                assert!(rest.len() < octets, "{} octets", rest.len());
            } else {
                fs::rename(&other, &own).unwrap();
                assert!(client.body() == long, "not the file that was opened");
                client.quit();
            }
        });
    }
}

/// Whatever an authenticator says of an account, the grant's placeholders stay one
/// component of the path each.
#[test]
fn another_maildrop() {
    for maildrop in [
        "../neighbour/ada",
        "..",
        ".",
        "",
        "/etc",
        "a/b",
        "a\\u0000b",
    ] {
        let mut site = site(
            "authenticator",
            &format!("misdeed = \"other-maildrop\"\nmaildrop = \"{maildrop}\"\n"),
        );
        let template = site.path().join("mail/{tenant}/{maildrop}");
        site.plugins[1].grants = format!("maildrop = {template:?}\nmissing-maildrop = \"empty\"\n");
        for tenant in ["neighbour", "attacked"] {
            fs::create_dir_all(site.path().join("mail").join(tenant)).unwrap();
        }
        for number in 0..3 {
            let user = format!("n{number}@neighbour.example");
            let (from, to) = (site.maildir_path(&user), site.path().join("mail/neighbour"));
            fs::rename(from, to.join(&user)).unwrap();
        }
        let log = under_attack(&site, |server| {
            let (_, status) = login(server);
            assert!(
                !status.ok && status.text.starts_with("[SYS/"),
                "{maildrop:?}: {status:?}"
            );
        });
        assert!(
            log.lines().any(|line| line.contains("attacked")
                && (line.contains("does not expand")
                    || line.contains("without a user or a maildrop"))),
            "{log}"
        );
    }
}

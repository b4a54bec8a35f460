//! Guests that let the host do what is slow by design.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use restante_tests::{Pop3, binary};

use crate::arena::{login, site, temporary, told, under_attack};

/// argon2 with a gigabyte and a hundred passes: refused before it is begun.
#[test]
fn hash_that_takes_minutes() {
    let site = site(
        "authenticator",
        "misdeed = \"hash-of-minutes\"\nat = \"authenticate\"\n",
    );
    let log = under_attack(&site, |server| {
        let asked = Instant::now();
        assert!(login(server).1.ok);
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "{:?}",
            asked.elapsed()
        );
    });
    told(&log, &["a hash of minutes: Err", "at most"]);
}

/// Hashes that each are as slow as they may be, from more clients than there are
/// processors, without end: the neighbour's passwords are hashes too, and have
/// their turn.
#[test]
fn hashes_without_end() {
    let mut site = site(
        "authenticator",
        "misdeed = \"hashes\"\nat = \"authenticate\"\n",
    );
    site.plugins[2].limits = site.plugins[2].limits.replace("\"4s\"", "\"6s\"");
    let log = under_attack(&site, |server| {
        thread::scope(|scope| {
            let busy: Vec<_> = (0..12).map(|_| scope.spawn(|| login(server).1)).collect();
            for client in busy {
                temporary(&client.join().unwrap());
            }
        });
    });
    told(&log, &["authenticator.authenticate", "wall-time"]);
}

/// A call that is given up leaves its hash behind, which goes on: it keeps its
/// place until it is done, or there would be more and more of them.
#[test]
fn hashes_that_nobody_waits_for() {
    let mut site = site(
        "authenticator",
        "misdeed = \"hashes\"\nat = \"authenticate\"\n",
    );
    site.plugins[2].limits = "memory = \"16MiB\"\nwall-time = \"50ms\"\n".to_owned();
    site.limits = "failure-delay = \"0s\"\nmax-failure-delay = \"0s\"\n".to_owned();
    under_attack(&site, |server| {
        server.forget_peak();
        let before = server.resident();
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..4 {
                        let mut client = Pop3::connect(server.pop3());
                        temporary(&client.authenticate("ada", "x"));
                    }
                });
            }
        });
        let processors = thread::available_parallelism().unwrap().get() as u64;
        // Each hash takes 64 MiB.
        let grown = server.peak().saturating_sub(before);
        let most = (processors + 1) * 64 * 1024 + 64 * 1024;
        assert!(grown < most, "{grown} KiB more, and {most} are fine");
    });
}

/// What the passwd file has for a password that is slow to check.
fn bcrypt(password: &str) -> String {
    let mut command = Command::new(binary());
    let mut child = command
        .args(["hash-password", "--scheme", "bcrypt"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{password}").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Four hundred strangers with wrong passwords wait for each other. Who comes from
/// elsewhere with the right one is let in meanwhile; nobody's queue is a failure of
/// the authenticator's.
#[test]
fn four_hundred_strangers_wait_for_themselves() {
    let mut site = site("filter", "");
    site.tenants[0].lines =
        "default = true\nauthenticators = [\"users\"]\nstore = \"mail\"\n".to_owned();
    site.user_with_hash("ada", &bcrypt("x"));
    site.limits = "connections-per-address = 1000\nconnections-per-network = 1000\n".to_owned();
    let refused = AtomicUsize::new(0);
    let log = under_attack(&site, |server| {
        thread::scope(|scope| {
            for _ in 0..400 {
                scope.spawn(|| {
                    let mut client = Pop3::connect(server.pop3());
                    let status = client.authenticate("ada", "wrong");
                    assert!(!status.ok, "{status:?}");
                    refused.fetch_add(1, Ordering::Relaxed);
                });
            }
            thread::sleep(Duration::from_secs(2));
            let elsewhere = IpAddr::V4(Ipv4Addr::new(127, 0, 2, 1));
            for _ in 0..3 {
                let asked = Instant::now();
                let mut client = Pop3::connect_from(elsewhere, server.pop3());
                let status = client.authenticate("ada", "x");
                let took = asked.elapsed();
                assert!(status.ok, "{status:?} after {took:?}");
                assert!(took < Duration::from_secs(10), "{took:?}");
                client.quit();
            }
            let waiting = 400 - refused.load(Ordering::Relaxed);
            eprintln!("{waiting} strangers still wait");
            assert!(waiting > 0, "there was no queue");
        });
    });
    assert!(!log.contains("rests"), "{log}");
}

//! Users with an account on the mail server, who make of their own Maildir what they
//! like while the built-in store looks at it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use restante_tests::{Pop3, Site};
use rustix::fs::{CWD, FileType, Mode, Timestamps, mknodat, utimensat};

use crate::arena::{logged_in, under_attack};

/// Users of the attacked tenant beside "ada".
const USERS: usize = 8;

/// The attacked tenant has the built-in plugins alone.
fn site() -> Site {
    let mut site = crate::arena::site("filter", "");
    site.tenants[0].lines =
        "default = true\nauthenticators = [\"users\"]\nstore = \"mail\"\n".to_owned();
    for user in 0..USERS {
        site.user(&format!("u{user}"), "x");
        site.maildir(&format!("u{user}"))
            .deliver(b"Subject: hello\n\nbody\n");
    }
    site
}

/// Puts a file and a FIFO in turns in a message's place, by renaming: whoever looks
/// first and opens then finds the other.
fn race(maildrop: &Path, over: &AtomicBool) {
    let message = maildrop.join("new/1000000000.M1P1.mail");
    let (file, fifo) = (maildrop.join("tmp/file"), maildrop.join("tmp/fifo"));
    while !over.load(Ordering::Relaxed) {
        fs::write(&file, b"Subject: a file\n\nbody\n").unwrap();
        fs::rename(&file, &message).unwrap();
        match mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0) {
            Ok(()) => fs::rename(&fifo, &message).unwrap(),
            Err(error) => panic!("no FIFO: {error}"),
        }
    }
}

/// The threads that wait for disks are everybody's: one that opens a FIFO waits for
/// its other end for ever.
#[test]
fn fifos_that_race_with_mail_hold_no_threads() {
    let site = site();
    let over = AtomicBool::new(false);
    under_attack(&site, |server| {
        let before = server.threads();
        let until = Instant::now() + Duration::from_secs(4);
        thread::scope(|scope| {
            for user in 0..USERS {
                let maildrop = site.maildir_path(&format!("u{user}"));
                let over = &over;
                scope.spawn(move || race(&maildrop, over));
            }
            let clients: Vec<_> = (0..USERS)
                .map(|user| {
                    scope.spawn(move || {
                        let user = format!("u{user}");
                        let mut sessions = 0;
                        while Instant::now() < until {
                            let mut client = Pop3::connect(server.pop3());
                            // Refused or not: it is answered.
                            if client.authenticate(&user, "x").ok {
                                for number in 1..=2 {
                                    if client.command(&format!("RETR {number}")).ok {
                                        client.body();
                                    }
                                }
                                sessions += 1;
                            }
                            client.drop_connection();
                        }
                        sessions
                    })
                })
                .collect();
            let sessions: u32 = clients.into_iter().map(|one| one.join().unwrap()).sum();
            over.store(true, Ordering::Relaxed);
            assert!(sessions > 0, "nobody of the attacked tenant was served");
        });
        // As many as may work for one tenant at once, and those that come and go.
        let after = server.threads();
        assert!(after < before + 64, "{before} threads, then {after}");
        logged_in(server).quit();
    });
}

/// Where nothing is said of its size a file is read to its end, to know how long it is
/// on the wire: not one without an end.
#[test]
fn a_sparse_file_of_terabytes_is_not_read() {
    let site = site();
    let sparse = site.maildir_path("ada").join("new/1000000001.M2P1.mail");
    let file = File::create(&sparse).unwrap();
    let sizes = [15 << 40, 1 << 40, 100 << 30];
    let sized = sizes.into_iter().any(|size| file.set_len(size).is_ok());
    assert!(sized, "no file system for a sparse file of 100 GiB");
    under_attack(&site, |server| {
        let asked = Instant::now();
        for _ in 0..8 {
            let mut client = Pop3::connect(server.pop3());
            if client.authenticate("ada", "x").ok {
                client.command("STAT");
                client.command("LIST 1");
            }
            client.drop_connection();
        }
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(60), "{took:?} for eight logins");
    });
    // Nothing goes on once the sessions are over.
    let server = site.start();
    for _ in 0..8 {
        let mut client = Pop3::connect(server.pop3());
        client.authenticate("ada", "x");
        client.drop_connection();
    }
    thread::sleep(Duration::from_secs(1));
    let before = server.cpu_ticks();
    thread::sleep(Duration::from_secs(2));
    let ticks = server.cpu_ticks() - before;
    // A thread that reads on would have some 200 of them.
    assert!(ticks < 60, "{ticks} ticks in two seconds without a session");
    server.stop();
}

/// A directory whose times are set back to what they were (by a backup program, or by
/// somebody who means harm) shows what is in it all the same.
#[test]
fn times_that_are_set_back_hide_no_mail() {
    let site = site();
    let maildrop = site.maildir_path("ada");
    let new = maildrop.join("new");
    let times = |path: &Path| {
        let about = rustix::fs::stat(path).unwrap();
        Timestamps {
            last_access: rustix::fs::Timespec {
                tv_sec: about.st_atime as _,
                tv_nsec: about.st_atime_nsec as _,
            },
            last_modification: rustix::fs::Timespec {
                tv_sec: about.st_mtime as _,
                tv_nsec: about.st_mtime_nsec as _,
            },
        }
    };
    // Old enough for an index to trust it.
    thread::sleep(Duration::from_millis(2200));
    let server = site.start();
    let count = || {
        let mut client = Pop3::login(server.pop3(), "ada", "x");
        let (messages, _) = client.stat();
        client.quit();
        messages
    };
    assert_eq!(count(), 1);
    assert_eq!(count(), 1);
    let before = times(&new);
    let (draft, message) = (
        maildrop.join("tmp/1000000009.M9P9.mail"),
        new.join("1000000009.M9P9.mail"),
    );
    fs::write(&draft, b"Subject: new\n\nbody\n").unwrap();
    fs::rename(draft, message).unwrap();
    utimensat(CWD, &new, &before, rustix::fs::AtFlags::empty()).unwrap();
    assert_eq!(times(&new).last_modification, before.last_modification);
    assert_eq!(count(), 2, "a message is hidden");
    server.stop();
}

/// A directory in a message's place, a device, a socket: what is no file is no message,
/// and the others are served.
#[test]
fn what_is_no_file_is_no_message() {
    let site = site();
    let new = site.maildir_path("ada").join("new");
    fs::create_dir(new.join("1000000002.M3P1.mail")).unwrap();
    std::os::unix::net::UnixListener::bind(new.join("1000000003.M4P1.mail")).unwrap();
    match std::os::unix::fs::symlink("/dev/zero", new.join("1000000004.M5P1.mail")) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => panic!("{error}"),
        _ => {}
    }
    under_attack(&site, |server| {
        let mut client = Pop3::connect(server.pop3());
        let status = client.authenticate("ada", "x");
        assert!(status.ok, "{status:?}");
        for (number, _) in client.list() {
            if client.command(&format!("RETR {number}")).ok {
                assert!(client.body().starts_with(b"Subject: hello\r\n"));
            }
        }
        client.quit();
    });
}

//! What other programs leave in a Maildir, and what the file system below it does on a bad
//! day.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::panic::{catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use restante_tests::{Maildir, Pop3, Server, Site, SmallFileSystem, wait_for};

const PASSWORD: &str = "secret of ada";
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00";

fn site() -> (Site, Maildir) {
    let mut site = Site::new();
    site.user("ada", PASSWORD);
    let maildir = site.maildir("ada");
    (site, maildir)
}

/// Logs in as soon as the lock of a session that just ended is free.
fn ada(server: &Server) -> Pop3 {
    wait_for("the lock to be free", || {
        let mut client = Pop3::connect(server.pop3());
        let status = client.authenticate("ada", PASSWORD);
        assert!(
            status.ok || status.text.starts_with("[IN-USE]"),
            "{status:?}"
        );
        status.ok.then_some(client)
    })
}

/// Lines of the log with all of these words.
fn lines(server: &Server, words: &[&str]) -> Vec<String> {
    let log = server.log();
    let lines = log.lines();
    let lines = lines.filter(|line| words.iter().all(|word| line.contains(word)));
    lines.map(str::to_owned).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn files_that_are_not_shown_are_told_at_each_login() {
    let (site, mut maildir) = site();
    maildir.deliver(b"Subject: one\n\n");
    for odd in [&b"1.\xff.h"[..], b"2.\xfe.h"] {
        let path = maildir.root().join("new").join(OsStr::from_bytes(odd));
        fs::write(path, "Subject: odd\n\n").unwrap();
    }
    symlink("../elsewhere", maildir.root().join("cur/3.a.h:2,S")).unwrap();
    let server = site.start();
    // The third one long after the directories changed: nobody goes through them then.
    for login in 1..=3 {
        let mut client = ada(&server);
        assert_eq!(client.stat().0, 1);
        client.quit();
        let told = lines(&server, &["WARN", "files of a maildrop are not shown"]);
        assert_eq!(told.len(), login, "{told:#?}");
        let line = &told[login - 1];
        for word in ["odd_names=2", "links=1", "ada", "mail/ada"] {
            assert!(line.contains(word), "{word} is not in {line}");
        }
        if login == 2 {
            std::thread::sleep(std::time::Duration::from_secs(3));
        }
    }
    for odd in [&b"1.\xff.h"[..], b"2.\xfe.h"] {
        fs::remove_file(maildir.root().join("new").join(OsStr::from_bytes(odd))).unwrap();
    }
    fs::remove_file(maildir.root().join("cur/3.a.h:2,S")).unwrap();
    ada(&server).quit();
    let told = lines(&server, &["files of a maildrop are not shown"]);
    assert_eq!(told.len(), 3, "{told:#?}");
}

#[test]
fn two_files_of_one_base_name_are_two_messages() {
    let (site, mut maildir) = site();
    let first = maildir.deliver_seen(b"Subject: one\n\n", "S");
    let second = name(&first).split(':').next().unwrap();
    let second = maildir.root().join("new").join(second);
    fs::write(&second, b"Subject: two\n\n").unwrap();
    let server = site.start();
    let mut client = ada(&server);
    let ids = client.uidl();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0].1, ids[1].1);
    let texts: Vec<_> = (1..=2).map(|number| client.retr(number)).collect();
    let one = texts
        .iter()
        .position(|text| text == b"Subject: one\r\n\r\n");
    let one = one.expect("the first is served");
    client.accepted(&format!("DELE {}", one + 1));
    client.quit();
    assert!(!first.exists() && second.exists());
    let mut client = ada(&server);
    assert_eq!(client.uidl(), [(1, ids[1 - one].1.clone())]);
    assert_eq!(client.retr(1), b"Subject: two\r\n\r\n");
    client.quit();
    let told = lines(
        &server,
        &["WARN", "files with the base name of another file"],
    );
    assert!(!told.is_empty());
}

#[test]
fn a_compressed_message_is_refused_and_the_log_says_which() {
    let (site, mut maildir) = site();
    let packed = maildir.deliver(GZIP);
    maildir.deliver(b"Subject: two\n\n");
    let server = site.start();
    let mut client = ada(&server);
    for command in ["RETR 1", "TOP 1 0"] {
        let text = client.refused(command);
        assert!(text.starts_with("[SYS/TEMP] "), "{command}: {text}");
        assert!(text.contains("gzip"), "{command}: {text}");
    }
    assert_eq!(client.retr(2), b"Subject: two\r\n\r\n");
    client.quit();
    let told = lines(&server, &["WARN", "gzip", name(&packed), "ada"]);
    assert!(!told.is_empty(), "{}", server.log());
    assert!(packed.exists());
}

#[test]
fn what_a_client_fetches_is_marked_as_seen() {
    let (mut site, mut maildir) = site();
    site.plugins[1].settings = "seen = true\n".to_owned();
    let files: Vec<_> = (1..=3)
        .map(|number| maildir.deliver(format!("Subject: {number}\n\n").as_bytes()))
        .collect();
    let seen = |path: &Path| maildir.root().join(format!("cur/{}:2,S", name(path)));
    let server = site.start();
    let mut client = ada(&server);
    let ids = client.uidl();
    for number in [1, 1, 2] {
        assert_eq!(
            client.retr(number),
            format!("Subject: {number}\r\n\r\n").as_bytes()
        );
    }
    assert!(seen(&files[0]).exists() && !files[0].exists());
    client.accepted("DELE 2");
    client.quit();
    assert!(!seen(&files[1]).exists() && !files[1].exists());
    assert!(files[2].exists());
    let mut client = ada(&server);
    assert_eq!(
        client.uidl(),
        [(1, ids[0].1.clone()), (2, ids[2].1.clone())]
    );
    client.quit();
}

/// A full disk keeps nobody from mail, and a read-only one nobody from reading it; the log
/// has words for both.
#[test]
fn a_full_or_read_only_file_system_is_named() {
    let (site, _) = site();
    let root = site.maildir_path("ada");
    let mounted = SmallFileSystem::mount("a_full_or_read_only_file_system_is_named", &root, 256);
    let Some(mounted) = mounted else {
        return;
    };
    let mut maildir = site.maildir("ada");
    let files: Vec<_> = (1..=3)
        .map(|number| maildir.deliver(format!("Subject: {number}\n\n").as_bytes()))
        .collect();
    // Not all at once: the last page is to be full, too.
    let mut full = fs::File::create(root.join("tmp/full")).unwrap();
    while std::io::Write::write_all(&mut full, &[b'x'; 4096]).is_ok() {}
    drop(full);
    let server = site.start();
    let mut client = ada(&server);
    assert_eq!(client.retr(3), b"Subject: 3\r\n\r\n");
    client.accepted("DELE 1");
    client.quit();
    assert!(!files[0].exists());
    let words = [
        "WARN",
        ".restante-index",
        "no space left on the file system",
    ];
    let line = server.logged(&words);
    assert!(
        line.contains("user=\"ada\"") && line.contains("mail/ada"),
        "{line}"
    );

    fs::remove_file(root.join("tmp/full")).unwrap();
    mounted.make_read_only();
    let mut client = ada(&server);
    assert_eq!(client.retr(1), b"Subject: 2\r\n\r\n");
    client.accepted("DELE 1");
    let text = client.refused("QUIT");
    assert!(text.starts_with("[SYS/PERM] "), "{text}");
    assert!(files[1].exists());
    let line = server.logged(&[
        "ERROR",
        "could not be removed",
        "the file system is read-only",
    ]);
    for word in [name(&files[1]), "user=\"ada\"", "mail/ada"] {
        assert!(line.contains(word), "{word} is not in {line}");
    }
    drop(server);
    drop(mounted);
}

/// What cannot be read is listed all the same, so that no client forgets it, and refused.
/// Nothing of such a listing is remembered.
#[test]
fn message_that_could_not_be_read_is_there_once_it_can_be() {
    let (site, mut maildir) = site();
    maildir.deliver(b"Subject: one\n\n");
    let second = maildir.deliver(b"Subject: two\n\n");
    // More than is read to measure a message, and nothing on the disk.
    let file = fs::OpenOptions::new().write(true).open(&second).unwrap();
    file.set_len(2 << 30).unwrap();
    let server = site.start();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut client = ada(&server);
        ids = client.uidl();
        assert_eq!(ids.len(), 2);
        assert_eq!(client.retr(1), b"Subject: one\r\n\r\n");
        for command in ["RETR 2", "TOP 2 0"] {
            let text = client.refused(command);
            assert!(text.starts_with("[SYS/TEMP] "), "{command}: {text}");
        }
        client.quit();
    }
    let told = lines(&server, &["ERROR", name(&second), "cannot be read", "ada"]);
    assert!(!told.is_empty(), "{}", server.log());
    // Neither a name nor a directory changes.
    file.set_len(14).unwrap();
    let mut client = ada(&server);
    assert_eq!(client.uidl(), ids);
    assert_eq!(client.retr(2), b"Subject: two\r\n\r\n");
    client.quit();
}

/// What a login is refused with while something is away; the log has these words.
fn refused(server: &Server, words: &[&str]) {
    let before = lines(server, words).len();
    let mut client = Pop3::connect(server.pop3());
    let status = client.authenticate("ada", PASSWORD);
    let is_for_now = !status.ok && status.text.starts_with("[SYS/TEMP] ");
    assert!(is_for_now, "{status:?}");
    let told = lines(server, words);
    assert!(told.len() > before, "{words:?}: {}", server.log());
}

/// Whatever the grants say of a maildrop that is missing: of this one a half is.
#[test]
fn half_a_maildir_is_refused_until_it_is_whole() {
    let (site, mut maildir) = site();
    maildir.deliver(b"Subject: new\n\n");
    maildir.deliver_seen(b"Subject: old\n\n", "S");
    let server = site.start();
    for part in ["cur", "new"] {
        let mut client = ada(&server);
        let ids = client.uidl();
        assert_eq!(ids.len(), 2);
        client.quit();
        let (path, away) = (maildir.root().join(part), maildir.root().join("away"));
        fs::rename(&path, &away).unwrap();
        refused(&server, &["ERROR", "mail/ada", &format!("no {part}")]);
        fs::rename(&away, &path).unwrap();
        let mut client = ada(&server);
        assert_eq!(client.uidl(), ids);
        client.quit();
    }
    // Nor is nothing but an index left an empty maildrop.
    for part in ["cur", "new", "tmp"] {
        fs::rename(
            maildir.root().join(part),
            site.path().join(format!("away-{part}")),
        )
        .unwrap();
    }
    assert!(maildir.root().join(".restante-index").exists());
    refused(&server, &["ERROR", "mail/ada", "neither new nor cur"]);
}

/// The mount point of a file system that is away is an empty directory.
#[test]
fn an_empty_directory_is_no_empty_maildrop_unless_the_grants_say_so() {
    let (mut site, mut maildir) = site();
    maildir.deliver(b"Subject: one\n\n");
    let empty = "missing-maildrop = \"empty\"\n";
    let grants = site.plugins[1].grants.replace(empty, "");
    let away = site.path().join("away");
    for component in ["builtin:maildir", "builtin:mbox"] {
        site.plugins[1].component = component.to_owned();
        site.plugins[1].grants.clone_from(&grants);
        if component == "builtin:mbox" {
            let text = "From a@b Tue Nov 14 22:13:20 2023\nSubject: one\n\n";
            fs::remove_dir_all(maildir.root()).unwrap();
            fs::create_dir(maildir.root()).unwrap();
            fs::write(maildir.root().join("mbox"), text).unwrap();
        }
        let server = site.start();
        assert_eq!(ada(&server).stat().0, 1);
        fs::rename(maildir.root(), &away).unwrap();
        fs::create_dir(maildir.root()).unwrap();
        refused(
            &server,
            &["ERROR", "mail/ada", "is empty", "missing-maildrop"],
        );
        fs::remove_dir(maildir.root()).unwrap();
        fs::rename(&away, maildir.root()).unwrap();
        assert_eq!(ada(&server).stat().0, 1);
        drop(server);
        for allowed in [empty, "create-maildrop = true\n"] {
            site.plugins[1].grants = format!("{grants}{allowed}");
            let server = site.start();
            fs::rename(maildir.root(), &away).unwrap();
            fs::create_dir(maildir.root()).unwrap();
            assert_eq!(ada(&server).stat(), (0, 0), "{component} {allowed}");
            fs::remove_dir(maildir.root()).unwrap();
            fs::rename(&away, maildir.root()).unwrap();
            drop(server);
        }
    }
}

#[test]
fn a_missing_mbox_is_refused_unless_the_settings_say_so() {
    let (mut site, maildir) = site();
    site.plugins[1].component = "builtin:mbox".to_owned();
    let mbox = maildir.root().join("mbox");
    let text = "From a@b Tue Nov 14 22:13:20 2023\nSubject: one\n\n";
    fs::write(&mbox, text).unwrap();
    let server = site.start();
    let mut client = ada(&server);
    assert_eq!(client.stat().0, 1);
    client.quit();
    let away = site.path().join("away");
    fs::rename(&mbox, &away).unwrap();
    refused(
        &server,
        &["ERROR", "mail/ada", "there is no", "mbox", "missing = "],
    );
    fs::rename(&away, &mbox).unwrap();
    assert_eq!(ada(&server).stat().0, 1);
    drop(server);
    site.plugins[1].settings = "missing = \"empty\"\n".to_owned();
    fs::remove_file(&mbox).unwrap();
    let server = site.start();
    assert_eq!(ada(&server).stat(), (0, 0));
}

/// Delivery agents lock before there is a mailbox: an entry that is gone before it is looked at
/// is nothing that cannot be read.
#[test]
fn locks_that_come_and_go_in_an_empty_folder_keep_nobody_out() {
    let (mut site, maildir) = site();
    site.plugins[1].component = "builtin:mbox".to_owned();
    for folder in ["cur", "new", "tmp"] {
        fs::remove_dir(maildir.root().join(folder)).unwrap();
    }
    let server = site.start();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let locks = ["mbox.lock", "mbox.lock.1", "mbox.lock.2"];
            let locks = locks.map(|name| maildir.root().join(name));
            while !is_over.load(Ordering::Relaxed) {
                for lock in &locks {
                    fs::write(lock, "1").unwrap();
                }
                for lock in &locks {
                    fs::remove_file(lock).unwrap();
                }
            }
        });
        let logins = catch_unwind(|| {
            for _ in 0..300 {
                ada(&server).quit();
            }
        });
        is_over.store(true, Ordering::Relaxed);
        logins.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

/// The share is of what the client leaves: to remove one message is no leave to remove the
/// others.
#[test]
fn messages_expire_within_the_share_of_what_is_left() {
    let (mut site, maildir) = site();
    site.tenants[0].lines.push_str("expire = \"30d\"\n");
    for number in 0..10 {
        // Delivered in September 2020.
        let name = format!("new/1600000000.M{number}P1.old");
        fs::write(maildir.root().join(name), "Subject: old\n\n").unwrap();
    }
    let server = site.start();
    for left in [10, 9, 9] {
        let mut client = ada(&server);
        let (messages, _) = client.stat();
        if messages == 10 && left == 9 {
            client.accepted("DELE 1");
        }
        client.quit();
        let log = lines(&server, &["expired messages are not removed"]);
        assert!(!log.is_empty(), "{}", server.log());
        assert_eq!(ada(&server).stat().0, left);
    }
}

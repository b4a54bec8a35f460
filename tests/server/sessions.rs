//! What sessions owe each other, and what they owe the maildrop.
use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use restante_tests::{GLANCE, Maildir, PATIENCE, Pop3, Server, Site, wait_for};

const PASSWORD: &str = "secret of ada";

/// A site with the user ada and so many messages in her Maildir.
fn site_with(messages: usize) -> (Site, Maildir) {
    let mut site = Site::new();
    site.user("ada", PASSWORD);
    let mut maildir = site.maildir("ada");
    for number in 1..=messages {
        maildir.deliver(&message(number));
    }
    (site, maildir)
}

fn message(number: usize) -> Vec<u8> {
    format!("Subject: message {number}\n\n.body of message {number}\n").into_bytes()
}

/// The same message as it must come out of RETR.
fn on_the_wire(number: usize) -> Vec<u8> {
    let text = String::from_utf8(message(number)).unwrap();
    text.replace('\n', "\r\n").into_bytes()
}

fn ada(server: &Server) -> Pop3 {
    Pop3::login(server.pop3(), "ada", PASSWORD)
}

/// Logs in as soon as the lock of a session that just ended is free.
fn ada_soon(server: &Server) -> Pop3 {
    wait_for("the lock to be free", || {
        let mut client = Pop3::connect(server.pop3());
        let status = client.authenticate("ada", PASSWORD);
        assert!(status.ok || status.text.starts_with("[IN-USE]"));
        status.ok.then_some(client)
    })
}

#[test]
fn second_session_on_a_maildrop_is_told_that_it_is_in_use() {
    let (mut site, _maildir) = site_with(1);
    site.user("bob", "secret of bob");
    let server = site.start();
    let first = ada(&server);
    let mut second = Pop3::connect(server.pop3());
    for _ in 0..2 {
        let status = second.authenticate("ada", PASSWORD);
        assert!(
            !status.ok && status.text.starts_with("[IN-USE] "),
            "{status:?}"
        );
    }
    // Nobody else is held up by it.
    Pop3::login(server.pop3(), "bob", "secret of bob").quit();
    first.quit();
    // The lock is free before QUIT is answered.
    let status = second.authenticate("ada", PASSWORD);
    assert!(status.ok, "after the first session's QUIT: {status:?}");
    second.quit();
    server.stop();
}

#[test]
fn user_takes_a_maildrop_over_where_the_tenant_lets_it() {
    let (mut site, maildir) = site_with(2);
    site.tenants[0]
        .lines
        .push_str("when-in-use = \"take-over\"\n");
    let server = site.start();
    let before = maildir.files();
    let mut older = ada(&server);
    for _ in 0..200 {
        older.accepted("DELE 1");
        let newer = ada(&server);
        older.closed();
        older = newer;
    }
    assert_eq!(older.stat().0, 2);
    assert_eq!(maildir.files(), before);
    older.quit();
    let log = server.stop();
    assert!(log.contains("an older session had the maildrop and was ended"));
    assert!(log.contains("a later login of this user took the maildrop over"));
}

#[test]
fn lock_dies_with_a_dropped_session() {
    let (site, _maildir) = site_with(1);
    let server = site.start();
    for _ in 0..3 {
        ada_soon(&server).drop_connection();
    }
    ada_soon(&server).quit();
    server.stop();
}

#[test]
fn a_server_that_remembers_a_maildrop_sees_what_a_fresh_one_sees() {
    let (site, mut maildir) = site_with(3);
    let mut server = site.start();
    let look = |server: &Server| {
        let mut client = ada(server);
        let seen = (client.stat(), client.list(), client.uidl());
        for number in 1..=u32::try_from(seen.2.len()).unwrap() {
            client.retr(number);
        }
        client.quit();
        seen
    };
    let mut seen = vec![look(&server)];
    let delivered = maildir.deliver(&message(4));
    seen.push(look(&server));
    let moved = maildir.mark_seen(&delivered, "S");
    seen.push(look(&server));
    assert_eq!(seen[2], seen[1]);
    // Another file by the same name, and one that goes.
    let other = maildir.root().join("tmp/other");
    fs::write(&other, message(4444)).unwrap();
    fs::rename(&other, &moved).unwrap();
    seen.push(look(&server));
    assert_ne!(seen[3], seen[2]);
    fs::remove_file(&maildir.files()[0]).unwrap();
    maildir.deliver_seen(&message(5), "");
    seen.push(look(&server));
    assert_eq!(seen[4].2.len(), 4);
    for _ in 0..30 {
        maildir.deliver(&message(6));
        seen.push(look(&server));
    }
    assert_eq!(seen.last().unwrap().2.len(), 34);
    server.stop();
    server = site.start();
    assert_eq!(Some(&look(&server)), seen.last());
    server.stop();
}

#[test]
fn a_message_that_was_edited_is_refused_once_and_right_at_the_next_login() {
    let (site, maildir) = site_with(3);
    // Long enough ago for the server to rely on it: what counts is when a directory
    // changed, and no program can set that.
    std::thread::sleep(Duration::from_millis(2200));
    let server = site.start();
    ada(&server).quit();
    let path = &maildir.files()[1];
    let before = String::from_utf8(message(2)).unwrap();
    // Another length; and the same with a line end less.
    let longer = format!("{before}more\n");
    let joined = longer.replace("body of message 2\n", "body of message 2 ");
    for edited in [longer, joined] {
        fs::write(path, &edited).unwrap();
        let mut client = ada(&server);
        client.refused("RETR 2");
        assert_eq!(client.retr(3), on_the_wire(3));
        client.quit();
        let mut client = ada(&server);
        let expected = edited.replace('\n', "\r\n");
        assert_eq!(client.retr(2), expected.as_bytes());
        client.quit();
    }
    server.stop();
}

#[test]
fn arriving_mail_is_invisible_until_the_next_session() {
    let (site, mut maildir) = site_with(2);
    let server = site.start();
    let mut client = ada(&server);
    let before = (client.stat(), client.list(), client.uidl());
    maildir.deliver(&message(3));
    maildir.deliver_seen(&message(4), "S");
    assert_eq!((client.stat(), client.list(), client.uidl()), before);
    client.refused("RETR 3");
    client.quit();

    let mut client = ada(&server);
    assert_eq!(client.stat().0, 4);
    assert_eq!(client.uidl()[..2], before.2[..]);
    assert_eq!(client.retr(3), on_the_wire(3));
    assert_eq!(client.retr(4), on_the_wire(4));
    client.quit();
    // Once more, now that the server knows this maildrop and has seen it
    // change within the same second.
    maildir.deliver(&message(5));
    let mut client = ada(&server);
    assert_eq!(client.stat().0, 5);
    assert_eq!(client.retr(5), on_the_wire(5));
    client.quit();
    server.stop();
}

#[test]
fn vanished_message_costs_one_retr() {
    let (site, maildir) = site_with(3);
    let server = site.start();
    let mut client = ada(&server);
    fs::remove_file(&maildir.files()[1]).unwrap();
    client.refused("RETR 2");
    client.refused("TOP 2 0");
    assert_eq!(client.retr(1), on_the_wire(1));
    assert_eq!(client.retr(3), on_the_wire(3));
    assert_eq!(client.stat().0, 3);
    client.quit();
    let mut client = ada(&server);
    assert_eq!(client.stat().0, 2);
    assert_eq!(client.retr(2), on_the_wire(3));
    client.quit();
    server.stop();
}

#[test]
fn message_that_moves_to_cur_is_still_the_same() {
    let (site, maildir) = site_with(3);
    let server = site.start();
    let mut client = ada(&server);
    let ids = client.uidl();
    let files = maildir.files();
    for (file, flags) in files.iter().zip(["S", "", "RS"]) {
        maildir.mark_seen(file, flags);
    }
    for number in 1..=3 {
        assert_eq!(client.retr(number), on_the_wire(number as usize));
    }
    client.accepted("DELE 2");
    client.quit();
    let left: Vec<String> = maildir
        .files()
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(
        left[0].ends_with(":2,S") && left[1].ends_with(":2,RS"),
        "{left:?}"
    );
    let mut client = ada(&server);
    let names =
        |ids: &[(u32, String)]| -> Vec<String> { ids.iter().map(|(_, id)| id.clone()).collect() };
    assert_eq!(names(&client.uidl()), [ids[0].1.clone(), ids[2].1.clone()]);
    client.quit();
    server.stop();
}

#[test]
fn quit_removes_exactly_the_marked_messages() {
    let (site, maildir) = site_with(6);
    let files = maildir.files();
    let server = site.start();
    let mut client = ada(&server);
    for number in [2, 5, 6] {
        client.accepted(&format!("DELE {number}"));
        client.refused(&format!("DELE {number}"));
        client.refused(&format!("RETR {number}"));
    }
    let numbers: Vec<u32> = client.list().iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 3, 4]);
    // Nothing happens before UPDATE (RFC 1939 section 5).
    assert_eq!(maildir.files(), files);
    client.quit();
    let kept: Vec<PathBuf> = [0, 2, 3].map(|at: usize| files[at].clone()).to_vec();
    assert_eq!(maildir.files(), kept);
    server.stop();
}

#[test]
fn without_quit_nothing_is_removed() {
    let (site, maildir) = site_with(4);
    let files = maildir.files();
    let server = site.start();

    let mut client = ada(&server);
    for number in 1..=4 {
        client.accepted(&format!("DELE {number}"));
    }
    client.drop_connection();
    let mut client = ada_soon(&server);
    assert_eq!(maildir.files(), files, "after a dropped session");
    assert_eq!(client.stat().0, 4);

    client.accepted("DELE 1");
    client.accepted("RSET");
    assert_eq!(client.stat().0, 4);
    client.accepted("DELE 3");
    client.accepted("RSET");
    client.accepted("DELE 4");
    client.quit();
    assert_eq!(
        maildir.files(),
        files[..3],
        "only what was marked after RSET"
    );

    // Half a QUIT is no QUIT.
    let mut client = ada(&server);
    client.accepted("DELE 1");
    client.send_octets(b"QUIT");
    client.drop_connection();
    ada_soon(&server).quit();
    assert_eq!(maildir.files(), files[..3], "after half a QUIT");
    server.stop();
}

#[test]
fn unique_ids_stay_for_ever() {
    let (site, mut maildir) = site_with(4);
    maildir.deliver_with_sizes(&message(5));
    maildir.deliver_seen(&message(6), "F");
    let ids = |server: &Server| -> Vec<String> {
        let mut client = ada_soon(server);
        let ids: Vec<String> = client.uidl().into_iter().map(|(_, id)| id).collect();
        for (at, id) in ids.iter().enumerate() {
            assert!((1..=70).contains(&id.len()), "{id}");
            assert!(
                id.bytes().all(|o| (0x21..=0x7e).contains(&o) && o != b'/'),
                "{id}"
            );
            assert_eq!(
                client.accepted(&format!("UIDL {}", at + 1)),
                format!("{} {id}", at + 1)
            );
        }
        client.quit();
        ids
    };
    let server = site.start();
    let first = ids(&server);
    assert_eq!(first.iter().collect::<HashSet<_>>().len(), 6, "{first:?}");
    assert_eq!(ids(&server), first, "second session");
    for (file, flags) in maildir.files().iter().zip(["S", "", "RS"]) {
        maildir.mark_seen(file, flags);
    }
    assert_eq!(ids(&server), first, "after moves to cur");
    for file in &maildir.files()[..2] {
        maildir.mark_seen(file, "FRST");
    }
    assert_eq!(ids(&server), first, "after new flags");
    server.stop();
    let mut server = site.start();
    assert_eq!(ids(&server), first, "after a restart");
    server.kill();
    let server = site.start();
    assert_eq!(ids(&server), first, "after kill -9");

    let mut client = ada(&server);
    client.accepted("DELE 6");
    client.quit();
    maildir.deliver(&message(6));
    let last = ids(&server);
    assert_eq!(last[..5], first[..5], "beside a removed and a new message");
    assert!(!first.contains(&last[5]), "an id was used again: {last:?}");
    // The same octets under another name are another message.
    server.stop();
}

#[test]
fn passwd_file_is_read_again_when_it_changes() {
    let (mut site, _maildir) = site_with(1);
    let server = site.start();
    ada(&server).quit();
    let attempt =
        |user: &str, password: &str| Pop3::connect(server.pop3()).authenticate(user, password);

    site.user("ada", "another secret");
    let old = attempt("ada", PASSWORD);
    assert!(
        !old.ok && old.text.starts_with("[AUTH] "),
        "old password: {old:?}"
    );
    assert!(attempt("ada", "another secret").ok, "new password");
    site.user("bob", "secret of bob");
    assert!(attempt("bob", "secret of bob").ok, "new user");
    site.forget_user("bob");
    let gone = attempt("bob", "secret of bob");
    assert!(
        !gone.ok && gone.text.starts_with("[AUTH] "),
        "gone user: {gone:?}"
    );
    assert_eq!(gone, old, "unknown users and wrong passwords look the same");
    server.stop();
}

#[test]
fn missing_maildir_is_an_empty_maildrop() {
    let mut site = Site::new();
    site.user("ada", PASSWORD);
    let server = site.start();
    let mut client = ada(&server);
    assert_eq!(client.stat(), (0, 0));
    assert_eq!(client.list(), []);
    assert_eq!(client.uidl(), []);
    client.refused("RETR 1");
    client.quit();
    // It may come into being while the server runs.
    let mut maildir = site.maildir("ada");
    maildir.deliver(&message(1));
    let mut client = ada(&server);
    assert_eq!(client.retr(1), on_the_wire(1));
    client.quit();
    server.stop();
}

#[test]
fn missing_maildir_is_made_where_that_is_granted() {
    let mut site = Site::new();
    site.user("ada", PASSWORD);
    site.plugins[1].grants.push_str("create-maildrop = true\n");
    let server = site.start();
    let mut client = ada(&server);
    assert_eq!(client.stat(), (0, 0));
    client.quit();
    assert!(site.maildir_path("ada").is_dir());
    server.stop();
}

#[test]
fn missing_maildir_is_no_empty_maildrop_unless_the_grants_say_so() {
    let mut site = Site::new();
    site.user("ada", PASSWORD);
    let empty = "missing-maildrop = \"empty\"\n";
    let grants = site.plugins[1].grants.replace(empty, "");
    site.plugins[1].grants.clone_from(&grants);
    let server = site.start();
    let mut client = Pop3::connect(server.pop3());
    let status = client.authenticate("ada", PASSWORD);
    assert!(
        !status.ok && status.text.starts_with("[SYS/TEMP] "),
        "{status:?}"
    );
    site.maildir("ada").deliver(&message(1));
    let mut client = ada(&server);
    assert_eq!(client.stat().0, 1);
    client.quit();
    let log = server.stop();
    for words in ["mail/ada", "create-maildrop = true", "missing-maildrop"] {
        assert!(log.contains(words), "{words}: {log}");
    }
    // A mail root that is not mounted has no marker.
    site.plugins[1].grants = format!("{grants}{empty}maildrop-marker = \".mounted\"\n");
    let check = site.check();
    assert_eq!(check.code, Some(0), "{check:#?}");
    let words = ".mounted` is not there";
    assert!(check.stderr.contains(words), "{check:#?}");
    let server = site.start();
    let mut client = Pop3::connect(server.pop3());
    let status = client.authenticate("ada", PASSWORD);
    assert!(
        !status.ok && status.text.starts_with("[SYS/TEMP] "),
        "{status:?}"
    );
    fs::write(site.path().join("mail/.mounted"), "").unwrap();
    ada(&server).quit();
    let log = server.stop();
    assert!(log.contains("maildrop-marker"), "{log}");
}

/// A site with spam between two good messages, under these rules.
fn site_with_rules(settings: &str) -> (Site, Maildir) {
    let (mut site, mut maildir) = site_with(1);
    maildir.deliver(b"Subject: buy\nX-Spam-Flag: YES\n\nnow\n");
    maildir.deliver(&message(2));
    site.rules(settings);
    (site, maildir)
}

#[test]
fn rules_hide_without_deleting() {
    let (site, maildir) = site_with_rules("hide-header = \"X-Spam-Flag: YES\"\n");
    let spam = maildir.files()[1].clone();
    let server = site.start();
    for _ in 0..2 {
        let mut client = ada(&server);
        let octets = on_the_wire(1).len() as u64;
        assert_eq!(client.stat(), (2, 2 * octets));
        assert_eq!(client.list(), [(1, octets), (2, octets)]);
        assert_eq!(client.retr(1), on_the_wire(1));
        assert_eq!(client.retr(2), on_the_wire(2));
        client.refused("RETR 3");
        client.quit();
    }
    let mut client = ada(&server);
    client.accepted("DELE 1");
    client.accepted("DELE 2");
    client.quit();
    assert_eq!(maildir.files(), [spam], "what nobody saw is not deleted");
    server.stop();
}

#[test]
fn rules_annotate_and_the_octets_count_it() {
    let (site, _maildir) = site_with_rules(
        "annotate-header = [\"X-Seen-By: restante\", \"X-Second: .\"]\nannotate-when = \"X-Spam-Flag: YES\"\n",
    );
    let server = site.start();
    let front = b"X-Seen-By: restante\r\nX-Second: .\r\n";
    let header = [front, &b"Subject: buy\r\nX-Spam-Flag: YES\r\n\r\n"[..]].concat();
    for _ in 0..2 {
        let mut client = ada(&server);
        let list = client.list();
        assert_eq!(list.len(), 3);
        assert_eq!(
            client.stat().1,
            list.iter().map(|(_, octets)| octets).sum::<u64>()
        );
        for (number, octets) in &list {
            assert_eq!(client.retr(*number).len() as u64, *octets, "LIST {number}");
        }
        assert_eq!(client.retr(1), on_the_wire(1));
        assert_eq!(client.retr(2), [&header[..], b"now\r\n"].concat());
        assert_eq!(client.top(2, 0), header);
        client.quit();
    }
    server.stop();
}

#[test]
fn rules_select_the_newest() {
    let (site, mut maildir) = site_with_rules("newest = 2\n");
    let server = site.start();
    let mut client = ada(&server);
    assert_eq!(client.stat().0, 2);
    assert_eq!(client.retr(2), on_the_wire(2));
    client.quit();
    maildir.deliver(&message(3));
    let mut client = ada(&server);
    assert_eq!(client.stat().0, 2);
    assert_eq!(client.retr(1), on_the_wire(2));
    assert_eq!(client.retr(2), on_the_wire(3));
    client.quit();
    assert_eq!(maildir.files().len(), 4);
    server.stop();
}

/// What a client may make the server hold that pipelines and reads nothing, in
/// KiB: far below the 80 MiB that it asks for.
const GROWTH: u64 = 4 * 1024;

#[test]
fn client_that_reads_nothing_costs_bounded_memory() {
    const REQUESTS: usize = 10_000;
    let mut site = Site::new();
    site.user("ada", PASSWORD);
    let mut maildir = site.maildir("ada");
    let line = "eighty octets of a body that goes on and on and on and on and on and on, it does\n";
    let text = format!("Subject: eight kilobytes\n\n{}", line.repeat(100));
    maildir.deliver(text.as_bytes());
    let expected = text.replace('\n', "\r\n").into_bytes();

    let server = site.start();
    // What the first session takes once and for all is no growth.
    let mut client = ada(&server);
    assert_eq!(client.retr(1), expected);
    client.quit();
    let mut client = ada_soon(&server);
    assert_eq!(client.retr(1), expected);
    server.forget_peak();
    let before = server.resident();

    let mut writer = client.writer();
    let writing = std::thread::spawn(move || {
        writer.write_all(&b"RETR 1\r\n".repeat(REQUESTS)).unwrap();
    });
    wait_until_idle(&server);
    let growth = server.peak().saturating_sub(before);
    assert!(growth < GROWTH, "the server grew by {growth} KiB");

    let mut body = Vec::new();
    for request in 0..REQUESTS {
        let status = client.status();
        assert!(status.ok, "answer {request}: {status:?}");
        client.body_into(&mut body);
        assert!(body == expected, "answer {request} is not the message");
    }
    writing.join().unwrap();
    let growth = server.peak().saturating_sub(before);
    assert!(
        growth < GROWTH,
        "the server grew by {growth} KiB in the end"
    );
    client.quit();
    server.stop();
}

/// Waits until the server has used no processor time for half a second: all
/// that it can do without its client, it has done.
fn wait_until_idle(server: &Server) {
    let start = Instant::now();
    let mut ticks = server.cpu_ticks();
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_millis(500) {
        assert!(start.elapsed() < PATIENCE, "the server never waits");
        std::thread::sleep(GLANCE);
        let now = server.cpu_ticks();
        // A timer may tick while nothing else happens.
        if now > ticks + 1 {
            ticks = now;
            since = Instant::now();
        }
    }
}

#[test]
fn sigterm_lets_a_running_session_finish() {
    let (site, maildir) = site_with(3);
    let files = maildir.files();
    let mut server = site.start();
    let mut client = ada(&server);
    client.accepted("DELE 1");
    server.terminate();
    let address = server.pop3();
    wait_for("the listener to close", || {
        TcpStream::connect(address).err()
    });
    assert!(server.is_running());
    assert_eq!(client.retr(2), on_the_wire(2));
    client.accepted("DELE 2");
    client.quit();
    let status = server.ended();
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert_eq!(maildir.files(), files[2..]);
}

#[test]
fn sigterm_ends_an_idle_server_at_once() {
    let (site, _maildir) = site_with(1);
    let mut server = site.start();
    ada(&server).quit();
    // Not logged in: nobody to wait for.
    let idle = Pop3::connect(server.pop3());
    let start = Instant::now();
    server.terminate();
    let status = server.ended();
    assert_eq!(status.code(), Some(0), "{}", server.log());
    // Far less than the grace time, far more than a slow machine needs.
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
    drop(idle);
}

#[test]
fn sigterm_waits_no_longer_than_the_grace_time() {
    let (mut site, maildir) = site_with(1);
    site.limits = "shutdown-grace = \"1s\"\n".to_owned();
    let files = maildir.files();
    let mut server = site.start();
    let mut client = ada(&server);
    client.accepted("DELE 1");
    let start = Instant::now();
    server.terminate();
    let status = server.ended();
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(maildir.files(), files, "cut off is no QUIT");
}

#[test]
fn log_tells_of_sessions_and_not_of_secrets() {
    for filter in ["info", "trace"] {
        let (mut site, _maildir) = site_with(3);
        site.server = format!("[server.log]\nfilter = {filter:?}\n");
        let server = site.start();

        let mut client = Pop3::connect(server.pop3());
        // Secrets where they do not belong must not get into the log either.
        client.refused("PASS hidden-too-early");
        client.refused("PASSS hidden-misspelt");
        client.accepted("USER ada");
        client.refused("PASS hidden-wrong");
        client.accepted("USER ada");
        client.accepted(&format!("PASS {PASSWORD}"));
        let octets = client.retr(1).len() + client.retr(2).len();
        client.top(3, 1);
        client.accepted("DELE 1");
        client.quit();
        server.logged(&["logout"]);
        let log = server.stop();

        let line = |words: &[&str]| {
            let lines: Vec<&str> = log
                .lines()
                .filter(|line| words.iter().all(|word| line.contains(word)))
                .collect();
            assert_eq!(lines.len(), 1, "lines with {words:?}:\n{log}");
            lines[0].to_owned()
        };
        let login = line(&["INFO", " login ", "user=\"ada\"", "messages="]);
        assert!(login.contains("messages=3"), "{login}");
        let logout = line(&["INFO", " logout "]);
        for count in ["retr=2", &format!("retr_octets={octets}"), "top=1", "del=1"] {
            assert!(logout.contains(count), "{count} in {logout}");
        }
        for secret in [
            PASSWORD,
            "hidden-too-early",
            "hidden-misspelt",
            "hidden-wrong",
        ] {
            assert!(!log.contains(secret), "{secret:?} is in the log ({filter})");
        }
        assert!(!log.contains('\x1b'), "terminal colours in a file");
    }
}

/// People do that, and log in rightly a moment later.
#[test]
fn a_password_typed_as_a_name_is_not_in_the_log() {
    for (setting, typed) in [("known", "hunter2"), ("full", "hunter 2")] {
        let mut site = Site::new();
        site.user("ada", typed);
        site.maildir("ada");
        site.limits = "failure-delay = \"0s\"\nmax-failure-delay = \"0s\"\n".to_owned();
        site.server = format!("[server.log]\nfilter = \"trace\"\nuser-names = {setting:?}\n");
        let server = site.start();
        for _ in 0..2 {
            let mut client = Pop3::connect(server.pop3());
            client.accepted(&format!("USER {typed}"));
            client.refused("PASS oops");
            client.accepted("USER ada");
            client.accepted(&format!("PASS {typed}"));
            client.quit();
        }
        // The name in place of the password, and then the other way round.
        let mut client = Pop3::connect(server.pop3());
        client.accepted("USER unheard-of");
        client.refused(&format!("PASS {typed}"));
        client.accepted(&format!("USER {typed}"));
        client.refused("PASS oops");
        client.accepted("USER ada");
        client.refused("PASS wrong");
        let log = server.stop();
        assert!(!log.contains(typed), "{typed} is in the log ({setting})");
        let failed: Vec<&str> = log
            .lines()
            .filter_map(|line| line.split("login failed user=").nth(1))
            .collect();
        assert_eq!(failed.len(), 5, "{log}");
        let name = |at: usize| failed[at].split(" why=").next().unwrap();
        // Repeats can be seen.
        let words = format!("\"<redacted, {} octets, ", typed.len());
        assert!(name(0).starts_with(&words), "{failed:#?}");
        assert!(name(0) == name(1) && name(0) == name(3), "{failed:#?}");
        assert_eq!(
            name(2) == "\"unheard-of\"",
            setting == "full",
            "{failed:#?}"
        );
        // Somebody has logged in with it.
        assert_eq!(name(4), "\"ada\"");
    }
}

/// While a session idles its plugin's instance is given back: one place serves
/// two sessions in turn, and each finds its maildrop as it was.
#[test]
fn idle_session_gives_its_instance_back() {
    let mut site = Site::new();
    site.limits = "instances = 1\n".to_owned();
    for user in ["ada", "bob"] {
        site.user(user, "x");
        site.maildir(user)
            .deliver(format!("Subject: {user}\n\nbody\n").as_bytes());
    }
    let server = site.start();
    let mut ada = Pop3::login(server.pop3(), "ada", "x");
    let mut bob = Pop3::login(server.pop3(), "bob", "x");
    assert_eq!(ada.retr(1), b"Subject: ada\r\n\r\nbody\r\n");
    assert_eq!(bob.retr(1), b"Subject: bob\r\n\r\nbody\r\n");
    ada.accepted("DELE 1");
    bob.accepted("NOOP");
    ada.quit();
    assert_eq!(site.maildir("ada").files().len(), 0);
    assert_eq!(site.maildir("bob").files().len(), 1);
    bob.quit();
}

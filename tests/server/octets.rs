//! Every message of tests/mail, and of the corpus where it stands beside the
//! checkout: what RETR, TOP, LIST and STAT say agrees, to the octet, with a
//! reference that is written in another language and reads the Maildir itself.
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use restante_tests::{
    Maildir, Pop3, Server, Site, corpus, long_line, own_messages, python, repository, run_to_end,
    ten_megabytes,
};

/// The line counts that reference.py writes TOP for.
const TOPS: [u64; 3] = [0, 1, 1_000_000];

/// The messages, each by name.
fn all_messages() -> Vec<(String, Vec<u8>)> {
    let mut messages = own_messages();
    messages.extend(corpus());
    messages.push(("ten-megabytes".to_owned(), ten_megabytes()));
    messages.push(("long-line".to_owned(), long_line()));
    messages
}

fn python_script(python: &mut Command, script: &str) {
    python
        .arg(repository().join("tests").join(script))
        .env("PYTHONDONTWRITEBYTECODE", "1");
}

/// Reads a served Maildir with the client of this harness and compares it with
/// the reference.
fn agrees_with_reference(site: &Site, maildir: &Maildir, names: &[String]) {
    let Some(mut reference) = python("octets") else {
        return;
    };
    let expected = tempfile::tempdir().unwrap();
    python_script(&mut reference, "reference.py");
    let reference = run_to_end(reference.arg(maildir.root()).arg(expected.path()));
    assert_eq!(reference.code, Some(0), "reference.py: {reference:?}");

    let server = site.start();
    // The second login finds sizes that the first one had to count.
    for login in ["first login", "second login"] {
        let mut client = Pop3::connect(server.pop3());
        client.accepted("UTF8");
        assert!(client.authenticate("ada", "secret of ada").ok);
        let list = client.list();
        assert_eq!(list.len(), names.len(), "{login}: LIST");
        let total = list.iter().map(|(_, octets)| octets).sum();
        assert_eq!(client.stat(), (names.len() as u32, total), "{login}: STAT");
        for ((number, octets), name) in list.into_iter().zip(names) {
            let wanted = |what: &str| fs::read(expected.path().join(what)).unwrap();
            let retr = wanted(&format!("{number}.retr"));
            assert_eq!(octets, retr.len() as u64, "{login}: LIST of {name}");
            let one = client.accepted(&format!("LIST {number}"));
            assert_eq!(
                one,
                format!("{number} {octets}"),
                "{login}: LIST n of {name}"
            );
            same(
                &format!("{login}: RETR of {name}"),
                &client.retr(number),
                &retr,
            );
            for lines in TOPS {
                same(
                    &format!("{login}: TOP {lines} of {name}"),
                    &client.top(number, lines),
                    &wanted(&format!("{number}.top-{lines}")),
                );
            }
        }
        client.quit();
    }
    agrees_with_itself(&server, expected.path(), names);
    poplib_agrees(server.pop3().port(), maildir.root());
    server.stop();
}

/// For a client that has not said UTF8 some messages are surrogates, which
/// tests/server/surrogates.rs judges: their octets are told as exactly as all others.
fn agrees_with_itself(server: &Server, expected: &Path, names: &[String]) {
    let mut client = Pop3::login(server.pop3(), "ada", "secret of ada");
    let list = client.list();
    let total = list.iter().map(|(_, octets)| octets).sum();
    assert_eq!(client.stat(), (names.len() as u32, total), "STAT");
    let mut surrogates = 0;
    for ((number, octets), name) in list.into_iter().zip(names) {
        let status = client.accepted(&format!("RETR {number}"));
        assert_eq!(status, format!("{octets} octets"), "RETR of {name}");
        let got = client.body();
        assert_eq!(octets, got.len() as u64, "LIST of {name}");
        same(
            &format!("TOP of {name}"),
            &client.top(number, 1_000_000),
            &got,
        );
        let stored = fs::read(expected.join(format!("{number}.retr"))).unwrap();
        if got != stored {
            assert!(!stored.is_ascii(), "{name}");
            surrogates += 1;
        }
    }
    assert!(surrogates > 0, "none of these messages needs one");
    client.quit();
}

/// The same comparison, made by Python's own client.
fn poplib_agrees(port: u16, maildir: &Path) {
    let Some(mut poplib) = python("octets") else {
        return;
    };
    python_script(&mut poplib, "poplib_octets.py");
    let mut child = poplib
        .args(["127.0.0.1", &port.to_string(), "ada"])
        .arg(maildir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"secret of ada\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "poplib_octets.py: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Compares without printing megabytes when they differ.
fn same(what: &str, got: &[u8], wanted: &[u8]) {
    if got == wanted {
        return;
    }
    let at = got
        .iter()
        .zip(wanted)
        .position(|(got, wanted)| got != wanted)
        .unwrap_or(got.len().min(wanted.len()));
    let around = |octets: &[u8]| {
        let start = at.saturating_sub(40).min(octets.len());
        octets[start..octets.len().min(at + 40)]
            .escape_ascii()
            .to_string()
    };
    panic!(
        "{what}: {} octets instead of {}, different from octet {at} on\n   got …{}…\nwanted …{}…",
        got.len(),
        wanted.len(),
        around(got),
        around(wanted)
    );
}

/// Serves the messages under names as `deliver` makes them.
fn served(deliver: impl Fn(&mut Maildir, usize, &[u8])) {
    let mut site = Site::new();
    site.user("ada", "secret of ada");
    let mut maildir = site.maildir("ada");
    let mut names = Vec::new();
    for (position, (name, octets)) in all_messages().into_iter().enumerate() {
        deliver(&mut maildir, position, &octets);
        names.push(name);
    }
    agrees_with_reference(&site, &maildir, &names);
}

#[test]
fn names_without_sizes() {
    served(|maildir, _, octets| {
        maildir.deliver(octets);
    });
}

#[test]
fn names_with_sizes() {
    served(|maildir, _, octets| {
        maildir.deliver_with_sizes(octets);
    });
}

#[test]
fn names_with_dovecots_sizes() {
    served(|maildir, _, octets| {
        maildir.deliver_as_dovecot(octets);
    });
}

#[test]
fn names_with_flags_in_cur() {
    served(|maildir, position, octets| {
        maildir.deliver_seen(octets, ["", "S", "RS", "FRS"][position % 4]);
    });
}

#[test]
fn own_messages_are_what_their_maker_describes() {
    let Some(mut maker) = python("own_messages") else {
        return;
    };
    python_script(&mut maker, "mail/make.py");
    let checked = run_to_end(maker.arg("--check"));
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
}

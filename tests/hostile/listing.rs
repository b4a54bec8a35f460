//! Stores that lie about their messages.

use crate::arena::{HONEST, logged_in, login, site, temporary, told, under_attack};

fn store(lines: &str) -> restante_tests::Site {
    site("store", lines)
}

#[test]
fn columns_of_different_length() {
    for misdeed in [
        "few-ids",
        "few-octets",
        "few-received",
        "few-names",
        "many-octets",
    ] {
        let site = store(&format!("misdeed = {misdeed:?}\n"));
        let log = under_attack(&site, |server| temporary(&login(server).1));
        told(&log, &["store.listing", "columns of different length"]);
    }
    let site = store("misdeed = \"open-end\"\n");
    let log = under_attack(&site, |server| temporary(&login(server).1));
    told(&log, &["store.listing", "without a NUL"]);
}

/// Changes that do not fit what they are changes of: the host asks for all of it.
#[test]
fn changes_that_cannot_be() {
    for (misdeed, messages) in [
        ("fourth", 4),
        ("came-twice", 3),
        ("gone-nobody", 3),
        ("gone-much", 3),
    ] {
        let site = store(&format!("misdeed = {misdeed:?}\n"));
        under_attack(&site, |server| {
            let mut first = logged_in(server);
            assert_eq!(first.stat().0, 3, "{misdeed}");
            first.quit();
            let mut second = logged_in(server);
            assert_eq!(second.stat().0, messages, "{misdeed}");
            assert_eq!(second.retr(3), HONEST);
            second.quit();
        });
    }
    let site = store("misdeed = \"came-short\"\n");
    let log = under_attack(&site, |server| {
        logged_in(server).quit();
        temporary(&login(server).1);
    });
    told(&log, &["store.changes", "columns of different length"]);
}

#[test]
fn surrogate_of_no_message() {
    let site = store("misdeed = \"surrogate-of-nothing\"\n");
    let log = under_attack(&site, |server| temporary(&login(server).1));
    told(&log, &["store.listing", "a surrogate of position"]);
}

/// Longer than it may be, it is not kept: the listing is told anew each time.
#[test]
fn memo_that_is_too_long() {
    let site = store("misdeed = \"long-memo\"\n");
    under_attack(&site, |server| {
        for _ in 0..3 {
            let mut client = logged_in(server);
            assert_eq!(client.uidl().len(), 3);
            client.quit();
        }
    });
}

#[test]
fn unique_ids_that_are_none() {
    let long = "x".repeat(71);
    for id in ["first", "", &long, "\u{e9}t\u{e9}", "a b", "a\\r\\n+OK"] {
        let site = store(&format!("misdeed = \"id\"\nid = \"{id}\"\n"));
        let log = under_attack(&site, |server| temporary(&login(server).1));
        told(&log, &["store.listing", "unique-id"]);
    }
}

/// What is said in LIST is one thing, what comes another: a message that is not
/// whole never looks whole, and nothing is deleted in a session that broke off.
#[test]
fn octets_that_lie() {
    for (misdeed, octets) in [
        ("inline-short", "25"),
        ("inline-long", "25"),
        ("", "26"),
        ("", "24"),
        ("", "0"),
        ("", "9223372036854775807"),
    ] {
        let site = store(&format!("misdeed = {misdeed:?}\noctets = {octets:?}\n"));
        under_attack(&site, |server| {
            let mut client = logged_in(server);
            assert_eq!(client.list()[1].1.to_string(), octets);
            for command in ["TOP 2 0", "RETR 2"] {
                if command == "RETR 2" {
                    temporary(&client.command(command));
                } else {
                    drop(client.command(command).ok.then(|| client.body()));
                }
            }
            assert_eq!(client.retr(3), HONEST, "in step");
            client.quit();
        });
    }
}

#[test]
fn octets_beyond_counting() {
    let site = store("octets = \"18446744073709551615\"\n");
    let log = under_attack(&site, |server| temporary(&login(server).1));
    told(&log, &["store.listing", "octets"]);
}

/// The client is cut off when it has what was promised; without the final dot.
#[test]
fn reader_that_never_ends() {
    let site = store("misdeed = \"endless\"\noctets = \"1000000\"\n");
    let log = under_attack(&site, |server| {
        let mut client = logged_in(server);
        client.accepted("DELE 1");
        client.accepted("RETR 2");
        let rest = client.rest();
        assert!(rest.len() < 2_000_000, "{} octets", rest.len());
        assert!(!rest.ends_with(b"\r\n.\r\n"), "looks whole");
        assert_eq!(logged_in(server).stat().0, 3, "nothing was deleted");
    });
    let lines: Vec<_> = log.lines().filter(|line| line.contains("octets")).collect();
    assert!(!lines.is_empty(), "{log}");
}

#[test]
fn reader_that_gives_more_than_was_asked() {
    let site = store("misdeed = \"greedy\"\noctets = \"1000000\"\n");
    let log = under_attack(&site, |server| {
        let mut client = logged_in(server);
        temporary(&client.command("RETR 2"));
        assert_eq!(client.retr(1), HONEST);
        client.quit();
    });
    told(&log, &["store.reader.read", "were asked for"]);
}

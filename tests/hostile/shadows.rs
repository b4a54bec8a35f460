//! Shadows: whatever they do, the client notices nothing; that they differ is
//! counted, and told without secrets.

use std::time::{Duration, Instant};

use restante_tests::{Pop3, Server, Site, wait_for};

use crate::arena::{knock, login, no_line_is_long, told, under_attack};

/// The hostile guest is the shadow of the tenant's own plugin in that role.
fn site(key: &str, live: &str, settings: &str) -> Site {
    let mut site = crate::arena::site("filter", settings);
    let list = format!("{key} = [{live}{{ plugin = \"hostile\", shadow = true }}]\n");
    let lines = &mut site.tenants[0].lines;
    *lines = lines.replace("filters = [\"hostile\"]\n", "");
    if key == "authenticators" {
        *lines = lines.replace("authenticators = [\"users\"]\n", "");
    }
    lines.push_str(&list);
    site
}

/// A session as it always is, as fast as always.
fn usual(server: &Server) {
    let asked = Instant::now();
    let (mut client, status) = login(server);
    assert!(status.ok, "{status:?}");
    assert_eq!(client.stat(), (1, 24));
    assert_eq!(client.retr(1), b"Subject: hello\r\n\r\nbody\r\n");
    client.quit();
    // Shadows have a second of CPU time and four seconds in all.
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
}

/// Waits for the line that tells that it differs.
fn differs(server: &Server, words: &[&str]) {
    wait_for("a line on the shadow", || {
        let log = server.log();
        let mut lines = log
            .lines()
            .filter(|line| line.contains("the shadow differs"));
        lines
            .any(|line| words.iter().all(|word| line.contains(word)))
            .then_some(())
    });
}

#[test]
fn shadow_filter_changes_nothing() {
    for (settings, words) in [
        ("misdeed = \"hide-all\"\n", "live=\"show\" shadow=\"hide\""),
        ("misdeed = \"trap\"\nat = \"screen\"\n", "failed=1"),
        ("misdeed = \"loop\"\nat = \"screen\"\n", "failed=1"),
        ("misdeed = \"sleep\"\nat = \"screen\"\n", "failed=1"),
        ("misdeed = \"field-injection\"\n", "failed=1"),
    ] {
        let site = site("filters", "", settings);
        let log = under_attack(&site, |server| {
            // The first begins the shadow's work; it is asked until it has an answer.
            let mut client = Pop3::login(server.pop3(), "ada", "x");
            differs(server, &["hostile", "attacked", "session=", words]);
            assert_eq!(client.stat(), (1, 24));
            client.quit();
            usual(server);
        });
        told(&log, &["the shadow differs"]);
        assert!(
            !log.contains("hello"),
            "what is in a message is logged:\n{log}"
        );
    }
}

#[test]
fn shadow_authenticator_changes_nothing() {
    for (settings, words) in [
        (
            "misdeed = \"deny-all\"\n",
            "live=\"account\" shadow=\"denied\"",
        ),
        (
            "misdeed = \"trap\"\nat = \"authenticate\"\n",
            "shadow=\"failed\"",
        ),
        (
            "misdeed = \"loop\"\nat = \"authenticate\"\n",
            "shadow=\"failed\"",
        ),
        ("misdeed = \"long-words\"\n", "shadow=\"failed\""),
    ] {
        let site = site("authenticators", "\"users\", ", settings);
        let log = under_attack(&site, |server| {
            usual(server);
            differs(server, &["hostile", "attacked", "session=", words]);
            // It lets nobody in either: this one it would.
            let refused = Pop3::connect(server.pop3()).authenticate("eve", "x");
            assert!(!refused.ok, "{refused:?}");
        });
        no_line_is_long(&log);
    }
    // Passwords that differ from all else that is logged.
    let mut site = site("authenticators", "\"users\", ", "");
    site.user("ada", "correct-horse");
    let log = under_attack(&site, |server| {
        let mut client = Pop3::login(server.pop3(), "ada", "correct-horse");
        differs(server, &["live=\"account\" shadow=\"denied\""]);
        client.stat();
        client.quit();
    });
    assert!(!log.contains("correct-horse"), "{log}");
}

#[test]
fn shadow_admission_changes_nothing() {
    for (settings, words) in [
        (
            "misdeed = \"deny\"\n",
            "live=\"admitted\" shadow=\"denied\"",
        ),
        (
            "misdeed = \"delay\"\n",
            "live=\"admitted\" shadow=\"delayed\"",
        ),
        ("misdeed = \"sleep\"\nat = \"admit\"\n", "shadow=\"failed\""),
    ] {
        let site = site("admissions", "", settings);
        under_attack(&site, |server| {
            let asked = Instant::now();
            let mut client = knock(&site, server);
            assert!(client.status().ok);
            assert!(client.authenticate("ada", "x").ok);
            client.quit();
            assert!(
                asked.elapsed() < Duration::from_secs(1),
                "{:?}",
                asked.elapsed()
            );
            differs(server, &["hostile", "attacked", "session=", words]);
        });
    }
}

/// A shadow that agrees is no news, and is charged to nobody.
#[test]
fn shadow_that_agrees_is_counted_and_not_logged() {
    let mut site = site("filters", "", "");
    let socket = site.path().join("admin");
    site.server = format!("admin = \"unix:{}\"\n", socket.display());
    let log = under_attack(&site, |server| {
        let mut client = Pop3::login(server.pop3(), "ada", "x");
        wait_for("the count", || {
            let metrics = scrape(&socket);
            let line = "restante_plugin_shadow_answers_total{plugin=\"hostile\",role=\"filter\",result=\"same\"} 1";
            metrics.contains(line).then_some(())
        });
        assert_eq!(client.stat(), (1, 24));
        client.quit();
    });
    assert!(!log.contains("the shadow differs"), "{log}");
}

fn scrape(socket: &std::path::Path) -> String {
    use std::io::{Read, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

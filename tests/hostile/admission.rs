//! The role admission, played by a component: who is let in, who waits, who is
//! turned away, and what happens where it fails.

use std::time::{Duration, Instant};

use restante_tests::{Pop3, Site};

use crate::arena::{knock, login, site, temporary, told, under_attack};

/// One tenant and nobody else: in the clear, too, it is known whose client it is.
fn alone(settings: &str) -> Site {
    let mut site = site("admission", settings);
    site.tenants.truncate(1);
    site
}

#[test]
fn admission_lets_in() {
    let site = site("admission", "");
    under_attack(&site, |server| {
        let mut client = knock(&site, server);
        assert!(client.status().ok);
        assert!(client.authenticate("ada", "x").ok);
        client.quit();
    });
}

#[test]
fn admission_turns_away_in_words() {
    let site = site("admission", "misdeed = \"deny\"\n");
    let log = under_attack(&site, |server| {
        let mut client = knock(&site, server);
        let status = client.status();
        assert_eq!((status.ok, &*status.text), (false, "[SYS/PERM] not today"));
        client.closed();
        // Whose client it is shows at login only; the session is in step.
        let (mut client, status) = login(server);
        assert_eq!((status.ok, &*status.text), (false, "[SYS/PERM] not today"));
        client.accepted("CAPA");
        client.body();
        client.quit();
    });
    let line = log.lines().find(|line| line.contains("not admitted"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("session=") && line.contains("attacked") && line.contains("not today"));
}

#[test]
fn admission_delays_the_greeting() {
    let site = site("admission", "misdeed = \"delay\"\n");
    under_attack(&site, |server| {
        let asked = Instant::now();
        let mut client = knock(&site, server);
        assert!(client.status().ok);
        assert!(
            asked.elapsed() >= Duration::from_millis(700),
            "{:?}",
            asked.elapsed()
        );
        client.quit();
    });
}

#[test]
fn admission_that_hangs_is_given_up() {
    let site = site("admission", "misdeed = \"sleep\"\nat = \"admit\"\n");
    let log = under_attack(&site, |server| {
        let asked = Instant::now();
        let mut client = knock(&site, server);
        temporary(&client.status());
        client.closed();
        assert!(
            asked.elapsed() < Duration::from_secs(30),
            "{:?}",
            asked.elapsed()
        );
    });
    told(&log, &["admission.admit", "wall-time"]);
}

#[test]
fn admission_is_asked_before_the_greeting_and_again_under_tls() {
    let site = alone("misdeed = \"deny-in-the-clear\"\n");
    let server = site.start();
    let mut client = Pop3::silent(server.pop3());
    let status = client.status();
    assert_eq!(
        (status.ok, &*status.text),
        (false, "[SYS/PERM] say STLS first")
    );
    client.closed();
    let mut client = knock(&site, &server);
    assert!(client.status().ok);
    client.quit();
    server.stop();
}

//! Guests that say too much: to the log, to the host, to the client.

use restante_tests::run_to_end;

use crate::arena::{
    HONEST, knock, logged_in, login, no_line_is_long, site, temporary, told, under_attack,
};

fn deed(misdeed: &str, at: &str) -> String {
    format!("misdeed = {misdeed:?}\nat = {at:?}\n")
}

#[test]
fn million_log_lines() {
    let site = site("authenticator", &deed("log", "authenticate"));
    let log = under_attack(&site, |server| {
        // A million calls may take longer than it has; either is fine.
        let (_, status) = login(server);
        assert!(
            status.ok || status.text.starts_with("[SYS/TEMP] "),
            "{status:?}"
        );
    });
    let lines = told(&log, &["of a million"]).len();
    assert!(lines <= 100, "{lines} lines");
    told(&log, &["logs too much"]);
}

#[test]
fn stdout_without_line_end() {
    let site = site("authenticator", &deed("stdout", "authenticate"));
    let log = under_attack(&site, |server| {
        let before = server.resident();
        assert!(login(server).1.ok);
        let grown = server.resident().saturating_sub(before);
        assert!(grown < 16 * 1024, "{grown} KiB more");
    });
    assert_eq!(told(&log, &["stdout", "xxxx"]).len(), 1);
    no_line_is_long(&log);
}

/// Megabytes for each log line, ten thousand times: copied on the event loop.
#[test]
fn huge_arguments() {
    let site = site("authenticator", &deed("huge-argument", "authenticate"));
    let log = under_attack(&site, |server| {
        let before = server.resident();
        temporary(&login(server).1);
        let grown = server.resident().saturating_sub(before);
        assert!(grown < 48 * 1024, "{grown} KiB more");
    });
    told(&log, &["authenticator.authenticate", "fuel"]);
    no_line_is_long(&log);
}

/// Answers of many megabytes where a few octets are expected.
#[test]
fn huge_answers_of_a_store() {
    for (misdeed, call) in [
        ("one-huge-id", "store.listing"),
        ("huge-listing", "store.listing"),
    ] {
        let site = site("store", &format!("misdeed = {misdeed:?}\n"));
        let log = under_attack(&site, |server| temporary(&login(server).1));
        told(&log, &[call]);
        no_line_is_long(&log);
    }
}

/// Nothing of it is remembered.
#[test]
fn huge_stamp() {
    let mut site = site("store", "misdeed = \"long-stamp\"\n");
    site.plugins[2].limits = site.plugins[2].limits.replace("16MiB", "64MiB");
    let log = under_attack(&site, |server| {
        let (_, status) = login(server);
        temporary(&status);
    });
    told(&log, &["store.stamp", "octets"]);
    no_line_is_long(&log);
}

#[test]
fn huge_content() {
    let mut site = site("store", "misdeed = \"huge-content\"\n");
    site.plugins[2].limits = site.plugins[2].limits.replace("16MiB", "128MiB");
    let log = under_attack(&site, |server| {
        let mut client = logged_in(server);
        temporary(&client.command("RETR 2"));
        assert_eq!(client.retr(1), HONEST);
        client.quit();
    });
    no_line_is_long(&log);
}

#[test]
fn huge_account() {
    let mut site = site("authenticator", "misdeed = \"huge-account\"\n");
    site.plugins[2].limits = site.plugins[2].limits.replace("16MiB", "64MiB");
    let log = under_attack(&site, |server| {
        let before = server.resident();
        let (_, status) = login(server);
        temporary(&status);
        let grown = server.resident().saturating_sub(before);
        assert!(grown < 128 * 1024, "{grown} KiB more");
    });
    told(&log, &["authenticator.authenticate", "account"]);
    no_line_is_long(&log);
}

/// Words for the client: one line of 512 octets is all it gets.
#[test]
fn megabytes_of_words() {
    let site = site("authenticator", "misdeed = \"long-words\"\n");
    let log = under_attack(&site, |server| {
        let (mut client, status) = login(server);
        temporary(&status);
        client.accepted("CAPA");
        drop(client.body());
        client.quit();
    });
    no_line_is_long(&log);

    let mut site = self::site("admission", "misdeed = \"deny-at-length\"\n");
    site.plugins[2].limits = site.plugins[2].limits.replace("16MiB", "64MiB");
    let log = under_attack(&site, |server| {
        let mut client = knock(&site, server);
        let status = client.status();
        assert!(
            !status.ok && status.text.starts_with("[SYS/PERM] no no"),
            "{status:?}"
        );
        client.closed();
    });
    no_line_is_long(&log);
}

/// What a plugin says of its settings is for a terminal, not for a disk.
#[test]
fn megabytes_of_complaints() {
    let mut site = site("authenticator", "misdeed = \"long-complaint\"\n");
    site.plugins[2].limits = site.plugins[2].limits.replace("16MiB", "128MiB");
    let finished = run_to_end(
        std::process::Command::new(restante_tests::binary())
            .args(["check", "--config"])
            .arg(site.write_config(&site.config())),
    );
    assert_eq!(finished.code, Some(1));
    let said = finished.stdout.len() + finished.stderr.len();
    assert!(said < 64 * 1024, "{said} octets");
}

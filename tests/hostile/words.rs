//! Guests whose texts would pass for something else: header fields, answers.

use crate::arena::{knock, login, site, temporary, told, under_attack};

#[test]
fn header_fields_that_are_more_than_one() {
    for misdeed in [
        "field-injection",
        "field-bare-line-feed",
        "field-nul",
        "field-without-colon",
        "field-too-long",
        "field-crowd",
    ] {
        let site = site("filter", &format!("misdeed = {misdeed:?}\n"));
        let log = under_attack(&site, |server| temporary(&login(server).1));
        told(&log, &["the filter's verdict is invalid"]);
    }
}

/// What a filter asks of a message is bounded, wherever it asks.
#[test]
fn filter_that_reads_beyond_the_message() {
    let site = site("filter", "misdeed = \"read-beyond\"\n");
    let log = under_attack(&site, |server| assert!(login(server).1.ok));
    assert!(log.contains("0 octets from 18446744073709551615"), "{log}");
}

#[test]
fn selector_that_points_beyond_the_listing() {
    let site = site("selector", "misdeed = \"beyond-the-listing\"\n");
    let log = under_attack(&site, |server| temporary(&login(server).1));
    told(&log, &["behind the listing"]);
}

/// One answer to one command, with the code that the host gives it.
#[test]
fn answer_within_an_answer() {
    let site = site("authenticator", "misdeed = \"injection\"\n");
    under_attack(&site, |server| {
        let (mut client, status) = login(server);
        temporary(&status);
        assert!(!status.text.contains(['\r', '\n', '\x1b']), "{status:?}");
        assert!(client.lines("CAPA").contains(&"UIDL".to_owned()));
        client.quit();
    });
    let site = self::site("authenticator", "misdeed = \"unregistered-code\"\n");
    under_attack(&site, |server| {
        let (client, status) = login(server);
        assert!(!status.ok && !status.text.starts_with('['), "{status:?}");
        client.quit();
    });
    let site = self::site("admission", "misdeed = \"deny-injection\"\n");
    under_attack(&site, |server| {
        let mut client = knock(&site, server);
        let status = client.status();
        assert!(
            !status.ok && status.text.starts_with("[SYS/PERM] "),
            "{status:?}"
        );
        client.closed();
    });
}

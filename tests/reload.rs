//! SIGHUP: policy changes for new sessions, running ones keep theirs, and a
//! mistake changes nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use restante_tests::{Plugin, Pop3, Site, Tenant, test_guest};

const SPAM: &[u8] = b"X-Spam-Flag: YES\nSubject: spam\n\nbody\n";
const HAM: &[u8] = b"Subject: ham\n\nbody\n";

fn site() -> Site {
    let mut site = Site::new();
    site.user("ada", "x");
    let mut maildir = site.maildir("ada");
    maildir.deliver(SPAM);
    maildir.deliver(HAM);
    site
}

#[test]
fn new_sessions_get_the_new_policy_and_running_ones_keep_theirs() {
    let mut site = site();
    site.user("bob", "x");
    site.maildir("bob").deliver(SPAM);
    let server = site.start();
    let mut before = Pop3::login(server.pop3(), "ada", "x");
    assert_eq!(before.list().len(), 2);
    let mut waiting = Pop3::connect(server.pop3());

    site.rules("hide-header = \"X-Spam-Flag: YES\"\n");
    site.write_config(&site.config());
    let line = server.reload();
    assert!(line.contains("plugins=3"), "{line}");

    // Connected before, and so of the old generation, logged in or not.
    assert_eq!(before.retr(1).len(), SPAM.len() + 4);
    assert!(waiting.authenticate("bob", "x").ok);
    assert_eq!(waiting.list().len(), 1);
    waiting.quit();
    before.accepted("DELE 1");
    before.accepted("RSET");
    before.quit();

    let mut after = Pop3::login(server.pop3(), "ada", "x");
    let listed = after.list();
    assert_eq!(listed.len(), 1);
    assert_eq!(after.retr(1), b"Subject: ham\r\n\r\nbody\r\n");
    after.quit();
    server.stop();
}

#[test]
fn mistake_is_told_whole_and_changes_nothing() {
    let site = site();
    let server = site.start();
    let mut running = Pop3::login(server.pop3(), "ada", "x");
    let good = site.config();
    let bad = good
        .replace("builtin:maildir", "builtin:no-such")
        .replace("hostname", "hostnam");
    site.write_config(&bad);
    let line = server.reload();
    assert!(line.contains("nothing reloaded"), "{line}");
    server.logged(&["unknown key `hostnam`", "hostname"]);
    // What only the compiler can tell comes once the text is in order.
    site.write_config(&bad.replace("hostnam ", "hostname "));
    assert!(server.reload().contains("nothing reloaded"));
    server.logged(&["no component \"no-such\""]);
    fs::remove_file(site.path().join("restante.toml")).unwrap();
    assert!(server.reload().contains("nothing reloaded"));

    assert_eq!(running.list().len(), 2);
    running.quit();
    Pop3::login(server.pop3(), "ada", "x").quit();
    site.write_config(&good);
    let line = server.reload();
    assert!(!line.contains("nothing"), "{line}");
    Pop3::login(server.pop3(), "ada", "x").quit();
    server.stop();
}

/// A component's file replaced, a tenant added, and one taken away, a hundred
/// times while somebody collects: nobody notices, and nothing is left behind.
#[test]
fn hundred_reloads_leave_nothing_behind() {
    let mut site = site();
    site.state = site.path().join("state");
    let server = site.start();
    let plain = site.config();
    let component = site.path().join("users.wasm");
    let mut users = Plugin::new("others", component.display().to_string());
    users.settings = "user = \"eve@second.example\"\nhash = \"{PLAIN}y\"\n".to_owned();
    site.plugins.push(users);
    site.tenants[0].lines.push_str("default = true\n");
    site.tenants.push(Tenant {
        name: "second".to_owned(),
        lines: "domains = [\"second.example\"]\nauthenticators = [\"others\"]\nstore = \"mail\"\n"
            .to_owned(),
    });
    let with_second = site.config();
    let mut ada = Pop3::login(server.pop3(), "ada", "x");
    let mut resident = 0;
    for round in 0..50 {
        // Octets behind the last section of a component are a custom section:
        // another digest, the same code.
        let mut octets = fs::read(test_guest("one-user")).unwrap();
        octets.extend_from_slice(&[0, 3, 1, b'n', round]);
        fs::write(&component, octets).unwrap();
        for (config, second) in [(&with_second, true), (&plain, false)] {
            site.write_config(config);
            let line = server.reload();
            assert!(!line.contains("nothing"), "{line}");
            assert_eq!(ada.stat().0, 2);
            if second {
                Pop3::login(server.pop3(), "eve@second.example", "y").quit();
            }
        }
        if round == 10 {
            resident = server.resident();
        }
    }
    let grown = server.resident().saturating_sub(resident);
    assert!(grown < 16 * 1024, "{grown} KiB more after 40 rounds");
    ada.quit();
    server.stop();
}

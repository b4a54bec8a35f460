//! SIGHUP: policy changes for new sessions, running ones keep theirs, and a
//! mistake changes nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::time::Duration;

use restante_tests::{Plugin, Pop3, Server, Site, Tenant, test_guest, wait_for};

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

/// The octets that the server has read from files and sockets so far.
fn octets_read(server: &Server) -> u64 {
    let io = fs::read_to_string(server.proc("io")).unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.unwrap().parse().unwrap()
}

/// Components that no reload has touched are neither compiled nor loaded nor read
/// again; one whose file was touched and is the same is read and no more.
#[test]
fn unchanged_components_are_not_read_again() {
    const OCTETS: u64 = 8 << 20;
    let mut site = site();
    site.state = site.path().join("state");
    let component = site.path().join("users.wasm");
    let mut octets = fs::read(test_guest("one-user")).unwrap();
    // A custom section, as large as a name can make it seem.
    octets.extend_from_slice(&[0, 0x80, 0x80, 0x80, 0x04, 1, b'n']);
    octets.resize(octets.len() + OCTETS as usize - 2, 0);
    fs::write(&component, octets).unwrap();
    let mut users = Plugin::new("others", component.display().to_string());
    users.settings = "user = \"eve\"\nhash = \"{PLAIN}y\"\n".to_owned();
    site.plugins.push(users);
    site.tenants[0].lines =
        "authenticators = [\"users\", \"others\"]\nstore = \"mail\"\n".to_owned();
    // Younger files may have changed within one step of the clock.
    std::thread::sleep(Duration::from_secs(4));
    let server = site.start();
    let at_start = octets_read(&server);
    assert!(at_start > OCTETS, "{at_start}");
    for round in 0..5 {
        site.tenants[0].lines.push_str(&format!("# {round}\n"));
        site.write_config(&site.config());
        let before = octets_read(&server);
        assert!(!server.reload().contains("nothing"));
        let read = octets_read(&server) - before;
        assert!(read < OCTETS / 2, "{read} octets read by reload {round}");
        Pop3::login(server.pop3(), "eve", "y").quit();
    }
    let compiled = |log: &str| log.matches("component compiled").count();
    let before = compiled(&server.log());
    let same = fs::read(&component).unwrap();
    fs::write(&component, same).unwrap();
    let (read, resident) = (octets_read(&server), server.resident());
    assert!(!server.reload().contains("nothing"));
    assert!(octets_read(&server) - read > OCTETS);
    assert!(server.resident() < resident + 3 * (OCTETS >> 10));
    assert_eq!(compiled(&server.log()), before);
    Pop3::login(server.pop3(), "eve", "y").quit();
    server.stop();
}

/// What a plugin did is not forgotten by a reload of something else, and is by one
/// that changes the plugin.
#[test]
fn a_plugin_that_rests_goes_on_to_rest_after_a_reload_of_something_else() {
    let mut site = site();
    site.plugins.push(Plugin::new(
        "trap",
        test_guest("trapping").display().to_string(),
    ));
    site.tenants[0].lines = "authenticators = [\"trap\"]\nstore = \"mail\"\n".to_owned();
    let server = site.start();
    let refused = || {
        let mut client = Pop3::connect(server.pop3());
        let status = client.authenticate("panic", "x");
        assert!(status.text.starts_with("[SYS/TEMP] "), "{status:?}");
    };
    let failures = || server.log().matches("plugin call failed").count();
    // Twice rested: the second pause is long enough for what is to be seen in it.
    for failed in 1..=5 {
        refused();
        assert_eq!(failures(), failed);
    }
    wait_for("a trial that fails", || {
        refused();
        (failures() == 6).then_some(())
    });
    wait_for("a second trial that fails", || {
        refused();
        (failures() == 7).then_some(())
    });
    let rests = server.log().matches("plugin rests").count();
    assert_eq!(rests, 3);
    site.server.push_str("implementation = false\n");
    site.write_config(&site.config());
    assert!(!server.reload().contains("nothing"));
    refused();
    assert_eq!(failures(), 7, "asked although it rests");
    // Another plugin by the same name has done nothing yet.
    site.plugins[2].limits = "memory = \"32MiB\"\n".to_owned();
    site.write_config(&site.config());
    assert!(!server.reload().contains("nothing"));
    refused();
    assert_eq!(failures(), 8);
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

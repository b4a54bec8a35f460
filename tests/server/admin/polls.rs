//! A maildrop that is as it was: what a login asks of its store.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use restante_tests::{Maildir, Pop3, Server};

use crate::admin::http::Client;
use crate::admin::{client, metrics, site};

const MESSAGE: &[u8] = b"Subject: one\n\nfirst\n";

/// Waits until its directories have not changed for so long that they are trusted.
fn age(maildir: &Maildir) {
    for part in ["cur", "new"] {
        let directory = fs::metadata(maildir.root().join(part)).unwrap();
        while directory.ctime() + 3 > now() {
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Seconds since the Unix epoch.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs().try_into().unwrap()
}

/// Calls of the store until now.
fn calls(admin: &Client) -> f64 {
    let store = [("plugin", "mail"), ("role", "store")];
    let calls = metrics(admin).sample("restante_plugin_call_seconds_count", &store);
    calls.unwrap_or_default()
}

fn unique_ids(server: &Server) -> Vec<String> {
    let mut client = Pop3::login(server.pop3(), "bob", "x");
    let seen = client.uidl();
    client.quit();
    seen.into_iter().map(|(_, unique_id)| unique_id).collect()
}

/// Linux tells what a look at a file takes; elsewhere the store is asked each time.
#[test]
#[cfg(target_os = "linux")]
fn a_maildrop_that_is_as_it_was_is_listed_without_its_store() {
    let site = site();
    let mut maildir = site.maildir("bob");
    maildir.deliver(MESSAGE);
    age(&maildir);
    let server = site.start();
    let admin = client(&server);

    let first = unique_ids(&server);
    assert_eq!(first.len(), 1);
    let asked = calls(&admin);
    assert!(asked > 0.0);
    for _ in 0..3 {
        assert_eq!(unique_ids(&server), first);
    }
    assert_eq!(calls(&admin), asked, "nothing has changed");

    // What the listing does not hold is asked for.
    let mut bob = Pop3::login(server.pop3(), "bob", "x");
    assert_eq!(bob.retr(1), b"Subject: one\r\n\r\nfirst\r\n");
    bob.quit();
    let after_retr = calls(&admin);
    assert!(after_retr > asked);

    // New mail is seen at once, and again before the clock has moved on.
    for messages in 2..5 {
        maildir.deliver(MESSAGE);
        let before = calls(&admin);
        assert_eq!(unique_ids(&server).len(), messages);
        assert!(calls(&admin) > before);
    }

    // Another directory by the same name and of the same time.
    age(&maildir);
    let all = unique_ids(&server);
    assert_eq!(unique_ids(&server), all);
    let new = maildir.root().join("new");
    fs::rename(&new, maildir.root().join("old")).unwrap();
    fs::create_dir(&new).unwrap();
    age(&maildir);
    assert!(unique_ids(&server).is_empty());

    // The first directory again; and a message that goes.
    fs::remove_dir(&new).unwrap();
    fs::rename(maildir.root().join("old"), &new).unwrap();
    age(&maildir);
    assert_eq!(unique_ids(&server), all);
    let mut bob = Pop3::login(server.pop3(), "bob", "x");
    bob.accepted("DELE 1");
    bob.quit();
    assert_eq!(unique_ids(&server), all[1..]);
    server.stop();
}

//! A users' file with lines that cannot be used: each costs its user the login, and nobody
//! else anything, at the start and at a reload.

use std::fs;

use restante_tests::{Pop3, Server, Site};

/// `doveadm pw -s SSHA256` of "pencil".
const SSHA256: &str = "{SSHA256}AYZ/qmX75KW0PsjHFTjn4fybeoEUdz8j6ahG9Svp+DZ+UiOU";
const PASSWORD: &str = "pencil";

fn site() -> Site {
    let mut site = Site::new();
    site.limits = "failure-delay = \"0s\"\n".to_owned();
    for user in ["ada", "old", "des"] {
        site.maildir(user);
    }
    site
}

fn write_users(site: &Site, lines: &[&str]) {
    fs::write(site.path().join("users/passwd"), lines.join("\n") + "\n").unwrap();
}

/// Whether a login with this password succeeds, and what it is answered.
fn answer(server: &Server, user: &str, password: &str) -> (bool, String) {
    let mut client = Pop3::connect(server.pop3());
    let status = client.authenticate(user, password);
    (status.ok, status.text)
}

#[test]
fn one_bad_line_costs_one_user() {
    let site = site();
    let old = format!("old:{SSHA256}");
    let lines = [
        "ada:{PLAIN}x",
        "des:{DES-CRYPT}abJnggxhB/yWI",
        "nonsense",
        &old,
    ];
    write_users(&site, &lines);
    let checked = site.check();
    assert_eq!(checked.code, Some(0), "{checked:#?}");
    let told = [
        "/users/passwd: line 2 (des) cannot be used: {DES-CRYPT}: ",
        "/users/passwd: line 3 cannot be used: there is no ",
        "/users/passwd: line 4 cannot be used: {SSHA256} is a legacy hash: set `legacy-hashes = true`",
    ];
    for words in told {
        assert!(
            checked.stderr.contains(words),
            "no {words:?} in {checked:#?}"
        );
    }

    let server = site.start();
    for words in told {
        server.logged(&["WARN", words]);
    }
    assert!(answer(&server, "ada", "x").0);
    let wrong = answer(&server, "ada", "y");
    assert!(!wrong.0 && wrong.1.contains("[AUTH]"), "{wrong:?}");
    for (user, password) in [("des", "x"), ("old", PASSWORD), ("nobody", "x")] {
        assert_eq!(answer(&server, user, password), wrong, "{user}");
    }
    server.logged(&["line 2 cannot be used, and its user is locked"]);

    // A reload takes it no worse.
    write_users(&site, &["bad", "ada:{PLAIN}z"]);
    assert!(!server.reload().contains("nothing reloaded"));
    assert!(answer(&server, "ada", "z").0);
    server.stop();
}

#[test]
fn legacy_hashes_are_checked_and_counted_where_the_setting_says_so() {
    let mut site = site();
    site.plugins[0].settings += "legacy-hashes = true\n";
    let old = format!("old:{SSHA256}");
    write_users(&site, &["ada:{PLAIN}x", &old]);
    let server = site.start();
    server.logged(&["WARN", "1 user with legacy hashes ({SSHA256}: 1)"]);
    assert!(answer(&server, "old", PASSWORD).0);
    server.logged(&["INFO", "line 2: a login with a legacy hash, {SSHA256}"]);
    for (user, password) in [("old", "pencils"), ("old", SSHA256), ("old", "")] {
        assert!(!answer(&server, user, password).0, "{password}");
    }
    server.stop();
}

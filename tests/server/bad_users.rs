//! A users' file with lines that cannot be used: each costs its user the login, and nobody
//! else anything, at the start and at a reload.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use restante_tests::{Pop3, Server, Site};

/// `doveadm pw -s SSHA256` of "pencil".
const SSHA256: &str = "{SSHA256}AYZ/qmX75KW0PsjHFTjn4fybeoEUdz8j6ahG9Svp+DZ+UiOU";
/// `gsasl --mkpasswd` of the same.
const SCRAM: &str = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
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

/// The user logs in by the old hash, then by the new one; nothing else of the file is another.
#[test]
fn a_legacy_hash_is_replaced_by_the_login_that_it_lets_in() {
    let mut site = site();
    let users = site.path().join("users");
    let file = users.join("passwd");
    site.plugins[0].settings += "legacy-hashes = true\nrehash = \"argon2id\"\n";
    let before = b"# staff \xff\r\n\r\nada:{PLAIN}x\r\nold:";
    let after = format!("|{SCRAM}::a=b\r\ndes:!{SSHA256}\nold:{SSHA256}\nlast:{SSHA256}");
    let with = |hash: &str| [before.as_slice(), hash.as_bytes(), after.as_bytes()].concat();
    fs::write(&file, with(SSHA256)).unwrap();

    // That the file is not to be written to is no surprise of the first login.
    let checked = site.check();
    assert_eq!(checked.code, Some(1), "{checked:#?}");
    let words = "rehash: /users/passwd cannot be written to (permission denied): grant its directory with access = \"read-write\"";
    assert!(checked.stderr.contains(words), "{checked:#?}");
    let grants = &mut site.plugins[0].grants;
    *grants = grants.replace("\"read\"", "\"read-write\"");
    let checked = site.check();
    assert_eq!(checked.code, Some(0), "{checked:#?}");

    let server = site.start();
    assert!(!answer(&server, "old", "pencils").0);
    assert_eq!(fs::read(&file).unwrap(), with(SSHA256));
    assert!(answer(&server, "old", PASSWORD).0);
    server.logged(&["INFO", "line 4: {SSHA256} was replaced by {ARGON2ID}"]);
    let written = fs::read(&file).unwrap();
    let hash = written.strip_prefix(before.as_slice());
    let hash = hash.and_then(|rest| rest.strip_suffix(after.as_bytes()));
    let hash = String::from_utf8(hash.expect("other octets").to_vec()).unwrap();
    assert!(hash.starts_with("{ARGON2ID}$argon2id$v=19$"), "{hash}");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(&users).unwrap().count(), 1);

    assert!(answer(&server, "old", PASSWORD).0);
    for wrong in ["pencils", "", SSHA256, &hash] {
        assert!(!answer(&server, "old", wrong).0, "{wrong}");
    }
    assert!(answer(&server, "ada", "x").0);
    assert_eq!(fs::read(&file).unwrap(), written);
    let log = server.log();
    let by_legacy = log.matches("a login with a legacy hash").count();
    assert_eq!(by_legacy, 1, "{log}");
    for secret in [PASSWORD, &hash[20..], &SSHA256[9..]] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }

    // Where the file cannot be replaced, the login succeeds all the same.
    fs::write(users.join("real"), with(SSHA256)).unwrap();
    fs::remove_file(&file).unwrap();
    symlink("real", &file).unwrap();
    assert!(answer(&server, "old", PASSWORD).0);
    server.logged(&[
        "WARN",
        "line 4: {SSHA256} stays: /users/passwd is a symbolic link",
    ]);
    assert_eq!(fs::read(users.join("real")).unwrap(), with(SSHA256));
    server.stop();
}

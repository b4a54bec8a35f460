//! Users with an account on the mail server, who put something else in the place of their
//! maildrop: a link to another's, above all. And maildrops that are not there.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use restante_tests::{Maildir, Pop3, Server, Site};
use rustix::process::geteuid;

use crate::arena::{logged_in, login, site, temporary, told, under_attack};

const SECRET: &[u8] = b"Subject: for bob alone\n\nsecret\n";
const BOBS: &[u8] = b"Subject: for bob alone\r\n\r\nsecret\r\n";

/// Somebody who has no entry in passwd anywhere.
const STRANGER: u32 = 54_321;

/// A site whose attacked tenant serves "homes/{user}/Maildir", with more lines of its
/// grants; ada and bob have homes, and bob a maildrop. Its store, the built-in one, goes by
/// the name "hostile".
fn homes(lines: &str) -> (Site, Maildir) {
    let mut site = site("store", "");
    site.user("bob", "y");
    let homes = site.path().join("homes");
    fs::create_dir_all(homes.join("ada")).unwrap();
    let store = &mut site.plugins[2];
    store.component = "builtin:maildir".to_owned();
    store.grants = format!(
        "maildrop = {:?}\nmissing-maildrop = \"empty\"\n{lines}",
        homes.join("{user}/Maildir")
    );
    let mut bobs = Maildir::create(homes.join("bob/Maildir"));
    bobs.deliver(SECRET);
    (site, bobs)
}

fn home(site: &Site, user: &str) -> PathBuf {
    site.path().join("homes").join(user)
}

/// bob finds his mail as it was, and alone.
fn bob_is_served(server: &Server) {
    let mut bob = Pop3::login(server.pop3(), "bob", "y");
    assert_eq!(bob.stat(), (1, BOBS.len() as u64));
    assert_eq!(bob.retr(1), BOBS);
    bob.quit();
}

/// All that is below a directory, with its time of change.
fn below(path: &Path) -> Vec<(PathBuf, i64, i64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let about = path.symlink_metadata().unwrap();
        if about.is_dir() {
            found.extend(below(&path));
        }
        found.push((path, about.ctime(), about.ctime_nsec()));
    }
    found.sort();
    found
}

/// `ln -s ../bob/Maildir Maildir`, in every form that it has.
#[test]
fn maildrop_that_is_a_link_is_nobodys() {
    for lines in ["", "create-maildrop = true\n", "maildrop-owner = \"any\"\n"] {
        let (site, bobs) = homes(lines);
        let maildrop = home(&site, "ada").join("Maildir");
        let log = under_attack(&site, |server| {
            let before = below(bobs.root());
            for target in [
                PathBuf::from("../bob/Maildir"),
                bobs.root().to_owned(),
                "/proc/self/cwd".into(),
                "/etc".into(),
                "nowhere".into(),
                "Maildir".into(),
            ] {
                symlink(&target, &maildrop).unwrap();
                temporary(&login(server).1);
                fs::remove_file(&maildrop).unwrap();
            }
            // The home itself.
            fs::remove_dir(home(&site, "ada")).unwrap();
            symlink("bob", home(&site, "ada")).unwrap();
            temporary(&login(server).1);
            assert_eq!(below(bobs.root()), before);
            bob_is_served(server);
        });
        let lines = told(&log, &["cannot be opened", "symbolic link", "follow-links"]);
        assert_eq!(lines.len(), 7, "{log}");
        assert!(lines.iter().all(|line| line.contains("ERROR")), "{log}");
        assert!(!home(&site, "ada").join("nowhere").exists());
    }
}

/// The operator may want them followed. Whoever is led to the same mail waits for the same
/// lock then.
#[test]
fn links_are_followed_where_the_operator_says_so() {
    let (site, _bobs) = homes("follow-links = true\n");
    symlink("../bob/Maildir", home(&site, "ada").join("Maildir")).unwrap();
    under_attack(&site, |server| {
        let mut ada = logged_in(server);
        assert_eq!(ada.retr(1), BOBS);
        let status = Pop3::connect(server.pop3()).authenticate("bob", "y");
        assert!(
            !status.ok && status.text.starts_with("[IN-USE] "),
            "{status:?}"
        );
        ada.quit();
        bob_is_served(server);
    });
}

/// A silent session's store is given back and the directory closed: what is at the name
/// afterwards is what was locked, or nothing is.
#[test]
fn link_that_is_swapped_in_while_a_session_rests() {
    for lines in ["", "follow-links = true\n", "create-maildrop = true\n"] {
        let (mut site, bobs) = homes(lines);
        site.user("carol", "z");
        Maildir::create(home(&site, "carol").join("Maildir"));
        // carol has the only place for an instance once ada's is given back.
        site.limits = "instances = 1\n".to_owned();
        let maildrop = home(&site, "ada").join("Maildir");
        let mut own = Maildir::create(&maildrop);
        // A file by the name that one of bob's has.
        own.deliver(b"Subject: for ada\n\nhello\n");
        let server = site.start();
        let mut ada = logged_in(&server);
        let rest = || Pop3::login(server.pop3(), "carol", "z").quit();
        rest();
        let before = below(bobs.root());
        let away = home(&site, "ada").join("away");
        fs::rename(&maildrop, &away).unwrap();
        temporary(&ada.command("RETR 1"));
        assert!(!maildrop.exists(), "another was made");
        symlink("../bob/Maildir", &maildrop).unwrap();
        temporary(&ada.command("RETR 1"));
        // bob's own directory, in the place of the link.
        fs::remove_file(&maildrop).unwrap();
        fs::rename(bobs.root(), &maildrop).unwrap();
        temporary(&ada.command("RETR 1"));
        fs::rename(&maildrop, bobs.root()).unwrap();
        // The own one is the session's again.
        fs::rename(&away, &maildrop).unwrap();
        assert_eq!(ada.retr(1), b"Subject: for ada\r\n\r\nhello\r\n");
        rest();
        fs::rename(&maildrop, &away).unwrap();
        symlink("../bob/Maildir", &maildrop).unwrap();
        ada.accepted("DELE 1");
        temporary(&ada.command("QUIT"));
        assert_eq!(below(bobs.root()), before);
        assert_eq!(fs::read_dir(away.join("new")).unwrap().count(), 1);
        bob_is_served(&server);
        let log = server.stop();
        told(&log, &["cannot be opened", "ERROR"]);
    }
}

/// Whoever's directory it is that took the place of a maildrop.
#[test]
fn maildrop_of_another_owner_is_refused() {
    if !geteuid().is_root() {
        // Only root can give a directory away: one of root's will do.
        let (mut site, _bobs) = homes("");
        site.plugins[2].grants = "maildrop = \"/{user}\"\n".to_owned();
        site.user("usr", "x");
        let log = under_attack(&site, |server| {
            temporary(&Pop3::connect(server.pop3()).authenticate("usr", "x"));
        });
        told(&log, &["cannot be opened", "number 0,", "maildrop-owner"]);
        return;
    }
    let give = |path: &Path| std::os::unix::fs::chown(path, Some(STRANGER), None).unwrap();
    let (site, _bobs) = homes("");
    let maildir = Maildir::create(home(&site, "ada").join("Maildir"));
    give(maildir.root());
    let log = under_attack(&site, |server| {
        temporary(&login(server).1);
        bob_is_served(server);
    });
    let number = STRANGER.to_string();
    told(&log, &["cannot be opened", &number, "maildrop-owner"]);
    for owner in [number.as_str(), "\"any\""] {
        let (site, _bobs) = homes(&format!("maildrop-owner = {owner}\n"));
        let maildir = Maildir::create(home(&site, "ada").join("Maildir"));
        give(maildir.root());
        under_attack(&site, |server| {
            logged_in(server).quit();
            // The server's own stay good.
            bob_is_served(server);
        });
    }
    let (site, _bobs) = homes("maildrop-owner = \"nobody-is-called-this\"\n");
    let checked = site.check();
    assert_eq!(checked.code, Some(1), "{checked:#?}");
    assert!(
        checked.stderr.contains("no user \"nobody-is-called-this\""),
        "{checked:#?}"
    );
}

/// What is fixed of the path has to be there: else clients would forget their mail, and
/// it would be created where the mount comes over it.
#[test]
fn a_mount_that_is_away_is_no_empty_maildrop() {
    for lines in ["", "create-maildrop = true\n"] {
        let (site, _bobs) = homes(lines);
        let (homes, away) = (site.path().join("homes"), site.path().join("away"));
        let log = under_attack(&site, |server| {
            logged_in(server).quit();
            fs::rename(&homes, &away).unwrap();
            for user in ["ada", "bob"] {
                let password = if user == "ada" { "x" } else { "y" };
                let status = Pop3::connect(server.pop3()).authenticate(user, password);
                temporary(&status);
            }
            assert!(!homes.exists(), "it was made");
            let checked = site.check();
            assert_eq!(checked.code, Some(0), "{checked:#?}");
            let shown = format!("begins with `{}`", homes.display());
            assert!(checked.stderr.contains(&shown), "{checked:#?}");
            fs::rename(&away, &homes).unwrap();
            logged_in(server).quit();
            bob_is_served(server);
        });
        let path = homes.join("ada/Maildir").display().to_string();
        told(&log, &["ERROR", "cannot be opened", "is not there", &path]);
    }
}

/// Each folder on the way is the server's alone.
#[test]
fn maildrops_are_made_for_the_server_alone() {
    let (site, _bobs) = homes("create-maildrop = true\n");
    fs::remove_dir(home(&site, "ada")).unwrap();
    under_attack(&site, |server| logged_in(server).quit());
    for made in [home(&site, "ada"), home(&site, "ada").join("Maildir")] {
        let mode = made.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{made:?}");
    }
}

//! Mail that is away for a time: whole directories, and files that a disk does not give.

use std::fs;

use restante_guest::prelude::*;
use restante_guest::testing;

use super::{Mailbox, names, row};
use crate::create::create;
use crate::maildir::Maildir;

/// What each way to ask for mail answers, which has to be the same.
fn is_refused(mail: &Mailbox) -> bool {
    let listed = mail.open().listing();
    let stamp = mail.open().stamp();
    let removed = mail.open().remove(&["2/new/9.a.h".into()]);
    let answers = [
        listed.map(drop),
        stamp.map(drop),
        removed,
        mail.open().changes("").map(drop),
    ];
    let refused = |answer: &Result<(), Failure>| matches!(answer, Err(Failure::Temporary(_)));
    let refusals = answers[..3].iter().filter(|answer| refused(answer));
    let count = refusals.count();
    assert!(count == 0 || count == 3, "{answers:?}");
    count == 3
}

fn log() -> String {
    let lines = testing::take_log();
    lines.into_iter().map(|line| line.text + "\n").collect()
}

#[test]
fn half_a_maildir_fails_the_login_and_the_removal() {
    for (there, away) in [("new", "cur"), ("cur", "new")] {
        let mail = Mailbox::new(&[there, "tmp"]);
        mail.write(&format!("{there}/1.a.h"), "x\n");
        testing::take_log();
        assert!(is_refused(&mail));
        assert!(log().contains(&format!("there is {there}, and no {away}")));
        // Nor is it mended, whatever the settings say.
        create(mail.path());
        assert!(!mail.exists(away));
        assert!(is_refused(&mail));
        fs::create_dir(mail.path().join(away)).unwrap();
        assert!(!is_refused(&mail));
        assert_eq!(mail.rows(), [row("1.a.h", 3, 1)]);
    }
}

/// What was listed is not taken for removed by somebody else while its directory is away.
#[test]
fn what_goes_away_in_a_session_is_not_taken_for_removed() {
    let mail = Mailbox::maildir();
    mail.write("cur/1.a.h", "a\n");
    mail.write("new/2.a.h", "a\n");
    let mut open = mail.open();
    let listed = names(&open.listing().unwrap());
    mail.rename("cur", "away");
    let again = [open.content(&listed[0]), open.content(&listed[0])];
    assert!(matches!(again[1], Err(Failure::Temporary(_))));
    assert!(open.remove(&listed[..1]).is_err());
    mail.rename("away", "cur");
    open.remove(&listed[..1]).unwrap();
    assert_eq!(mail.rows(), [row("2.a.h", 3, 2)]);
}

#[test]
fn an_empty_directory_is_an_empty_maildrop_and_others_are_none() {
    let mail = Mailbox::new(&[]);
    assert!(mail.listing().is_empty());
    assert_eq!(mail.open().stamp().unwrap().as_deref(), Some("new;cur;"));
    assert_eq!(fs::read_dir(mail.path()).unwrap().count(), 0);
    let gone = Maildir::new(mail.path().join("nowhere"), mail.watched.clone());
    assert!(gone.stamp().unwrap().is_some());

    for left in [".restante-index", "dovecot-uidlist", "maildirsize"] {
        let mail = Mailbox::new(&[]);
        mail.write(left, "");
        testing::take_log();
        assert!(is_refused(&mail), "{left}");
        assert!(log().contains("neither new nor cur"), "{left}");
        for _ in 0..2 {
            create(mail.path());
            for directory in ["cur", "new", "tmp"] {
                assert!(mail.exists(directory), "{left}");
            }
        }
        assert!(mail.listing().is_empty());
    }
}

/// Directories that cannot all be made leave no half of a Maildir behind.
#[test]
fn a_maildir_is_made_whole_or_not_at_all() {
    let mail = Mailbox::new(&[]);
    // Nothing is there, and no directory can be made.
    std::os::unix::fs::symlink("nowhere", mail.path().join("cur")).unwrap();
    create(mail.path());
    assert!(!mail.exists("new") && !mail.exists("tmp"));
    fs::remove_file(mail.path().join("cur")).unwrap();
    create(mail.path());
    assert!(mail.exists("new") && mail.exists("cur"));
}

#[test]
fn a_directory_that_is_none_fails_the_login() {
    let mail = Mailbox::new(&["new"]);
    mail.write("cur", "a file");
    assert!(matches!(mail.open().listing(), Err(Failure::Temporary(_))));
}

/// A client that leaves mail on the server forgets what is not listed, and loads it again.
#[test]
fn what_cannot_be_read_stays_listed_and_is_refused() {
    let mail = Mailbox::maildir();
    for n in 0..8 {
        mail.write(&format!("cur/{n}.unreadable"), "a\nb\n");
    }
    mail.write("cur/8.unreadable,S=4,W=6:2,S", "a\nb\n");
    mail.write("cur/9.a.h", "a\n");
    testing::take_log();
    let rows = mail.rows();
    assert_eq!(rows.len(), 10);
    // The name says octets, or else the file system has to.
    assert_eq!(rows[7], row("7.unreadable", 4, 7));
    assert_eq!(rows[8], row("8.unreadable", 6, 8));
    assert_eq!(rows[9], row("9.a.h", 3, 9));
    let told = log();
    assert!(
        told.contains("cur/0.unreadable") && told.contains("9 files in all"),
        "{told}"
    );
    let mut open = mail.open();
    let names = names(&open.listing().unwrap());
    assert_eq!(open.content(&names[9]).unwrap(), "cur/9.a.h");
    for name in &names[..9] {
        for _ in 0..2 {
            let content = mail.open().content(name);
            assert!(matches!(content, Err(Failure::Temporary(_))), "{name}");
        }
    }
    // It is removed as any other is, and nothing else.
    open.remove(&names[..1]).unwrap();
    assert!(!mail.exists("cur/0.unreadable") && mail.exists("cur/1.unreadable"));
}

/// A file that can be read again has its true octets at the next login; this one may have
/// it only if it was listed with them.
#[test]
fn what_can_be_read_again_is_served_as_it_was_listed_or_not_at_all() {
    let mail = Mailbox::maildir();
    mail.write("cur/1.unreadable", "a\nb\n");
    mail.write("cur/2.unreadable,S=4,W=6", "a\nb\n");
    let names = names(&mail.listing());
    let mut later = Maildir::new(mail.path().to_owned(), crate::scan::Granted);
    assert!(matches!(
        later.content(&names[0]),
        Err(Failure::Temporary(_))
    ));
    assert_eq!(
        later.content(&names[1]).unwrap(),
        "cur/2.unreadable,S=4,W=6"
    );
    let listing = later.listing().unwrap();
    assert_eq!(listing.octets(), [6, 6]);
}

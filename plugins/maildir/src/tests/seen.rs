//! `seen = true`: what a client fetches over POP3 is not unread in a webmail.

use restante_guest::log::Level;

use super::*;

fn marking(mail: &Mailbox) -> Maildir<Watched> {
    mail.open().marking_seen()
}

#[test]
fn what_is_asked_for_is_moved_and_found_again() {
    let mail = Mailbox::maildir();
    mail.write("new/1.a.h", "one\n");
    mail.write("cur/2.a.h,S=4:2,F", "two\n");
    mail.write("cur/3.a.h:2,S", "three\n");
    mail.write("new/4.a.h", "four\n");
    let mut maildir = marking(&mail);
    let listing = maildir.listing().unwrap();
    let names = names(&listing);
    let expected = ["cur/1.a.h:2,S", "cur/2.a.h,S=4:2,FS", "cur/3.a.h:2,S"];
    // Each twice: TOP and RETR, or a host that has not found it.
    for _ in 0..2 {
        for (name, path) in names.iter().zip(expected) {
            assert_eq!(maildir.content(name).unwrap(), path);
            assert!(mail.exists(path));
        }
    }
    assert!(mail.watched.scanned.take().len() <= 2, "it was looked for");
    // The same messages, and one that nobody asked for.
    assert_eq!(rows_of(&listing), mail.rows());
    assert!(mail.exists("new/4.a.h") && !mail.exists("new/1.a.h"));
    maildir.remove(&names[..2]).unwrap();
    assert_eq!(mail.watched.scanned.take(), ["new", "cur"]);
    assert_eq!(mail.rows().len(), 2);
    // An instance that knows nothing of the moves.
    mail.open().remove(&names[2..]).unwrap();
    assert!(mail.rows().is_empty());
}

#[test]
fn without_the_setting_nothing_is_moved() {
    let mail = Mailbox::maildir();
    mail.write("new/1.a.h", "one\n");
    let name = &mail.names()[0];
    assert_eq!(mail.open().content(name).unwrap(), "new/1.a.h");
    assert!(mail.exists("new/1.a.h"));
}

/// No mail is written over.
#[test]
fn a_name_that_is_taken_is_left_to_its_file() {
    let mail = Mailbox::maildir();
    mail.write("cur/1.a.h:2,S", "one\n");
    mail.write("new/1.a.h", "two\n");
    let mut maildir = marking(&mail);
    let names = names(&maildir.listing().unwrap());
    for name in &names {
        let path = maildir.content(name).unwrap();
        assert!(mail.exists(&path), "{path}");
    }
    assert_eq!(mail.read("cur/1.a.h:2,S"), "one\n");
    assert_eq!(mail.read("new/1.a.h"), "two\n");
    assert_eq!(mail.rows().len(), 2);
}

#[test]
fn a_message_that_cannot_be_moved_is_served_and_the_log_says_why() {
    let mail = Mailbox::maildir();
    mail.write("new/1.a.h", "one\n");
    mail.write("new/2.a.h", "two\n");
    let mut maildir = marking(&mail);
    let names = names(&maildir.listing().unwrap());
    fs::remove_dir(mail.path().join("cur")).unwrap();
    testing::take_log();
    for (name, path) in names.iter().zip(["new/1.a.h", "new/2.a.h"]) {
        assert_eq!(maildir.content(name).unwrap(), path);
    }
    let log = testing::take_log();
    assert_eq!(log.len(), 1, "once: {log:?}");
    assert_eq!(log[0].level, Level::Warn);
    assert!(log[0].text.contains("new/1.a.h"), "{log:?}");
    // Packed ones are refused, and stay unread.
    fs::create_dir(mail.path().join("cur")).unwrap();
    fs::write(mail.path().join("new/1.a.h"), b"\x1f\x8b\x08\x00").unwrap();
    assert!(marking(&mail).content(&names[0]).is_err());
    assert!(mail.exists("new/1.a.h"));
}

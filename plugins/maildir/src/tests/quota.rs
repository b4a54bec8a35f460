//! `maildirsize`: what delivery agents refuse mail by.

use super::*;

fn quota(mail: &Mailbox) -> String {
    mail.read("maildirsize")
}

#[test]
fn what_is_removed_is_taken_off_the_quota_once() {
    let mail = Mailbox::maildir();
    mail.write("maildirsize", "1000000S\n30 3\n");
    mail.write("cur/1.a.h,S=900:2,S", "packed\n");
    mail.write("new/2.a.h", "four\n");
    mail.write("cur/3.a.h:2,S", "a\n");
    // Two names of one file are one message.
    let link = mail.path().join("new/3.a.h");
    fs::hard_link(mail.path().join("cur/3.a.h:2,S"), link).unwrap();
    let names = mail.names();
    mail.open().remove(&names[1..]).unwrap();
    assert_eq!(quota(&mail), "1000000S\n30 3\n-7 -2\n");
    // What its agent counted, whatever the file has by now.
    mail.open().remove(&names[..1]).unwrap();
    assert_eq!(quota(&mail), "1000000S\n30 3\n-7 -2\n-900 -1\n");
    // What another program has removed it has taken off itself.
    mail.open().remove(&names).unwrap();
    assert_eq!(quota(&mail), "1000000S\n30 3\n-7 -2\n-900 -1\n");
}

#[test]
fn what_has_moved_is_taken_off_too() {
    let mail = Mailbox::maildir();
    mail.write("maildirsize", "0C\n");
    mail.write("new/1.a.h", "four\n");
    let names = mail.names();
    mail.rename("new/1.a.h", "cur/1.a.h:2,S");
    mail.open().remove(&names).unwrap();
    assert_eq!(quota(&mail), "0C\n-5 -1\n");
}

/// By Maildir++'s rules.
#[test]
fn what_is_marked_as_trash_was_not_counted() {
    let mail = Mailbox::maildir();
    mail.write("maildirsize", "0C\n");
    mail.write("cur/1.a.h:2,ST", "four\n");
    mail.open().remove(&mail.names()).unwrap();
    assert_eq!(quota(&mail), "0C\n");
}

#[test]
fn no_quota_is_made_where_none_is_kept() {
    let mail = Mailbox::maildir();
    mail.write("new/1.a.h", "four\n");
    mail.open().remove(&mail.names()).unwrap();
    assert!(!mail.exists("maildirsize"));
    // Something else stands there.
    fs::create_dir(mail.path().join("maildirsize")).unwrap();
    mail.write("new/1.a.h", "four\n");
    mail.open().remove(&mail.names()).unwrap();
    assert!(mail.rows().is_empty());
}

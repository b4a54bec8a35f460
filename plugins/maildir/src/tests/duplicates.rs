//! Files of one base name: what a restored backup, a merged Maildir or a careless script
//! leaves.

use restante_guest::files::Status;
use restante_guest::log::Level;

use super::*;
use crate::index::{Entry, Record};
use crate::scan::Place;

/// Which text each unique-id stands for.
fn texts(mail: &Mailbox) -> Vec<(String, String)> {
    let mut maildir = mail.open();
    let listing = maildir.listing().unwrap();
    let ids = listing.unique_ids().map(str::to_owned);
    ids.zip(names(&listing))
        .map(|(id, name)| {
            let path = maildir.content(&name).unwrap();
            (id, mail.read(&path))
        })
        .collect()
}

/// The unique-id of the message with this text.
fn id_of(mail: &Mailbox, text: &str) -> String {
    let texts = texts(mail);
    let of: Vec<_> = texts.iter().filter(|(_, of)| of == text).collect();
    assert_eq!(of.len(), 1, "{texts:?}");
    of[0].0.clone()
}

/// The name of the message with this text.
fn name_of(mail: &Mailbox, text: &str) -> String {
    let at = texts(mail).iter().position(|(_, of)| of == text).unwrap();
    mail.names()[at].clone()
}

fn status(path: &str) -> Status {
    restante_guest::files::stat(path).unwrap().unwrap()
}

/// One base name twice, with the same size, and beside it a usual message.
fn twice() -> Mailbox {
    let mail = Mailbox::maildir();
    mail.write("cur/1.a.h:2,S", "one\n");
    mail.write("new/1.a.h", "two\n");
    mail.write("new/2.a.h", "xxx\n");
    mail
}

#[test]
fn every_file_is_a_message_and_only_the_one_that_was_shown_is_removed() {
    let mail = twice();
    mail.write("new/3.a.h", "three\n");
    mail.write("cur/3.a.h,S=5:2,", "four\n");
    mail.write("cur/3.a.h,S=4:2,", "5678\n");
    let before = texts(&mail);
    assert_eq!(before.len(), 6);
    // Those that were listed before keep their unique-ids.
    assert_eq!(id_of(&mail, "one\n"), "1.a.h");
    assert_eq!(id_of(&mail, "5678\n"), "3.a.h");
    for text in ["two\n", "four\n", "one\n", "three\n", "5678\n"] {
        let name = name_of(&mail, text);
        mail.open().remove(&[name]).unwrap();
        let left = texts(&mail);
        assert!(left.iter().all(|of| before.contains(of)), "{left:?}");
        assert!(left.iter().all(|(_, of)| of != text), "{left:?}");
    }
    assert_eq!(mail.rows(), [row("2.a.h", 5, 2)]);
}

#[test]
fn the_operator_is_told_once_a_login() {
    let mail = twice();
    for n in 10..15 {
        mail.write(&format!("new/{n}.a.h"), "a\n");
        mail.write(&format!("cur/{n}.a.h:2,"), "b\n");
    }
    testing::take_log();
    mail.listing();
    let log = testing::take_log();
    let warnings: Vec<_> = log
        .iter()
        .filter(|line| line.level == Level::Warn)
        .collect();
    assert_eq!(warnings.len(), 1, "{log:?}");
    let text = &warnings[0].text;
    assert!(
        text.contains(": 6,") && text.contains("new/1.a.h") && text.contains("cur/1.a.h:2,S"),
        "{text}"
    );
}

#[test]
fn a_further_unique_id_outlives_flags_moves_and_the_first_file() {
    let mail = twice();
    let second = id_of(&mail, "two\n");
    let acts: [&dyn Fn(); 6] = [
        &|| mail.rename("new/1.a.h", "cur/1.a.h,S=4:2,"),
        &|| mail.rename("cur/1.a.h:2,S", "cur/1.a.h:2,T"),
        // It comes before the first one now, by its name.
        &|| mail.rename("cur/1.a.h,S=4:2,", "cur/1.a.h:2,FS"),
        // Both are as they were found: the index is not needed for that.
        &|| mail.rename("cur/1.a.h:2,FS", "new/1.a.h"),
        &|| fs::remove_file(mail.path().join(index::FILE)).unwrap(),
        &|| fs::remove_file(mail.path().join("cur/1.a.h:2,T")).unwrap(),
    ];
    for (number, act) in acts.iter().enumerate() {
        act();
        assert_eq!(id_of(&mail, "two\n"), second, "{number}");
        if number < 5 {
            assert_eq!(id_of(&mail, "one\n"), "1.a.h", "{number}");
        }
    }
    assert_eq!(mail.rows().len(), 2);
    // And a third one does not take it.
    mail.write("cur/1.a.h:2,S", "six\n");
    assert_eq!(id_of(&mail, "two\n"), second);
    assert_eq!(id_of(&mail, "six\n"), "1.a.h");
}

#[test]
fn a_large_maildrop_remembers_a_further_unique_id_as_well() {
    let mail = twice();
    for n in 100..1200 {
        mail.write(&format!("cur/{n}.b.h:2,S"), "a\n");
    }
    mail.rename("new/1.a.h", "tmp/1.a.h");
    mail.listing();
    mail.rename("tmp/1.a.h", "new/1.a.h");
    let second = id_of(&mail, "two\n");
    fs::remove_file(mail.path().join("cur/1.a.h:2,S")).unwrap();
    assert_eq!(id_of(&mail, "two\n"), second);
}

#[test]
fn a_directory_that_is_not_gone_through_keeps_its_further_unique_ids() {
    let mail = twice();
    mail.rename("new/1.a.h", "cur/1.a.h:2,");
    mail.age(5);
    let second = id_of(&mail, "two\n");
    mail.listing();
    assert!(mail.scanned().is_empty());
    assert_eq!(id_of(&mail, "two\n"), second);
    let name = name_of(&mail, "two\n");
    // Moved in the session, and the other one with it.
    mail.rename("cur/1.a.h:2,", "cur/1.a.h:2,R");
    mail.rename("cur/1.a.h:2,S", "cur/1.a.h:2,");
    let path = mail.open().content(&name).unwrap();
    assert_eq!(mail.read(&path), "two\n");
    mail.write("new/9.a.h", "nine\n");
    assert_eq!(id_of(&mail, "two\n"), second);
}

#[test]
fn what_moves_into_the_place_of_another_is_not_taken_for_it() {
    let mail = twice();
    let names: Vec<_> = ["one\n", "two\n"].map(|text| name_of(&mail, text)).into();
    // By some mail program, while the session lasts.
    fs::remove_file(mail.path().join("cur/1.a.h:2,S")).unwrap();
    mail.rename("new/1.a.h", "cur/1.a.h:2,S");
    let mut maildir = mail.open();
    for _ in 0..2 {
        let gone = maildir.content(&names[0]);
        assert!(matches!(gone, Err(Failure::Temporary(_))), "{gone:?}");
        assert_eq!(maildir.content(&names[1]).unwrap(), "cur/1.a.h:2,S");
    }
    maildir.remove(&names[..1]).unwrap();
    assert!(mail.exists("cur/1.a.h:2,S"));
    maildir.remove(&names[1..]).unwrap();
    assert!(!mail.exists("cur/1.a.h:2,S"));
}

#[test]
fn what_has_become_two_in_the_session_is_not_removed_by_guess() {
    let mail = Mailbox::maildir();
    mail.write("new/1.a.h", "one\n");
    let names = mail.names();
    mail.rename("new/1.a.h", "cur/1.a.h:2,S");
    mail.write("cur/1.a.h:2,RS", "two\n");
    assert!(mail.open().remove(&names).is_err());
    assert_eq!(mail.rows().len(), 2);
}

#[test]
fn two_names_of_one_file_are_one_message() {
    let mail = twice();
    let link = |from: &str, to: &str| {
        fs::hard_link(mail.path().join(from), mail.path().join(to)).unwrap();
    };
    // As a crash leaves a move by link and unlink.
    link("new/2.a.h", "cur/2.a.h:2,S");
    link("new/1.a.h", "cur/1.a.h:2,F");
    assert_eq!(mail.rows().len(), 3);
    let left = id_of(&mail, "one\n");
    let names: Vec<_> = ["xxx\n", "two\n"].map(|text| name_of(&mail, text)).into();
    mail.open().remove(&names).unwrap();
    assert_eq!(mail.rows(), [row(&left, 5, 1)]);
    assert!(mail.exists("cur/1.a.h:2,S"));
    for path in ["new/2.a.h", "cur/2.a.h:2,S", "new/1.a.h", "cur/1.a.h:2,F"] {
        assert!(!mail.exists(path), "{path}");
    }
}

#[test]
fn copies_of_one_moment_are_messages_too() {
    let mail = Mailbox::maildir();
    for (path, text) in [("cur/1.a.h:2,S", "aa\n"), ("new/1.a.h", "bb\n")] {
        mail.write(path, text);
    }
    let moment = status("new/1.a.h").modified;
    let set = |path: &str| {
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(moment);
        let file = fs::File::open(mail.path().join(path)).unwrap();
        file.set_modified(time).unwrap();
    };
    let second = id_of(&mail, "bb\n");
    for (path, text) in [("cur/1.a.h:2,R", "cc\n"), ("new/1.a.h,S=3", "dd\n")] {
        mail.write(path, text);
        set(path);
    }
    let before = texts(&mail);
    assert_eq!(before.len(), 4);
    assert!(before.contains(&(second, "bb\n".to_owned())));
    assert_eq!(texts(&mail), before);
}

#[test]
fn unique_ids_outlive_a_restore_from_a_backup() {
    let mail = twice();
    let before = texts(&mail);
    let again = Mailbox::maildir();
    fs::copy(
        mail.path().join(index::FILE),
        again.path().join(index::FILE),
    )
    .unwrap();
    // Other inode numbers, in another order, and the first file is lost.
    for path in ["new/2.a.h", "new/1.a.h", "cur/1.a.h:2,S"] {
        let modified = fs::metadata(mail.path().join(path)).unwrap().modified();
        again.write(path, &mail.read(path));
        let file = fs::File::open(again.path().join(path)).unwrap();
        file.set_modified(modified.unwrap()).unwrap();
    }
    fs::copy(
        mail.path().join(index::FILE),
        again.path().join(index::FILE),
    )
    .unwrap();
    again.rename("cur/1.a.h:2,S", "tmp/1.a.h:2,S");
    assert_eq!(id_of(&again, "two\n"), id(&before, "two\n"));
    again.rename("tmp/1.a.h:2,S", "cur/1.a.h:2,S");
    assert_eq!(texts(&again), before);
}

fn id(texts: &[(String, String)], text: &str) -> String {
    let of = texts.iter().find(|(_, of)| of == text);
    of.unwrap().0.clone()
}

#[test]
fn changes_are_not_told_of_what_comes_twice() {
    let mail = Mailbox::maildir();
    mail.write("cur/1.a.h", "a\n");
    let mut remembered = Remembered::of(&mail.listing());
    mail.write("new/2.a.h", "b\n");
    mail.write("cur/2.a.h:2,S", "c\n");
    assert!(!remembered.update(&mail));
    // Not even when the first one is gone: its name tells another unique-id.
    let second = id_of(&mail, "b\n");
    fs::remove_file(mail.path().join("cur/2.a.h:2,S")).unwrap();
    let listing = mail.listing();
    assert!(listing.unique_ids().any(|id| id == second));
    assert_eq!(listing.memo(), None);
}

#[test]
fn a_unique_id_of_an_earlier_version_is_kept_for_its_file() {
    // Flags behind ";" were part of the name once.
    let old = "sha256-00112233445566778899aabbccddeeff00112233";
    let mail = Mailbox::maildir();
    mail.write("cur/1.a.h;2,S", "one\n");
    mail.write("cur/2.a.h;2,S", "two\n");
    let Status {
        size,
        modified,
        identity,
        ..
    } = status("cur/1.a.h;2,S");
    let record = Record {
        size,
        modified,
        octets: 5,
        surrogate: 5,
        identity,
    };
    let entry = Entry {
        unique_id: old,
        place: Place::ALL[1],
        name: "1.a.h;2,S",
        record,
    };
    index::write(mail.path(), &[None; 2], [entry].into_iter()).unwrap();
    for name in ["1.a.h;2,S", "1.a.h;2,RS", "1.a.h!2,"] {
        mail.rename("cur/1.a.h;2,S", &format!("cur/{name}"));
        assert_eq!(id_of(&mail, "one\n"), old);
        assert_eq!(id_of(&mail, "two\n"), "2.a.h");
        mail.rename(&format!("cur/{name}"), "cur/1.a.h;2,S");
    }
}

#[test]
fn what_moves_while_it_is_looked_for_is_no_second_message() {
    let mail = twice();
    mail.write("new/5.a.h", "five\n");
    // Seen in `new`, and then in `cur` as well.
    let root = mail.path().to_owned();
    *mail.watched.on_scan.borrow_mut() = Some(Box::new(move |directory| {
        if directory == "cur" {
            let _ = fs::rename(root.join("new/5.a.h"), root.join("cur/5.a.h:2,S"));
        }
    }));
    assert_eq!(mail.rows().len(), 4);
    assert_eq!(id_of(&mail, "five\n"), "5.a.h");
}

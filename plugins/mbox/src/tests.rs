//! The store against what other programs leave in an mbox, without a host.

use std::fs;
use std::io::Write as _;

use restante_guest::prelude::*;
use restante_guest::testing::{self, Granted, Session};

use crate::Mail;

const FROM: &str = "From a@b Tue Nov 14 22:13:20 2023\n";

/// An mbox, and whoever opens it.
struct Box(Granted);

impl Box {
    fn new(mbox: impl AsRef<[u8]>) -> Box {
        testing::set_settings([("lock-wait", "200ms")]);
        let granted = Granted::new();
        granted.write("mbox", mbox);
        Box(granted)
    }

    fn write(&self, mbox: impl AsRef<[u8]>) {
        self.0.write("mbox", mbox);
    }

    fn append(&self, octets: impl AsRef<[u8]>) {
        let mut options = fs::OpenOptions::new();
        let file = options.append(true).open(self.0.path().join("mbox"));
        file.unwrap().write_all(octets.as_ref()).unwrap();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.read("mbox")).into_owned()
    }

    fn open(&self) -> Session<Mail> {
        Session::open(Account::new("alice")).unwrap()
    }

    fn ids(&self) -> Vec<String> {
        let session = self.open();
        session
            .unique_ids()
            .into_iter()
            .map(str::to_owned)
            .collect()
    }

    /// Every message, as RETR has it; by an instance that lists, and by one that the
    /// host made when the other had rested.
    fn messages(&self) -> Vec<String> {
        let mut session = self.open();
        let names: Vec<String> = session.listing().names().map(str::to_owned).collect();
        let mut rested = Mail::open(Account::new("alice")).unwrap();
        let all = (0..session.listing().len()).map(|position| {
            assert!(rested.content(&names[position]).is_ok());
            let octets = session.retrieve(position).unwrap();
            String::from_utf8_lossy(&octets).into_owned()
        });
        all.collect()
    }
}

fn message(number: u32) -> String {
    format!("{FROM}Subject: {number}\n\nbody of {number}\n\n")
}

fn content(number: u32) -> String {
    format!("Subject: {number}\n\nbody of {number}\n")
}

fn mbox(numbers: &[u32]) -> String {
    numbers.iter().map(|number| message(*number)).collect()
}

#[test]
fn messages_are_ranges_and_removal_leaves_the_rest() {
    let mail = Box::new(mbox(&[1, 2, 3, 4]));
    let ids = mail.ids();
    assert_eq!(mail.messages(), [1, 2, 3, 4].map(content));
    mail.open().quit(&[0, 2]).unwrap();
    assert_eq!(mail.text(), mbox(&[2, 4]));
    assert_eq!(mail.ids(), [&*ids[1], &*ids[3]]);
    assert_eq!(mail.messages(), [2, 4].map(content));
    mail.open().quit(&[0, 1]).unwrap();
    assert_eq!(mail.text(), "");
    assert!(mail.messages().is_empty());
}

#[test]
fn nothing_is_an_empty_maildrop_and_no_file_is_made() {
    let mail = Box::new("");
    assert!(mail.messages().is_empty());
    mail.write("\n\n");
    assert!(mail.messages().is_empty());
    let new = Box(Granted::new());
    assert!(new.messages().is_empty());
    // The first mail is on its way.
    new.0.write("mbox.lock.mail.example.4711", "");
    new.0.write("mbox.lock", "");
    assert!(new.messages().is_empty());
    let left = fs::read_dir(new.0.path()).unwrap();
    assert_eq!(left.count(), 2);
}

/// A file that is missing beside others is away, unless the settings say that it may be.
#[test]
fn a_missing_mbox_is_no_empty_maildrop() {
    let mail = Box::new(mbox(&[1, 2]));
    let path = mail.0.path().join("mbox");
    let away = mail.0.path().join("away");
    let mut open = mail.open();
    fs::rename(&path, &away).unwrap();
    testing::take_log();
    let refused = |opened: Option<Failure>| matches!(opened, Some(Failure::Temporary(_)));
    assert!(refused(open.retrieve(0).err()));
    assert!(refused(open.quit(&[0]).err()));
    assert!(refused(Session::<Mail>::open(Account::new("alice")).err()));
    let log = testing::take_log();
    let is_told = |line: &testing::Line| {
        line.text.contains("there is no") && line.text.contains("`missing = ")
    };
    assert!(log.iter().any(is_told), "{log:?}");
    fs::rename(&away, &path).unwrap();
    assert_eq!(mail.messages(), [1, 2].map(content));

    fs::remove_file(&path).unwrap();
    testing::set_settings([("missing", "empty")]);
    assert!(mail.messages().is_empty());
    assert!(!path.exists());
}

#[test]
fn no_mbox_is_told_to_the_operator() {
    let mail = Box::new("Subject: not an mbox\n");
    let opened = Session::<Mail>::open(Account::new("alice"));
    assert!(matches!(opened.err(), Some(Failure::Permanent(_))));
    let log = testing::take_log();
    assert!(
        log.iter().any(|line| line.text.contains("no mbox")),
        "{log:?}"
    );
    drop(mail);
}

#[test]
fn strange_files_are_served_octet_for_octet() {
    let crlf = mbox(&[1, 2]).replace('\n', "\r\n");
    let mail = Box::new(&crlf);
    assert_eq!(
        mail.messages(),
        [1, 2].map(|n| content(n).replace('\n', "\r\n"))
    );
    mail.write(format!("{FROM}Subject: x\n\nno line end"));
    assert_eq!(mail.messages(), ["Subject: x\n\nno line end"]);
    let eight = b"From a@b Tue Nov 14 22:13:20 2023\nSubject: \xfc\n\n\xff\x00\n";
    mail.write(eight);
    assert_eq!(mail.open().retrieve(0).unwrap(), &eight[34..]);
    mail.write(format!("{FROM}Content-Length: 5000\n\n1\n\n{}", message(2)));
    assert_eq!(mail.messages().len(), 2);
    mail.write(format!("{FROM}\n{FROM}"));
    assert_eq!(mail.messages(), ["", ""]);
}

#[test]
fn quoted_lines_stay_or_go_as_the_settings_say() {
    let quoted = format!("{FROM}Subject: x\n\n>From me\n>>From you\n\n{}", message(2));
    let mail = Box::new(quoted);
    assert_eq!(mail.messages()[0], "Subject: x\n\n>From me\n>>From you\n");
    let ids = mail.ids();
    testing::set_settings([("quoting", "mboxrd")]);
    assert_eq!(mail.messages()[0], "Subject: x\n\nFrom me\n>From you\n");
    assert_eq!(mail.messages()[1], content(2));
    assert_eq!(mail.ids()[1], ids[1]);
    mail.open().quit(&[0]).unwrap();
    assert_eq!(mail.text(), message(2));
    let inner = format!("one\n\n{FROM}two\n");
    let length = inner.len();
    mail.write(format!(
        "{FROM}Content-Length: {length}\n\n{inner}\n{}",
        message(2)
    ));
    testing::set_settings([("quoting", "mboxcl2")]);
    assert_eq!(
        mail.messages()[0],
        format!("Content-Length: {length}\n\n{inner}")
    );
    mail.open().quit(&[0]).unwrap();
    assert_eq!(mail.text(), message(2));
}

#[test]
fn what_imap_servers_keep_in_the_file_is_hidden_and_stays() {
    let internal = format!(
        "{FROM}From: Mail System Internal Data <MAILER-DAEMON@host>\n\
         Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n\
         X-IMAP: 1700000000 0000000002\nStatus: RO\n\nThis text is part of the internal format.\n\n"
    );
    let mail = Box::new(format!("{internal}{}", mbox(&[1, 2])));
    assert_eq!(mail.messages(), [1, 2].map(content));
    mail.open().quit(&[0, 1]).unwrap();
    assert_eq!(mail.text(), internal);
    assert!(mail.messages().is_empty());
    mail.append(message(3));
    assert_eq!(mail.messages(), [content(3)]);
}

#[test]
fn unique_ids_outlive_what_mail_programs_write_and_a_lost_index() {
    let mail = Box::new(mbox(&[1, 2, 3]));
    let ids = mail.ids();
    let edited = mail
        .text()
        .replace("Subject", "X-IMAPbase: 1 2\nX-UID: 7\nStatus: RO\nSubject");
    mail.write(&edited);
    assert_eq!(mail.ids(), ids);
    assert!(mail.messages()[0].starts_with("X-IMAPbase"));
    fs::remove_file(mail.0.path().join(".mbox.restante-index")).unwrap();
    assert_eq!(mail.ids(), ids);
    fs::write(mail.0.path().join(".mbox.restante-index"), "broken").unwrap();
    assert_eq!(mail.ids(), ids);
}

#[test]
fn copies_have_names_of_their_own_that_stay_when_earlier_ones_go() {
    let mail = Box::new(mbox(&[1, 1, 2, 1]));
    let ids = mail.ids();
    assert_eq!(ids[1], format!("{}-2", ids[0]));
    assert_eq!(ids[3], format!("{}-3", ids[0]));
    mail.open().quit(&[0]).unwrap();
    assert_eq!(mail.ids(), ids[1..]);
    mail.append(message(1));
    assert_eq!(mail.ids()[..3], ids[1..]);
    assert_eq!(mail.ids()[3], format!("{}-4", ids[0]));
    mail.open().quit(&[0, 2]).unwrap();
    assert_eq!(mail.text(), mbox(&[2, 1]));
}

#[test]
fn of_a_file_that_grew_only_the_end_is_read() {
    let mail = Box::new(mbox(&(0..500).collect::<Vec<_>>()));
    let ids = mail.ids();
    // Nobody would notice this without reading it all.
    let index = crate::index::Index::load(
        &mail.0.path().join(".mbox.restante-index"),
        restante_guest::mbox::Variant::Mboxo,
    );
    assert_eq!(index.unwrap().entries.len(), 500);
    mail.append(mbox(&[500, 501]));
    let grown = mail.ids();
    assert_eq!(grown.len(), 502);
    assert_eq!(grown[..500], ids);
    assert_eq!(mail.messages()[501], content(501));
    // The last message had no line end when it was read first.
    mail.write(mbox(&[1, 2]).trim_end());
    let ids = mail.ids();
    mail.append(format!("\n\n{}", message(3)));
    assert_eq!(mail.ids()[..2], ids);
    assert_eq!(mail.messages(), [1, 2, 3].map(content));
}

#[test]
fn mail_that_comes_while_a_session_lasts_survives_it() {
    let mail = Box::new(mbox(&[1, 2]));
    let mut session = mail.open();
    mail.append(message(3));
    assert_eq!(session.retrieve(1).unwrap(), content(2).as_bytes());
    session.quit(&[0, 1]).unwrap();
    assert_eq!(mail.text(), message(3));
}

#[test]
fn messages_are_found_again_where_another_program_moved_them() {
    let mail = Box::new(mbox(&[1, 2, 3]));
    let mut session = mail.open();
    let ids = mail.ids();
    mail.write(mbox(&[2, 3]));
    assert_eq!(session.retrieve(2).unwrap(), content(3).as_bytes());
    let gone = session.retrieve(0).unwrap_err();
    assert!(matches!(gone, Failure::Temporary(_)), "{gone:?}");
    session.quit(&[0, 1]).unwrap();
    assert_eq!(mail.text(), message(3));
    assert_eq!(mail.ids(), ids[2..]);
    // Cut off in the middle of a message.
    let mut session = mail.open();
    let text = mail.text();
    mail.write(&text[..text.len() - 5]);
    assert!(session.retrieve(0).is_err());
    session.quit(&[0]).unwrap();
    assert_eq!(mail.text(), text[..text.len() - 5]);
}

#[test]
fn a_file_that_was_rewritten_to_the_same_length_is_not_cut_by_old_numbers() {
    let mail = Box::new(mbox(&[1, 2, 3]));
    let session = mail.open();
    let path = mail.0.path().join("mbox");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    // In its place, in the same moment: nothing tells but the octets.
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    (&file).write_all(mbox(&[3, 1, 2]).as_bytes()).unwrap();
    file.set_modified(modified).unwrap();
    session.quit(&[0]).unwrap();
    assert_eq!(mail.text(), mbox(&[3, 2]));
}

#[test]
fn a_line_that_changed_in_its_place_is_counted_anew_when_the_host_doubts() {
    let text = mbox(&[1, 2]);
    let mail = Box::new(&text);
    let octets = |session: &Session<Mail>| session.listing().octets().to_vec();
    let before = octets(&mail.open());
    let path = mail.0.path().join("mbox");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let body = content(1).trim_end().len();
    let at = text.find(content(1).trim_end()).unwrap() + body - 2;
    let mut changed = text.into_bytes();
    assert_ne!(changed[at], b'\n');
    changed[at] = b'\n';
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    (&file).write_all(&changed).unwrap();
    file.set_modified(modified).unwrap();
    assert_eq!(octets(&mail.open()), before);
    // As the host does: once for the client, and twice more where it was another.
    let name = mail.open().listing().names().next().unwrap().to_owned();
    let mut asked = Mail::open(Account::new("alice")).unwrap();
    asked.listing().unwrap();
    for _ in 0..2 {
        let _ = asked.content(&name);
    }
    assert_eq!(octets(&mail.open()), before, "TOP and RETR are no doubt");
    let _ = asked.content(&name);
    let after = octets(&mail.open());
    assert_eq!(after, [before[0] + 1, before[1]]);
}

#[test]
fn somebody_elses_lock_is_respected() {
    let mail = Box::new(mbox(&[1, 2]));
    let session = mail.open();
    mail.0.write("mbox.lock", "4711");
    let busy = session.quit(&[0]).unwrap_err();
    assert!(matches!(busy, Failure::InUse(_)), "{busy:?}");
    assert_eq!(mail.text(), mbox(&[1, 2]));
    // What has not changed can be listed all the same.
    assert_eq!(mail.messages().len(), 2);
    mail.append(message(3));
    let opened = Session::<Mail>::open(Account::new("alice"));
    assert!(matches!(opened.err(), Some(Failure::InUse(_))));
    fs::remove_file(mail.0.path().join("mbox.lock")).unwrap();
    assert_eq!(mail.messages().len(), 3);
}

#[test]
fn a_removal_that_was_broken_off_is_ended_at_the_next_login() {
    let mail = Box::new(mbox(&[1, 2, 3]));
    mail.open().quit(&[1]).unwrap();
    assert_eq!(mail.text(), mbox(&[1, 3]));
    // The journal's own tests have every moment; here it is seen by a login.
    let session = mail.open();
    fs::write(mail.0.path().join(".mbox.restante-removal"), "not ours").unwrap();
    drop(session);
    let stamp = Mail::open(Account::new("alice")).unwrap().stamp();
    assert_eq!(stamp, Ok(None));
    assert_eq!(mail.messages(), [1, 3].map(content));
    assert!(mail.0.path().join("mbox.restante-rescued-1").exists());
}

#[test]
fn settings_that_are_none_have_words() {
    for (settings, problem) in [
        ([("file", "../mbox")], "file: must be the name of a file"),
        ([("file", "")], "file: must be the name of a file"),
        ([("file", ".x")], "file: must be the name of a file"),
        (
            [("quoting", "mbox")],
            "quoting: must be one of mboxo, mboxrd, mboxcl2",
        ),
        ([("missing", "no")], "missing: must be one of refuse, empty"),
        ([("lock-wait", "3")], "lock-wait: has no unit"),
        (
            [("lockwait", "3s")],
            "lockwait: unknown setting; did you mean lock-wait?",
        ),
    ] {
        testing::set_settings(settings);
        let problems = Mail::validate().unwrap_err();
        assert!(problems[0].starts_with(problem), "{problems:?}");
    }
    testing::set_settings([("file", "inbox"), ("stale-lock", "2m")]);
    assert_eq!(Mail::validate(), Ok(()));
}

/// Why the index is not there is told in words, and with its name.
#[test]
fn why_a_file_cannot_be_written_is_in_the_log() {
    let mail = Box::new(mbox(&[1, 2]));
    let next = mail.0.path().join(".mbox.restante-index.new");
    fs::create_dir(next).unwrap();
    testing::take_log();
    assert_eq!(mail.messages(), [1, 2].map(content));
    let log = testing::take_log();
    let said = |line: &testing::Line| {
        line.text
            .contains(".mbox.restante-index cannot be written, going on without: ")
    };
    assert!(log.iter().any(said), "{log:?}");
}

/// Whoever may put a link beside the mbox gets nothing written through it.
#[test]
fn what_has_the_name_of_the_index_is_not_written_through() {
    let mail = Box::new(mbox(&[1, 2]));
    let folder = mail.0.path();
    std::os::unix::fs::symlink("mbox", folder.join(".mbox.restante-index.new")).unwrap();
    let before = fs::read(folder.join("mbox")).unwrap();
    assert_eq!(mail.messages(), [1, 2].map(content));
    assert_eq!(fs::read(folder.join("mbox")).unwrap(), before);
    let index = fs::symlink_metadata(folder.join(".mbox.restante-index")).unwrap();
    assert!(index.is_file());
}

/// A message without a date stays where it is, and comes and goes like the others.
#[test]
fn a_message_that_begins_with_from_and_a_dash_has_its_place() {
    let dated = |date: &str, number: u32| format!("From a {date}\n{}\n", content(number));
    let mail = Box::new(format!(
        "{}From -\n{}\n{}",
        dated("Tue, 14 Nov 2023 22:13:20 +0000", 1),
        content(2),
        dated("Tue Nov 14 22:13:21 2023", 3)
    ));
    assert_eq!(mail.messages(), [1, 2, 3].map(content));
    let ids = mail.ids();
    mail.open().quit(&[0]).unwrap();
    assert_eq!(mail.messages(), [2, 3].map(content));
    assert_eq!(mail.ids(), ids[1..]);
    mail.open().quit(&[0, 1]).unwrap();
    assert_eq!(mail.text(), "");
}

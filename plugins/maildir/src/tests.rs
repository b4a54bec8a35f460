//! The maildrop on real directories, with other programs at work in them.

mod away;
mod duplicates;
mod packed;
mod quota;
mod seen;

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use restante_guest::files::{Names, Weight};
use restante_guest::prelude::*;
use restante_guest::testing;

use crate::maildir::Maildir;
use crate::scan::{Files, Granted};
use crate::{Mail, Settings, index};

/// Told the path that is about to be measured, or the directory to be gone through.
type Act = Box<dyn FnMut(&str)>;

/// The granted directory, with somebody else who acts when a file is measured.
#[derive(Clone, Default)]
struct Watched {
    scanned: Rc<RefCell<Vec<String>>>,
    measured: Rc<Cell<usize>>,
    on_measure: Rc<RefCell<Option<Act>>>,
    on_scan: Rc<RefCell<Option<Act>>>,
    /// How far its clock is ahead.
    later: Rc<Cell<Duration>>,
}

impl Files for Watched {
    fn scan(&self, directory: &str) -> Result<Names, String> {
        self.scanned.borrow_mut().push(directory.to_owned());
        if let Some(act) = self.on_scan.borrow_mut().as_mut() {
            act(directory);
        }
        Granted.scan(directory)
    }

    fn measure(&self, path: &str) -> Result<Option<Weight>, String> {
        self.measured.set(self.measured.get() + 1);
        if let Some(act) = self.on_measure.borrow_mut().as_mut() {
            act(path);
        }
        if path.contains("unreadable") {
            return Err("Input/output error".into());
        }
        Granted.measure(path)
    }

    fn now(&self) -> Instant {
        Instant::now() + self.later.get()
    }
}

struct Mailbox {
    root: tempfile::TempDir,
    watched: Watched,
}

impl Mailbox {
    fn new(directories: &[&str]) -> Mailbox {
        let root = tempfile::tempdir().unwrap();
        for directory in directories {
            fs::create_dir(root.path().join(directory)).unwrap();
        }
        testing::set_maildrop(root.path());
        Mailbox {
            root,
            watched: Watched::default(),
        }
    }

    fn maildir() -> Mailbox {
        Mailbox::new(&["cur", "new", "tmp"])
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path().join(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap()
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path().join(from), self.path().join(to)).unwrap();
    }

    fn exists(&self, path: &str) -> bool {
        self.path().join(path).exists()
    }

    fn open(&self) -> Maildir<Watched> {
        Maildir::new(self.path().to_owned(), self.watched.clone())
    }

    fn listing(&self) -> Listing {
        self.open().listing().unwrap()
    }

    fn rows(&self) -> Vec<(String, u64, u64)> {
        let listing = self.listing();
        listing
            .unique_ids()
            .zip(listing.octets())
            .zip(listing.received())
            .map(|((id, octets), received)| (id.to_owned(), *octets, *received))
            .collect()
    }

    fn names(&self) -> Vec<String> {
        names(&self.listing())
    }

    /// The directories that a listing goes through.
    fn scanned(&self) -> Vec<String> {
        self.watched.scanned.take();
        self.listing();
        self.watched.scanned.take()
    }

    /// How many files a listing measures.
    fn measured(&self) -> usize {
        self.watched.measured.set(0);
        self.listing();
        self.watched.measured.get()
    }

    /// Another directory, empty, with the times of the first.
    fn replace_cur(&self) {
        let cur = self.path().join("cur");
        let time = fs::metadata(&cur).unwrap().modified().unwrap();
        self.rename("cur", "old");
        fs::create_dir(&cur).unwrap();
        fs::File::open(&cur).unwrap().set_modified(time).unwrap();
    }

    /// Makes `cur` and `new` so old that their times can be trusted.
    fn age(&self, seconds: u64) {
        for directory in ["cur", "new"] {
            set_modified(&self.path().join(directory), seconds);
        }
    }
}

fn names(listing: &Listing) -> Vec<String> {
    listing.names().map(str::to_owned).collect()
}

fn set_modified(path: &Path, seconds_ago: u64) {
    let time = SystemTime::now() - Duration::from_secs(seconds_ago);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

fn row(id: &str, octets: u64, received: u64) -> (String, u64, u64) {
    (id.to_owned(), octets, received)
}

#[test]
fn messages_are_listed_oldest_first_with_their_octets() {
    let mail = Mailbox::maildir();
    mail.write("new/30.M5P1.h", "a\nb");
    mail.write("cur/20.M2P1.h:2,S", "a\r\nb\r\n");
    mail.write("cur/20.M10P1.h:2,", "");
    mail.write("new/20.M2P0.h", "\n");
    mail.write("cur/undated", "x\n");
    set_modified(&mail.path().join("cur/undated"), 0);
    mail.write("new/.hidden", "no");
    mail.write("tmp/40.M1P1.h", "no");
    fs::create_dir_all(mail.path().join(".Folder/cur")).unwrap();
    mail.write(".Folder/cur/1.M1P1.h", "no");
    fs::create_dir(mail.path().join("cur/directory")).unwrap();
    let rows = mail.rows();
    assert_eq!(
        rows[..4],
        [
            row("20.M2P0.h", 2, 20),
            row("20.M2P1.h", 6, 20),
            row("20.M10P1.h", 0, 20),
            row("30.M5P1.h", 6, 30),
        ]
    );
    assert_eq!(rows.len(), 5);
    assert_eq!((rows[4].0.as_str(), rows[4].1), ("undated", 3));
    assert!(rows[4].2 > 1_700_000_000);
    assert_eq!(mail.rows(), rows);
}

#[test]
fn sizes_in_the_names_of_large_files_do_if_they_are_true_and_time_is_short() {
    let mail = Mailbox::maildir();
    let large = "0123456\n".repeat(20_000);
    let open_end = &large[..159_999];
    mail.write("cur/0.a.h", "a\nb\n");
    mail.write("cur/1.a.h,S=160000,W=180000:2,S", &large);
    mail.write("cur/2.a.h,S=159000,W=180000:2,S", &large);
    mail.write("cur/3.a.h,S=160000,W=600000:2,S", &large);
    mail.write("cur/4.a.h,S=160000:2,S", &large);
    // A last line end that is missing: left out of the count, or in it.
    mail.write("cur/5.a.h,S=159999,W=179998", open_end);
    mail.write("cur/6.a.h,S=159999,W=180000", open_end);
    mail.write("cur/7.a.h,S=4,W=8", "a\nb\n");
    // The first takes all the time there is.
    let later = Rc::clone(&mail.watched.later);
    let slow = move |_: &str| later.set(Duration::from_secs(3));
    *mail.watched.on_measure.borrow_mut() = Some(Box::new(slow));
    assert_eq!(mail.measured(), 7);
    let octets =
        |mail: &Mailbox| -> Vec<u64> { mail.rows().iter().map(|(_, octets, _)| *octets).collect() };
    let expected = [6, 180_000, 180_000, 180_000, 180_000, 180_000, 180_000, 6];
    assert_eq!(octets(&mail), expected);
    // What had to do for one login is measured at the next.
    mail.watched.on_measure.take();
    mail.rename(
        "cur/1.a.h,S=160000,W=180000:2,S",
        "cur/1.a.h,S=160000,W=180000:2,RS",
    );
    assert_eq!([mail.measured(), mail.measured()], [0, 0]);
    assert_eq!(octets(&mail), expected);
}

#[test]
fn a_message_that_needs_utf8_has_a_surrogate_and_keeps_it() {
    let mail = Mailbox::maildir();
    mail.write("cur/1.a.h", "Subject: plain\n\nbody\n");
    mail.write("cur/2.a.h", "Subject: gr\u{fc}n\n\nbody\n");
    mail.write("cur/3.a.h", "Subject: plain\n\n\u{fc}\n");
    for measured in [3, 0] {
        mail.watched.measured.set(0);
        let listing = mail.listing();
        assert_eq!(mail.watched.measured.get(), measured);
        let surrogate = Granted.measure("cur/2.a.h").unwrap().unwrap().surrogate;
        assert_eq!(listing.surrogates(), [(1, surrogate)]);
        assert!(surrogate > listing.octets()[1]);
    }
}

#[test]
fn each_message_is_measured_once() {
    let mail = Mailbox::maildir();
    for n in 0..20 {
        mail.write(&format!("new/{n}.a.h"), &"line\n".repeat(n));
    }
    let rows = mail.rows();
    assert_eq!(mail.measured(), 0);
    assert_eq!(mail.rows(), rows);
    // A re-flagged message and one that moved are the same messages.
    mail.rename("new/3.a.h", "cur/3.a.h:2,S");
    mail.rename("new/4.a.h", "cur/4.a.h,S=20:2,FS");
    assert_eq!(mail.measured(), 0);
    assert_eq!(mail.rows(), rows);
}

#[test]
fn a_file_in_the_place_of_another_is_measured_again() {
    let mail = Mailbox::maildir();
    mail.write("cur/1.a.h", "a\nb\n");
    mail.write("cur/2.a.h", "a\nb\n");
    mail.listing();
    mail.write("tmp/1.a.h", "a\nb\nc\n");
    mail.rename("tmp/1.a.h", "cur/1.a.h");
    assert_eq!(mail.measured(), 1);
    // The same size at another time.
    mail.write("tmp/2.a.h", "abc\n");
    set_modified(&mail.path().join("tmp/2.a.h"), 60);
    mail.rename("tmp/2.a.h", "cur/2.a.h");
    assert_eq!(mail.rows(), [row("1.a.h", 9, 1), row("2.a.h", 5, 2)]);
    assert_eq!(mail.measured(), 0);
}

#[test]
fn a_change_in_the_place_of_a_file_is_found_out_when_it_is_asked_for() {
    let mail = Mailbox::maildir();
    mail.write("cur/1.a.h", "a\nb\n");
    mail.write("cur/2.a.h", "a\nb\n");
    mail.age(5);
    let names = mail.names();
    mail.write("cur/1.a.h", "a\nb\nc\n");
    assert_eq!(mail.rows()[0], row("1.a.h", 6, 1));
    let mut maildir = mail.open();
    maildir.content(&names[0]).unwrap();
    assert!(matches!(
        maildir.content(&names[0]),
        Err(Failure::Temporary(_))
    ));
    assert_eq!(mail.measured(), 1);
    assert_eq!(mail.rows()[0], row("1.a.h", 9, 1));
}

#[test]
fn an_index_that_names_what_is_not_there_is_found_out_when_it_is_asked_for() {
    let mail = Mailbox::maildir();
    mail.write("cur/1.a.h", "a\n");
    mail.write("cur/2.a.h", "a\n");
    mail.age(5);
    let names = mail.names();
    // Somebody turns the clock back.
    let time = fs::metadata(mail.path().join("cur"))
        .unwrap()
        .modified()
        .unwrap();
    fs::remove_file(mail.path().join("cur/1.a.h")).unwrap();
    let cur = fs::File::open(mail.path().join("cur")).unwrap();
    cur.set_modified(time).unwrap();
    assert_eq!(mail.rows().len(), 2);
    assert!(mail.open().locate(&names[0]).is_err());
    assert_eq!(mail.rows(), [row("2.a.h", 3, 2)]);
}

#[test]
fn a_directory_that_stood_still_is_not_gone_through() {
    let mail = Mailbox::maildir();
    for n in 0..9 {
        mail.write(&format!("cur/{n}.a.h:2,S"), "a\n");
    }
    mail.write("new/9.a.h", "a\n");
    mail.age(5);
    let rows = mail.rows();
    assert_eq!((mail.scanned(), mail.rows()), (vec![], rows.clone()));
    // A delivery: one directory, one file.
    mail.write("new/10.a.h", "a\nb\n");
    assert_eq!(mail.scanned(), ["new"]);
    assert_eq!(mail.rows()[..10], rows);
    assert_eq!(mail.rows()[10], row("10.a.h", 6, 10));
    // Seen by a mail program.
    mail.rename("new/10.a.h", "cur/10.a.h:2,S");
    assert_eq!(
        (mail.scanned(), mail.measured()),
        (vec!["new".into(), "cur".into()], 0)
    );
    assert_eq!(mail.rows()[10], row("10.a.h", 6, 10));
    fs::remove_file(mail.path().join("cur/3.a.h:2,S")).unwrap();
    assert_eq!(mail.rows().len(), 10);
    // Written down anew once nothing has happened for a while.
    mail.age(5);
    mail.listing();
    assert_eq!(mail.scanned(), ["new", "cur"]);
    mail.age(700);
    mail.listing();
    assert!(mail.scanned().is_empty());
    mail.replace_cur();
    assert_eq!(mail.rows(), [row("9.a.h", 3, 9)]);
}

/// As `rsync -t` and some file servers have it: a delivery, and the old time.
#[test]
fn a_directory_whose_time_is_not_trusted_is_gone_through_each_time() {
    let mail = Mailbox::maildir();
    mail.write("cur/1.a.h", "a\n");
    mail.age(5);
    let trusting = mail.listing();
    let cur = mail.path().join("cur");
    let time = fs::metadata(&cur).unwrap().modified().unwrap();
    mail.write("cur/2.a.h", "b\n");
    let cur = fs::File::open(cur).unwrap();
    cur.set_modified(time).unwrap();
    assert_eq!(mail.rows().len(), 1);
    let mut wary = mail.open().without_times();
    // A host is to ask each time.
    assert_eq!(wary.stamp().unwrap(), None);
    assert_eq!(wary.listing().unwrap().len(), 2);
    assert_eq!(wary.stamp().unwrap(), None);
    let changes = mail
        .open()
        .without_times()
        .changes(trusting.memo().unwrap());
    assert_eq!(changes.unwrap().unwrap().came().len(), 1);
    // The index spares the measuring all the same.
    mail.watched.measured.set(0);
    assert_eq!(mail.open().without_times().listing().unwrap().len(), 2);
    assert_eq!(mail.watched.measured.get(), 0);
}

#[test]
fn a_directory_that_was_fresh_when_it_was_seen_is_not_trusted() {
    let mail = Mailbox::maildir();
    mail.write("cur/1.a.h", "a\n");
    let time = fs::metadata(mail.path().join("cur"))
        .unwrap()
        .modified()
        .unwrap();
    mail.listing();
    // Within the same grain of the clock, as it may be.
    mail.write("cur/2.a.h", "a\n");
    let cur = fs::File::open(mail.path().join("cur")).unwrap();
    cur.set_modified(time).unwrap();
    assert_eq!(mail.rows().len(), 2);
}

#[test]
fn what_could_not_be_read_is_looked_for_again() {
    let mail = Mailbox::maildir();
    mail.write("cur/1.a.h", "a\n");
    mail.write("cur/2.unreadable", "a\n");
    mail.age(5);
    assert_eq!(mail.rows().len(), 2);
    assert_eq!(mail.scanned(), ["new", "cur"]);
    mail.write("cur/1.a.h:2,S", "a\n");
    mail.age(5);
    mail.listing();
    assert_eq!(mail.scanned(), ["new", "cur"]);
}

/// A listing as a host has it, brought up to date by the changes.
struct Remembered {
    rows: Vec<(String, u64, u64)>,
    memo: Option<String>,
}

impl Remembered {
    fn of(listing: &Listing) -> Remembered {
        Remembered {
            rows: rows_of(listing),
            memo: listing.memo().map(str::to_owned),
        }
    }

    /// False: they could not be told.
    fn update(&mut self, mail: &Mailbox) -> bool {
        let memo = self.memo.as_deref().unwrap();
        let Some(changes) = mail.open().changes(memo).unwrap() else {
            return false;
        };
        for gone in changes.gone() {
            let before = self.rows.len();
            self.rows.retain(|(id, ..)| id != gone);
            assert_eq!(self.rows.len(), before - 1, "{gone}");
        }
        for came in rows_of(changes.came()) {
            let at = self.rows.iter().rposition(|row| row.2 <= came.2);
            self.rows.insert(at.map_or(0, |at| at + 1), came);
        }
        self.memo = changes.came().memo().map(str::to_owned);
        true
    }
}

fn rows_of(listing: &Listing) -> Vec<(String, u64, u64)> {
    let ids = listing.unique_ids().map(str::to_owned);
    ids.zip(listing.octets())
        .zip(listing.received())
        .map(|((id, octets), received)| (id, *octets, *received))
        .collect()
}

#[test]
fn changes_are_told_of_a_listing_that_somebody_remembers() {
    let mail = Mailbox::maildir();
    for n in 0..9 {
        mail.write(&format!("cur/{n}.a.h:2,S"), "a\n");
    }
    let mut remembered = Remembered::of(&mail.listing());
    let acts: [&dyn Fn(); 8] = [
        &|| {},
        &|| mail.write("new/20.a.h", "a\nb\n"),
        &|| mail.write("new/15.a.h", "a\n"),
        &|| mail.rename("new/20.a.h", "cur/20.a.h:2,S"),
        &|| mail.rename("cur/3.a.h:2,S", "cur/3.a.h,S=2:2,RS"),
        &|| fs::remove_file(mail.path().join("cur/4.a.h:2,S")).unwrap(),
        &|| {
            mail.write("tmp/5.a.h", "something else\n");
            mail.rename("tmp/5.a.h", "cur/5.a.h:2,S");
        },
        &|| {
            fs::remove_dir_all(mail.path().join("new")).unwrap();
            fs::create_dir(mail.path().join("new")).unwrap();
            mail.write("cur/30.a.h", "a\n");
        },
    ];
    for (number, act) in acts.iter().enumerate() {
        act();
        assert!(remembered.update(&mail), "{number}");
        assert_eq!(remembered.rows, mail.rows(), "{number}");
        mail.watched.scanned.take();
    }
}

#[test]
fn a_delivery_beside_a_large_directory_costs_one_look_at_the_small_one() {
    let mail = Mailbox::maildir();
    for n in 0..2000 {
        mail.write(&format!("cur/1{n:05}.a.h:2,S"), "a\n");
    }
    mail.age(5);
    let mut remembered = Remembered::of(&mail.listing());
    assert!(remembered.memo.as_ref().unwrap().len() < 200);
    mail.watched.scanned.take();
    mail.watched.measured.set(0);
    for n in 1..4 {
        mail.write(&format!("new/20000{n}.a.h"), "a\n");
        assert!(remembered.update(&mail));
    }
    assert_eq!(mail.watched.scanned.take(), ["new"; 3]);
    assert_eq!(mail.watched.measured.get(), 3);
    assert_eq!(remembered.rows, mail.rows());
    // What happens among so many is not told one by one.
    mail.rename("new/200001.a.h", "cur/200001.a.h:2,S");
    mail.watched.scanned.take();
    assert!(!remembered.update(&mail));
    assert!(mail.watched.scanned.take().is_empty());
}

#[test]
fn changes_that_are_many_or_doubtful_are_not_told() {
    let mail = Mailbox::maildir();
    mail.write("cur/1.a.h", "a\n");
    let remembered = || Remembered::of(&mail.listing());
    // The index is to learn of them one day.
    let mut one_by_one = remembered();
    let told = (0..40).take_while(|n| {
        mail.write(&format!("new/5{n}.a.h"), "a\n");
        one_by_one.update(&mail)
    });
    assert_eq!(told.count(), 16);
    let mut at_once = remembered();
    for n in 0..70 {
        mail.write(&format!("new/6{n}.a.h"), "a\n");
    }
    assert!(!at_once.update(&mail));
    let mut with_unreadable = remembered();
    mail.write("new/7.unreadable", "a\n");
    assert!(!with_unreadable.update(&mail));
    fs::remove_file(mail.path().join("new/7.unreadable")).unwrap();
    let mut with_two = remembered();
    mail.write("new/8.a.h", "a\n");
    mail.write("new/8.a.h:2,S", "a\n");
    assert!(!with_two.update(&mail));
    assert_eq!(mail.listing().memo(), None);
    for memo in ["", "rubbish", "1/2/3"] {
        assert_eq!(mail.open().changes(memo).unwrap(), None);
    }
}

#[test]
fn a_broken_index_is_built_anew() {
    let mail = Mailbox::maildir();
    mail.write("cur/1.a.h", "a\nb\n");
    let rows = mail.rows();
    let good = fs::read(mail.path().join(index::FILE)).unwrap();
    for bad in [&b""[..], b"rubbish", &good[..good.len() - 1], &[0; 4096]] {
        fs::write(mail.path().join(index::FILE), bad).unwrap();
        assert_eq!(mail.rows(), rows);
        assert_eq!(fs::read(mail.path().join(index::FILE)).unwrap(), good);
    }
}

#[test]
fn an_index_that_cannot_be_written_is_done_without() {
    let mail = Mailbox::maildir();
    mail.write("cur/1.a.h", "a\nb\n");
    fs::create_dir(mail.path().join(index::FILE)).unwrap();
    for _ in 0..2 {
        assert_eq!(mail.rows(), [row("1.a.h", 6, 1)]);
        assert_eq!(mail.measured(), 1);
    }
    assert_eq!(fs::read_dir(mail.path()).unwrap().count(), 4);
}

#[test]
fn the_index_forgets_what_is_gone_and_is_left_alone_otherwise() {
    let mail = Mailbox::maildir();
    for n in 0..10 {
        mail.write(&format!("cur/{n}.a.h"), "a\n");
    }
    mail.listing();
    let full = fs::metadata(mail.path().join(index::FILE)).unwrap();
    mail.listing();
    let same = fs::metadata(mail.path().join(index::FILE)).unwrap();
    assert_eq!(full.modified().unwrap(), same.modified().unwrap());
    fs::remove_file(mail.path().join("cur/5.a.h")).unwrap();
    mail.listing();
    let less = fs::metadata(mail.path().join(index::FILE)).unwrap();
    assert_eq!(full.len() - less.len(), 43 + 5);
}

#[test]
fn a_large_index_is_not_rewritten_for_every_message() {
    let mail = Mailbox::maildir();
    for n in 0..1000 {
        mail.write(&format!("cur/{n}.a.h"), "a\n");
    }
    mail.listing();
    mail.write("new/1000.a.h", "a\n");
    assert_eq!([mail.measured(), mail.measured()], [1, 1]);
    for n in 1001..1004 {
        mail.write(&format!("new/{n}.a.h"), "a\n");
    }
    assert_eq!([mail.measured(), mail.measured()], [4, 0]);
}

#[test]
fn what_vanishes_before_it_is_measured_is_left_out() {
    let mail = Mailbox::maildir();
    for n in 1..4 {
        mail.write(&format!("new/{n}.a.h"), "a\n");
    }
    let root = mail.path().to_owned();
    *mail.watched.on_measure.borrow_mut() = Some(Box::new(move |path| {
        if path == "new/2.a.h" {
            let _ = fs::remove_file(root.join(path));
        }
    }));
    assert_eq!(mail.rows(), [row("1.a.h", 3, 1), row("3.a.h", 3, 3)]);
}

#[test]
fn what_moves_before_it_is_measured_is_found() {
    let mail = Mailbox::maildir();
    for n in 1..4 {
        mail.write(&format!("new/{n}.a.h"), "a\n");
    }
    let root = mail.path().to_owned();
    *mail.watched.on_measure.borrow_mut() = Some(Box::new(move |path| {
        if path == "new/2.a.h" {
            let _ = fs::rename(root.join(path), root.join("cur/2.a.h:2,S"));
        }
    }));
    assert_eq!(mail.rows().len(), 3);
    assert_eq!(mail.rows()[1], row("2.a.h", 3, 2));
}

#[test]
fn a_message_is_found_wherever_it_went() {
    let mail = Mailbox::maildir();
    mail.write("new/1.a.h", "a\n");
    mail.write("new/2.a.h", "a\n");
    mail.write("cur/3.a b:2,", "a\n");
    let names = mail.names();
    // Another instance, which knows nothing.
    let mut maildir = mail.open();
    assert_eq!(maildir.locate(&names[0]).unwrap(), "new/1.a.h");
    mail.rename("new/1.a.h", "cur/1.a.h:2,");
    assert_eq!(maildir.locate(&names[0]).unwrap(), "cur/1.a.h:2,");
    mail.rename("cur/1.a.h:2,", "cur/1.a.h,S=2,W=3:2,RS");
    assert_eq!(maildir.locate(&names[0]).unwrap(), "cur/1.a.h,S=2,W=3:2,RS");
    mail.rename("cur/3.a b:2,", "cur/3.a b:2,S");
    assert_eq!(maildir.locate(&names[2]).unwrap(), "cur/3.a b:2,S");
    fs::remove_file(mail.path().join("new/2.a.h")).unwrap();
    assert!(matches!(
        maildir.locate(&names[1]),
        Err(Failure::Temporary(_))
    ));
    assert!(maildir.locate(&names[0]).is_ok());
}

#[test]
fn the_first_answer_is_without_a_look_and_the_second_with_one() {
    let mail = Mailbox::maildir();
    mail.write("new/1.a.h", "a\n");
    mail.write("new/2.a.h", "a\n");
    mail.write("cur/3.a.h:2,", "a\n");
    let link = mail.path().join("cur/3.a.h:2,S");
    fs::hard_link(mail.path().join("cur/3.a.h:2,"), link).unwrap();
    let names = mail.names();
    let mut maildir = mail.open();
    mail.rename("new/1.a.h", "cur/1.a.h:2,S");
    assert_eq!(maildir.content(&names[0]).unwrap(), "new/1.a.h");
    assert_eq!(maildir.content(&names[0]).unwrap(), "cur/1.a.h:2,S");
    assert_eq!(maildir.content(&names[0]).unwrap(), "cur/1.a.h:2,S");
    // Another message between: the host found what it was told.
    assert_eq!(maildir.content(&names[1]).unwrap(), "new/2.a.h");
    assert_eq!(maildir.content(&names[0]).unwrap(), "new/1.a.h");
    mail.write("new/2.a.h", "ab\n");
    assert_eq!(maildir.content(&names[1]).unwrap(), "new/2.a.h");
    assert!(matches!(
        maildir.content(&names[1]),
        Err(Failure::Temporary(_))
    ));
    // Of a file with two names the second serves as well.
    fs::remove_file(mail.path().join("cur/3.a.h:2,")).unwrap();
    assert_eq!(maildir.content(&names[2]).unwrap(), "cur/3.a.h:2,");
    assert_eq!(maildir.content(&names[2]).unwrap(), "cur/3.a.h:2,S");
}

#[test]
fn a_message_that_was_changed_is_not_served_with_the_old_octets() {
    let mail = Mailbox::maildir();
    mail.write("cur/1.a.h:2,", "a\n");
    let mut maildir = mail.open();
    let names = names(&maildir.listing().unwrap());
    mail.write("cur/1.a.h:2,", "ab\n");
    assert!(matches!(
        maildir.locate(&names[0]),
        Err(Failure::Temporary(_))
    ));
}

#[test]
fn exactly_what_is_named_is_removed() {
    let mail = Mailbox::maildir();
    for n in 1..7 {
        mail.write(&format!("new/{n}.a.h"), "a\n");
    }
    let names = mail.names();
    mail.rename("new/2.a.h", "cur/2.a.h:2,S");
    fs::remove_file(mail.path().join("new/3.a.h")).unwrap();
    mail.write("new/9.a.h", "arrived meanwhile\n");
    mail.open().remove(&names[..4]).unwrap();
    let left: Vec<String> = mail.rows().into_iter().map(|(id, _, _)| id).collect();
    assert_eq!(left, ["5.a.h", "6.a.h", "9.a.h"]);
    mail.open().remove(&[]).unwrap();
    mail.open().remove(&names[..4]).unwrap();
    assert_eq!(mail.rows().len(), 3);
}

#[test]
fn one_failure_does_not_keep_the_others() {
    let mail = Mailbox::maildir();
    for n in 1..4 {
        mail.write(&format!("new/{n}.a.h"), "a\n");
    }
    let mut names = mail.names();
    // In the place of the second a directory, which cannot be unlinked.
    fs::remove_file(mail.path().join("new/2.a.h")).unwrap();
    fs::create_dir(mail.path().join("new/2.a.h")).unwrap();
    names.insert(0, "nonsense".into());
    assert!(mail.open().remove(&names).is_err());
    assert!(!mail.exists("new/1.a.h") && !mail.exists("new/3.a.h"));
}

#[test]
fn a_stamp_changes_with_the_maildrop() {
    let mail = Mailbox::maildir();
    mail.write("new/1.a.h", "a\n");
    let stamp = || mail.open().stamp().unwrap();
    mail.age(3);
    let before = stamp();
    assert!(before.is_some());
    assert_eq!(stamp(), before);
    mail.rename("new/1.a.h", "cur/1.a.h:2,S");
    assert_ne!(stamp(), before);
    mail.age(10);
    assert_ne!(stamp(), before);
    // The same times, but other directories.
    let swapped = stamp();
    mail.replace_cur();
    assert_ne!(stamp(), swapped);
}

#[test]
fn a_stamp_after_the_listing_vouches_for_the_listing() {
    let mail = Mailbox::maildir();
    mail.age(10);
    let mut maildir = mail.open();
    let before = maildir.stamp().unwrap();
    maildir.listing().unwrap();
    assert_eq!(maildir.stamp().unwrap(), before);
    mail.write("new/1.a.h", "a\n");
    mail.age(5);
    assert_eq!(maildir.stamp().unwrap(), None);

    // Listed while it was fresh: later the stamp is still not to be trusted.
    let mail = Mailbox::maildir();
    let mut maildir = mail.open();
    maildir.listing().unwrap();
    assert_eq!(maildir.stamp().unwrap(), None);
}

#[test]
fn the_roles_work_together() {
    let mail = Mailbox::maildir();
    mail.write("new/1.a.h", "a\n");
    let mut open = Mail::open(Account::new("mrose")).unwrap();
    let listing = open.listing().unwrap();
    let Content::File(range) = open.content(&names(&listing)[0]).unwrap() else {
        panic!("not a file");
    };
    assert_eq!(
        (range.path.as_str(), range.offset, range.length),
        ("new/1.a.h", 0, None)
    );
    assert!(open.content("no/such").is_err());
    assert!(open.content("").is_err());
    open.remove(&names(&listing)).unwrap();
    assert!(open.listing().unwrap().is_empty());
    testing::set_settings([("creat", "true"), ("create", "yes")]);
    assert_eq!(Mail::validate().unwrap_err().len(), 2);
    assert!(matches!(
        Mail::open(Account::new("mrose")),
        Err(Failure::Permanent(_))
    ));
    testing::set_settings([("create", "true")]);
    assert_eq!(
        Settings::parse(&settings::all()),
        Ok(Settings {
            create: true,
            trust_times: true,
            seen: false
        })
    );
    fs::remove_dir(mail.path().join("tmp")).unwrap();
    Mail::open(Account::new("mrose")).unwrap();
    assert!(mail.exists("tmp"));
}

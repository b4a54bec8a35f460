//! Sessions with an index in memory.

use restante_guest::testing::{self, MailIndex, SampleEntry, Session};

use super::*;

const TEXT: &str = "Subject: hello\n\nbody\n";

fn entry(unique_id: &str, received: u64) -> SampleEntry {
    SampleEntry {
        unique_id: unique_id.into(),
        octets: 24,
        received,
        name: format!("{unique_id}.eml x"),
        ..SampleEntry::default()
    }
}

fn session() -> Session<Spool> {
    Session::open(Account::new("alice")).unwrap()
}

fn stamp() -> String {
    Spool.stamp().unwrap().unwrap()
}

fn changes(memo: &str) -> Option<Changes> {
    Spool.changes(memo).unwrap()
}

fn ids(listing: &Listing) -> Vec<&str> {
    listing.unique_ids().collect()
}

fn log() -> String {
    let lines = testing::take_log().into_iter();
    lines.map(|line| line.text + "\n").collect()
}

#[test]
fn messages_are_served_as_they_came() {
    let index = MailIndex::new();
    assert!(session().listing().is_empty());
    let texts = [TEXT, "Subject: two\n\n.\n", "\n"];
    let unique_ids: Vec<String> = (1..)
        .zip(texts)
        .map(|(number, text)| index.deliver(&format!("t/{number}.eml"), text))
        .collect();
    let mut session = session();
    assert_eq!(session.unique_ids(), unique_ids);
    assert_eq!(session.listing().octets(), [24, 19, 2]);
    for (position, text) in texts.iter().enumerate() {
        assert_eq!(session.retrieve(position).unwrap(), text.as_bytes());
    }
}

#[test]
fn a_listing_has_what_the_index_has_and_names_for_both_uses() {
    let index = MailIndex::new();
    let with_surrogate = SampleEntry {
        octets: 30,
        surrogate: Some(33),
        name: "2026/11/b note of the one who delivered".into(),
        ..entry("b", 20)
    };
    index.append("", entry("a", 10));
    index.append("", with_surrogate);
    let session = session();
    let listing = session.listing();
    assert_eq!(ids(listing), ["a", "b"]);
    assert_eq!(listing.octets(), [24, 30]);
    assert_eq!(listing.received(), [10, 20]);
    let names: Vec<_> = listing.names().collect();
    assert_eq!(names, ["a a.eml", "b 2026/11/b"]);
    assert_eq!(listing.surrogates(), [(1, 33)]);
    assert_eq!(listing.memo(), Some("2"));
}

#[test]
fn the_oldest_message_is_the_first_whatever_came_first() {
    let index = MailIndex::new();
    // Delivered by servers whose clocks differ, or brought from elsewhere.
    for (unique_id, received) in [("a", 20), ("b", 10), ("c", 20)] {
        index.append("", entry(unique_id, received));
    }
    assert_eq!(ids(session().listing()), ["b", "a", "c"]);
    index.append("", entry("d", 25));
    index.append("", entry("e", 15));
    let changes = changes("3").unwrap();
    assert_eq!(ids(changes.came()), ["e", "d"]);
    assert_eq!(ids(session().listing()), ["b", "e", "a", "c", "d"]);
}

#[test]
fn a_stamp_changes_with_each_change() {
    let index = MailIndex::new();
    let mut stamps = vec![stamp()];
    index.append("", entry("a", 1));
    stamps.push(stamp());
    index.append("", entry("b", 1));
    stamps.push(stamp());
    index.remove("", &["a"]);
    stamps.push(stamp());
    session().quit(&[0]).unwrap();
    stamps.push(stamp());
    assert_eq!(stamps, ["0", "1", "2", "3", "4"]);
    index.append("lists", entry("c", 1));
    assert_eq!(stamp(), "4", "a folder is another maildrop");
    assert_eq!(stamp(), "4");
}

#[test]
fn changes_tell_what_came_and_went() {
    let index = MailIndex::new();
    for unique_id in ["a", "b", "c"] {
        index.append("", entry(unique_id, 1));
    }
    let memo = session().listing().memo().unwrap().to_owned();
    let none = changes(&memo).unwrap();
    assert_eq!((none.gone().count(), none.came().len()), (0, 0));
    assert_eq!(none.came().memo(), Some(&*memo));

    let surrogate = Some(25);
    index.append(
        "",
        SampleEntry {
            surrogate,
            ..entry("d", 2)
        },
    );
    session().quit(&[1]).unwrap();
    let some = changes(&memo).unwrap();
    assert_eq!(some.gone().collect::<Vec<_>>(), ["b"]);
    assert_eq!(ids(some.came()), ["d"]);
    assert_eq!(some.came().names().collect::<Vec<_>>(), ["d d.eml"]);
    assert_eq!(some.came().surrogates(), [(0, 25)]);
    assert_eq!(some.came().memo(), Some("5"));
    let rest = changes("5").unwrap();
    assert_eq!((rest.gone().count(), rest.came().len()), (0, 0));
}

#[test]
fn a_memo_that_tells_nothing_has_all_listed() {
    testing::take_log();
    let index = MailIndex::new();
    index.append("", entry("a", 1));
    index.append("", entry("b", 1));
    // Of another store, of a maildrop that was made again, and of long ago.
    for memo in ["", "x", "1/0/", "-1", "1 ", "18446744073709551616", "3"] {
        assert!(changes(memo).is_none(), "{memo:?}");
    }
    assert!(changes("1").is_some());
    index.forget_changes();
    assert!(changes("1").is_none());
    assert!(changes("2").is_some());
    assert_eq!(log(), "");
}

#[test]
fn all_messages_are_removed_or_none() {
    let index = MailIndex::new();
    for unique_id in ["a", "b", "c"] {
        index.append("", entry(unique_id, 1));
    }
    let here = session();
    index.remove("", &["b"]);
    let failure = here.quit(&[0, 1]).unwrap_err();
    assert_eq!(failure, Failure::permanent("messages were not removed"));
    assert!(log().contains("unique-id b is not in the folder"));
    assert_eq!(ids(session().listing()), ["a", "c"]);
    session().quit(&[0, 1]).unwrap();
    assert!(session().listing().is_empty());
    // None: nothing is asked, and nothing changes.
    Spool.remove(&[]).unwrap();
    assert_eq!(stamp(), "5");
}

#[test]
fn octets_are_named_by_their_path_each_time() {
    for (name, path) in [("1.a 2026/11/x", "/blobs/2026/11/x"), ("1.a x", "/blobs/x")] {
        // A message may be asked for more than once in a session.
        let mut spool = Spool;
        for _ in 0..2 {
            let Ok(Content::File(range)) = spool.content(name) else {
                panic!("{name}: not a file");
            };
            assert_eq!((&*range.path, range.offset, range.length), (path, 0, None));
        }
    }
    let failure = Failure::permanent("there is no such message");
    assert_eq!(Spool.content("1.a").err(), Some(failure.clone()));
    assert_eq!(Spool.remove(&["1.a".to_owned()]), Err(failure));
}

#[test]
fn a_lost_blob_costs_one_message() {
    let index = MailIndex::new();
    index.deliver("1.eml", TEXT);
    index.deliver("2.eml", TEXT);
    index.lose_blob("1.eml");
    let mut session = session();
    assert_eq!(session.unique_ids().len(), 2, "it stays listed");
    assert_eq!(session.retrieve(1).unwrap(), TEXT.as_bytes());
    session.quit(&[0]).unwrap();
}

#[test]
fn each_problem_has_a_failure_and_a_line_in_the_log() {
    testing::take_log();
    let index = MailIndex::new();
    index.append("", entry("a", 1));
    let name = "a a.eml".to_owned();
    let temporary = Failure::temporary;
    let permanent = Failure::permanent;
    let unread = "the maildrop cannot be read";
    let stays = "messages were not removed";
    for (problem, read, removed) in [
        (
            Problem::Unavailable("why".into()),
            temporary(unread),
            temporary(stays),
        ),
        (
            Problem::Unknown("why".into()),
            temporary(unread),
            temporary("it is not known whether messages were removed: see at the next login"),
        ),
        (
            Problem::Lost,
            temporary(unread),
            temporary("messages were not removed: another server has the maildrop by now"),
        ),
        (
            Problem::Invalid("why".into()),
            permanent(unread),
            permanent(stays),
        ),
    ] {
        let words = problem.to_string();
        index.set_problem(problem);
        let logged = |what: &str| {
            let log = log();
            assert_eq!(log.lines().count(), 1, "{what}: {log}");
            assert!(log.contains(&words), "{what}: {log}");
        };
        assert_eq!(Spool.stamp(), Err(read.clone()));
        logged("stamp");
        assert_eq!(Spool.listing(), Err(read.clone()));
        logged("listing");
        assert_eq!(Spool.changes("0"), Err(read));
        logged("changes");
        assert_eq!(Spool.remove(std::slice::from_ref(&name)), Err(removed));
        logged("remove");
    }
    index.set_problem(None);
    assert_eq!(ids(session().listing()), ["a"]);
}

#[test]
fn a_hundred_thousand_messages_are_listed_in_one_pass() {
    const MESSAGES: usize = 100_000;
    let index = MailIndex::new();
    for number in 0..MESSAGES {
        index.append("", entry(&format!("1.{number:x}"), number as u64));
    }
    let session = session();
    let listing = session.listing();
    assert_eq!(listing.len(), MESSAGES);
    let (first, last) = (listing.names().next(), listing.names().last());
    assert_eq!(
        (first, last),
        (Some("1.0 1.0.eml"), Some("1.1869f 1.1869f.eml"))
    );
    // More than one call can hand over: in several, each of which is all or none.
    let all: Vec<usize> = (0..MESSAGES).collect();
    session.quit(&all).unwrap();
    let calls = MESSAGES / MAX_REMOVALS;
    assert_eq!(stamp(), (MESSAGES + calls).to_string());
    assert!(self::session().listing().is_empty());
}

#[test]
fn a_removal_that_ends_half_way_says_so() {
    let index = MailIndex::new();
    let unique_ids: Vec<String> = (0..=MAX_REMOVALS).map(|id| format!("1.{id}")).collect();
    for unique_id in &unique_ids {
        index.append("", entry(unique_id, 1));
    }
    let here = session();
    index.remove("", &[unique_ids.last().unwrap()]);
    let all: Vec<usize> = (0..unique_ids.len()).collect();
    assert!(here.quit(&all).is_err());
    let log = log();
    assert!(
        log.contains("20000 of these 20001 messages were removed before"),
        "{log}"
    );
}

#[test]
fn there_are_no_settings() {
    testing::set_settings([("", ""); 0]);
    assert_eq!(Spool::validate(), Ok(()));
    testing::set_settings([("folder", "lists"), ("create", "true")]);
    let problems = Spool::validate().unwrap_err();
    assert_eq!(problems.len(), 2);
    assert!(
        problems[0].starts_with("folder: unknown setting"),
        "{problems:?}"
    );
}

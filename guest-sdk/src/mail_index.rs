//! The session's maildrop where an engine of the operator's keeps it: what is in it, in
//! order. The octets of a message are elsewhere; its entry has their path, and
//! [`Content::blob`](crate::store::Content::blob) has the host serve them.
//!
//! A store sees this one maildrop. The engine may be one file, or a database that many
//! servers share, so that messages come at any time; while the session lasts, it alone
//! removes some.
//!
//! ```
//! use restante_guest::prelude::*;
//! use restante_guest::{mail_index, testing};
//!
//! struct Mail;
//!
//! impl Maildrop for Mail {
//!     fn open(_: Account) -> Result<Mail, Failure> {
//!         Ok(Mail)
//!     }
//!
//!     fn listing(&mut self) -> Result<Listing, Failure> {
//!         let entries = mail_index::read("")
//!             .map_err(|problem| problem.failure("the maildrop cannot be read"))?;
//!         // `content` gets a path, and `remove` a unique-id.
//!         Ok(entries.into_listing_named(|entry| [entry.unique_id, " ", entry.path()]))
//!     }
//!
//!     fn content(&mut self, name: &str) -> Result<Content, Failure> {
//!         let path = name.split_once(' ').map(|(_, path)| path);
//!         Ok(Content::blob(path.unwrap_or_default()))
//!     }
//!
//!     fn remove(&mut self, names: &[String]) -> Result<(), Failure> {
//!         let unique_id = |name: &String| name.split(' ').next().unwrap_or_default().to_owned();
//!         let unique_ids: Vec<String> = names.iter().map(unique_id).collect();
//!         for unique_ids in unique_ids.chunks(mail_index::MAX_REMOVALS) {
//!             mail_index::remove("", unique_ids)
//!                 .map_err(|problem| problem.failure("messages were not removed"))?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! // In a test: a maildrop, and a session with it.
//! let index = testing::MailIndex::new();
//! index.deliver("2026/1.eml", "Subject: hello\n\nbody\n");
//! let mut session = testing::Session::<Mail>::open(Account::new("alice"))?;
//! assert_eq!(session.retrieve(0)?, b"Subject: hello\n\nbody\n");
//! session.quit(&[0])?;
//! assert!(mail_index::read("").is_ok_and(|entries| entries.is_empty()));
//! # Ok::<(), Failure>(())
//! ```

use std::fmt;

pub use crate::bindings::host::restante::plugin::mail_index::Summary;

use crate::bindings::host::restante::plugin::mail_index as raw;
use crate::log;
use crate::store::{Changes, Listing};
use crate::types::Failure;

#[cfg(target_family = "wasm")]
use crate::bindings::host::restante::plugin::mail_index as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::mail_index as host;

/// Unique-ids that one call of [`remove`] can take, however long they are: what a guest
/// hands over in a call has at most 2 MiB, and each text of a list counts 24 bytes beside
/// its own.
pub const MAX_REMOVALS: usize = 20_000;

/// Why there is no answer. The texts are for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The engine does not answer, or not in time. If it was a change, it was not made, and
    /// will not be. Trying again later may help.
    Unavailable(String),
    /// The engine does not answer, and whether the change was made is not known.
    Unknown(String),
    /// This session does not hold the maildrop any more: another one may have it. Nothing
    /// was changed.
    Lost,
    /// The plugin is not granted a maildrop in an engine, or what it asked is not as it has
    /// to be. Nothing was changed.
    Invalid(String),
}

impl Problem {
    /// Logs the problem, and makes of it what the client is told: `text`, permanent if the
    /// problem stays until somebody acts ([`Problem::Invalid`]), else temporary.
    pub fn failure(&self, text: impl Into<String>) -> Failure {
        let text = text.into();
        match self {
            Problem::Unavailable(_) | Problem::Unknown(_) => {
                log::error!("{text}: {self}");
                Failure::temporary(text)
            }
            Problem::Lost => {
                log::warn!("{text}: {self}");
                Failure::temporary(text)
            }
            Problem::Invalid(_) => {
                log::error!("{text}: {self}");
                Failure::permanent(text)
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Unavailable(text) => write!(out, "the mail index is unavailable: {text}"),
            Problem::Unknown(text) => write!(
                out,
                "the mail index does not answer, and whether the change was made is not known: \
                 {text}"
            ),
            Problem::Lost => out.write_str(
                "this session does not hold the maildrop any more, and another server may have it",
            ),
            Problem::Invalid(text) => write!(out, "the mail index refused a call: {text}"),
        }
    }
}

impl std::error::Error for Problem {}

impl From<raw::Problem> for Problem {
    fn from(problem: raw::Problem) -> Problem {
        match problem {
            raw::Problem::Unavailable(text) => Problem::Unavailable(text),
            raw::Problem::Unknown(text) => Problem::Unknown(text),
            raw::Problem::Lost => Problem::Lost,
            raw::Problem::Invalid(text) => Problem::Invalid(text),
        }
    }
}

/// A message in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// 1 to 70 octets of 0x21..0x7E, never used again.
    pub unique_id: &'a str,
    /// As a client gets it: with CRLF line ends, without byte-stuffing.
    pub octets: u64,
    /// When it came, in seconds since the Unix epoch; 0: not known.
    pub received: u64,
    /// The path of its octets, and perhaps a space and what its store has noted.
    pub name: &'a str,
    /// The octets of its surrogate, for clients that have not issued UTF8, where those are
    /// others (RFC 6856 section 2.1).
    pub surrogate: Option<u64>,
}

impl<'a> Entry<'a> {
    /// The path of its octets, for [`Content::blob`](crate::store::Content::blob): its name
    /// up to the first space.
    pub fn path(&self) -> &'a str {
        self.name
            .split_once(' ')
            .map_or(self.name, |(path, _)| path)
    }
}

/// Messages of a folder, in the order in which they came.
///
/// `Listing::from(entries)` is the listing of a store whose names are those in the index;
/// where they have to tell more, it is [`Entries::into_listing_named`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries(raw::Entries);

impl Entries {
    /// The version that the folder had when it was read: [`changes`] tells what came later.
    pub fn version(&self) -> u64 {
        self.0.version
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.0.octets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.octets.is_empty()
    }

    /// The messages, one by one.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let columns = &self.0;
        let texts = unpacked(&columns.unique_ids).zip(unpacked(&columns.names));
        let numbers = columns.octets.iter().zip(&columns.received);
        let mut surrogates = columns.surrogates.iter().peekable();
        let rows = texts.zip(numbers).enumerate();
        rows.map(move |(position, ((unique_id, name), (octets, received)))| {
            let surrogate = surrogates.next_if(|(at, _)| *at as usize == position);
            Entry {
                unique_id,
                octets: *octets,
                received: *received,
                name,
                surrogate: surrogate.map(|(_, octets)| *octets),
            }
        })
    }

    /// The listing, in which each message is called what `name` makes of its entry: parts
    /// that are put together, without a NUL. Oldest message first, and with the version as
    /// its memo. Columns that stay as they are are not copied.
    ///
    /// ```
    /// use restante_guest::{mail_index, testing};
    ///
    /// let index = testing::MailIndex::new();
    /// let unique_id = index.deliver("a.eml", "\n");
    /// let entries = mail_index::read("")?;
    /// let listing = entries.into_listing_named(|entry| [entry.unique_id, " ", entry.path()]);
    /// assert_eq!(listing.names().next(), Some(&*format!("{unique_id} a.eml")));
    /// assert_eq!(listing.memo(), Some("1"));
    /// # Ok::<(), mail_index::Problem>(())
    /// ```
    pub fn into_listing_named<const N: usize>(
        mut self,
        name: impl for<'a> Fn(Entry<'a>) -> [&'a str; N],
    ) -> Listing {
        let mut names = String::with_capacity(self.0.names.len() + self.0.unique_ids.len());
        for entry in self.iter() {
            names.extend(name(entry));
            names.push('\0');
        }
        self.0.names = names;
        self.into()
    }

    /// By time of receipt, and among those of one second as they came. The index has them as
    /// they came, which is another order where the clocks of servers differ, or mail was
    /// brought from elsewhere. A listing is oldest first, and the host puts what comes later
    /// in its place by time.
    fn oldest_first(self) -> Entries {
        if self.0.received.is_sorted() {
            return self;
        }
        let mut rows: Vec<Entry<'_>> = self.iter().collect();
        rows.sort_by_key(|entry| entry.received);
        let surrogates = rows.iter().zip(0_u32..);
        let surrogates = surrogates.filter_map(|(entry, at)| Some((at, entry.surrogate?)));
        Entries(raw::Entries {
            unique_ids: packed(rows.iter().map(|entry| entry.unique_id)),
            octets: rows.iter().map(|entry| entry.octets).collect(),
            received: rows.iter().map(|entry| entry.received).collect(),
            names: packed(rows.iter().map(|entry| entry.name)),
            surrogates: surrogates.collect(),
            version: self.0.version,
        })
    }

    /// Columns that do not fit each other are no entries: a value that is missing must not
    /// pass for that of another message.
    fn checked(columns: raw::Entries) -> Result<Entries, Problem> {
        let messages = columns.octets.len();
        let texts = [&columns.unique_ids, &columns.names];
        let counts = texts.map(|packed| count(packed));
        if counts != [Some(messages); 2] || columns.received.len() != messages {
            return Err(malformed("its columns are not of one length"));
        }
        let positions = columns.surrogates.iter().map(|(position, _)| *position);
        let last = positions.clone().next_back();
        if !positions.is_sorted_by(|one, next| one < next)
            || last.is_some_and(|last| last as usize >= messages)
        {
            return Err(malformed("its surrogates are not of its messages"));
        }
        Ok(Entries(columns))
    }
}

impl From<Entries> for Listing {
    fn from(entries: Entries) -> Listing {
        let Entries(columns) = entries.oldest_first();
        let mut listing = Listing::of_columns(
            columns.unique_ids,
            columns.octets,
            columns.received,
            columns.names,
            columns.surrogates,
        );
        listing.set_memo(columns.version.to_string());
        listing
    }
}

/// What came and went since a version of a folder.
///
/// `Changes::from(difference)` is what a store answers whose names are those in the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    gone: String,
    came: Entries,
}

impl Difference {
    /// The unique-ids of messages that were there at that version, and are gone.
    pub fn gone(&self) -> impl Iterator<Item = &str> {
        unpacked(&self.gone)
    }

    /// The messages that came since and are there.
    pub fn came(&self) -> &Entries {
        &self.came
    }

    /// The changes, with names as of [`Entries::into_listing_named`].
    pub fn into_changes_named<const N: usize>(
        self,
        name: impl for<'a> Fn(Entry<'a>) -> [&'a str; N],
    ) -> Changes {
        Changes::of_columns(self.gone, self.came.into_listing_named(name))
    }
}

impl From<Difference> for Changes {
    fn from(difference: Difference) -> Changes {
        Changes::of_columns(difference.gone, difference.came.into())
    }
}

/// A folder in short: its version, which is another one after each change, and how many
/// messages and octets there are. "" is the maildrop itself, and any other name a folder in
/// it; a folder that never was is empty, and its version is 0.
///
/// Outside a component, as in `cargo test`, a [`testing::MailIndex`](crate::testing::MailIndex)
/// answers.
///
/// # Errors
/// Why there is no answer.
pub fn state(folder: &str) -> Result<Summary, Problem> {
    Ok(host::state(folder)?)
}

/// All messages of a folder, which is named as for [`state`].
///
/// # Errors
/// Why there is no answer.
pub fn read(folder: &str) -> Result<Entries, Problem> {
    Entries::checked(host::read(folder)?)
}

/// What came and went since a version of a folder. None: that cannot be told, because it is
/// too long ago, or the folder was never of this version.
///
/// # Errors
/// Why there is no answer.
pub fn changes(folder: &str, version: u64) -> Result<Option<Difference>, Problem> {
    let Some(raw::Difference { gone, came }) = host::changes(folder, version)? else {
        return Ok(None);
    };
    if count(&gone).is_none() {
        return Err(malformed("what is gone has no NUL at its end"));
    }
    let came = Entries::checked(came)?;
    Ok(Some(Difference { gone, came }))
}

/// Removes messages of a folder by their unique-ids: all of them, durably, or none, and only
/// while this session holds the maildrop. The host removes their octets later. More than
/// [`MAX_REMOVALS`] take several calls.
///
/// # Errors
/// Nothing was removed, but for [`Problem::Unknown`]. [`Problem::Invalid`] also if one of the
/// messages is not there, or is named twice.
pub fn remove(folder: &str, unique_ids: &[String]) -> Result<(), Problem> {
    Ok(host::remove(folder, unique_ids)?)
}

fn malformed(what: &str) -> Problem {
    Problem::Unavailable(format!("the host's answer is malformed: {what}"))
}

/// Texts in one, each with a NUL after it.
fn packed<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.flat_map(|text| [text, "\0"]).collect()
}

fn unpacked(packed: &str) -> impl Iterator<Item = &str> {
    packed.split_terminator('\0')
}

/// How many texts are packed. None: the last one has no NUL after it.
fn count(packed: &str) -> Option<usize> {
    let is_whole = packed.is_empty() || packed.ends_with('\0');
    is_whole.then(|| memchr::memchr_iter(0, packed.as_bytes()).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, MailIndex, SampleEntry};

    fn columns() -> raw::Entries {
        raw::Entries {
            unique_ids: "1.a\x001.b\x001.c\0".into(),
            octets: vec![10, 20, 30],
            received: vec![5, 6, 7],
            names: "a\0b/2 note 2\0c\0".into(),
            surrogates: vec![(0, 11), (2, 33)],
            version: 12,
        }
    }

    fn entry(unique_id: &str, received: u64) -> SampleEntry {
        SampleEntry {
            unique_id: unique_id.into(),
            octets: received * 10,
            received,
            name: format!("p/{unique_id} x"),
            ..SampleEntry::default()
        }
    }

    fn unique_ids(entries: &Entries) -> Vec<&str> {
        entries.iter().map(|entry| entry.unique_id).collect()
    }

    #[test]
    fn columns_are_read_row_by_row() {
        let entries = Entries::checked(columns()).unwrap();
        let version = entries.version();
        assert_eq!((entries.len(), entries.is_empty(), version), (3, false, 12));
        let rows: Vec<_> = entries.iter().collect();
        let expected = [
            ("1.a", 10, 5, "a", Some(11)),
            ("1.b", 20, 6, "b/2 note 2", None),
            ("1.c", 30, 7, "c", Some(33)),
        ];
        let expected = expected.map(|(unique_id, octets, received, name, surrogate)| Entry {
            unique_id,
            octets,
            received,
            name,
            surrogate,
        });
        assert_eq!(rows, expected);
        assert_eq!(
            rows.iter().map(Entry::path).collect::<Vec<_>>(),
            ["a", "b/2", "c"]
        );
        let empty = raw::Entries {
            unique_ids: String::new(),
            octets: Vec::new(),
            received: Vec::new(),
            names: String::new(),
            surrogates: Vec::new(),
            version: 0,
        };
        assert_eq!(Entries::checked(empty).unwrap().iter().count(), 0);
    }

    #[test]
    fn columns_that_do_not_fit_are_refused() {
        let change: [fn(&mut raw::Entries); 9] = [
            |columns| columns.unique_ids.push('\0'),
            |columns| columns.unique_ids.push('x'),
            |columns| columns.unique_ids.clear(),
            |columns| columns.names.push('\0'),
            |columns| columns.names.truncate(3),
            |columns| columns.octets.push(0),
            |columns| columns.received.clear(),
            |columns| columns.surrogates.push((3, 1)),
            |columns| columns.surrogates.push((2, 1)),
        ];
        for (number, change) in change.iter().enumerate() {
            let mut columns = columns();
            change(&mut columns);
            let problem = Entries::checked(columns).unwrap_err();
            assert!(
                matches!(&problem, Problem::Unavailable(text) if text.contains("malformed")),
                "{number}: {problem}"
            );
        }
    }

    #[test]
    fn columns_become_a_listing() {
        let entries = Entries::checked(columns()).unwrap();
        let octets = entries.0.octets.as_ptr();
        let listing = Listing::from(entries.clone());
        let ids: Vec<_> = listing.unique_ids().collect();
        assert_eq!(ids, ["1.a", "1.b", "1.c"]);
        assert_eq!(listing.octets(), [10, 20, 30]);
        assert_eq!(listing.received(), [5, 6, 7]);
        assert_eq!(
            listing.names().collect::<Vec<_>>(),
            ["a", "b/2 note 2", "c"]
        );
        assert_eq!(listing.surrogates(), [(0, 11), (2, 33)]);
        assert_eq!(listing.memo(), Some("12"));

        let named = entries.into_listing_named(|entry| [entry.unique_id, "=", entry.path()]);
        let names: Vec<_> = named.names().collect();
        assert_eq!(names, ["1.a=a", "1.b=b/2", "1.c=c"]);
        assert_eq!(named.surrogates(), listing.surrogates());
        assert_eq!(named.octets().as_ptr(), octets, "the column was copied");
    }

    #[test]
    fn a_listing_is_oldest_first_and_those_of_one_second_stay_as_they_came() {
        let columns = raw::Entries {
            unique_ids: "a\0b\0c\0d\0e\0".into(),
            octets: vec![1, 2, 3, 4, 5],
            received: vec![20, 10, 20, 0, 10],
            names: "A\0B\0C\0D\0E\0".into(),
            surrogates: vec![(0, 11), (3, 44), (4, 55)],
            version: 5,
        };
        let entries = Entries::checked(columns).unwrap();
        let came: Vec<_> = entries.iter().collect();
        let listing = Listing::from(entries.clone());
        assert_eq!(
            listing.unique_ids().collect::<Vec<_>>(),
            ["d", "b", "e", "a", "c"]
        );
        assert_eq!(listing.octets(), [4, 2, 5, 1, 3]);
        assert_eq!(listing.received(), [0, 10, 10, 20, 20]);
        assert_eq!(
            listing.names().collect::<Vec<_>>(),
            ["D", "B", "E", "A", "C"]
        );
        assert_eq!(listing.surrogates(), [(0, 44), (2, 55), (3, 11)]);
        let named = entries.clone().into_listing_named(|entry| [entry.name]);
        assert_eq!(named, listing);
        let difference = Difference {
            gone: "x\0".into(),
            came: entries.clone(),
        };
        assert_eq!(Changes::from(difference).came(), &listing);
        // The entries themselves are as they came.
        assert_eq!(came[0].unique_id, "a");
    }

    #[test]
    fn without_a_grant_each_call_is_refused() {
        let problem = state("").unwrap_err();
        assert!(matches!(problem, Problem::Invalid(_)), "{problem}");
        assert_eq!(read(""), Err(problem.clone()));
        assert_eq!(changes("", 0), Err(problem.clone()));
        assert_eq!(remove("", &[]), Err(problem));
    }

    #[test]
    fn versions_tell_what_came_and_went() {
        let index = MailIndex::new();
        assert_eq!(state("").unwrap().version, 0);
        assert!(read("").unwrap().is_empty());
        assert_eq!(changes("", 0).unwrap().unwrap().came().len(), 0);
        for (unique_id, received) in [("a", 1), ("b", 2), ("c", 3)] {
            index.append("", entry(unique_id, received));
        }
        index.append("lists", entry("a", 9));
        let summary = state("").unwrap();
        let expected = Summary {
            version: 3,
            messages: 3,
            octets: 60,
        };
        assert_eq!(summary, expected);
        assert_eq!(state("lists").unwrap().version, 1);

        index.remove("", &["b"]);
        index.append("", entry("d", 4));
        remove("", &["a".into()]).unwrap();
        let since = |version| {
            let difference = changes("", version).unwrap().unwrap();
            assert_eq!(difference.came().version(), 6);
            let gone: Vec<_> = difference.gone().map(str::to_owned).collect();
            let came = unique_ids(difference.came()).join(" ");
            (gone.join(" "), came)
        };
        let expected = |gone: &str, came: &str| (gone.to_owned(), came.to_owned());
        assert_eq!(since(3), expected("b a", "d"));
        assert_eq!(since(5), expected("a", ""));
        // What came since and went again is not told.
        assert_eq!(since(1), expected("a", "c d"));
        assert_eq!(since(0), expected("", "c d"));
        assert_eq!(since(6), expected("", ""));
        assert_eq!(changes("", 7), Ok(None));
        assert_eq!(unique_ids(&read("").unwrap()), ["c", "d"]);

        index.forget_changes();
        assert_eq!(changes("", 5), Ok(None));
        assert!(changes("", 6).unwrap().is_some());
    }

    #[test]
    fn a_difference_becomes_changes() {
        let index = MailIndex::new();
        index.append("", entry("a", 1));
        index.append("", entry("b", 2));
        index.remove("", &["a"]);
        let difference = changes("", 1).unwrap().unwrap();
        let as_named = Changes::from(difference.clone());
        assert_eq!(as_named.gone().collect::<Vec<_>>(), ["a"]);
        assert_eq!(as_named.came().names().collect::<Vec<_>>(), ["p/b x"]);
        assert_eq!(as_named.came().memo(), Some("3"));
        let named = difference.into_changes_named(|entry| [entry.path()]);
        assert_eq!(named.came().names().collect::<Vec<_>>(), ["p/b"]);
        assert_eq!(named.gone().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn a_removal_is_of_all_or_of_none() {
        let index = MailIndex::new();
        for unique_id in ["a", "b"] {
            index.append("", entry(unique_id, 1));
        }
        for unique_ids in [&["a", "x"][..], &["a", "a"]] {
            let unique_ids: Vec<String> = unique_ids.iter().map(|id| id.to_string()).collect();
            let problem = remove("", &unique_ids).unwrap_err();
            assert!(matches!(problem, Problem::Invalid(_)), "{problem}");
        }
        assert_eq!(state("").unwrap().version, 2);
        // Of none: nothing has changed.
        remove("", &[]).unwrap();
        assert_eq!(state("").unwrap().version, 2);
        remove("", &["b".into(), "a".into()]).unwrap();
        assert_eq!(state("").unwrap().version, 3);
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn as_many_as_a_call_takes_fit_into_it() {
        let index = MailIndex::new();
        let unique_ids: Vec<String> = (0..MAX_REMOVALS).map(|id| format!("{id:070}")).collect();
        for unique_id in &unique_ids {
            index.append("", entry(unique_id, 1));
        }
        remove("", &unique_ids).unwrap();
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    #[should_panic(expected = "more than 2 MiB")]
    fn a_fake_takes_no_more_than_a_host() {
        let _index = MailIndex::new();
        let unique_ids = vec!["x".repeat(70); MAX_REMOVALS * 2];
        let _ = remove("", &unique_ids);
    }

    #[test]
    fn a_problem_answers_each_call_until_it_is_over() {
        let index = MailIndex::new();
        index.append("", entry("a", 1));
        index.set_problem(Problem::Lost);
        assert_eq!(state(""), Err(Problem::Lost));
        assert_eq!(read(""), Err(Problem::Lost));
        assert_eq!(changes("", 0), Err(Problem::Lost));
        assert_eq!(remove("", &["a".into()]), Err(Problem::Lost));
        index.set_problem(None);
        assert_eq!(read("").unwrap().len(), 1);
    }

    #[test]
    fn problems_have_words_for_the_log_and_a_failure_for_the_client() {
        let host = [
            raw::Problem::Unavailable("no route".into()),
            raw::Problem::Unknown("no answer".into()),
            raw::Problem::Lost,
            raw::Problem::Invalid("not granted".into()),
        ];
        let problems = host.map(Problem::from);
        testing::take_log();
        let words = [
            "unavailable: no route",
            "not known: no answer",
            "hold",
            "call: not granted",
        ];
        for (problem, words) in problems.into_iter().zip(words) {
            assert!(problem.to_string().contains(words), "{problem}");
            let expected = match problem {
                Problem::Invalid(_) => Failure::permanent("it failed"),
                _ => Failure::temporary("it failed"),
            };
            assert_eq!(problem.failure("it failed"), expected);
            let lines = testing::take_log();
            let [line] = &lines[..] else {
                panic!("{lines:?}");
            };
            assert_eq!(line.text, format!("it failed: {problem}"));
        }
    }
}

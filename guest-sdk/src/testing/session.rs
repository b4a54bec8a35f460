//! Whole sessions with a store, and one question to a filter, as a host would
//! have them.

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{SampleMessage, mail_index};
use crate::filter::{Filter, Message, Verdict};
use crate::store::{BLOBS, Content, Listing, Maildrop};
use crate::types::{Account, Failure};
use crate::wire_octets;

/// Octets that a reader is asked for at once: few, so that a test sees what
/// becomes of cuts.
const CHUNK_OCTETS: u32 = 7;

/// A folder of the test's own, granted as the maildrop until it is dropped.
///
/// ```
/// use restante_guest::{files, testing::Granted};
///
/// let granted = Granted::new();
/// granted.write("new/1.a.host", "Subject: hello\n\nbody\n");
/// assert_eq!(files::measure("new/1.a.host")?.map(|weight| weight.octets), Some(24));
/// # Ok::<(), String>(())
/// ```
#[derive(Debug)]
pub struct Granted(PathBuf);

impl Granted {
    /// An empty folder, granted to this thread's plugin.
    ///
    /// # Panics
    /// It cannot be made.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Granted {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("restante-guest-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Of a process that had the same number once.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder can be made for temporary files");
        super::set_maildrop(&path);
        Granted(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, by its path in the folder; folders on the way are made.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, path: impl AsRef<Path>, octets: impl AsRef<[u8]>) {
        let path = self.0.join(path);
        let folder = path.parent().expect("the path has a folder before it");
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, octets));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Reads a file, by its path in the folder.
    ///
    /// # Panics
    /// It cannot be read.
    pub fn read(&self, path: impl AsRef<Path>) -> Vec<u8> {
        let path = self.0.join(path);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A session with a store, from login to QUIT. What a host would refuse makes it
/// panic, with the rule that was broken.
///
/// ```
/// use restante_guest::prelude::*;
/// use restante_guest::testing::Session;
/// use restante_guest::wire_octets;
///
/// struct Greeting;
///
/// const TEXT: &str = "Subject: hello\n\nThis is all there is.\n";
///
/// impl Maildrop for Greeting {
///     fn open(_: Account) -> Result<Greeting, Failure> {
///         Ok(Greeting)
///     }
///
///     fn listing(&mut self) -> Result<Listing, Failure> {
///         let mut listing = Listing::with_capacity(1);
///         listing.push("hello-1", wire_octets(TEXT), 0, "hello");
///         Ok(listing)
///     }
///
///     fn content(&mut self, _: &str) -> Result<Content, Failure> {
///         Ok(Content::Inline(TEXT.into()))
///     }
///
///     fn remove(&mut self, _: &[String]) -> Result<(), Failure> {
///         Err(Failure::permanent("this message stays"))
///     }
/// }
///
/// let mut session = Session::<Greeting>::open(Account::new("alice"))?;
/// assert_eq!(session.unique_ids(), ["hello-1"]);
/// assert_eq!(session.retrieve(0)?, TEXT.as_bytes());
/// assert!(session.quit(&[0]).is_err());
/// # Ok::<(), Failure>(())
/// ```
pub struct Session<T> {
    maildrop: T,
    listing: Listing,
}

impl<T: Maildrop> Session<T> {
    /// Logs in: opens the maildrop, and lists it.
    ///
    /// # Errors
    /// What the store says.
    ///
    /// # Panics
    /// The listing is none that a host takes.
    pub fn open(account: Account) -> Result<Session<T>, Failure> {
        let mut maildrop = T::open(account)?;
        maildrop.stamp()?;
        let listing = maildrop.listing()?;
        expect_listing(&listing);
        Ok(Session { maildrop, listing })
    }

    /// What the store has listed.
    pub fn listing(&self) -> &Listing {
        &self.listing
    }

    /// UIDL.
    pub fn unique_ids(&self) -> Vec<&str> {
        self.listing.unique_ids().collect()
    }

    /// RETR, by the position in the listing, from 0: the message as it is stored. As a
    /// host does, asks once more where a file is not there.
    ///
    /// # Errors
    /// What the store says.
    ///
    /// # Panics
    /// There is no such position; the file that the store names is not there, or is
    /// outside of the grant; the message has not the octets that were listed.
    /// What the store names as [`Content::blob`] is in the test's
    /// [`MailIndex`](super::MailIndex).
    pub fn retrieve(&mut self, position: usize) -> Result<Vec<u8>, Failure> {
        let name = self.names(&[position]).remove(0);
        let mut octets = self.octets_of(&name)?;
        if octets.is_none() {
            octets = self.octets_of(&name)?;
        }
        let octets = octets.unwrap_or_else(|| panic!("{name}: the file cannot be read"));
        assert_eq!(
            wire_octets(&octets),
            self.listing.octets()[position],
            "{name} has not the octets that were listed (RFC 1939 section 11)"
        );
        Ok(octets)
    }

    /// QUIT, with the messages at these positions marked.
    ///
    /// # Errors
    /// What the store says.
    ///
    /// # Panics
    /// There is no such position.
    pub fn quit(mut self, marked: &[usize]) -> Result<(), Failure> {
        let names = self.names(marked);
        match names.is_empty() {
            true => Ok(()),
            false => self.maildrop.remove(&names),
        }
    }

    fn names(&self, positions: &[usize]) -> Vec<String> {
        let names: Vec<&str> = self.listing.names().collect();
        let name = |position: &usize| names[*position].to_owned();
        positions.iter().map(name).collect()
    }

    fn octets_of(&mut self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let range = match self.maildrop.content(name)? {
            Content::Inline(octets) => return Ok(Some(octets)),
            Content::Reader(mut reader) => {
                let mut octets = Vec::new();
                loop {
                    let chunk = reader.read(CHUNK_OCTETS)?;
                    assert!(chunk.len() <= CHUNK_OCTETS as usize, "more than asked for");
                    if chunk.is_empty() {
                        return Ok(Some(octets));
                    }
                    octets.extend_from_slice(&chunk);
                }
            }
            Content::File(range) => range,
        };
        if let Some(path) = range.path.strip_prefix(BLOBS) {
            let blob = mail_index::blob(path);
            return Ok(blob.and_then(|octets| part(octets, range.offset, range.length)));
        }
        let leaves =
            Path::new(&range.path).is_absolute() || range.path.split('/').any(|p| p == "..");
        assert!(!leaves, "{} is outside of the grant", range.path);
        let Ok(mut file) = fs::File::open(super::maildrop().join(&range.path)) else {
            return Ok(None);
        };
        let mut octets = Vec::new();
        let length = range.length.unwrap_or(u64::MAX);
        let read = file
            .seek(SeekFrom::Start(range.offset))
            .and_then(|_| file.take(length).read_to_end(&mut octets));
        let is_whole = range
            .length
            .is_none_or(|length| octets.len() as u64 == length);
        Ok((read.is_ok() && is_whole).then_some(octets))
    }
}

/// None: the part leads beyond the end.
fn part(mut octets: Vec<u8>, offset: u64, length: Option<u64>) -> Option<Vec<u8>> {
    let offset = usize::try_from(offset).ok()?;
    let length = length.map(usize::try_from).transpose().ok()?;
    let end = match length {
        Some(length) => offset.checked_add(length)?,
        None => octets.len(),
    };
    if offset > end || end > octets.len() {
        return None;
    }
    octets.truncate(end);
    octets.drain(..offset);
    Some(octets)
}

fn expect_listing(listing: &Listing) {
    let messages = listing.len();
    let mut seen = HashSet::new();
    for id in listing.unique_ids() {
        let is_one =
            (1..=70).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_graphic());
        assert!(is_one, "{id:?} is no unique-id (RFC 1939 section 7, UIDL)");
        assert!(seen.insert(id), "two messages are called {id}");
    }
    assert_eq!(seen.len(), messages, "a unique-id holds a NUL");
    assert_eq!(listing.names().count(), messages, "a name holds a NUL");
    let mut known = listing.received().iter().filter(|time| **time > 0);
    assert!(known.by_ref().is_sorted(), "the oldest message comes first");
}

/// Asks a filter about a message, twice: its verdict is to follow from the message
/// and the settings alone.
///
/// ```
/// use restante_guest::filter::Verdict;
/// use restante_guest::prelude::*;
/// use restante_guest::{header, testing};
///
/// struct NoSpam;
///
/// impl Filter for NoSpam {
///     fn screen(_: Account, message: &Message<'_>) -> Result<Verdict, Failure> {
///         let header = message.header()?;
///         let is_spam = header::fields(&header).any(|field| field.is("X-Spam-Flag"));
///         Ok(if is_spam { Verdict::Hide } else { Verdict::Show })
///     }
/// }
///
/// let spam = testing::SampleMessage::new("1", 0, "X-Spam-Flag: YES\n\nbuy\n");
/// assert_eq!(testing::screen::<NoSpam>(Account::new("alice"), &spam), Ok(Verdict::Hide));
/// ```
///
/// # Errors
/// What the filter says.
///
/// # Panics
/// The verdicts differ, or hold a header field that is none.
pub fn screen<T: Filter>(account: Account, message: &SampleMessage) -> Result<Verdict, Failure> {
    let verdict = T::screen(account.clone(), &Message::from(message));
    let again = T::screen(account, &Message::from(message));
    assert_eq!(verdict, again, "a verdict is not to change");
    if let Ok(Verdict::Annotate(fields)) = &verdict {
        for field in fields {
            let name = field.split_once(':').map(|(name, _)| name);
            let is_one = name.is_some_and(crate::header::is_name)
                && !field.contains(|octet: char| octet.is_control() && octet != '\t');
            assert!(
                is_one,
                "{field:?} is no header field (RFC 5322 section 2.2)"
            );
        }
    }
    verdict
}

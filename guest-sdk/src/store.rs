//! Role `store`: keep the mail.
//!
//! A store implements [`Maildrop`] for a plain type of its own. The host makes
//! a fresh instance of the component for each session, so that type sees one
//! account's mail and nothing else; it may remember things between calls, but
//! must not rely on it, since the host may drop an idle instance and open the
//! maildrop again.
//!
//! Messages in files of their own, named for their numbers:
//!
//! ```
//! use std::fs;
//!
//! use restante_guest::prelude::*;
//!
//! struct Numbered;
//!
//! impl Maildrop for Numbered {
//!     fn open(_: Account) -> Result<Numbered, Failure> {
//!         Ok(Numbered)
//!     }
//!
//!     fn listing(&mut self) -> Result<Listing, Failure> {
//!         let unreadable = |problem| {
//!             log::error!("{problem}");
//!             Failure::temporary("the maildrop cannot be read")
//!         };
//!         let mut listing = Listing::default();
//!         for (name, _) in files::scan("").map_err(unreadable)?.iter() {
//!             // None: removed since.
//!             if let Some(weight) = files::measure(name).map_err(unreadable)? {
//!                 listing.push(name, weight.octets, 0, name);
//!                 listing.surrogate(weight.surrogate);
//!             }
//!         }
//!         Ok(listing)
//!     }
//!
//!     fn content(&mut self, name: &str) -> Result<Content, Failure> {
//!         Ok(Content::file(name))
//!     }
//!
//!     fn remove(&mut self, names: &[String]) -> Result<(), Failure> {
//!         let removed = names.iter().try_for_each(|name| fs::remove_file(files::root().join(name)));
//!         let lasting = removed.and_then(|()| fs::File::open(files::root())?.sync_all());
//!         lasting.map_err(|error| {
//!             log::error!("messages cannot be removed: {}", files::reason(&error));
//!             files::failure(&error, "some messages could not be removed")
//!         })
//!     }
//! }
//!
//! // In a test:
//! use restante_guest::testing::{Granted, Session};
//!
//! let granted = Granted::new();
//! granted.write("1", "Subject: one\n\nbody\n");
//! granted.write("2", "Subject: two\n\nbody\n");
//! let mut session = Session::<Numbered>::open(Account::new("alice"))?;
//! assert_eq!(session.unique_ids(), ["1", "2"]);
//! assert_eq!(session.retrieve(1)?, b"Subject: two\n\nbody\n");
//! session.quit(&[0])?;
//! assert!(!granted.path().join("1").exists());
//! # Ok::<(), Failure>(())
//! ```

use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;

use crate::bindings::store::exports::restante::plugin::store as raw;
use crate::types::{Account, Failure};

pub use raw::FileRange;

/// One account's mail.
pub trait Maildrop: Sized + 'static {
    /// Opens the maildrop of `account`. The host holds the exclusive lock.
    ///
    /// # Errors
    /// The login is refused with what the [`Failure`] says.
    fn open(account: Account) -> Result<Self, Failure>;

    /// Something cheap that changes whenever the listing would. While it stays
    /// the same the host may reuse a listing that it remembers. `None`, the
    /// default: there is no cheap way to tell.
    ///
    /// Made of settings and [`files::stat`](crate::files::stat) of at most eight
    /// files of the maildrop, and of nothing else that `open` or this asks the host
    /// for, it is the cheapest: while those files are as they were, the host makes no
    /// instance to hear it again. It sees then, too, whether a file was changed too
    /// short a time ago for its time to tell.
    ///
    /// # Errors
    /// The login is refused with what the [`Failure`] says.
    fn stamp(&mut self) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    /// The maildrop as it stood when it was opened, oldest first.
    ///
    /// # Errors
    /// The login is refused with what the [`Failure`] says.
    fn listing(&mut self) -> Result<Listing, Failure>;

    /// What has changed since a listing that was told with this
    /// [memo](Listing::set_memo), perhaps to another instance. `None`, the default:
    /// the host asks for all of it anew.
    ///
    /// # Errors
    /// The login is refused with what the [`Failure`] says.
    fn changes(&mut self, _memo: &str) -> Result<Option<Changes>, Failure> {
        Ok(None)
    }

    /// Where the octets of the message called `name` in the listing come from.
    ///
    /// # Errors
    /// The client is told what the [`Failure`] says, and may go on.
    fn content(&mut self, name: &str) -> Result<Content, Failure>;

    /// The UPDATE state (RFC 1939 section 6): remove exactly the messages
    /// called `names` and make it last before answering.
    ///
    /// # Errors
    /// What was removed already need not come back; nothing that was not named
    /// may be gone.
    fn remove(&mut self, names: &[String]) -> Result<(), Failure>;
}

/// A message that is pulled out of its store, chunk by chunk, as the client
/// takes it.
pub trait Reader: 'static {
    /// At most `limit` octets; none is the end.
    ///
    /// # Errors
    /// The message is cut off visibly: the client never takes it for whole.
    fn read(&mut self, limit: u32) -> Result<Vec<u8>, Failure>;
}

/// A maildrop's messages, oldest first, in columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    unique_ids: Packed,
    octets: Vec<u64>,
    received: Vec<u64>,
    names: Packed,
    surrogates: Vec<(u32, u64)>,
    memo: Option<String>,
}

impl Listing {
    /// Of columns as the contract has them, which are of one length. The surrogates are by
    /// position, in ascending order.
    pub(crate) fn of_columns(
        unique_ids: String,
        octets: Vec<u64>,
        received: Vec<u64>,
        names: String,
        surrogates: Vec<(u32, u64)>,
    ) -> Listing {
        Listing {
            unique_ids: Packed(unique_ids),
            octets,
            received,
            names: Packed(names),
            surrogates,
            memo: None,
        }
    }

    /// A listing with room for `messages` of them.
    pub fn with_capacity(messages: usize) -> Listing {
        Listing {
            octets: Vec::with_capacity(messages),
            received: Vec::with_capacity(messages),
            ..Listing::default()
        }
    }

    /// Makes room for octets of unique-ids and names, for a store that knows.
    pub fn reserve_text(&mut self, unique_ids: usize, names: usize) {
        self.unique_ids.0.reserve(unique_ids);
        self.names.0.reserve(names);
    }

    /// Appends the next message.
    ///
    /// - `unique_id`: 1 to 70 octets of 0x21..0x7E (RFC 1939 section 7, UIDL),
    ///   never reused, the same in every session;
    /// - `octets`: what it weighs with CRLF line ends and without byte-stuffing
    ///   (RFC 1939 section 11);
    /// - `received`: seconds since the Unix epoch; 0: not known;
    /// - `name`: the store's own name for it, handed back to
    ///   [`Maildrop::content`] and [`Maildrop::remove`]; without NUL.
    pub fn push(
        &mut self,
        unique_id: impl AsRef<str>,
        octets: u64,
        received: u64,
        name: impl AsRef<str>,
    ) {
        self.push_parts(unique_id, octets, received, [name.as_ref()]);
    }

    /// The same, with a name that is put together from parts.
    pub fn push_parts<'a>(
        &mut self,
        unique_id: impl AsRef<str>,
        octets: u64,
        received: u64,
        name: impl IntoIterator<Item = &'a str>,
    ) {
        self.unique_ids.push([unique_id.as_ref()]);
        self.octets.push(octets);
        self.received.push(received);
        self.names.push(name);
    }

    /// The message that was pushed last has UTF-8 in a header, and its surrogate
    /// has so many octets: what [`files::measure`](crate::files::measure) says.
    /// LIST says them to a client that has not said UTF8 (RFC 6856 section 2.1).
    /// To the host they matter only if they are not the message's own.
    pub fn surrogate(&mut self, octets: u64) {
        let Some(last) = self.len().checked_sub(1) else {
            return;
        };
        // A listing with more messages than that does not leave the component.
        let position = u32::try_from(last).unwrap_or(u32::MAX);
        if self.octets[last] != octets {
            self.surrogates.push((position, octets));
        }
    }

    /// Sets what [`Maildrop::changes`] is to get back, at most 64 KiB.
    pub fn set_memo(&mut self, memo: impl Into<String>) {
        self.memo = Some(memo.into());
    }

    /// What [`Maildrop::changes`] is to get back.
    pub fn memo(&self) -> Option<&str> {
        self.memo.as_deref()
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// The messages' unique-ids.
    pub fn unique_ids(&self) -> impl Iterator<Item = &str> {
        self.unique_ids.iter()
    }

    /// The messages' octets.
    pub fn octets(&self) -> &[u64] {
        &self.octets
    }

    /// When each message came, in seconds since the Unix epoch; 0: not known.
    pub fn received(&self) -> &[u64] {
        &self.received
    }

    /// The store's own names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter()
    }

    /// Position, from 0, and octets of the surrogates that have other octets than
    /// their messages.
    pub fn surrogates(&self) -> &[(u32, u64)] {
        &self.surrogates
    }
}

impl From<Listing> for raw::Listing {
    fn from(listing: Listing) -> raw::Listing {
        raw::Listing {
            unique_ids: listing.unique_ids.0,
            octets: listing.octets,
            received: listing.received,
            names: listing.names.0,
            surrogates: listing
                .surrogates
                .into_iter()
                .map(|(position, octets)| raw::Surrogate { position, octets })
                .collect(),
            memo: listing.memo,
        }
    }
}

/// How a maildrop differs from a listing that was told earlier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    gone: Packed,
    came: Listing,
}

impl Changes {
    /// No changes but these messages, and the memo of the listing as it is now.
    pub fn new(came: Listing) -> Changes {
        let gone = Packed::default();
        Changes { gone, came }
    }

    /// The same with unique-ids of messages that are gone, packed as the contract has them.
    pub(crate) fn of_columns(gone: String, came: Listing) -> Changes {
        let gone = Packed(gone);
        Changes { gone, came }
    }

    /// A message is not there any more, or is among those that came by another
    /// name.
    pub fn push_gone(&mut self, unique_id: impl AsRef<str>) {
        self.gone.push([unique_id.as_ref()]);
    }

    /// The unique-ids of messages that are not there any more.
    pub fn gone(&self) -> impl Iterator<Item = &str> {
        self.gone.iter()
    }

    /// The messages that came.
    pub fn came(&self) -> &Listing {
        &self.came
    }
}

impl From<Changes> for raw::Changes {
    fn from(changes: Changes) -> raw::Changes {
        raw::Changes {
            gone: changes.gone.0,
            came: changes.came.into(),
        }
    }
}

/// Texts in one, each with a NUL behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Packed(String);

impl Packed {
    fn push<'a>(&mut self, parts: impl IntoIterator<Item = &'a str>) {
        self.0.extend(parts);
        self.0.push('\0');
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split_terminator('\0')
    }
}

/// Where a message's octets come from. The host makes line ends CRLF,
/// byte-stuffs and cuts for TOP, whichever is chosen.
pub enum Content {
    /// Here they are: for small or made-up messages.
    Inline(Vec<u8>),
    /// The host opens the file below the granted directory and moves the
    /// octets itself: the fastest way.
    File(FileRange),
    /// The host pulls them.
    Reader(Box<dyn Reader>),
}

impl Content {
    /// A whole file, by its path relative to the granted directory.
    pub fn file(path: impl Into<String>) -> Content {
        Content::File(FileRange {
            path: path.into(),
            offset: 0,
            length: None,
        })
    }

    /// The octets of an entry of the [mail index](crate::mail_index), by their
    /// [path](crate::mail_index::Entry::path). If nothing is under this path, the client gets
    /// a temporary failure, and the host logs the path.
    pub fn blob(path: impl AsRef<str>) -> Content {
        Content::file([BLOBS, path.as_ref()].concat())
    }

    /// Whatever a std reader yields. An error of the reader becomes a
    /// temporary failure.
    pub fn reader(reader: impl io::Read + 'static) -> Content {
        Content::Reader(Box::new(FromRead(reader)))
    }
}

struct FromRead<R>(R);

impl<R: io::Read + 'static> Reader for FromRead<R> {
    fn read(&mut self, limit: u32) -> Result<Vec<u8>, Failure> {
        // A reader may answer with less than it is asked for, but none is the
        // end, so only an interruption is tried again.
        let mut chunk = vec![0; (limit as usize).min(CHUNK_OCTETS)];
        loop {
            match self.0.read(&mut chunk) {
                Ok(octets) => {
                    chunk.truncate(octets);
                    return Ok(chunk);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    crate::log::warn!("a message cannot be read on: {error}");
                    return Err(Failure::temporary("the message cannot be read"));
                }
            }
        }
    }
}

/// Where the host has the octets that the mail index leads to.
pub(crate) const BLOBS: &str = "/blobs/";

/// Most octets that [`Content::reader`] takes in one call.
const CHUNK_OCTETS: usize = 256 * 1024;

/// Joins a [`Maildrop`] to the generated bindings.
#[doc(hidden)]
pub struct Adapter<T>(PhantomData<T>);

impl<T: Maildrop> raw::Guest for Adapter<T> {
    type Reader = OpenReader;
    type Maildrop = OpenMaildrop<T>;
}

/// A [`Reader`] as a resource.
#[doc(hidden)]
pub struct OpenReader(RefCell<Box<dyn Reader>>);

impl raw::GuestReader for OpenReader {
    fn read(&self, limit: u32) -> Result<Vec<u8>, Failure> {
        self.0.borrow_mut().read(limit)
    }
}

/// A [`Maildrop`] as a resource. A component is never entered twice at a time,
/// so the cell is free whenever a call comes in.
#[doc(hidden)]
pub struct OpenMaildrop<T>(RefCell<T>);

impl<T: Maildrop> raw::GuestMaildrop for OpenMaildrop<T> {
    fn open(account: Account) -> Result<raw::Maildrop, Failure> {
        let maildrop = T::open(account)?;
        Ok(raw::Maildrop::new(OpenMaildrop(RefCell::new(maildrop))))
    }

    fn stamp(&self) -> Result<Option<String>, Failure> {
        self.0.borrow_mut().stamp()
    }

    fn listing(&self) -> Result<raw::Listing, Failure> {
        self.0.borrow_mut().listing().map(raw::Listing::from)
    }

    fn changes(&self, memo: String) -> Result<Option<raw::Changes>, Failure> {
        let changes = self.0.borrow_mut().changes(&memo)?;
        Ok(changes.map(raw::Changes::from))
    }

    fn content(&self, name: String) -> Result<raw::Content, Failure> {
        Ok(match self.0.borrow_mut().content(&name)? {
            Content::Inline(octets) => raw::Content::Inline(octets),
            Content::File(range) => raw::Content::File(range),
            Content::Reader(reader) => {
                raw::Content::Reader(raw::Reader::new(OpenReader(RefCell::new(reader))))
            }
        })
    }

    fn remove(&self, names: Vec<String>) -> Result<(), Failure> {
        self.0.borrow_mut().remove(&names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_std_reader_is_read_to_its_end_within_the_limit() {
        let Content::Reader(mut reader) = Content::reader(io::Cursor::new(vec![7; 10])) else {
            panic!("not a reader");
        };
        let mut lengths = Vec::new();
        loop {
            let chunk = reader.read(4).unwrap();
            lengths.push(chunk.len());
            if chunk.is_empty() {
                break;
            }
        }
        assert_eq!(lengths, [4, 4, 2, 0]);
    }

    #[test]
    fn an_interrupted_reader_is_not_at_its_end() {
        struct Rude(u8);
        impl io::Read for Rude {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                match self.0 {
                    1 => Err(io::ErrorKind::Interrupted.into()),
                    2 => {
                        buffer[0] = 9;
                        Ok(1)
                    }
                    _ => Err(io::ErrorKind::BrokenPipe.into()),
                }
            }
        }
        let Content::Reader(mut reader) = Content::reader(Rude(0)) else {
            panic!("not a reader");
        };
        assert_eq!(reader.read(100).unwrap(), [9]);
        assert!(matches!(reader.read(100), Err(Failure::Temporary(_))));
    }
}

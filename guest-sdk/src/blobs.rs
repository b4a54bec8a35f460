//! Octets of the messages in the session's maildrop, where an engine of the operator's keeps
//! it: for stores that look into a message before a client gets it, or hand out another one.
//! A store that hands out messages as they are needs none of this:
//! [`Content::blob`](crate::store::Content::blob) has the host serve them, and no octet of
//! them passes through the plugin.
//!
//! Messages are named by the [path](crate::mail_index::Entry::path) of their entry in the
//! mail index. What is under a path never changes. Octets that no entry leads to any more are
//! removed by the host, later: there is no way to remove them here.
//!
//! ```
//! use restante_guest::mail_index;
//! use restante_guest::prelude::*;
//! use restante_guest::{blobs, testing};
//!
//! const SEEN: &[u8] = b"X-Served-By: example\r\n";
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
//!         let mut listing = Listing::with_capacity(entries.len());
//!         for entry in entries.iter() {
//!             let octets = entry.octets + SEEN.len() as u64;
//!             listing.push(entry.unique_id, octets, entry.received, entry.path());
//!         }
//!         Ok(listing)
//!     }
//!
//!     fn content(&mut self, path: &str) -> Result<Content, Failure> {
//!         let message = blobs::open(path)
//!             .map_err(|problem| problem.failure("the message cannot be read"))?
//!             .ok_or_else(|| Failure::temporary("the message is not there"))?;
//!         Ok(Content::reader(std::io::Read::chain(SEEN, message)))
//!     }
//!
//!     fn remove(&mut self, _: &[String]) -> Result<(), Failure> {
//!         Err(Failure::permanent("messages stay"))
//!     }
//! }
//!
//! // In a test: a maildrop, and a session with it.
//! let index = testing::MailIndex::new();
//! index.deliver("2026/1.eml", "Subject: hello\n\nbody\n");
//! let mut session = testing::Session::<Mail>::open(Account::new("alice"))?;
//! let message = session.retrieve(0)?;
//! assert_eq!(message, b"X-Served-By: example\r\nSubject: hello\n\nbody\n");
//! # Ok::<(), Failure>(())
//! ```

use std::io::{self, Read};

use crate::mail_index::Problem;
use crate::store::BLOBS;

#[cfg(target_family = "wasm")]
use crate::bindings::host::restante::plugin::blobs as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::blobs as host;

/// Octets that one call of [`read`] returns at most.
pub const MAX_OCTETS: u32 = 1 << 20;

/// Part of a message, by the [path](crate::mail_index::Entry::path) of its entry: at most
/// `length` octets from `offset` on, and at most [`MAX_OCTETS`]; fewer only at its end, none
/// beyond it. None: nothing is under this path.
///
/// Outside a component, as in `cargo test`, a [`testing::MailIndex`](crate::testing::MailIndex)
/// answers.
///
/// # Errors
/// Why there is no answer; [`Problem::Invalid`] also if no message can have this path.
pub fn read(path: &str, offset: u64, length: u32) -> Result<Option<Vec<u8>>, Problem> {
    let path = [BLOBS, path].concat();
    Ok(host::read(&path, offset, length)?)
}

/// Opens a message, by the [path](crate::mail_index::Entry::path) of its entry. Its first
/// octets are read at once, so that it can still be said that there are none. None: nothing is
/// under this path.
///
/// # Errors
/// As those of [`read`].
pub fn open(path: &str) -> Result<Option<Blob>, Problem> {
    let Some(octets) = read(path, 0, MAX_OCTETS)? else {
        return Ok(None);
    };
    Ok(Some(Blob {
        path: path.to_owned(),
        next: octets.len() as u64,
        is_last: octets.len() < MAX_OCTETS as usize,
        part: io::Cursor::new(octets),
    }))
}

/// A message that is read from its beginning to its end, in parts of [`MAX_OCTETS`]. Its errors
/// are [`Problem`]s.
#[derive(Debug)]
pub struct Blob {
    path: String,
    part: io::Cursor<Vec<u8>>,
    /// Where the part after this one begins.
    next: u64,
    /// No part comes after this one.
    is_last: bool,
}

impl Read for Blob {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.part.read(octets)?;
            if read > 0 || octets.is_empty() || self.is_last {
                return Ok(read);
            }
            let part = read_part(&self.path, self.next)?;
            self.next += part.len() as u64;
            self.is_last = part.len() < MAX_OCTETS as usize;
            self.part = io::Cursor::new(part);
        }
    }
}

/// A message that is gone by now does not end where it was left.
fn read_part(path: &str, offset: u64) -> io::Result<Vec<u8>> {
    let part = read(path, offset, MAX_OCTETS).map_err(io::Error::other)?;
    part.ok_or_else(|| {
        let text = format!("the message under {path:?} was removed while it was read");
        io::Error::new(io::ErrorKind::UnexpectedEof, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::MailIndex;

    #[test]
    fn a_message_is_read_in_parts() {
        let index = MailIndex::new();
        let octets: Vec<u8> = (0..2 * MAX_OCTETS + 5).map(|at| (at % 251) as u8).collect();
        index.deliver("2026/x", &octets);
        assert_eq!(read("2026/x", 3, 4).unwrap().unwrap(), octets[3..7]);
        let first = read("2026/x", 0, u32::MAX).unwrap().unwrap();
        assert!(first == octets[..MAX_OCTETS as usize]);
        let end = octets.len() as u64;
        assert_eq!(read("2026/x", end - 1, 9).unwrap().unwrap().len(), 1);
        for beyond in [end, end + 1, u64::MAX] {
            assert_eq!(read("2026/x", beyond, 9), Ok(Some(Vec::new())));
        }
        assert_eq!(read("2026/y", 0, 9), Ok(None));
        assert!(open("2026/y").unwrap().is_none());
        for path in ["", "/2026/x", "../2026/x", "2026//x"] {
            let invalid = read(path, 0, 9);
            assert!(matches!(invalid, Err(Problem::Invalid(_))), "{path}");
        }
        let mut whole = Vec::new();
        let mut blob = open("2026/x").unwrap().unwrap();
        blob.read_to_end(&mut whole).unwrap();
        assert!(whole == octets);
    }

    #[test]
    fn a_message_of_whole_parts_ends_after_the_last_of_them() {
        let index = MailIndex::new();
        for parts in [0, 1, 2] {
            let octets = vec![b'x'; parts * MAX_OCTETS as usize];
            index.deliver(&format!("{parts}"), &octets);
            let mut blob = open(&format!("{parts}")).unwrap().unwrap();
            let mut whole = Vec::new();
            blob.read_to_end(&mut whole).unwrap();
            assert!(whole == octets, "{parts}");
        }
    }

    #[test]
    fn a_message_that_goes_while_it_is_read_does_not_end() {
        let index = MailIndex::new();
        index.deliver("x", vec![b'x'; 2 * MAX_OCTETS as usize]);
        index.deliver("y", vec![b'y'; 2 * MAX_OCTETS as usize]);
        let mut gone = open("x").unwrap().unwrap();
        let mut away = open("y").unwrap().unwrap();
        index.lose_blob("x");
        let error = gone.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        index.set_problem(Problem::Unavailable("no route".into()));
        let error = away.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("no route"), "{error}");
        assert!(matches!(open("y"), Err(Problem::Unavailable(_))));
    }

    #[test]
    fn without_a_grant_there_are_none() {
        assert!(matches!(read("x", 0, 9), Err(Problem::Invalid(_))));
    }
}

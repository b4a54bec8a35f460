//! Takes an mbox apart: one file with message after message, each behind a line
//! that begins with "From " (RFC 4155 appendix A, and what programs made of it).
//!
//! [`messages`] goes through a file in pieces, whatever its size, and tells where
//! each message is and what it weighs; a store then names ranges of the file, and
//! the octets never enter the sandbox.
//!
//! ```
//! use restante_guest::mbox::{Variant, messages};
//!
//! let file = b"From alice@example.org Thu Jan  1 00:00:00 1970\n\
//!              Subject: one\n\
//!              \n\
//!              body\n\
//!              \n\
//!              From bob@example.org Thu Jan  1 00:00:01 1970\n\
//!              Subject: two\n";
//! let found: Vec<_> = messages(&file[..], Variant::Mboxo)
//!     .collect::<Result<_, _>>()
//!     .expect("octets can be read");
//! assert_eq!(found.len(), 2);
//! let content = &file[found[0].content as usize..found[0].content_end as usize];
//! assert_eq!(content, b"Subject: one\n\nbody\n");
//! assert_eq!(found[0].octets, 22);
//! assert_eq!(found[1].received, 1);
//! ```
//!
//! A From_ line is one with a date (see [`is_from_line`]). Some programs forget the blank
//! line before it: without one, it is a From_ line if it holds nothing but a sender and a
//! date. The blank line that separates two messages belongs to neither.

use std::io;
use std::path::Path;

use crate::files::{self, Status};
use crate::header;

mod from_line;
mod lines;
mod quoting;

pub use from_line::{is_from_line, received};
pub use quoting::Unquoting;

use from_line::FromLine;
use lines::{LINE_OCTETS, Line, Lines};

/// Octets of a header section that [`Message::header`] has at most.
const HEADER_OCTETS: usize = 64 * 1024;
/// Octets that are asked of a source at once.
const PIECE_OCTETS: u32 = 256 * 1024;

/// What is done so that no line of a message is taken for a From_ line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Variant {
    /// "From " became ">From ", and nobody can tell whether there was a ">" before:
    /// messages are taken as they stand.
    #[default]
    Mboxo,
    /// A ">" was put before "From ", ">From ", ">>From " …: it can be taken away
    /// again, see [`Unquoting`].
    Mboxrd,
    /// Nothing; a `Content-Length` field says where the message ends. It is believed
    /// where the file ends there or a From_ line follows, and only then: who sends a
    /// message can write anything into it. He can still make the next messages part
    /// of his own if he knows their lengths, so this is for files whose writer puts
    /// the field there itself.
    Mboxcl2,
}

/// Where octets are read from.
pub trait Source {
    /// At most so many octets, from `offset`; fewer or none only at the end.
    ///
    /// # Errors
    /// They cannot be read.
    fn read_at(&mut self, offset: u64, octets: u32) -> io::Result<Vec<u8>>;
}

impl Source for &[u8] {
    fn read_at(&mut self, offset: u64, octets: u32) -> io::Result<Vec<u8>> {
        let start = usize::try_from(offset).map_or(self.len(), |start| start.min(self.len()));
        let end = self.len().min(start.saturating_add(octets as usize));
        Ok(self[start..end].to_vec())
    }
}

/// A file that the host reads, see [`files::read`]. As with
/// [`files::Reader`], reading fails with
/// [`ResourceBusy`](io::ErrorKind::ResourceBusy) if the file changes meanwhile.
#[derive(Debug)]
pub struct File<'a> {
    path: &'a Path,
    status: Status,
}

impl<'a> File<'a> {
    /// The file as it is now.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound): there is nothing under this path.
    /// Others as [`files::stat`].
    pub fn open(path: &'a (impl AsRef<Path> + ?Sized)) -> io::Result<File<'a>> {
        let path = path.as_ref();
        let status = files::stat(path).map_err(io::Error::other)?;
        let status = status.ok_or(io::ErrorKind::NotFound)?;
        Ok(File { path, status })
    }

    /// Its status when it was opened.
    pub fn status(&self) -> &Status {
        &self.status
    }
}

impl Source for File<'_> {
    fn read_at(&mut self, offset: u64, octets: u32) -> io::Result<Vec<u8>> {
        let chunk = files::read(self.path, offset, octets).map_err(io::Error::other)?;
        let chunk = chunk.filter(|chunk| chunk.status == self.status);
        chunk.map(|chunk| chunk.octets).ok_or_else(|| {
            let text = "the file changed while it was read";
            io::Error::new(io::ErrorKind::ResourceBusy, text)
        })
    }
}

/// A message of an mbox. Offsets are octets from the beginning of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Where its From_ line begins.
    pub start: u64,
    /// Where the message itself begins, behind the From_ line.
    pub content: u64,
    /// Where its body begins; where the message ends if it has none.
    pub body: u64,
    /// Where it ends, without the blank line before the next one.
    pub content_end: u64,
    /// Where the next From_ line begins, or the file ends.
    pub end: u64,
    /// What it weighs on the wire (RFC 1939 section 11), as its variant has it read.
    pub octets: u64,
    /// What its body weighs.
    pub body_octets: u64,
    /// When it came, by its From_ line; see [`received`].
    pub received: u64,
    /// Whether [`Unquoting`] makes its body another one. Never, unless the variant is
    /// mboxrd.
    pub is_quoted: bool,
    /// The From_ line, without its end.
    pub from_line: Vec<u8>,
    /// The header section, 64 KiB at most and 1000 octets of a line. For
    /// [`header::fields`].
    pub header: Vec<u8>,
}

/// The messages of an mbox, from its beginning.
///
/// What is read is no mbox, and yields
/// [`InvalidData`](io::ErrorKind::InvalidData), if something other than blank
/// lines stands before the first From_ line.
pub fn messages<S: Source>(source: S, variant: Variant) -> Messages<S> {
    Messages {
        lines: Lines {
            source,
            piece: Vec::new(),
            piece_octets: PIECE_OCTETS,
            at: 0,
            base: 0,
            head: Vec::new(),
        },
        variant,
        next: None,
        is_over: false,
    }
}

/// See [`messages`]. After an error there are no more.
#[derive(Debug)]
pub struct Messages<S> {
    lines: Lines<S>,
    variant: Variant,
    /// The From_ line that ended the last message.
    next: Option<Begin>,
    is_over: bool,
}

#[derive(Debug)]
struct Begin {
    start: u64,
    content: u64,
    received: u64,
    from_line: Vec<u8>,
}

impl<S: Source> Messages<S> {
    /// Begins with the message at this offset, which has been found earlier.
    #[must_use]
    pub fn starting_at(mut self, start: u64) -> Messages<S> {
        self.lines.base = start;
        self
    }

    /// Asks the source for so many octets at once, at least one.
    #[must_use]
    pub fn in_pieces_of(mut self, octets: u32) -> Messages<S> {
        self.lines.piece_octets = octets.max(1);
        self
    }

    /// How far it has read.
    pub fn offset(&self) -> u64 {
        self.lines.base + self.lines.at as u64
    }

    /// The first From_ line; none: there is nothing but blank lines.
    fn first(&mut self) -> io::Result<Option<Begin>> {
        while let Some(line) = self.lines.next()? {
            if let Some(begin) = Begin::of(&line, self.lines.head(&line), Before::Nothing) {
                return Ok(Some(begin));
            }
            if !line.is_blank() {
                let text = "this is no mbox: it does not begin with a From_ line";
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        Ok(None)
    }

    fn message(&mut self) -> io::Result<Option<Message>> {
        let begin = match self.next.take() {
            Some(begin) => begin,
            None => match self.first()? {
                Some(begin) => begin,
                None => return Ok(None),
            },
        };
        let mut draft = Draft::new(begin);
        // How far the message goes by its own word.
        let mut claimed = None;
        while let Some(line) = self.lines.next()? {
            let is_inside = claimed.is_some_and(|end| line.start < end);
            let before = draft.before(claimed.is_some());
            if !is_inside && let Some(next) = Begin::of(&line, self.lines.head(&line), before) {
                self.next = Some(next);
                break;
            }
            match claimed {
                Some(_) if !is_inside => draft.message.end = line.end(),
                Some(end) if line.end() > end => {
                    draft.partial_line(&line, end);
                    draft.message.end = line.end();
                }
                _ => draft.line(&line, self.lines.head(&line), self.variant),
            }
            if draft.header_has_ended(&line) && self.variant == Variant::Mboxcl2 {
                claimed = self.claimed(&draft.message)?;
            }
        }
        Ok(Some(draft.finish(claimed.is_some())))
    }

    /// Where the message ends by its `Content-Length`, if that can be true.
    fn claimed(&mut self, message: &Message) -> io::Result<Option<u64>> {
        let mut lengths = header::fields(&message.header)
            .filter(|field| field.is("Content-Length"))
            .map(|field| field.value.parse::<u64>().ok());
        let (Some(Some(length)), None) = (lengths.next(), lengths.next()) else {
            return Ok(None);
        };
        let Some(end) = message.body.checked_add(length) else {
            return Ok(None);
        };
        // With an octet before, so that a place behind the end of the file is told
        // from its end.
        let around = LINE_OCTETS as u32 + 3;
        let around = self.lines.source.read_at(end - 1, around)?;
        let Some((last, behind)) = around.split_first() else {
            return Ok(None);
        };
        let is_blank = behind.starts_with(b"\n") || behind.starts_with(b"\r\n");
        let next = match memchr::memchr(b'\n', behind) {
            Some(line_end) if is_blank => &behind[line_end + 1..],
            _ if *last != b'\n' && length > 0 => return Ok(behind.is_empty().then_some(end)),
            _ => behind,
        };
        let line = &next[..memchr::memchr(b'\n', next).unwrap_or(next.len())];
        Ok((next.is_empty() || is_from_line(line)).then_some(end))
    }
}

impl<S: Source> Iterator for Messages<S> {
    type Item = io::Result<Message>;

    fn next(&mut self) -> Option<io::Result<Message>> {
        if self.is_over {
            return None;
        }
        let found = self.message().transpose();
        self.is_over = !matches!(found, Some(Ok(_)));
        found
    }
}

/// What stands before a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A blank line, the beginning of the file, or where a message ends by its own word.
    Nothing,
    Text,
}

impl Begin {
    fn of(line: &Line, head: &[u8], before: Before) -> Option<Begin> {
        // The usual line is settled by its first octet.
        if head.first() != Some(&b'F') || !head.starts_with(from_line::FROM) {
            return None;
        }
        let end = head.trim_ascii_end().len();
        let FromLine { received, is_whole } = FromLine::parse(head)?;
        if before == Before::Text && !is_whole {
            return None;
        }
        Some(Begin {
            start: line.start,
            content: line.end(),
            received,
            from_line: head[..end].to_vec(),
        })
    }
}

/// A message that is being read.
struct Draft {
    message: Message,
    in_header: bool,
    /// Octets of the last line, if that is blank.
    blank: Option<u64>,
}

impl Draft {
    fn new(begin: Begin) -> Draft {
        let Begin {
            start,
            content,
            received,
            from_line,
        } = begin;
        Draft {
            message: Message {
                start,
                content,
                body: content,
                content_end: content,
                end: content,
                octets: 0,
                body_octets: 0,
                received,
                is_quoted: false,
                from_line,
                header: Vec::new(),
            },
            in_header: true,
            blank: None,
        }
    }

    fn line(&mut self, line: &Line, head: &[u8], variant: Variant) {
        let message = &mut self.message;
        message.content_end = line.end();
        message.end = line.end();
        let octets = line.wire_octets();
        message.octets += octets;
        self.blank = line.is_blank().then_some(line.octets);
        if self.in_header {
            message.body = line.end();
            if message.header.len() + head.len() <= HEADER_OCTETS {
                message.header.extend_from_slice(head);
            }
            return;
        }
        message.body_octets += octets;
        if variant == Variant::Mboxrd && quoting::is_quoted(head) {
            message.is_quoted = true;
            message.octets -= 1;
            message.body_octets -= 1;
        }
    }

    /// The rest of the message up to `end`, which is no line end.
    fn partial_line(&mut self, line: &Line, end: u64) {
        let octets = end - line.start + 2;
        self.message.octets += octets;
        self.message.body_octets += octets;
        self.message.content_end = end;
        self.blank = None;
    }

    /// What stands before the next line. `is_claimed`: the message's end is known.
    fn before(&self, is_claimed: bool) -> Before {
        match is_claimed || self.blank.is_some() {
            true => Before::Nothing,
            false => Before::Text,
        }
    }

    /// Whether the header section ended with this line. Said once.
    fn header_has_ended(&mut self, line: &Line) -> bool {
        self.in_header && line.is_blank() && {
            self.in_header = false;
            true
        }
    }

    /// `is_exact`: the message's end is known, a blank line before it is its own.
    fn finish(self, is_exact: bool) -> Message {
        let mut message = self.message;
        if let (Some(octets), false) = (self.blank, is_exact) {
            message.content_end -= octets;
            message.octets -= 2;
            // The blank line may be the one behind the header.
            message.body_octets = message.body_octets.saturating_sub(2);
        }
        message.body = message.body.min(message.content_end);
        message
    }
}

#[cfg(test)]
mod tests;

//! A message for a client that has not said UTF8: every header in ASCII (RFC
//! 6856 section 2.1).
//!
//! What is made is the *surrogate* of RFC 6858: an address that needs UTF-8
//! becomes one that cannot exist, text becomes encoded-words (RFC 2047), a field
//! that can be said in no other way is left out. Where RFC 6858 leaves out more
//! than it has to, the ways of RFC 6857 and RFC 2231 are taken: clients delete
//! what they have fetched, so what can be kept readable is kept.
//!
//! Nothing is shortened: what cannot be rewritten within bounds, or is no field, goes
//! out as it is stored. Most clients can read it, and none loses it.
//!
//! Headers are the message's own, those of MIME parts and those of messages in
//! messages. Everything else, and every header in ASCII, stays as it is to the
//! octet; what is 8-bit in a body is the business of its
//! Content-Transfer-Encoding.
//!
//! Chunks may be cut anywhere. This comes before [`Stuffing`](crate::Stuffing): line ends are
//! still as they were stored, and those made here are CRLF.

mod address;
mod entity;
mod field;
mod folding;
mod parameter;
mod tokens;

use std::mem;

use memchr::{memchr, memmem};

use entity::{Contents, Delimiter, Delimiters, Entity, MAX_LINE_BEGIN_OCTETS};
use tokens::is_space;

use crate::stuffing::Measure;

/// Bytes of a header field that are kept until its end is seen. A longer one goes out
/// as it is stored: half of it would be shown as the whole.
const MAX_FIELD_BYTES: usize = 64 * 1024;

/// Makes a surrogate of one message. What has no need of one passes untouched.
#[derive(Debug)]
pub struct Surrogate {
    place: Place,
    /// The header field that may go on in the next chunk, from its beginning.
    held: Vec<u8>,
    /// What the header says so far of what comes behind it.
    entity: Entity,
    delimiters: Delimiters,
    growth: i64,
    needed: bool,
    /// A chunk's new octets; here so that it is allocated once.
    room: Vec<u8>,
}

/// Where in the message the next octet is.
#[derive(Debug)]
enum Place {
    Header {
        /// No field has been seen.
        empty: bool,
    },
    /// In a field of more than [`MAX_FIELD_BYTES`]; the octet before.
    LongField(u8),
    /// In a body that parts may follow; how its line begins, as long as it may
    /// be a delimiter.
    Body(Option<Vec<u8>>),
    /// No header can follow.
    Rest,
}

/// A chunk at work. Of `raw`, what lies between `done` and `end` is still to go
/// out as it is, behind what is in `out`.
struct Chunk<'a> {
    raw: &'a [u8],
    done: usize,
    end: usize,
    out: &'a mut Vec<u8>,
}

impl Chunk<'_> {
    /// In place of the octets up to `end`, of which those up to `start` go out
    /// as they are.
    fn replace(&mut self, start: usize, end: usize, octets: &[u8]) {
        self.out.extend_from_slice(&self.raw[self.done..start]);
        self.out.extend_from_slice(octets);
        self.done = end;
    }
}

impl Surrogate {
    /// At the beginning of a message.
    pub fn new() -> Self {
        Surrogate {
            place: Place::Header { empty: true },
            held: Vec::new(),
            entity: Entity::default(),
            delimiters: Delimiters::default(),
            growth: 0,
            needed: false,
            room: Vec::new(),
        }
    }

    /// Takes the next octets of the message and puts the surrogate's in their
    /// place: those of a header field come once its end is certain. A chunk that
    /// needs no change is not copied.
    pub fn feed(&mut self, chunk: &mut Vec<u8>) {
        if matches!(self.place, Place::Rest) {
            return;
        }
        let mut room = mem::take(&mut self.room);
        room.clear();
        let mut work = Chunk {
            raw: chunk,
            done: 0,
            end: chunk.len(),
            out: &mut room,
        };
        let mut at = 0;
        while at < work.raw.len() {
            at = match &self.place {
                Place::Header { empty } => self.header(*empty, &mut work, at),
                Place::LongField(last) => self.long_field(*last, work.raw, at),
                Place::Body(_) => self.body(work.raw, at),
                Place::Rest => work.raw.len(),
            };
        }
        let Chunk { done, end, .. } = work;
        if done == 0 && room.is_empty() {
            chunk.truncate(end);
        } else {
            room.extend_from_slice(&chunk[done.min(end)..end]);
            mem::swap(chunk, &mut room);
        }
        self.room = room;
    }

    /// The message is whole: appends what was still kept.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Place::Header { empty } = self.place
            && !self.held.is_empty()
        {
            self.finish_field(empty, out);
        }
    }

    /// The message ends with its header.
    fn finish_field(&mut self, empty: bool, out: &mut Vec<u8>) {
        let field = mem::take(&mut self.held);
        let Some(mut new) = self.take_field(empty, &field) else {
            out.extend_from_slice(&field);
            return;
        };
        self.count(&field, &new);
        if !field.ends_with(b"\n") && (new.is_empty() || new.ends_with(b"\n")) {
            // The CRLF that the message lacks counts whether it has this field or
            // not.
            self.growth -= 2;
            let line = new.strip_suffix(b"\n").unwrap_or(&new);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            new.truncate(line.len());
        }
        out.extend_from_slice(&new);
    }

    /// Octets that the surrogate has more than the message, so far and as LIST
    /// counts them.
    pub fn growth(&self) -> i64 {
        self.growth
    }

    /// Whether the message, as far as it is known, cannot be shown as it is.
    pub fn is_needed(&self) -> bool {
        self.needed || !self.held.is_ascii()
    }

    /// A field that begins at `start`, or in `held`. Returns how far it got.
    fn header(&mut self, empty: bool, chunk: &mut Chunk<'_>, start: usize) -> usize {
        let mut at = start;
        while let Some(&next) = chunk.raw.get(at) {
            let part = &chunk.raw[start..at];
            let last = part.last().or(self.held.last());
            if last == Some(&b'\n') && !is_space(next) {
                self.field(empty, chunk, start, at);
                return at;
            }
            let left = MAX_FIELD_BYTES.saturating_sub(self.held.len() + part.len());
            if left == 0 {
                self.begin_long_field(empty, chunk, start, at);
                return at;
            }
            let line = &chunk.raw[at..];
            let line = &line[..left.min(line.len())];
            at += memchr(b'\n', line).map_or(line.len(), |line_feed| line_feed + 1);
            let part = &chunk.raw[start..at];
            if matches!(
                (self.held.as_slice(), part),
                (b"", b"\n" | b"\r\n") | (b"\r", b"\n")
            ) {
                chunk.out.append(&mut self.held);
                self.end_header();
                return at;
            }
        }
        self.held.extend_from_slice(&chunk.raw[start..]);
        chunk.end = start;
        at
    }

    /// The field is whole.
    fn field(&mut self, empty: bool, chunk: &mut Chunk<'_>, start: usize, end: usize) {
        let mut held = mem::take(&mut self.held);
        let part = &chunk.raw[start..end];
        let joined;
        let field = if held.is_empty() {
            part
        } else {
            joined = [&held, part].concat();
            &joined
        };
        match self.take_field(empty, field) {
            None => chunk.out.append(&mut held),
            Some(new) => {
                self.count(field, &new);
                chunk.replace(start, end, &new);
            }
        }
    }

    /// Goes on behind a line with those folded to it. Returns what it becomes;
    /// None: it stays as it is.
    fn take_field(&mut self, empty: bool, field: &[u8]) -> Option<Vec<u8>> {
        let name = field::name_octets(field);
        if name.is_none() {
            if let Some(delimiter) = self.delimiters.meet(field) {
                self.meet(delimiter);
                return None;
            }
            if empty && !is_mbox_line(field) {
                self.place = self.a_body();
                return None;
            }
        }
        if !self.delimiters.is_empty() && self.entity.is_text(field) {
            // Its header lacks the blank line: this is text already.
            self.end_header_without_a_line();
            return None;
        }
        self.place = Place::Header { empty: false };
        self.entity.learn(field);
        if field.is_ascii() {
            return None;
        }
        self.needed = true;
        // Whatever a line without a name is, there is no way to write it otherwise.
        let name = name?;
        let mut new = Vec::new();
        field::write(field, name, &mut new);
        Some(new)
    }

    fn count(&mut self, old: &[u8], new: &[u8]) {
        self.growth += counted(b'\n', new) - counted(b'\n', old);
    }

    /// The header is over.
    fn end_header(&mut self) {
        match mem::take(&mut self.entity).into_contents() {
            Contents::Multipart {
                boundary,
                is_digest,
            } => {
                self.delimiters.push(boundary, is_digest);
                self.place = self.a_body();
            }
            Contents::Message => self.place = Place::Header { empty: true },
            Contents::Leaf => self.place = self.a_body(),
        }
    }

    /// The header of a part is over, and there was no blank line: a body follows, be it of
    /// parts, but no header of a message can.
    fn end_header_without_a_line(&mut self) {
        match mem::take(&mut self.entity).into_contents() {
            Contents::Multipart {
                boundary,
                is_digest,
            } => self.delimiters.push(boundary, is_digest),
            Contents::Message | Contents::Leaf => {}
        }
        self.place = self.a_body();
    }

    /// A body at the beginning of a line.
    fn a_body(&self) -> Place {
        if self.delimiters.is_empty() {
            Place::Rest
        } else {
            Place::Body(Some(Vec::new()))
        }
    }

    fn meet(&mut self, delimiter: Delimiter) {
        match delimiter {
            Delimiter::Part(entity) => {
                self.entity = entity;
                self.place = Place::Header { empty: true };
            }
            Delimiter::Close => {
                self.entity = Entity::default();
                self.place = self.a_body();
            }
        }
    }

    /// The field has [`MAX_FIELD_BYTES`] and goes on.
    fn begin_long_field(&mut self, empty: bool, chunk: &mut Chunk<'_>, start: usize, end: usize) {
        let mut held = mem::take(&mut self.held);
        let field = [&held, &chunk.raw[start..end]].concat();
        if field::name_octets(&field).is_none() && empty && !is_mbox_line(&field) {
            self.place = match self.a_body() {
                Place::Body(_) => Place::Body(None),
                place => place,
            };
            chunk.out.append(&mut held);
            return;
        }
        self.needed |= !field.is_ascii();
        chunk.out.append(&mut held);
        let last = field.last().copied().unwrap_or(b'\n');
        self.place = Place::LongField(last);
    }

    /// One line of a long field, or its end. Returns how far it got.
    fn long_field(&mut self, last: u8, raw: &[u8], at: usize) -> usize {
        let rest = &raw[at..];
        if last == b'\n' && rest.first().is_some_and(|&next| !is_space(next)) {
            self.place = Place::Header { empty: false };
            return at;
        }
        let line = &rest[..memchr(b'\n', rest).map_or(rest.len(), |line_feed| line_feed + 1)];
        self.needed |= !line.is_ascii();
        self.place = Place::LongField(line.last().copied().unwrap_or(last));
        at + line.len()
    }

    /// Looks for the next delimiter. Returns how far it got.
    fn body(&mut self, raw: &[u8], at: usize) -> usize {
        let rest = &raw[at..];
        let Place::Body(line) = &mut self.place else {
            return raw.len();
        };
        let Some(begin) = line else {
            return match memmem::find(rest, b"\n--") {
                Some(line_feed) => {
                    *line = Some(Vec::new());
                    at + line_feed + 1
                }
                None => {
                    *line = last_line(rest).map(<[u8]>::to_vec);
                    raw.len()
                }
            };
        };
        let end = memchr(b'\n', rest).map_or(rest.len(), |line_feed| line_feed + 1);
        let dashes = begin.iter().chain(rest).take(2);
        let may_be = dashes.zip(b"--").all(|(octet, dash)| octet == dash);
        if !may_be || begin.len() + end > MAX_LINE_BEGIN_OCTETS {
            *line = None;
            return at;
        }
        begin.extend_from_slice(&rest[..end]);
        if begin.ends_with(b"\n") {
            let whole = mem::take(begin);
            if let Some(delimiter) = self.delimiters.meet(&whole) {
                self.meet(delimiter);
            }
        }
        at + end
    }
}

impl Default for Surrogate {
    fn default() -> Self {
        Surrogate::new()
    }
}

/// The line that begins a message in an mbox, left there by mistake.
fn is_mbox_line(line: &[u8]) -> bool {
    line.strip_prefix(b">")
        .unwrap_or(line)
        .starts_with(b"From ")
}

/// How the line begins that a body's octets end with, if it may be a delimiter.
fn last_line(body: &[u8]) -> Option<&[u8]> {
    let begin = match body {
        [.., b'\n', b'-'] => 1,
        [.., b'\n'] => 0,
        _ => return None,
    };
    Some(&body[body.len() - begin..])
}

/// Octets with each line end counted as CRLF; `last` is the octet before them.
fn counted(last: u8, octets: &[u8]) -> i64 {
    let mut measure = Measure::after(last);
    measure.feed(octets);
    i64::try_from(measure.octets()).unwrap_or(i64::MAX)
}

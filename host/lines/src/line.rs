//! Octets in, one bounded line out.
//!
//! Framing comes before parsing: this room knows line ends and the limit, and
//! nothing of what a line says. Whatever ends no line is content, so nothing can
//! be smuggled behind it.

use std::mem;
use std::ops::Deref;

use memchr::{memchr, memchr_iter};

use crate::sensitive::Sensitive;

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    /// LF; one CR in front of it belongs to the line end. RFC 1939 section 3 asks for
    /// CRLF, and clients in use send a bare LF too.
    Lf,
    /// CRLF and nothing else (RFC 5321 section 2.3.8). A bare LF spoils its line.
    CrLf,
}

/// Collects lines of at most `limit` octets.
#[derive(Debug)]
pub struct LineReader {
    /// Longest line in octets, its line end included.
    limit: usize,
    ends_with: LineEnd,
    /// The begin of a line whose end has not come yet: below `limit` octets.
    partial: Sensitive,
    /// What becomes of the line up to its end.
    fate: Fate,
    /// The last octet that came was a CR.
    after_cr: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Kept,
    /// It was too long: everything up to its end is thrown away.
    TooLong,
    /// A bare LF was in it, which has been said: the rest is thrown away.
    Spoiled,
}

/// One line without its line end.
#[derive(Debug)]
pub enum Line<'a> {
    /// It lay in the input in one piece.
    Whole(&'a [u8]),
    /// It came in pieces.
    Joined(Sensitive),
    /// It was longer than the limit. Its octets are gone.
    TooLong,
    /// A bare LF is in it where only CRLF ends a line. Its octets are gone, and what
    /// is still to come of it will be: who types lines by hand hears of it at once, and
    /// nothing behind the LF is taken for a line.
    BareLineFeed,
}

impl LineReader {
    /// A reader at the beginning of a line.
    pub fn new(limit: usize, ends_with: LineEnd) -> Self {
        LineReader {
            limit,
            ends_with,
            partial: Sensitive::default(),
            fate: Fate::Kept,
            after_cr: false,
        }
    }

    /// The next line, or None once the input is used up. Takes nothing behind
    /// the line off the input.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Line<'a>> {
        loop {
            let Some(Feed { end, is_line_end }) = self.feed(input) else {
                self.after_cr = input.last().map_or(self.after_cr, |last| *last == b'\r');
                self.keep(mem::take(input));
                return None;
            };
            let (line, rest) = input.split_at(end);
            *input = rest;
            self.after_cr = false;
            let partial = mem::take(&mut self.partial);
            let is_too_long = partial.len() + line.len() > self.limit;
            if !is_line_end {
                match self.fate {
                    Fate::Kept if is_too_long => self.fate = Fate::TooLong,
                    Fate::Kept => {
                        self.fate = Fate::Spoiled;
                        return Some(Line::BareLineFeed);
                    }
                    Fate::TooLong | Fate::Spoiled => {}
                }
                continue;
            }
            match mem::take(&mut self.fate) {
                Fate::Spoiled => {}
                Fate::Kept if !is_too_long && partial.is_empty() => {
                    return Some(Line::Whole(without_line_end(line)));
                }
                Fate::Kept if !is_too_long => {
                    let mut joined = partial;
                    joined.extend(line);
                    return Some(Line::Joined(joined));
                }
                Fate::Kept | Fate::TooLong => return Some(Line::TooLong),
            }
        }
    }

    /// The first LF that matters.
    fn feed(&self, input: &[u8]) -> Option<Feed> {
        if self.ends_with == LineEnd::Lf {
            let end = memchr(b'\n', input)? + 1;
            return Some(Feed {
                end,
                is_line_end: true,
            });
        }
        let after_cr = |at: usize| match at.checked_sub(1) {
            Some(before) => input[before] == b'\r',
            None => self.after_cr,
        };
        memchr_iter(b'\n', input)
            .map(|at| Feed {
                end: at + 1,
                is_line_end: after_cr(at),
            })
            // One bare LF is enough.
            .find(|feed| feed.is_line_end || self.fate == Fate::Kept)
    }

    /// Remembers the begin of a line, as far as it may still be a line.
    fn keep(&mut self, begin: &[u8]) {
        if self.fate != Fate::Kept || begin.is_empty() {
            return;
        }
        // The end still to come takes one octet at least.
        if self.partial.len() + begin.len() >= self.limit {
            self.fate = Fate::TooLong;
            self.partial = Sensitive::default();
            return;
        }
        if self.partial.is_empty() {
            self.partial = Sensitive::with_capacity(self.limit);
        }
        self.partial.extend(begin);
    }
}

/// An LF, and whether it ends the line.
struct Feed {
    /// Behind it, in the input.
    end: usize,
    is_line_end: bool,
}

impl Line<'_> {
    /// The line's octets, or None if they are gone.
    pub fn octets(&self) -> Option<&[u8]> {
        match self {
            Line::Whole(line) => Some(line),
            Line::Joined(line) => Some(without_line_end(line.deref())),
            Line::TooLong | Line::BareLineFeed => None,
        }
    }
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line of the pieces; None is one too long.
    fn lines(limit: usize, pieces: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        let mut reader = LineReader::new(limit, LineEnd::Lf);
        let mut lines = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some(line) = reader.next(&mut input) {
                lines.push(line.octets().map(<[u8]>::to_vec));
            }
            assert!(input.is_empty());
        }
        lines
    }

    fn at_every_split(limit: usize, input: &[u8], expected: &[Option<&[u8]>]) {
        let expected: Vec<_> = expected.iter().map(|l| l.map(<[u8]>::to_vec)).collect();
        for split in 0..=input.len() {
            let (one, two) = input.split_at(split);
            assert_eq!(lines(limit, &[one, two]), expected, "split at {split}");
        }
        let octets: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(lines(limit, &octets), expected, "octet by octet");
    }

    #[test]
    fn crlf_and_bare_lf_end_a_line() {
        at_every_split(
            255,
            b"NOOP\r\nSTAT\n\r\n\nLIST",
            &[Some(b"NOOP"), Some(b"STAT"), Some(b""), Some(b"")],
        );
    }

    #[test]
    fn cr_alone_is_content() {
        at_every_split(
            255,
            b"NOOP\rDELE 1\r\n\rA\r\r\n\r\n",
            &[Some(b"NOOP\rDELE 1"), Some(b"\rA\r"), Some(b"")],
        );
    }

    #[test]
    fn the_limit_counts_the_line_end() {
        at_every_split(
            6,
            b"1234\r\n12345\r\n12345\n123456\nNOOP\r\n",
            &[Some(b"1234"), None, Some(b"12345"), None, Some(b"NOOP")],
        );
    }

    #[test]
    fn a_line_too_long_is_one_line_and_holds_no_memory() {
        let mut reader = LineReader::new(8, LineEnd::Lf);
        for begun in [3, 6, 0, 0, 0] {
            let mut input: &[u8] = b"012";
            assert!(reader.next(&mut input).is_none());
            assert_eq!(reader.partial.len(), begun);
        }
        let mut input: &[u8] = b"\nQUIT\n";
        assert!(matches!(reader.next(&mut input), Some(Line::TooLong)));
        assert!(matches!(
            reader.next(&mut input),
            Some(Line::Whole(b"QUIT"))
        ));
    }

    /// What comes of a line where only CRLF ends one.
    fn strict(limit: usize, pieces: &[&[u8]]) -> Vec<String> {
        let mut reader = LineReader::new(limit, LineEnd::CrLf);
        let mut lines = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some(line) = reader.next(&mut input) {
                lines.push(match (&line, line.octets()) {
                    (_, Some(octets)) => octets.escape_ascii().to_string(),
                    (Line::TooLong, _) => "too long".into(),
                    _ => "bare LF".into(),
                });
            }
            assert!(input.is_empty());
        }
        lines
    }

    #[test]
    fn where_only_crlf_ends_a_line_nothing_hides_behind_a_bare_lf() {
        for (input, expected) in [
            (&b"NOOP\r\n\r\nQUIT\r\n"[..], &["NOOP", "", "QUIT"][..]),
            (b"NOOP\nQUIT\r\nRSET\r\n", &["bare LF", "RSET"]),
            (b"\n\n\nQUIT\n\r\nRSET\r\n", &["bare LF", "RSET"]),
            (b"A\rQUIT\r\r\n", &["A\\rQUIT\\r"]),
            (b"\n\r\n\n\r\n\r\n", &["bare LF", "bare LF", ""]),
            (
                b"12345678\r\n123456789\r\n\n",
                &["12345678", "too long", "bare LF"],
            ),
            // As long as may be with its bare LF, and longer.
            (b"123456789\n\r\nA\r\n", &["bare LF", "A"]),
            (b"1234567890\nQUIT\r\nA\r\n", &["too long", "A"]),
            (b"123\n4567890123456789\r\nA\r\n", &["bare LF", "A"]),
        ] {
            for split in 0..=input.len() {
                let (one, two) = input.split_at(split);
                assert_eq!(strict(10, &[one, two]), expected, "split at {split}");
            }
            let octets: Vec<&[u8]> = input.chunks(1).collect();
            assert_eq!(strict(10, &octets), expected, "octet by octet");
        }
    }
}

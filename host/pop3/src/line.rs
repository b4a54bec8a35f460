//! Octets in, one bounded line out.
//!
//! Framing comes before parsing: this room knows line ends and the limit, and
//! nothing of what a line says. A line ends at LF; one CR in front of it belongs
//! to the line end (RFC 1939 section 3 asks for CRLF, real clients send a bare
//! LF too). A CR anywhere else is content, so nothing can be smuggled behind it.

use std::mem;
use std::ops::Deref;

use memchr::memchr;

use crate::secret::Sensitive;

/// Collects lines of at most `limit` octets.
pub(crate) struct LineReader {
    /// Longest line in octets, its line end included.
    limit: usize,
    /// The begin of a line whose end has not come yet: below `limit` octets.
    partial: Sensitive,
    /// The line was too long: everything up to its end is thrown away.
    skipping: bool,
}

/// One line without its line end.
pub(crate) enum Line<'a> {
    /// It lay in the input in one piece.
    Whole(&'a [u8]),
    /// It came in pieces.
    Joined(Sensitive),
    /// It was longer than the limit. Its octets are gone.
    TooLong,
}

impl LineReader {
    /// A reader at the beginning of a line.
    pub(crate) fn new(limit: usize) -> Self {
        LineReader {
            limit,
            partial: Sensitive::default(),
            skipping: false,
        }
    }

    /// The next line, or None once the input is used up. Takes nothing behind
    /// the line off the input.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Line<'a>> {
        let Some(end) = memchr(b'\n', input) else {
            self.keep(mem::take(input));
            return None;
        };
        let (line, rest) = input.split_at(end + 1);
        *input = rest;
        let partial = mem::take(&mut self.partial);
        if mem::take(&mut self.skipping) || partial.len() + line.len() > self.limit {
            return Some(Line::TooLong);
        }
        if partial.is_empty() {
            return Some(Line::Whole(without_line_end(line)));
        }
        let mut joined = partial;
        joined.extend(line);
        Some(Line::Joined(joined))
    }

    /// Remembers the begin of a line, as far as it may still be a line.
    fn keep(&mut self, begin: &[u8]) {
        if self.skipping || begin.is_empty() {
            return;
        }
        // The end still to come takes one octet at least.
        if self.partial.len() + begin.len() >= self.limit {
            self.skipping = true;
            self.partial = Sensitive::default();
            return;
        }
        if self.partial.is_empty() {
            self.partial = Sensitive::with_capacity(self.limit);
        }
        self.partial.extend(begin);
    }
}

impl Line<'_> {
    /// The line's octets, or None if it was too long.
    pub(crate) fn octets(&self) -> Option<&[u8]> {
        match self {
            Line::Whole(line) => Some(line),
            Line::Joined(line) => Some(without_line_end(line.deref())),
            Line::TooLong => None,
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

    /// Every line of `input`, cut into pieces at `cuts`; None is one too long.
    fn lines(limit: usize, pieces: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        let mut reader = LineReader::new(limit);
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
        let mut reader = LineReader::new(8);
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
}

//! What is known of a message once it has come: counted while it streams by, kept
//! nowhere. Nothing here knows how it came.

use memchr::{memchr, memchr_iter, memchr2_iter};

/// What is known of a message's octets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// Octets, without byte-stuffing and the final dot: as SIZE counts them.
    pub octets: u64,
    /// CRLFs. What comes behind the last one is no line.
    pub lines: u64,
    /// A line begins with a dot: whoever sends the message on has to stuff it.
    pub dot_at_line_start: bool,
    /// An octet is above 127.
    pub eight_bit: bool,
    /// An octet is 0.
    pub nul: bool,
    /// A CR or an LF is no part of a CRLF.
    pub bare_line_end: bool,
    /// It does not end in CRLF, which a message by BDAT may not, and is not empty.
    pub unfinished_line: bool,
}

/// Counts.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    facts: Facts,
    last: Last,
}

/// The last octet, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// None yet, or the LF of a CRLF.
    LineStart,
    Cr,
    Other,
}

impl Measure {
    pub(crate) fn new() -> Self {
        Measure {
            facts: Facts::default(),
            last: Last::LineStart,
        }
    }

    /// Octets so far.
    pub(crate) fn octets(&self) -> u64 {
        self.facts.octets
    }

    /// Whether a bare CR or LF is certain by now.
    pub(crate) fn has_bare_line_end(&self) -> bool {
        self.facts.bare_line_end
    }

    pub(crate) fn feed(&mut self, octets: &[u8]) {
        let (Some(first), Some(last)) = (octets.first(), octets.last()) else {
            return;
        };
        let facts = &mut self.facts;
        facts.octets += octets.len() as u64;
        facts.eight_bit |= !octets.is_ascii();
        facts.nul |= memchr(0, octets).is_some();
        facts.dot_at_line_start |= self.last == Last::LineStart && *first == b'.';
        facts.bare_line_end |= self.last == Last::Cr && *first != b'\n';
        if facts.bare_line_end {
            self.lines(octets);
        } else {
            self.lines_and_bare(octets);
        }
        self.last = match last {
            b'\r' => Last::Cr,
            b'\n' if self.ends_line(octets) => Last::LineStart,
            _ => Last::Other,
        };
    }

    /// Whether the LF at the end is that of a CRLF.
    fn ends_line(&self, octets: &[u8]) -> bool {
        match octets {
            [.., before, _] => *before == b'\r',
            _ => self.last == Last::Cr,
        }
    }

    /// The CRLFs, each with a look at what comes behind it.
    fn lines(&mut self, octets: &[u8]) {
        for at in memchr_iter(b'\n', octets) {
            if self.ends_line(&octets[..=at]) {
                self.facts.lines += 1;
                self.facts.dot_at_line_start |= octets.get(at + 1) == Some(&b'.');
            }
        }
    }

    /// The same, until a CR or an LF is found that stands alone.
    fn lines_and_bare(&mut self, octets: &[u8]) {
        for at in memchr2_iter(b'\r', b'\n', octets) {
            if octets[at] == b'\r' {
                // At the end of the chunk it is not known yet.
                let alone = octets.get(at + 1).is_some_and(|next| *next != b'\n');
                self.facts.bare_line_end |= alone;
            } else if self.ends_line(&octets[..=at]) {
                self.facts.lines += 1;
                self.facts.dot_at_line_start |= octets.get(at + 1) == Some(&b'.');
            } else {
                self.facts.bare_line_end = true;
            }
        }
    }

    /// The message is whole.
    pub(crate) fn finish(self) -> Facts {
        let mut facts = self.facts;
        facts.bare_line_end |= self.last == Last::Cr;
        facts.unfinished_line = self.last != Last::LineStart;
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pieces: &[&[u8]]) -> Facts {
        let mut measure = Measure::new();
        for piece in pieces {
            measure.feed(piece);
        }
        measure.finish()
    }

    /// What a glance at the whole message gives.
    fn by_hand(message: &[u8]) -> Facts {
        let text: String = message.iter().map(|octet| char::from(*octet)).collect();
        let without = text.replace("\r\n", "");
        Facts {
            octets: message.len() as u64,
            lines: text.matches("\r\n").count() as u64,
            dot_at_line_start: text.starts_with('.') || text.contains("\r\n."),
            eight_bit: !message.is_ascii(),
            nul: message.contains(&0),
            bare_line_end: without.contains(['\r', '\n']),
            unfinished_line: !message.is_empty() && !text.ends_with("\r\n"),
        }
    }

    #[test]
    fn it_is_the_same_at_every_split() {
        for message in [
            &b""[..],
            b".",
            b"a\r\n",
            b"a\r\n.b\r\n\r\n",
            b"a\n.b\r\n",
            b"a\r.b\r\n",
            b"a\r\r\n.\r\n",
            b"a\r\n\xe4\0",
            b"\r\n\r\n..\r\n",
            b"\r",
            b"\n",
            b"\n\r\n\r",
            b"a\nb\rc\r\n.d\r\n",
        ] {
            let expected = by_hand(message);
            assert_eq!(facts(&[message]), expected, "{}", message.escape_ascii());
            let octets: Vec<&[u8]> = message.chunks(1).collect();
            assert_eq!(facts(&octets), expected, "{}", message.escape_ascii());
            for split in 0..=message.len() {
                let (one, two) = message.split_at(split);
                assert_eq!(facts(&[one, two]), expected, "{}", message.escape_ascii());
            }
        }
    }
}

//! A message on its way in by DATA: byte-stuffing undone, its end found. Chunks may
//! be cut anywhere; pieces of them are handed on as they lie, nothing is copied.
//!
//! RFC 5321 sections 4.1.1.4 and 4.5.2: the message ends with a line that is a dot
//! and nothing else, and lines end with CRLF (section 2.3.8). A bare LF or a bare CR
//! is content and ends neither a line nor the message, whatever stands around it:
//! a server that is more liberal than the one in front of it can be made to take a
//! part of one message for another message (SMTP smuggling).

use memchr::memchr_iter;

/// Where the octets stand that came last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    /// Behind a dot that begins a line.
    Dot,
    /// Behind a dot that begins a line, and a CR.
    DotCr,
    Text,
    /// Behind a CR in a line's text.
    Cr,
}

/// Undoes byte-stuffing.
#[derive(Debug, Clone)]
pub(crate) struct Unstuffing {
    at: At,
}

/// What comes next of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Octets of the message, at least one.
    Octets(&'a [u8]),
    /// The final dot has come.
    End,
    /// The input is used up.
    Read,
}

impl Unstuffing {
    /// Behind DATA's line.
    pub(crate) fn new() -> Self {
        Unstuffing { at: At::LineStart }
    }

    /// Takes the next piece off the front of `input`, and nothing behind the end.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Piece<'a> {
        while let Some((first, behind)) = input.split_first() {
            match (self.at, *first) {
                (At::LineStart, b'.') => {
                    *input = behind;
                    self.at = At::Dot;
                }
                (At::Dot, b'\r') => {
                    *input = behind;
                    self.at = At::DotCr;
                }
                (At::DotCr, b'\n') => {
                    *input = behind;
                    return Piece::End;
                }
                // Of a line that begins with a dot and goes on, the dot goes; the CR
                // that seemed to end it is content.
                (At::DotCr, _) => {
                    self.at = At::Cr;
                    return Piece::Octets(b"\r");
                }
                (At::LineStart | At::Dot, _) => self.at = At::Text,
                (At::Text | At::Cr, _) => return Piece::Octets(self.text(input)),
            }
        }
        Piece::Read
    }

    /// All of the input up to a line that begins with a dot.
    fn text<'a>(&mut self, input: &mut &'a [u8]) -> &'a [u8] {
        let octets = *input;
        let after_cr = |at: usize| match at.checked_sub(1) {
            Some(before) => octets[before] == b'\r',
            None => self.at == At::Cr,
        };
        let dot_or_nothing = |at: &usize| matches!(octets.get(at + 1), None | Some(b'.'));
        let mut line_ends = memchr_iter(b'\n', octets).filter(|at| after_cr(*at));
        if let Some(line_end) = line_ends.find(dot_or_nothing) {
            let (piece, rest) = octets.split_at(line_end + 1);
            *input = rest;
            self.at = At::LineStart;
            return piece;
        }
        *input = &[];
        self.at = match octets.last() {
            Some(b'\r') => At::Cr,
            _ => At::Text,
        };
        octets
    }

    /// Throws away what comes of the message. True: its end has come.
    pub(crate) fn skip(&mut self, input: &mut &[u8]) -> bool {
        loop {
            match self.next(input) {
                Piece::Octets(_) => {}
                Piece::End => return true,
                Piece::Read => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message, and what of the input is left once its end has come.
    fn unstuffed(pieces: &[&[u8]]) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut unstuffing = Unstuffing::new();
        let mut message = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let mut input = *piece;
            loop {
                match unstuffing.next(&mut input) {
                    Piece::Octets(octets) => {
                        assert!(!octets.is_empty());
                        message.extend_from_slice(octets);
                    }
                    Piece::Read => break,
                    Piece::End => {
                        let behind = pieces[index + 1..].concat();
                        return (message, Some([input, &behind].concat()));
                    }
                }
            }
            assert!(input.is_empty());
        }
        (message, None)
    }

    fn at_every_split(wire: &[u8], message: &[u8], left: Option<&[u8]>) {
        let expected = (message.to_vec(), left.map(<[u8]>::to_vec));
        for split in 0..=wire.len() {
            let (one, two) = wire.split_at(split);
            let told = wire.escape_ascii();
            assert_eq!(unstuffed(&[one, two]), expected, "{told} split at {split}");
        }
        let octets: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(unstuffed(&octets), expected, "octet by octet");
    }

    #[test]
    fn stuffing_is_undone_and_the_end_found() {
        for (wire, message) in [
            (&b".\r\nQUIT"[..], &b""[..]),
            (b"a\r\n.\r\nQUIT", b"a\r\n"),
            (b"..\r\n.\r\nQUIT", b".\r\n"),
            (b"...\r\n..a\r\n.\r\nQUIT", b"..\r\n.a\r\n"),
            (b".a\r\n.\r\nQUIT", b"a\r\n"),
            (b"\r\n\r\n.\r\nQUIT", b"\r\n\r\n"),
            (b"a.\r\n.\r\nQUIT", b"a.\r\n"),
            (b"a\r\n.b\r\n..\r\n.\r\nQUIT", b"a\r\nb\r\n.\r\n"),
        ] {
            at_every_split(wire, message, Some(b"QUIT"));
        }
        at_every_split(b"a\r\n.", b"a\r\n", None);
        at_every_split(b"a\r\n.\r", b"a\r\n", None);
    }

    /// Every way to write an end of data that is none. Servers that took one of these for
    /// it could be made to see a second message (CVE-2023-51764 and its kin).
    #[test]
    fn nothing_but_crlf_dot_crlf_ends_a_message() {
        let ends = [
            "\n", "\r", "\r\r\n", "\n\r", "\r\n", "\0", "\r\0\n", "\r\n\0", "",
        ];
        for before in ends {
            for behind in ends {
                // A line that begins and ends with CRLF is the one that may.
                if before.ends_with("\r\n") && behind.starts_with("\r\n") {
                    continue;
                }
                let wire = format!("a{before}.{behind}MAIL FROM:<b>\r\n");
                let begins_line = before.ends_with("\r\n");
                let message = match begins_line {
                    true => format!("a{before}{behind}MAIL FROM:<b>\r\n"),
                    false => wire.clone(),
                };
                at_every_split(wire.as_bytes(), message.as_bytes(), None);
            }
        }
    }
}

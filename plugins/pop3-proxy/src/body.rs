//! A message as RETR sends it, without its byte-stuffing (RFC 1939 section 3).

use crate::upstream::{Trouble, Upstream};

/// Where in the message the octet stands that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    /// Behind a "." that began a line.
    Dot,
    /// Behind such a "." and CR.
    DotCr,
    Line,
    /// In a line, behind CR.
    Cr,
    End,
}

/// A message that is being received.
pub(crate) struct Body {
    at: At,
    /// Octets so far as the host sends them: a line feed alone becomes CRLF.
    octets: u64,
}

impl Body {
    pub(crate) fn new() -> Body {
        Body {
            at: At::LineStart,
            octets: 0,
        }
    }

    /// Whether the final "." has come.
    pub(crate) fn ended(&self) -> bool {
        self.at == At::End
    }

    /// Octets as they go out to the client.
    pub(crate) fn octets(&self) -> u64 {
        self.octets
    }

    /// Receives once, if need be, and appends what comes of it: at most `limit`
    /// octets.
    pub(crate) fn receive(
        &mut self,
        upstream: &mut Upstream,
        message: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), Trouble> {
        // A dot's CR may turn out to be part of the message: two octets at once.
        if self.ended() || limit < 2 {
            return Ok(());
        }
        let there = upstream.fill()?;
        // No octet becomes more than one, but for that CR.
        let there = &there[..there.len().min(limit - 1)];
        let taken = self.take(there, message);
        upstream.consume(taken);
        Ok(())
    }

    /// Takes octets as they came off the wire; how many of them belong to the
    /// message and its end.
    fn take(&mut self, wire: &[u8], message: &mut Vec<u8>) -> usize {
        let before = message.len();
        let mut at = 0;
        let mut bare = 0;
        while at < wire.len() && self.at != At::End {
            let octet = wire[at];
            self.at = match (self.at, octet) {
                (At::LineStart, b'.') => At::Dot,
                (At::Dot, b'\r') => At::DotCr,
                (At::DotCr, b'\n') => At::End,
                (At::DotCr, _) => {
                    // No end: the CR was the message's.
                    message.push(b'\r');
                    self.at = At::Cr;
                    continue;
                }
                (At::Cr, b'\n') => {
                    message.push(octet);
                    At::LineStart
                }
                (_, b'\r') => {
                    message.push(octet);
                    At::Cr
                }
                (_, b'\n') => {
                    // The host puts a CR in front.
                    bare += 1;
                    message.push(octet);
                    At::Line
                }
                _ => {
                    let rest = &wire[at..];
                    let plain = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                    message.extend_from_slice(&rest[..plain]);
                    at += plain;
                    self.at = At::Line;
                    continue;
                }
            };
            at += 1;
        }
        self.octets += (message.len() - before) as u64 + bare;
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message, octets as they go out, and what was left behind its end.
    fn read(wire: &[u8], piece: usize) -> (Vec<u8>, u64, usize) {
        let mut body = Body::new();
        let mut message = Vec::new();
        let mut at = 0;
        while at < wire.len() && !body.ended() {
            let end = wire.len().min(at + piece);
            at += body.take(&wire[at..end], &mut message);
        }
        assert!(body.ended(), "{wire:?}");
        (message, body.octets(), wire.len() - at)
    }

    #[test]
    fn stuffing_is_taken_out_wherever_the_pieces_end() {
        for (wire, message, octets) in [
            (&b".\r\n"[..], &b""[..], 0),
            (b"a\r\n.\r\n", b"a\r\n", 3),
            (b"..\r\n.\r\n", b".\r\n", 3),
            (b"..a\r\n...\r\n.\r\n", b".a\r\n..\r\n", 8),
            (b"a.\r\n.b\r\n.\r\n", b"a.\r\nb\r\n", 7),
            (b"\r\n\r\n.\r\n", b"\r\n\r\n", 4),
            // Line feeds that are no line ends of the wire.
            (b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n", 9),
            (b"a\r\r\n.\r\n", b"a\r\r\n", 4),
            (b".\rx\r\n.\r\n", b"\rx\r\n", 4),
            (b".\r\r\n.\r\n", b"\r\r\n", 3),
        ] {
            let with_more = [wire, b"+OK"].concat();
            for piece in 1..=with_more.len() {
                let (got, count, left) = read(&with_more, piece);
                assert_eq!(got, message, "{wire:?} in pieces of {piece}");
                assert_eq!((count, left), (octets, 3), "{wire:?} in pieces of {piece}");
            }
        }
    }
}

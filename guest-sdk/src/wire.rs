//! What a text weighs on the wire.

/// Counts the octets of a message as RFC 1939 section 11 has them, chunk by
/// chunk: every line end is CRLF, byte-stuffing is not counted, nor is the
/// terminating line. A message that does not end in a line end gets one; a CR
/// without LF is content.
///
/// It is what [`Listing::push`](crate::store::Listing::push) wants of a store.
/// Of a whole file, [`files::measure`](crate::files::measure) has it counted by
/// the host, which is faster.
///
/// ```
/// use restante_guest::WireOctets;
///
/// let mut octets = WireOctets::new();
/// for chunk in ["Subject: hello\n", "\nbody\r", "\n"] {
///     octets.feed(chunk.as_bytes());
/// }
/// assert_eq!(octets.finish(), "Subject: hello\r\n\r\nbody\r\n".len() as u64);
/// ```
#[derive(Debug, Clone, Default)]
pub struct WireOctets {
    octets: u64,
    /// Of what was fed.
    last: Option<u8>,
}

impl WireOctets {
    /// At the beginning of a message.
    pub fn new() -> WireOctets {
        WireOctets::default()
    }

    /// Takes the next octets of the message; chunks may be cut anywhere.
    pub fn feed(&mut self, chunk: &[u8]) {
        for at in memchr::memchr_iter(b'\n', chunk) {
            let before = match at.checked_sub(1) {
                Some(before) => Some(chunk[before]),
                None => self.last,
            };
            self.octets += u64::from(before != Some(b'\r'));
        }
        self.octets += chunk.len() as u64;
        self.last = chunk.last().copied().or(self.last);
    }

    /// The message is whole: its octets.
    pub fn finish(self) -> u64 {
        match self.last {
            None | Some(b'\n') => self.octets,
            Some(_) => self.octets + 2,
        }
    }
}

/// The octets of a whole message on the wire, see [`WireOctets`].
///
/// ```
/// use restante_guest::wire_octets;
///
/// assert_eq!(wire_octets("one\ntwo"), 10);
/// assert_eq!(wire_octets("one\r\ntwo\r\n"), 10);
/// assert_eq!(wire_octets(""), 0);
/// ```
pub fn wire_octets(message: impl AsRef<[u8]>) -> u64 {
    let mut octets = WireOctets::new();
    octets.feed(message.as_ref());
    octets.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_anywhere_changes_nothing() {
        for (message, octets) in [
            (&b""[..], 0),
            (b"\n", 2),
            (b"\r\n", 2),
            (b"\r", 3),
            (b"a\rb\r\r\n\n", 8),
            (b"no end", 8),
            (b"\xff\0\n\n\r\n.", 11),
        ] {
            assert_eq!(wire_octets(message), octets, "{message:?}");
            for first in 0..=message.len() {
                for second in first..=message.len() {
                    let mut cut = WireOctets::new();
                    cut.feed(&message[..first]);
                    cut.feed(&message[first..second]);
                    cut.feed(&message[second..]);
                    assert_eq!(cut.finish(), octets, "{message:?} {first} {second}");
                }
            }
        }
    }
}

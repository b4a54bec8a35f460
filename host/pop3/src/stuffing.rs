//! A message's octets on their way out: line ends to CRLF, byte-stuffing, the
//! TOP cut, and the counting of octets (RFC 1939 sections 3, 7 and 11).
//!
//! Everything here is incremental: chunks may be cut anywhere. LF becomes CRLF,
//! CRLF stays, a CR without LF is content and stays; a message that does not
//! end in CRLF after that gets one; an empty message stays empty. This is the
//! path of every octet, so whole runs are copied at a time. Where octets come
//! from and where they go, nobody here knows.

use memchr::memchr_iter;

/// Makes a message the body of a multi-line reply (RFC 1939 section 3).
#[derive(Debug, Clone)]
pub struct Stuffing {
    last: Last,
    cut: Option<Cut>,
    octets: u64,
}

impl Stuffing {
    /// None: the whole message. Else TOP's cut: the header, the blank line, and
    /// this many lines of the body (RFC 1939 section 7).
    pub fn new(body_lines: Option<u64>) -> Self {
        Stuffing {
            last: Last::Nothing,
            cut: body_lines.map(Cut::new),
            octets: 0,
        }
    }

    /// Takes the next octets of the message; `out` grows by at most twice as
    /// many. What lies behind TOP's cut is ignored.
    pub fn feed(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        let wanted = match &mut self.cut {
            Some(cut) => &raw[..cut.wanted(raw)],
            None => raw,
        };
        let inserted = convert::<true>(&mut self.last, wanted, out);
        self.octets += (wanted.len() + inserted) as u64;
    }

    /// Whether TOP has all it wants: no need to feed the rest.
    pub fn is_complete(&self) -> bool {
        self.cut.as_ref().is_some_and(Cut::is_complete)
    }

    /// Octets so far as RFC 1939 section 11 counts them: without byte-stuffing
    /// and without the terminating line.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// The message is whole: the CRLF it may lack, and the terminating line.
    /// Returns its octets. A message that broke off must not come here, or it
    /// would look whole.
    pub fn finish(self, out: &mut Vec<u8>) -> u64 {
        let inserted = end(self.last, out);
        out.extend_from_slice(b".\r\n");
        self.octets + inserted
    }
}

/// Makes line ends CRLF without byte-stuffing: the message as its reader will
/// have it.
#[derive(Debug, Clone)]
pub struct LineEnds {
    last: Last,
}

impl LineEnds {
    /// At the beginning of a message.
    pub fn new() -> Self {
        LineEnds {
            last: Last::Nothing,
        }
    }

    /// Takes the next octets of the message; `out` grows by at most twice as
    /// many.
    pub fn feed(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        convert::<false>(&mut self.last, raw, out);
    }

    /// The message is whole: the CRLF it may lack.
    pub fn finish(self, out: &mut Vec<u8>) {
        end(self.last, out);
    }
}

impl Default for LineEnds {
    fn default() -> Self {
        LineEnds::new()
    }
}

/// Counts the octets of a message as LIST says them, without making them.
#[derive(Debug, Clone)]
pub struct Measure {
    last: Last,
    octets: u64,
}

impl Measure {
    /// At the beginning of a message.
    pub fn new() -> Self {
        Measure {
            last: Last::Nothing,
            octets: 0,
        }
    }

    /// Behind an octet that is counted elsewhere.
    pub(crate) fn after(octet: u8) -> Self {
        Measure {
            last: Last::of(octet),
            octets: 0,
        }
    }

    /// Octets so far, without the CRLF that may be lacking.
    pub(crate) fn octets(&self) -> u64 {
        self.octets
    }

    /// Takes the next octets of the message.
    pub fn feed(&mut self, raw: &[u8]) {
        let Some((first, last)) = raw.first().zip(raw.last()) else {
            return;
        };
        let mut bare = u64::from(*first == b'\n' && self.last != Last::Cr);
        // In pairs, and in sums that fit an octet, so that the compiler makes SIMD
        // of it; checked addition would keep it from that.
        for (before, octets) in raw.chunks(255).zip(raw[1..].chunks(255)) {
            let pairs = before.iter().zip(octets);
            let sum = pairs.fold(0_u8, |sum, (before, octet)| {
                sum.wrapping_add(u8::from((*octet == b'\n') & (*before != b'\r')))
            });
            bare += u64::from(sum);
        }
        self.octets += raw.len() as u64 + bare;
        self.last = Last::of(*last);
    }

    /// The message is whole: its octets, with the CRLF it may lack.
    pub fn finish(self) -> u64 {
        self.octets + end(self.last, &mut Vec::new())
    }
}

impl Default for Measure {
    fn default() -> Self {
        Measure::new()
    }
}

/// The last octet before a chunk, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// The message has not begun.
    Nothing,
    LineEnd,
    Cr,
    Other,
}

impl Last {
    fn of(octet: u8) -> Self {
        match octet {
            b'\n' => Last::LineEnd,
            b'\r' => Last::Cr,
            _ => Last::Other,
        }
    }

    fn begins_line(self) -> bool {
        matches!(self, Last::Nothing | Last::LineEnd)
    }
}

/// Copies `raw` with CRLF line ends, byte-stuffed if `STUFF`. Returns how many
/// octets were put in, stuffing left out.
fn convert<const STUFF: bool>(last: &mut Last, raw: &[u8], out: &mut Vec<u8>) -> usize {
    let Some(final_octet) = raw.last() else {
        return 0;
    };
    // Most messages have lines of more than 16 octets.
    out.reserve(raw.len() + raw.len() / 16);
    if STUFF && last.begins_line() && raw[0] == b'.' {
        out.push(b'.');
    }
    let mut inserted = 0;
    // Where the run begins that is not copied yet.
    let mut start = 0;
    for line_feed in memchr_iter(b'\n', raw) {
        let after_cr = match line_feed.checked_sub(1) {
            Some(before) => raw[before] == b'\r',
            None => *last == Last::Cr,
        };
        let next = line_feed + 1;
        if !after_cr {
            out.extend_from_slice(&raw[start..line_feed]);
            out.extend_from_slice(b"\r\n");
            inserted += 1;
            start = next;
        }
        if STUFF && raw.get(next) == Some(&b'.') {
            out.extend_from_slice(&raw[start..next]);
            out.push(b'.');
            start = next;
        }
    }
    out.extend_from_slice(&raw[start..]);
    *last = Last::of(*final_octet);
    inserted
}

/// The CRLF that a message lacks at its end. Returns how many octets that is.
fn end(last: Last, out: &mut Vec<u8>) -> u64 {
    if last.begins_line() {
        return 0;
    }
    out.extend_from_slice(b"\r\n");
    2
}

/// Finds the end of what TOP wants. A line is blank when nothing stands before
/// its line end, LF or CRLF.
#[derive(Debug, Clone)]
struct Cut {
    /// What the line has so far.
    line: LineSoFar,
    in_header: bool,
    /// Lines of the body that are still wanted.
    body_lines: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineSoFar {
    Empty,
    /// A CR and nothing else: blank if an LF comes next.
    Cr,
    Text,
}

impl Cut {
    fn new(body_lines: u64) -> Self {
        Cut {
            line: LineSoFar::Empty,
            in_header: true,
            body_lines,
        }
    }

    fn is_complete(&self) -> bool {
        !self.in_header && self.body_lines == 0
    }

    /// How much of the front of `raw` is wanted.
    fn wanted(&mut self, raw: &[u8]) -> usize {
        if self.is_complete() {
            return 0;
        }
        let mut start = 0;
        for line_feed in memchr_iter(b'\n', raw) {
            self.line_ends(&raw[start..line_feed]);
            start = line_feed + 1;
            if self.is_complete() {
                return start;
            }
        }
        self.line = self.line.and(&raw[start..]);
        raw.len()
    }

    /// A line ends whose last octets are these.
    fn line_ends(&mut self, octets: &[u8]) {
        if self.in_header {
            self.in_header = self.line.and(octets) == LineSoFar::Text;
        } else {
            self.body_lines -= 1;
        }
        self.line = LineSoFar::Empty;
    }
}

impl LineSoFar {
    fn and(self, octets: &[u8]) -> Self {
        match (self, octets) {
            (line, []) => line,
            (LineSoFar::Empty, b"\r") => LineSoFar::Cr,
            _ => LineSoFar::Text,
        }
    }
}

//! The lines of a file that is read in pieces, whatever their length.

use std::io;

use super::Source;

/// Octets of a line that are looked at: no From_ line and no field that matters
/// here is longer.
pub(super) const LINE_OCTETS: usize = 1000;

/// One line of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) start: u64,
    pub(super) octets: u64,
    pub(super) end: LineEnd,
    /// Where its first octets are in the piece; none: in `Lines::head`.
    pub(super) head: Option<(usize, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnd {
    Lf,
    CrLf,
    /// The file ends.
    None,
}

impl Line {
    pub(super) fn end(&self) -> u64 {
        self.start + self.octets
    }

    pub(super) fn is_blank(&self) -> bool {
        matches!(
            (self.octets, self.end),
            (1, LineEnd::Lf) | (2, LineEnd::CrLf)
        )
    }

    pub(super) fn wire_octets(&self) -> u64 {
        match self.end {
            LineEnd::CrLf => self.octets,
            LineEnd::Lf => self.octets + 1,
            LineEnd::None => self.octets + 2,
        }
    }
}

/// Lines of a source that is read in pieces.
#[derive(Debug)]
pub(super) struct Lines<S> {
    pub(super) source: S,
    pub(super) piece: Vec<u8>,
    pub(super) piece_octets: u32,
    /// How much of the piece is done with.
    pub(super) at: usize,
    /// Where in the file the piece begins.
    pub(super) base: u64,
    /// The first octets of a line that is spread over pieces.
    pub(super) head: Vec<u8>,
}

impl<S: Source> Lines<S> {
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        let start = self.base + self.at as u64;
        // Of the line, in pieces that are gone.
        let mut octets = 0;
        let mut last = 0;
        self.head.clear();
        loop {
            let rest = &self.piece[self.at..];
            if let Some(at) = memchr::memchr(b'\n', rest) {
                let before = at.checked_sub(1).map_or(last, |before| rest[before]);
                let head = match octets {
                    0 => Some((self.at, self.at + (at + 1).min(LINE_OCTETS))),
                    _ => {
                        add_head(&mut self.head, &rest[..=at]);
                        None
                    }
                };
                self.at += at + 1;
                let octets = octets + at as u64 + 1;
                let end = match before {
                    b'\r' => LineEnd::CrLf,
                    _ => LineEnd::Lf,
                };
                return Ok(Some(Line {
                    start,
                    octets,
                    end,
                    head,
                }));
            }
            octets += rest.len() as u64;
            last = rest.last().copied().unwrap_or(last);
            add_head(&mut self.head, rest);
            self.base += self.piece.len() as u64;
            self.at = 0;
            self.piece = self.source.read_at(self.base, self.piece_octets)?;
            if self.piece.is_empty() {
                let line = Line {
                    start,
                    octets,
                    end: LineEnd::None,
                    head: None,
                };
                return Ok((octets > 0).then_some(line));
            }
        }
    }

    /// The first octets of the line that came last.
    pub(super) fn head(&self, line: &Line) -> &[u8] {
        match line.head {
            Some((start, end)) => &self.piece[start..end],
            None => &self.head,
        }
    }
}

fn add_head(head: &mut Vec<u8>, octets: &[u8]) {
    let room = LINE_OCTETS - head.len();
    head.extend_from_slice(&octets[..octets.len().min(room)]);
}

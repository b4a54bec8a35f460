//! Lines of a text that begin with "From " carry a ">" in an mbox.

use super::from_line::FROM;

/// Whether a line of a body is quoted as mboxrd does it: any number of ">", and
/// then "From ".
pub(super) fn is_quoted(line: &[u8]) -> bool {
    let rest = line.strip_prefix(b">");
    rest.is_some_and(|rest| {
        let text = rest.iter().position(|octet| *octet != b'>');
        text.is_some_and(|text| rest[text..].starts_with(FROM))
    })
}

/// Takes one ">" from each line that begins with some and "From ", as mboxrd
/// ([`Variant::Mboxrd`](super::Variant)) wants it; chunks may be cut anywhere.
/// Only bodies are quoted: begin at the [body](super::Message::body).
///
/// ```
/// use restante_guest::mbox::Unquoting;
///
/// let (mut unquoting, mut body) = (Unquoting::new(), Vec::new());
/// for chunk in [">Fr", "om here\n>>From there\n> From nowhere\n>"] {
///     unquoting.feed(chunk.as_bytes(), &mut body);
/// }
/// unquoting.finish(&mut body);
/// assert_eq!(body, b"From here\n>From there\n> From nowhere\n>");
/// ```
#[derive(Debug, Clone)]
pub struct Unquoting(At);

#[derive(Debug, Clone, Copy)]
enum At {
    /// A line begins.
    Start,
    /// Behind one or more ">" of which one is held back, and so many octets of
    /// "From ", which are held back too.
    Quote(usize),
    /// In a line that is settled.
    Line,
}

impl Unquoting {
    /// At the beginning of a body.
    pub fn new() -> Unquoting {
        Unquoting(At::Start)
    }

    /// Takes the next octets of a body, and appends what they come to.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        out.reserve(chunk.len());
        let mut rest = chunk;
        while let Some((&octet, behind)) = rest.split_first() {
            match self.0 {
                At::Start if octet == b'>' => {
                    self.0 = At::Quote(0);
                    rest = behind;
                }
                At::Quote(0) if octet == b'>' => {
                    out.push(b'>');
                    rest = behind;
                }
                At::Quote(matched) if octet == FROM[matched] => {
                    rest = behind;
                    self.0 = At::Quote(matched + 1);
                    if matched + 1 == FROM.len() {
                        out.extend_from_slice(FROM);
                        self.0 = At::Line;
                    }
                }
                At::Quote(matched) => {
                    out.push(b'>');
                    out.extend_from_slice(&FROM[..matched]);
                    self.0 = At::Line;
                }
                At::Start | At::Line => {
                    let end = memchr::memchr(b'\n', rest).map(|at| at + 1);
                    self.0 = if end.is_some() { At::Start } else { At::Line };
                    let line;
                    (line, rest) = rest.split_at(end.unwrap_or(rest.len()));
                    out.extend_from_slice(line);
                }
            }
        }
    }

    /// The body is whole: appends what was held back.
    pub fn finish(self, out: &mut Vec<u8>) {
        if let At::Quote(matched) = self.0 {
            out.push(b'>');
            out.extend_from_slice(&FROM[..matched]);
        }
    }
}

impl Default for Unquoting {
    fn default() -> Unquoting {
        Unquoting::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unquoted(chunks: &[&[u8]]) -> Vec<u8> {
        let (mut unquoting, mut out) = (Unquoting::new(), Vec::new());
        for chunk in chunks {
            unquoting.feed(chunk, &mut out);
        }
        unquoting.finish(&mut out);
        out
    }

    #[test]
    fn one_mark_of_each_quoted_line_is_taken_however_it_is_cut() {
        let body = b">From a\n>>>From b\n>Fro\n>\n>>\n\n> From c\n x >From d\n>From";
        let expected = b"From a\n>>From b\n>Fro\n>\n>>\n\n> From c\n x >From d\n>From";
        for first in 0..=body.len() {
            for second in first..=body.len() {
                let cut = [&body[..first], &body[first..second], &body[second..]];
                assert_eq!(unquoted(&cut), expected, "{first} {second}");
            }
        }
        assert_eq!(unquoted(&[b">From \r\n>Fx"]), b"From \r\n>Fx");
    }

    #[test]
    fn quoted_lines_are_told_apart() {
        for line in [&b">From "[..], b">>>From x"] {
            assert!(is_quoted(line));
        }
        for line in [
            &b""[..],
            b">",
            b">>",
            b"From ",
            b"> From ",
            b">From",
            b">x>From ",
        ] {
            assert!(!is_quoted(line), "{line:?}");
        }
    }
}

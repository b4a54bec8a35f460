//! Takes a message's header section apart (RFC 5322 section 2.2), and puts up
//! with broken ones: mail is old, and spam is worse.

/// The fields of a header section, in their order. Line ends may be CRLF or LF.
///
/// The section ends at the first empty line or with the octets. Lines that are
/// neither a field nor the continuation of one are passed over.
///
/// ```
/// use restante_guest::header;
///
/// let section = b"Subject: a\r\n folded one\r\nX-Spam-Flag:YES\r\n\r\nbody";
/// let subject = header::fields(section).find(|field| field.is("subject"));
/// assert_eq!(subject.map(|field| field.value).as_deref(), Some("a folded one"));
/// assert_eq!(header::fields(section).count(), 2);
/// ```
pub fn fields(header: &[u8]) -> Fields<'_> {
    Fields { rest: header }
}

/// One header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    /// The field's name as it was written.
    pub name: &'a str,
    /// The field's body, unfolded and trimmed: runs of blanks and line ends
    /// became one space. Octets that are not UTF-8 became U+FFFD.
    pub value: String,
}

impl Field<'_> {
    /// Whether this is the field called `name`, in whichever case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Whether `name` can be a field's name: printable US-ASCII, no blank, no
/// colon (RFC 5322 section 2.2).
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|octet| octet.is_ascii_graphic() && octet != b':')
}

/// See [`fields`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            let line = self.next_line()?;
            if line.is_empty() {
                self.rest = &[];
                return None;
            }
            let Some((name, first)) = split_field(line) else {
                continue;
            };
            let mut value = String::new();
            append(&mut value, first);
            while matches!(self.rest.first(), Some(b' ' | b'\t')) {
                let Some(continuation) = self.next_line() else {
                    break;
                };
                append(&mut value, continuation);
            }
            return Some(Field { name, value });
        }
    }
}

impl<'a> Fields<'a> {
    /// The next line without its end; a line of blanks alone is a continuation,
    /// not the end of the section.
    fn next_line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = match self.rest.iter().position(|&octet| octet == b'\n') {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

fn split_field(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = line.iter().position(|&octet| octet == b':')?;
    let name = str::from_utf8(&line[..colon]).ok()?;
    // RFC 5322 section 4.5: blanks before the colon are obsolete, and seen.
    let name = name.trim_end_matches([' ', '\t']);
    is_name(name).then(|| (name, &line[colon + 1..]))
}

/// Adds the words of `text`, one space between them.
fn append(value: &mut String, text: &[u8]) {
    for word in String::from_utf8_lossy(text).split_ascii_whitespace() {
        if !value.is_empty() {
            value.push(' ');
        }
        value.push_str(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(header: &[u8]) -> Vec<(String, String)> {
        fields(header)
            .map(|field| (field.name.to_owned(), field.value))
            .collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn fields_are_unfolded_and_the_body_is_left_alone() {
        let header = b"Subject: a\r\n folded\r\n\t subject \r\nX-Spam-Flag:YES\r\n\r\nBody: no\r\n";
        assert_eq!(
            all(header),
            [
                pair("Subject", "a folded subject"),
                pair("X-Spam-Flag", "YES")
            ]
        );
    }

    #[test]
    fn broken_headers_lose_only_what_is_broken() {
        let header = b" orphan: line\nFrom me Mon Jan 1 00:00:00 2024\nno colon\n: empty\nA b: c\n\
            Old : style\n\xff: bad\nLast: \xff\xfe";
        assert_eq!(
            all(header),
            [pair("Old", "style"), pair("Last", "\u{fffd}\u{fffd}")]
        );
    }

    #[test]
    fn a_line_of_blanks_continues_the_field_before_it() {
        assert_eq!(
            all(b"A: 1\r\n \r\n\t2\r\nB:\r\n\r\n"),
            [pair("A", "1 2"), pair("B", "")]
        );
    }

    #[test]
    fn nothing_yields_nothing() {
        assert!(all(b"").is_empty());
        assert!(all(b"\r\nA: body\r\n").is_empty());
        assert!(all(b"\n").is_empty());
    }

    #[test]
    fn a_name_that_is_spread_over_lines_is_no_name() {
        assert_eq!(all(b"Sub\r\n ject: x\r\nTo: y\r\n"), [pair("To", "y")]);
    }
}

//! The words of a structured field (RFC 5322 section 3.2), taken leniently: what
//! is not closed ends with the field.

use std::borrow::Cow;

/// One word, with the white space in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) space: &'a [u8],
    pub(super) kind: Kind,
    /// As it stands in the field, quotes and brackets included.
    pub(super) raw: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An atom, a dot-atom, a whole `local@domain`, a domain-literal.
    Word,
    /// A quoted-string.
    Quoted,
    /// A comment, with those inside of it.
    Comment,
    /// `<` to `>`.
    Angle,
    /// One of the marks asked for.
    Mark(u8),
}

impl<'a> Token<'a> {
    /// What is meant: without quotes, brackets and backslashes.
    pub(super) fn text(&self) -> Cow<'a, [u8]> {
        let close = match self.kind {
            Kind::Word | Kind::Mark(_) => return Cow::Borrowed(self.raw),
            Kind::Quoted => b'"',
            Kind::Comment => b')',
            Kind::Angle => b'>',
        };
        let inner = &self.raw[1..];
        let inner = inner.strip_suffix(&[close]).unwrap_or(inner);
        if self.kind == Kind::Angle || !inner.contains(&b'\\') {
            return Cow::Borrowed(inner);
        }
        let mut text = Vec::with_capacity(inner.len());
        let mut escaped = false;
        for &octet in inner {
            escaped = octet == b'\\' && !escaped;
            if !escaped {
                text.push(octet);
            }
        }
        Cow::Owned(text)
    }

    pub(super) fn is_ascii(&self) -> bool {
        self.raw.is_ascii()
    }
}

/// The words of a body that was unfolded; `marks` stand alone.
pub(super) fn tokens<'a>(body: &'a [u8], marks: &[u8]) -> Vec<Token<'a>> {
    let mut tokens = Vec::new();
    let mut rest = body;
    loop {
        let blank = rest.iter().take_while(|&&octet| is_space(octet)).count();
        let (space, at) = rest.split_at(blank);
        let Some(&first) = at.first() else {
            return tokens;
        };
        let (kind, length) = match first {
            b'"' => (Kind::Quoted, quoted(at)),
            b'(' => (Kind::Comment, comment(at)),
            b'<' => (Kind::Angle, angle(at)),
            mark if marks.contains(&mark) => (Kind::Mark(mark), 1),
            _ => (Kind::Word, word(at, marks)),
        };
        let (raw, behind) = at.split_at(length);
        tokens.push(Token { space, kind, raw });
        rest = behind;
    }
}

pub(super) fn is_space(octet: u8) -> bool {
    octet == b' ' || octet == b'\t'
}

/// Octets of the quoted-string in front.
fn quoted(at: &[u8]) -> usize {
    let mut escaped = false;
    for (position, &octet) in at.iter().enumerate().skip(1) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return position + 1,
            _ => {}
        }
    }
    at.len()
}

fn comment(at: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (position, &octet) in at.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return position + 1;
        }
    }
    at.len()
}

fn angle(at: &[u8]) -> usize {
    let mut position = 1;
    while let Some(&octet) = at.get(position) {
        match octet {
            b'>' => return position + 1,
            b'"' => position += quoted(&at[position..]),
            _ => position += 1,
        }
    }
    at.len()
}

fn word(at: &[u8], marks: &[u8]) -> usize {
    let mut in_literal = false;
    let ends = |&octet: &u8| {
        match octet {
            b'[' => in_literal = true,
            b']' => in_literal = false,
            _ => {}
        }
        is_space(octet) || b"\"(<".contains(&octet) || (marks.contains(&octet) && !in_literal)
    };
    at.iter().position(ends).unwrap_or(at.len()).max(1)
}

//! Where in a body further headers are: MIME's multiparts and messages in
//! messages (RFC 2046 sections 5.1 and 5.2.1).

use super::field::{name_octets, unfolded};
use super::parameter::Parameters;

/// Multiparts in one another whose parts are looked at; deeper ones pass as
/// they are.
const MAX_ENCLOSING: usize = 32;

/// Octets of a boundary. RFC 2046 section 5.1.1 allows 70; mail is not always
/// that careful.
const MAX_BOUNDARY_OCTETS: usize = 256;

/// Octets of a line that are enough to know whether it is a delimiter: dashes,
/// boundary, dashes, and white space behind them.
pub(super) const MAX_LINE_BEGIN_OCTETS: usize = MAX_BOUNDARY_OCTETS + 64;

/// What a header says of the body behind it.
#[derive(Debug, Default)]
pub(super) struct Entity {
    contents: Option<Contents>,
    /// The body is Base64 or quoted-printable.
    is_encoded: bool,
    /// Without a Content-Type it is a message (RFC 2046 section 5.1.5).
    in_digest: bool,
    /// It is a part of a multipart, and not a message.
    is_part: bool,
}

/// What a body is made of.
#[derive(Debug)]
pub(super) enum Contents {
    Multipart {
        boundary: Vec<u8>,
        is_digest: bool,
    },
    Message,
    /// Nothing with a header.
    Leaf,
}

impl Entity {
    /// Whether this line, with those folded to it, is of the body, though no blank line
    /// came before it: in a part, fields have names that begin with "Content-" (RFC 2046
    /// section 5.1), or with "X-". Only a line that would be rewritten is looked at.
    pub(super) fn is_text(&self, line: &[u8]) -> bool {
        if !self.is_part || line.is_ascii() {
            return false;
        }
        let name = name_octets(line).map(|octets| &line[..octets]);
        let begins = |name: &[u8], with: &[u8]| {
            name.get(..with.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(with))
        };
        !name.is_some_and(|name| begins(name, b"content-") || begins(name, b"x-"))
    }

    /// Takes notice of one field.
    pub(super) fn learn(&mut self, field: &[u8]) {
        let Some(octets) = name_octets(field) else {
            return;
        };
        let name = &field[..octets];
        if name.eq_ignore_ascii_case(b"content-type") && self.contents.is_none() {
            self.contents = Some(Contents::of(&unfolded(field, octets)));
        } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
            let body = unfolded(field, octets);
            let encoding = Parameters::of(&body).value;
            self.is_encoded = encoding == b"base64" || encoding == b"quoted-printable";
        }
    }

    /// What the body is, now that the header is over.
    pub(super) fn into_contents(self) -> Contents {
        match self.contents {
            Some(Contents::Message) if self.is_encoded => Contents::Leaf,
            Some(contents) => contents,
            None if self.in_digest && !self.is_encoded => Contents::Message,
            None => Contents::Leaf,
        }
    }
}

impl Contents {
    fn of(content_type: &[u8]) -> Self {
        let parameters = Parameters::of(content_type);
        let value = parameters.value.as_slice();
        if value == b"message/rfc822" || value == b"message/global" {
            return Contents::Message;
        }
        match parameters.get("boundary").map(<[u8]>::trim_ascii_end) {
            Some(boundary)
                if value.starts_with(b"multipart/")
                    && (1..=MAX_BOUNDARY_OCTETS).contains(&boundary.len()) =>
            {
                Contents::Multipart {
                    boundary: boundary.to_vec(),
                    is_digest: value == b"multipart/digest",
                }
            }
            _ => Contents::Leaf,
        }
    }
}

/// The multiparts that the message is in at this point, outermost first.
#[derive(Debug, Default)]
pub(super) struct Delimiters {
    enclosing: Vec<Enclosing>,
}

#[derive(Debug)]
struct Enclosing {
    boundary: Vec<u8>,
    is_digest: bool,
}

/// A delimiter that was met.
pub(super) enum Delimiter {
    /// A part's header follows.
    Part(Entity),
    /// The multipart is over.
    Close,
}

impl Delimiters {
    /// No delimiter can be met.
    pub(super) fn is_empty(&self) -> bool {
        self.enclosing.is_empty()
    }

    /// A multipart begins.
    pub(super) fn push(&mut self, boundary: Vec<u8>, is_digest: bool) {
        if self.enclosing.len() < MAX_ENCLOSING {
            self.enclosing.push(Enclosing {
                boundary,
                is_digest,
            });
        }
    }

    /// If this line is a delimiter, ends what it ends. An outer multipart's ends
    /// those within, closed or not (RFC 2046 section 5.1.2).
    pub(super) fn meet(&mut self, line: &[u8]) -> Option<Delimiter> {
        let line = line.trim_ascii_end().strip_prefix(b"--")?;
        let open = |enclosing: &Enclosing| line == enclosing.boundary;
        if let Some(at) = self.enclosing.iter().rposition(open) {
            self.enclosing.truncate(at + 1);
            return Some(Delimiter::Part(Entity {
                in_digest: self.enclosing[at].is_digest,
                is_part: true,
                ..Entity::default()
            }));
        }
        let line = line.strip_suffix(b"--")?;
        let close = |enclosing: &Enclosing| line == enclosing.boundary;
        let at = self.enclosing.iter().rposition(close)?;
        self.enclosing.truncate(at);
        Some(Delimiter::Close)
    }
}

//! What the answers of selectors and filters must be, and how much of a message a
//! filter gets to see: the rules that a session and the conformance kit hold
//! plugins to.

use crate::backend::Span;

/// Header fields that one filter may put in front of one message.
pub const ANNOTATION_FIELDS: usize = 32;

/// Octets of one such field, its line end not counted (RFC 5322 section 2.1.1).
pub const ANNOTATION_FIELD_OCTETS: usize = 998;

/// Octets of a header section that a filter gets to see at most.
pub const HEADER_OCTETS: usize = 256 * 1024;

/// Octets that one `read` yields at most.
pub const READ_OCTETS: u32 = 64 * 1024;

/// What is wrong with these spans: they must rise, not touch what came before,
/// and lie within `messages`.
pub fn invalid_spans(spans: &[Span], messages: usize) -> Option<&'static str> {
    let mut end = 0u64;
    for span in spans {
        if u64::from(span.start) < end {
            return Some("spans overlap or do not rise");
        }
        end = u64::from(span.start) + u64::from(span.length);
        if end > messages as u64 {
            return Some("a span ends behind the listing");
        }
    }
    None
}

/// What is wrong with these header fields.
pub fn invalid_annotation(fields: &[String]) -> Option<&'static str> {
    if fields.len() > ANNOTATION_FIELDS {
        return Some("too many header fields");
    }
    fields.iter().find_map(|field| invalid_field(field))
}

/// What keeps this from being one header field (RFC 5322 section 2.2). Octets
/// outside US-ASCII are kept out: a client has to ask for them first (RFC 6856).
fn invalid_field(field: &str) -> Option<&'static str> {
    if field.len() > ANNOTATION_FIELD_OCTETS {
        return Some("a header field is too long");
    }
    let Some((name, value)) = field.split_once(':') else {
        return Some("a header field without a colon");
    };
    // ftext = %d33-57 / %d59-126 (RFC 5322 section 3.6.8)
    if name.is_empty() || !name.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Some("a header field's name has an octet that names cannot have");
    }
    let ordinary = |octet: u8| octet == b'\t' || (0x20..0x7F).contains(&octet);
    if !value.bytes().all(ordinary) {
        return Some("a header field's value has an octet that is not printable US-ASCII");
    }
    None
}

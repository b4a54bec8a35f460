//! MIME's fields with parameters, Content-Type and Content-Disposition
//! (RFC 2045 section 5.1): to read them, and to write what needs UTF-8 the way
//! of RFC 2231.

use std::borrow::Cow;
use std::str;

use super::folding::{Folding, MAX_LINE_OCTETS, character_octets, charset, push_hex};
use super::tokens::{Kind, Token, tokens};

/// Octets of a part of a value at least, however long the parameter's name is.
const MIN_PART_OCTETS: usize = 16;

/// The value and its parameters.
pub(super) struct Parameters<'a> {
    /// In lower case.
    pub(super) value: Vec<u8>,
    parameters: Vec<Parameter<'a>>,
}

struct Parameter<'a> {
    name: &'a [u8],
    value: Cow<'a, [u8]>,
    /// As the field has it, from the name to the value's end.
    raw: Vec<u8>,
}

impl<'a> Parameters<'a> {
    /// Of a body that was unfolded. What is no parameter is left out.
    pub(super) fn of(body: &'a [u8]) -> Self {
        let tokens: Vec<_> = tokens(body, b";=")
            .into_iter()
            .filter(|token| token.kind != Kind::Comment)
            .collect();
        let mut pieces = tokens.split(|token| token.kind == Kind::Mark(b';'));
        let value = pieces.next().map(joined).unwrap_or_default();
        Parameters {
            value: value.to_ascii_lowercase(),
            parameters: pieces.filter_map(Parameter::of).collect(),
        }
    }

    /// What a parameter says, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.parameters
            .iter()
            .find(|parameter| parameter.name.eq_ignore_ascii_case(name.as_bytes()))
            .map(|parameter| &*parameter.value)
    }

    /// Writes the field. False, and nothing is written, if its value needs UTF-8.
    pub(super) fn write(&self, name: &[u8], out: &mut Vec<u8>) -> bool {
        if !self.value.is_ascii() {
            return false;
        }
        let mut folding = Folding::new(name, out);
        folding.put(b" ", &self.value);
        for parameter in &self.parameters {
            if parameter.raw.is_ascii() {
                folding.put(b"", b";");
                folding.put(b" ", &parameter.raw);
            } else if let Some(extended) = self.extended(parameter) {
                for part in extended.iter() {
                    folding.put(b"", b";");
                    folding.put(b" ", part.as_bytes());
                }
            }
        }
        folding.end();
        true
    }

    /// The parameter by RFC 2231 section 4, in parts (section 3) if it is long.
    /// None where that cannot be said, or has been said.
    fn extended(&self, parameter: &Parameter<'_>) -> Option<Vec<String>> {
        let name = str::from_utf8(parameter.name)
            .ok()
            .filter(|name| name.is_ascii())?;
        if let Some(plain) = name.strip_suffix('*') {
            // Extended already, and its author forgot some octets.
            let mut part = format!("{name}=");
            percent_encode(&parameter.value, is_extended, &mut part);
            return (!plain.contains('*')).then(|| vec![part]);
        }
        let said = |other: &Parameter<'_>| {
            let begin = other.name.get(..=name.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(format!("{name}*").as_bytes()))
        };
        if name.contains('*') || self.parameters.iter().any(said) {
            return None;
        }
        let charset = charset(&parameter.value);
        let mut whole = format!("{name}*={charset}''");
        percent_encode(&parameter.value, is_attribute_char, &mut whole);
        // One space before it and a semicolon behind.
        if whole.len() + 2 <= MAX_LINE_OCTETS {
            return Some(vec![whole]);
        }
        Some(parts(name, charset, &parameter.value))
    }
}

fn parts(name: &str, charset: &str, value: &[u8]) -> Vec<String> {
    let mut parts = Vec::new();
    let begin = |nth: usize| match nth {
        0 => format!("{name}*0*={charset}''"),
        nth => format!("{name}*{nth}*="),
    };
    let mut part = begin(0);
    let mut start = part.len();
    let mut rest = value;
    while !rest.is_empty() {
        let (character, behind) = rest.split_at(character_octets(charset, rest));
        let room = (MAX_LINE_OCTETS - 2).max(start + MIN_PART_OCTETS);
        if part.len() + 3 * character.len() > room {
            parts.push(part);
            part = begin(parts.len());
            start = part.len();
        }
        percent_encode(character, is_attribute_char, &mut part);
        rest = behind;
    }
    parts.push(part);
    parts
}

impl<'a> Parameter<'a> {
    fn of(piece: &[Token<'a>]) -> Option<Self> {
        let [name, equals, values @ ..] = piece else {
            return None;
        };
        if name.kind != Kind::Word || equals.kind != Kind::Mark(b'=') {
            return None;
        }
        let value = match values {
            [] => return None,
            [one] => one.text(),
            // White space that should have been in quotes.
            _ => Cow::Owned(joined(values)),
        };
        let mut raw = name.raw.to_vec();
        raw.push(b'=');
        raw.extend_from_slice(&joined(values));
        Some(Parameter {
            name: name.raw,
            value,
            raw,
        })
    }
}

/// The words with the white space between them.
fn joined(words: &[Token<'_>]) -> Vec<u8> {
    let mut joined = Vec::new();
    for (nth, word) in words.iter().enumerate() {
        if nth > 0 {
            joined.extend_from_slice(word.space);
        }
        joined.extend_from_slice(word.raw);
    }
    joined
}

fn percent_encode(octets: &[u8], is_safe: impl Fn(u8) -> bool, out: &mut String) {
    for &octet in octets {
        if is_safe(octet) {
            out.push(char::from(octet));
        } else {
            push_hex(out, '%', octet);
        }
    }
}

/// RFC 2231 section 7, attribute-char.
fn is_attribute_char(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$&+-.^_`{|}~".contains(&octet)
}

/// What an extended value holds besides: its charset's and language's ends, and
/// octets that are encoded already.
fn is_extended(octet: u8) -> bool {
    is_attribute_char(octet) || b"'%".contains(&octet)
}

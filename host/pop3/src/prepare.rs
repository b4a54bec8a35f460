//! SASLprep (RFC 4013): the one form of a user name or a password in which it
//! is compared and hashed. Knows Unicode; knows neither commands nor mechanisms.
//!
//! The tables are those of the stringprep crate. Its own `saslprep` does not
//! serve here: it refuses code points that Unicode 3.2 had not assigned (every
//! emoji among them), which is right for what is stored, while what a client
//! shows is a "query" (RFC 3454 section 7) and may hold them.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use stringprep::tables;
use unicode_normalization::UnicodeNormalization;

use crate::secret::Secret;

/// What a string is prepared for (RFC 3454 section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preparation {
    /// It is compared with what is stored: unassigned code points may stay.
    Query,
    /// It is stored, or hashed to be stored: no unassigned code points.
    Stored,
}

/// Why a string has no prepared form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unprepared {
    /// It is empty, or nothing of it is left.
    Empty,
    /// It holds a character that RFC 4013 section 2.3 prohibits.
    Prohibited,
    /// It mixes directions in a way that RFC 3454 section 6 prohibits.
    Bidirectional,
    /// It is to be stored and holds a code point without an assigned character.
    Unassigned,
}

/// Prepares a user name or a password with SASLprep (RFC 4013).
///
/// # Errors
/// When the string must not be used; an empty result is an error too (RFC 4616
/// section 2, RFC 5034 section 4).
pub fn saslprep(text: &str, preparation: Preparation) -> Result<Cow<'_, str>, Unprepared> {
    if text.is_empty() {
        return Err(Unprepared::Empty);
    }
    if text.is_ascii() {
        return if text.bytes().any(|octet| octet.is_ascii_control()) {
            Err(Unprepared::Prohibited)
        } else {
            Ok(Cow::Borrowed(text))
        };
    }
    let prepared: String = text
        .chars()
        .filter(|char| !tables::commonly_mapped_to_nothing(*char))
        .map(|char| match char {
            char if tables::non_ascii_space_character(char) => ' ',
            char => char,
        })
        .nfkc()
        .collect();
    if prepared.is_empty() {
        return Err(Unprepared::Empty);
    }
    if prepared.chars().any(prohibited) {
        return Err(Unprepared::Prohibited);
    }
    if mixes_directions(&prepared) {
        return Err(Unprepared::Bidirectional);
    }
    if preparation == Preparation::Stored && prepared.chars().any(tables::unassigned_code_point) {
        return Err(Unprepared::Unassigned);
    }
    Ok(Cow::Owned(prepared))
}

/// A user name as a client says it.
pub(crate) fn user_name(name: &str) -> Result<String, Unprepared> {
    saslprep(name, Preparation::Query).map(Cow::into_owned)
}

/// A password as a client says it.
pub(crate) fn password(password: &str) -> Result<Secret, Unprepared> {
    saslprep(password, Preparation::Query).map(|prepared| Secret::new(prepared.into_owned()))
}

/// RFC 4013 section 2.3.
fn prohibited(char: char) -> bool {
    tables::non_ascii_space_character(char)
        || tables::ascii_control_character(char)
        || tables::non_ascii_control_character(char)
        || tables::private_use(char)
        || tables::non_character_code_point(char)
        || tables::surrogate_code(char)
        || tables::inappropriate_for_plain_text(char)
        || tables::inappropriate_for_canonical_representation(char)
        || tables::change_display_properties_or_deprecated(char)
        || tables::tagging_character(char)
}

/// RFC 3454 section 6: a string with characters that run from right to left has
/// none that run from left to right, and begins and ends with the former.
fn mixes_directions(text: &str) -> bool {
    let right_to_left = tables::bidi_r_or_al;
    text.contains(right_to_left)
        && (text.contains(tables::bidi_l)
            || !text.starts_with(right_to_left)
            || !text.ends_with(right_to_left))
}

impl fmt::Display for Unprepared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Unprepared::Empty => "empty, or nothing of it is left once prepared",
            Unprepared::Prohibited => "a prohibited character",
            Unprepared::Bidirectional => "writing directions that must not be mixed",
            Unprepared::Unassigned => "a code point without an assigned character",
        })
    }
}

impl Error for Unprepared {}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4013 section 3, by its numbers.
    #[test]
    fn the_examples_of_rfc_4013() {
        for (input, output) in [
            ("I\u{ad}X", Ok("IX")),
            ("user", Ok("user")),
            ("USER", Ok("USER")),
            ("\u{aa}", Ok("a")),
            ("\u{2168}", Ok("IX")),
            ("\u{7}", Err(Unprepared::Prohibited)),
            ("\u{627}1", Err(Unprepared::Bidirectional)),
        ] {
            for preparation in [Preparation::Query, Preparation::Stored] {
                assert_eq!(
                    saslprep(input, preparation).as_deref(),
                    output.as_ref().map(|text| *text),
                    "{input:?}"
                );
            }
        }
    }

    #[test]
    fn what_else_is_prepared_and_what_is_not() {
        for (input, output) in [
            ("a\u{a0}b\u{3000}c", Ok("a b c")),
            ("A\u{30a}", Ok("\u{c5}")),
            ("\u{bd}", Ok("1\u{2044}2")),
            ("\u{627}1\u{628}", Ok("\u{627}1\u{628}")),
            (" two words ", Ok(" two words ")),
            ("", Err(Unprepared::Empty)),
            ("\u{ad}\u{200d}", Err(Unprepared::Empty)),
            ("a\0b", Err(Unprepared::Prohibited)),
            ("\u{e4}\0", Err(Unprepared::Prohibited)),
            ("a\u{85}b", Err(Unprepared::Prohibited)),
            ("\u{e000}", Err(Unprepared::Prohibited)),
            ("\u{fffd}", Err(Unprepared::Prohibited)),
            ("\u{202e}abc", Err(Unprepared::Prohibited)),
            ("\u{627}a\u{628}", Err(Unprepared::Bidirectional)),
        ] {
            assert_eq!(
                saslprep(input, Preparation::Query).as_deref(),
                output.as_ref().map(|text| *text),
                "{input:?}"
            );
        }
    }

    #[test]
    fn unassigned_code_points_may_be_asked_for_but_not_stored() {
        let emoji = "\u{1f600}";
        assert_eq!(saslprep(emoji, Preparation::Query).as_deref(), Ok(emoji));
        assert_eq!(
            saslprep(emoji, Preparation::Stored),
            Err(Unprepared::Unassigned)
        );
    }
}

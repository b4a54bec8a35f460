//! Writes the lines of one header field: folding, and text as encoded-words
//! (RFC 5322 section 2.2.3, RFC 2047).

use std::borrow::Cow;
use std::str;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest line, in octets without its CRLF, that holds an encoded-word
/// (RFC 2047 section 2).
pub(super) const MAX_LINE_OCTETS: usize = 76;

/// The longest encoded-word, in octets (RFC 2047 section 2).
const MAX_WORD_OCTETS: usize = 75;

/// White space in front of a word beyond this many octets becomes one space:
/// lines that were unfolded must not add up to one that is too long.
const MAX_SPACE_OCTETS: usize = 64;

/// From this many octets on a field's name may have a line of its own.
const LONG_NAME_OCTETS: usize = 40;

/// The charset of text that is not UTF-8: nobody knows (RFC 1428 section 3).
const UNKNOWN_CHARSET: &str = "unknown-8bit";

/// One word of a field's body.
pub(super) struct Item<'a> {
    /// The white space in front of it.
    pub(super) space: &'a [u8],
    /// As it stands in the field.
    pub(super) raw: &'a [u8],
    /// As it is meant: without quotes and backslashes.
    pub(super) text: Cow<'a, [u8]>,
}

impl<'a> Item<'a> {
    /// A word that means what it is.
    pub(super) fn plain(space: &'a [u8], raw: &'a [u8]) -> Self {
        let text = Cow::Borrowed(raw);
        Item { space, raw, text }
    }
}

/// A field on its way out.
pub(super) struct Folding<'a> {
    out: &'a mut Vec<u8>,
    /// Octets of the line so far.
    column: usize,
    /// Something stands in the line, so that it may end here.
    filled: bool,
}

impl<'a> Folding<'a> {
    /// Begins with the field's name and the colon.
    pub(super) fn new(name: &[u8], out: &'a mut Vec<u8>) -> Self {
        out.extend_from_slice(name);
        out.push(b':');
        Folding {
            out,
            column: name.len() + 1,
            filled: name.len() >= LONG_NAME_OCTETS,
        }
    }

    /// ASCII as it is, behind white space where the line may be folded; without
    /// any it belongs to what stands before it.
    pub(super) fn put(&mut self, space: &[u8], word: &[u8]) {
        let space = if space.len() > MAX_SPACE_OCTETS {
            b" "
        } else {
            space
        };
        let octets = space.len() + word.len();
        if !space.is_empty() && self.filled && self.column + octets > MAX_LINE_OCTETS {
            self.fold();
        }
        self.out.extend_from_slice(space);
        self.out.extend_from_slice(word);
        self.column += octets;
        self.filled |= !word.is_empty();
    }

    /// Words in a row: those with octets beyond ASCII as encoded-words, the rest
    /// as they are.
    pub(super) fn put_items(&mut self, items: &[Item<'_>]) {
        let mut rest = items;
        let mut before_is_encoded = false;
        let mut behind_run = false;
        while let Some((item, behind)) = rest.split_first() {
            if item.text.is_ascii() {
                let bare = item.space.is_empty() && behind_run;
                self.put(if bare { b" " } else { item.space }, item.raw);
                before_is_encoded = is_encoded_word(item.raw);
                behind_run = false;
                rest = behind;
                continue;
            }
            let run = rest.iter().take_while(|item| !item.text.is_ascii()).count();
            let (run, behind) = rest.split_at(run);
            let mut text = Vec::new();
            for (nth, item) in run.iter().enumerate() {
                // White space between encoded-words is not shown (RFC 2047
                // section 6.2), so it has to be inside of one.
                if nth > 0 || before_is_encoded {
                    text.extend_from_slice(if item.space.is_empty() {
                        b" "
                    } else {
                        item.space
                    });
                }
                text.extend_from_slice(&item.text);
            }
            if let Some(next) = behind.first()
                && is_encoded_word(next.raw)
            {
                text.extend_from_slice(next.space);
            }
            self.put_encoded(b"", &text, b"");
            before_is_encoded = false;
            behind_run = true;
            rest = behind;
        }
    }

    /// Text as encoded-words, with `before` and `after` right at its ends. A
    /// character is never cut in two (RFC 2047 section 5).
    pub(super) fn put_encoded(&mut self, before: &[u8], text: &[u8], after: &[u8]) {
        let text = without_controls(text);
        let encoding = Encoding::of(&text);
        let mut before = before;
        let mut rest = text.as_slice();
        loop {
            let around = 1 + before.len() + after.len();
            let left = MAX_LINE_OCTETS.saturating_sub(self.column + around);
            let of_new_line = MAX_LINE_OCTETS.saturating_sub(around).min(MAX_WORD_OCTETS);
            let mut count = encoding.fitting(rest, left.min(MAX_WORD_OCTETS));
            if count < rest.len() {
                let most = encoding.fitting(rest, of_new_line);
                let is_crowded = most == rest.len() || left < MAX_WORD_OCTETS / 2;
                if count == 0 || (self.filled && is_crowded) {
                    self.fold();
                    count = most;
                }
            }
            let (now, later) = rest.split_at(count);
            let word = encoding.encode(now);
            let end = if later.is_empty() { after } else { b"" };
            self.out.push(b' ');
            for part in [before, word.as_bytes(), end] {
                self.out.extend_from_slice(part);
            }
            self.column += 1 + before.len() + word.len() + end.len();
            self.filled = true;
            before = b"";
            rest = later;
            if rest.is_empty() {
                return;
            }
        }
    }

    /// Ends the field.
    pub(super) fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }

    fn fold(&mut self) {
        self.out.extend_from_slice(b"\r\n");
        self.column = 0;
        self.filled = false;
    }
}

/// Whether a reader would take this for an encoded-word.
fn is_encoded_word(word: &[u8]) -> bool {
    word.starts_with(b"=?") && word.ends_with(b"?=")
}

/// Nothing that a reader decodes may end its line.
fn without_controls(text: &[u8]) -> Vec<u8> {
    let clean = |octet: &u8| match octet.is_ascii_control() {
        true => b' ',
        false => *octet,
    };
    text.iter().map(clean).collect()
}

/// How a text is written.
#[derive(Clone, Copy)]
struct Encoding {
    charset: &'static str,
    base64: bool,
}

impl Encoding {
    /// Q where most characters are ASCII, B otherwise (RFC 2047 section 4).
    fn of(text: &[u8]) -> Self {
        let charset = charset(text);
        let (mut ascii, mut other) = (0_usize, 0_usize);
        let mut rest = text;
        while let Some(first) = rest.first() {
            *if first.is_ascii() {
                &mut ascii
            } else {
                &mut other
            } += 1;
            rest = &rest[character_octets(charset, rest)..];
        }
        Encoding {
            charset,
            base64: other > ascii,
        }
    }

    /// How many octets of the front of `text` make an encoded-word of at most
    /// `limit` octets.
    fn fitting(self, text: &[u8], limit: usize) -> usize {
        let frame = "=??Q??=".len() + self.charset.len();
        let Some(limit) = limit.checked_sub(frame) else {
            return 0;
        };
        let mut count = 0;
        let mut encoded = 0;
        while count < text.len() {
            let next = count + character_octets(self.charset, &text[count..]);
            encoded = if self.base64 {
                base64_octets(next)
            } else {
                encoded + q_octets(&text[count..next])
            };
            if encoded > limit {
                break;
            }
            count = next;
        }
        count
    }

    fn encode(self, text: &[u8]) -> String {
        let (letter, encoded) = match self.base64 {
            true => ('B', STANDARD.encode(text)),
            false => ('Q', q_encode(text)),
        };
        format!("=?{}?{letter}?{encoded}?=", self.charset)
    }
}

/// The charset of octets that somebody took for text.
pub(super) fn charset(text: &[u8]) -> &'static str {
    match str::from_utf8(text) {
        Ok(_) => "utf-8",
        Err(_) => UNKNOWN_CHARSET,
    }
}

/// Octets of the first character.
pub(super) fn character_octets(charset: &str, text: &[u8]) -> usize {
    if charset == UNKNOWN_CHARSET {
        return 1;
    }
    let behind = text.iter().skip(1);
    1 + behind.take_while(|&&octet| octet & 0xC0 == 0x80).count()
}

fn base64_octets(octets: usize) -> usize {
    octets.div_ceil(3) * 4
}

fn q_octets(text: &[u8]) -> usize {
    text.iter().map(|&octet| q_width(octet)).sum()
}

fn q_width(octet: u8) -> usize {
    if octet == b' ' || is_q_safe(octet) {
        1
    } else {
        3
    }
}

/// What may stand for itself wherever an encoded-word may (RFC 2047 section 5
/// (3), the narrowest of its three cases).
fn is_q_safe(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!*+-/".contains(&octet)
}

fn q_encode(text: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len() * 3);
    for &octet in text {
        match octet {
            b' ' => encoded.push('_'),
            octet if is_q_safe(octet) => encoded.push(char::from(octet)),
            octet => push_hex(&mut encoded, '=', octet),
        }
    }
    encoded
}

/// An octet as two hexadecimal digits behind a mark.
pub(super) fn push_hex(out: &mut String, mark: char, octet: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push(mark);
    for digit in [octet >> 4, octet & 0xF] {
        out.push(char::from(DIGITS[usize::from(digit)]));
    }
}

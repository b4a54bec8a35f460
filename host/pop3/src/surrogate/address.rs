//! Fields that hold addresses or phrases (RFC 5322 sections 3.4 and 3.6.5,
//! RFC 6858 section 2.1).
//!
//! An address that needs UTF-8 becomes one that cannot be written to. Its text
//! joins the name before it, so that the reader sees whose it was.

use super::folding::{Folding, Item};
use super::tokens::{Kind, Token, tokens};

/// Stands for every address that cannot be shown. The domain can never exist
/// (RFC 2606 section 2).
pub(super) const INVALID: &[u8] = b"<invalid@internationalized-address.invalid>";

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// A list of mailboxes and groups.
    Addresses,
    /// An address in angle brackets without a name.
    Path,
    /// A list of phrases.
    Phrases,
}

/// Writes the body of such a field.
pub(super) fn write(holds: Holds, body: &[u8], folding: &mut Folding<'_>) {
    let marks: &[u8] = match holds {
        Holds::Addresses => b",;:",
        Holds::Path | Holds::Phrases => b",",
    };
    let tokens = tokens(body, marks);
    let mut rest = tokens.as_slice();
    while !rest.is_empty() {
        let is_mark = |token: &Token<'_>| matches!(token.kind, Kind::Mark(_));
        let length = rest.iter().position(is_mark).unwrap_or(rest.len());
        let (element, behind) = rest.split_at(length);
        let mark = behind.first();
        let holds = match mark.map(|mark| mark.kind) {
            // The name of a group.
            Some(Kind::Mark(b':')) => Holds::Phrases,
            _ => holds,
        };
        write_element(holds, element, folding);
        if let Some(mark) = mark {
            folding.put(b"", mark.raw);
        }
        rest = &behind[usize::from(mark.is_some())..];
    }
}

fn write_element(holds: Holds, element: &[Token<'_>], folding: &mut Folding<'_>) {
    if element.iter().all(Token::is_ascii) {
        for token in element {
            folding.put(token.space, token.raw);
        }
        return;
    }
    let is_angle = |token: &Token<'_>| token.kind == Kind::Angle;
    match element.iter().position(is_angle) {
        Some(angle) => write_mailbox(holds, element, angle, folding),
        None if holds == Holds::Phrases => {
            write_phrase(element, folding);
        }
        None => write_bare_address(holds, element, folding),
    }
}

/// `name <address>`; `angle` says where the address is.
fn write_mailbox(holds: Holds, element: &[Token<'_>], angle: usize, folding: &mut Folding<'_>) {
    let (name, behind) = element.split_at(angle);
    let (address, behind) = (behind[0], &behind[1..]);
    if address.is_ascii() {
        write_phrase(name, folding);
        folding.put(spaced(address.space), address.raw);
    } else {
        let mut name = name.to_vec();
        if holds != Holds::Path {
            let text = Token {
                kind: Kind::Word,
                raw: inside(address.raw),
                ..address
            };
            name.push(text);
        }
        write_phrase(&name, folding);
        if holds != Holds::Phrases {
            folding.put(b" ", INVALID);
        }
    }
    // Only comments may stand here.
    for token in behind {
        write_comment(token, folding);
    }
}

fn write_bare_address(holds: Holds, element: &[Token<'_>], folding: &mut Folding<'_>) {
    let is_comment = |token: &&Token<'_>| token.kind == Kind::Comment;
    let address: Vec<_> = element.iter().filter(|token| !is_comment(token)).collect();
    if address.iter().all(|token| token.is_ascii()) {
        // What cannot be shown is in a comment.
        for token in element {
            match token.kind {
                Kind::Comment => write_comment(token, folding),
                _ => folding.put(token.space, token.raw),
            }
        }
        return;
    }
    if holds != Holds::Path {
        let mut text = Vec::new();
        for (nth, token) in address.iter().enumerate() {
            if nth > 0 {
                text.extend_from_slice(token.space);
            }
            text.extend_from_slice(token.raw);
        }
        folding.put_encoded(b"", &text, b"");
    }
    folding.put(b" ", INVALID);
    for comment in element.iter().filter(is_comment) {
        write_comment(comment, folding);
    }
}

fn write_phrase(words: &[Token<'_>], folding: &mut Folding<'_>) {
    let mut items = Vec::new();
    for word in words {
        if word.kind == Kind::Comment {
            folding.put_items(&items);
            items.clear();
            write_comment(word, folding);
        } else {
            items.push(Item {
                space: word.space,
                raw: word.raw,
                text: word.text(),
            });
        }
    }
    folding.put_items(&items);
}

/// What is no comment and stands where only one may becomes one.
pub(super) fn write_comment(token: &Token<'_>, folding: &mut Folding<'_>) {
    if token.is_ascii() {
        folding.put(token.space, token.raw);
    } else {
        folding.put_encoded(b"(", &token.text(), b")");
    }
}

/// Without the angle brackets: to some readers a name with an address in
/// brackets is that address.
fn inside(angle: &[u8]) -> &[u8] {
    let inner = &angle[1..];
    inner.strip_suffix(b">").unwrap_or(inner).trim_ascii()
}

/// An encoded-word needs white space behind it (RFC 2047 section 5).
fn spaced(space: &[u8]) -> &[u8] {
    if space.is_empty() { b" " } else { space }
}

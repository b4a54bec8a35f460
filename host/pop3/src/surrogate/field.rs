//! One header field: as it was stored → as a client without UTF-8 may see it.

use super::address::{self, Holds, write_comment};
use super::folding::{Folding, Item};
use super::parameter::Parameters;
use super::tokens::{Kind, Token, is_space, tokens};

/// How a field is written that needs UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// RFC 6858 section 2.1.
    Holds(Holds),
    /// RFC 6858 section 2.2, with RFC 2231 where it leaves parameters out.
    Parameters,
    /// Words that may be encoded-words (RFC 6858 section 2.3; RFC 6857 does so
    /// with every field that nobody knows better).
    Text,
    /// Identifiers stay readable under a name that gives them no meaning (RFC
    /// 6857, "Downgraded-").
    Encapsulate,
    /// A grammar without room for text, but in comments. What stands outside of
    /// them takes the field with it (RFC 6858 section 2.4).
    Comments,
}

/// Names in lower case. Whatever is not here is text.
const RULES: &[(&[&str], Rule)] = &[
    (
        &[
            "from",
            "sender",
            "reply-to",
            "to",
            "cc",
            "bcc",
            "resent-from",
            "resent-sender",
            "resent-reply-to",
            "resent-to",
            "resent-cc",
            "resent-bcc",
            "disposition-notification-to",
            "return-receipt-to",
            "errors-to",
            "apparently-to",
            "mail-reply-to",
            "mail-followup-to",
        ],
        Rule::Holds(Holds::Addresses),
    ),
    (&["return-path"], Rule::Holds(Holds::Path)),
    (&["keywords", "list-id"], Rule::Holds(Holds::Phrases)),
    (&["content-type", "content-disposition"], Rule::Parameters),
    (
        &[
            "message-id",
            "resent-message-id",
            "in-reply-to",
            "references",
            "original-recipient",
            "final-recipient",
        ],
        Rule::Encapsulate,
    ),
    (
        &[
            "received",
            "date",
            "resent-date",
            "mime-version",
            "content-transfer-encoding",
            "content-id",
            "content-location",
            "content-base",
            "content-language",
            "content-md5",
            "dkim-signature",
            "domainkey-signature",
            "arc-seal",
            "arc-message-signature",
            "arc-authentication-results",
            "authentication-results",
            "received-spf",
            "list-help",
            "list-unsubscribe",
            "list-unsubscribe-post",
            "list-subscribe",
            "list-post",
            "list-owner",
            "list-archive",
            "autocrypt",
            "auto-submitted",
        ],
        Rule::Comments,
    ),
];

/// Octets of a field's name; None: this is no field (RFC 5322 section 2.2).
pub(super) fn name_octets(field: &[u8]) -> Option<usize> {
    let is_name = |octet: u8| octet.is_ascii_graphic() && octet != b':';
    let name = field.iter().position(|&octet| !is_name(octet))?;
    let behind = &field[name..];
    let blank = behind.iter().take_while(|&&octet| is_space(octet)).count();
    (name > 0 && behind.get(blank) == Some(&b':')).then_some(name)
}

/// Writes a field of this name with CRLF at the end of each line. It may be
/// left out.
pub(super) fn write(field: &[u8], name_octets: usize, out: &mut Vec<u8>) {
    let name = &field[..name_octets];
    let body = unfolded(field, name_octets);
    match rule(name) {
        Rule::Holds(holds) => {
            let mut folding = Folding::new(name, out);
            address::write(holds, &body, &mut folding);
            folding.end();
        }
        Rule::Parameters => {
            Parameters::of(&body).write(name, out);
        }
        Rule::Text => write_text(name, &body, out),
        Rule::Encapsulate => {
            let name = [b"Downgraded-", name].concat();
            write_text(&name, &body, out);
        }
        Rule::Comments => write_comments(name, &body, out),
    }
}

fn rule(name: &[u8]) -> Rule {
    let is_it = |known: &&str| known.as_bytes().eq_ignore_ascii_case(name);
    RULES
        .iter()
        .find(|(names, _)| names.iter().any(&is_it))
        .map_or(Rule::Text, |&(_, rule)| rule)
}

/// What a field says, in one line: white space stays, and is all that is left
/// of control characters.
pub(super) fn unfolded(field: &[u8], name_octets: usize) -> Vec<u8> {
    let colon = field[name_octets..].iter().position(|&octet| octet == b':');
    let body = colon.map_or(&[][..], |colon| &field[name_octets + colon + 1..]);
    let body = body.trim_ascii_end();
    let mut unfolded = Vec::with_capacity(body.len());
    let mut octets = body.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            b'\n' => {}
            b'\r' if octets.peek() == Some(&b'\n') => {}
            b'\t' => unfolded.push(b'\t'),
            control if control.is_ascii_control() => unfolded.push(b' '),
            octet => unfolded.push(octet),
        }
    }
    unfolded
}

fn write_text(name: &[u8], body: &[u8], out: &mut Vec<u8>) {
    let mut items = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let blank = rest.iter().take_while(|&&octet| is_space(octet)).count();
        let (space, at) = rest.split_at(blank);
        let word = at.iter().take_while(|&&octet| !is_space(octet)).count();
        let (word, behind) = at.split_at(word);
        if !word.is_empty() {
            items.push(Item::plain(space, word));
        }
        rest = behind;
    }
    let mut folding = Folding::new(name, out);
    folding.put_items(&items);
    folding.end();
}

fn write_comments(name: &[u8], body: &[u8], out: &mut Vec<u8>) {
    let mut words = tokens(body, b";");
    if name.eq_ignore_ascii_case(b"received") {
        leave_out_for(&mut words);
    }
    let is_shown = |token: &Token<'_>| token.kind == Kind::Comment || token.is_ascii();
    if !words.iter().all(is_shown) {
        return;
    }
    let mut folding = Folding::new(name, out);
    for word in &words {
        write_comment(word, &mut folding);
    }
    folding.end();
}

/// `for` and an address that cannot be shown: the one place in Received where
/// mail to such an address has it (RFC 6857).
fn leave_out_for(words: &mut Vec<Token<'_>>) {
    let at = words.windows(2).position(|pair| {
        pair[0].raw.eq_ignore_ascii_case(b"for")
            && pair[1].kind != Kind::Comment
            && !pair[1].is_ascii()
    });
    if let Some(at) = at {
        words.drain(at..at + 2);
    }
}

//! Replies as octets: status lines, listings, CAPA. What came from elsewhere
//! (a plugin's words, the configured greeting) is cleaned on its way in; the
//! rest is ours and legal as it stands. Nothing here knows why a reply is given.

use std::fmt::Display;

use restante_lines::put_line;

use crate::maildrop::Maildrop;
use crate::policy::{ByUser, Retention};
use crate::refusal::Refusal;
use crate::sasl::{Mechanisms, Timestamp};
use crate::text::{MAX_LINE_OCTETS, clean, printable};
use crate::wording::{Contents, Language, Phrase, Voice};

/// `+OK text`.
pub(crate) fn positive(out: &mut Vec<u8>, voice: Voice, phrase: Phrase) {
    status(out, "+OK", voice.say(phrase));
}

/// `-ERR text`.
pub(crate) fn negative(out: &mut Vec<u8>, voice: Voice, phrase: Phrase) {
    status(out, "-ERR", voice.say(phrase));
}

/// `-ERR [code] text`.
pub(crate) fn refused(out: &mut Vec<u8>, voice: Voice, refusal: &Refusal) {
    status(out, "-ERR", refusal.said(voice));
}

/// `+OK` and what programs read: numbers, a language tag.
pub(crate) fn status(out: &mut Vec<u8>, indicator: &str, text: impl Display) {
    put_line(out, format_args!("{indicator} {text}"));
}

/// The greeting (RFC 1939 section 4). A `<` announces APOP (section 7), so only
/// the timestamp's goes out.
pub(crate) fn greeting(out: &mut Vec<u8>, text: &str, timestamp: Option<&Timestamp>) {
    let timestamp = timestamp.map_or_else(String::new, |timestamp| format!(" {timestamp}"));
    let mut text = clean(text, MAX_LINE_OCTETS - "+OK \r\n".len() - timestamp.len());
    if text.is_empty() {
        text.push_str("POP3 server ready");
    }
    let text = text.replace('<', "(").replace('>', ")");
    status(out, "+OK", text + &timestamp);
}

/// What CAPA says of this moment.
#[derive(Default)]
pub(crate) struct Capabilities<'a> {
    pub(crate) expire: Option<ByUser<Retention>>,
    pub(crate) login_delay_seconds: Option<ByUser<u32>>,
    /// USER and PASS are allowed on this channel.
    pub(crate) user: bool,
    /// AUTH is, with these.
    pub(crate) sasl: Mechanisms,
    pub(crate) utf8: bool,
    pub(crate) lang: bool,
    /// STLS would be accepted now.
    pub(crate) stls: bool,
    pub(crate) implementation: Option<&'a str>,
}

impl Capabilities<'_> {
    /// The whole multi-line reply (RFC 2449 section 5): below 1 KiB.
    pub(crate) fn render(&self, voice: Voice, out: &mut Vec<u8>) {
        positive(out, voice, Phrase::CapabilitiesFollow);
        out.extend_from_slice(b"TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n");
        if let Some(policy) = &self.expire {
            by_user(out, "EXPIRE", policy);
        }
        if let Some(policy) = &self.login_delay_seconds {
            by_user(out, "LOGIN-DELAY", policy);
        }
        if self.user {
            out.extend_from_slice(b"USER\r\n");
        }
        if !self.sasl.is_empty() {
            put_line(out, format_args!("SASL {}", self.sasl));
        }
        if self.utf8 {
            // Names and passwords may be UTF-8 (RFC 6856 section 2.2).
            out.extend_from_slice(b"UTF8 USER\r\n");
        }
        if self.lang {
            out.extend_from_slice(b"LANG\r\n");
        }
        if self.stls {
            out.extend_from_slice(b"STLS\r\n");
        }
        if let Some(implementation) = self.implementation {
            let room = MAX_LINE_OCTETS - "IMPLEMENTATION \r\n".len();
            // Parameters are separated by single spaces (RFC 2449 section 3).
            let words: Vec<&str> = implementation.split_whitespace().collect();
            let implementation = printable(&words.join(" "), room);
            if !implementation.is_empty() {
                put_line(out, format_args!("IMPLEMENTATION {implementation}"));
            }
        }
        out.extend_from_slice(b".\r\n");
    }
}

/// "EXPIRE 5 USER" (RFC 2449 sections 6.5 and 6.7).
fn by_user<T: Display>(out: &mut Vec<u8>, tag: &str, policy: &ByUser<T>) {
    let ByUser { general, differs } = policy;
    let user = if *differs { " USER" } else { "" };
    put_line(out, format_args!("{tag} {general}{user}"));
}

/// What a bare AUTH is answered: a mechanism on each line.
pub(crate) fn mechanisms(offered: Mechanisms, voice: Voice, out: &mut Vec<u8>) {
    positive(out, voice, Phrase::MechanismsFollow);
    for mechanism in offered.iter() {
        put_line(out, mechanism);
    }
    out.extend_from_slice(b".\r\n");
}

/// What a bare LANG is answered: a language listing on each line (RFC 6856
/// section 3.2).
pub(crate) fn languages(voice: Voice, out: &mut Vec<u8>) {
    positive(out, voice, Phrase::LanguagesFollow);
    for language in Language::ALL {
        put_line(out, voice.listing(language));
    }
    out.extend_from_slice(b".\r\n");
}

/// Which column a multi-line listing shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// LIST.
    Octets,
    /// UIDL.
    UniqueIds,
}

/// A multi-line LIST or UIDL that is under way. It goes out piece by piece, so
/// that a maildrop of any length costs one buffer.
#[derive(Debug)]
pub(crate) struct Lines {
    column: Column,
    /// The position to go on with.
    next: usize,
}

impl Lines {
    /// Writes the status line.
    pub(crate) fn begin(
        column: Column,
        maildrop: &Maildrop,
        voice: Voice,
        out: &mut Vec<u8>,
    ) -> Self {
        let phrase = match column {
            Column::Octets => Phrase::Contents(Contents::of(maildrop)),
            Column::UniqueIds => Phrase::UniqueIdsFollow,
        };
        positive(out, voice, phrase);
        Lines { column, next: 0 }
    }

    /// Writes lines until `out` holds `high_water` octets or all is said, the
    /// final dot included: then true.
    pub(crate) fn go_on(
        &mut self,
        maildrop: &Maildrop,
        out: &mut Vec<u8>,
        high_water: usize,
    ) -> bool {
        while out.len() < high_water {
            let Some(message) = maildrop.next_visible(self.next) else {
                out.extend_from_slice(b".\r\n");
                return true;
            };
            self.next = message.position() + 1;
            self.column.line(maildrop, message.position(), out);
        }
        false
    }
}

impl Column {
    /// A scan listing or unique-id listing: "1 120". It begins with a digit, so
    /// there is nothing to byte-stuff.
    pub(crate) fn line(self, maildrop: &Maildrop, position: usize, out: &mut Vec<u8>) {
        decimal(out, position as u64 + 1);
        out.push(b' ');
        match self {
            Column::Octets => decimal(out, maildrop.listing().octets(position)),
            Column::UniqueIds => {
                out.extend_from_slice(maildrop.listing().unique_id(position).as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Base 10 without the formatting machinery: listings have 100,000 lines.
fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::ResponseCode;
    use crate::sasl::Mechanism;

    fn refused(code: Option<ResponseCode>, text: &str) -> String {
        let mut out = Vec::new();
        let refusal = Refusal::new(code, text);
        super::refused(&mut out, Voice::default(), &refusal);
        let said = String::from_utf8(out).unwrap();
        assert_eq!(said, format!("-ERR {refusal}\r\n"));
        said
    }

    #[test]
    fn a_refusal_is_one_legal_line_whatever_it_was_told() {
        use ResponseCode::{Auth, InUse};
        for (code, text, line) in [
            (None, "no", "-ERR no\r\n"),
            (Some(InUse), "busy", "-ERR [IN-USE] busy\r\n"),
            (None, "[SYS/TEMP] fake", "-ERR (SYS/TEMP] fake\r\n"),
            (None, "  [AUTH] fake ", "-ERR (AUTH] fake\r\n"),
            (
                None,
                "a\r\n+OK b\0\u{e4}\u{1F4A5}\x7f",
                "-ERR a??+OK b????\r\n",
            ),
            (None, " \r\n", "-ERR refused\r\n"),
            (Some(Auth), "", "-ERR [AUTH] authentication failed\r\n"),
        ] {
            assert_eq!(refused(code, text), line, "{text:?}");
        }
    }

    #[test]
    fn no_status_line_is_longer_than_512_octets() {
        let endless = "\u{e4}".repeat(100_000);
        assert_eq!(refused(None, &endless).len(), 512);
        for code in ResponseCode::ALL {
            assert_eq!(refused(Some(code), &endless).len(), 512);
        }
        let longest = Timestamp::new(&"1".repeat(200), &"h".repeat(52)).ok();
        for timestamp in [None, longest.as_ref()] {
            let mut out = Vec::new();
            greeting(&mut out, &endless, timestamp);
            assert_eq!(out.len(), 512);
        }
    }

    #[test]
    fn no_greeting_announces_apop() {
        for (text, line) in [
            ("ready <1896.697@dbc>", "+OK ready (1896.697@dbc)\r\n"),
            ("", "+OK POP3 server ready\r\n"),
            ("[AUTH] a\nb", "+OK (AUTH] a?b\r\n"),
        ] {
            let mut out = Vec::new();
            greeting(&mut out, text, None);
            assert_eq!(out, line.as_bytes());
        }
    }

    #[test]
    fn a_timestamp_is_the_only_one() {
        let timestamp = Timestamp::new("1896.697170952", "dbc.mtview.ca.us").unwrap();
        let mut out = Vec::new();
        greeting(&mut out, "ready <1@fake>", Some(&timestamp));
        assert_eq!(
            out,
            b"+OK ready (1@fake) <1896.697170952@dbc.mtview.ca.us>\r\n"
        );
    }

    #[test]
    fn an_implementation_is_one_bounded_line() {
        let capa = |implementation| {
            let mut out = Vec::new();
            let capabilities = Capabilities {
                implementation: Some(implementation),
                ..Capabilities::default()
            };
            capabilities.render(Voice::default(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert!(capa(" Some  thing\r\n.\r\n").contains("\r\nIMPLEMENTATION Some thing .\r\n.\r\n"));
        assert!(!capa(" \r\n").contains("IMPLEMENTATION"));
        let long = capa(&"x".repeat(1000));
        assert_eq!(long.lines().map(str::len).max(), Some(510));
    }

    #[test]
    fn all_there_is_stays_below_1_kib() {
        let longest = "x".repeat(1000);
        let capabilities = Capabilities {
            expire: Some(ByUser {
                general: Retention::Days(u32::MAX),
                differs: true,
            }),
            login_delay_seconds: Some(ByUser {
                general: u32::MAX,
                differs: true,
            }),
            user: true,
            sasl: Mechanism::ALL.into_iter().collect(),
            utf8: true,
            lang: true,
            stls: true,
            implementation: Some(&longest),
        };
        for language in Language::ALL {
            let mut out = Vec::new();
            let voice = Voice {
                language,
                utf8: true,
            };
            capabilities.render(voice, &mut out);
            assert!(out.len() <= 1024, "{}", out.len());
        }
    }

    #[test]
    fn decimals() {
        for number in [0, 7, 10, 99, 100, 12345, u64::MAX] {
            let mut out = Vec::new();
            decimal(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }
}

//! Replies as octets: status lines, listings, CAPA. What came from elsewhere
//! (a plugin's words, the configured greeting) is cleaned on its way in; the
//! rest is ours and legal as it stands. Nothing here knows why a reply is given.

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::str::FromStr;

use crate::maildrop::Maildrop;

/// Longest line of a reply or a capability in octets, with its CRLF (RFC 2449
/// sections 4 and 5).
const LINE_OCTETS: usize = 512;

/// Extended response codes (RFC 2449 section 8, RFC 3206, RFC 6856).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResponseCode {
    /// The user logged in too recently.
    LoginDelay,
    /// Somebody else holds the maildrop.
    InUse,
    /// A failure that trying again later may mend.
    SysTemp,
    /// A failure that lasts until somebody acts.
    SysPerm,
    /// The credentials are the problem.
    Auth,
    /// It cannot be done without UTF8.
    Utf8,
}

const RESPONSE_CODES: &[(ResponseCode, &str)] = &[
    (ResponseCode::LoginDelay, "LOGIN-DELAY"),
    (ResponseCode::InUse, "IN-USE"),
    (ResponseCode::SysTemp, "SYS/TEMP"),
    (ResponseCode::SysPerm, "SYS/PERM"),
    (ResponseCode::Auth, "AUTH"),
    (ResponseCode::Utf8, "UTF8"),
];

impl ResponseCode {
    fn default_text(self) -> &'static str {
        match self {
            ResponseCode::LoginDelay => "logged in too recently, try again later",
            ResponseCode::InUse => "maildrop is in use by another session",
            ResponseCode::SysTemp => "temporary failure, try again later",
            ResponseCode::SysPerm => "failure, ask your administrator",
            ResponseCode::Auth => "authentication failed",
            ResponseCode::Utf8 => "UTF8 is required",
        }
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = RESPONSE_CODES.iter().find(|(code, _)| code == self);
        out.write_str(known.expect("every code stands in the table").1)
    }
}

/// A response code that is not registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownResponseCode;

impl fmt::Display for UnknownResponseCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("not a registered POP3 response code")
    }
}

impl Error for UnknownResponseCode {}

impl FromStr for ResponseCode {
    type Err = UnknownResponseCode;

    /// Reads a code in any case, without its brackets.
    fn from_str(text: &str) -> Result<Self, UnknownResponseCode> {
        RESPONSE_CODES
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(text))
            .map(|(code, _)| *code)
            .ok_or(UnknownResponseCode)
    }
}

/// A negative answer: a code, and a text for the human behind the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: Option<ResponseCode>,
    text: String,
}

impl Refusal {
    /// Cleans the text, wherever it came from: printable ASCII, anything else
    /// becomes `?`; a leading `[` becomes `(`, since a text that starts with `[`
    /// is read as a code (RFC 2449 section 8); cut so that the whole line keeps
    /// within 512 octets; a default stands in for an empty one.
    pub fn new(code: Option<ResponseCode>, text: &str) -> Self {
        let code_octets = code.map_or(0, |code| code.to_string().len() + "[] ".len());
        let room = LINE_OCTETS - "-ERR \r\n".len() - code_octets;
        let mut text = clean(text, room);
        if text.is_empty() {
            text.push_str(code.map_or("refused", ResponseCode::default_text));
        }
        Refusal { code, text }
    }

    /// The code, if there is one.
    pub fn code(&self) -> Option<ResponseCode> {
        self.code
    }

    /// The text as it goes out.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = self.code {
            write!(out, "[{code}] ")?;
        }
        out.write_str(&self.text)
    }
}

/// `+OK text`. The text is ours: short, printable, without a leading `[`.
pub(crate) fn positive(out: &mut Vec<u8>, text: impl fmt::Display) {
    status(out, "+OK", text);
}

/// `-ERR text`. The text is ours, or a [`Refusal`].
pub(crate) fn negative(out: &mut Vec<u8>, text: impl fmt::Display) {
    status(out, "-ERR", text);
}

fn status(out: &mut Vec<u8>, indicator: &str, text: impl fmt::Display) {
    write!(out, "{indicator} {text}\r\n").expect("a Vec takes every octet");
}

/// The greeting (RFC 1939 section 4). A `<` would announce APOP (section 7), so
/// none goes out.
pub(crate) fn greeting(out: &mut Vec<u8>, text: &str) {
    let mut text = clean(text, LINE_OCTETS - "+OK \r\n".len());
    if text.is_empty() {
        text.push_str("POP3 server ready");
    }
    positive(out, text.replace('<', "(").replace('>', ")"));
}

/// "2 messages (320 octets)".
pub(crate) struct Contents {
    pub(crate) messages: usize,
    pub(crate) octets: u64,
}

impl Contents {
    pub(crate) fn of(maildrop: &Maildrop) -> Self {
        Contents {
            messages: maildrop.len(),
            octets: maildrop.octets(),
        }
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Contents { messages, octets } = self;
        let plural = if *messages == 1 { "" } else { "s" };
        write!(out, "{messages} message{plural} ({octets} octets)")
    }
}

/// What CAPA says of this moment.
pub(crate) struct Capabilities<'a> {
    /// USER and PASS are allowed on this channel.
    pub(crate) user: bool,
    /// STLS would be accepted now.
    pub(crate) stls: bool,
    pub(crate) implementation: Option<&'a str>,
}

impl Capabilities<'_> {
    /// The whole multi-line reply (RFC 2449 section 5): below 1 KiB.
    pub(crate) fn render(&self, out: &mut Vec<u8>) {
        positive(out, "capability list follows");
        out.extend_from_slice(b"TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n");
        if self.user {
            out.extend_from_slice(b"USER\r\n");
        }
        if self.stls {
            out.extend_from_slice(b"STLS\r\n");
        }
        if let Some(implementation) = self.implementation {
            let room = LINE_OCTETS - "IMPLEMENTATION \r\n".len();
            // Parameters are separated by single spaces (RFC 2449 section 3).
            let words: Vec<&str> = implementation.split_whitespace().collect();
            let implementation = printable(&words.join(" "), room);
            if !implementation.is_empty() {
                write!(out, "IMPLEMENTATION {implementation}\r\n")
                    .expect("a Vec takes every octet");
            }
        }
        out.extend_from_slice(b".\r\n");
    }
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
    pub(crate) fn begin(column: Column, maildrop: &Maildrop, out: &mut Vec<u8>) -> Self {
        match column {
            Column::Octets => positive(out, Contents::of(maildrop)),
            Column::UniqueIds => positive(out, "unique-id listing follows"),
        }
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

/// Text for a status line: see [`Refusal::new`].
fn clean(text: &str, room: usize) -> String {
    let text = printable(text.trim(), room);
    match text.strip_prefix('[') {
        Some(rest) => format!("({rest}"),
        None => text,
    }
}

/// At most `room` characters, each printable ASCII.
fn printable(text: &str, room: usize) -> String {
    let ascii = |char: char| {
        if char.is_ascii_graphic() || char == ' ' {
            char
        } else {
            '?'
        }
    };
    text.chars().take(room).map(ascii).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: Option<ResponseCode>, text: &str) -> String {
        let mut out = Vec::new();
        negative(&mut out, Refusal::new(code, text));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_code_reads_as_it_is_written() {
        for (code, name) in RESPONSE_CODES {
            assert_eq!(code.to_string(), *name);
            assert_eq!(name.parse(), Ok(*code));
            assert_eq!(name.to_lowercase().parse(), Ok(*code));
        }
        for text in ["", "SYS", "SYS/", "[AUTH]", "AUTH "] {
            assert_eq!(text.parse::<ResponseCode>(), Err(UnknownResponseCode));
        }
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
        for (code, _) in RESPONSE_CODES {
            assert_eq!(refused(Some(*code), &endless).len(), 512);
        }
        let mut out = Vec::new();
        greeting(&mut out, &endless);
        assert_eq!(out.len(), 512);
    }

    #[test]
    fn no_greeting_announces_apop() {
        for (text, line) in [
            ("ready <1896.697@dbc>", "+OK ready (1896.697@dbc)\r\n"),
            ("", "+OK POP3 server ready\r\n"),
            ("[AUTH] a\nb", "+OK (AUTH] a?b\r\n"),
        ] {
            let mut out = Vec::new();
            greeting(&mut out, text);
            assert_eq!(out, line.as_bytes());
        }
    }

    #[test]
    fn an_implementation_is_one_bounded_line() {
        let capa = |implementation| {
            let mut out = Vec::new();
            let capabilities = Capabilities {
                user: false,
                stls: false,
                implementation: Some(implementation),
            };
            capabilities.render(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert!(capa(" Some  thing\r\n.\r\n").contains("\r\nIMPLEMENTATION Some thing .\r\n.\r\n"));
        assert!(!capa(" \r\n").contains("IMPLEMENTATION"));
        let long = capa(&"x".repeat(1000));
        assert_eq!(long.lines().map(str::len).max(), Some(510));
    }

    #[test]
    fn one_message_is_no_messages() {
        let contents = |messages| {
            Contents {
                messages,
                octets: 7,
            }
            .to_string()
        };
        assert_eq!(
            [0, 1, 2].map(contents),
            [
                "0 messages (7 octets)",
                "1 message (7 octets)",
                "2 messages (7 octets)"
            ]
        );
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

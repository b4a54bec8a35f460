//! Replies as octets: a code, an enhanced status code (RFC 2034), a text. Nothing
//! here knows why a reply is given.

use std::borrow::Cow;
use std::fmt;

use restante_lines::{printable, put_line};

use crate::settings::{Channel, Settings};

/// Longest line of a reply in octets, with its CRLF (RFC 5321 section 4.5.3.1.5).
pub(crate) const MAX_LINE_OCTETS: usize = 512;

/// The longest name of a server that goes out, in octets (RFC 5321 section
/// 4.5.3.1.2).
const MAX_NAME_OCTETS: usize = 255;

/// One reply, but for those of several lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    code: u16,
    /// Without it where RFC 2034 section 4 has none.
    status: Option<&'static str>,
    text: Cow<'static, str>,
}

impl Reply {
    /// A reply in the protocol's own words.
    pub(crate) const fn new(code: u16, status: &'static str, text: &'static str) -> Self {
        Reply {
            code,
            status: Some(status),
            text: Cow::Borrowed(text),
        }
    }

    /// The 354 that begins a message: no enhanced status code has a 3 in front.
    pub(crate) const fn go_ahead(text: &'static str) -> Self {
        Reply {
            code: 354,
            status: None,
            text: Cow::Borrowed(text),
        }
    }

    /// A reply in words from elsewhere, cleaned and cut.
    pub(crate) fn told(code: u16, status: &'static str, text: &str) -> Self {
        let room = MAX_LINE_OCTETS - "250 \r\n".len() - status.len() - " ".len();
        Reply {
            code,
            status: Some(status),
            text: Cow::Owned(printable(text.trim(), room)),
        }
    }

    pub(crate) fn code(&self) -> u16 {
        self.code
    }

    pub(crate) fn status(&self) -> &'static str {
        self.status.unwrap_or_default()
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_line(out, self);
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ", self.code)?;
        if let Some(status) = self.status {
            write!(out, "{status} ")?;
        }
        out.write_str(&self.text)
    }
}

/// The greeting (RFC 5321 section 4.3.1, RFC 2033 section 4.1): the name first.
pub(crate) fn greeting(out: &mut Vec<u8>, settings: &Settings) {
    put_line(out, format_args!("220 {} LMTP ready", name(settings)));
}

/// The answer to LHLO: what is true now.
pub(crate) fn capabilities(out: &mut Vec<u8>, settings: &Settings, channel: &Channel) {
    put_line(out, format_args!("250-{}", name(settings)));
    let size = format!("SIZE {}", settings.limits.message_octets);
    let mut lines = vec!["PIPELINING", &size, "8BITMIME", "DSN"];
    if settings.smtputf8 {
        lines.push("SMTPUTF8");
    }
    if settings.chunking {
        lines.extend(["CHUNKING", "BINARYMIME"]);
    }
    if channel.starttls && !channel.tls {
        lines.push("STARTTLS");
    }
    if channel.xclient {
        lines.push("XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT");
    }
    if channel.xforward {
        lines.push("XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE");
    }
    for line in lines {
        put_line(out, format_args!("250-{line}"));
    }
    put_line(out, "250 ENHANCEDSTATUSCODES");
}

fn name(settings: &Settings) -> String {
    printable(&settings.host_name, MAX_NAME_OCTETS).replace(' ', "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_longer_than_512_octets_and_none_breaks_out() {
        let endless = "\u{e4}\r\n250 x".repeat(1000);
        let mut out = Vec::new();
        Reply::told(550, "5.7.1", &endless).write(&mut out);
        assert_eq!(out.len(), MAX_LINE_OCTETS);
        let settings = Settings {
            host_name: endless,
            ..Settings::default()
        };
        greeting(&mut out, &settings);
        capabilities(&mut out, &settings, &Channel::default());
        let said = String::from_utf8(out).unwrap();
        for line in said.split_terminator("\r\n") {
            assert!(line.len() <= MAX_LINE_OCTETS - 2, "{line}");
            assert!(
                line.bytes().all(|octet| matches!(octet, b' '..=b'~')),
                "{line}"
            );
        }
    }
}

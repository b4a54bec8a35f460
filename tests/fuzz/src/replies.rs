//! What holds for every reply, whatever it answers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longest line of a reply in octets (RFC 2449 section 4).
const LINE_OCTETS: usize = 512;

/// Longest challenge in octets (RFC 5034 section 4).
const CHALLENGE_OCTETS: usize = 12_288;

/// Checks that this is one reply and no more: a status line, a challenge, or a
/// multi-line reply to its end. Without `utf8` every letter is ASCII.
pub(crate) fn one(reply: &[u8], utf8: bool) {
    let shown = reply.escape_ascii();
    let mut lines = reply.split_inclusive(|octet| *octet == b'\n');
    let status = text(lines.next().expect("a line has an answer"), utf8);
    if let Some(challenge) = status.strip_prefix("+ ") {
        assert!(status.len() + 2 <= CHALLENGE_OCTETS);
        assert!(STANDARD.decode(challenge).is_ok(), "{shown}");
        return assert!(lines.next().is_none(), "{shown}");
    }
    let indicator = status.split(' ').next();
    assert!(matches!(indicator, Some("+OK" | "-ERR")), "{shown}");
    code(status);
    let Some((last, between)) = lines
        .map(|line| text(line, utf8))
        .collect::<Vec<_>>()
        .split_last()
        .map(|(last, between)| (*last, between.to_vec()))
    else {
        return assert!(status.len() + 2 <= LINE_OCTETS, "{shown}");
    };
    assert!(status.starts_with("+OK"), "{shown}");
    assert!(last == "." && !between.contains(&"."), "{shown}");
    for line in between.iter().chain([&status]) {
        assert!(line.len() + 2 <= LINE_OCTETS, "{shown}");
    }
}

/// A line without its CRLF: UTF-8, and nothing that moves a terminal's cursor.
fn text(line: &[u8], utf8: bool) -> &str {
    let shown = line.escape_ascii();
    let line = line.strip_suffix(b"\r\n").expect("CRLF ends a line");
    let line = std::str::from_utf8(line).expect("replies are UTF-8");
    assert!(!line.contains(char::is_control), "{shown}");
    assert!(utf8 || line.is_ascii(), "{shown}");
    line
}

/// A text that begins with a bracket is read as a response code (RFC 2449 section
/// 8), so only a registered one stands there, and only where something failed.
fn code(status: &str) {
    let text = status.strip_prefix("-ERR [");
    let code = text.map(|text| text.split(']').next().unwrap_or_default());
    assert!(code.is_none_or(|code| code.parse::<restante_pop3::ResponseCode>().is_ok()));
    assert!(!status.starts_with("+OK ["), "{status}");
}

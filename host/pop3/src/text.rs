//! Texts from elsewhere (a plugin's words, the configured greeting), made fit for
//! a line of a reply.

pub(crate) use restante_lines::printable;

/// Longest line of a reply or a capability in octets, with its CRLF (RFC 2449
/// sections 4 and 5).
pub(crate) const MAX_LINE_OCTETS: usize = 512;

/// Text for a status line: printable ASCII of at most `room` octets, anything
/// else becomes `?`. A leading `[` becomes `(`, since a text that starts with `[`
/// is read as a response code (RFC 2449 section 8).
pub(crate) fn clean(text: &str, room: usize) -> String {
    let text = printable(text.trim(), room);
    match text.strip_prefix('[') {
        Some(rest) => format!("({rest}"),
        None => text,
    }
}

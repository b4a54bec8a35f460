//! Lines of replies. What came from elsewhere is made fit for one; the rest is the
//! protocol's own and legal as it stands.

use std::fmt::Display;
use std::io::Write;

/// Appends one line and its CRLF.
pub fn put_line(out: &mut Vec<u8>, line: impl Display) {
    write!(out, "{line}\r\n").expect("a Vec takes every octet");
}

/// At most `room` characters, each printable ASCII; others become `?`.
pub fn printable(text: &str, room: usize) -> String {
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

    #[test]
    fn no_text_breaks_out_of_its_line() {
        let mut out = Vec::new();
        put_line(&mut out, printable("a\r\nb\0\u{e4}\x7f c", 7));
        assert_eq!(out, b"a??b???\r\n");
    }
}

//! xtext (RFC 3461 section 4): printable ASCII in which `+` and two hexadecimal
//! digits stand for an octet. And utf-8-addr-xtext and utf-8-addr-unitext (RFC 6533
//! section 3), in which `\x{…}` stands for a character.

/// Undoes xtext. None: it is not xtext, or what it stands for is not UTF-8 or has
/// control characters.
pub(crate) fn decoded(xtext: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(xtext.len());
    let mut rest = xtext.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => {
                let (high, low) = (upper_hex(rest.next()?)?, upper_hex(rest.next()?)?);
                high << 4 | low
            }
            b'!'..=b'~' if octet != b'=' => octet,
            _ => return None,
        });
    }
    let text = String::from_utf8(octets).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

/// Undoes utf-8-addr-xtext, utf-8-addr-unitext, and a mix of both.
pub(crate) fn decoded_utf8(addr: &str) -> Option<String> {
    let mut text = String::with_capacity(addr.len());
    let mut rest = addr;
    while let Some(char) = rest.chars().next() {
        if let Some(escape) = rest.strip_prefix("\\x{") {
            let (hex, behind) = escape.split_once('}')?;
            let is_hex = hex.bytes().all(|octet| upper_hex(octet).is_some());
            let point = u32::from_str_radix(hex, 16).ok().filter(|_| is_hex)?;
            text.push(char::from_u32(point)?);
            rest = behind;
            continue;
        }
        match char {
            '\\' | '+' | '=' => return None,
            '!'..='~' => text.push(char),
            _ if char.is_ascii() => return None,
            _ => text.push(char),
        }
        rest = &rest[char.len_utf8()..];
    }
    (!text.chars().any(char::is_control)).then_some(text)
}

fn upper_hex(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_is_undone_and_nothing_else_is_taken_for_it() {
        for (xtext, text) in [
            ("", Some("")),
            ("a+2Bb+3Dc", Some("a+b=c")),
            ("QQ314159", Some("QQ314159")),
            ("+C3+A4", Some("\u{e4}")),
            ("a+2b", None),
            ("a+2", None),
            ("a+", None),
            ("a=b", None),
            ("a b", None),
            ("\u{e4}", None),
            ("+E4", None),
            ("a+0D+0Ab", None),
            ("+C2+85", None),
        ] {
            assert_eq!(decoded(xtext).as_deref(), text, "{xtext}");
        }
    }

    #[test]
    fn addresses_in_utf8_are_undone() {
        for (addr, text) in [
            ("\\x{E4}@x", Some("\u{e4}@x")),
            ("\u{e4}@x", Some("\u{e4}@x")),
            ("\\x{5C}\\x{2B}\\x{3D}", Some("\\+=")),
            ("\\x{1F4A9}", Some("\u{1f4a9}")),
            ("\\x{e4}", None),
            ("\\x{D800}", None),
            ("\\x{+41}", None),
            ("\\x{}", None),
            ("\\x{A}", None),
            ("\\x{41", None),
            ("\\a", None),
            ("a+2B", None),
            ("a b", None),
        ] {
            assert_eq!(decoded_utf8(addr).as_deref(), text, "{addr}");
        }
    }
}

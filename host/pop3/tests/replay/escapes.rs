//! The escapes that `dialogues/README.md` lists.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::number;

pub(super) fn text(escaped: &str) -> Result<String, String> {
    String::from_utf8(octets(escaped)?).map_err(|error| error.to_string())
}

/// Undoes them.
pub(super) fn octets(escaped: &str) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    let mut rest = escaped;
    while let Some((before, behind)) = rest.split_once('\\') {
        octets.extend(before.as_bytes());
        let mut chars = behind.chars();
        let escape = chars.next().ok_or("\\ at the end")?;
        rest = chars.as_str();
        match escape {
            'n' => octets.push(b'\n'),
            'r' => octets.push(b'\r'),
            't' => octets.push(b'\t'),
            '0' => octets.push(0),
            's' => octets.push(b' '),
            '\\' => octets.push(b'\\'),
            'x' => {
                let (hex, behind) = rest.split_at_checked(2).ok_or("\\xHH")?;
                octets.push(u8::from_str_radix(hex, 16).map_err(|error| error.to_string())?);
                rest = behind;
            }
            'b' => {
                let quoted = rest.strip_prefix('|').and_then(|rest| rest.split_once('|'));
                let (quoted, behind) = quoted.ok_or("\\b|octets|")?;
                octets.extend(STANDARD.encode(self::octets(quoted)?).bytes());
                rest = behind;
            }
            '{' => {
                let (repeat, behind) = rest.split_once('}').ok_or("\\{a*3}")?;
                let (what, times) = repeat.rsplit_once('*').ok_or("\\{a*3}")?;
                octets.extend(what.repeat(number(times)? as usize).as_bytes());
                rest = behind;
            }
            _ => return Err(format!("unknown escape \\{escape}")),
        }
    }
    octets.extend(rest.as_bytes());
    Ok(octets)
}

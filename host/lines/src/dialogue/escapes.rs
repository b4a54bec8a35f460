//! The escapes of a dialogue.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Undoes the escapes of what has to be UTF-8.
///
/// # Errors
/// What is wrong with it, for the dialogue's author.
pub fn text(escaped: &str) -> Result<String, String> {
    String::from_utf8(octets(escaped)?).map_err(|error| error.to_string())
}

/// Undoes the escapes: `\n` `\r` `\t` `\0` `\xHH` `\s` (space) `\\` stand for octets,
/// `\{a*300}` for 300 times `a`, and `\b|…|` for the Base64 of what is quoted.
///
/// # Errors
/// What is wrong with it, for the dialogue's author.
pub fn octets(escaped: &str) -> Result<Vec<u8>, String> {
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
                octets.extend(what.repeat(number(times)?).as_bytes());
                rest = behind;
            }
            _ => return Err(format!("unknown escape \\{escape}")),
        }
    }
    octets.extend(rest.as_bytes());
    Ok(octets)
}

/// Reads a number.
///
/// # Errors
/// That it is none.
pub fn number<N: std::str::FromStr<Err = std::num::ParseIntError>>(
    value: &str,
) -> Result<N, String> {
    value
        .parse()
        .map_err(|error| format!("{value} is no number: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_others_refused() {
        let all = octets("\\n\\r\\t\\0\\xe4\\s\\\\|\\b|a\\0|\\{xy*3}").unwrap();
        assert_eq!(all, b"\n\r\t\0\xe4 \\|YQA=xyxyxy");
        assert_eq!(text("\\xc3\\xa4"), Ok("\u{e4}".into()));
        for wrong in ["\\", "\\y", "\\x1", "\\xgg", "\\b|a", "\\{a*b}", "\\{a*"] {
            assert!(octets(wrong).is_err(), "{wrong}");
        }
        assert!(text("\\xff").is_err());
    }
}

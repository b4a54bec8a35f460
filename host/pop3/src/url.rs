//! Secrets inside of URLs, which are written into logs, recordings and error
//! messages as part of texts that are no secrets themselves.

use std::borrow::Cow;

/// What stands in place of a secret.
const HIDDEN: &str = "***";

/// The text, with `***` in place of what authorizes in the URLs that it holds: the user
/// information before the host (RFC 3986 section 3.2.1), and values in the query or the
/// fragment whose names say that they are secret (`token=`, `api_key=`, `sig=`).
///
/// A secret that is part of a path is not known as one, and stays.
pub fn without_url_secrets(text: &str) -> Cow<'_, str> {
    // Nearly all texts end here.
    let may_hold = text.contains("://") || text.contains(['?', '&', '#']) && text.contains('=');
    if !may_hold {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    for part in text.split_inclusive(ends_url) {
        let (url, end) = match part.char_indices().next_back() {
            Some((at, last)) if ends_url(last) => part.split_at(at),
            _ => (part, ""),
        };
        url_without_secrets(url, &mut kept);
        kept.push_str(end);
    }
    match kept == text {
        true => Cow::Borrowed(text),
        false => Cow::Owned(kept),
    }
}

/// No URL goes on behind this (RFC 3986 appendix C).
fn ends_url(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control() || "\"<>\\`".contains(letter)
}

/// Appends a text without blanks; it may hold several URLs in a row.
fn url_without_secrets(text: &str, kept: &mut String) {
    let mut rest = text;
    while let Some(colon) = rest.find("://") {
        let (before, behind) = rest.split_at(colon + "://".len());
        kept_parameters(before, kept);
        let next = behind.find("://").unwrap_or(behind.len());
        // The scheme of the next one, where there is one.
        let end = match next == behind.len() {
            true => next,
            false => behind[..next]
                .rfind(|letter: char| !is_of_scheme(letter))
                .map_or(0, |at| {
                    at + behind[at..].chars().next().map_or(1, char::len_utf8)
                }),
        };
        let (url, following) = behind.split_at(end);
        match user_information(url) {
            Some(octets) => {
                kept.push_str(HIDDEN);
                kept_parameters(&url[octets..], kept);
            }
            None => kept_parameters(url, kept),
        }
        rest = following;
    }
    kept_parameters(rest, kept);
}

fn is_of_scheme(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "+-.".contains(letter)
}

/// Octets before the `@` in front of the host, if it has one.
fn user_information(url: &str) -> Option<usize> {
    let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
    if let Some(at) = authority.rfind('@') {
        return Some(at);
    }
    // A password with a `/` in it that was not escaped: what looks like a port is none.
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    let is_port = |port: &str| port.bytes().all(|octet| octet.is_ascii_digit());
    match port {
        Some(port) if !authority.ends_with(']') && !is_port(port) => url.rfind('@'),
        _ => None,
    }
}

/// Appends a text, the values of its secret parameters hidden.
fn kept_parameters(text: &str, kept: &mut String) {
    let mut is_parameter = false;
    for part in text.split_inclusive(['?', '&', ';', '#']) {
        let (parameter, end) = match part.ends_with(['?', '&', ';', '#']) {
            true => part.split_at(part.len() - 1),
            false => (part, ""),
        };
        match parameter.split_once('=') {
            Some((name, value)) if is_parameter && !value.is_empty() && is_secret_name(name) => {
                kept.push_str(name);
                kept.push('=');
                kept.push_str(HIDDEN);
            }
            _ => kept.push_str(parameter),
        }
        kept.push_str(end);
        is_parameter = is_parameter || matches!(end, "?" | "#" | "&");
    }
}

/// Whether parameters of this name authorize.
fn is_secret_name(name: &str) -> bool {
    /// Names that hold one of these, whatever stands around it.
    const PARTS: [&str; 9] = [
        "token",
        "secret",
        "passw",
        "passphrase",
        "credential",
        "signature",
        "apikey",
        "accesskey",
        "authorization",
    ];
    /// Names that are one of these.
    const NAMES: [&str; 13] = [
        "key",
        "pass",
        "pwd",
        "pw",
        "sig",
        "auth",
        "code",
        "jwt",
        "bearer",
        "assertion",
        "hmac",
        "session",
        "sid",
    ];
    let plain = decoded(name);
    PARTS.iter().any(|part| plain.contains(part)) || NAMES.contains(&plain.as_str())
}

/// The letters and digits of a name, in lower case, percent-encoded ones decoded.
fn decoded(name: &str) -> String {
    let octets = name.as_bytes();
    let mut plain = String::with_capacity(octets.len());
    let mut at = 0;
    while at < octets.len() {
        let hexadecimal =
            |digit: Option<&u8>| digit.and_then(|&digit| char::from(digit).to_digit(16));
        let escaped = match octets[at] {
            b'%' => hexadecimal(octets.get(at + 1)).zip(hexadecimal(octets.get(at + 2))),
            _ => None,
        };
        let (octet, length) = match escaped.map(|(high, low)| u8::try_from(high * 16 + low)) {
            Some(Ok(octet)) => (octet, 3),
            _ => (octets[at], 1),
        };
        if octet.is_ascii_alphanumeric() {
            plain.push(char::from(octet.to_ascii_lowercase()));
        }
        at += length;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_authorizes_in_a_url_is_hidden() {
        for (text, kept) in [
            (
                "https://ada:hunter2@idp.example/x",
                "https://***@idp.example/x",
            ),
            ("https://hunter2@idp.example", "https://***@idp.example"),
            (
                "\"https://a:hunter2@h/\" is no origin",
                "\"https://***@h/\" is no origin",
            ),
            (
                "ldap+tls://a:hunter@2@h:636/dc=x",
                "ldap+tls://***@h:636/dc=x",
            ),
            ("https://a:hunt/er2@h/x", "https://***@h/x"),
            ("https://[::1]:8080/@user", "https://[::1]:8080/@user"),
            ("https://h/?token=hunter2&x=1", "https://h/?token=***&x=1"),
            (
                "https://h/?x=1&api_key=hunter2",
                "https://h/?x=1&api_key=***",
            ),
            (
                "https://h/?X-Amz-Signature=hunter2#a",
                "https://h/?X-Amz-Signature=***#a",
            ),
            (
                "https://h/cb#access_token=hunter2",
                "https://h/cb#access_token=***",
            ),
            ("https://h/?%74oken=hunter2", "https://h/?%74oken=***"),
            (
                "GET /verify?user=ada&password=hunter2 failed",
                "GET /verify?user=ada&password=*** failed",
            ),
            (
                "http://h/a,http://b:hunter2@h/?key=hunter2",
                "http://h/a,http://***@h/?key=***",
            ),
            (
                "http://x:hunter2@h\\nhttp://y:hunter2@h",
                "http://***@h\\nhttp://***@h",
            ),
            ("ä://ö:hunter2@ü/?pwd=hunter2", "ä://***@ü/?pwd=***"),
        ] {
            assert_eq!(without_url_secrets(text), kept);
        }
    }

    #[test]
    fn other_texts_stay_as_they_are() {
        for text in [
            "",
            "ada@example.org",
            "https://idp.example:8443/realms/x?client=restante&keyboard=de#top",
            "unix:/run/restante/admin.sock",
            "user=ada password=x",
            "://",
            "a://://b",
            "why? token",
            "https://h/?token=",
            "https://h/?code",
            "100% = ? & # ; =",
            "%%%%?%=%",
        ] {
            assert!(
                matches!(without_url_secrets(text), Cow::Borrowed(same) if same == text),
                "{text}"
            );
        }
    }
}

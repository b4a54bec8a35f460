//! Where a plugin may send HTTP requests: scheme, host and port (RFC 6454
//! section 4). What the configuration grants and what a guest asks for go
//! through the same door here, so that they compare.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::domain::is_domain;

/// Scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpOrigin {
    tls: bool,
    /// In lower case; an IPv6 address in brackets, in its canonical form.
    host: String,
    port: u16,
}

impl HttpOrigin {
    /// The origin of a request, its host as it stands in a URL. Without a port it
    /// is the scheme's own. None: there are no such origins.
    pub fn new(scheme: &str, host: &str, port: Option<u16>) -> Option<Self> {
        let tls = match scheme {
            scheme if scheme.eq_ignore_ascii_case("https") => true,
            scheme if scheme.eq_ignore_ascii_case("http") => false,
            _ => return None,
        };
        let host = self::host(host)?;
        let port = port.unwrap_or(Self::default_port(tls));
        (port != 0).then_some(HttpOrigin { tls, host, port })
    }

    /// Reads `scheme://host[:port]`, with a `/` behind it at most.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = host_and_port(authority)?;
        Self::new(scheme, host, port)
    }

    /// Whether requests to it are encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether it can only be this machine.
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    fn default_port(tls: bool) -> u16 {
        if tls { 443 } else { 80 }
    }
}

impl fmt::Display for HttpOrigin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(out, "{scheme}://{}", self.host)?;
        if self.port != Self::default_port(self.tls) {
            write!(out, ":{}", self.port)?;
        }
        Ok(())
    }
}

/// Takes `host[:port]` apart; an IPv6 address keeps its brackets.
pub(super) fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    // Colons inside of an IPv6 address are before its bracket.
    let port_at = match authority.rfind(']') {
        Some(bracket) => (authority.len() > bracket + 1).then_some(bracket + 1),
        None => authority.find(':'),
    };
    let Some(at) = port_at else {
        return Some((authority, None));
    };
    let digits = authority[at..].strip_prefix(':')?;
    if !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    Some((&authority[..at], Some(digits.parse().ok()?)))
}

/// A host in the one form that compares: a name in lower case, an IPv6 address in
/// brackets and canonical.
pub(super) fn host(text: &str) -> Option<String> {
    let inside = text.strip_prefix('[').map(|rest| rest.strip_suffix(']'));
    match inside {
        Some(inside) => Some(format!("[{}]", inside?.parse::<Ipv6Addr>().ok()?)),
        // A trailing dot would be the same host under another name.
        None if is_domain(text) => Some(text.to_ascii_lowercase()),
        None => None,
    }
}

/// Whether a host in that form can only be this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let v4 = host.parse::<Ipv4Addr>();
    host == "localhost" || host == "[::1]" || v4.is_ok_and(|v4| v4.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_one_form() {
        for (text, shown) in [
            ("https://idp.example.org", "https://idp.example.org"),
            ("HTTPS://IdP.Example.ORG:443/", "https://idp.example.org"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://localhost:80", "http://localhost"),
            ("https://[0:0::1]:8443/", "https://[::1]:8443"),
            ("https://[2001:DB8::1]", "https://[2001:db8::1]"),
        ] {
            let origin = HttpOrigin::parse(text);
            assert_eq!(
                origin.map(|origin| origin.to_string()).as_deref(),
                Some(shown)
            );
        }
    }

    #[test]
    fn what_is_no_origin() {
        for text in [
            "",
            "idp.example.org",
            "ftp://idp.example.org",
            "https://",
            "https:///",
            "https://idp.example.org/realms",
            "https://idp.example.org//",
            "https://idp.example.org?x",
            "https://idp.example.org#x",
            "https://user@idp.example.org",
            "https://idp.example.org.",
            "https://idp.example.org:",
            "https://idp.example.org:0",
            "https://idp.example.org:+1",
            "https://idp.example.org:65536",
            "https://idp.example.org:443:443",
            "https://*.example.org",
            "https://[::1",
            "https://[::1]x",
            "https://[127.0.0.1]",
            "https://::1",
            "https://bücher.example",
        ] {
            assert_eq!(HttpOrigin::parse(text), None, "{text}");
        }
    }

    #[test]
    fn this_machine_is_known() {
        for (text, near) in [
            ("http://localhost", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:80", true),
            ("http://127.example.org", false),
            ("http://192.0.2.1", false),
        ] {
            let origin = HttpOrigin::parse(text).expect("an origin");
            assert_eq!(origin.is_loopback(), near, "{text}");
        }
    }
}

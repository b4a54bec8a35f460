//! Where a plugin may open TCP connections: host and port, and whether the host
//! speaks TLS there on the plugin's behalf.

use std::fmt;
use std::net::IpAddr;

use super::origin;

/// A place on the network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    tls: bool,
    /// In lower case; an IPv6 address in brackets, in its canonical form.
    host: String,
    port: u16,
}

impl Endpoint {
    /// Reads `tls://host:port` or `tcp://host:port`.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let tls = match scheme {
            scheme if scheme.eq_ignore_ascii_case("tls") => true,
            scheme if scheme.eq_ignore_ascii_case("tcp") => false,
            _ => return None,
        };
        let (host, port) = origin::host_and_port(authority)?;
        let (host, port) = (origin::host(host)?, port?);
        (port != 0).then_some(Endpoint { tls, host, port })
    }

    /// Whether the host speaks TLS there.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The name or address, in lower case; IPv6 addresses stand without brackets.
    pub fn host(&self) -> &str {
        let inside = self.host.strip_prefix('[');
        let inside = inside.and_then(|rest| rest.strip_suffix(']'));
        inside.unwrap_or(&self.host)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, where it was written instead of a name.
    pub fn address(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }

    /// Whether it can only be this machine.
    pub(super) fn is_loopback(&self) -> bool {
        origin::is_loopback(&self.host)
    }

    /// Whether both lead to one place.
    pub(super) fn is_same_place(&self, other: &Endpoint) -> bool {
        self.host == other.host && self.port == other.port
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "tls" } else { "tcp" };
        write!(out, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_one_form() {
        for (text, shown, host) in [
            (
                "tls://pop.example.org:995",
                "tls://pop.example.org:995",
                "pop.example.org",
            ),
            (
                "TCP://Pop.Example.ORG:110",
                "tcp://pop.example.org:110",
                "pop.example.org",
            ),
            ("tcp://127.0.0.1:0110", "tcp://127.0.0.1:110", "127.0.0.1"),
            ("tls://[0:0::1]:995", "tls://[::1]:995", "::1"),
        ] {
            let endpoint = Endpoint::parse(text).expect(text);
            assert_eq!((&*endpoint.to_string(), endpoint.host()), (shown, host));
            assert_eq!(Endpoint::parse(shown), Some(endpoint));
        }
    }

    #[test]
    fn what_is_no_endpoint() {
        for text in [
            "",
            "pop.example.org:995",
            "https://pop.example.org:995",
            "tls://pop.example.org",
            "tls://pop.example.org:",
            "tls://pop.example.org:0",
            "tls://pop.example.org:65536",
            "tls://pop.example.org:+1",
            "tls://pop.example.org:995/",
            "tls://user@pop.example.org:995",
            "tls://pop.example.org.:995",
            "tls://*:995",
            "tls://:995",
            "tls://::1:995",
        ] {
            assert_eq!(Endpoint::parse(text), None, "{text}");
        }
    }
}

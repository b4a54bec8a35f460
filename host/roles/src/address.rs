//! Where clients speak from, and the networks that count as one client.
//!
//! A client whose address is not known ([`Client::Unknown`]) is a stranger from afar:
//! it is never on this machine, and all such clients together count as one address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use serde::{Serialize, Serializer};

/// The IPv4 address where it is one, though it came over an IPv6 socket
/// (RFC 4291 section 2.5.5.2).
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(old) => SocketAddr::new(old.into(), address.port()),
        // As it is: it may have a scope.
        IpAddr::V6(_) => address,
    }
}

/// Where a client speaks from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    /// From this address: IPv4 where it is one, and never the unspecified one.
    At(SocketAddr),
    /// Its proxy does not say, or speaks for itself.
    Unknown,
}

impl Client {
    /// A client at this address; one at the unspecified address (RFC 4291 section
    /// 2.5.2) is unknown, whoever says that it speaks from there.
    pub fn at(address: SocketAddr) -> Self {
        let address = canonical(address);
        match address.ip().is_unspecified() {
            true => Client::Unknown,
            false => Client::At(address),
        }
    }

    /// Whether it is on this machine, as far as anybody knows.
    pub fn is_loopback(self) -> bool {
        match self {
            Client::At(address) => address.ip().is_loopback(),
            Client::Unknown => false,
        }
    }

    /// Its IP address and port, as the contract tells plugins of it: "::" and 0 for
    /// an unknown client.
    pub fn parts(self) -> (IpAddr, u16) {
        match self {
            Client::At(address) => (address.ip(), address.port()),
            Client::Unknown => (Ipv6Addr::UNSPECIFIED.into(), 0),
        }
    }

    /// The network of so many bits that it is in.
    pub fn network(self, v4_bits: u8, v6_bits: u8) -> Network {
        match self {
            Client::At(address) => Network::Of(network(address.ip(), v4_bits, v6_bits)),
            Client::Unknown => Network::Unknown,
        }
    }
}

impl From<SocketAddr> for Client {
    fn from(address: SocketAddr) -> Self {
        Client::at(address)
    }
}

impl From<Option<SocketAddr>> for Client {
    fn from(address: Option<SocketAddr>) -> Self {
        address.map_or(Client::Unknown, Client::at)
    }
}

impl fmt::Display for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Client::At(address) => address.fmt(out),
            Client::Unknown => out.write_str("unknown"),
        }
    }
}

impl Serialize for Client {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How clients together are shown whose addresses are not known.
const UNKNOWN: &str = "unknown addresses";

/// What counts as one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// Everybody in this network.
    Of(IpNet),
    /// Everybody whose address is not known.
    Unknown,
}

impl Network {
    /// The one that is shown like this.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            UNKNOWN => Some(Network::Unknown),
            _ => text.parse().ok().map(Network::Of),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Network::Of(network) => network.fmt(out),
            Network::Unknown => out.write_str(UNKNOWN),
        }
    }
}

fn network(address: IpAddr, v4_bits: u8, v6_bits: u8) -> IpNet {
    let bits = if address.is_ipv4() { v4_bits } else { v6_bits };
    // More bits than there are: the address alone.
    IpNet::new(address, bits).map_or(address.into(), |network| network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Client {
        Client::at(text.parse().unwrap())
    }

    #[test]
    fn old_addresses_over_new_sockets() {
        for (text, canonical) in [
            ("[::ffff:192.0.2.1]:7", "192.0.2.1:7"),
            ("192.0.2.1:7", "192.0.2.1:7"),
            ("[::1]:7", "[::1]:7"),
            ("[fe80::1%3]:7", "[fe80::1%3]:7"),
        ] {
            assert_eq!(client(text).to_string(), canonical);
        }
    }

    #[test]
    fn networks() {
        for (text, network) in [
            ("192.0.2.77:7", "192.0.2.0/24"),
            ("[::ffff:192.0.2.77]:7", "192.0.2.0/24"),
            ("[2001:db8:1:2:3::4]:7", "2001:db8:1::/48"),
        ] {
            assert_eq!(client(text).network(24, 48).to_string(), network);
        }
    }

    #[test]
    fn only_a_known_address_is_on_this_machine() {
        for (text, near) in [
            ("127.9.9.9:7", true),
            ("[::ffff:127.0.0.1]:7", true),
            ("[::1]:7", true),
            ("192.0.2.1:7", false),
            ("0.0.0.0:7", false),
            ("[::]:7", false),
        ] {
            assert_eq!(client(text).is_loopback(), near, "{text}");
        }
        assert!(!Client::Unknown.is_loopback());
    }

    #[test]
    fn an_unknown_client_is_in_no_network() {
        for unknown in [
            client("0.0.0.0:7"),
            client("[::]:7"),
            client("[::ffff:0.0.0.0]:7"),
            Client::from(None),
        ] {
            assert_eq!(unknown, Client::Unknown);
            assert_eq!(unknown.to_string(), "unknown");
            assert_eq!(unknown.parts(), ("::".parse().unwrap(), 0));
            for (v4_bits, v6_bits) in [(32, 48), (24, 48), (0, 0)] {
                assert_eq!(unknown.network(v4_bits, v6_bits), Network::Unknown);
            }
        }
    }
}

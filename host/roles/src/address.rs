//! Client addresses, and the networks that count as one client.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The IPv4 address where it is one, though it came over an IPv6 socket
/// (RFC 4291 section 2.5.5.2).
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(old) => SocketAddr::new(old.into(), address.port()),
        // As it is: it may have a scope.
        IpAddr::V6(_) => address,
    }
}

/// The network of so many bits that `address` is in.
pub fn network(address: IpAddr, v4_bits: u8, v6_bits: u8) -> IpNet {
    let address = address.to_canonical();
    let bits = if address.is_ipv4() { v4_bits } else { v6_bits };
    // More bits than there are: the address alone.
    IpNet::new(address, bits).map_or(address.into(), |network| network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_addresses_over_new_sockets() {
        let canonical = |text: &str| canonical(text.parse().unwrap()).to_string();
        assert_eq!(canonical("[::ffff:192.0.2.1]:7"), "192.0.2.1:7");
        assert_eq!(canonical("192.0.2.1:7"), "192.0.2.1:7");
        assert_eq!(canonical("[::1]:7"), "[::1]:7");
        assert_eq!(canonical("[fe80::1%3]:7"), "[fe80::1%3]:7");
    }

    #[test]
    fn networks() {
        let network = |text: &str| network(text.parse().unwrap(), 24, 48).to_string();
        assert_eq!(network("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(network("::ffff:192.0.2.77"), "192.0.2.0/24");
        assert_eq!(network("2001:db8:1:2:3::4"), "2001:db8:1::/48");
    }
}

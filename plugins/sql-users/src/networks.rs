//! The column `networks`: where a user may log in from.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

/// Addresses and prefixes, with blanks or commas between them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Networks(Vec<IpNet>);

impl Networks {
    /// None: one is malformed. Without any they are nowhere.
    pub(crate) fn parse(text: &str) -> Option<Networks> {
        let parts = text.split(|octet: char| octet == ',' || octet.is_ascii_whitespace());
        let parts = parts.filter(|part| !part.is_empty());
        parts.map(network).collect::<Option<_>>().map(Networks)
    }

    /// Whether a client may log in from there; one whose address nobody knows may not.
    pub(crate) fn have(&self, client: Option<IpAddr>) -> bool {
        let Some(client) = client else { return false };
        let client = client.to_canonical();
        self.0.iter().any(|network| network.contains(&client))
    }
}

fn network(text: &str) -> Option<IpNet> {
    let network: IpNet = match text.parse::<IpAddr>() {
        Ok(address) => address.into(),
        Err(_) => text.parse().ok()?,
    };
    Some(canonical(network))
}

/// An IPv4 network that is written as one of IPv6 ("::ffff:192.0.2.0/120") is one of IPv4.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let IpNet::V6(mapped) = network else {
        return network;
    };
    let address: Option<Ipv4Addr> = mapped.addr().to_ipv4_mapped();
    let prefix = mapped.prefix_len().checked_sub(MAPPED);
    match (address, prefix) {
        (Some(address), Some(prefix)) => Ipv4Net::new(address, prefix).map_or(network, IpNet::V4),
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_within_networks_or_not() {
        for (networks, client, is_within) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.77/24", "192.0.2.1", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("198.51.100.0/24, 192.0.2.0/24", "192.0.2.9", true),
            ("198.51.100.0/24 192.0.2.0/24", "192.0.2.9", true),
            (" ,198.51.100.0/24,,\n192.0.2.0/24, ", "192.0.2.9", true),
            ("192.0.2.0/24", "::ffff:192.0.2.9", true),
            ("::ffff:192.0.2.9", "192.0.2.9", true),
            ("::ffff:192.0.2.0/120", "192.0.2.9", true),
            ("::ffff:192.0.2.0/120", "::ffff:192.0.3.9", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("2001:db8::1", "2001:db8::1", true),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("", "192.0.2.1", false),
            (" , ", "192.0.2.1", false),
        ] {
            let parsed = Networks::parse(networks).unwrap();
            let client: IpAddr = client.parse().unwrap();
            assert_eq!(
                parsed.have(Some(client)),
                is_within,
                "{networks:?} {client}"
            );
            assert!(!parsed.have(None));
        }
    }

    #[test]
    fn one_that_is_malformed_spoils_them_all() {
        for networks in [
            "192.0.2",
            "192.0.2.0/33",
            "192.0.2.0/",
            "local",
            "192.0.2.1;192.0.2.2",
            "192.0.2.1 example.org",
            "192.0.2.0/255.255.255.0",
            "192.000.2.1",
        ] {
            assert_eq!(Networks::parse(networks), None, "{networks}");
        }
    }
}

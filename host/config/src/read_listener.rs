//! `[listener.NAME]`: from its section to [`Listener`].

use std::net::IpAddr;

use ipnet::IpNet;

use super::claims::Claims;
use super::keys;
use super::model::{Listener, ListenerTls, TlsVersion};
use super::problem::quoted;
use super::section::{Located, Section, Value};
use super::values::{address, tls_version};

/// What networks look like.
const NETWORKS: &str = "[\"10.0.0.0/8\", \"::1\"]";

pub(super) fn listener(
    name: &Located<String>,
    mut section: Section<'_, '_>,
    claims: &mut Claims,
) -> Option<Listener> {
    section = section.with(&keys::LISTENER);
    let address = section
        .require("address", "address = \"[::]:110\"")
        .and_then(|value| address(&value, "[::]:110"));
    if let Some(address) = &address {
        claims
            .addresses
            .push((address.clone(), section.name.clone()));
    }
    let kinds = [
        ("off", ListenerTls::Off),
        ("starttls", ListenerTls::StartTls),
        ("implicit", ListenerTls::Implicit),
    ];
    let tls = section
        .require("tls", "tls = \"implicit\" (or \"starttls\", or \"off\")")
        .and_then(|value| {
            let at = value.at;
            let tls = value.choice(&kinds)?;
            if tls != ListenerTls::Off {
                claims.tls.push(Located {
                    value: section.name.clone(),
                    at,
                });
            }
            Some(tls)
        });
    let tls_minimum = section.take("tls-minimum").and_then(|value| {
        if let Some(ListenerTls::Off) = tls {
            value.report().warning(
                value.at,
                format!("{} is never used: tls = \"off\"", value.name),
                "remove it, or let the listener speak TLS",
            );
        }
        tls_version(&value)
    });
    let proxy_protocol_from = section
        .take("proxy-protocol-from")
        .map(|value| networks(&value))
        .unwrap_or_default();
    claims.listeners += 1;
    section.finish();
    Some(Listener {
        name: name.value.clone(),
        address: address?.value,
        tls: tls?,
        tls_minimum: tls_minimum.unwrap_or(TlsVersion::V1_2),
        proxy_protocol_from,
    })
}

/// An array of networks and addresses.
fn networks(value: &Value<'_, '_>) -> Vec<IpNet> {
    let texts = value.strings(NETWORKS).unwrap_or_default();
    let network = |text: &Located<String>| match network(&text.value) {
        Ok(network) => {
            if network.prefix_len() == 0 {
                value.report().warning(
                    text.at,
                    format!(
                        "{} lets everybody say where they come from",
                        quoted(&text.value)
                    ),
                    "name the proxies alone",
                );
            }
            Some(network)
        }
        Err(mend) => {
            let what = format!("{} in {} is no network", quoted(&text.value), value.name);
            value.report().problem(text.at, what, mend);
            None
        }
    };
    texts.iter().filter_map(network).collect()
}

/// A network, or one address; else what to write instead.
fn network(text: &str) -> Result<IpNet, String> {
    let network: IpNet = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("write addresses and networks: {NETWORKS}"))?;
    if network.addr() != network.network() {
        // More may be meant than one address, or less than the network.
        let (one, all) = (network.addr(), network.trunc());
        return Err(format!("write \"{one}\" or \"{all}\""));
    }
    match network {
        IpNet::V6(old) if old.addr().to_ipv4_mapped().is_some() => {
            // Clients with such addresses are IPv4's.
            Err("write it as IPv4: \"10.0.0.0/8\"".into())
        }
        _ => Ok(network),
    }
}

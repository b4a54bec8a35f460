//! What a peer that may do so says of the client that it speaks for: XCLIENT and
//! XFORWARD, as Postfix's XCLIENT_README and XFORWARD_README have them.

use std::net::IpAddr;

use crate::fault::Fault;
use crate::xtext;

/// Longest value in octets (XFORWARD_README: 255).
const MAX_VALUE_OCTETS: usize = 255;

/// What an attribute is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// NAME: the client's host name.
    Name,
    /// ADDR: its address.
    Addr,
    /// PORT: its port.
    Port,
    /// PROTO: `SMTP`, `ESMTP` or `LMTP`.
    Proto,
    /// HELO: the name that it gave itself.
    Helo,
    /// IDENT: the peer's name of the message, for logs. XFORWARD only.
    Ident,
    /// SOURCE: `LOCAL` or `REMOTE`. XFORWARD only.
    Source,
    /// LOGIN: as whom it logged in. XCLIENT only.
    Login,
    /// DESTADDR: the address that it connected to. XCLIENT only.
    DestAddr,
    /// DESTPORT: the port that it connected to. XCLIENT only.
    DestPort,
}

const ATTRIBUTES: [(&str, Attribute); 10] = [
    ("NAME", Attribute::Name),
    ("ADDR", Attribute::Addr),
    ("PORT", Attribute::Port),
    ("PROTO", Attribute::Proto),
    ("HELO", Attribute::Helo),
    ("IDENT", Attribute::Ident),
    ("SOURCE", Attribute::Source),
    ("LOGIN", Attribute::Login),
    ("DESTADDR", Attribute::DestAddr),
    ("DESTPORT", Attribute::DestPort),
];

/// By which command they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Xclient,
    Xforward,
}

impl Verb {
    fn has(self, attribute: Attribute) -> bool {
        match attribute {
            Attribute::Ident | Attribute::Source => self == Verb::Xforward,
            Attribute::Login | Attribute::DestAddr | Attribute::DestPort => self == Verb::Xclient,
            _ => true,
        }
    }

    fn usage(self) -> Fault {
        Fault::syntax(match self {
            Verb::Xclient => "Syntax: XCLIENT attribute=value ...",
            Verb::Xforward => "Syntax: XFORWARD attribute=value ...",
        })
    }
}

/// Attributes with their values: at most one of each, none longer than 255 octets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(Attribute, Option<String>)>);

impl Attributes {
    /// The value, decoded, without control characters. None: it was not said, or said
    /// to be unavailable.
    pub fn get(&self, attribute: Attribute) -> Option<&str> {
        let mut all = self.0.iter();
        let (_, value) = all.find(|(known, _)| *known == attribute)?;
        value.as_deref()
    }

    /// The client's address.
    pub fn addr(&self) -> Option<IpAddr> {
        self.get(Attribute::Addr).and_then(address)
    }

    /// Whether anything was said of this attribute, be it that it is unavailable.
    pub fn has(&self, attribute: Attribute) -> bool {
        self.0.iter().any(|(known, _)| *known == attribute)
    }

    /// Reads what stands behind the command.
    pub(crate) fn parse(text: &str, verb: Verb) -> Result<Self, Fault> {
        let mut attributes = Attributes::default();
        for word in text.split(' ') {
            let (name, value) = word.split_once('=').ok_or_else(|| verb.usage())?;
            let mut known = ATTRIBUTES.iter();
            let known = known.find(|(known, _)| known.eq_ignore_ascii_case(name));
            let (name, attribute) = known.ok_or_else(|| verb.usage())?;
            if !verb.has(*attribute) {
                return Err(verb.usage());
            }
            let value = self::value(value).ok_or_else(|| Fault::bad_parameter(name))?;
            let fits = match (attribute, value.as_deref()) {
                (Attribute::Addr | Attribute::DestAddr, Some(value)) => address(value).is_some(),
                (Attribute::Port | Attribute::DestPort, Some(value)) => {
                    value.bytes().all(|digit| digit.is_ascii_digit())
                        && value.parse::<u16>().is_ok()
                }
                _ => true,
            };
            if !fits {
                return Err(Fault::bad_parameter(name));
            }
            attributes.set(*attribute, value);
        }
        Ok(attributes)
    }

    /// Takes over what another command says; what is said twice, it says last.
    pub(crate) fn merge(&mut self, other: Attributes) {
        for (attribute, value) in other.0 {
            self.set(attribute, value);
        }
    }

    fn set(&mut self, attribute: Attribute, value: Option<String>) {
        self.0.retain(|(known, _)| *known != attribute);
        self.0.push((attribute, value));
    }
}

/// None: it is no value. None within: it is said to be unavailable.
fn value(value: &str) -> Option<Option<String>> {
    let is_unavailable = ["[UNAVAILABLE]", "[TEMPUNAVAIL]"]
        .iter()
        .any(|word| word.eq_ignore_ascii_case(value));
    if is_unavailable {
        return Some(None);
    }
    let decoded = xtext::decoded(value)?;
    let fits = !decoded.is_empty() && decoded.len() <= MAX_VALUE_OCTETS;
    fits.then_some(Some(decoded))
}

/// An address, with `IPV6:` in front of those of version 6.
fn address(value: &str) -> Option<IpAddr> {
    match value.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPV6:") => {
            address.parse().ok().map(IpAddr::V6)
        }
        _ => value.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read() {
        let text = "NAME=spike.example.org ADDR=168.100.189.2 PORT=4711 PROTO=ESMTP HELO=[UNAVAILABLE] \
                    ident=4+2BA source=REMOTE";
        let attributes = Attributes::parse(text, Verb::Xforward).unwrap();
        assert_eq!(attributes.get(Attribute::Name), Some("spike.example.org"));
        assert_eq!(attributes.get(Attribute::Ident), Some("4+A"));
        assert_eq!(attributes.get(Attribute::Helo), None);
        assert!(attributes.has(Attribute::Helo) && !attributes.has(Attribute::Login));
        assert_eq!(attributes.addr(), "168.100.189.2".parse().ok());
        let six = Attributes::parse("ADDR=IPV6:2001:db8::1", Verb::Xclient).unwrap();
        assert_eq!(six.addr(), "2001:db8::1".parse().ok());

        let mut merged = attributes;
        merged.merge(six);
        assert_eq!(merged.addr(), "2001:db8::1".parse().ok());
        assert_eq!(merged.get(Attribute::Port), Some("4711"));
    }

    #[test]
    fn what_is_no_attribute_is_refused() {
        let long = format!("HELO={}", "x".repeat(MAX_VALUE_OCTETS + 1));
        for text in [
            "",
            "NAME",
            "NAME=",
            "XYZZY=1",
            "NAME=a  ADDR=1.2.3.4",
            "ADDR=1.2.3",
            "ADDR=IPV6:1.2.3.4",
            "PORT=65536",
            "PORT=+1",
            "NAME=a+",
            "NAME=a+0A",
            "LOGIN=a",
            "DESTADDR=1.2.3.4",
            &long,
        ] {
            assert!(Attributes::parse(text, Verb::Xforward).is_err(), "{text}");
        }
        for text in ["IDENT=a", "SOURCE=LOCAL", "DESTPORT=x", "DESTADDR=x"] {
            assert!(Attributes::parse(text, Verb::Xclient).is_err(), "{text}");
        }
    }
}

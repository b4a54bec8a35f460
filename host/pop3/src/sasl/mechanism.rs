//! The names of the mechanisms, and sets of them. What a mechanism does, and
//! where it is allowed, is decided elsewhere.

use std::fmt;

/// A SASL mechanism that a session can speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// SCRAM-SHA-256-PLUS: bound to the TLS channel (RFC 7677).
    ScramSha256Plus,
    /// SCRAM-SHA-1-PLUS: bound to the TLS channel (RFC 5802).
    ScramSha1Plus,
    /// SCRAM-SHA-256 (RFC 7677).
    ScramSha256,
    /// SCRAM-SHA-1 (RFC 5802).
    ScramSha1,
    /// EXTERNAL: the client's certificate (RFC 4422 appendix A).
    External,
    /// OAUTHBEARER (RFC 7628).
    OAuthBearer,
    /// XOAUTH2: OAUTHBEARER's forerunner, which clients still speak.
    XOAuth2,
    /// CRAM-MD5 (RFC 2195).
    CramMd5,
    /// PLAIN (RFC 4616).
    Plain,
    /// LOGIN: never a standard, spoken by old clients.
    Login,
}

impl Mechanism {
    /// All of them, those first that a client should like best.
    pub const ALL: [Mechanism; 10] = [
        Mechanism::ScramSha256Plus,
        Mechanism::ScramSha1Plus,
        Mechanism::ScramSha256,
        Mechanism::ScramSha1,
        Mechanism::External,
        Mechanism::OAuthBearer,
        Mechanism::XOAuth2,
        Mechanism::CramMd5,
        Mechanism::Plain,
        Mechanism::Login,
    ];

    /// The name as it is registered.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Mechanism::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::External => "EXTERNAL",
            Mechanism::OAuthBearer => "OAUTHBEARER",
            Mechanism::XOAuth2 => "XOAUTH2",
            Mechanism::CramMd5 => "CRAM-MD5",
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
        }
    }

    /// The mechanism of this name, in any case (RFC 5034 section 5).
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        let is = |mechanism: &Mechanism| mechanism.name().as_bytes().eq_ignore_ascii_case(name);
        Mechanism::ALL.into_iter().find(is)
    }

    /// Whether a password goes over the wire as it is.
    pub(crate) fn is_plaintext(self) -> bool {
        matches!(self, Mechanism::Plain | Mechanism::Login)
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A set of mechanisms.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Mechanisms(u16);

impl Mechanisms {
    /// None at all.
    pub const NONE: Mechanisms = Mechanisms(0);

    /// The same with one more.
    #[must_use]
    pub fn with(self, mechanism: Mechanism) -> Self {
        Mechanisms(self.0 | mechanism.bit())
    }

    /// Whether it is one of them.
    pub fn contains(self, mechanism: Mechanism) -> bool {
        self.0 & mechanism.bit() != 0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self == Mechanisms::NONE
    }

    /// One after the other, in the order of [`Mechanism::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Mechanism> {
        Mechanism::ALL
            .into_iter()
            .filter(move |mechanism| self.contains(*mechanism))
    }
}

impl FromIterator<Mechanism> for Mechanisms {
    fn from_iter<I: IntoIterator<Item = Mechanism>>(mechanisms: I) -> Self {
        mechanisms
            .into_iter()
            .fold(Mechanisms::NONE, Mechanisms::with)
    }
}

/// The names with a space between them, as CAPA shows them.
impl fmt::Display for Mechanisms {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mechanism) in self.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(out, "{space}{mechanism}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Mechanisms {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_and_found_in_any_case() {
        for mechanism in Mechanism::ALL {
            let name = mechanism.name();
            assert!(name.len() <= 20, "RFC 4422 section 3.1");
            assert_eq!(Mechanism::named(name.as_bytes()), Some(mechanism));
            let lower = name.to_ascii_lowercase();
            assert_eq!(Mechanism::named(lower.as_bytes()), Some(mechanism));
        }
        for name in ["", "PLAI", "PLAINS", "ANONYMOUS", "SCRAM-SHA-256-"] {
            assert_eq!(Mechanism::named(name.as_bytes()), None);
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: Mechanisms = [Mechanism::Login, Mechanism::ScramSha1]
            .into_iter()
            .collect();
        assert_eq!(set.to_string(), "SCRAM-SHA-1 LOGIN");
        for mechanism in Mechanism::ALL {
            let expected = matches!(mechanism, Mechanism::Login | Mechanism::ScramSha1);
            assert_eq!(set.contains(mechanism), expected);
        }
        assert!(Mechanisms::NONE.is_empty() && !set.is_empty());
    }
}

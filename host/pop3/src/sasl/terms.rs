//! What an exchange has to know of its session: what is offered, and what the
//! channel and the token's issuer are.

use super::mechanism::Mechanisms;

/// What an exchange has to know of its session.
pub(crate) struct Terms<'a> {
    /// What is offered now.
    pub(crate) offered: Mechanisms,
    pub(crate) binding: Option<&'a ChannelBinding>,
    /// For CRAM-MD5: never given out before. None where it is not offered.
    pub(crate) challenge: Option<String>,
    pub(crate) discovery: &'a Discovery,
}

/// How a client comes by a token that is accepted (RFC 7628 section 3.2.2). What
/// makes the error longer than 700 octets is left out of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovery {
    /// The OAuth scope that is needed.
    pub scope: Option<String>,
    /// The URL of the OpenID provider's configuration.
    pub openid_configuration: Option<String>,
}

/// What is true of this TLS connection and of no other, by the names of RFC 5929
/// and RFC 9266.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelBinding {
    /// `tls-exporter`: 32 octets of exported keying material, label
    /// "EXPORTER-Channel-Binding", empty context (RFC 9266 section 2). With TLS
    /// 1.2 only where the extended master secret was negotiated.
    pub exporter: Option<Vec<u8>>,
    /// `tls-unique`: the first Finished message (RFC 5929 section 3). Not with
    /// TLS 1.3, and with TLS 1.2 only where the extended master secret was
    /// negotiated (RFC 7677 section 4).
    pub unique: Option<Vec<u8>>,
    /// `tls-server-end-point`: the digest of the server's certificate (RFC 5929
    /// section 4).
    pub server_end_point: Option<Vec<u8>>,
}

impl ChannelBinding {
    pub(crate) fn is_empty(&self) -> bool {
        let types = [&self.exporter, &self.unique, &self.server_end_point];
        let is_empty = |octets: &Option<Vec<u8>>| octets.as_ref().is_none_or(Vec::is_empty);
        types.into_iter().all(is_empty)
    }
}

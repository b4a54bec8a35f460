//! SCRAM (RFC 5802, RFC 7677): both sides prove that they know what comes of the
//! password, and neither shows it. The `-PLUS` forms prove the same of the TLS
//! channel below.
//!
//! ```text
//! C: client-first   ──▶ ClientFirst ── the driver looks the keys up
//! S: server-first   ◀── Proving
//! C: client-final   ──▶ Proving::verify
//! S: server-final   ◀── in a challenge, answered by an empty line (RFC 5034)
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::gs2::{Flag, Header, saslname};
use super::keys::{ScramHash, ScramKeys, ScramNonce, is_printable};
use super::mechanism::Mechanism;
use super::stop::{Stop, acting_as, text};
use super::terms::{ChannelBinding, Terms};
use crate::login::{Cause, FailedLogin};
use crate::prepare;
use crate::syntax::Malformed;

/// Longest nonce of a client in octets: it comes back in a challenge.
const MAX_CLIENT_NONCE_OCTETS: usize = 256;

/// The client's first message, read; the keys of its user are still to come.
#[derive(Debug)]
pub(crate) struct ClientFirst {
    hash: ScramHash,
    /// Prepared.
    user: String,
    acting_as: Option<String>,
    nonce: String,
    /// `client-first-message-bare`, as it came.
    bare: String,
    /// `cbind-input`: what `c=` has to repeat.
    binding_input: Vec<u8>,
}

impl ClientFirst {
    /// ```text
    /// client-first-message      = gs2-header client-first-message-bare
    /// client-first-message-bare = [reserved-mext ","] username "," nonce ["," extensions]
    /// ```
    pub(super) fn read(
        mechanism: Mechanism,
        message: &[u8],
        terms: &Terms<'_>,
    ) -> Result<Self, Stop> {
        let (header, bare) = Header::parse(text(message)?)?;
        let mut attributes = bare.split(',');
        // An "m=" in front is an extension that must be understood, and none is.
        let user = attributes.next().and_then(|name| name.strip_prefix("n="));
        let user = saslname(user.ok_or(Stop::Malformed(Malformed::Message))?)?;
        let nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r="));
        let nonce = nonce
            .filter(|nonce| (1..=MAX_CLIENT_NONCE_OCTETS).contains(&nonce.len()))
            .filter(|nonce| nonce.bytes().all(is_printable))
            .ok_or(Stop::Malformed(Malformed::Message))?;
        if !attributes.all(is_attribute) {
            return Err(Stop::Malformed(Malformed::Message));
        }
        let user = prepare::user_name(&user)?;
        let acting_as = acting_as(header.authzid.as_deref(), &user)?;
        let binding = match bound_to(mechanism, header.flag, terms) {
            Ok(binding) => binding,
            Err(Unbound::Malformed) => return Err(Stop::Malformed(Malformed::Message)),
            Err(Unbound::Failed(cause)) => return Err(failed(user, cause)),
        };
        Ok(ClientFirst {
            hash: hash(mechanism),
            user,
            acting_as,
            nonce: nonce.to_owned(),
            bare: bare.to_owned(),
            binding_input: [header.raw.as_bytes(), binding].concat(),
        })
    }

    pub(crate) fn hash(&self) -> ScramHash {
        self.hash
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn acting_as(&self) -> Option<&str> {
        self.acting_as.as_deref()
    }

    /// The `server-first-message`: nonce, salt, iteration count.
    ///
    /// # Panics
    /// When the keys are for another hash.
    pub(super) fn challenge(self, keys: ScramKeys, nonce: &ScramNonce) -> (Vec<u8>, Proving) {
        assert_eq!(keys.hash, self.hash, "keys for the hash that was asked for");
        let nonce = self.nonce.clone() + nonce.as_str();
        let salt = STANDARD.encode(&keys.salt);
        let server_first = format!("r={nonce},s={salt},i={}", keys.iterations);
        let challenge = server_first.clone().into_bytes();
        let proving = Proving {
            first: self,
            keys,
            nonce,
            server_first,
        };
        (challenge, proving)
    }
}

/// The proof is due.
#[derive(Debug)]
pub(crate) struct Proving {
    first: ClientFirst,
    keys: ScramKeys,
    /// The client's part and the server's.
    nonce: String,
    server_first: String,
}

/// Who has proved to know the password.
#[derive(Debug)]
pub(crate) struct Proved {
    pub(crate) user: String,
    pub(crate) acting_as: Option<String>,
}

impl Proving {
    /// The `server-final-message`, if the proof is one.
    ///
    /// ```text
    /// client-final-message = channel-binding "," nonce ["," extensions] "," proof
    /// ```
    pub(super) fn verify(self, message: &[u8]) -> Result<(Vec<u8>, Proved), Stop> {
        let malformed = || Stop::Malformed(Malformed::Message);
        let message = text(message)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or_else(malformed)?;
        let proof = STANDARD.decode(proof).map_err(|_| malformed())?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|value| value.strip_prefix("c="));
        let binding = STANDARD.decode(binding.ok_or_else(malformed)?);
        let binding = binding.map_err(|_| malformed())?;
        let nonce = attributes.next().and_then(|value| value.strip_prefix("r="));
        let is_ours = nonce.is_some_and(|nonce| equal(nonce.as_bytes(), self.nonce.as_bytes()));
        if !is_ours || proof.len() != self.keys.hash.octets() || !attributes.all(is_attribute) {
            return Err(malformed());
        }
        let Proving { first, keys, .. } = &self;
        if !equal(&binding, &first.binding_input) {
            return Err(failed(self.first.user, Cause::ChannelBinding));
        }
        let parts = [
            first.bare.as_bytes(),
            b",",
            self.server_first.as_bytes(),
            b",",
            without_proof.as_bytes(),
        ];
        // ClientProof is ClientKey XOR ClientSignature, StoredKey is H(ClientKey).
        let signature = keys.hash.hmac(&keys.stored_key, &parts);
        let key: Vec<u8> = proof.iter().zip(&signature).map(|(p, s)| p ^ s).collect();
        let is_proof = equal(&keys.hash.digest(&key), &keys.stored_key);
        if !is_proof || keys.mock_credentials {
            return Err(failed(self.first.user, Cause::Proof));
        }
        let signature = keys.hash.hmac(&keys.server_key, &parts);
        let server_final = format!("v={}", STANDARD.encode(signature));
        let proved = Proved {
            user: self.first.user,
            acting_as: self.first.acting_as,
        };
        Ok((server_final.into_bytes(), proved))
    }
}

enum Unbound {
    Malformed,
    Failed(Cause),
}

/// What the exchange is bound to, after RFC 5802 section 6: nothing without
/// `-PLUS`, one of the channel's bindings with it.
fn bound_to<'a>(
    mechanism: Mechanism,
    flag: Flag<'_>,
    terms: &Terms<'a>,
) -> Result<&'a [u8], Unbound> {
    let with_binding = match hash(mechanism) {
        ScramHash::Sha1 => Mechanism::ScramSha1Plus,
        ScramHash::Sha256 => Mechanism::ScramSha256Plus,
    };
    match (flag, mechanism == with_binding) {
        (Flag::Used(name), true) => terms
            .binding
            .and_then(|binding| octets(binding, name))
            .ok_or(Unbound::Failed(Cause::ChannelBinding)),
        (Flag::Unsupported | Flag::NotOffered, true) | (Flag::Used(_), false) => {
            Err(Unbound::Malformed)
        }
        // The client saw no -PLUS, but there is one: somebody took it away.
        (Flag::NotOffered, false) if terms.offered.contains(with_binding) => {
            Err(Unbound::Failed(Cause::Downgrade))
        }
        (Flag::Unsupported | Flag::NotOffered, false) => Ok(&[]),
    }
}

/// The binding of a registered name.
fn octets<'a>(binding: &'a ChannelBinding, name: &str) -> Option<&'a [u8]> {
    let octets = match name {
        "tls-exporter" => &binding.exporter,
        "tls-unique" => &binding.unique,
        "tls-server-end-point" => &binding.server_end_point,
        _ => return None,
    };
    octets.as_deref().filter(|octets| !octets.is_empty())
}

fn hash(mechanism: Mechanism) -> ScramHash {
    match mechanism {
        Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => ScramHash::Sha1,
        _ => ScramHash::Sha256,
    }
}

fn failed(user: String, cause: Cause) -> Stop {
    Stop::Failed(FailedLogin {
        user: Some(user),
        cause,
    })
}

/// `attr-val = ALPHA "=" value`; "m" is reserved, and breaks the exchange
/// wherever it stands (RFC 5802 section 5.1).
fn is_attribute(attribute: &str) -> bool {
    let mut chars = attribute.chars();
    let name = chars
        .next()
        .is_some_and(|char| char.is_ascii_alphabetic() && char != 'm');
    let value = chars.as_str().strip_prefix('=');
    name && value.is_some_and(|value| !value.is_empty() && !value.contains('\0'))
}

fn equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

#[cfg(test)]
mod tests;

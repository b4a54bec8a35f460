//! Signatures: algorithms, and keys as JSON has them (RFC 7517, RFC 7518,
//! RFC 8037).
//!
//! A `kid` is a text that is compared with other texts. What a key or a token says
//! about where further keys are (`jku`, `x5u`, `jwk`, `x5c`) is never looked at.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::signature::Verifier;
use rsa::{BoxedUint, PublicKey};
use serde_json::{Map, Value};
use sha2::Sha256;

/// Keys of one set that are looked at.
const KEYS: usize = 64;
/// Keys that are tried for a token that names none.
const TRIES: usize = 8;
/// Bits of an RSA key (RFC 7518 section 3.3 has the least).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Octets of an exponent: what is in use has three.
const RSA_EXPONENT: usize = 4;

/// How a token may be signed. There is no "none" here, and nothing that a public
/// key could be mistaken for the secret of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Ps256,
    Es256,
    EdDsa,
}

impl Algorithm {
    pub(crate) const ALL: [(&str, Algorithm); 4] = [
        ("RS256", Algorithm::Rs256),
        ("PS256", Algorithm::Ps256),
        ("ES256", Algorithm::Es256),
        ("EdDSA", Algorithm::EdDsa),
    ];

    /// By its name in `alg`.
    pub(crate) fn named(name: &str) -> Option<Algorithm> {
        // RFC 9864 section 2.2: the same with its curve.
        if name == "Ed25519" {
            return Some(Algorithm::EdDsa);
        }
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, algorithm)| *algorithm)
    }

    /// `kty`, and `crv` where it has one.
    fn kind(self) -> (&'static str, Option<&'static str>) {
        match self {
            Algorithm::Rs256 | Algorithm::Ps256 => ("RSA", None),
            Algorithm::Es256 => ("EC", Some("P-256")),
            Algorithm::EdDsa => ("OKP", Some("Ed25519")),
        }
    }
}

/// A signature and what it is made of.
pub(crate) struct Signed<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<&'a str>,
    pub(crate) message: &'a [u8],
    pub(crate) signature: &'a [u8],
}

/// What a set of keys says of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Valid,
    Invalid,
    /// It has no such key.
    NoKey,
}

/// The public keys of an issuer: `{"keys": [...]}`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeySet(Vec<Map<String, Value>>);

impl KeySet {
    /// None: it is no set of keys. Keys in it that are of no use are left out
    /// (RFC 7517 section 5).
    pub(crate) fn read(set: &Map<String, Value>) -> Option<KeySet> {
        let keys = set.get("keys")?.as_array()?.iter();
        let keys = keys.filter_map(Value::as_object).take(KEYS);
        Some(KeySet(
            keys.filter(|key| is_for_use(key)).cloned().collect(),
        ))
    }

    /// As it was read.
    pub(crate) fn to_json(&self) -> Value {
        let keys = self.0.iter().cloned().map(Value::Object).collect();
        Value::Array(keys)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Verifies with the key that the signature names; with each that could be,
    /// if it names none.
    pub(crate) fn verify(&self, signed: &Signed<'_>) -> Verdict {
        let mut verdict = Verdict::NoKey;
        let fitting = self.0.iter().filter(|key| fits(key, signed)).take(TRIES);
        for key in fitting {
            match verify(key, signed) {
                None => {}
                Some(true) => return Verdict::Valid,
                Some(false) => verdict = Verdict::Invalid,
            }
        }
        verdict
    }
}

fn member<'a>(key: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    key.get(name).and_then(Value::as_str)
}

/// Public, of a kind that we know, and not said to be for something else.
fn is_for_use(key: &Map<String, Value>) -> bool {
    let known = Algorithm::ALL
        .iter()
        .any(|(_, algorithm)| is_of(key, *algorithm));
    let signs = key.get("use").is_none_or(|purpose| purpose == "sig");
    let verifies = key.get("key_ops").is_none_or(|operations| {
        let operations = operations.as_array();
        operations.is_some_and(|operations| operations.iter().any(|one| one == "verify"))
    });
    known && signs && verifies
}

fn is_of(key: &Map<String, Value>, algorithm: Algorithm) -> bool {
    let (kty, crv) = algorithm.kind();
    member(key, "kty") == Some(kty) && crv.is_none_or(|crv| member(key, "crv") == Some(crv))
}

fn fits(key: &Map<String, Value>, signed: &Signed<'_>) -> bool {
    let same_algorithm = key.get("alg").is_none_or(|named| {
        let named = named.as_str().and_then(Algorithm::named);
        named == Some(signed.algorithm)
    });
    let same_kid = signed.kid.is_none_or(|kid| member(key, "kid") == Some(kid));
    same_kid && same_algorithm && is_of(key, signed.algorithm)
}

/// None: the key itself is broken.
fn verify(key: &Map<String, Value>, signed: &Signed<'_>) -> Option<bool> {
    let octets = |name| decode(member(key, name)?);
    let Signed {
        message, signature, ..
    } = *signed;
    let verified = match signed.algorithm {
        Algorithm::Rs256 => {
            let key = rsa::pkcs1v15::VerifyingKey::<Sha256>::new(rsa_key(octets)?);
            rsa::pkcs1v15::Signature::try_from(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok())
        }
        Algorithm::Ps256 => {
            let key = rsa::pss::VerifyingKey::<Sha256>::new(rsa_key(octets)?);
            rsa::pss::Signature::try_from(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok())
        }
        Algorithm::Es256 => {
            // RFC 7518 section 6.2.1.2: always of full length.
            let (x, y) = (octets("x")?, octets("y")?);
            if x.len() != 32 || y.len() != 32 {
                return None;
            }
            let point = [&[4][..], &x, &y].concat();
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?;
            p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok())
        }
        Algorithm::EdDsa => {
            let x: [u8; 32] = octets("x")?.try_into().ok()?;
            let key = ed25519_dalek::VerifyingKey::from_bytes(&x).ok()?;
            ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
        }
    };
    Some(verified)
}

fn rsa_key(octets: impl Fn(&'static str) -> Option<Vec<u8>>) -> Option<PublicKey> {
    let (n, e) = (octets("n")?, octets("e")?);
    // What is too large is not even looked at.
    if n.len() > RSA_BITS.end() / 8 + 1 || e.len() > RSA_EXPONENT {
        return None;
    }
    let (n, e) = (
        BoxedUint::from_be_slice_vartime(&n),
        BoxedUint::from_be_slice_vartime(&e),
    );
    PublicKey::new_with_size_limits(n, e, RSA_BITS).ok()
}

/// base64url without padding (RFC 7515 section 2), in its one form.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

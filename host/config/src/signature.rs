//! Detached signatures in minisign's form: Ed25519 over a file, with a comment
//! that is signed too.
//!
//! Knows octets and keys; whose key counts for what is not decided here.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use thiserror::Error;

/// Octets of a signature file. minisign writes about 300.
pub const SIGNATURE_FILE: u64 = 8 * 1024;

/// What a file's name is followed by in the name of its signature.
pub const ENDING: &str = ".minisig";

/// Octets of a decoded key: algorithm, key id, Ed25519 public key.
const KEY: usize = 2 + 8 + 32;

/// What minisign calls a key by: eight octets, shown as it shows them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// Of a decoded key or signature: behind the two octets of the algorithm.
    fn of(decoded: &[u8]) -> Option<KeyId> {
        let octets = decoded.get(2..10)?;
        Some(KeyId(octets.try_into().ok()?))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016X}", u64::from_le_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// A key that signatures are checked with.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: KeyId,
    key: minisign_verify::PublicKey,
}

impl PublicKey {
    /// The key from the second line of a `minisign.pub`; None: it is none.
    pub fn parse(text: &str) -> Option<PublicKey> {
        let decoded = BASE64_STANDARD.decode(text).ok()?;
        if decoded.len() != KEY {
            return None;
        }
        Some(PublicKey {
            id: KeyId::of(&decoded)?,
            key: minisign_verify::PublicKey::from_base64(text).ok()?,
        })
    }

    /// What it is called by.
    pub fn id(&self) -> KeyId {
        self.id
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PublicKey({})", self.id)
    }
}

/// A text that is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it is not what minisign writes")]
pub struct NoSignature;

/// A signature, not yet checked.
#[derive(Clone)]
pub struct Signature {
    key: KeyId,
    signature: minisign_verify::Signature,
}

impl Signature {
    /// Reads the text of a `.minisig` file.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Signature, NoSignature> {
        let signature = minisign_verify::Signature::decode(text).map_err(|_| NoSignature)?;
        let decoded = text
            .lines()
            .nth(1)
            .and_then(|line| BASE64_STANDARD.decode(line).ok());
        Ok(Signature {
            key: decoded.as_deref().and_then(KeyId::of).ok_or(NoSignature)?,
            signature,
        })
    }

    /// The key that it says it was made with.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// The comment that is signed too: true once [`Signature::fits`] has said so.
    pub fn trusted_comment(&self) -> &str {
        self.signature.trusted_comment()
    }

    /// Whether it is this key's, over these octets and its trusted comment.
    pub fn fits(&self, key: &PublicKey, octets: &[u8]) -> bool {
        // Signatures over the octets themselves, as older minisign wrote them,
        // are as good as those over their hash: everything is in memory.
        key.key.verify(octets, &self.signature, true).is_ok()
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Signature({})", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by Debian's minisign 0.11 (tests/signatures/README).
    const SIGNED: &[u8] = include_bytes!("../../../tests/signatures/component.wasm");
    const SIGNATURE: &str = include_str!("../../../tests/signatures/component.wasm.minisig");
    const LEGACY: &str = include_str!("../../../tests/signatures/component.wasm.legacy.minisig");
    const KEY_FILE: &str = include_str!("../../../tests/signatures/vendor.pub");

    fn key() -> PublicKey {
        PublicKey::parse(KEY_FILE.lines().nth(1).unwrap()).unwrap()
    }

    #[test]
    fn what_minisign_signed_fits() {
        let key = key();
        assert!(KEY_FILE.contains(&key.id().to_string()), "{key:?}");
        for text in [SIGNATURE, LEGACY] {
            let signature = Signature::parse(text).unwrap();
            assert_eq!(signature.key(), key.id());
            assert!(signature.fits(&key, SIGNED));
            assert!(
                signature
                    .trusted_comment()
                    .contains("a component of the tests")
            );
        }
    }

    #[test]
    fn what_was_changed_does_not() {
        let signature = Signature::parse(SIGNATURE).unwrap();
        let mut changed = SIGNED.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        assert!(!signature.fits(&key(), &changed));
        assert!(!signature.fits(&key(), b""));
        let lied = SIGNATURE.replace("a component of", "the component of");
        assert!(!Signature::parse(&lied).unwrap().fits(&key(), SIGNED));
        // Another's key, even under the same id.
        let mut octets = BASE64_STANDARD
            .decode(KEY_FILE.lines().nth(1).unwrap())
            .unwrap();
        octets[20] ^= 1;
        let other = PublicKey::parse(&BASE64_STANDARD.encode(octets)).unwrap();
        assert_eq!(other.id(), key().id());
        assert!(!signature.fits(&other, SIGNED));
    }

    #[test]
    fn what_is_no_key_and_no_signature() {
        let line = KEY_FILE.lines().nth(1).unwrap();
        let cut = &line[..52];
        for text in [
            "",
            "RW",
            cut,
            KEY_FILE,
            "/etc/minisign.pub",
            &line.replace("RW", "AA"),
        ] {
            assert!(PublicKey::parse(text).is_none(), "{text:?}");
        }
        let short = SIGNATURE.lines().take(3).collect::<Vec<_>>().join("\n");
        for text in ["", "\n\n\n\n", KEY_FILE, &short] {
            assert!(Signature::parse(text).is_err(), "{text:?}");
        }
    }
}

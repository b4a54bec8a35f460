//! What a SCRAM server knows of a user, what it shows of a user whom nobody
//! knows, and the functions of RFC 5802 section 2.2 over either hash.

use std::error::Error;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::secret::Sensitive;

/// Longest salt in octets: it goes out in a challenge.
const MAX_SALT_OCTETS: usize = 64;

/// The hash function of a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScramHash {
    /// SCRAM-SHA-1 (RFC 5802).
    Sha1,
    /// SCRAM-SHA-256 (RFC 7677).
    Sha256,
}

impl ScramHash {
    /// Length of a digest in octets.
    pub fn octets(self) -> usize {
        match self {
            ScramHash::Sha1 => 20,
            ScramHash::Sha256 => 32,
        }
    }

    /// H(str).
    pub(super) fn digest(self, octets: &[u8]) -> Vec<u8> {
        match self {
            ScramHash::Sha1 => Sha1::digest(octets).to_vec(),
            ScramHash::Sha256 => Sha256::digest(octets).to_vec(),
        }
    }

    /// HMAC(key, str); the parts of `str` follow each other.
    pub(super) fn hmac(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        match self {
            ScramHash::Sha1 => keyed::<Hmac<Sha1>>(key, parts),
            ScramHash::Sha256 => keyed::<Hmac<Sha256>>(key, parts),
        }
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts
        .iter()
        .fold(mac, |mac, part| mac.chain_update(part))
        .finalize()
        .into_bytes()
        .to_vec()
}

/// A user's authentication information (RFC 5802 section 2.1), for one hash.
pub struct ScramKeys {
    pub(super) hash: ScramHash,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
    pub(super) stored_key: Sensitive,
    pub(super) server_key: Sensitive,
    /// Nobody proves to have them.
    pub(super) mock_credentials: bool,
}

/// Why something is no [`ScramKeys`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScramKeysError {
    /// The salt has no octet, or more than 64.
    Salt {
        /// How many it has.
        octets: usize,
    },
    /// An iteration count of 0.
    NoIterations,
    /// StoredKey or ServerKey is no digest of the hash function.
    KeyLength {
        /// How many octets it has.
        octets: usize,
        /// How many it should have.
        expected: usize,
    },
}

impl ScramKeys {
    /// Takes keys over.
    ///
    /// # Errors
    /// When the keys are not as long as the hash's digests, the salt is empty
    /// or longer than 64 octets, or the iteration count is 0.
    pub fn new(
        hash: ScramHash,
        salt: &[u8],
        iterations: u32,
        stored_key: &[u8],
        server_key: &[u8],
    ) -> Result<Self, ScramKeysError> {
        if salt.is_empty() || salt.len() > MAX_SALT_OCTETS {
            let octets = salt.len();
            return Err(ScramKeysError::Salt { octets });
        }
        if iterations == 0 {
            return Err(ScramKeysError::NoIterations);
        }
        let expected = hash.octets();
        for key in [stored_key, server_key] {
            let octets = key.len();
            if octets != expected {
                return Err(ScramKeysError::KeyLength { octets, expected });
            }
        }
        Ok(ScramKeys {
            hash,
            salt: salt.to_vec(),
            iterations,
            stored_key: Sensitive::copied(stored_key),
            server_key: Sensitive::copied(server_key),
            mock_credentials: false,
        })
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ScramKeys {
            hash, iterations, ..
        } = self;
        write!(out, "ScramKeys({hash:?}, {iterations} iterations, ***)")
    }
}

impl fmt::Display for ScramKeysError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScramKeysError::Salt { octets } => write!(
                out,
                "the salt has {octets} octets, 1 to {MAX_SALT_OCTETS} are allowed"
            ),
            ScramKeysError::NoIterations => out.write_str("the iteration count is 0"),
            ScramKeysError::KeyLength { octets, expected } => {
                write!(out, "a key has {octets} octets instead of {expected}")
            }
        }
    }
}

impl Error for ScramKeysError {}

/// What the first answer of a SCRAM exchange is made of for a user whom nobody
/// knows: it looks like any other, and is the same whenever it is asked for, so
/// that SCRAM does not tell who exists.
#[derive(Clone, PartialEq, Eq)]
pub struct MockCredentials {
    secret: [u8; 32],
    iterations: u32,
    salt_octets: usize,
}

impl MockCredentials {
    /// `secret` is random, the same for all sessions and across restarts, and
    /// known to nobody else: whoever has it can tell mock credentials. The iteration
    /// count and the octets of a salt (1 to 32) are those that real users have.
    pub fn new(secret: [u8; 32], iterations: u32, salt_octets: usize) -> Self {
        MockCredentials {
            secret,
            iterations: iterations.max(1),
            salt_octets: salt_octets.clamp(1, ScramHash::Sha256.octets()),
        }
    }

    /// The one for users of this tenant, or of none: who knows what one of them
    /// answers learns nothing of another's users.
    #[must_use]
    pub fn of(&self, tenant: Option<&str>) -> Self {
        // The kind stands first: a tenant can be called anything.
        let parts = match tenant {
            Some(tenant) => [b"tenant:", tenant.as_bytes()],
            None => [b"nobody:".as_slice(), b""],
        };
        let mut secret = [0; 32];
        secret.copy_from_slice(&ScramHash::Sha256.hmac(&self.secret, &parts));
        MockCredentials { secret, ..*self }
    }

    /// The salt that this user would have: keys that are made of a password anew
    /// each time have it too, and nobody can tell them from mock credentials.
    pub fn salt(&self, hash: ScramHash, user: &str) -> Vec<u8> {
        let mut salt = self.derived(b"salt", hash, user);
        salt.truncate(self.salt_octets);
        salt
    }

    /// The iteration count that goes with it.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The keys that this user would have.
    pub(crate) fn keys(&self, hash: ScramHash, user: &str) -> ScramKeys {
        let key = |what| Sensitive::copied(&self.derived(what, hash, user)[..hash.octets()]);
        ScramKeys {
            hash,
            salt: self.salt(hash, user),
            iterations: self.iterations,
            stored_key: key(b"stored"),
            server_key: key(b"server"),
            mock_credentials: true,
        }
    }

    fn derived(&self, what: &[u8], hash: ScramHash, user: &str) -> Vec<u8> {
        let hash_octets = [hash.octets() as u8];
        let parts = [what, &hash_octets, user.as_bytes()];
        ScramHash::Sha256.hmac(&self.secret, &parts)
    }
}

impl fmt::Debug for MockCredentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "MockCredentials({} iterations, ***)", self.iterations)
    }
}

/// The server's part of a SCRAM exchange's nonce: never the same twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramNonce(String);

/// Why something is no [`ScramNonce`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadScramNonce;

impl ScramNonce {
    /// From 18 octets of a cryptographic random number generator.
    pub fn from_random(octets: [u8; 18]) -> Self {
        ScramNonce(STANDARD.encode(octets))
    }

    /// A nonce as it is.
    ///
    /// # Errors
    /// When it is not 16 to 64 octets of printable ASCII without a comma (RFC
    /// 5802 section 7).
    pub fn new(nonce: &str) -> Result<Self, BadScramNonce> {
        if !(16..=64).contains(&nonce.len()) || !nonce.bytes().all(is_printable) {
            return Err(BadScramNonce);
        }
        Ok(ScramNonce(nonce.into()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BadScramNonce {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("not 16 to 64 octets of printable ASCII without a comma")
    }
}

impl Error for BadScramNonce {}

/// `printable = %x21-2B / %x2D-7E`
pub(super) fn is_printable(octet: u8) -> bool {
    octet.is_ascii_graphic() && octet != b','
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_fit_their_hash() {
        let keys = |hash, salt: usize, iterations, stored: usize, server: usize| {
            let octets = [7; 100];
            ScramKeys::new(
                hash,
                &octets[..salt],
                iterations,
                &octets[..stored],
                &octets[..server],
            )
            .map(|keys| format!("{keys:?}"))
        };
        use ScramHash::{Sha1, Sha256};
        let debug = "ScramKeys(Sha1, 4096 iterations, ***)";
        assert_eq!(keys(Sha1, 12, 4096, 20, 20), Ok(debug.into()));
        assert!(keys(Sha256, 64, 1, 32, 32).is_ok());
        for (result, error) in [
            (keys(Sha1, 0, 1, 20, 20), ScramKeysError::Salt { octets: 0 }),
            (
                keys(Sha1, 65, 1, 20, 20),
                ScramKeysError::Salt { octets: 65 },
            ),
            (keys(Sha1, 1, 0, 20, 20), ScramKeysError::NoIterations),
            (
                keys(Sha1, 1, 1, 20, 32),
                ScramKeysError::KeyLength {
                    octets: 32,
                    expected: 20,
                },
            ),
            (
                keys(Sha256, 1, 1, 20, 32),
                ScramKeysError::KeyLength {
                    octets: 20,
                    expected: 32,
                },
            ),
        ] {
            assert_eq!(result, Err(error));
        }
    }

    #[test]
    fn a_mock_credential_is_steady_and_differs_by_user_hash_and_secret() {
        let shown = |secret, hash, user| {
            let keys = MockCredentials::new([secret; 32], 4096, 16).keys(hash, user);
            assert_eq!((keys.iterations, keys.salt.len()), (4096, 16));
            assert!(keys.mock_credentials && keys.stored_key.len() == hash.octets());
            keys.salt
        };
        let one = shown(1, ScramHash::Sha1, "user");
        assert_eq!(one, shown(1, ScramHash::Sha1, "user"));
        assert_ne!(one, shown(1, ScramHash::Sha1, "users"));
        assert_ne!(one, shown(1, ScramHash::Sha256, "user"));
        assert_ne!(one, shown(2, ScramHash::Sha1, "user"));
        let printed = format!("{:?}", MockCredentials::new([0x77; 32], 4096, 16));
        assert_eq!(printed, "MockCredentials(4096 iterations, ***)");
    }

    #[test]
    fn nonces() {
        assert_eq!(ScramNonce::from_random([0xff; 18]).0, "/".repeat(24));
        assert!(ScramNonce::new("3rfcNHYJY1ZVvWVs7j").is_ok());
        for nonce in [
            "short",
            "with,comma,and,more",
            "with space and more",
            "\u{e4}bcdefghijklmnopq",
        ] {
            assert_eq!(ScramNonce::new(nonce), Err(BadScramNonce));
        }
        assert_eq!(ScramNonce::new(&"x".repeat(65)), Err(BadScramNonce));
    }
}

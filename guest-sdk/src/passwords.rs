//! Passwords, where they take time: computed by the host, natively and off its
//! event loop.

use std::str::FromStr;

/// What a new hash is made with. As a setting, by the names that `restante hash-password
/// --scheme` has.
///
/// ```
/// use restante_guest::passwords::HashScheme;
///
/// assert_eq!("sha512-crypt".parse(), Ok(HashScheme::Sha512Crypt));
/// assert!("md5".parse::<HashScheme>().is_err());
/// ```
pub use crate::bindings::host::restante::plugin::passwords::HashScheme;
/// SCRAM keys of a password (RFC 5802 section 2.1), with salt and iteration count.
pub use crate::bindings::host::restante::plugin::passwords::ScramKeys;

use crate::scram::Hash;

const SCHEMES: [(&str, HashScheme); 6] = [
    ("argon2id", HashScheme::Argon2id),
    ("scrypt", HashScheme::Scrypt),
    ("bcrypt", HashScheme::Bcrypt),
    ("sha512-crypt", HashScheme::Sha512Crypt),
    ("scram-sha-256", HashScheme::ScramSha256),
    ("scram-sha-1", HashScheme::ScramSha1),
];

/// Whether `secret` is the password behind `hash`, compared in constant time: a PHC
/// string (argon2id, scrypt, pbkdf2-sha256) or a crypt(3) string (bcrypt,
/// sha512-crypt, sha256-crypt), with or without a {SCHEME} prefix, or SCRAM keys
/// behind {SCRAM-SHA-256} or {SCRAM-SHA-1}.
///
/// Outside a component, as in `cargo test`, only {PLAIN} is understood.
///
/// # Errors
/// Why the hash is not one that the host can check. It names no secret.
pub fn verify(hash: &str, secret: &str) -> Result<bool, String> {
    #[cfg(target_family = "wasm")]
    {
        crate::bindings::host::restante::plugin::passwords::verify(hash, secret)
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::verify(hash, secret)
}

/// SCRAM keys for a user whose secret is kept as it is, with the salt and the
/// iteration count that the host shows of users whom nobody knows: always the same,
/// guessed by nobody, and no sign that there is such a user. `user` is the name as
/// the client gave it.
///
/// Outside a component, as in `cargo test`, there are none.
///
/// # Errors
/// Why the host makes no keys of this secret. It does not name it.
pub fn derive_scram(user: &str, secret: &str, hash: Hash) -> Result<ScramKeys, String> {
    #[cfg(target_family = "wasm")]
    {
        use crate::bindings::host::restante::plugin::passwords as raw;
        let hash = match hash {
            Hash::Sha1 => raw::ScramHash::Sha1,
            Hash::Sha256 => raw::ScramHash::Sha256,
        };
        raw::derive_scram(user, secret, hash)
    }
    #[cfg(not(target_family = "wasm"))]
    {
        let _ = (user, secret, hash);
        Err("only a host makes SCRAM keys".into())
    }
}

/// A new hash of `secret`, with a random salt and its {SCHEME} in front, as `restante
/// hash-password` prints it and [`verify`] takes it. The host computes it, and that takes
/// time by design. Since 0.1.1 of the contract.
///
/// Outside a component, as in `cargo test`, it is {PLAIN} and the secret, whatever the scheme.
///
/// # Errors
/// Why there is none: the secret is empty, has more than 4096 octets, or is one that the
/// scheme would cut; the host is too busy, or has no memory for it. It does not name the
/// secret.
pub fn hash(secret: &str, scheme: HashScheme) -> Result<String, String> {
    #[cfg(target_family = "wasm")]
    {
        crate::bindings::host::restante::plugin::passwords::hash(secret, scheme)
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::hash(secret, scheme)
}

impl FromStr for HashScheme {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = SCHEMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, scheme)| *scheme).ok_or_else(|| {
            let names = SCHEMES.map(|(name, _)| name).join(", ");
            format!("must be one of {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_has_the_name_that_the_command_line_knows() {
        for (name, scheme) in SCHEMES {
            assert_eq!(name.parse(), Ok(scheme));
        }
        for name in ["", "Argon2id", "argon2", "scram-sha256"] {
            let told = name.parse::<HashScheme>().unwrap_err();
            assert_eq!(
                told,
                "must be one of argon2id, scrypt, bcrypt, sha512-crypt, scram-sha-256, scram-sha-1"
            );
        }
    }

    #[test]
    fn what_stands_in_for_a_hash_verifies() {
        let made = hash("sesame", HashScheme::Argon2id).unwrap();
        assert_eq!(verify(&made, "sesame"), Ok(true));
        assert_eq!(verify(&made, "sesam"), Ok(false));
        assert!(hash("", HashScheme::Argon2id).is_err());
        assert!(hash(&"s".repeat(4097), HashScheme::Argon2id).is_err());
    }
}

//! Passwords, where they take time: computed by the host, natively and off its
//! event loop.

/// SCRAM keys of a password (RFC 5802 section 2.1), with salt and iteration count.
pub use crate::bindings::host::restante::plugin::passwords::ScramKeys;

use crate::scram::Hash;

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

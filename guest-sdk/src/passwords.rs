//! Password hashes, checked by the host: natively, in constant time.

/// Whether `secret` is the password behind `hash`: a PHC string (argon2id,
/// scrypt, pbkdf2-sha256) or a crypt(3) string (bcrypt, sha512-crypt,
/// sha256-crypt), with or without a {SCHEME} prefix.
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

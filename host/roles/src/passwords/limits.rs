//! What one hash may ask of this machine, and why it comes to nothing.

use std::fmt;

use restante_pop3::Unprepared;

/// The most that one hash may ask of this machine in one respect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    what: &'static str,
    most: u64,
    unit: &'static str,
}

impl Limit {
    pub(super) const fn new(what: &'static str, most: u64, unit: &'static str) -> Limit {
        Limit { what, most, unit }
    }

    pub(super) fn admits(self, asked: u128) -> Result<(), HashError> {
        if asked > u128::from(self.most) {
            return Err(HashError::OverLimit(self));
        }
        Ok(())
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: at most {} {}", self.what, self.most, self.unit)
    }
}

pub(super) const MIB: u64 = 1024 * 1024;

/// The longest strings in use (argon2id with a 48 octet salt and a 64 octet
/// digest) have about 200; the rest is room for long {PLAIN} secrets.
pub(super) const HASH_LENGTH: Limit = Limit::new("length of the hash", 1024, "octets");
/// Far above what any client sends; some algorithms take time by the octet.
pub(super) const SECRET_LENGTH: Limit =
    Limit::new("length of the secret", SECRET_OCTETS as u64, "octets");
pub(super) const SECRET_OCTETS: usize = 4096;
/// Four times what common tools choose (64 MiB), and a few checks at once still
/// fit beside the sessions.
pub(super) const ARGON2_MEMORY: Limit = Limit::new("argon2 memory (m)", 256 * 1024, "KiB");
/// RFC 9106 recommends 1 and 3; small-memory settings go up to about 10.
pub(super) const ARGON2_PASSES: Limit = Limit::new("argon2 passes (t)", 32, "passes");
/// RFC 9106 recommends 4. Lanes are computed one after the other here.
pub(super) const ARGON2_LANES: Limit = Limit::new("argon2 lanes (p)", 16, "lanes");
/// Time goes with memory × passes: this is about a second of one core.
pub(super) const ARGON2_WORK: Limit = Limit::new("argon2 work (m × t)", 1024 * 1024, "KiB");
/// 128·r·(N + p), what is allocated: 256 MiB as for argon2, and some room for the
/// p. The strongest common setting (N = 2^17, r = 8) takes 128 MiB.
pub(super) const SCRYPT_MEMORY: Limit = Limit::new("scrypt memory", 257 * MIB, "octets");
/// 128·N·r·p, which time goes with: this is about two seconds of one core.
pub(super) const SCRYPT_WORK: Limit = Limit::new("scrypt work (N × r × p)", 512 * MIB, "octets");
/// Each block of output costs all iterations again. OWASP recommends 600,000 of
/// SHA-256 in one block; this is about two seconds of one core.
pub(super) const PBKDF2_WORK: Limit =
    Limit::new("pbkdf2 work (i × blocks)", 4_000_000, "iterations");
/// Each step doubles the time; 15 is about two seconds, usual are 10 to 12.
pub(super) const BCRYPT_COST: Limit = Limit::new("bcrypt cost", 15, "doublings");
/// 4096 is usual, and has to be: clients compute them too.
pub(super) const SCRAM_ITERATIONS: Limit = Limit::new("SCRAM iterations", 4_000_000, "iterations");
/// Usual are 5,000 to 656,000; this is about a second with a short secret.
pub(super) const SHA_CRYPT_ROUNDS: Limit = Limit::new("sha-crypt rounds", 1_000_000, "rounds");
/// Every round hashes the secret again, up to twice: a long secret must not turn
/// allowed rounds into minutes. A million rounds still leave 128 octets.
pub(super) const SHA_CRYPT_WORK: Limit =
    Limit::new("sha-crypt rounds × secret", 128_000_000, "octets");

/// Why a hash could not be checked or made. Nothing of hash or secret is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The string: neither a PHC nor a crypt(3) string of a supported kind, and
    /// not marked as {PLAIN} either.
    #[error("the hash has no known form (a password in the clear needs {{PLAIN}} in front)")]
    UnknownForm,
    /// The string: no such `{SCHEME}` here.
    #[error("the hash's {{SCHEME}} is not supported")]
    UnknownScheme,
    /// The string: its `{SCHEME}` says one thing, its form another.
    #[error("the hash's {{SCHEME}} contradicts its form")]
    Contradiction,
    /// The string: of the named form, but broken, or outside what it allows.
    #[error("the {0} hash is malformed")]
    Malformed(&'static str),
    /// The string, or the secret, asks for too much.
    #[error("over the limit for the {0}")]
    OverLimit(Limit),
    /// The secret to be hashed is empty.
    #[error("an empty secret is no secret")]
    EmptySecret,
    /// The secret to be hashed has a NUL, which the scheme knows as its end.
    #[error("the scheme takes no secret with a NUL in it")]
    Nul,
    /// The secret to be hashed is none that SASLprep (RFC 4013) allows to store.
    #[error("SCRAM does not take this secret (RFC 4013): {0}")]
    Unprepared(Unprepared),
    /// The machine: the memory that the hash needs is not there at the moment.
    #[error("not enough memory to compute the hash")]
    OutOfMemory,
    /// The machine: the operating system gave no random salt.
    #[error("no random salt to be had")]
    NoSalt,
}

/// Digits only: no sign and no leading zero, as crypt(3) writes and wants them.
pub(super) fn decimal(text: &str) -> Option<u32> {
    if text.starts_with('0') || !text.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

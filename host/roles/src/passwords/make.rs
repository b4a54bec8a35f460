//! New hashes.

use argon2::{Algorithm, Argon2, Params, Version};
use clap::ValueEnum;
use password_hash::PasswordHasher;
use restante_pop3::{Preparation, ScramHash, saslprep};

use super::limits::{HashError, Limit, SECRET_LENGTH, SHA_CRYPT_WORK};
use super::scram::{self, ScramSecret};

/// OWASP's setting for argon2id.
const ARGON2_MEMORY_KIB: u32 = 19 * 1024;
const ARGON2_PASSES: u32 = 2;
const ARGON2_LANES: u32 = 1;
/// OWASP's setting for scrypt: N = 2^17 takes 128 MiB.
const SCRYPT_LOG_N: u8 = 17;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 1;
/// A quarter of a second.
const BCRYPT_COST: u32 = 12;
/// bcrypt ignores what comes behind: two secrets would open the same maildrop.
const BCRYPT_SECRET: Limit = Limit::new("length of a secret for bcrypt", 72, "octets");
/// As long as a quarter of a second, too.
const SHA_CRYPT_ROUNDS: u32 = 100_000;
/// 16 characters of base64: crypt(3) takes no more.
const SHA_CRYPT_SALT_OCTETS: usize = 12;
/// What nearly everybody has, and what the host shows of unknown users.
const SCRAM_SALT_OCTETS: usize = 16;

/// What a new hash is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scheme {
    /// Argon2id, 19 MiB: the best there is for passwords
    Argon2id,
    /// scrypt, 128 MiB
    Scrypt,
    /// bcrypt, cost 12; passwords of at most 72 octets
    Bcrypt,
    /// SHA-512-crypt, 100,000 rounds
    #[value(name = "sha512-crypt")]
    Sha512Crypt,
    /// Keys for SCRAM-SHA-256; a password can be checked against them too
    #[value(name = "scram-sha-256")]
    ScramSha256,
    /// Keys for SCRAM-SHA-1, for clients that know nothing newer
    #[value(name = "scram-sha-1")]
    ScramSha1,
}

/// A new hash of `secret` with a random salt, behind its `{SCHEME}`;
/// `scram_iterations` is how often SCRAM's schemes iterate.
///
/// # Errors
/// The secret is empty, too long, or not one for this scheme; or the machine has no
/// memory or no salt.
pub fn hash(scheme: Scheme, scram_iterations: u32, secret: &str) -> Result<String, HashError> {
    SECRET_LENGTH.admits(secret.len() as u128)?;
    if secret.is_empty() {
        return Err(HashError::EmptySecret);
    }
    match scheme {
        Scheme::Argon2id => argon2id(secret),
        Scheme::Scrypt => scrypt(secret),
        Scheme::Bcrypt => bcrypt(secret),
        Scheme::Sha512Crypt => sha512_crypt(secret),
        Scheme::ScramSha256 => scram(ScramHash::Sha256, "SCRAM-SHA-256", scram_iterations, secret),
        Scheme::ScramSha1 => scram(ScramHash::Sha1, "SCRAM-SHA-1", scram_iterations, secret),
    }
}

fn argon2id(secret: &str) -> Result<String, HashError> {
    let length = Some(Params::DEFAULT_OUTPUT_LEN);
    let params = Params::new(ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES, length)
        .expect("the settings for new hashes are within argon2's own limits");
    let phc = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(secret.as_bytes())
        .map_err(failed)?;
    Ok(format!("{{ARGON2ID}}{phc}"))
}

fn scrypt(secret: &str) -> Result<String, HashError> {
    let params = scrypt::Params::new(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P)
        .expect("the settings for new hashes are within scrypt's own limits");
    let phc = scrypt::Scrypt::new_with_params(params)
        .hash_password(secret.as_bytes())
        .map_err(failed)?;
    Ok(format!("{{SCRYPT}}{phc}"))
}

fn bcrypt(secret: &str) -> Result<String, HashError> {
    BCRYPT_SECRET.admits(secret.len() as u128)?;
    no_nul(secret)?;
    let salt = salt()?;
    let parts = bcrypt::hash_with_salt(secret, BCRYPT_COST, salt)
        .expect("the cost for new hashes is within bcrypt's own limits");
    Ok(format!(
        "{{BLF-CRYPT}}{}",
        parts.format_for_version(bcrypt::Version::TwoY)
    ))
}

fn sha512_crypt(secret: &str) -> Result<String, HashError> {
    no_nul(secret)?;
    // What is over it could be made and never be checked.
    SHA_CRYPT_WORK.admits(u128::from(SHA_CRYPT_ROUNDS) * secret.len() as u128)?;
    let params = sha_crypt::Params::new(SHA_CRYPT_ROUNDS)
        .expect("the rounds for new hashes are within crypt(3)'s own limits");
    let salt: [u8; SHA_CRYPT_SALT_OCTETS] = salt()?;
    let text = sha_crypt::ShaCrypt::new(sha_crypt::Algorithm::Sha512Crypt, params)
        .hash_password_with_salt(secret.as_bytes(), &salt)
        .map_err(failed)?;
    Ok(format!("{{SHA512-CRYPT}}{text}"))
}

fn scram(
    hash: ScramHash,
    scheme: &str,
    iterations: u32,
    secret: &str,
) -> Result<String, HashError> {
    // What is kept has to be a "stored string" (RFC 5802 section 2.2, Normalize).
    saslprep(secret, Preparation::Stored).map_err(HashError::Unprepared)?;
    let salt: [u8; SCRAM_SALT_OCTETS] = salt()?;
    let keys = ScramSecret::derive(hash, secret, &salt, iterations)?;
    Ok(scram::written(scheme, &salt, iterations, &keys))
}

fn no_nul(secret: &str) -> Result<(), HashError> {
    match secret.contains('\0') {
        true => Err(HashError::Nul),
        false => Ok(()),
    }
}

fn salt<const N: usize>() -> Result<[u8; N], HashError> {
    let mut salt = [0; N];
    getrandom::fill(&mut salt).map_err(|_| HashError::NoSalt)?;
    Ok(salt)
}

fn failed(error: password_hash::Error) -> HashError {
    match error {
        password_hash::Error::OutOfMemory => HashError::OutOfMemory,
        _ => HashError::NoSalt,
    }
}

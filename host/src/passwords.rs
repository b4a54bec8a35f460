//! Password hashes, made and checked natively for the plugins that keep them.
//!
//! A string comes from a plugin's file and a secret from a client, so both are
//! hostile: whatever a hash asks for in memory or time is weighed against the
//! limits below before anything is allocated or computed, and nothing of either
//! ever stands in an error. This room knows no plugin, no user and no socket. It
//! blocks, for up to seconds at the limits: call it where blocking is allowed.
//!
//! Understood, each with or without the `{SCHEME}` that Dovecot and OpenLDAP put
//! in front (see [`SCHEMES`]):
//! - PHC strings: `$argon2id$`, `$argon2i$`, `$argon2d$` (versions 16 and 19),
//!   `$scrypt$ln=…,r=…,p=…$`, `$pbkdf2-sha256$i=…$`, `$pbkdf2-sha512$i=…$`;
//! - the older PBKDF2 writing `$pbkdf2-sha256$ITERATIONS$SALT$DIGEST` and OpenLDAP's
//!   `{PBKDF2-SHA256}ITERATIONS$SALT$DIGEST`, both with `.` for `+`;
//! - crypt(3) strings: bcrypt (`$2a$`, `$2b$`, `$2y$`), sha512-crypt (`$6$`),
//!   sha256-crypt (`$5$`);
//! - `{PLAIN}`, `{CLEAR}`, `{CLEARTEXT}`: the rest is the password itself. Without
//!   one of these a string is never compared in the clear.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use password_hash::{PasswordHasher, PasswordVerifier};
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The most that one hash may ask of this machine in one respect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    what: &'static str,
    most: u64,
    unit: &'static str,
}

impl Limit {
    const fn new(what: &'static str, most: u64, unit: &'static str) -> Limit {
        Limit { what, most, unit }
    }

    fn admits(self, asked: u128) -> Result<(), HashError> {
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

const MIB: u64 = 1024 * 1024;

/// The longest strings in use (argon2id with a 48 octet salt and a 64 octet
/// digest) have about 200; the rest is room for long {PLAIN} secrets.
const HASH_LENGTH: Limit = Limit::new("length of the hash", 1024, "octets");
/// Far above what any client sends; some algorithms take time by the octet.
const SECRET_LENGTH: Limit = Limit::new("length of the secret", SECRET_OCTETS as u64, "octets");
const SECRET_OCTETS: usize = 4096;
/// Four times what common tools choose (64 MiB), and a few checks at once still
/// fit beside the sessions.
const ARGON2_MEMORY: Limit = Limit::new("argon2 memory (m)", 256 * 1024, "KiB");
/// RFC 9106 recommends 1 and 3; small-memory settings go up to about 10.
const ARGON2_PASSES: Limit = Limit::new("argon2 passes (t)", 32, "passes");
/// RFC 9106 recommends 4. Lanes are computed one after the other here.
const ARGON2_LANES: Limit = Limit::new("argon2 lanes (p)", 16, "lanes");
/// Time goes with memory × passes: this is about a second of one core.
const ARGON2_WORK: Limit = Limit::new("argon2 work (m × t)", 1024 * 1024, "KiB");
/// 128·r·(N + p), what is allocated: 256 MiB as for argon2, and some room for the
/// p. The strongest common setting (N = 2^17, r = 8) takes 128 MiB.
const SCRYPT_MEMORY: Limit = Limit::new("scrypt memory", 257 * MIB, "octets");
/// 128·N·r·p, which time goes with: this is about two seconds of one core.
const SCRYPT_WORK: Limit = Limit::new("scrypt work (N × r × p)", 512 * MIB, "octets");
/// Each block of output costs all iterations again. OWASP recommends 600,000 of
/// SHA-256 in one block; this is about two seconds of one core.
const PBKDF2_WORK: Limit = Limit::new("pbkdf2 work (i × blocks)", 4_000_000, "iterations");
/// Each step doubles the time; 15 is about two seconds, usual are 10 to 12.
const BCRYPT_COST: Limit = Limit::new("bcrypt cost", 15, "doublings");
/// Usual are 5,000 to 656,000; this is about a second with a short secret.
const SHA_CRYPT_ROUNDS: Limit = Limit::new("sha-crypt rounds", 1_000_000, "rounds");
/// Every round hashes the secret again, up to twice: a long secret must not turn
/// allowed rounds into minutes. A million rounds still leave 128 octets.
const SHA_CRYPT_WORK: Limit = Limit::new("sha-crypt rounds × secret", 128_000_000, "octets");

/// What [`hash`] spends: OWASP's setting for argon2id.
const NEW_MEMORY_KIB: u32 = 19 * 1024;
const NEW_PASSES: u32 = 2;
const NEW_LANES: u32 = 1;

/// crypt(3) takes no more of a SHA-crypt salt, so no stored string has more.
const SHA_CRYPT_SALT_OCTETS: usize = 16;
/// The rounds of a SHA-crypt string that names none.
const SHA_CRYPT_DEFAULT_ROUNDS: u32 = 5000;

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
    /// The machine: the memory that the hash needs is not there at the moment.
    #[error("not enough memory to compute the hash")]
    OutOfMemory,
    /// The machine: the operating system gave no random salt.
    #[error("no random salt to be had")]
    NoSalt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Argon2id,
    Argon2i,
    Argon2d,
    Scrypt,
    Pbkdf2Sha256,
    Pbkdf2Sha512,
    Bcrypt,
    Sha512Crypt,
    Sha256Crypt,
}

/// How each form's strings begin.
const PREFIXES: [(&str, Form); 11] = [
    ("$argon2id$", Form::Argon2id),
    ("$argon2i$", Form::Argon2i),
    ("$argon2d$", Form::Argon2d),
    ("$scrypt$", Form::Scrypt),
    ("$pbkdf2-sha256$", Form::Pbkdf2Sha256),
    ("$pbkdf2-sha512$", Form::Pbkdf2Sha512),
    ("$2a$", Form::Bcrypt),
    ("$2b$", Form::Bcrypt),
    ("$2y$", Form::Bcrypt),
    ("$6$", Form::Sha512Crypt),
    ("$5$", Form::Sha256Crypt),
];

/// Which forms a `{SCHEME}` announces; letter case does not matter.
const SCHEMES: [(&str, &[Form]); 11] = [
    ("ARGON2ID", &[Form::Argon2id]),
    ("ARGON2I", &[Form::Argon2i]),
    ("ARGON2D", &[Form::Argon2d]),
    // OpenLDAP's, for every variant.
    ("ARGON2", &[Form::Argon2id, Form::Argon2i, Form::Argon2d]),
    ("SCRYPT", &[Form::Scrypt]),
    ("PBKDF2-SHA256", &[Form::Pbkdf2Sha256]),
    ("PBKDF2-SHA512", &[Form::Pbkdf2Sha512]),
    ("BLF-CRYPT", &[Form::Bcrypt]),
    ("SHA512-CRYPT", &[Form::Sha512Crypt]),
    ("SHA256-CRYPT", &[Form::Sha256Crypt]),
    (
        "CRYPT",
        &[Form::Bcrypt, Form::Sha512Crypt, Form::Sha256Crypt],
    ),
];

/// The schemes whose rest is the password as it is.
const IN_THE_CLEAR: [&str; 3] = ["PLAIN", "CLEAR", "CLEARTEXT"];

/// Whether `secret` is the one that `hash` was made of, compared in constant time.
///
/// crypt(3) knows secrets as C strings: one with a NUL in it matches no crypt(3)
/// hash. bcrypt reads 72 octets of a secret and ignores the rest, here as
/// everywhere, since the hashes that exist were made so.
///
/// # Errors
/// Everything of [`HashError`] but `EmptySecret` and `NoSalt`: the string is not
/// understood or asks for too much, or the secret is too long.
pub fn verify(hash: &str, secret: &str) -> Result<bool, HashError> {
    HASH_LENGTH.admits(hash.len() as u128)?;
    SECRET_LENGTH.admits(secret.len() as u128)?;
    let Some(rest) = hash.strip_prefix('{') else {
        return check(form_of(hash)?, hash, secret);
    };
    let (scheme, body) = rest.split_once('}').ok_or(HashError::UnknownForm)?;
    if IN_THE_CLEAR.iter().any(|s| s.eq_ignore_ascii_case(scheme)) {
        return plain(body, secret);
    }
    let (_, announced) = SCHEMES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(scheme))
        .ok_or(HashError::UnknownScheme)?;
    match announced {
        // OpenLDAP's writing, in which the scheme alone names the form.
        [form @ (Form::Pbkdf2Sha256 | Form::Pbkdf2Sha512)] if !body.starts_with('$') => {
            pbkdf2_fields(*form, body, secret)
        }
        _ => {
            let form = form_of(body)?;
            if !announced.contains(&form) {
                return Err(HashError::Contradiction);
            }
            check(form, body, secret)
        }
    }
}

/// A new hash of `secret`: argon2id as a PHC string behind `{ARGON2ID}`, with a
/// random salt, 19 MiB, two passes and one lane.
///
/// # Errors
/// The secret is empty or too long, or the machine has no memory or no salt.
pub fn hash(secret: &str) -> Result<String, HashError> {
    SECRET_LENGTH.admits(secret.len() as u128)?;
    if secret.is_empty() {
        return Err(HashError::EmptySecret);
    }
    let params = Params::new(
        NEW_MEMORY_KIB,
        NEW_PASSES,
        NEW_LANES,
        Some(Params::DEFAULT_OUTPUT_LEN),
    )
    .expect("the settings for new hashes are within argon2's own limits");
    let phc = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(secret.as_bytes())
        .map_err(|error| match error {
            password_hash::Error::OutOfMemory => HashError::OutOfMemory,
            _ => HashError::NoSalt,
        })?;
    Ok(format!("{{ARGON2ID}}{phc}"))
}

fn form_of(hash: &str) -> Result<Form, HashError> {
    PREFIXES
        .iter()
        .find(|(prefix, _)| hash.starts_with(prefix))
        .map(|(_, form)| *form)
        .ok_or(HashError::UnknownForm)
}

fn check(form: Form, hash: &str, secret: &str) -> Result<bool, HashError> {
    match form {
        Form::Argon2id => argon2(Algorithm::Argon2id, hash, secret),
        Form::Argon2i => argon2(Algorithm::Argon2i, hash, secret),
        Form::Argon2d => argon2(Algorithm::Argon2d, hash, secret),
        Form::Scrypt => scrypt(hash, secret),
        Form::Pbkdf2Sha256 | Form::Pbkdf2Sha512 => pbkdf2(form, hash, secret),
        Form::Bcrypt => bcrypt(hash, secret),
        Form::Sha512Crypt => sha_crypt(hash, 86, secret),
        Form::Sha256Crypt => sha_crypt(hash, 43, secret),
    }
}

/// Both are laid into buffers of one length, so that not even their lengths show.
fn plain(password: &str, secret: &str) -> Result<bool, HashError> {
    // A line cut short must not become a mailbox without a password.
    if password.is_empty() {
        return Err(HashError::Malformed("{PLAIN}"));
    }
    let padded = |text: &str| {
        let mut buffer = Zeroizing::new([0; SECRET_OCTETS]);
        buffer[..text.len()].copy_from_slice(text.as_bytes());
        buffer
    };
    let same_octets = padded(password)[..].ct_eq(&padded(secret)[..]);
    let same_length = password.len().ct_eq(&secret.len());
    Ok((same_octets & same_length).into())
}

fn argon2(algorithm: Algorithm, hash: &str, secret: &str) -> Result<bool, HashError> {
    const MALFORMED: HashError = HashError::Malformed("argon2");
    let phc = Phc::parse(hash).ok_or(MALFORMED)?;
    let [Some(m), Some(t), Some(p)] = decimals(&phc.params, ["m", "t", "p"]).ok_or(MALFORMED)?
    else {
        return Err(MALFORMED);
    };
    ARGON2_MEMORY.admits(m.into())?;
    ARGON2_PASSES.admits(t.into())?;
    ARGON2_LANES.admits(p.into())?;
    ARGON2_WORK.admits(u128::from(m) * u128::from(t))?;
    let version = match phc.version {
        // Strings from before versions were written.
        None | Some(0x10) => Version::V0x10,
        Some(0x13) => Version::V0x13,
        Some(_) => return Err(MALFORMED),
    };
    let params = Params::new(m, t, p, Some(phc.digest.len())).map_err(|_| MALFORMED)?;
    let mut computed = Zeroizing::new([0; Output::MAX_LENGTH]);
    let computed = &mut computed[..phc.digest.len()];
    Argon2::new(algorithm, version, params)
        .hash_password_into(secret.as_bytes(), &phc.salt, computed)
        .map_err(|error| match error {
            argon2::Error::OutOfMemory => HashError::OutOfMemory,
            _ => MALFORMED,
        })?;
    Ok(phc.is(computed))
}

fn scrypt(hash: &str, secret: &str) -> Result<bool, HashError> {
    const MALFORMED: HashError = HashError::Malformed("scrypt");
    let phc = Phc::parse(hash).ok_or(MALFORMED)?;
    let [Some(ln), Some(r), Some(p)] = decimals(&phc.params, ["ln", "r", "p"]).ok_or(MALFORMED)?
    else {
        return Err(MALFORMED);
    };
    // RFC 7914, section 6: N > 1, and neither r nor p is 0.
    if phc.version.is_some() || ln == 0 || r == 0 || p == 0 {
        return Err(MALFORMED);
    }
    let log_n = u8::try_from(ln).map_err(|_| MALFORMED)?;
    // Nothing overflows: the first product is below 2^103, N = 2^63 alone being over
    // the limit, and the second one is the admitted part of the first, times p.
    let (n, r_wide, p_wide) = (1_u128 << log_n.min(63), u128::from(r), u128::from(p));
    SCRYPT_MEMORY.admits(128 * r_wide * (n + p_wide))?;
    SCRYPT_WORK.admits(128 * r_wide * n * p_wide)?;
    let params = scrypt::Params::new(log_n, r, p).map_err(|_| MALFORMED)?;
    let mut computed = Zeroizing::new([0; Output::MAX_LENGTH]);
    let computed = &mut computed[..phc.digest.len()];
    scrypt::scrypt(secret.as_bytes(), &phc.salt, &params, computed).map_err(|_| MALFORMED)?;
    Ok(phc.is(computed))
}

/// The PHC writing, with named parameters, or the older one without names.
fn pbkdf2(form: Form, hash: &str, secret: &str) -> Result<bool, HashError> {
    const MALFORMED: HashError = HashError::Malformed("pbkdf2");
    let fields = hash.splitn(3, '$').nth(2).ok_or(MALFORMED)?;
    if fields.starts_with(|c: char| c.is_ascii_digit()) {
        return pbkdf2_fields(form, fields, secret);
    }
    let phc = Phc::parse(hash).ok_or(MALFORMED)?;
    let [Some(iterations), length] = decimals(&phc.params, ["i", "l"]).ok_or(MALFORMED)? else {
        return Err(MALFORMED);
    };
    let claims_other_length = length.is_some_and(|l| l as usize != phc.digest.len());
    if phc.version.is_some() || claims_other_length {
        return Err(MALFORMED);
    }
    pbkdf2_compute(form, iterations, &phc, secret)
}

/// `ITERATIONS$SALT$DIGEST`, in base64 with `.` for `+` and without padding.
fn pbkdf2_fields(form: Form, fields: &str, secret: &str) -> Result<bool, HashError> {
    const MALFORMED: HashError = HashError::Malformed("pbkdf2");
    let mut parts = fields.split('$');
    let (Some(iterations), Some(salt), Some(digest), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(MALFORMED);
    };
    let iterations = decimal(iterations).ok_or(MALFORMED)?;
    let phc = Phc {
        version: None,
        params: ParamsString::new(),
        salt: Salt::from_b64(&salt.replace('.', "+")).map_err(|_| MALFORMED)?,
        digest: Output::decode(&digest.replace('.', "+")).map_err(|_| MALFORMED)?,
    };
    pbkdf2_compute(form, iterations, &phc, secret)
}

fn pbkdf2_compute(form: Form, i: u32, phc: &Phc, secret: &str) -> Result<bool, HashError> {
    if i == 0 {
        return Err(HashError::Malformed("pbkdf2"));
    }
    let block = if form == Form::Pbkdf2Sha512 { 64 } else { 32 };
    PBKDF2_WORK.admits(u128::from(i) * phc.digest.len().div_ceil(block) as u128)?;
    let mut computed = Zeroizing::new([0; Output::MAX_LENGTH]);
    let computed = &mut computed[..phc.digest.len()];
    match form {
        Form::Pbkdf2Sha512 => {
            pbkdf2::pbkdf2_hmac::<Sha512>(secret.as_bytes(), &phc.salt, i, computed)
        }
        _ => pbkdf2::pbkdf2_hmac::<Sha256>(secret.as_bytes(), &phc.salt, i, computed),
    }
    Ok(phc.is(computed))
}

/// `$2b$COST$` and 53 characters of salt and digest.
fn bcrypt(hash: &str, secret: &str) -> Result<bool, HashError> {
    const MALFORMED: HashError = HashError::Malformed("bcrypt");
    let cost = hash.get(4..6).ok_or(MALFORMED)?;
    // Always two digits, with a leading zero where it takes one.
    if !cost.bytes().all(|c| c.is_ascii_digit()) {
        return Err(MALFORMED);
    }
    let cost: u8 = cost.parse().map_err(|_| MALFORMED)?;
    BCRYPT_COST.admits(cost.into())?;
    let matches = bcrypt::verify(secret, hash).map_err(|_| MALFORMED)?;
    Ok(matches & is_c_string(secret))
}

/// `$6$[rounds=ROUNDS$]SALT$DIGEST`, with as many characters of digest as said.
fn sha_crypt(hash: &str, digest_length: usize, secret: &str) -> Result<bool, HashError> {
    const MALFORMED: HashError = HashError::Malformed("sha-crypt");
    let fields = hash.splitn(3, '$').nth(2).ok_or(MALFORMED)?;
    let (rounds, fields) = match fields.strip_prefix("rounds=") {
        Some(rest) => {
            let (rounds, rest) = rest.split_once('$').ok_or(MALFORMED)?;
            (decimal(rounds).ok_or(MALFORMED)?, rest)
        }
        None => (SHA_CRYPT_DEFAULT_ROUNDS, fields),
    };
    let (salt, digest) = fields.split_once('$').ok_or(MALFORMED)?;
    if salt.len() > SHA_CRYPT_SALT_OCTETS || digest.len() != digest_length {
        return Err(MALFORMED);
    }
    SHA_CRYPT_ROUNDS.admits(rounds.into())?;
    SHA_CRYPT_WORK.admits(u128::from(rounds) * secret.len() as u128)?;
    let matches = match sha_crypt::ShaCrypt::default().verify_password(secret.as_bytes(), hash) {
        Ok(()) => true,
        Err(password_hash::Error::PasswordInvalid) => false,
        Err(_) => return Err(MALFORMED),
    };
    Ok(matches & is_c_string(secret))
}

/// crypt(3) would stop at the NUL, and bcrypt, which repeats the secret with its
/// final NUL, would take "a" and "a\0a" for the same.
fn is_c_string(secret: &str) -> bool {
    !secret.contains('\0')
}

/// A PHC string with salt and digest, both of which the syntax would let be away.
struct Phc {
    version: Option<u32>,
    params: ParamsString,
    salt: Salt,
    digest: Output,
}

impl Phc {
    fn parse(hash: &str) -> Option<Phc> {
        let phc = PasswordHash::new(hash).ok()?;
        Some(Phc {
            version: phc.version,
            params: phc.params,
            salt: phc.salt?,
            digest: phc.hash?,
        })
    }

    fn is(&self, computed: &[u8]) -> bool {
        self.digest.as_bytes().ct_eq(computed).into()
    }
}

/// The named parameters. None: one is there twice, or is no number, or an unknown
/// one is there, whose meaning for the digest nobody here knows.
fn decimals<const N: usize>(params: &ParamsString, names: [&str; N]) -> Option<[Option<u32>; N]> {
    let mut values = [None; N];
    for (name, value) in params.iter() {
        let slot = names.iter().position(|known| *known == name.as_str())?;
        if values[slot].replace(value.decimal().ok()?).is_some() {
            return None;
        }
    }
    Some(values)
}

/// Digits only: no sign and no leading zero, as crypt(3) writes and wants them.
fn decimal(text: &str) -> Option<u32> {
    if text.starts_with('0') || !text.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASCII: &str = "Maildrop secret 7";
    const UTF8: &str = "pässwörd ☃";

    /// Secrets, and what other implementations made of them (named above the lines).
    const VECTORS: [(&str, &str); 7] = [
        (
            ASCII,
            "
            # Dovecot's doveadm pw
            {ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$NBUTT/CJw7tP/PJoDEHfxg$6q0+AzIP1G+XIIAuCctp+yG74Mug1qnwKGq8dtOr6ew
            {ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$IPK41CBrnJn/zL9asrtofg$n77B+dLVwBsT3kMZCIstcETx/OaoF7/HWt1+fyK49x0
            {BLF-CRYPT}$2y$05$hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SRtW
            {SHA512-CRYPT}$6$hbob1PeH4JbdhtsU$vsG8o8mAW0ZAN4JVWO3oEfqzqWdChfiUkdskkf5gxI7vdJpuvKvem.tsH72GvgyUDPNOeyi6x6nCYDtl9ndPe.
            {SHA256-CRYPT}$5$vOQ0rEXK.MRmsRt6$cn9Ja9d/RYdd03HasP4Xh62CTeKCPYWkSXKVtuT12D7
            {CRYPT}$2y$05$CvcIpQSwUBcN7.fsUTsGHuM/YzivCwn8/mKMpKb19Xyp3QsWCKfqO
            {PLAIN}Maildrop secret 7
            # openssl passwd
            $6$saltsalt$3ombyNV7ArTSfBosPJ/NC.FK24wzYasZ02gDra8q9m07ohzrIjwXPVDeqSsulSuBFcSo6Lf0bIgFH2gQwvRdi.
            $5$saltsalt$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1
            $6$rounds=1000$abcdefghijklmnop$hzftKiaJsTV6YtdWtdr4jDBmADKD1Y6IUjAr8bjOeZf9XgSX9fPLrFt5qHPKwycUqKsrn51cfODEeHDSbazSa.
            # htpasswd and mkpasswd
            $2y$05$dLJP.lZZ/93IImOjDv6b7ua/VO2V68NRAqCDwjFxb3n2L5gQchTDq
            $2b$05$3hJi8MwGl.w799vpGeK.lOO0WsiBVY40fhO/r2I3drOs0jmnlheCW
            {CRYPT}$5$0BASx.7lTlM0S09n$WNmdcKpoF3/DB49oTsgwKz/6hR3kjS4b85Lq0Hb07.0
            # the argon2 command of the reference implementation
            $argon2i$v=16$m=64,t=2,p=2$c2FsdHNhbHRzYWx0$6z+XYIHv4OO/dcHt4tJmiW373mim1jIR28YCi0A/rf0
            $argon2i$v=19$m=64,t=2,p=1$c2FsdHNhbHRzYWx0$ww1GVIjx3GkripAQ+Xq2SBKmEZTMNW8YsDcsVDnr3ro
            $argon2d$v=16$m=64,t=2,p=1$c2FsdHNhbHRzYWx0$zYC+x+GoFPXrot0Vhc1wY9iL6x8S+MXpy/Zz/iu9ngQ
            {ARGON2D}$argon2d$v=19$m=64,t=2,p=2$c2FsdHNhbHRzYWx0$R4JjvF4hPXRRLhpogZsbDpwNIfPUawALGCJLzP75HvE
            $argon2id$v=16$m=64,t=2,p=2$c2FsdHNhbHRzYWx0$2OUAYMojTgcFSwhlOdZ6MHeTANzOb+MR4LGQ1leb7VA
            {ARGON2}$argon2id$v=19$m=64,t=2,p=1$c2FsdHNhbHRzYWx0$Xf8Aj97U+PpZyTYaOANvFDCjMZJd2vjLoXD2hdGq9Ok
            # Python's hashlib
            $scrypt$ln=10,r=8,p=1$8PHy8/T19vf4+fr7/P3+/w$D5CbDqCppf/BZ1xV9nzXxacAN7B2qKiTzHuJfUqIWp0
            $pbkdf2-sha256$i=4096,l=32$8PHy8/T19vf4+fr7/P3+/w$nixQw307SZFfSN1eJW/Lt76Acq/mXghVByrNQczuC1Y
            {PBKDF2-SHA256}$pbkdf2-sha256$i=4096$8PHy8/T19vf4+fr7/P3+/w$nixQw307SZFfSN1eJW/Lt76Acq/mXghVByrNQczuC1Y
            $pbkdf2-sha512$i=4096,l=64$8PHy8/T19vf4+fr7/P3+/w$ZZoCWJ/PjmigX7EVWcdLgDs+ICAOahHi8z8Xy2/UlbbiDwmbyUXGeSNR+/yA0rK+5RXnpcpxTkBtolAmIqrTgA
            ",
        ),
        (
            UTF8,
            "
            # Dovecot's doveadm pw
            {SHA512-CRYPT}$6$rounds=12345$dESFDtn88hFMg/Jo$3bwNXR72oELd4utnm9hZOa0awJGDltsQ1M5N5kIinzZzlt1kJE7kBzJRenrBhk4P2ajecwyDW.3BisCbK03vA.
            {SHA256-CRYPT}$5$rounds=1000$xVHRSgDOoQmXSpNS$N.TV.U7avJnAQ0NusA.Fm.BdDokIVP6SLXv0kFPhYpA
            {BLF-CRYPT}$2y$04$5OP0w3S3nF6WaGT.CpfvTeaJT535WOla9NmUKOFq.jFBERPcCnL0y
            # htpasswd and mkpasswd
            $2a$05$mTH2kyM82ooDjukDRHmP1eSt.fPg5lG3uuHvgHdnBdEhypYe/UnPS
            # the argon2 command of the reference implementation
            $argon2id$v=19$m=32,t=1,p=4$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY$CohdCpQd5enkreeTR6aTDjJQ+IZjLVKVhPCoFVs+TM1FpgRXOfkQ5ZXizWGYkxuT90UHKta6XOgClZJErCbuuA
            # Python's hashlib
            {SCRYPT}$scrypt$ln=4,r=8,p=3$8PHy8/T19vf4+fr7/P3+/w$ns0yeQbOBDdzCB0tG/QZ6pLAQy3XoZ/VJpvENi2PcL5LtMW9MAevv20qrJRLBzC2zR3+QzubaMCrlb+JwYid/Q
            $scrypt$ln=1,r=1,p=1$8PHy8/T19vf4+fr7/P3+/w$wsKdBpNR6BeM0A
            $pbkdf2-sha256$4096$8PHy8/T19vf4.fr7/P3./w$pJE7iTRChPQTQc6m385AMu4MfuJmePrQqmRxY2onp/P9qR/7J98f.Q
            {PBKDF2-SHA256}4096$8PHy8/T19vf4.fr7/P3./w$pJE7iTRChPQTQc6m385AMu4MfuJmePrQqmRxY2onp/M
            {PBKDF2-SHA512}4096$8PHy8/T19vf4.fr7/P3./w$wrPwmksyjQQmn0DfCXtdJJg67bUZUFs/tTPaJa/YAnm8Ld13d65N/IVkH2NXWOwzULONw/asjw3TYJeZl4mXFA
            ",
        ),
        (
            "password",
            "
            # the argon2 command of the reference implementation
            $argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc
            $argon2i$m=65536,t=2,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ
            ",
        ),
        (
            "pleaseletmein",
            "
            # Python's hashlib, and RFC 7914, section 12
            $scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw
            ",
        ),
        (
            "Hello world!",
            "
            # crypt(3) of libxcrypt, openssl passwd (secrets and salts of the specification)
            $5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5
            $5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA
            $6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1
            ",
        ),
        (
            "U*U",
            "
            # crypt(3) of libxcrypt
            $2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW
            ",
        ),
        (
            "",
            "
            # crypt(3) of libxcrypt
            $2y$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq
            ",
        ),
    ];

    fn lines(text: &str) -> impl Iterator<Item = &str> {
        let hashes = text.lines().map(str::trim_start);
        hashes.filter(|line| !line.is_empty() && !line.starts_with('#'))
    }

    /// One cheap hash of each form, all of `ASCII`.
    const CHEAP: [&str; 9] = [
        "$argon2id$v=19$m=64,t=2,p=1$c2FsdHNhbHRzYWx0$Xf8Aj97U+PpZyTYaOANvFDCjMZJd2vjLoXD2hdGq9Ok",
        "$argon2i$v=19$m=64,t=2,p=1$c2FsdHNhbHRzYWx0$ww1GVIjx3GkripAQ+Xq2SBKmEZTMNW8YsDcsVDnr3ro",
        "$scrypt$ln=4,r=8,p=3$8PHy8/T19vf4+fr7/P3+/w$JtmtpVmDVO1DvVmVxAMGxW2gh7C/mas0aRKUMb0uBTGe4H48++PThLLqE2pWyHguxHd8E2mfQHSRomU0dKbxyw",
        "$pbkdf2-sha256$i=4096,l=32$8PHy8/T19vf4+fr7/P3+/w$nixQw307SZFfSN1eJW/Lt76Acq/mXghVByrNQczuC1Y",
        "{PBKDF2-SHA256}4096$8PHy8/T19vf4.fr7/P3./w$nixQw307SZFfSN1eJW/Lt76Acq/mXghVByrNQczuC1Y",
        "{BLF-CRYPT}$2y$05$hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SRtW",
        "$6$rounds=1000$abcdefghijklmnop$hzftKiaJsTV6YtdWtdr4jDBmADKD1Y6IUjAr8bjOeZf9XgSX9fPLrFt5qHPKwycUqKsrn51cfODEeHDSbazSa.",
        "$5$saltsalt$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1",
        "{PLAIN}Maildrop secret 7",
    ];

    const SALT: &str = "8PHy8/T19vf4+fr7/P3+/w";
    const DIGEST: &str = "nixQw307SZFfSN1eJW/Lt76Acq/mXghVByrNQczuC1Y";

    #[test]
    fn what_others_made_is_verified_and_wrong_secrets_are_not() {
        let vectors = VECTORS
            .iter()
            .flat_map(|(secret, text)| lines(text).map(move |hash| (secret, hash)));
        for (secret, hash) in vectors {
            assert_eq!(verify(hash, secret), Ok(true), "{hash}");
            for wrong in [
                format!("{secret}x"),
                format!(" {secret}"),
                secret.to_uppercase(),
            ] {
                let expected = wrong == *secret;
                assert_eq!(verify(hash, &wrong), Ok(expected), "{hash} {wrong}");
            }
        }
        for hash in CHEAP {
            assert_eq!(verify(hash, ASCII), Ok(true), "{hash}");
            assert_eq!(verify(hash, ""), Ok(false), "{hash}");
            assert_eq!(verify(hash, &ASCII[1..]), Ok(false), "{hash}");
        }
    }

    #[test]
    fn a_changed_digest_matches_no_more() {
        for hash in CHEAP.iter().filter(|hash| !hash.starts_with("{PLAIN}")) {
            let at = hash.len() - 9;
            let other = if hash.as_bytes()[at] == b'A' {
                "B"
            } else {
                "A"
            };
            let changed = format!("{}{other}{}", &hash[..at], &hash[at + 1..]);
            assert_eq!(verify(&changed, ASCII), Ok(false), "{changed}");
        }
    }

    #[test]
    fn a_new_hash_is_salted_and_verifies() {
        let (one, two) = (hash(UTF8).unwrap(), hash(UTF8).unwrap());
        assert!(one.starts_with("{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_ne!(one, two);
        assert_eq!(verify(&one, UTF8), Ok(true));
        assert_eq!(verify(&one["{ARGON2ID}".len()..], UTF8), Ok(true));
        assert_eq!(verify(&one, ASCII), Ok(false));
        let longest = "s".repeat(SECRET_OCTETS);
        assert_eq!(verify(&hash(&longest).unwrap(), &longest), Ok(true));
        assert_eq!(
            hash(&format!("{longest}s")),
            Err(HashError::OverLimit(SECRET_LENGTH))
        );
        assert_eq!(hash(""), Err(HashError::EmptySecret));
    }

    #[test]
    fn the_scheme_has_any_case_and_must_agree_with_the_form() {
        let bcrypt = "$2y$05$hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SRtW";
        for scheme in ["BLF-CRYPT", "blf-crypt", "Blf-Crypt", "CRYPT", "crypt"] {
            assert_eq!(verify(&format!("{{{scheme}}}{bcrypt}"), ASCII), Ok(true));
        }
        let names = [
            "ARGON2ID",
            "argon2",
            "SCRYPT",
            "PBKDF2-SHA256",
            "SHA512-CRYPT",
            "sha256-crypt",
        ];
        for scheme in names {
            let hash = format!("{{{scheme}}}{bcrypt}");
            assert_eq!(
                verify(&hash, ASCII),
                Err(HashError::Contradiction),
                "{hash}"
            );
        }
        for (scheme, hash) in [
            ("CRYPT", CHEAP[0]),
            ("ARGON2I", CHEAP[0]),
            ("ARGON2ID", CHEAP[1]),
            ("PBKDF2-SHA512", CHEAP[3]),
            ("SHA256-CRYPT", CHEAP[6]),
        ] {
            let hash = format!("{{{scheme}}}{hash}");
            assert_eq!(
                verify(&hash, ASCII),
                Err(HashError::Contradiction),
                "{hash}"
            );
        }
        for scheme in [
            "",
            " ",
            "MD5",
            "SSHA",
            "PLAIN ",
            "{PLAIN",
            "$6$",
            "ARGON2ID.b64",
        ] {
            let hash = format!("{{{scheme}}}{bcrypt}");
            assert_eq!(
                verify(&hash, ASCII),
                Err(HashError::UnknownScheme),
                "{hash}"
            );
        }
    }

    #[test]
    fn only_what_is_marked_so_is_compared_in_the_clear() {
        for scheme in ["PLAIN", "plain", "CLEARTEXT", "Clear"] {
            let marked = format!("{{{scheme}}}{UTF8}");
            assert_eq!(verify(&marked, UTF8), Ok(true));
            assert_eq!(verify(&marked, ASCII), Ok(false));
        }
        // The rest is the password as it is, whatever it looks like.
        for password in [" ", "a\0", "{PLAIN}x", CHEAP[0], "$6$", "}"] {
            assert_eq!(verify(&format!("{{PLAIN}}{password}"), password), Ok(true));
            assert_eq!(verify(&format!("{{PLAIN}}{password}"), ASCII), Ok(false));
        }
        // Padding must not make these equal.
        assert_eq!(verify("{PLAIN}a", "a\0"), Ok(false));
        assert_eq!(verify("{PLAIN}a\0", "a"), Ok(false));
        assert_eq!(verify("{PLAIN}", ""), Err(HashError::Malformed("{PLAIN}")));
        for unmarked in [
            "",
            "secret",
            "$",
            "$$",
            "{",
            "{PLAIN",
            "PLAIN}x",
            "}",
            "$1$abcdefgh$x",
            "$2x$05$hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SRtW",
            "$y$j9T$x$y",
            "$6",
            " {PLAIN}x",
            "\u{feff}{PLAIN}x",
            "☃",
            "abJnggxhB/yWI",
        ] {
            assert_eq!(
                verify(unmarked, unmarked),
                Err(HashError::UnknownForm),
                "{unmarked}"
            );
        }
    }

    #[test]
    fn bcrypt_truncates_at_72_octets_and_crypt_knows_no_nul() {
        // crypt(3) of 90 digits; the second differs in the 72nd octet.
        let digits = "0123456789".repeat(9);
        let hash = "$2b$04$abcdefghijklmnopqrstuum2G75IXDN/xsgbNa/hCiPSKyIHQd70S";
        let other = "$2b$04$abcdefghijklmnopqrstuuA473nXARKiTztKqHgL7EnT0DB.pvb8m";
        assert_eq!(verify(hash, &digits), Ok(true));
        assert_eq!(verify(hash, &digits[..72]), Ok(true));
        assert_eq!(verify(hash, &digits[..71]), Ok(false));
        assert_eq!(verify(other, &digits), Ok(false));
        assert_eq!(verify(other, &format!("{}x", &digits[..71])), Ok(true));
        for index in [5, 6, 7] {
            let joined = format!("{ASCII}\0{ASCII}");
            assert_eq!(verify(CHEAP[index], &joined), Ok(false));
            assert_eq!(verify(CHEAP[index], &format!("{ASCII}\0")), Ok(false));
        }
    }

    #[test]
    fn the_malformed_is_refused() {
        let argon2 = "
            m=64,t=2 t=2,p=1 m=64,t=2,p=1,m=64 m=064,t=2,p=1 m=+64,t=2,p=1 v=17$m=64,t=2,p=1
            v=x$m=64,t=2,p=1 v=19$m=64,t=2,p=1,keyid=AAAA m=64,t=0,p=1 m=64,t=2,p=0 m=7,t=2,p=1
            m=64,t=2,p=9 m=99999999999,t=1,p=1 m=-1,t=2,p=1 m=64,t=2,p= m=64,t=2,p
            m=64,,t=2,p=1 v=19 m=64,t=2,p=1$x=1
        ";
        let scrypt = "
            ln=4,r=8 ln=4,r=8,p=1,x=1 ln=0,r=8,p=1 ln=4,r=0,p=1 ln=4,r=8,p=0 ln=256,r=8,p=1
            n=16,r=8,p=1 v=1$ln=4,r=8,p=1
        ";
        let pbkdf2 = "
            i=0 l=32 i=4096,l=31 i=4096,i=4096 i=04096 v=1$i=4096 0 04096 4096x 4294967296
            i=4294967296 x
        ";
        let whole = "
            $argon2id$
            $argon2id$$
            $argon2id$v=19$m=64,t=2,p=1
            $scrypt$
            $pbkdf2-sha256$
            $argon2id$m=64,t=2,p=1$c2FsdHNhbHRzYWx0
            $argon2id$m=64,t=2,p=1$c2FsdHNhbHRzYWx0$
            $argon2id$m=64,t=2,p=1$c2FsdA$nixQw307SZFfSN1eJW/Lt76Acq/mXghVByrNQczuC1Y
            $scrypt$ln=4,r=8,p=1$8PHy8/T19vf4+fr7/P3+/w$AAAA
            {PBKDF2-SHA256}
            {PBKDF2-SHA256}4096
            {PBKDF2-SHA256}4096$$
            {PBKDF2-SHA256}x$8PHy8/T19vf4$nixQw307SZFfSN1eJW
            $2y$
            $2y$05$
            {PBKDF2-SHA256}4096$8PHy8/T19vf4.fr7/P3./w$nixQw307SZFfSN1eJW/Lt76Acq/mXghVByrNQczuC1Y$x
            $2y$+5$hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SRtW
            $2y$03$hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SRtW
            $2y$05$hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SRt
            $2y$05$hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SR☃
            $2y$☃
            $2y$0☃
            $6$
            $6$$
            $6$salt
            $6$salt$
            $6$salt$short
            $6$rounds=
            $6$rounds=1000
            $6$rounds=x$a$b
            $5$rounds=999$saltsalt$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1
            $5$rounds=05000$saltsalt$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1
            $5$rounds=+5000$saltsalt$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1
            $5$$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1
            $5$seventeen-octets.$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1
            $5$saltsalt$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU=
            $5$saltsalt$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1$
            $6$saltsalt$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1
        ";
        let with = |form: &'static str, params: &'static str| {
            let each = params.split_whitespace().chain([""]);
            each.map(move |params| format!("${form}${params}${SALT}${DIGEST}"))
        };
        let hashes = with("argon2id", argon2)
            .chain(with("scrypt", scrypt))
            .chain(with("pbkdf2-sha256", pbkdf2))
            .chain(lines(whole).map(String::from))
            .chain(CHEAP[..8].iter().map(|hash| format!("{hash}\n")))
            .chain(CHEAP[..8].iter().map(|hash| format!("{hash} ")));
        for hash in hashes {
            let outcome = verify(&hash, ASCII);
            assert!(
                matches!(outcome, Err(HashError::Malformed(_))),
                "{hash}: {outcome:?}"
            );
        }
    }

    #[test]
    fn nothing_over_a_limit_is_computed() {
        let max = u32::MAX;
        let phc = |params: String| format!("${params}${SALT}${DIGEST}");
        let begun = std::time::Instant::now();
        for (hash, limit) in [
            (phc("argon2id$v=19$m=262145,t=1,p=1".into()), ARGON2_MEMORY),
            (
                phc(format!("argon2i$m={max},t={max},p={max}")),
                ARGON2_MEMORY,
            ),
            (phc("argon2d$m=64,t=33,p=1".into()), ARGON2_PASSES),
            (phc("argon2id$m=1024,t=1,p=17".into()), ARGON2_LANES),
            (phc("argon2id$m=262144,t=5,p=1".into()), ARGON2_WORK),
            (phc("scrypt$ln=19,r=8,p=1".into()), SCRYPT_MEMORY),
            (phc("scrypt$ln=63,r=1,p=1".into()), SCRYPT_MEMORY),
            (phc("scrypt$ln=255,r=1,p=1".into()), SCRYPT_MEMORY),
            (phc(format!("scrypt$ln=255,r={max},p={max}")), SCRYPT_MEMORY),
            // r × p is 2^51 here, which scrypt's own checks multiply in 32 bits.
            (
                phc("scrypt$ln=1,r=2147483648,p=1048576".into()),
                SCRYPT_MEMORY,
            ),
            (phc(format!("scrypt$ln=1,r=1,p={max}")), SCRYPT_MEMORY),
            (phc("scrypt$ln=17,r=8,p=5".into()), SCRYPT_WORK),
            (phc("pbkdf2-sha256$i=4000001".into()), PBKDF2_WORK),
            (phc(format!("pbkdf2-sha512${max}")), PBKDF2_WORK),
            (
                format!("$pbkdf2-sha256$i=2000001${SALT}${}", "A".repeat(44)),
                PBKDF2_WORK,
            ),
            (
                format!("{{PBKDF2-SHA256}}4000001${SALT}${DIGEST}"),
                PBKDF2_WORK,
            ),
            (CHEAP[5].replace("$05$", "$16$"), BCRYPT_COST),
            (CHEAP[5].replace("$05$", "$99$"), BCRYPT_COST),
            (CHEAP[6].replace("=1000$", "=1000001$"), SHA_CRYPT_ROUNDS),
            (CHEAP[6].replace("=1000$", "=999999999$"), SHA_CRYPT_ROUNDS),
            (format!("{{PLAIN}}{}", "p".repeat(1018)), HASH_LENGTH),
            ("x".repeat(1 << 20), HASH_LENGTH),
        ] {
            assert_eq!(
                verify(&hash, ASCII),
                Err(HashError::OverLimit(limit)),
                "{hash:.80}"
            );
        }
        let spent = begun.elapsed();
        assert!(
            spent < std::time::Duration::from_secs(1),
            "something was computed: {spent:?}"
        );
        let long = "s".repeat(SECRET_OCTETS);
        let costly = CHEAP[6].replace("=1000$", "=32000$");
        assert_eq!(
            verify(&costly, &long),
            Err(HashError::OverLimit(SHA_CRYPT_WORK))
        );
        assert_eq!(verify(CHEAP[6], &long), Ok(false));
        for hash in CHEAP {
            assert_eq!(
                verify(hash, &format!("{long}s")),
                Err(HashError::OverLimit(SECRET_LENGTH))
            );
        }
        let longest = "p".repeat(1024 - "{PLAIN}".len());
        assert_eq!(verify(&format!("{{PLAIN}}{longest}"), &longest), Ok(true));
    }

    #[test]
    fn errors_name_the_limit_and_show_nothing_of_hash_or_secret() {
        let hash = format!("$argon2id$m=9876543,t=1,p=1${SALT}${DIGEST}");
        let text = verify(&hash, ASCII).unwrap_err().to_string();
        assert_eq!(
            text,
            "over the limit for the argon2 memory (m): at most 262144 KiB"
        );
        for hash in [
            "Xhush",
            "{Xhush}y",
            "{CRYPT}$argon2id$Xhush",
            "$6$Xhush",
            "$2y$Xhush",
            "$scrypt$Xhush",
            "{PBKDF2-SHA256}Xhush",
            "$argon2id$m=Xhush$a$b",
            "$pbkdf2-sha256$i=Xhush$a$b",
        ] {
            let error = verify(hash, "Xhush").unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hush"), "{hash}");
        }
    }

    /// A small generator of its own, so that a failure repeats.
    struct Xorshift(u64);

    impl Xorshift {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % bound as u64) as usize
        }
    }

    #[test]
    fn mutated_strings_neither_panic_nor_let_anyone_in() {
        let odd: Vec<char> = "$$$=={},+-/.0aZ \0\n\u{e9}\u{2603}".chars().collect();
        let mut random = Xorshift(0x5eed_cafe_f00d_0001);
        let (mut understood, mut refused) = (0, 0);
        for turn in 0..3000 {
            let mut text: Vec<char> = CHEAP[turn % CHEAP.len()].chars().collect();
            for _ in 0..=random.below(3) {
                let at = random.below(text.len());
                match random.below(5) {
                    0 if text.len() > 1 => drop(text.remove(at)),
                    1 => text.insert(at, odd[random.below(odd.len())]),
                    2 => text[at] = odd[random.below(odd.len())],
                    3 => text.truncate(at + 1),
                    _ => text.swap(at, 0),
                }
            }
            let hash: String = text.into_iter().collect();
            match verify(&hash, "somebody else's") {
                Ok(matches) => {
                    assert!(!matches, "{hash}");
                    understood += 1;
                }
                Err(_) => refused += 1,
            }
        }
        assert!(understood > 100 && refused > 1000, "{understood} {refused}");
    }
}

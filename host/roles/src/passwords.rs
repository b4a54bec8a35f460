//! Password hashes, made and checked natively for the plugins that keep them.
//!
//! A string comes from a plugin's file and a secret from a client, so both are
//! hostile: whatever a hash asks for in memory or time is weighed against the
//! limits below before anything is allocated or computed, and nothing of either
//! ever stands in an error. This room knows no plugin, no user and no socket. It
//! blocks, for up to seconds at the limits: call it where blocking is allowed.
//!
//! Understood, each with or without the `{SCHEME}` that Dovecot and OpenLDAP put
//! in front (see `SCHEMES`):
//! - PHC strings: `$argon2id$`, `$argon2i$`, `$argon2d$` (versions 16 and 19),
//!   `$scrypt$ln=…,r=…,p=…$`, `$pbkdf2-sha256$i=…$`, `$pbkdf2-sha512$i=…$`;
//! - the older PBKDF2 writing `$pbkdf2-sha256$ITERATIONS$SALT$DIGEST` and OpenLDAP's
//!   `{PBKDF2-SHA256}ITERATIONS$SALT$DIGEST`, both with `.` for `+`;
//! - crypt(3) strings: bcrypt (`$2a$`, `$2b$`, `$2y$`), sha512-crypt (`$6$`),
//!   sha256-crypt (`$5$`);
//! - `{SCRAM-SHA-256}` and `{SCRAM-SHA-1}`, as Dovecot writes SCRAM's keys;
//! - `{PLAIN}`, `{CLEAR}`, `{CLEARTEXT}`: the rest is the password itself. Without
//!   one of these a string is never compared in the clear.

mod limits;
mod make;
mod scram;

use argon2::{Algorithm, Argon2, Params, Version};
use password_hash::PasswordVerifier;
use password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use restante_pop3::{Preparation, ScramHash, saslprep};
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

pub use limits::{HashError, Limit};
pub use make::{Scheme, hash};
pub use scram::ScramSecret;

use limits::{
    ARGON2_LANES, ARGON2_MEMORY, ARGON2_PASSES, ARGON2_WORK, BCRYPT_COST, HASH_LENGTH, PBKDF2_WORK,
    SCRYPT_MEMORY, SCRYPT_WORK, SECRET_OCTETS, SHA_CRYPT_ROUNDS, SHA_CRYPT_WORK, decimal,
};

/// crypt(3) takes no more of a SHA-crypt salt, so no stored string has more.
const SHA_CRYPT_SALT_OCTETS: usize = 16;
/// The rounds of a SHA-crypt string that names none.
const SHA_CRYPT_DEFAULT_ROUNDS: u32 = 5000;

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

/// The schemes whose rest is SCRAM's keys.
const SCRAM: [(&str, ScramHash); 2] = [
    ("SCRAM-SHA-256", ScramHash::Sha256),
    ("SCRAM-SHA-1", ScramHash::Sha1),
];

/// The schemes whose rest is the password as it is.
const IN_THE_CLEAR: [&str; 3] = ["PLAIN", "CLEAR", "CLEARTEXT"];

/// Whether `secret` is the one that `hash` was made of, compared in constant time.
///
/// crypt(3) knows secrets as C strings: one with a NUL in it matches no crypt(3)
/// hash. bcrypt reads 72 octets of a secret and ignores the rest, here as
/// everywhere, since the hashes that exist were made so. A secret beyond the limit
/// is nobody's: what a client sends is never the operator's problem.
///
/// # Errors
/// That the string is not understood or asks for too much, or that there is no
/// memory: what else there is of [`HashError`] is for new hashes.
pub fn verify(hash: &str, secret: &str) -> Result<bool, HashError> {
    HASH_LENGTH.admits(hash.len() as u128)?;
    if secret.len() > SECRET_OCTETS {
        return Ok(false);
    }
    let Some(rest) = hash.strip_prefix('{') else {
        return check(form_of(hash)?, hash, secret);
    };
    let (scheme, body) = rest.split_once('}').ok_or(HashError::UnknownForm)?;
    if is_in_the_clear(scheme) {
        return plain(body, secret);
    }
    if let Some((_, hash)) = SCRAM
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(scheme))
    {
        return scram::verify(*hash, body, secret);
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

/// Whether [`verify`] only compares: microseconds, where all else is slow on purpose.
pub fn is_compared(hash: &str) -> bool {
    let scheme = hash.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    scheme.is_some_and(|(scheme, _)| is_in_the_clear(scheme))
}

fn is_in_the_clear(scheme: &str) -> bool {
    IN_THE_CLEAR.iter().any(|s| s.eq_ignore_ascii_case(scheme))
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

/// As they are, or as SASLprep has them: SASL's mechanisms prepare what a client
/// shows, and what is kept may not be prepared yet (RFC 4616 section 2).
fn plain(password: &str, secret: &str) -> Result<bool, HashError> {
    // A line cut short must not become a mailbox without a password.
    if password.is_empty() {
        return Err(HashError::Malformed("{PLAIN}"));
    }
    let prepared = |text| {
        let prepared = saslprep(text, Preparation::Query).ok()?.into_owned();
        let prepared = Zeroizing::new(prepared);
        (prepared.len() <= SECRET_OCTETS).then_some(prepared)
    };
    let same_prepared = match (prepared(password), prepared(secret)) {
        (Some(password), Some(secret)) => same(&password, &secret),
        _ => Choice::from(0),
    };
    Ok((same(password, secret) | same_prepared).into())
}

/// Both, of at most [`SECRET_OCTETS`], are laid into buffers of one length, so that
/// not even their lengths show.
fn same(password: &str, secret: &str) -> Choice {
    let padded = |text: &str| {
        let mut buffer = Zeroizing::new([0; SECRET_OCTETS]);
        buffer[..text.len()].copy_from_slice(text.as_bytes());
        buffer
    };
    let (one, other) = (padded(password), padded(secret));
    let pairs = one.chunks(PIECE).zip(other.chunks(PIECE));
    let differing = pairs.map(|(one, other)| {
        let octets = one.iter().zip(other);
        octets.fold(0, |differing, (one, other)| differing | (one ^ other))
    });
    let same_octets = differing.fold(Choice::from(1), |same, differing: u8| {
        same & differing.ct_eq(&0)
    });
    same_octets & password.len().ct_eq(&secret.len())
}

/// Octets of which [`same`] takes all differences together at once: an octet at a time
/// took as long as a twentieth of a login.
const PIECE: usize = 128;

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

#[cfg(test)]
mod tests;

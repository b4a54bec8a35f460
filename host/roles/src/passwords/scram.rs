//! The keys of SCRAM (RFC 5802, RFC 7677) as a password hash: made of a secret,
//! and a secret checked against them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::{FixedOutput, Update};
use hmac::{Hmac, KeyInit, Mac};
use restante_pop3::{Preparation, ScramHash, ScramKeys, saslprep};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::limits::{HashError, SCRAM_ITERATIONS, SECRET_LENGTH, decimal};

const MALFORMED: HashError = HashError::Malformed("SCRAM");

/// What is kept of a secret (RFC 5802 section 2.1), beside salt and iteration
/// count. Wiped when it is dropped, does not print.
pub struct ScramSecret {
    /// StoredKey, which proves that a client knows the secret.
    pub stored_key: Vec<u8>,
    /// ServerKey, with which the server proves the same.
    pub server_key: Vec<u8>,
}

impl ScramSecret {
    /// The keys of a secret in the form that SASLprep gives it; one that SASLprep
    /// refuses is taken as it is, which no client does.
    ///
    /// # Errors
    /// The secret is too long, or the iteration count is over the limit or 0.
    pub fn derive(
        hash: ScramHash,
        secret: &str,
        salt: &[u8],
        iterations: u32,
    ) -> Result<ScramSecret, HashError> {
        SECRET_LENGTH.admits(secret.len() as u128)?;
        SCRAM_ITERATIONS.admits(iterations.into())?;
        if iterations == 0 {
            return Err(MALFORMED);
        }
        let prepared = saslprep(secret, Preparation::Query).unwrap_or(secret.into());
        let prepared = Zeroizing::new(prepared.into_owned());
        Ok(match hash {
            ScramHash::Sha1 => computed::<Hmac<Sha1>, Sha1>(&prepared, salt, iterations),
            ScramHash::Sha256 => computed::<Hmac<Sha256>, Sha256>(&prepared, salt, iterations),
        })
    }
}

impl Drop for ScramSecret {
    fn drop(&mut self) {
        self.stored_key.zeroize();
        self.server_key.zeroize();
    }
}

/// RFC 5802 section 3: Hi() is PBKDF2 with one block of output.
fn computed<M, D>(secret: &str, salt: &[u8], iterations: u32) -> ScramSecret
where
    M: Mac + KeyInit + Update + FixedOutput + Clone,
    D: Digest,
{
    const ANY_LENGTH: &str = "HMAC takes a key of any length";
    let mut salted = Zeroizing::new(vec![0; <D as Digest>::output_size()]);
    pbkdf2::pbkdf2::<M>(secret.as_bytes(), salt, iterations, &mut salted).expect(ANY_LENGTH);
    let keyed = |what: &[u8]| {
        let mut mac = <M as KeyInit>::new_from_slice(&salted).expect(ANY_LENGTH);
        Mac::update(&mut mac, what);
        mac.finalize().into_bytes().to_vec()
    };
    let client_key = Zeroizing::new(keyed(b"Client Key"));
    ScramSecret {
        stored_key: D::digest(&*client_key).to_vec(),
        server_key: keyed(b"Server Key"),
    }
}

/// A line's hash of these keys: `{SCRAM-SHA-256}ITERATIONS,SALT,STORED,SERVER`.
pub(super) fn written(scheme: &str, salt: &[u8], iterations: u32, keys: &ScramSecret) -> String {
    let [salt, stored, server] =
        [salt, &keys.stored_key, &keys.server_key].map(|octets| STANDARD.encode(octets));
    format!("{{{scheme}}}{iterations},{salt},{stored},{server}")
}

/// `ITERATIONS,SALT,STORED,SERVER`, in base64 with padding.
pub(super) fn verify(hash: ScramHash, fields: &str, secret: &str) -> Result<bool, HashError> {
    let mut parts = fields.split(',');
    let (Some(iterations), Some(salt), Some(stored), Some(server), None) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return Err(MALFORMED);
    };
    let iterations = decimal(iterations).ok_or(MALFORMED)?;
    let octets = |base64: &str| STANDARD.decode(base64).map_err(|_| MALFORMED);
    let salt = octets(salt)?;
    let kept = ScramSecret {
        stored_key: octets(stored)?,
        server_key: octets(server)?,
    };
    // What could not be used for SCRAM is not taken for a password either.
    ScramKeys::new(hash, &salt, iterations, &kept.stored_key, &kept.server_key)
        .map_err(|_| MALFORMED)?;
    let shown = ScramSecret::derive(hash, secret, &salt, iterations)?;
    let same = kept.stored_key.ct_eq(&shown.stored_key) & kept.server_key.ct_eq(&shown.server_key);
    Ok(same.into())
}

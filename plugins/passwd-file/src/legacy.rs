//! Hashes that migrations bring: digests that are computed at once, whoever has the file as
//! fast as this plugin, and so none for new passwords. They are checked only where the setting
//! `legacy-hashes` says so, and here: the host has no code for them, and what they cost is this
//! plugin's own processor time, within its limits.
//!
//! - `{MD5-CRYPT}`, `{MD5}` or `{CRYPT}` in front of `$1$`, or `$1$` alone;
//! - `{SHA}`, `{SHA1}`, `{SHA256}`, `{SHA512}`, `{LDAP-MD5}`, `{PLAIN-MD5}`, `{MD5}`: a digest of
//!   the password;
//! - `{SSHA}`, `{SSHA256}`, `{SSHA512}`, `{SMD5}`: a digest of the password and a salt behind it;
//! - `{PBKDF2}`, Dovecot's: `$1$SALT$ROUNDS$DIGEST`, with SHA-1;
//! - `{CRAM-MD5}`, `{HMAC-MD5}`: where HMAC-MD5 has come to when the key is in.
//!
//! Digests are in base64 or in hexadecimal, as Dovecot takes them: `{SHA256.HEX}`,
//! `{SSHA.B64}`; where neither is said, a digest without a salt is taken for what its length
//! makes it.

mod md5_crypt;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use md5::block_api::compress;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

/// A password is no longer, so that none takes long. The host takes no longer one either.
const MAX_SECRET_OCTETS: usize = 4096;

/// Dovecot makes 5,000. This is a tenth of a second or less.
const MAX_PBKDF2_ROUNDS: u32 = 100_000;

/// With or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A hash that is computed at once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Legacy {
    /// Its scheme, without braces.
    pub(crate) scheme: &'static str,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Digest {
        function: Function,
        digest: Vec<u8>,
        salt: Vec<u8>,
    },
    Md5Crypt {
        salt: String,
        digest: String,
    },
    Pbkdf2 {
        salt: String,
        rounds: u32,
        digest: Vec<u8>,
    },
    /// The outer state and the inner one.
    HmacState([u8; 32]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

impl Function {
    fn octets(self) -> usize {
        match self {
            Function::Md5 => 16,
            Function::Sha1 => 20,
            Function::Sha256 => 32,
            Function::Sha512 => 64,
        }
    }

    fn digest(self, secret: &[u8], salt: &[u8]) -> Vec<u8> {
        fn of<D: Digest>(secret: &[u8], salt: &[u8]) -> Vec<u8> {
            let digest = D::new().chain_update(secret).chain_update(salt);
            digest.finalize().to_vec()
        }
        match self {
            Function::Md5 => of::<Md5>(secret, salt),
            Function::Sha1 => of::<Sha1>(secret, salt),
            Function::Sha256 => of::<Sha256>(secret, salt),
            Function::Sha512 => of::<Sha512>(secret, salt),
        }
    }
}

/// What stands behind a scheme.
#[derive(Clone, Copy)]
enum Form {
    Plain(Function),
    Salted(Function),
    /// `$1$`, or else as [`Form::Plain`].
    Md5,
    Md5Crypt,
    Pbkdf2,
    HmacState,
}

const SCHEMES: [(&str, Form); 15] = [
    ("MD5-CRYPT", Form::Md5Crypt),
    ("MD5", Form::Md5),
    ("PLAIN-MD5", Form::Plain(Function::Md5)),
    ("LDAP-MD5", Form::Plain(Function::Md5)),
    ("SMD5", Form::Salted(Function::Md5)),
    ("SHA", Form::Plain(Function::Sha1)),
    ("SHA1", Form::Plain(Function::Sha1)),
    ("SHA256", Form::Plain(Function::Sha256)),
    ("SHA512", Form::Plain(Function::Sha512)),
    ("SSHA", Form::Salted(Function::Sha1)),
    ("SSHA256", Form::Salted(Function::Sha256)),
    ("SSHA512", Form::Salted(Function::Sha512)),
    ("PBKDF2", Form::Pbkdf2),
    ("CRAM-MD5", Form::HmacState),
    ("HMAC-MD5", Form::HmacState),
];

/// How digests are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Base64,
    Hexadecimal,
}

/// What is wrong with a hash of a legacy scheme.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// The scheme, without braces.
    pub(crate) scheme: &'static str,
}

/// None: it is of no legacy scheme.
pub(crate) fn parse(hash: &str) -> Option<Result<Legacy, Malformed>> {
    let (scheme, form, encoding, rest) = split(hash)?;
    let kind = match form {
        Form::Plain(function) => plain(function, rest, encoding),
        Form::Salted(function) => salted(function, rest, encoding),
        Form::Md5 if rest.starts_with(md5_crypt::MAGIC) => md5_crypt(rest),
        Form::Md5 => plain(Function::Md5, rest, encoding),
        Form::Md5Crypt => md5_crypt(rest),
        Form::Pbkdf2 => pbkdf2(rest),
        Form::HmacState => hmac_state(rest, encoding),
    };
    let legacy = kind.map(|kind| Legacy { scheme, kind });
    Some(legacy.ok_or(Malformed { scheme }))
}

fn split(hash: &str) -> Option<(&'static str, Form, Option<Encoding>, &str)> {
    const MD5_CRYPT: &str = "MD5-CRYPT";
    let Some(rest) = hash.strip_prefix('{') else {
        let is_one = hash.starts_with(md5_crypt::MAGIC);
        return is_one.then_some((MD5_CRYPT, Form::Md5Crypt, None, hash));
    };
    let (name, rest) = rest.split_once('}')?;
    // crypt(3) names the function behind the scheme.
    if name.eq_ignore_ascii_case("CRYPT") {
        let is_one = rest.starts_with(md5_crypt::MAGIC);
        return is_one.then_some((MD5_CRYPT, Form::Md5Crypt, None, rest));
    }
    let (name, encoding) = match name.split_once('.') {
        None => (name, None),
        Some((name, ending)) => (name, Some(encoding(ending)?)),
    };
    let mut schemes = SCHEMES.iter();
    let (scheme, form) = schemes.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some((scheme, *form, encoding, rest))
}

fn encoding(ending: &str) -> Option<Encoding> {
    [
        ("B64", Encoding::Base64),
        ("BASE64", Encoding::Base64),
        ("HEX", Encoding::Hexadecimal),
    ]
    .into_iter()
    .find_map(|(name, encoding)| name.eq_ignore_ascii_case(ending).then_some(encoding))
}

fn decode(text: &str, encoding: Encoding) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Base64 => BASE64.decode(text).ok(),
        Encoding::Hexadecimal => hexadecimal(text),
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|it| u8::try_from(it).ok())
    };
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

/// Digits of one octet are two in hexadecimal, and fewer in base64.
fn by_length(text: &str, octets: usize) -> Encoding {
    match text.len() == 2 * octets {
        true => Encoding::Hexadecimal,
        false => Encoding::Base64,
    }
}

fn plain(function: Function, text: &str, encoding: Option<Encoding>) -> Option<Kind> {
    let octets = function.octets();
    let encoding = encoding.unwrap_or_else(|| by_length(text, octets));
    let digest = decode(text, encoding)?;
    (digest.len() == octets).then_some(Kind::Digest {
        function,
        digest,
        salt: Vec::new(),
    })
}

fn salted(function: Function, text: &str, encoding: Option<Encoding>) -> Option<Kind> {
    let mut digest = decode(text, encoding.unwrap_or(Encoding::Base64))?;
    if digest.len() <= function.octets() {
        return None;
    }
    let salt = digest.split_off(function.octets());
    Some(Kind::Digest {
        function,
        digest,
        salt,
    })
}

fn md5_crypt(text: &str) -> Option<Kind> {
    let (salt, digest) = text.strip_prefix(md5_crypt::MAGIC)?.split_once('$')?;
    let fits = salt.len() <= md5_crypt::MAX_SALT_OCTETS && digest.len() == md5_crypt::DIGEST_OCTETS;
    fits.then(|| Kind::Md5Crypt {
        salt: salt.to_owned(),
        digest: digest.to_owned(),
    })
}

fn pbkdf2(text: &str) -> Option<Kind> {
    let mut fields = text.strip_prefix("$1$")?.split('$');
    let (salt, rounds, digest) = (fields.next()?, fields.next()?, fields.next()?);
    let rounds: u32 = rounds.parse().ok()?;
    let digest = hexadecimal(digest)?;
    let fits = (1..=MAX_PBKDF2_ROUNDS).contains(&rounds)
        && digest.len() == Function::Sha1.octets()
        && fields.next().is_none();
    fits.then(|| Kind::Pbkdf2 {
        salt: salt.to_owned(),
        rounds,
        digest,
    })
}

fn hmac_state(text: &str, encoding: Option<Encoding>) -> Option<Kind> {
    let encoding = encoding.unwrap_or_else(|| by_length(text, 32));
    let state = decode(text, encoding)?;
    Some(Kind::HmacState(state.try_into().ok()?))
}

impl Legacy {
    /// Whether it was made of this password, compared in constant time.
    pub(crate) fn verify(&self, secret: &str) -> bool {
        // What made these hashes knew passwords as C strings. To HMAC a NUL at the end of a key
        // makes no difference.
        if secret.len() > MAX_SECRET_OCTETS || secret.contains('\0') {
            return false;
        }
        let octets = secret.as_bytes();
        match &self.kind {
            Kind::Digest {
                function,
                digest,
                salt,
            } => function.digest(octets, salt).ct_eq(digest).into(),
            Kind::Md5Crypt { salt, digest } => {
                let computed = md5_crypt::digest(octets, salt.as_bytes());
                computed.as_bytes().ct_eq(digest.as_bytes()).into()
            }
            Kind::Pbkdf2 {
                salt,
                rounds,
                digest,
            } => {
                let mut computed = [0; 20];
                pbkdf2::pbkdf2_hmac::<Sha1>(octets, salt.as_bytes(), *rounds, &mut computed);
                computed.ct_eq(digest).into()
            }
            Kind::HmacState(state) => hmac_md5_state(octets).ct_eq(state).into(),
        }
    }
}

/// What HMAC-MD5 (RFC 2104) is at once the key is in: outer and inner state behind their first
/// block, each as four words with the smallest octet first.
fn hmac_md5_state(key: &[u8]) -> [u8; 32] {
    /// Octets of a block of MD5.
    const BLOCK: usize = 64;
    /// Where MD5 begins (RFC 1321 section 3.3).
    const BEGINNING: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let mut padded = [0; BLOCK];
    if key.len() > BLOCK {
        padded[..16].copy_from_slice(&Md5::digest(key));
    } else {
        padded[..key.len()].copy_from_slice(key);
    }
    let mut states = [0; 32];
    for (half, pad) in states.chunks_exact_mut(16).zip([0x5c, 0x36]) {
        let mut state = BEGINNING;
        compress(&mut state, &[padded.map(|octet| octet ^ pad)]);
        for (place, word) in half.chunks_exact_mut(4).zip(state) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Dovecot's `doveadm pw` and OpenSSL's `openssl passwd -1` made of these passwords.
    const MADE: &[(&str, &[&str])] = &[
        (
            "Grüße, pencil",
            &[
                "{MD5-CRYPT}$1$AUm39LA1$9e4srhJ9LfAPeLyiv2Kil.",
                "{md5-crypt}$1$AUm39LA1$9e4srhJ9LfAPeLyiv2Kil.",
                "{CRYPT}$1$AUm39LA1$9e4srhJ9LfAPeLyiv2Kil.",
                "$1$AUm39LA1$9e4srhJ9LfAPeLyiv2Kil.",
                "{MD5}$1$499IdbmL$E3IHjde1Fn2U6.5IYB5uC0",
                "{SSHA}EbQOLLWa/6dnepMLxsSobDeavKmF9QrU",
                "{SSHA256}ljmLVj1fsM21HfEo4MsGDZDg77mLkA7E8vXSQPWKQlK1tSER",
                "{SSHA512}73DbACCFmqcIQtUvj1oclrHk0bZvSXxMyoLdRj/D8ZFxSnF08fM+9eZyPUCraqLFry+xk74BRDb/KGm5+CB1m/C5Mto=",
                "{SMD5}tddZCfkTanLPRmBdN7MWvM/Y5TI=",
                "{LDAP-MD5}JDEeYGBtSD0z57EtqbJDsA==",
                "{LDAP-MD5}JDEeYGBtSD0z57EtqbJDsA",
                "{PLAIN-MD5}24311e60606d483d33e7b12da9b243b0",
                "{PLAIN-MD5}24311E60606D483D33E7B12DA9B243B0",
                "{MD5}24311e60606d483d33e7b12da9b243b0",
                "{MD5}JDEeYGBtSD0z57EtqbJDsA==",
                "{SHA}mceXLazDGdDKC69o0r8TxUM8VO8=",
                "{SHA1}mceXLazDGdDKC69o0r8TxUM8VO8=",
                "{SHA256}4XocvUtM3fBgVnR5ial0f204OHVmP+t2f9kpv1iPNSk=",
                "{SHA512}Hu3x/OF1WpuOx0vPlhQ9bAb3zwxt3vqknrSYyuFgxGS6l2WDFOXUXGDjW3noEXbV+QoQDQFb2nqqxigt/ZiIAQ==",
                "{PBKDF2}$1$1RI.pYnKFF6XJ6b0$5000$2b483150619c83c353908e50111efa301357cb27",
                "{CRAM-MD5}b28d736f420f13206314a9ab55cda79a83b4e177bbbd01a4aa907e3cae81f8c4",
                "{HMAC-MD5}b28d736f420f13206314a9ab55cda79a83b4e177bbbd01a4aa907e3cae81f8c4",
                "{SSHA.HEX}78749c269122365917640d51021db64fceb3f96ca9fa34fd",
                "{SHA256.HEX}e17a1cbd4b4cddf06056747989a9747f6d383875663feb767fd929bf588f3529",
                "{SHA256}e17a1cbd4b4cddf06056747989a9747f6d383875663feb767fd929bf588f3529",
                "{sha256.hex}e17a1cbd4b4cddf06056747989a9747f6d383875663feb767fd929bf588f3529",
                "{SHA512.HEX}1eedf1fce1755a9b8ec74bcf96143d6c06f7cf0c6ddefaa49eb498cae160c464ba97658314e5d45c60e35b79e81176d5f90a100d015bda7aaac6282dfd988801",
                "{SMD5.HEX}5f570aa031115cd5c2f2d08f97deedf639bfffee",
                "{LDAP-MD5.HEX}24311e60606d483d33e7b12da9b243b0",
                "{PLAIN-MD5.B64}JDEeYGBtSD0z57EtqbJDsA==",
                "{CRAM-MD5.BASE64}so1zb0IPEyBjFKmrVc2nmoO04Xe7vQGkqpB+PK6B+MQ=",
                "{SHA1.HEX}99c7972dacc319d0ca0baf68d2bf13c5433c54ef",
            ],
        ),
        (
            "pencil",
            &[
                "$1$5RPVAd$r5e/USfSwsah24DMCHXUw0",
                "{PBKDF2}$1$U.hrQIIElSS/gMsB$1$462b609aae0b8593b369fbf403b3cdac7351a927",
            ],
        ),
        ("", &["$1$x$fwjfZtMwarkdetsjiQreU1"]),
        (
            // Longer than a block of MD5.
            "pencilpencilpencilpencilpencilpencilpencilpencilpencilpencilpencilpencilpencilpencilpencilpencilpencilpencilpencilpencil",
            &[
                "$1$saltsalt$dqXtlHrfhkAFnRIFSjAai0",
                "{CRAM-MD5}dc7552c9fc149cf73d78ca7fce47ffa964e0b5f494c4786598e367129600a74b",
            ],
        ),
    ];

    #[test]
    fn what_other_programs_made_is_right_for_its_password_alone() {
        for (password, hashes) in MADE {
            for hash in *hashes {
                let legacy = parse(hash).unwrap().unwrap();
                assert!(legacy.verify(password), "{hash}");
                let wrong = [
                    format!("{password}x"),
                    format!("{password}\0"),
                    "Pencil".into(),
                ];
                for wrong in wrong {
                    assert!(!legacy.verify(&wrong), "{hash} {wrong:?}");
                }
                let long = password.repeat(MAX_SECRET_OCTETS + 1);
                assert!(password.is_empty() || !legacy.verify(&long), "{hash}");
            }
        }
    }

    #[test]
    fn every_scheme_of_the_list_is_tried() {
        let made = MADE.iter().flat_map(|(_, hashes)| *hashes);
        let made: Vec<String> = made.map(|hash| hash.to_uppercase()).collect();
        for (scheme, _) in SCHEMES {
            let begins = format!("{{{scheme}}}");
            assert!(
                made.iter().any(|hash| hash.starts_with(&begins)),
                "{scheme}"
            );
        }
    }

    /// One octet of the digest more, less or other makes another hash, or none.
    #[test]
    fn a_hash_that_was_changed_is_not_taken_for_the_same() {
        for (password, hashes) in MADE {
            for hash in *hashes {
                let shorter = &hash[..hash.len() - 1];
                let longer = format!("{hash}A");
                let last = if hash.ends_with('0') { "1" } else { "0" };
                for changed in [shorter, &longer, &format!("{shorter}{last}")] {
                    match parse(changed) {
                        Some(Ok(legacy)) => {
                            // Padding that is left out says the same.
                            let same = parse(hash).unwrap().unwrap() == legacy;
                            assert!(same || !legacy.verify(password), "{changed}");
                        }
                        Some(Err(Malformed { .. })) => {}
                        None => panic!("{changed}"),
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_malformed_is_told_by_its_scheme() {
        for (hash, scheme) in [
            ("{SSHA}", "SSHA"),
            // A digest, and no salt behind it.
            ("{ssha}mceXLazDGdDKC69o0r8TxUM8VO8=", "SSHA"),
            ("{SHA256}mceXLazDGdDKC69o0r8TxUM8VO8=", "SHA256"),
            ("{SHA.HEX}mceXLazDGdDKC69o0r8TxUM8VO8=", "SHA"),
            ("{PLAIN-MD5}24311e60606d483d33e7b12da9b243bg", "PLAIN-MD5"),
            ("{PLAIN-MD5}24311e60606d483d33e7b12da9b243ü", "PLAIN-MD5"),
            ("{MD5-CRYPT}24311e60606d483d33e7b12da9b243b0", "MD5-CRYPT"),
            ("$1$", "MD5-CRYPT"),
            ("$1$ninechars$r5e/USfSwsah24DMCHXUw0", "MD5-CRYPT"),
            ("{CRYPT}$1$5RPVAd$r5e/USfSwsah24DMCHXUw", "MD5-CRYPT"),
            (
                "{PBKDF2}$1$salt$0$462b609aae0b8593b369fbf403b3cdac7351a927",
                "PBKDF2",
            ),
            (
                "{PBKDF2}$1$salt$100001$462b609aae0b8593b369fbf403b3cdac7351a927",
                "PBKDF2",
            ),
            (
                "{PBKDF2}$1$salt$1$462b609aae0b8593b369fbf403b3cdac7351a927$",
                "PBKDF2",
            ),
            ("{PBKDF2}$1$salt$1$46", "PBKDF2"),
            ("{CRAM-MD5}b28d736f", "CRAM-MD5"),
        ] {
            assert_eq!(parse(hash), Some(Err(Malformed { scheme })), "{hash}");
        }
    }

    #[test]
    fn what_the_host_checks_is_none_of_this_room() {
        for hash in [
            "",
            "secret",
            "{PLAIN}$1$",
            "{CRYPT}$6$x$y",
            "$2y$05$x",
            "{PBKDF2-SHA256}1$x$y",
            "{SHA512-CRYPT}$6$x$y",
            "{SHA3}x",
            "{SHA.ROT13}x",
            "{SHA",
        ] {
            assert_eq!(parse(hash), None, "{hash}");
        }
    }
}

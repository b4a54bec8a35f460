//! The second field of a line: what stands for a user's password.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use restante_guest::passwords::ScramKeys;
use restante_guest::scram::Hash;

use crate::legacy;

/// What is wrong with a line, without a word of it but for a scheme's name.
pub(crate) type Problem = Cow<'static, str>;

/// Parts one hash of a password from the next.
const SEPARATOR: char = '|';

/// The schemes whose rest is the password itself.
const IN_THE_CLEAR: [&str; 3] = ["PLAIN", "CLEAR", "CLEARTEXT"];

/// One hash or several, or the password in the clear, or the mark of a user who
/// is locked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field(String);

impl Field {
    /// `legacy_hashes`: whether those are taken that migrations bring.
    pub(crate) fn parse(field: &str, legacy_hashes: bool) -> Result<Field, Problem> {
        if field.is_empty() {
            return Err("the hash is missing".into());
        }
        let field = Field(field.to_owned());
        match field.clear() {
            // A line cut short must not become a maildrop without a password.
            Some("") => return Err("the password is missing".into()),
            None if !field.is_locked() => {}
            _ => return Ok(field),
        }
        for part in field.parts() {
            if part.is_empty() {
                return Err("there is no hash before or behind a \"|\"".into());
            }
            if in_the_clear(part).is_some() {
                return Err("a password in the clear stands alone, without other hashes".into());
            }
            for hash in [Hash::Sha1, Hash::Sha256] {
                if let Some(keys) = rest(part, scheme(hash)) {
                    keys_of(keys, hash).ok_or("the SCRAM keys are malformed")?;
                }
            }
            match legacy::parse(part) {
                None => {}
                Some(Err(legacy::Malformed { scheme })) => {
                    return Err(format!("the {{{scheme}}} hash is malformed").into());
                }
                Some(Ok(legacy)) if !legacy_hashes => {
                    let words = format!(
                        "{{{}}} is a legacy hash: set `legacy-hashes = true` to have it checked, or make a new one (restante hash-password)",
                        legacy.scheme
                    );
                    return Err(words.into());
                }
                Some(Ok(_)) => {}
            }
        }
        Ok(field)
    }

    /// The scheme of what passwords are checked against, if that is a legacy hash.
    pub(crate) fn legacy_scheme(&self) -> Option<&'static str> {
        let parsed = legacy::parse(self.for_passwords())?;
        parsed.ok().map(|legacy| legacy.scheme)
    }

    /// Whether no password opens it, by custom.
    pub(crate) fn is_locked(&self) -> bool {
        self.0.starts_with(['!', '*'])
    }

    /// The password, if that is what is kept.
    pub(crate) fn clear(&self) -> Option<&str> {
        in_the_clear(&self.0)
    }

    /// Its hashes. A password in the clear is one of them, whatever it looks like.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        let whole = self.clear().map(|_| self.0.as_str());
        let split = whole.is_none().then(|| self.0.split(SEPARATOR));
        whole.into_iter().chain(split.into_iter().flatten())
    }

    /// What passwords are checked against.
    pub(crate) fn for_passwords(&self) -> &str {
        self.parts().next().unwrap_or(&self.0)
    }

    /// The keys that are kept for SCRAM with this hash function.
    pub(crate) fn scram(&self, hash: Hash) -> Option<ScramKeys> {
        if self.is_locked() || self.clear().is_some() {
            return None;
        }
        self.parts()
            .find_map(|part| keys_of(rest(part, scheme(hash))?, hash))
    }
}

/// How a hash begins: "{SCHEME}", "$id$", or both.
pub(crate) fn kind(hash: &str) -> Option<&str> {
    let scheme = match hash.strip_prefix('{') {
        Some(rest) => rest.find('}')? + 2,
        None => 0,
    };
    let id = match hash[scheme..].strip_prefix('$') {
        Some(rest) => rest.find('$').map_or(0, |end| end + 2),
        None => 0,
    };
    (scheme + id > 0).then(|| &hash[..scheme + id])
}

/// How a hash begins, as far as that cannot be a password that somebody put there: a
/// scheme's name in upper case.
pub(crate) fn shown_scheme(hash: &str) -> Option<&str> {
    const MAX_NAME: usize = 20;
    let (name, _) = hash.strip_prefix('{')?.split_once('}')?;
    let fits = |octet: u8| octet.is_ascii_uppercase() || octet.is_ascii_digit() || octet == b'-';
    let is_name = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits);
    is_name.then(|| &hash[..name.len() + 2])
}

fn scheme(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha1 => "SCRAM-SHA-1",
        Hash::Sha256 => "SCRAM-SHA-256",
    }
}

fn in_the_clear(text: &str) -> Option<&str> {
    IN_THE_CLEAR.iter().find_map(|scheme| rest(text, scheme))
}

/// What is behind `{SCHEME}`, which is written in any case.
fn rest<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (found, rest) = text.strip_prefix('{')?.split_once('}')?;
    found.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// As Dovecot writes them: `ITERATIONS,SALT,STORED,SERVER`, base64 with padding.
fn keys_of(fields: &str, hash: Hash) -> Option<ScramKeys> {
    let octets = match hash {
        Hash::Sha1 => 20,
        Hash::Sha256 => 32,
    };
    let mut fields = fields.split(',');
    let iterations: u32 = fields.next()?.parse().ok()?;
    let mut decoded = || STANDARD.decode(fields.next()?).ok();
    let (salt, stored_key, server_key) = (decoded()?, decoded()?, decoded()?);
    let fits = iterations > 0
        && !salt.is_empty()
        && stored_key.len() == octets
        && server_key.len() == octets
        && fields.next().is_none();
    fits.then_some(ScramKeys {
        salt,
        iterations,
        stored_key,
        server_key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by GNU SASL's `gsasl --mkpasswd` of "pencil".
    pub(crate) const SHA1: &str = "{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=";
    const SHA256: &str = "{scram-sha-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    fn parts(field: &str) -> Vec<String> {
        let field = Field::parse(field, false).unwrap();
        field.parts().map(str::to_owned).collect()
    }

    #[test]
    fn several_hashes_stand_beside_each_other() {
        assert_eq!(parts("$6$a$b"), ["$6$a$b"]);
        let both = format!("$2y$05$x|{SHA256}|{SHA1}");
        assert_eq!(parts(&both), ["$2y$05$x", SHA256, SHA1]);
        let field = Field::parse(&both, false).unwrap();
        assert_eq!(field.for_passwords(), "$2y$05$x");
        let keys = field.scram(Hash::Sha1).unwrap();
        assert_eq!((keys.iterations, keys.salt.len()), (4096, 12));
        assert_eq!(keys.stored_key[..3], [0xe9, 0xd9, 0x46]);
        assert_eq!(keys.server_key[..3], [0x0f, 0xe0, 0x92]);
        assert_eq!(field.scram(Hash::Sha256).unwrap().salt.len(), 16);
    }

    #[test]
    fn a_password_in_the_clear_is_all_of_its_field() {
        for scheme in ["PLAIN", "plain", "CLEAR", "CLEARTEXT"] {
            let text = format!("{{{scheme}}}a|{{PLAIN}}b|");
            let field = Field::parse(&text, false).unwrap();
            assert_eq!(field.clear(), Some("a|{PLAIN}b|"));
            assert_eq!(parts(&text), [text.as_str()]);
            assert_eq!(field.scram(Hash::Sha1), None);
        }
        let locked = Field::parse("!{PLAIN}a", false).unwrap();
        assert!(locked.is_locked() && locked.clear().is_none());
        let locked = Field::parse(&format!("*|{SHA1}"), false).unwrap();
        assert!(locked.is_locked() && locked.scram(Hash::Sha1).is_none());
    }

    #[test]
    fn fields_that_are_broken_say_so_and_no_more() {
        let malformed = "the SCRAM keys are malformed";
        for (field, problem) in [
            ("", "the hash is missing"),
            ("{PLAIN}", "the password is missing"),
            ("$6$a|", "there is no hash before or behind a \"|\""),
            ("|$6$a", "there is no hash before or behind a \"|\""),
            (
                "$6$a|{PLAIN}b",
                "a password in the clear stands alone, without other hashes",
            ),
            ("{SCRAM-SHA-1}", malformed),
            ("$6$a|{SCRAM-SHA-256}4096,QUJD,QUJD,QUJD", malformed),
            (&SHA1.replace("4096", "0"), malformed),
            (&SHA1.replace("4096", "-1"), malformed),
            (&SHA1.replace("QSXCR+Q6sek8bf92", ""), malformed),
            (&SHA1.replace("SHA-1", "SHA-256"), malformed),
            (&format!("{SHA1},"), malformed),
            (SHA1.trim_end_matches('='), malformed),
        ] {
            assert_eq!(Field::parse(field, true), Err(problem.into()), "{field}");
        }
    }

    #[test]
    fn legacy_hashes_are_taken_where_the_setting_says_so() {
        let ssha = "{SSHA}EbQOLLWa/6dnepMLxsSobDeavKmF9QrU";
        let field = Field::parse(ssha, true).unwrap();
        assert_eq!(field.legacy_scheme(), Some("SSHA"));
        let beside = format!("$6$x|{ssha}");
        assert_eq!(Field::parse(&beside, true).unwrap().legacy_scheme(), None);
        for field in [ssha, &beside] {
            let told = Field::parse(field, false).unwrap_err();
            assert!(
                told.starts_with("{SSHA} is a legacy hash: set `legacy-hashes = true`"),
                "{told}"
            );
        }
        // What cannot be checked is not a matter of the setting.
        for legacy_hashes in [true, false] {
            assert_eq!(
                Field::parse("{ssha.hex}EbQO", legacy_hashes),
                Err("the {SSHA} hash is malformed".into())
            );
        }
        let locked = Field::parse("!{SSHA}EbQO", false).unwrap();
        assert!(locked.is_locked());
    }

    #[test]
    fn a_kind_is_how_a_hash_begins() {
        assert_eq!(kind("{SHA512-CRYPT}$6$salt$x"), Some("{SHA512-CRYPT}$6$"));
        assert_eq!(kind("$argon2id$v=19$x"), Some("$argon2id$"));
        assert_eq!(kind("{PLAIN}$"), Some("{PLAIN}"));
        assert_eq!(kind("é"), None);
        assert_eq!(kind("$x"), None);
    }

    #[test]
    fn no_scheme_is_shown_that_may_be_a_password() {
        assert_eq!(shown_scheme("{DES-CRYPT}x"), Some("{DES-CRYPT}"));
        assert_eq!(shown_scheme("{MD9}"), Some("{MD9}"));
        for hash in ["{hunter2}", "{}x", "$hunter2$x", "{A B}x", "x", "{UNCLOSED"] {
            assert_eq!(shown_scheme(hash), None, "{hash}");
        }
        assert_eq!(shown_scheme(&format!("{{{}}}", "X".repeat(21))), None);
    }
}

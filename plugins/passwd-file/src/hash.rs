//! The second field of a line: what stands for a user's password.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use restante_guest::passwords::ScramKeys;
use restante_guest::scram::Hash;

/// Parts one hash of a password from the next.
const SEPARATOR: char = '|';

/// The schemes whose rest is the password itself.
const IN_THE_CLEAR: [&str; 3] = ["PLAIN", "CLEAR", "CLEARTEXT"];

/// One hash or several, or the password in the clear, or the mark of a user who
/// is locked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field(String);

impl Field {
    /// What is wrong with a field is said without a word of it.
    pub(crate) fn parse(field: &str) -> Result<Field, &'static str> {
        if field.is_empty() {
            return Err("the hash is missing");
        }
        let field = Field(field.to_owned());
        match field.clear() {
            // A line cut short must not become a maildrop without a password.
            Some("") => return Err("the password is missing"),
            None if !field.is_locked() => {}
            _ => return Ok(field),
        }
        for part in field.parts() {
            if part.is_empty() {
                return Err("there is no hash before or behind a \"|\"");
            }
            if in_the_clear(part).is_some() {
                return Err("a password in the clear stands alone, without other hashes");
            }
            for hash in [Hash::Sha1, Hash::Sha256] {
                if let Some(keys) = rest(part, scheme(hash)) {
                    keys_of(keys, hash).ok_or("the SCRAM keys are malformed")?;
                }
            }
        }
        Ok(field)
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
        let field = Field::parse(field).unwrap();
        field.parts().map(str::to_owned).collect()
    }

    #[test]
    fn several_hashes_stand_beside_each_other() {
        assert_eq!(parts("$6$a$b"), ["$6$a$b"]);
        let both = format!("$2y$05$x|{SHA256}|{SHA1}");
        assert_eq!(parts(&both), ["$2y$05$x", SHA256, SHA1]);
        let field = Field::parse(&both).unwrap();
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
            let field = Field::parse(&text).unwrap();
            assert_eq!(field.clear(), Some("a|{PLAIN}b|"));
            assert_eq!(parts(&text), [text.as_str()]);
            assert_eq!(field.scram(Hash::Sha1), None);
        }
        let locked = Field::parse("!{PLAIN}a").unwrap();
        assert!(locked.is_locked() && locked.clear().is_none());
        let locked = Field::parse(&format!("*|{SHA1}")).unwrap();
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
            assert_eq!(Field::parse(field), Err(problem), "{field}");
        }
    }
}

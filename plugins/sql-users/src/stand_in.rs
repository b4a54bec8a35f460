//! The hash that stands in for one of a user's own, so that a user whom the database does
//! not know, or whose password nobody can show, takes as long as a wrong password.
//!
//! No hash of the database can serve: the query is the operator's and answers for one
//! user, and an instance remembers nothing. So the operator says what the hashes are, and
//! how much they cost, and salt and digest are made up here.

use restante_guest::prelude::*;

use crate::Verify;

/// Schemes, and how their hashes begin as `restante hash-password` makes them.
const SCHEMES: [(&str, &str); 8] = [
    ("argon2id", "$argon2id$v=19$m=19456,t=2,p=1$"),
    ("scrypt", "$scrypt$ln=17,r=8,p=1$"),
    ("bcrypt", "$2y$12$"),
    ("sha512-crypt", "$6$rounds=100000$"),
    ("sha256-crypt", "$5$rounds=100000$"),
    ("scram-sha-256", "{SCRAM-SHA-256}4096,"),
    ("scram-sha-1", "{SCRAM-SHA-1}4096,"),
    ("plain", "{PLAIN}"),
];

/// How hashes begin, and a salt and a digest of that form. None is anybody's: whatever
/// comes of it is not looked at.
const FORMS: [(&str, &str); 13] = [
    ("$argon2id$", PHC),
    ("$argon2i$", PHC),
    ("$argon2d$", PHC),
    ("$scrypt$", PHC),
    ("$pbkdf2-sha256$", PHC),
    ("$pbkdf2-sha512$", PHC),
    ("$2a$", BCRYPT),
    ("$2b$", BCRYPT),
    ("$2y$", BCRYPT),
    ("$6$", SHA512_CRYPT),
    ("$5$", SHA256_CRYPT),
    ("{SCRAM-SHA-256}", SCRAM_SHA256),
    ("{SCRAM-SHA-1}", SCRAM_SHA1),
];

const PHC: &str = "c2FsdHNhbHRzYWx0$Xf8Aj97U+PpZyTYaOANvFDCjMZJd2vjLoXD2hdGq9Ok";
const BCRYPT: &str = "hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SRtW";
const SHA512_CRYPT: &str = "abcdefghijklmnop$hzftKiaJsTV6YtdWtdr4jDBmADKD1Y6IUjAr8bjOeZf9XgSX9fPLrFt5qHPKwycUqKsrn51cfODEeHDSbazSa.";
const SHA256_CRYPT: &str = "saltsalt$pFZZgufrxK584bNXPQYEsGx0U1N9P1wbqQakpkcXTU1";
const SCRAM_SHA256: &str = "W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
const SCRAM_SHA1: &str =
    "QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=";

/// The hash that stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StandIn(String);

impl Default for StandIn {
    fn default() -> Self {
        StandIn::beginning(SCHEMES[0].1).expect("the first scheme has a form")
    }
}

impl StandIn {
    /// A scheme's name, or how the hashes begin, up to their salt.
    pub(crate) fn parse(scheme: &str) -> Result<StandIn, String> {
        let named = SCHEMES.iter().find(|(name, _)| *name == scheme);
        let beginning = named.map_or(scheme, |(_, beginning)| beginning);
        StandIn::beginning(beginning).ok_or_else(|| {
            let names: Vec<_> = SCHEMES.iter().map(|(name, _)| *name).collect();
            format!(
                "must be {}, or how the hashes begin, up to their salt: \"$2y$10$\"",
                names.join(", ")
            )
        })
    }

    fn beginning(beginning: &str) -> Option<StandIn> {
        // Found before a scheme in braces is taken off: SCRAM's is all that it has.
        let form = |text: &str| {
            let mut forms = FORMS.iter();
            forms.find(|(start, _)| text.starts_with(start))
        };
        if beginning == "{PLAIN}" {
            return Some(StandIn("{PLAIN}nobody's".to_owned()));
        }
        let bare = beginning
            .split_once('}')
            .map_or(beginning, |(_, bare)| bare);
        let (_, rest) = form(beginning).or_else(|| form(bare))?;
        let ends = if rest.contains(',') { ',' } else { '$' };
        beginning
            .ends_with(ends)
            .then(|| StandIn(format!("{beginning}{rest}")))
    }

    /// Whether the host can verify it.
    pub(crate) fn check(&self, verify: &mut Verify<'_>) -> Result<(), String> {
        verify(&self.0, "a secret for trial").map(|_| ())
    }

    /// Verifies the secret against it, for the time that it takes.
    pub(crate) fn waste_time(&self, secret: &Secret, verify: &mut Verify<'_>) {
        if let Err(problem) = verify(&self.0, secret.expose()) {
            log::warn!(
                "no hash of the setting `scheme` can be verified: how long a login takes says whether there is such a user: {problem}"
            );
        }
    }

    #[cfg(test)]
    pub(crate) fn hash(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_has_a_name_or_a_beginning() {
        assert_eq!(StandIn::parse("argon2id").unwrap(), StandIn::default());
        for (scheme, begins, ends) in [
            ("argon2id", "$argon2id$v=19$m=19456,t=2,p=1$", PHC),
            ("scrypt", "$scrypt$ln=17,r=8,p=1$", PHC),
            ("bcrypt", "$2y$12$", BCRYPT),
            ("$2a$05$", "$2a$05$", BCRYPT),
            ("{BLF-CRYPT}$2y$10$", "{BLF-CRYPT}$2y$10$", BCRYPT),
            ("sha512-crypt", "$6$rounds=100000$", SHA512_CRYPT),
            ("$6$", "$6$", SHA512_CRYPT),
            (
                "{CRYPT}$5$rounds=9000$",
                "{CRYPT}$5$rounds=9000$",
                SHA256_CRYPT,
            ),
            ("$pbkdf2-sha256$i=600000$", "$pbkdf2-sha256$i=600000$", PHC),
            (
                "{SCRAM-SHA-256}10000,",
                "{SCRAM-SHA-256}10000,",
                SCRAM_SHA256,
            ),
            ("scram-sha-1", "{SCRAM-SHA-1}4096,", SCRAM_SHA1),
        ] {
            let hash = StandIn::parse(scheme).unwrap();
            assert_eq!(hash.hash(), format!("{begins}{ends}"));
        }
        assert_eq!(StandIn::parse("plain").unwrap().hash(), "{PLAIN}nobody's");
        for scheme in [
            "",
            "md5",
            "Bcrypt",
            "$1$",
            "$2y$10",
            "{SSHA}",
            "{SCRAM-SHA-1}",
            "{PLAIN}x",
        ] {
            let told = StandIn::parse(scheme).unwrap_err();
            assert!(told.contains("bcrypt, sha512-crypt"), "{scheme}: {told}");
        }
    }

    /// Their lengths are part of their forms.
    #[test]
    fn salts_and_digests_have_their_lengths() {
        let parts = |rest: &str| rest.split(['$', ',']).map(str::len).collect::<Vec<_>>();
        assert_eq!(parts(PHC), [16, 43]);
        assert_eq!(parts(BCRYPT), [53]);
        assert_eq!(parts(SHA512_CRYPT), [16, 86]);
        assert_eq!(parts(SHA256_CRYPT), [8, 43]);
        assert_eq!(parts(SCRAM_SHA256), [24, 44, 44]);
        assert_eq!(parts(SCRAM_SHA1), [16, 28, 28]);
    }
}

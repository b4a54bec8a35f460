//! SCRAM keys as they are kept: `ITERATIONS,SALT,STORED,SERVER` in base64, with the scheme
//! in braces before them or without it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use restante_guest::passwords::ScramKeys;
use restante_guest::scram::Hash;

/// A hash function's name in mechanisms and schemes.
pub(crate) fn scheme(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha1 => "SCRAM-SHA-1",
        Hash::Sha256 => "SCRAM-SHA-256",
    }
}

/// The keys of a column. None: they are malformed.
pub(crate) fn parse(text: &str, hash: Hash) -> Option<ScramKeys> {
    let octets = match hash {
        Hash::Sha1 => 20,
        Hash::Sha256 => 32,
    };
    let mut fields = bare(text, hash)?.split(',');
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

/// The same as a hash that passwords are verified against.
pub(crate) fn as_hash(text: &str, hash: Hash) -> Option<String> {
    parse(text, hash)?;
    Some(format!("{{{}}}{}", scheme(hash), bare(text, hash)?))
}

/// Without the scheme, which is written in any case. None: it is that of another.
fn bare(text: &str, hash: Hash) -> Option<&str> {
    let Some(rest) = text.strip_prefix('{') else {
        return Some(text);
    };
    let (found, rest) = rest.split_once('}')?;
    found.eq_ignore_ascii_case(scheme(hash)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by GNU SASL's `gsasl --mkpasswd` of "pencil".
    const SHA1: &str =
        "4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=";
    const SHA256: &str = "4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn keys_stand_with_their_scheme_or_without_it() {
        for (text, hash, salt) in [(SHA1, Hash::Sha1, 12), (SHA256, Hash::Sha256, 16)] {
            let with_scheme = format!("{{{}}}{text}", scheme(hash));
            for text in [text, &with_scheme] {
                let keys = parse(text, hash).unwrap();
                assert_eq!((keys.iterations, keys.salt.len()), (4096, salt));
                assert_eq!(as_hash(text, hash).unwrap(), with_scheme);
            }
        }
        let lower = format!("{{scram-sha-1}}{SHA1}");
        assert!(parse(&lower, Hash::Sha1).is_some());
        assert_eq!(
            as_hash(&lower, Hash::Sha1).unwrap(),
            format!("{{SCRAM-SHA-1}}{SHA1}")
        );
    }

    #[test]
    fn what_is_malformed_is_none() {
        for text in [
            "",
            "4096",
            SHA256,
            &format!("{{SCRAM-SHA-256}}{SHA1}"),
            &format!("{{SCRAM-SHA-1{SHA1}"),
            &format!("{SHA1},"),
            &SHA1.replace("4096", "0"),
            &SHA1.replace("4096", "-1"),
            &SHA1.replace("QSXCR+Q6sek8bf92", ""),
            SHA1.trim_end_matches('='),
        ] {
            assert_eq!(
                parse(text, Hash::Sha1).map(|keys| keys.iterations),
                None,
                "{text}"
            );
            assert_eq!(as_hash(text, Hash::Sha1), None, "{text}");
        }
    }
}

//! APOP (RFC 1939 section 7) and CRAM-MD5 (RFC 2195): the client shows a digest
//! of a challenge and a secret that both sides know.
//!
//! The digest is checked where the secret is, never here.

use std::error::Error;
use std::fmt;

use super::stop::{Stop, text};
use crate::login::{Credentials, DigestAlgorithm};
use crate::prepare;
use crate::syntax::Malformed;

/// Longest [`Timestamp`] in octets, its brackets included.
const MAX_TIMESTAMP_OCTETS: usize = 255;

/// A challenge that no other session was ever given, in the form of a msg-id:
/// `<1896.697170952@dbc.mtview.ca.us>` (RFC 1939 section 7, APOP).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    unique: String,
    host: String,
}

/// Why something is no [`Timestamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadTimestamp;

impl Timestamp {
    /// Puts a timestamp together. `unique` has to differ for every session there
    /// ever is, and better cannot be guessed; `host` is the server's name.
    ///
    /// # Errors
    /// When either is not made of atoms with dots between them, or both are
    /// longer than 252 octets together.
    pub fn new(unique: &str, host: &str) -> Result<Self, BadTimestamp> {
        let octets = unique.len() + host.len() + "<@>".len();
        if !is_dot_atom(unique) || !is_dot_atom(host) || octets > MAX_TIMESTAMP_OCTETS {
            return Err(BadTimestamp);
        }
        Ok(Timestamp {
            unique: unique.into(),
            host: host.into(),
        })
    }

    /// The challenge of the session's next CRAM-MD5 exchange: no two are alike.
    pub(crate) fn challenge(&self, exchanges_before: u32) -> String {
        match exchanges_before {
            0 => self.to_string(),
            count => format!("<{count}.{}@{}>", self.unique, self.host),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "<{}@{}>", self.unique, self.host)
    }
}

impl fmt::Display for BadTimestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("not the parts of a msg-id")
    }
}

impl Error for BadTimestamp {}

/// CRAM-MD5's one response: the user name, a space, the digest in hexadecimal.
pub(super) fn cram_md5(challenge: String, message: &[u8]) -> Result<Credentials, Stop> {
    let (user, response) =
        name_and_digest(text(message)?).ok_or(Stop::Malformed(Malformed::Message))?;
    Ok(Credentials::Digest {
        user: prepare::user_name(user)?,
        algorithm: DigestAlgorithm::HmacMd5,
        challenge,
        response,
    })
}

/// The name, which may hold spaces, and the digest in lower case.
pub(crate) fn name_and_digest(argument: &str) -> Option<(&str, String)> {
    let (name, digest) = argument.rsplit_once(' ')?;
    let is_digest = digest.len() == 32 && digest.bytes().all(|octet| octet.is_ascii_hexdigit());
    (is_digest && !name.is_empty()).then(|| (name, digest.to_ascii_lowercase()))
}

/// `dot-atom-text` of RFC 5322 section 3.2.3.
fn is_dot_atom(text: &str) -> bool {
    let atext =
        |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet);
    let atom = |atom: &str| !atom.is_empty() && atom.bytes().all(atext);
    text.split('.').all(atom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_a_msg_id() {
        let timestamp = Timestamp::new("1896.697170952", "dbc.mtview.ca.us").unwrap();
        assert_eq!(timestamp.to_string(), "<1896.697170952@dbc.mtview.ca.us>");
        assert_eq!(timestamp.challenge(0), timestamp.to_string());
        assert_eq!(
            timestamp.challenge(7),
            "<7.1896.697170952@dbc.mtview.ca.us>"
        );
        for (unique, host) in [
            ("", "host"),
            ("1", ""),
            ("1 2", "host"),
            ("1", "ho>st"),
            ("1", "host\r\n"),
            ("1..2", "host"),
            ("1", "host."),
            ("1", "h\u{f6}st"),
            ("1", "a@b"),
        ] {
            assert_eq!(Timestamp::new(unique, host), Err(BadTimestamp));
        }
        assert!(Timestamp::new(&"1".repeat(200), &"h".repeat(52)).is_ok());
        assert!(Timestamp::new(&"1".repeat(200), &"h".repeat(53)).is_err());
    }

    #[test]
    fn digests_are_hexadecimal() {
        let digest = "b913a602c7eda7a495b4e6e7334d3890";
        let upper = digest.to_ascii_uppercase();
        for (argument, name) in [
            (format!("tim {digest}"), "tim"),
            (format!("tim {upper}"), "tim"),
            (format!("two words {digest}"), "two words"),
        ] {
            let read = name_and_digest(&argument);
            assert_eq!(read, Some((name, digest.to_owned())), "{argument}");
        }
        for argument in [
            String::new(),
            "tim".into(),
            digest.into(),
            format!(" {digest}"),
            format!("tim {digest}0"),
            format!("tim {digest} "),
            format!("tim {}", &digest[1..]),
            format!("tim g{}", &digest[1..]),
        ] {
            assert_eq!(name_and_digest(&argument), None, "{argument}");
        }
    }
}

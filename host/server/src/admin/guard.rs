//! Whom the admin address answers.
//!
//! A TCP port is reached by every program of this machine, the browser of
//! whoever works on it included: a token is asked for, and the name that the
//! request is for has to be this machine's own, so that no page from elsewhere
//! gets here by a domain name that it lets point to loopback (DNS rebinding).

use std::fmt;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use hyper::header::{AUTHORIZATION, HOST, HeaderMap};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::secret_file;

/// Characters of a token: fewer can be guessed.
const LEAST: usize = 16;
const MOST: usize = 1024;

/// Why a file has no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("admin-token-file {path:?}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It holds something else.
    #[error(
        "admin-token-file {0:?} does not hold a token\n  write one line of {LEAST} to {MOST} letters, digits and signs without blanks into it, such as `openssl rand -hex 32` makes"
    )]
    Form(PathBuf),
}

/// What has to be shown. Only its digest is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    digest: [u8; 32],
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Token")
    }
}

impl Token {
    /// The token in a file.
    ///
    /// # Errors
    /// A file that cannot be read or holds none.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let text = Token::text(path)?;
        Ok(Token {
            digest: digest(&text),
        })
    }

    /// The same as it is shown, for who shows it.
    ///
    /// # Errors
    /// Likewise.
    pub fn text(path: &Path) -> Result<Zeroizing<String>, TokenError> {
        let failed = |error| TokenError::File {
            path: path.to_owned(),
            error,
        };
        let mut text = Zeroizing::new(String::with_capacity(MOST + 2));
        let file = secret_file::open(path, "the admin token").map_err(failed)?;
        // A line end more than the longest token, in either form.
        file.take(MOST as u64 + 2)
            .read_to_string(&mut text)
            .map_err(failed)?;
        let token = text.trim_end_matches(['\r', '\n']);
        let fits = (LEAST..=MOST).contains(&token.len())
            && token.bytes().all(|octet| octet.is_ascii_graphic());
        if fits {
            Ok(Zeroizing::new(token.to_owned()))
        } else {
            Err(TokenError::Form(path.to_owned()))
        }
    }

    /// Takes as long for a wrong one as for the right one.
    fn is(&self, shown: &str) -> bool {
        self.digest.ct_eq(&digest(shown)).into()
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Looks at each request before it is answered.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) token: Option<Token>,
    pub(super) is_tcp: bool,
}

impl Guard {
    /// Is the request meant for this machine?
    pub(super) fn is_meant(&self, header: &HeaderMap) -> bool {
        if !self.is_tcp {
            return true;
        }
        let mut hosts = header.get_all(HOST).iter();
        match (hosts.next(), hosts.next()) {
            // HTTP/1.0, which no browser speaks.
            (None, _) => true,
            (Some(host), None) => host.to_str().is_ok_and(is_loopback),
            _ => false,
        }
    }

    /// Does it show the token (RFC 6750 section 2.1)?
    pub(super) fn knows(&self, header: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let mut shown = header.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (shown.next(), shown.next()) else {
            return false;
        };
        value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .is_some_and(|(scheme, shown)| {
                scheme.eq_ignore_ascii_case("bearer") && token.is(shown.trim())
            })
    }
}

/// "localhost" or a loopback address, with any port or none.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) if port.is_empty() || port.starts_with(':') => name,
            _ => return false,
        },
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn names_that_are_not_this_machines_are_refused() {
        for host in [
            "localhost",
            "LOCALHOST:9110",
            "127.0.0.1:9110",
            "127.9.9.9",
            "[::1]",
            "[::1]:9110",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "attacker.example:9110",
            "localhost.attacker.example",
            "127.0.0.1.attacker.example",
            "192.0.2.1:9110",
            "[::2]:9110",
            "[::1",
            "[::1]x",
            "::1",
            "0.0.0.0:9110",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn one_host_alone() {
        let guard = Guard {
            token: None,
            is_tcp: true,
        };
        let mut header = HeaderMap::new();
        assert!(guard.is_meant(&header));
        header.append(HOST, HeaderValue::from_static("localhost"));
        assert!(guard.is_meant(&header));
        header.append(HOST, HeaderValue::from_static("localhost"));
        assert!(!guard.is_meant(&header));
    }

    #[test]
    fn token_is_one_line_and_long_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let read = |text: &[u8]| {
            fs::write(&path, text).unwrap();
            Token::read(&path)
        };
        let good = "x".repeat(LEAST);
        for text in [good.clone(), format!("{good}\n"), format!("{good}\r\n")] {
            assert!(read(text.as_bytes()).unwrap().is(&good), "{text:?}");
        }
        assert!(read("y".repeat(MOST).as_bytes()).is_ok());
        let long = "y".repeat(MOST + 1);
        for text in [
            "",
            "short",
            "\n",
            "two words of it 12345",
            &long,
            &"ä".repeat(20),
        ] {
            assert!(
                matches!(read(text.as_bytes()), Err(TokenError::Form(_))),
                "{text:?}"
            );
        }
        assert!(matches!(read(&[0xff; 20]), Err(TokenError::File { .. })));
        fs::remove_file(&path).unwrap();
        assert!(matches!(Token::read(&path), Err(TokenError::File { .. })));
    }

    #[test]
    fn token_is_shown_once_as_a_bearers() {
        let token = Token {
            digest: digest("0123456789abcdef"),
        };
        assert_eq!(format!("{token:?}"), "Token");
        let guard = Guard {
            token: Some(token),
            is_tcp: true,
        };
        let knows = |values: &[&'static str]| {
            let mut header = HeaderMap::new();
            for value in values {
                header.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            guard.knows(&header)
        };
        assert!(knows(&["Bearer 0123456789abcdef"]));
        assert!(knows(&["bearer 0123456789abcdef"]));
        assert!(!knows(&[]));
        assert!(!knows(&["Bearer 0123456789abcdeF"]));
        assert!(!knows(&["Bearer 0123456789abcde"]));
        assert!(!knows(&["Bearer "]));
        assert!(!knows(&["Basic 0123456789abcdef"]));
        assert!(!knows(&["0123456789abcdef"]));
        assert!(!knows(&["Bearer wrong", "Bearer 0123456789abcdef"]));
    }
}

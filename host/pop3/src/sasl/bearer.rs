//! OAUTHBEARER (RFC 7628) and XOAUTH2, its forerunner: the client shows an OAuth
//! 2.0 token. Whoever refuses it says why in JSON; the client answers with a
//! dummy, and only then the exchange has failed.

use std::fmt::Write;

use super::gs2::{Flag, Header};
use super::mechanism::Mechanism;
use super::stop::{Stop, text};
use super::terms::Discovery;
use crate::login::Credentials;
use crate::prepare;
use crate::secret::Secret;
use crate::syntax::Malformed;

/// Longest error in JSON, in octets before Base64: what does not fit is left
/// out, so that the challenge stays a reply below 1 KiB.
const MAX_ERROR_OCTETS: usize = 700;

/// What stands between key and value pairs.
const SEPARATOR: char = '\u{1}';

/// Which of the two is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bearer {
    OAuthBearer,
    XOAuth2,
}

impl Bearer {
    pub(crate) fn of(mechanism: Mechanism) -> Option<Self> {
        match mechanism {
            Mechanism::OAuthBearer => Some(Bearer::OAuthBearer),
            Mechanism::XOAuth2 => Some(Bearer::XOAuth2),
            _ => None,
        }
    }

    /// The client's one message; None: it has no token, which is how a client asks
    /// for the scope (RFC 7628 section 4.3).
    ///
    /// ```text
    /// client-resp    = (gs2-header kvsep *kvpair kvsep) / kvsep
    /// kvpair         = key "=" value kvsep
    /// ```
    ///
    /// XOAUTH2 has no header; its `user=` is a pair like the others.
    pub(super) fn read(self, message: &[u8]) -> Result<Option<Credentials>, Stop> {
        let message = text(message)?;
        let (authzid, pairs) = match self {
            Bearer::XOAuth2 => (None, message),
            Bearer::OAuthBearer => {
                let (header, rest) = Header::parse(message)?;
                if matches!(header.flag, Flag::Used(_)) {
                    return Err(Stop::Malformed(Malformed::Message));
                }
                let pairs = rest.strip_prefix(SEPARATOR);
                (
                    header.authzid,
                    pairs.ok_or(Stop::Malformed(Malformed::Message))?,
                )
            }
        };
        let pairs = Pairs::read(pairs)?;
        let user = match self {
            Bearer::OAuthBearer => authzid.as_deref(),
            Bearer::XOAuth2 => Some(pairs.user.ok_or(Stop::Malformed(Malformed::Message))?),
        };
        let user = user.map(prepare::user_name).transpose()?;
        let auth = pairs.auth.ok_or(Stop::Malformed(Malformed::Message))?;
        let Some(token) = token(auth) else {
            return Ok(None);
        };
        Ok(Some(Credentials::Bearer {
            user,
            token: Secret::new(token.to_owned()),
            host: pairs.host.map(String::from),
            port: pairs.port,
        }))
    }

    /// Why a token is refused, in JSON (RFC 7628 section 3.2.2); for XOAUTH2 what
    /// its clients know.
    pub(super) fn error(self, discovery: &Discovery) -> String {
        let mut json = String::from(match self {
            Bearer::OAuthBearer => r#"{"status":"invalid_token""#,
            Bearer::XOAuth2 => r#"{"status":"400","schemes":"Bearer""#,
        });
        let members = [
            ("scope", &discovery.scope),
            ("openid-configuration", &discovery.openid_configuration),
        ];
        for (key, value) in members {
            let Some(value) = value else { continue };
            let member = format!(",\"{key}\":{}", quoted(value));
            if json.len() + member.len() < MAX_ERROR_OCTETS {
                json.push_str(&member);
            }
        }
        json.push('}');
        json
    }
}

/// The pairs we know; others are ignored (RFC 7628 section 3.1).
#[derive(Default)]
struct Pairs<'a> {
    user: Option<&'a str>,
    auth: Option<&'a str>,
    host: Option<&'a str>,
    port: Option<u16>,
}

impl<'a> Pairs<'a> {
    /// Reads `*kvpair kvsep`.
    fn read(pairs: &'a str) -> Result<Self, Stop> {
        let malformed = Stop::Malformed(Malformed::Message);
        let mut known = Pairs::default();
        let pairs = pairs.strip_suffix(SEPARATOR).ok_or(malformed.clone())?;
        if pairs.is_empty() {
            return Ok(known);
        }
        let pairs = pairs.strip_suffix(SEPARATOR).ok_or(malformed.clone())?;
        for pair in pairs.split(SEPARATOR) {
            let (key, value) = pair.split_once('=').ok_or(malformed.clone())?;
            let is_key = !key.is_empty() && key.bytes().all(|octet| octet.is_ascii_alphabetic());
            let is_value = value.chars().all(|char| match char {
                '\t' | '\r' | '\n' => true,
                char => !char.is_control(),
            });
            if !is_key || !is_value {
                return Err(malformed);
            }
            let fresh = match key {
                "user" => known.user.replace(value).is_none(),
                "auth" => known.auth.replace(value).is_none(),
                "host" => known.host.replace(value).is_none(),
                "port" => {
                    let port = value.parse().map_err(|_| malformed.clone())?;
                    known.port.replace(port).is_none()
                }
                _ => true,
            };
            if !fresh {
                return Err(malformed);
            }
        }
        Ok(known)
    }
}

/// The token of `Bearer token`, the scheme in any case (RFC 7628 section 4):
///
/// ```text
/// b64token    = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="
/// ```
fn token(auth: &str) -> Option<&str> {
    let (scheme, token) = auth.split_once(' ')?;
    let token = token.trim_matches(' ');
    let legal = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~+/".contains(&octet);
    let body = token.trim_end_matches('=');
    let is_token = !body.is_empty() && body.bytes().all(legal);
    (scheme.eq_ignore_ascii_case("bearer") && is_token).then_some(token)
}

/// A JSON string in ASCII.
fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(octet @ (b'"' | b'\\')) => {
                json.push('\\');
                json.push(octet.into());
            }
            Ok(octet @ 0x20..=0x7e) => json.push(octet.into()),
            _ => write!(json, "\\u{unit:04x}").expect("a String takes everything"),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = (Option<String>, String, Option<String>, Option<u16>);

    fn read(bearer: Bearer, message: &str) -> Result<Read, Stop> {
        match bearer.read(message.as_bytes())? {
            Some(Credentials::Bearer {
                user,
                token,
                host,
                port,
            }) => Ok((user, token.expose().to_owned(), host, port)),
            credentials => panic!("{credentials:?}"),
        }
    }

    /// RFC 7628 section 4.1.
    #[test]
    fn the_example_of_rfc_7628() {
        let message = "n,a=user@example.com,\u{1}host=server.example.com\u{1}port=143\u{1}\
                       auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\u{1}\u{1}";
        let expected = (
            Some("user@example.com".into()),
            "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==".into(),
            Some("server.example.com".into()),
            Some(143),
        );
        assert_eq!(read(Bearer::OAuthBearer, message), Ok(expected));
    }

    #[test]
    fn what_clients_leave_out_or_add() {
        for (message, user) in [
            ("n,,\u{1}auth=BeArEr x.y-z~0+/==\u{1}\u{1}", None),
            ("y,,\u{1}auth=bearer  x.y-z~0+/==\u{1}\u{1}", None),
            (
                "n,a=a=2Cb,\u{1}mthd=POST\u{1}auth=Bearer x.y-z~0+/== \u{1}qs=\u{1}\u{1}",
                Some("a,b"),
            ),
        ] {
            let user = user.map(String::from);
            let expected = (user, "x.y-z~0+/==".into(), None, None);
            assert_eq!(read(Bearer::OAuthBearer, message), Ok(expected));
        }
    }

    #[test]
    fn xoauth2() {
        let message = "user=someuser@example.com\u{1}auth=Bearer ya29.vF9dft4qmTc2\u{1}\u{1}";
        let expected = (
            Some("someuser@example.com".into()),
            "ya29.vF9dft4qmTc2".into(),
            None,
            None,
        );
        assert_eq!(read(Bearer::XOAuth2, message), Ok(expected));
    }

    #[test]
    fn what_is_no_message() {
        for message in [
            "",
            "\u{1}",
            "n,,",
            "n,,\u{1}",
            "n,,\u{1}\u{1}",
            "n,,auth=Bearer x\u{1}\u{1}",
            "n,,\u{1}auth=Bearer x",
            "n,,\u{1}auth=Bearer x\u{1}",
            "n,,\u{1}auth=Bearer x\u{1}\u{1}\u{1}",
            "n,,\u{1}auth=Bearer x\u{1}\u{1}auth=Bearer x\u{1}\u{1}",
            "n,,\u{1}auth=Bearer x\u{1}auth=Bearer y\u{1}\u{1}",
            "n,,\u{1}au-th=Bearer x\u{1}auth=Bearer y\u{1}\u{1}",
            "n,,\u{1}port=x\u{1}auth=Bearer y\u{1}\u{1}",
            "n,,\u{1}port=65536\u{1}auth=Bearer y\u{1}\u{1}",
            "n,,\u{1}host=\0\u{1}auth=Bearer y\u{1}\u{1}",
            "p=tls-exporter,,\u{1}auth=Bearer x\u{1}\u{1}",
            // RFC 7628 section 4.4 has it, against its own grammar.
            "n,user=someuser@example.com,\u{1}auth=Bearer x\u{1}\u{1}",
        ] {
            let stop = Err(Stop::Malformed(Malformed::Message));
            assert_eq!(read(Bearer::OAuthBearer, message), stop, "{message:?}");
        }
        for message in ["auth=Bearer x\u{1}\u{1}", "user=x\u{1}\u{1}"] {
            let stop = Err(Stop::Malformed(Malformed::Message));
            assert_eq!(read(Bearer::XOAuth2, message), stop, "{message:?}");
        }
        let nobody = read(Bearer::XOAuth2, "user=\u{1}auth=Bearer x\u{1}\u{1}");
        assert!(matches!(nobody, Err(Stop::Failed(_))));
    }

    #[test]
    fn without_a_token_the_client_hears_what_is_wanted() {
        let discovery = Discovery {
            scope: Some("example_scope".into()),
            openid_configuration: Some(
                "https://example.com/.well-known/openid-configuration".into(),
            ),
        };
        for auth in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer a b",
            "OAuth realm=\"x\"",
            "Bearer =",
        ] {
            let message = format!("n,,\u{1}auth={auth}\u{1}\u{1}");
            let read = Bearer::OAuthBearer.read(message.as_bytes());
            assert!(matches!(read, Ok(None)), "{auth:?}: {read:?}");
        }
        assert_eq!(
            Bearer::OAuthBearer.error(&discovery),
            "{\"status\":\"invalid_token\",\"scope\":\"example_scope\",\
             \"openid-configuration\":\"https://example.com/.well-known/openid-configuration\"}"
        );
    }

    #[test]
    fn errors_are_json_and_bounded() {
        let discovery = Discovery {
            scope: Some("a \"b\\c\"\n\u{e4}\u{1f600}".into()),
            openid_configuration: Some("x".repeat(800)),
        };
        assert_eq!(
            Bearer::XOAuth2.error(&discovery),
            r#"{"status":"400","schemes":"Bearer","scope":"a \"b\\c\"\u000a\u00e4\ud83d\ude00"}"#
        );
        assert_eq!(
            Bearer::OAuthBearer.error(&Discovery::default()),
            r#"{"status":"invalid_token"}"#
        );
    }
}

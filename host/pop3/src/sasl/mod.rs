//! The server's side of SASL exchanges (RFC 4422) as POP3 frames them (RFC
//! 5034): each response of the client, decoded, becomes a [`Turn`]. Whether a
//! mechanism is offered, and who may log in, is decided elsewhere; nothing here
//! knows a user, a socket or a source of random octets.
//!
//! Why our own: rsasl asks for passwords and keys in callbacks that have to
//! answer before its step returns, and draws its own nonces, so a core that
//! hands every question out to plugins cannot wait for the answer; the scram
//! crates do the same, lack SCRAM-SHA-1 or the -PLUS forms, or come under other
//! licences than this one.

mod bearer;
mod digest;
mod external;
mod gs2;
mod keys;
mod mechanism;
mod plain;
mod scram;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::action::Login;
use crate::prepare::{self, Unprepared};
use crate::reply::Refusal;
use crate::secret::Sensitive;
use crate::settings::{ChannelBinding, Discovery};

pub(crate) use bearer::Bearer;
pub(crate) use digest::name_and_digest;
pub use digest::{BadTimestamp, Timestamp};
pub use keys::{BadScramNonce, Decoy, ScramHash, ScramKeys, ScramKeysError, ScramNonce};
pub use mechanism::{Mechanism, Mechanisms};
pub(crate) use scram::{ClientFirst, Proved, Proving};

/// What an exchange has to know of its session.
pub(crate) struct Terms<'a> {
    /// What is offered now.
    pub(crate) offered: Mechanisms,
    pub(crate) binding: Option<&'a ChannelBinding>,
    /// For CRAM-MD5: never given out before. None where it is not offered.
    pub(crate) challenge: Option<String>,
    pub(crate) discovery: &'a Discovery,
}

/// An exchange that waits for the client's next response.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// An empty challenge is out, and the client speaks first.
    Initial(Mechanism),
    LoginName,
    LoginPassword {
        user: String,
    },
    CramMd5 {
        challenge: String,
    },
    ScramProving(Box<Proving>),
    ScramProved(Proved),
    /// The error is out, and whatever comes ends the exchange.
    BearerRefused {
        refusal: Refusal,
    },
}

/// What follows from a response.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Send this, encoded, and read the client's response.
    Challenge(Vec<u8>, Exchange),
    /// The exchange is complete: the driver decides.
    Login(Login),
    /// The driver looks keys up.
    ScramKeys(ClientFirst),
}

/// Why an exchange ends here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The client does not keep to the mechanism.
    Malformed(Malformed),
    /// The credentials are wrong, and the session knows it.
    Failed(FailedLogin),
}

/// What is wrong with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Not Base64, or not strictly (RFC 5034 section 4).
    Base64,
    /// Not a message of this mechanism.
    Message,
    /// The mechanism begins with a challenge, so there is nothing to respond to.
    InitialResponse,
    /// "*": the client wants no more of it.
    Cancelled,
}

/// A login that failed within its exchange, or by a PASS that is no password,
/// before anyone was asked to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedLogin {
    /// As whom, where the exchange came so far.
    pub user: Option<String>,
    /// Why.
    pub cause: Cause,
}

/// Why a login failed within its exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// A SCRAM proof that does not fit the keys, or a user without keys.
    Proof,
    /// The client is bound to another channel, or by a type of binding that
    /// this channel has not: perhaps somebody sits in between.
    ChannelBinding,
    /// The client did not see that channel binding is offered: somebody may have
    /// taken it out of the list (RFC 5802 section 6).
    Downgrade,
    /// A name or a password that SASLprep refuses, or a PASS that is not UTF-8.
    Preparation,
}

impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Cause::Proof => "wrong SCRAM proof",
            Cause::ChannelBinding => "wrong channel binding",
            Cause::Downgrade => "channel binding was hidden from the client",
            Cause::Preparation => "name or password cannot be prepared",
        })
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Malformed::Base64 => "not Base64",
            Malformed::Message => "the response does not fit the mechanism",
            Malformed::InitialResponse => "this mechanism takes no initial response",
            Malformed::Cancelled => "authentication cancelled",
        })
    }
}

impl From<Unprepared> for Stop {
    fn from(_: Unprepared) -> Self {
        Stop::Failed(FailedLogin {
            user: None,
            cause: Cause::Preparation,
        })
    }
}

impl Exchange {
    /// AUTH, with the initial response or without.
    pub(crate) fn begin(
        mechanism: Mechanism,
        initial: Option<&[u8]>,
        terms: Terms<'_>,
    ) -> Result<Turn, Stop> {
        let server_first = match mechanism {
            Mechanism::CramMd5 => terms.challenge.clone().map(|challenge| {
                let octets = challenge.clone().into_bytes();
                Turn::Challenge(octets, Exchange::CramMd5 { challenge })
            }),
            // It begins with a challenge, yet clients send the name with AUTH.
            Mechanism::Login if initial.is_none() => {
                let octets = plain::USER_NAME.to_vec();
                Some(Turn::Challenge(octets, Exchange::LoginName))
            }
            _ => None,
        };
        match (server_first, initial) {
            (Some(turn), None) => Ok(turn),
            (Some(_), Some(_)) => Err(Stop::Malformed(Malformed::InitialResponse)),
            (None, None) => Ok(Turn::Challenge(Vec::new(), Exchange::Initial(mechanism))),
            (None, Some(response)) => first_response(mechanism, response, &terms),
        }
    }

    /// The client's next response, decoded.
    pub(crate) fn respond(self, response: &[u8], terms: &Terms<'_>) -> Result<Turn, Stop> {
        match self {
            Exchange::Initial(mechanism) => first_response(mechanism, response, terms),
            Exchange::LoginName => plain::login_name(response),
            Exchange::LoginPassword { user } => plain::login_password(user, response),
            Exchange::CramMd5 { challenge } => digest::cram_md5(challenge, response),
            Exchange::ScramProving(proving) => proving.verify(response),
            Exchange::ScramProved(Proved { user, acting_as }) => match response {
                b"" => Ok(Turn::Login(Login::Proved { user, acting_as })),
                _ => Err(Stop::Malformed(Malformed::Message)),
            },
            // Its refusal is said whatever the response is: by the session.
            Exchange::BearerRefused { .. } => Err(Stop::Malformed(Malformed::Message)),
        }
    }
}

fn first_response(mechanism: Mechanism, response: &[u8], terms: &Terms<'_>) -> Result<Turn, Stop> {
    match mechanism {
        Mechanism::ScramSha256Plus
        | Mechanism::ScramSha1Plus
        | Mechanism::ScramSha256
        | Mechanism::ScramSha1 => ClientFirst::read(mechanism, response, terms),
        Mechanism::External => external::external(response),
        Mechanism::OAuthBearer => Bearer::OAuthBearer.read(response, terms.discovery),
        Mechanism::XOAuth2 => Bearer::XOAuth2.read(response, terms.discovery),
        Mechanism::Plain => plain::plain(response),
        Mechanism::Login => plain::login_name(response),
        Mechanism::CramMd5 => Err(Stop::Malformed(Malformed::InitialResponse)),
    }
}

/// Decodes a line (RFC 4648 section 4): no character outside the alphabet, no
/// white space, padded at the end and only there.
pub(crate) fn decoded(line: &[u8]) -> Result<Sensitive, Malformed> {
    let mut octets = vec![0; base64::decoded_len_estimate(line.len())];
    let decoded = STANDARD.decode_slice(line, &mut octets);
    octets.truncate(*decoded.as_ref().unwrap_or(&0));
    let octets = Sensitive::from(octets);
    decoded.map(|_| octets).map_err(|_| Malformed::Base64)
}

/// A challenge as a line: "+", a space even in front of nothing, Base64.
pub(crate) fn challenge_line(challenge: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"+ ");
    out.extend_from_slice(STANDARD.encode(challenge).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A message that has to be UTF-8.
fn text(message: &[u8]) -> Result<&str, Stop> {
    std::str::from_utf8(message).map_err(|_| Stop::Malformed(Malformed::Message))
}

/// The authorization identity (RFC 5034 section 4), where it is not the
/// authentication identity again.
fn acting_as(authzid: Option<&str>, user: &str) -> Result<Option<String>, Stop> {
    let authzid = match authzid {
        None | Some("") => return Ok(None),
        Some(authzid) => prepare::user_name(authzid)?,
    };
    Ok((authzid != user).then_some(authzid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_strict() {
        for (line, octets) in [
            ("", &b""[..]),
            ("AA==", b"\0"),
            ("dGVzdAB0ZXN0AHRlc3Q=", b"test\0test\0test"),
            ("+/+/", b"\xfb\xff\xbf"),
        ] {
            assert_eq!(&*decoded(line.as_bytes()).unwrap(), octets, "{line}");
        }
        for line in [
            "=",
            "A",
            "AA",
            "AAA",
            "AA=",
            "AAAAA",
            "=AAA",
            "AAA=BBB",
            "AAA=BBBB",
            "AA==AA==",
            "A===",
            "AAAA====",
            "AAAA=",
            "AB==",
            "AAB=",
            " AAAA",
            "AAAA ",
            "AA AA",
            "AA\tAA",
            "AAA-",
            "AAA_",
            "*",
            "\u{e4}\u{e4}",
        ] {
            let error = decoded(line.as_bytes()).map(|octets| octets.to_vec());
            assert_eq!(error, Err(Malformed::Base64), "{line}");
        }
    }

    #[test]
    fn challenges_keep_their_space() {
        let mut out = Vec::new();
        challenge_line(b"", &mut out);
        challenge_line(b"Password:", &mut out);
        assert_eq!(out, b"+ \r\n+ UGFzc3dvcmQ6\r\n");
    }
}

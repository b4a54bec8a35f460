//! An exchange as a state machine: each response of the client, decoded, becomes
//! a [`Turn`]. What a message of a mechanism means is its own file's; this one
//! knows whose turn it is.

use super::bearer::Bearer;
use super::keys::{ScramKeys, ScramNonce};
use super::mechanism::Mechanism;
use super::scram::{ClientFirst, Proved, Proving};
use super::stop::Stop;
use super::terms::{Discovery, Terms};
use super::{digest, external, plain};
use crate::code::ResponseCode;
use crate::login::{Credentials, Login};
use crate::refusal::Refusal;
use crate::syntax::Malformed;

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

impl Turn {
    /// SCRAM goes on: the keys are there.
    ///
    /// # Panics
    /// When the keys are for another hash.
    pub(crate) fn scram_challenge(first: ClientFirst, keys: ScramKeys, nonce: &ScramNonce) -> Self {
        let (challenge, proving) = first.challenge(keys, nonce);
        Turn::Challenge(challenge, Exchange::ScramProving(Box::new(proving)))
    }

    /// Tells the client why its token is refused, and waits for its dummy.
    pub(crate) fn bearer_refused(bearer: Bearer, refusal: Refusal, discovery: &Discovery) -> Self {
        let error = bearer.error(discovery).into_bytes();
        Turn::Challenge(error, Exchange::BearerRefused { refusal })
    }

    fn credentials(credentials: Credentials) -> Self {
        Turn::Login(Login::Credentials(credentials))
    }

    /// LOGIN asks for the password of the user it was told.
    fn login_name(user: String) -> Self {
        let challenge = plain::PASSWORD.to_vec();
        Turn::Challenge(challenge, Exchange::LoginPassword { user })
    }

    fn bearer(bearer: Bearer, message: &[u8], discovery: &Discovery) -> Result<Self, Stop> {
        Ok(match bearer.read(message)? {
            Some(credentials) => Turn::credentials(credentials),
            None => {
                let refusal = Refusal::new(Some(ResponseCode::Auth), "");
                Turn::bearer_refused(bearer, refusal, discovery)
            }
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
            Exchange::LoginName => plain::login_name(response).map(Turn::login_name),
            Exchange::LoginPassword { user } => {
                plain::login_password(user, response).map(Turn::credentials)
            }
            Exchange::CramMd5 { challenge } => {
                digest::cram_md5(challenge, response).map(Turn::credentials)
            }
            Exchange::ScramProving(proving) => {
                let (challenge, proved) = proving.verify(response)?;
                Ok(Turn::Challenge(challenge, Exchange::ScramProved(proved)))
            }
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
        | Mechanism::ScramSha1 => {
            ClientFirst::read(mechanism, response, terms).map(Turn::ScramKeys)
        }
        Mechanism::External => external::external(response).map(Turn::credentials),
        Mechanism::OAuthBearer => Turn::bearer(Bearer::OAuthBearer, response, terms.discovery),
        Mechanism::XOAuth2 => Turn::bearer(Bearer::XOAuth2, response, terms.discovery),
        Mechanism::Plain => plain::plain(response).map(Turn::credentials),
        Mechanism::Login => plain::login_name(response).map(Turn::login_name),
        Mechanism::CramMd5 => Err(Stop::Malformed(Malformed::InitialResponse)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::Mechanisms;

    #[test]
    fn a_missing_token_fails_once_the_client_has_heard_what_is_wanted() {
        let terms = Terms {
            offered: Mechanisms::NONE.with(Mechanism::OAuthBearer),
            binding: None,
            challenge: None,
            discovery: &Discovery::default(),
        };
        let message = b"n,,\x01auth=\x01\x01";
        match Exchange::begin(Mechanism::OAuthBearer, Some(message), terms) {
            Ok(Turn::Challenge(challenge, Exchange::BearerRefused { refusal })) => {
                assert_eq!(challenge, br#"{"status":"invalid_token"}"#);
                assert_eq!(refusal.code(), Some(ResponseCode::Auth));
            }
            turn => panic!("{turn:?}"),
        }
    }
}

//! How somebody logs in: what a client shows, and why it may come to nothing.
//! Plain values; whether they are right is for the driver.

use std::fmt;

use crate::secret::Secret;

/// Somebody logs in.
#[derive(Debug)]
pub enum Login {
    /// With something that has to be judged.
    Credentials(Credentials),
    /// SCRAM: the client has proved to know the password behind the keys of the
    /// last [`AuthorizationAction::ScramKeys`](crate::AuthorizationAction::ScramKeys).
    Proved {
        /// The authentication identity.
        user: String,
        /// The identity to act as: nobody has allowed that yet.
        acting_as: Option<String>,
    },
}

/// What a client shows to prove who it is. Names are not empty, prepared with
/// SASLprep (RFC 4013), and so without control characters; those to act as are
/// there only where they differ from the user's.
#[derive(Debug)]
pub enum Credentials {
    /// USER and PASS (RFC 1939 section 7), PLAIN, LOGIN.
    Password {
        /// The authentication identity.
        user: String,
        /// The identity to act as (SASL's authorization identity).
        acting_as: Option<String>,
        /// Prepared with SASLprep.
        secret: Secret,
    },
    /// APOP (RFC 1939 section 7), CRAM-MD5 (RFC 2195).
    Digest {
        /// The authentication identity.
        user: String,
        /// How the digest was made.
        algorithm: DigestAlgorithm,
        /// What this session had asked, angle brackets included.
        challenge: String,
        /// The digest in lower-case hexadecimal.
        response: String,
    },
    /// OAUTHBEARER (RFC 7628), XOAUTH2. A refusal with
    /// [`ResponseCode::Auth`](crate::ResponseCode::Auth) is told to the client as OAuth wants it.
    Bearer {
        /// As whom, as the client says; OAUTHBEARER may leave it out.
        user: Option<String>,
        /// The access token: `b64token` of RFC 6750 section 2.1.
        token: Secret,
        /// The server's name, as the client says (RFC 7628 section 3.2 wants it
        /// compared with what the server knows of it).
        host: Option<String>,
        /// The server's port, as the client says.
        port: Option<u16>,
    },
    /// EXTERNAL (RFC 4422 appendix A): the certificate that the driver has from
    /// TLS.
    Certificate {
        /// The identity to act as; None: the certificate's own.
        acting_as: Option<String>,
    },
}

impl Credentials {
    /// Every name that the client gave: who it says it is, and who it wants to be.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let other = match self {
            Credentials::Password { acting_as, .. } => acting_as.as_deref(),
            _ => None,
        };
        self.user().into_iter().chain(other)
    }

    /// The same with each name as `rename` has it.
    #[must_use]
    pub fn renamed(mut self, rename: impl Fn(&str) -> String) -> Self {
        let (user, other) = match &mut self {
            Credentials::Password {
                user, acting_as, ..
            } => (Some(user), acting_as.as_mut()),
            Credentials::Digest { user, .. } => (Some(user), None),
            Credentials::Bearer { user, .. } => (user.as_mut(), None),
            Credentials::Certificate { acting_as } => (None, acting_as.as_mut()),
        };
        for name in [user, other].into_iter().flatten() {
            *name = rename(name);
        }
        self
    }

    /// The same for nobody but their owner, and whom the client wants to act as; None
    /// where it asks for nobody.
    pub fn without_acting_as(&self) -> Option<(Credentials, &str)> {
        match self {
            Credentials::Password {
                user,
                acting_as: Some(other),
                secret,
            } => {
                let own = Credentials::Password {
                    user: user.clone(),
                    acting_as: None,
                    secret: secret.clone(),
                };
                Some((own, other))
            }
            Credentials::Certificate {
                acting_as: Some(other),
            } => Some((Credentials::Certificate { acting_as: None }, other)),
            // A bearer token is for one user: the name beside it is that user's or none.
            Credentials::Password { .. }
            | Credentials::Certificate { .. }
            | Credentials::Digest { .. }
            | Credentials::Bearer { .. } => None,
        }
    }

    /// The name that the client gave itself, where it did.
    pub fn user(&self) -> Option<&str> {
        match self {
            Credentials::Password { user, .. } | Credentials::Digest { user, .. } => Some(user),
            Credentials::Bearer { user, .. } => user.as_deref(),
            Credentials::Certificate { acting_as } => acting_as.as_deref(),
        }
    }
}

/// How a [`Credentials::Digest`] is made of challenge and secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// MD5(challenge + secret): APOP (RFC 1939 section 7).
    Md5,
    /// HMAC-MD5 of the challenge, keyed with the secret: CRAM-MD5 (RFC 2195).
    HmacMd5,
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

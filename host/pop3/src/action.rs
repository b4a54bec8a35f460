//! What a session and its driver say to each other: the plain types of the
//! contract. When they are said is decided in `session`.

use std::fmt;

use crate::maildrop::MessageNumber;
use crate::sasl::{FailedLogin, ScramHash};
use crate::secret::Secret;

/// What the driver does next.
#[derive(Debug)]
pub enum Step {
    /// The input is used up: write `out`, then read.
    Read,
    /// `out` is full: write it, then step again.
    Flush,
    /// Do this, answer it, then step again.
    Act(Action),
    /// Write `out`, then close.
    Close(Close),
}

/// What only the driver can do. Each is answered by exactly one call.
#[derive(Debug)]
pub enum Action {
    /// Authenticate, lock and open: [`Session::logged_in`](crate::Session::logged_in) or
    /// [`Session::refuse`](crate::Session::refuse).
    Login(Login),
    /// Look up what SCRAM needs to know of a user:
    /// [`Session::scram_keys`](crate::Session::scram_keys). If the exchange succeeds,
    /// [`Login::Proved`] follows, for the user of the last such question.
    ScramKeys {
        /// The authentication identity, prepared with SASLprep.
        user: String,
        /// The identity to act as, likewise, where it differs. The keys are the
        /// user's all the same; whether it is allowed is for the answer to
        /// [`Login::Proved`].
        acting_as: Option<String>,
        /// For which hash function.
        hash: ScramHash,
    },
    /// Nobody is logged in, and the session knows it already. Log it, count it,
    /// let the client wait, as after any other login that failed, then
    /// [`Session::refuse`](crate::Session::refuse), with [`ResponseCode::Auth`](crate::ResponseCode::Auth).
    LoginFailed(FailedLogin),
    /// "+OK" is in `out` already: write it, throw away every octet received
    /// behind it (they came in the clear), shake hands,
    /// [`Session::tls_started`](crate::Session::tls_started). A failed handshake closes the connection.
    StartTls,
    /// Send a message: [`Session::retrieving`](crate::Session::retrieving) once its octets are at hand, then
    /// [`Session::retrieved`](crate::Session::retrieved); or [`Session::refuse`](crate::Session::refuse).
    Retrieve {
        /// Which one.
        message: MessageNumber,
        /// Its octets, as the listing has them.
        octets: u64,
        /// None: all of it (RETR). Else the header and this many lines of the
        /// body (TOP).
        body_lines: Option<u64>,
        /// The client takes UTF-8 as it is. Without it no octet above 0x7F may
        /// stand in a header: a surrogate is sent, or the message refused with
        /// [`ResponseCode::Utf8`](crate::ResponseCode::Utf8) (RFC 6856 sections 2.1 and 5).
        utf8: bool,
    },
    /// Remove these, by rising number: [`Session::updated`](crate::Session::updated) or
    /// [`Session::refuse`](crate::Session::refuse). Asked for an empty list too.
    Update {
        /// The messages marked deleted, and no other.
        remove: Vec<MessageNumber>,
    },
}

/// What a client shows to log in. Names are not empty, prepared with SASLprep
/// (RFC 4013), and so without control characters; those to act as are there only
/// where they differ from the user's.
#[derive(Debug)]
pub enum Login {
    /// USER and PASS, PLAIN, LOGIN.
    Password {
        /// The authentication identity.
        user: String,
        /// The identity to act as (SASL's authorization identity).
        acting_as: Option<String>,
        /// Prepared with SASLprep.
        secret: Secret,
    },
    /// APOP, CRAM-MD5.
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
    /// OAUTHBEARER, XOAUTH2. A refusal with [`ResponseCode::Auth`](crate::ResponseCode::Auth) is told to
    /// the client as OAuth wants it.
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
    /// EXTERNAL: the certificate that the driver has from TLS.
    Certificate {
        /// The identity to act as; None: the certificate's own.
        acting_as: Option<String>,
    },
    /// SCRAM: the client has proved to know the password behind the keys of the
    /// last [`Action::ScramKeys`].
    Proved {
        /// The authentication identity.
        user: String,
        /// The identity to act as: nobody has allowed that yet.
        acting_as: Option<String>,
    },
}

/// How a [`Login::Digest`] is made of challenge and secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// MD5(challenge + secret): APOP (RFC 1939 section 7).
    Md5,
    /// HMAC-MD5 of the challenge, keyed with the secret: CRAM-MD5 (RFC 2195).
    HmacMd5,
}

/// Why the session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// The client said so, and what it wanted removed is.
    Quit,
    /// The client said so, and not everything could be removed.
    UpdateFailed,
    /// Too many bad commands. Nothing is removed.
    BadCommands,
    /// Too many failed logins.
    LoginFailures,
    /// The driver did not let the client in.
    TurnedAway,
}

impl fmt::Display for Close {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Close::Quit => "quit",
            Close::UpdateFailed => "update failed",
            Close::BadCommands => "too many bad commands",
            Close::LoginFailures => "too many failed logins",
            Close::TurnedAway => "turned away",
        })
    }
}

/// The states of RFC 1939 section 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody is logged in.
    Authorization,
    /// A maildrop is open.
    Transaction,
    /// QUIT was said in TRANSACTION.
    Update,
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            State::Authorization => "AUTHORIZATION",
            State::Transaction => "TRANSACTION",
            State::Update => "UPDATE",
        })
    }
}

/// What a session did, for the line that is logged at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// RETR commands served to the end.
    pub retr: u64,
    /// Octets they sent, without byte-stuffing and the terminating line.
    pub retr_octets: u64,
    /// TOP commands served to the end.
    pub top: u64,
    /// Octets they sent.
    pub top_octets: u64,
    /// Messages marked deleted, when the session ended or went to UPDATE.
    pub del: u64,
    /// Messages in the maildrop at login.
    pub messages: u64,
    /// Their octets.
    pub octets: u64,
}

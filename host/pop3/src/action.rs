//! What a session and its driver say to each other: the plain types of the
//! contract. When they are said is decided in `session`.

use std::fmt;

use crate::login::{FailedLogin, Login};
use crate::maildrop::MessageNumber;
use crate::sasl::ScramHash;

/// What the driver does next; `A` is what a session in this state may ask for.
#[derive(Debug)]
pub enum Step<A> {
    /// The input is used up: write `out`, then read.
    Read,
    /// `out` is full: write it, then step again.
    Flush,
    /// Do this, answer it, then step again.
    Act(A),
    /// Write `out`, then close.
    Close(Close),
}

/// What only the driver can do before somebody is logged in. Each is answered by
/// exactly one call.
#[derive(Debug)]
pub enum AuthorizationAction {
    /// Authenticate, lock and open: [`Session::logged_in`](crate::Session::logged_in) or
    /// [`Session::refuse_login`](crate::Session::refuse_login).
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
    /// [`Session::refuse_login`](crate::Session::refuse_login), with
    /// [`ResponseCode::Auth`](crate::ResponseCode::Auth).
    LoginFailed(FailedLogin),
    /// "+OK" is in `out` already: write it, throw away every octet received
    /// behind it (they came in the clear), shake hands,
    /// [`Session::tls_started`](crate::Session::tls_started). A failed handshake closes the connection.
    StartTls,
}

/// What only the driver can do once a maildrop is open. Each is answered by exactly
/// one call.
#[derive(Debug)]
pub enum TransactionAction {
    /// Send a message: [`Session::retrieving`](crate::Session::retrieving) once its octets are at hand, then
    /// [`Session::retrieved`](crate::Session::retrieved); or [`Session::refuse`](crate::Session::refuse).
    Retrieve(Retrieval),
    /// Remove these, by rising number: [`Session::updated`](crate::Session::updated) or
    /// [`Session::refuse_update`](crate::Session::refuse_update). Asked for an empty list too.
    Update {
        /// The messages marked deleted, and no other.
        remove: Vec<MessageNumber>,
    },
}

/// Which message, and how the client wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retrieval {
    /// Which one.
    pub message: MessageNumber,
    /// Its octets, as the listing has them.
    pub octets: u64,
    /// None: all of it (RETR). Else the header and this many lines of the body
    /// (TOP).
    pub body_lines: Option<u64>,
    /// The client takes UTF-8 as it is. Without it no octet above 0x7F may stand
    /// in a header: a surrogate is sent, or the message refused with
    /// [`ResponseCode::Utf8`](crate::ResponseCode::Utf8) (RFC 6856 sections 2.1 and 5).
    pub utf8: bool,
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

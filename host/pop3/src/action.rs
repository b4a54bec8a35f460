//! What a session and its driver say to each other: the plain types of the
//! contract. When they are said is decided in `session`.

use std::fmt;

use crate::maildrop::MessageNumber;
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
    },
    /// Remove these, by rising number: [`Session::updated`](crate::Session::updated) or
    /// [`Session::refuse`](crate::Session::refuse). Asked for an empty list too.
    Update {
        /// The messages marked deleted, and no other.
        remove: Vec<MessageNumber>,
    },
}

/// What a client shows to log in.
#[derive(Debug)]
pub enum Login {
    /// USER and PASS.
    Password {
        /// As USER said it: not empty, without control characters.
        user: String,
        /// As PASS said it.
        secret: Secret,
    },
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
}

impl fmt::Display for Close {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Close::Quit => "quit",
            Close::UpdateFailed => "update failed",
            Close::BadCommands => "too many bad commands",
            Close::LoginFailures => "too many failed logins",
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

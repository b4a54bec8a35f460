//! How a connection may end.

use std::fmt;
use std::io;

use restante_pop3::Close;

use crate::sessions::EndedBy;
use restante_roles::content::ContentError;

/// Why a connection ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum End {
    /// The session ended itself.
    Session(Close),
    /// The client went away.
    Disconnected,
    /// The socket failed.
    Socket(io::Error),
    /// Nobody was logged in in time.
    LoginTimeout,
    /// No command came in time (RFC 1939 section 3).
    Autologout,
    /// The client took no octet in time.
    WriteTimeout,
    /// TLS could not be agreed on.
    Handshake(io::Error),
    /// The handshake was not over in time.
    HandshakeTimeout,
    /// TLS was asked for and there is no certificate.
    NoCertificate,
    /// It had to make room for a newer one before it logged in.
    Displaced,
    /// The server ends.
    Shutdown,
    /// Somebody else ended it.
    EndedBy(EndedBy),
    /// Its generation had to go.
    Drained,
    /// A message broke off after "+OK".
    BrokenOff(BrokenOff),
}

/// How a message turned out not to be what was promised.
#[derive(Debug, thiserror::Error)]
pub enum BrokenOff {
    /// Its octets ended before it did.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The store's listing counted it differently.
    #[error("it has {actual} octets, its listing says {listed}")]
    Octets {
        /// What the listing says.
        listed: u64,
        /// What was there; more may have been to come.
        actual: u64,
    },
}

impl From<BrokenOff> for End {
    fn from(why: BrokenOff) -> Self {
        End::BrokenOff(why)
    }
}

impl fmt::Display for End {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Session(close) => close.fmt(out),
            End::Disconnected => out.write_str("disconnected"),
            End::Socket(error) => write!(out, "connection failed: {error}"),
            End::LoginTimeout => out.write_str("no login in time"),
            End::Autologout => out.write_str("autologout"),
            End::WriteTimeout => out.write_str("client takes nothing"),
            End::Handshake(error) => write!(out, "TLS handshake failed: {error}"),
            End::HandshakeTimeout => out.write_str("TLS handshake not over in time"),
            End::NoCertificate => out.write_str("no certificate"),
            End::Displaced => out.write_str("made room for newer connections"),
            End::Shutdown => out.write_str("server shutdown"),
            End::EndedBy(EndedBy::Operator) => out.write_str("ended by an operator"),
            End::EndedBy(EndedBy::TakeOver(session)) => {
                write!(
                    out,
                    "a later login of this user took the maildrop over: session {session}"
                )
            }
            End::EndedBy(EndedBy::ClientGone) => {
                out.write_str("the client is gone, and a later login wants the maildrop")
            }
            End::Drained => out.write_str("its configuration was replaced too long ago"),
            End::BrokenOff(why) => write!(out, "message broke off: {why}"),
        }
    }
}

//! What a session and its driver say to each other: the plain types of the
//! contract. When they are said is decided in `session`.

use std::fmt;

use crate::client::Attributes;
use crate::envelope::{Mail, Recipient};

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

/// What only the driver can do between messages. Each is answered by exactly one
/// call.
#[derive(Debug)]
pub enum Action {
    /// A transaction begins: [`Session::mail`](crate::Session::mail). What is known of an
    /// earlier one is void.
    Mail(Mail),
    /// Is this somebody here, and is there room: [`Session::recipient`](crate::Session::recipient).
    /// The driver keeps those that it accepts, in their order; the session counts them.
    /// They are void once [`Session::state`](crate::Session::state) is [`State::Ready`] or
    /// [`State::Greeted`]: RSET and others end a transaction without a word to the driver.
    Recipient(Recipient),
    /// The message comes: [`Session::receive`](crate::Session::receive), or
    /// [`Session::refuse_message`](crate::Session::refuse_message).
    Message,
    /// XCLIENT: the connection is another client's from here on.
    /// [`Session::client`](crate::Session::client).
    Client(Attributes),
    /// "220" is in `out` already: write it, throw away every octet received
    /// behind it (they came in the clear), shake hands,
    /// [`Session::tls_started`](crate::Session::tls_started). A failed handshake closes the
    /// connection.
    StartTls,
}

/// What the driver does next while a message comes.
#[derive(Debug, PartialEq, Eq)]
pub enum Receive<'a> {
    /// The input is used up: write `out`, then read. A driver that has no room for
    /// more of the message reads later.
    Read,
    /// `out` is full: write it, then step again.
    Flush,
    /// These octets of the message come next: at least one, byte-stuffing undone, line
    /// ends as they came.
    Octets(&'a [u8]),
    /// The message is whole: [`Session::whole`](crate::Session::whole).
    Whole,
    /// Nothing becomes of it: throw away what came, and call
    /// [`Session::dropped`](crate::Session::dropped).
    Dropped(Dropped),
}

/// Why nothing becomes of a message that had begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// It is larger than [`Limits::message_octets`](crate::Limits::message_octets).
    TooLarge,
    /// It has a CR or LF that is no part of a CRLF:
    /// [`BareLineEnds::Refuse`](crate::BareLineEnds::Refuse).
    BareLineEnd,
    /// The client took it back, or broke the order of commands between two chunks.
    Aborted,
}

impl fmt::Display for Dropped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Dropped::TooLarge => "message too large",
            Dropped::BareLineEnd => "bare CR or LF in the message",
            Dropped::Aborted => "given up by the client",
        })
    }
}

/// Why the session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// The client said so.
    Quit,
    /// Too many bad commands.
    BadCommands,
    /// A BDAT without a number of octets: what follows may be a message or commands.
    BadChunk,
    /// The driver ended it.
    TurnedAway,
}

impl fmt::Display for Close {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Close::Quit => "quit",
            Close::BadCommands => "too many bad commands",
            Close::BadChunk => "bad BDAT",
            Close::TurnedAway => "turned away",
        })
    }
}

/// Why a driver ends a session, by 421.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnAway {
    /// The server is going down: 4.3.2.
    GoingDown,
    /// There are too many connections: 4.7.0.
    TooManyConnections,
    /// The client was silent for too long: 4.4.2.
    Timeout,
}

/// Where a session stands, for the driver's timers (RFC 5321 section 4.5.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// LHLO is to come, also after STARTTLS and XCLIENT.
    Greeted,
    /// Between transactions.
    Ready,
    /// MAIL was accepted: recipients and the message are to come.
    Transaction,
    /// A message comes, or what has been refused of one.
    Message,
    /// Each recipient is to be answered.
    Answering,
    /// Over.
    Closed,
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            State::Greeted => "greeted",
            State::Ready => "ready",
            State::Transaction => "transaction",
            State::Message => "message",
            State::Answering => "answering",
            State::Closed => "closed",
        })
    }
}

/// What a session did, for the line that is logged at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Messages that came whole.
    pub messages: u64,
    /// Their octets, as SIZE counts them.
    pub message_octets: u64,
    /// Recipients that were answered positively once the message was whole.
    pub delivered: u64,
    /// Recipients that were answered negatively then.
    pub refused: u64,
}

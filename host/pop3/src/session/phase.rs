//! Where a session stands, and what it owns there.

use crate::action::{Close, State};
use crate::maildrop::Maildrop;
use crate::reply::Lines;
use crate::sasl::{Bearer, ClientFirst, Exchange};

/// Where a session stands. Phases that wait for the driver's answer are named
/// after what it is doing.
pub(super) enum Phase {
    /// AUTHORIZATION. The user is there only if the line before was an accepted
    /// USER, failed AUTHs not counted: PASS has to follow "immediately" (RFC 1939
    /// section 7).
    Authorization {
        user: Option<String>,
    },
    /// In the middle of AUTH: the next line is a response, whatever it says.
    Exchanging(Exchange),
    FetchingKeys(ClientFirst),
    LoggingIn {
        /// With a token: a refusal takes one turn more.
        bearer: Option<Bearer>,
    },
    LoginFailing,
    StartingTls,
    /// TRANSACTION.
    Transaction(Maildrop),
    /// In the middle of a multi-line LIST or UIDL.
    Listing(Maildrop, Lines),
    /// Asked for a message, nothing promised to the client yet.
    Retrieving(Maildrop, Retrieval),
    /// "+OK" is out: either the whole message follows, or the connection ends.
    Sending(Maildrop, Retrieval),
    /// UPDATE.
    Updating {
        left: usize,
    },
    Over(State, Close),
}

pub(super) struct Retrieval {
    pub(super) octets: u64,
    pub(super) top: bool,
}

impl Phase {
    pub(super) fn state(&self) -> State {
        match self {
            Phase::Authorization { .. }
            | Phase::Exchanging(_)
            | Phase::FetchingKeys(_)
            | Phase::LoggingIn { .. }
            | Phase::LoginFailing
            | Phase::StartingTls => State::Authorization,
            Phase::Transaction(_)
            | Phase::Listing(..)
            | Phase::Retrieving(..)
            | Phase::Sending(..) => State::Transaction,
            Phase::Updating { .. } => State::Update,
            Phase::Over(state, _) => *state,
        }
    }

    pub(super) fn maildrop(&self) -> Option<&Maildrop> {
        match self {
            Phase::Transaction(maildrop)
            | Phase::Listing(maildrop, _)
            | Phase::Retrieving(maildrop, _)
            | Phase::Sending(maildrop, _) => Some(maildrop),
            Phase::Authorization { .. }
            | Phase::Exchanging(_)
            | Phase::FetchingKeys(_)
            | Phase::LoggingIn { .. }
            | Phase::LoginFailing
            | Phase::StartingTls
            | Phase::Updating { .. }
            | Phase::Over(..) => None,
        }
    }

    /// For the messages of panics: what the driver was asked and has not
    /// answered.
    fn question(&self) -> &'static str {
        match self {
            Phase::FetchingKeys(_) => "Action::ScramKeys",
            Phase::LoggingIn { .. } => "Action::Login",
            Phase::LoginFailing => "Action::LoginFailed",
            Phase::StartingTls => "Action::StartTls",
            Phase::Retrieving(..) => "Action::Retrieve",
            Phase::Sending(..) => "Action::Retrieve (retrieved() is due)",
            Phase::Updating { .. } => "Action::Update",
            Phase::Authorization { .. }
            | Phase::Exchanging(_)
            | Phase::Transaction(_)
            | Phase::Listing(..)
            | Phase::Over(..) => "nothing",
        }
    }

    pub(super) fn unasked(self, answer: &str) -> ! {
        panic!(
            "{answer} does not answer what was asked: {}",
            self.question()
        )
    }
}

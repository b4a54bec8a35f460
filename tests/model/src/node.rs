//! A node, with the one session that the locks of its process let at the maildrop.

use crate::{Messages, Token};

/// How far a removal is, as its node knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Removal {
    /// Sent; no answer yet.
    Begun,
    /// The server says that it is committed.
    Committed,
    /// The server says that the token is not that of the hold.
    Refused,
    /// The connection was lost before an answer: it has to be asked for.
    Unknown,
}

/// The session at the maildrop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Session {
    /// None.
    Idle,
    /// In TRANSACTION.
    Holding {
        /// Its hold.
        token: Token,
        /// What the client was told of, and marks for removal.
        listed: Messages,
    },
    /// In UPDATE.
    Removing {
        /// Its hold.
        token: Token,
        /// What is removed.
        listed: Messages,
        /// How far it is.
        removal: Removal,
        /// Whether it was sent a second time.
        again: bool,
    },
}

/// A node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// The term it believes in.
    pub term: u8,
    /// Which of the two servers it is connected to.
    pub side: u8,
    /// What it does at the maildrop.
    pub session: Session,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self {
            term: 1,
            side: 0,
            session: Session::Idle,
        }
    }
}

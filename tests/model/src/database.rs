//! A database server: committed rows, transactions under way, and what is in its log and not yet
//! at its standby.

use crate::{FIRST, Messages, NODES, NodeId, Token};

/// The row of the maildrop in `hold`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    /// Nobody holds it.
    Free,
    /// Held, as long as the term lasts.
    Held {
        /// By whom.
        node: NodeId,
        /// In which term of that node.
        term: u8,
        /// What the holder shows to remove.
        token: Token,
    },
}

impl Hold {
    /// Whether this node may take it, or take it over.
    pub(crate) fn is_free_for(
        &self,
        terms: &[Term; NODES],
        taker: NodeId,
        taker_term: u8,
        own_term_too: bool,
    ) -> bool {
        match *self {
            Self::Free => true,
            Self::Held { node, term, .. } => {
                let of_node = terms[usize::from(node)];
                let over = !(of_node.lasts && of_node.number == term);
                let own =
                    node == taker && (term < taker_term || own_term_too && term == taker_term);
                over || own
            }
        }
    }
}

/// The row of a node in `node`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term {
    /// Grows each time the node begins anew.
    pub number: u8,
    /// Whether the database's clock is before `expires`.
    pub lasts: bool,
}

/// How far a removal is, in the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Sent; it may have to wait for the row lock.
    Begun,
    /// It has the row lock, and the token was right.
    Checked,
    /// The commit is in the server's log, and waits for the standby. Nobody sees it yet.
    Committing,
}

/// A removal as the server has it. It goes on when the connection is lost, or is rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// Who sent it.
    pub node: NodeId,
    /// The token it shows.
    pub token: Token,
    /// What it removes.
    pub messages: Messages,
    /// How far it is.
    pub phase: Phase,
    /// Whether the connection it came by is lost: nobody hears how it ends.
    pub orphan: bool,
}

/// One server with what is committed there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Database {
    /// Who holds the maildrop.
    pub hold: Hold,
    /// The nodes' terms.
    pub terms: [Term; NODES],
    /// What is in the maildrop.
    pub messages: Messages,
    /// Who removed each message; 0: nobody.
    pub removed_by: [Token; 2],
    /// The tokens by which a removal was committed, one bit each.
    pub removals: u8,
    /// Removals under way.
    pub transactions: Vec<Transaction>,
    /// Whether the commit of a delivery is in the log and waits for the standby.
    pub appending: bool,
}

impl Database {
    /// With one message, all nodes in their first term.
    pub(crate) fn new() -> Self {
        let term = Term {
            number: 1,
            lasts: true,
        };
        Self {
            hold: Hold::Free,
            terms: [term; NODES],
            messages: FIRST,
            removed_by: [0; 2],
            removals: 0,
            transactions: Vec::new(),
            appending: false,
        }
    }

    /// Whether a transaction has the lock on the row of the hold.
    pub fn is_locked(&self) -> bool {
        let mut under_way = self.transactions.iter();
        under_way.any(|transaction| transaction.phase != Phase::Begun)
    }

    /// Whether this is the token of the hold.
    pub fn is_held_by(&self, shown: Token) -> bool {
        matches!(self.hold, Hold::Held { token, .. } if token == shown)
    }

    /// Whether a removal by this token was committed.
    pub fn has_removed(&self, token: Token) -> bool {
        self.removals & (1 << token) != 0
    }

    /// Whether the statement that acquires would find its condition met.
    pub(crate) fn is_free_for(&self, taker: NodeId, taker_term: u8, own_term_too: bool) -> bool {
        (self.hold).is_free_for(&self.terms, taker, taker_term, own_term_too)
    }

    /// Makes a removal visible: all of it at once. The hold stays, for the node to give back.
    pub(crate) fn apply(&mut self, transaction: &Transaction, one_marker: bool) {
        for (bit, removed_by) in self.removed_by.iter_mut().enumerate() {
            let message = 1 << bit;
            if self.messages & transaction.messages & message != 0 {
                *removed_by = transaction.token;
            }
        }
        self.messages &= !transaction.messages;
        if one_marker {
            self.removals = 0;
        }
        self.removals |= 1 << transaction.token;
    }

    /// What another server has of this one when it has all of the log; transactions end with
    /// the server they are in.
    pub(crate) fn replica(&self) -> Self {
        Self {
            transactions: Vec::new(),
            appending: false,
            ..self.clone()
        }
    }
}

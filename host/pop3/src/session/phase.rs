//! What the states of a session have in common.

use std::fmt;

use super::context::Context;
use crate::action::{State, Step};

/// A state of a session, as a type: what it owns, and what is legal in it.
pub trait Phase {
    /// What only the driver can do in it.
    type Action: fmt::Debug;

    /// Goes on by one command, one response or one piece of a listing. None:
    /// there may be more to do at once.
    ///
    /// # Panics
    /// When the last action is not answered yet.
    fn advance(
        &mut self,
        context: &mut Context,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Step<Self::Action>>;

    /// Nothing more is done.
    ///
    /// # Panics
    /// In the middle of an answer, and while an action waits for its own.
    fn turn_away(&mut self);

    /// By the name that RFC 1939 has for it.
    fn state(&self) -> State;

    /// How many messages are marked deleted, where there is a maildrop.
    fn marked(&self) -> Option<usize>;
}

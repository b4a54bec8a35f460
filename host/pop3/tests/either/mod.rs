//! A session in whichever state it has come to, for drivers that take it from the
//! greeting to the end in one loop. Shared with the fuzz targets.

use restante_pop3::{
    Authorization, AuthorizationAction, Maildrop, Session, State, Step, Summary, Transaction,
    TransactionAction,
};

/// A session before its login, or after.
pub(crate) enum Either {
    Authorization(Session<Authorization>),
    Transaction(Session<Transaction>),
    /// Its login panicked.
    Gone,
}

/// What it asks for.
#[derive(Debug)]
pub(crate) enum Action {
    Authorization(AuthorizationAction),
    Transaction(TransactionAction),
}

impl Either {
    pub(crate) fn step(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Step<Action> {
        match self {
            Either::Authorization(session) => map(session.step(input, out), Action::Authorization),
            Either::Transaction(session) => map(session.step(input, out), Action::Transaction),
            Either::Gone => panic!("the session is gone"),
        }
    }

    /// The session that asked an [`AuthorizationAction`].
    pub(crate) fn authorization(&mut self) -> &mut Session<Authorization> {
        match self {
            Either::Authorization(session) => session,
            _ => panic!("not in AUTHORIZATION"),
        }
    }

    /// The session that asked a [`TransactionAction`].
    pub(crate) fn transaction(&mut self) -> &mut Session<Transaction> {
        match self {
            Either::Transaction(session) => session,
            _ => panic!("not in TRANSACTION"),
        }
    }

    pub(crate) fn logged_in(&mut self, maildrop: Maildrop, out: &mut Vec<u8>) {
        *self = match std::mem::replace(self, Either::Gone) {
            Either::Authorization(session) => Either::Transaction(session.logged_in(maildrop, out)),
            _ => panic!("not in AUTHORIZATION"),
        };
    }

    #[allow(dead_code, reason = "not every driver asks")]
    pub(crate) fn state(&self) -> State {
        match self {
            Either::Authorization(session) => session.state(),
            Either::Transaction(session) => session.state(),
            Either::Gone => panic!("the session is gone"),
        }
    }

    #[allow(dead_code, reason = "not every driver asks")]
    pub(crate) fn summary(&self) -> Summary {
        match self {
            Either::Authorization(session) => session.summary(),
            Either::Transaction(session) => session.summary(),
            Either::Gone => panic!("the session is gone"),
        }
    }
}

fn map<A>(step: Step<A>, action: fn(A) -> Action) -> Step<Action> {
    match step {
        Step::Read => Step::Read,
        Step::Flush => Step::Flush,
        Step::Act(asked) => Step::Act(action(asked)),
        Step::Close(close) => Step::Close(close),
    }
}

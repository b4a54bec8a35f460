//! What a call of a guest was answered from memory. A login that is refused is refused by what
//! a database says now, so these are asked for once more before.

use std::sync::Arc;

use restante_engine::{Answer, Statement};

use crate::instance::databases::SharedDatabase;

/// Remembered answers in one call. After that the database is asked.
const MAX_ANSWERS: usize = 16;

/// An answer from memory.
#[derive(Debug)]
pub(crate) struct Recalled {
    pub(crate) database: Arc<SharedDatabase>,
    pub(crate) statement: Statement,
    pub(crate) answer: Answer,
}

/// Whether a call may be answered from memory, and what was.
#[derive(Debug, Default)]
pub(crate) struct Recall {
    is_allowed: bool,
    recalled: Vec<Recalled>,
    /// A database says something else by now.
    is_outdated: bool,
}

impl Recall {
    /// From now on, if whoever calls asks again before it trusts a refusal.
    pub(crate) fn allow(&mut self) {
        self.is_allowed = true;
    }

    /// Whether answers are remembered for later calls.
    pub(crate) fn is_allowed(&self) -> bool {
        self.is_allowed
    }

    /// What is remembered of a query of this tenant's.
    pub(crate) fn answer(
        &mut self,
        tenant: &str,
        database: &Arc<SharedDatabase>,
        statement: &Statement,
    ) -> Option<Answer> {
        if !self.is_allowed || self.recalled.len() == MAX_ANSWERS {
            return None;
        }
        let answer = database.recall(tenant, statement)?;
        self.recalled.push(Recalled {
            database: database.clone(),
            statement: statement.clone(),
            answer: answer.clone(),
        });
        Some(answer)
    }

    /// What was answered from memory holds no more: the call has to be made once more.
    pub(crate) fn set_outdated(&mut self) {
        self.is_outdated = true;
    }

    /// Whether that is so.
    pub(crate) fn is_outdated(&self) -> bool {
        self.is_outdated
    }

    /// Nothing is answered from memory any more, in this call.
    pub(crate) fn forbid(&mut self) {
        self.is_allowed = false;
    }

    /// What was answered from memory.
    pub(crate) fn take(&mut self) -> Vec<Recalled> {
        std::mem::take(&mut self.recalled)
    }
}

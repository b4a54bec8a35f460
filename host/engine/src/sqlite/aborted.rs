//! Why a transaction was not made.

use crate::problem::Problem;

/// Why a transaction was not made.
pub(super) enum Aborted {
    Sqlite(rusqlite::Error),
    /// At its commit.
    Commit(rusqlite::Error),
    Problem(Problem),
}

impl From<rusqlite::Error> for Aborted {
    fn from(error: rusqlite::Error) -> Self {
        Aborted::Sqlite(error)
    }
}

impl From<Problem> for Aborted {
    fn from(problem: Problem) -> Self {
        Aborted::Problem(problem)
    }
}

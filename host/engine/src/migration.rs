//! What a change of an engine's tables would do, told before it is done.

use std::fmt;

use crate::problem::Problem;

/// What may be done to an engine's tables when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tables {
    /// Nothing, and they have to be there: an engine without any may be one whose file system
    /// or database is away.
    Expected,
    /// They are made where there are none.
    Made,
    /// Likewise, and those of an older version are changed.
    Migrated,
}

/// What an operator does about an engine without tables that has to have some.
pub const NO_TABLES: &str = "there are no tables in it: if its file system or database is away, \
                             bring it back; if it is new, make them with `restante engine \
                             migrate --config FILE NAME --yes`";

impl Tables {
    /// Whether this migration may be made.
    ///
    /// # Errors
    /// It may not.
    pub(crate) fn allow(self, migration: &Migration) -> Result<(), Problem> {
        match (self, migration.from) {
            (Tables::Expected, 0) => Err(Problem::Unavailable(format!(
                "{}: {NO_TABLES}",
                migration.database
            ))),
            (Tables::Expected | Tables::Made, 1..) => Err(Problem::Invalid(format!(
                "{migration}\nStop all servers that use it, make a backup, and run `restante engine migrate`."
            ))),
            (Tables::Made, 0) | (Tables::Migrated, _) => Ok(()),
        }
    }
}

/// What has to be done to a database before this program can use it. Shown, it says so
/// with one line for each step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// The file, or the database and its server.
    pub database: String,
    /// The version of its tables; 0: it has none.
    pub from: u32,
    /// The version that they will have.
    pub to: u32,
    /// What will be done, in order.
    pub steps: Vec<&'static str>,
}

impl fmt::Display for Migration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, from, to) = (&self.database, self.from, self.to);
        write!(
            out,
            "{name}: version {from} of its tables becomes {to}, and no older program can use it then:"
        )?;
        for step in &self.steps {
            write!(out, "\n- {step}")?;
        }
        Ok(())
    }
}

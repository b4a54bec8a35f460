//! What keeps the maildrops: Maildirs, a directory of one server's own, or PostgreSQL.

use std::time::Duration;

use anyhow::{Context, Result};
use restante_tests::Postgres;
use tempfile::TempDir;

use super::seed::Seed;
use crate::Bench;
use crate::mail::{Class, Large};
use crate::process::cpu_of_tree;
use crate::servers::Kind;

/// Which of them, in the order of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kept {
    Maildir,
    Embedded,
    Postgres,
}

impl Kept {
    /// All of them.
    pub(super) const ALL: [Kept; 3] = [Kept::Maildir, Kept::Embedded, Kept::Postgres];

    /// What tables call it: the configuration's words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kept::Maildir => "maildir",
            Kept::Embedded => "embedded",
            Kept::Postgres => "postgres",
        }
    }
}

/// Maildrops of one kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maildrops {
    pub(super) class: Class,
    /// So many of the first messages of each have octets. The others are in the index alone,
    /// where there is one: a poll and a removal do not ask for more.
    pub(super) with_octets: usize,
}

/// A keeper, with all that has to be there while it is used.
pub(super) enum Keeper {
    Maildir,
    Embedded(TempDir),
    Postgres { server: Postgres, database: String },
}

impl Keeper {
    /// Those that can be had here, each with nothing in it but the Maildirs of former runs.
    pub(super) fn all(bench: &Bench) -> Result<Vec<Self>> {
        // On the disk of the Maildirs.
        let beside = bench.tree(Kind::Restante).root().parent();
        let beside = beside.context("the Maildirs are in no directory")?;
        let directory = tempfile::Builder::new()
            .prefix("engine-")
            .tempdir_in(beside)?;
        let mut keepers = vec![Keeper::Maildir, Keeper::Embedded(directory)];
        if let Some(server) = Postgres::start("the row of PostgreSQL") {
            let database = server.database();
            keepers.push(Keeper::Postgres { server, database });
        }
        Ok(keepers)
    }

    pub(super) fn kind(&self) -> Kept {
        match self {
            Keeper::Maildir => Kept::Maildir,
            Keeper::Embedded(_) => Kept::Embedded,
            Keeper::Postgres { .. } => Kept::Postgres,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Lines of the section of the engine; none for Maildirs.
    pub(super) fn section(&self) -> Option<String> {
        match self {
            Keeper::Maildir => None,
            Keeper::Embedded(directory) => Some(format!(
                "kind = \"embedded\"\ndirectory = {:?}\n",
                directory.path()
            )),
            Keeper::Postgres { server, database } => Some(format!(
                "kind = \"postgres\"\nurl = {:?}\npassword-file = {:?}\n",
                server.url(database, None),
                server.password_file()
            )),
        }
    }

    /// CPU time of the processes of the database, back ends that ended included; none of one
    /// that is in the server itself.
    pub(super) fn database_cpu(&self) -> Result<Duration> {
        match self {
            Keeper::Maildir | Keeper::Embedded(_) => Ok(Duration::ZERO),
            Keeper::Postgres { server, .. } => {
                cpu_of_tree(server.id().context("PostgreSQL was stopped")?)
            }
        }
    }

    /// Puts the mail in, while no server has it open.
    pub(super) fn fill(&self, bench: &Bench, mail: &[Maildrops], large: &[Large]) -> Result<()> {
        match self {
            Keeper::Maildir => {
                let tree = bench.tree(Kind::Restante);
                for Maildrops { class, .. } in mail {
                    tree.make(class, None)?;
                    tree.restore(class)?;
                }
                large.iter().try_for_each(|&large| tree.make_large(large))
            }
            Keeper::Embedded(directory) => Seed::embedded(directory.path())?.fill(mail, large),
            Keeper::Postgres { server, database } => {
                server.set_fsync(false);
                let url = server.url(database, None);
                Seed::postgres(&url, server.password())?.fill(mail, large)?;
                // What would otherwise come in the middle of a row.
                server.run(database, "vacuum analyze");
                server.set_fsync(true);
                server.run(database, "checkpoint");
                Ok(())
            }
        }
    }
}

//! What servers must agree on, in the engine's file: it is one server's, whose configuration may
//! change.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::failure;
use super::index::Sqlite;
use crate::agreement::Agreements;
use crate::names;
use crate::problem::Problem;

const SELECT: &str = "select said from agreement where name = ?1";

/// What is noted under a name in a file that is there. None: nothing. Nothing is changed, and
/// the file may be a running server's. May wait for the disk.
///
/// # Errors
/// If it cannot be read.
pub fn agreed(path: &Path, name: &str) -> Result<Option<String>, Problem> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let read = || {
        let connection = Connection::open_with_flags(path, flags)?;
        let found = connection.query_row(SELECT, [name], |row| row.get(0));
        found.optional()
    };
    read().map_err(|error| failure::problem(path, &error))
}

#[async_trait]
impl Agreements for Sqlite {
    async fn agreed(&self, name: &str) -> Result<Option<String>, Problem> {
        names::check("what is agreed on", name)?;
        let name = name.to_owned();
        self.look(move |transaction| {
            let found = transaction.query_row(SELECT, (&name,), |row| row.get(0));
            Ok(found.optional()?)
        })
        .await
    }

    async fn agree(&self, name: &str, text: &str) -> Result<String, Problem> {
        names::check("what is agreed on", name)?;
        let (name, text) = (name.to_owned(), text.to_owned());
        self.change(move |transaction| {
            let sql = "insert into agreement (name, said) values (?1, ?2) on conflict do nothing";
            transaction.execute(sql, (&name, &text))?;
            Ok(transaction.query_row(SELECT, (&name,), |row| row.get(0))?)
        })
        .await
    }

    async fn agree_anew(&self, name: &str, text: Option<&str>) -> Result<(), Problem> {
        names::check("what is agreed on", name)?;
        let (name, text) = (name.to_owned(), text.map(str::to_owned));
        self.change(move |transaction| {
            match text {
                Some(text) => {
                    let sql = "insert or replace into agreement (name, said) values (?1, ?2)";
                    transaction.execute(sql, (&name, &text))?
                }
                None => transaction.execute("delete from agreement where name = ?1", (&name,))?,
            };
            Ok(())
        })
        .await
    }
}

//! A user's row, read. What is wrong with a part of it is told where that part is needed:
//! only a client with the right password learns of anything but a wrong one.

use restante_guest::database::{Cell, Row};
use restante_guest::passwords::ScramKeys;
use restante_guest::prelude::*;
use restante_guest::scram::Hash;

use crate::columns::{Columns, Known, of_keys};
use crate::keys;
use crate::networks::Networks;

/// What a client is told whose account is disabled without a reason.
const DISABLED: &str = "this account is disabled";

/// Texts that mean no, in any case. All others mean yes.
const NO: [&str; 6] = ["", "0", "f", "false", "n", "no"];

/// What is wrong, for the operator, without the value.
pub(crate) type Problem = &'static str;

pub(crate) struct User {
    pub(crate) password: Password,
    pub(crate) account: Result<Account, String>,
    /// None: from anywhere.
    pub(crate) networks: Result<Option<Networks>, Problem>,
    /// What a client is told that may not log in.
    pub(crate) disabled: Option<String>,
    sha256: Result<Option<ScramKeys>, Problem>,
    sha1: Result<Option<ScramKeys>, Problem>,
}

/// What stands for a user's password.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Password {
    Hash(String),
    /// No password opens it.
    Locked,
    Broken(Problem),
}

impl User {
    /// `asked`: the name that the database was asked for.
    pub(crate) fn read(columns: &Columns, row: Row<'_>, asked: &str) -> User {
        let keys = |hash| read_keys(columns.get(row, of_keys(hash)), hash);
        User {
            password: password(columns, row),
            account: account(columns, row, asked),
            networks: match columns.get(row, Known::Networks) {
                Cell::Null => Ok(None),
                Cell::Text(text) => Networks::parse(text).map(Some).ok_or(()),
                Cell::Integer(_) | Cell::Octets(_) => Err(()),
            }
            .map_err(|()| "networks: must be addresses and prefixes (192.0.2.0/24), with blanks or commas between them"),
            disabled: disabled(columns, row),
            sha256: keys(Hash::Sha256),
            sha1: keys(Hash::Sha1),
        }
    }

    pub(crate) fn keys(self, hash: Hash) -> Result<Option<ScramKeys>, Problem> {
        match hash {
            Hash::Sha256 => self.sha256,
            Hash::Sha1 => self.sha1,
        }
    }
}

fn password(columns: &Columns, row: Row<'_>) -> Password {
    if !columns.have(Known::Password) {
        return password_of_keys(columns, row);
    }
    match columns.get(row, Known::Password) {
        Cell::Null => Password::Locked,
        Cell::Text("") => Password::Broken("password: is empty (null locks a user)"),
        Cell::Text(text) if text.starts_with(['!', '*']) => Password::Locked,
        Cell::Text(text) => Password::Hash(text.to_owned()),
        Cell::Integer(_) | Cell::Octets(_) => {
            Password::Broken("password: must be a text; cast it in user-query")
        }
    }
}

/// SCRAM keys are a hash of the password too.
fn password_of_keys(columns: &Columns, row: Row<'_>) -> Password {
    for hash in [Hash::Sha256, Hash::Sha1] {
        match columns.get(row, of_keys(hash)) {
            Cell::Null => {}
            Cell::Text(text) => {
                return match keys::as_hash(text, hash) {
                    Some(hash) => Password::Hash(hash),
                    None => Password::Broken(malformed(hash)),
                };
            }
            Cell::Integer(_) | Cell::Octets(_) => return Password::Broken(malformed(hash)),
        }
    }
    Password::Locked
}

fn read_keys(cell: Cell<'_>, hash: Hash) -> Result<Option<ScramKeys>, Problem> {
    match cell {
        Cell::Null => Ok(None),
        Cell::Text(text) => keys::parse(text, hash).map(Some).ok_or(malformed(hash)),
        Cell::Integer(_) | Cell::Octets(_) => Err(malformed(hash)),
    }
}

fn malformed(hash: Hash) -> Problem {
    match hash {
        Hash::Sha256 => "scram_sha_256: must be ITERATIONS,SALT,STORED,SERVER",
        Hash::Sha1 => "scram_sha_1: must be ITERATIONS,SALT,STORED,SERVER",
    }
}

fn account(columns: &Columns, row: Row<'_>, asked: &str) -> Result<Account, String> {
    let user = name(columns, row, Known::User, "user")?.unwrap_or_else(|| asked.to_owned());
    let maildrop = name(columns, row, Known::Maildrop, "maildrop")?;
    let mut account = Account::new(user);
    if let Some(maildrop) = maildrop {
        account.maildrop = maildrop;
    }
    for column in columns.attributes() {
        let value = match row.get(column).unwrap_or(Cell::Null) {
            Cell::Null => continue,
            Cell::Integer(number) => number.to_string(),
            Cell::Text(text) => text.to_owned(),
            Cell::Octets(_) => {
                return Err(format!(
                    "the column {column:?} has octets, which no attribute can be: cast it to a text in user-query, or leave it out"
                ));
            }
        };
        account.attributes.push((column.to_owned(), value));
    }
    Ok(account)
}

/// An empty one is as good as none.
fn name(
    columns: &Columns,
    row: Row<'_>,
    known: Known,
    column: &str,
) -> Result<Option<String>, String> {
    match columns.get(row, known) {
        Cell::Null | Cell::Text("") => Ok(None),
        Cell::Integer(number) => Ok(Some(number.to_string())),
        Cell::Text(text) if !text.contains(char::is_control) => Ok(Some(text.to_owned())),
        Cell::Text(_) => Err(format!("{column}: has control characters")),
        Cell::Octets(_) => Err(format!("{column}: must be a text; cast it in user-query")),
    }
}

fn disabled(columns: &Columns, row: Row<'_>) -> Option<String> {
    let is_disabled = match columns.get(row, Known::Disabled) {
        Cell::Null | Cell::Integer(0) => false,
        Cell::Text(text) => !NO.iter().any(|no| no.eq_ignore_ascii_case(text.trim())),
        Cell::Integer(_) | Cell::Octets(_) => true,
    };
    let reason = match columns.get(row, Known::Reason) {
        Cell::Text(reason) if !reason.trim().is_empty() => reason,
        _ => DISABLED,
    };
    is_disabled.then(|| reason.to_owned())
}

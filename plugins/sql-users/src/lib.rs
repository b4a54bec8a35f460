//! `sql-users`: authenticates against a database of the operator's, with one query that
//! the operator writes.
//!
//! Settings and columns are in README.md of this folder. Nothing is kept here; what the host
//! remembers of the database's answers is the operator's choice. A name that a client gave is only ever a parameter of the
//! statement, never a part of its text. A database that does not answer, or answers what
//! cannot be used, is a failure: nobody is logged in, and nobody is told that the
//! password is wrong.
//!
//! A user who is unknown or locked takes as long as one with a wrong password: the secret
//! is verified against a hash that stands in, of the kind that the setting `scheme` names.
//! Why a user with the right password may not log in is told only to who has it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod ask;
mod columns;
mod keys;
mod load;
mod login;
mod networks;
mod query;
mod scanner;
mod settings;
mod stand_in;
#[cfg(test)]
mod tests;
mod user;

use restante_guest::accepts::{Accepts, Kinds};
use restante_guest::prelude::*;
use restante_guest::scram::{Hash, Keys, Scram};
use restante_guest::settings::all;

use crate::login::Login;
use crate::settings::Settings;

struct SqlUsers;

restante_guest::export! {
    authenticator: SqlUsers,
    accepts: SqlUsers,
    scram: SqlUsers,
    settings: SqlUsers,
}

restante_guest::describe_settings! {
    "database": "the database, by its name in the grant `databases`",
    "user-query": "one SQL statement that returns a user's row, with {user}, {local}, {domain} and {tenant}",
    "case": "\"fold\" compares and reports user names in lower case; \"exact\" if it is not set",
    "scheme": "what most hashes in the database are, so that unknown users take as long; \"argon2id\" if it is not set",
}

/// Checks a password against a hash.
type Verify<'a> = dyn FnMut(&str, &str) -> Result<bool, String> + 'a;

impl Authenticator for SqlUsers {
    fn authenticate(connection: Connection, credentials: Credentials) -> Result<Account, Denial> {
        let Credentials::Password {
            user,
            acting_as,
            secret,
        } = credentials
        else {
            return Err(Denial::Unknown);
        };
        let settings = Settings::of_the_host()?;
        let login = Login {
            connection,
            user,
            acting_as,
        };
        login::by_password(&settings, &login, &secret, &mut passwords::verify)
    }
}

impl Scram for SqlUsers {
    fn lookup(
        connection: Connection,
        user: String,
        acting_as: Option<String>,
        hash: Hash,
    ) -> Result<Keys, Denial> {
        let settings = Settings::of_the_host()?;
        let login = Login {
            connection,
            user,
            acting_as,
        };
        login::keys(&settings, &login, hash)
    }
}

impl Accepts for SqlUsers {
    fn accepts() -> Kinds {
        // What is wrong with the settings, `validate` says.
        Settings::parse(all()).map_or(Kinds::PASSWORD, |settings| load::kinds(&settings))
    }
}

impl Validate for SqlUsers {
    fn validate() -> Result<(), Vec<String>> {
        let settings = Settings::parse(all())?;
        load::check(&settings, &mut passwords::verify)
    }
}

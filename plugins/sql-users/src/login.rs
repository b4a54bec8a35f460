//! Decides logins: by a password, and which keys SCRAM goes on with.

use restante_guest::database::Rows;
use restante_guest::prelude::*;
use restante_guest::scram::{Hash, Keys};

use crate::columns::Columns;
use crate::settings::Settings;
use crate::user::{Password, User};
use crate::{Verify, ask, keys};

/// Octets of the longest user name that the database is asked for.
const USER_OCTETS: usize = 255;

/// A client that wants to log in.
pub(crate) struct Login {
    pub(crate) connection: Connection,
    pub(crate) user: String,
    pub(crate) acting_as: Option<String>,
}

/// A user whom the database knows, and the name that it was asked for.
struct Found {
    asked: String,
    user: User,
}

/// Why a user may not log in, even with the right password.
enum Barred {
    /// The client is told what it is told of a wrong password.
    Silently,
    Told(Failure),
}

pub(crate) fn by_password(
    settings: &Settings,
    login: &Login,
    secret: &Secret,
    verify: &mut Verify<'_>,
) -> Result<Account, Denial> {
    let Some(found) = find(settings, login)? else {
        settings.stand_in.waste_time(secret, verify);
        return Err(Denial::Unknown);
    };
    if !is_right(settings, &found, secret, verify) {
        return Err(Denial::Rejected);
    }
    admit(settings, login, found).map_err(|barred| match barred {
        Barred::Silently => Denial::Rejected,
        Barred::Told(failure) => failure.into(),
    })
}

/// SCRAM goes on with these. Keys without an account fail at the end, as a wrong password
/// does: before it nobody has shown one.
pub(crate) fn keys(settings: &Settings, login: &Login, hash: Hash) -> Result<Keys, Denial> {
    let Some(found) = find(settings, login)? else {
        return Err(Denial::Unknown);
    };
    match &found.user.password {
        Password::Hash(_) => {}
        Password::Locked => return Err(Denial::Rejected),
        Password::Broken(problem) => {
            unusable(settings, &found.asked, problem);
            return Err(Denial::Rejected);
        }
    }
    let account = may_log_in(settings, login, &found).and_then(|()| match &found.user.account {
        Ok(account) => Ok(account.clone()),
        Err(problem) => Err(without_account(settings, &found.asked, problem)),
    });
    let keys = match found.user.keys(hash) {
        Ok(Some(keys)) => keys,
        Ok(None) => {
            let name = keys::scheme(hash);
            unusable(
                settings,
                &found.asked,
                &format!("there are no keys for {name}, which was asked for"),
            );
            return Err(Denial::Rejected);
        }
        Err(problem) => {
            unusable(settings, &found.asked, problem);
            return Err(Denial::Rejected);
        }
    };
    Ok(Keys {
        salt: keys.salt,
        iterations: keys.iterations,
        stored_key: keys.stored_key,
        server_key: keys.server_key,
        account: account.ok(),
    })
}

/// None: the database does not know the user.
fn find(settings: &Settings, login: &Login) -> Result<Option<Found>, Failure> {
    let asked = settings.case.canonical(&login.user);
    if asked.is_empty() || asked.len() > USER_OCTETS || asked.contains(char::is_control) {
        return Ok(None);
    }
    let rows = ask::rows(settings, &asked, &login.connection.tenant);
    let rows = rows.map_err(|problem| ask::failed(settings, &problem))?;
    let columns = Columns::of(&rows).map_err(|problem| {
        log::error!(
            "a login could not be decided: database {:?}: {problem}",
            settings.database
        );
        ask::undecided()
    })?;
    let Some(row) = only(settings, &rows)? else {
        return Ok(None);
    };
    let user = User::read(&columns, row, &asked);
    Ok(Some(Found { asked, user }))
}

fn only<'a>(
    settings: &Settings,
    rows: &'a Rows,
) -> Result<Option<restante_guest::database::Row<'a>>, Failure> {
    let mut all = rows.rows();
    let first = all.next();
    if all.next().is_none() {
        return Ok(first);
    }
    // Not the name: where a query returns rows for anything, it may be a password.
    log::error!(
        "a login could not be decided: the database {:?} returns {} rows for one user, and must return at most one: correct user-query, or remove the duplicate rows",
        settings.database,
        rows.len()
    );
    Err(ask::undecided())
}

/// Whether it is the password. What cannot be verified takes as long as what is wrong.
fn is_right(settings: &Settings, found: &Found, secret: &Secret, verify: &mut Verify<'_>) -> bool {
    let problem = match &found.user.password {
        Password::Hash(hash) => match verify(hash, secret.expose()) {
            Ok(is_right) => return is_right,
            Err(problem) => Some(format!("password: {problem}")),
        },
        Password::Locked => None,
        Password::Broken(problem) => Some((*problem).to_owned()),
    };
    settings.stand_in.waste_time(secret, verify);
    if let Some(problem) = problem {
        unusable(settings, &found.asked, &problem);
    }
    false
}

/// Of a client that has shown the right password.
fn admit(settings: &Settings, login: &Login, found: Found) -> Result<Account, Barred> {
    may_log_in(settings, login, &found)?;
    found
        .user
        .account
        .map_err(|problem| without_account(settings, &found.asked, &problem))
}

fn may_log_in(settings: &Settings, login: &Login, found: &Found) -> Result<(), Barred> {
    let Found { asked, user } = found;
    if let Some(other) = &login.acting_as {
        let is_own = |name: &str| settings.case.is_same(other, name);
        let is_itself = is_own(asked) || user.account.as_ref().is_ok_and(|of| is_own(&of.user));
        if !is_itself {
            return Err(Barred::Silently);
        }
    }
    match &user.networks {
        Ok(None) => {}
        Ok(Some(networks)) if networks.have(login.connection.client()) => {}
        Ok(Some(_)) => {
            log::info!(
                "the user {asked:?} may not log in from {}: see the column `networks`",
                login.connection.client_address
            );
            return Err(Barred::Silently);
        }
        Err(problem) => {
            unusable(settings, asked, problem);
            return Err(Barred::Silently);
        }
    }
    if let Some(reason) = &user.disabled {
        log::info!("the user {asked:?} may not log in: see the column `disabled`");
        return Err(Barred::Told(Failure::permanent(reason.as_str())));
    }
    Ok(())
}

fn without_account(settings: &Settings, asked: &str, problem: &str) -> Barred {
    log::error!(
        "a login could not be decided: database {:?}, user {asked:?}: {problem}",
        settings.database
    );
    Barred::Told(ask::undecided())
}

/// The user is locked until the row is corrected.
fn unusable(settings: &Settings, asked: &str, problem: &str) {
    log::warn!(
        "database {:?}: the row of the user {asked:?} cannot be used for this login: {problem}",
        settings.database
    );
}

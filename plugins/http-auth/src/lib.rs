//! `http-auth`: asks an HTTP service whether a user's password is right.
//!
//! Settings and the service's side are in README.md of this folder. The service
//! alone decides; what it does not say in so many words is a failure, and a
//! failure never is a login. Passwords and the shared secret go into requests and
//! nowhere else.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answer;
mod request;
mod settings;
#[cfg(test)]
mod tests;

use restante_guest::authenticator::{Authenticator, Credentials, Denial};
use restante_guest::http::{self, Error};
use restante_guest::settings::{Validate, all};
use restante_guest::types::{Account, Connection, Failure};
use restante_guest::{files, log};

use crate::settings::Settings;

struct HttpAuth;

restante_guest::export! { authenticator: HttpAuth, settings: HttpAuth }

restante_guest::describe_settings! {
    "url": "whom to ask; its origin must be granted",
    "request": "\"json\" (if it is not set), \"form\" or \"basic\"",
    "secret-file": "a secret for the service, inside a granted directory",
    "secret-header": "the header field that it is sent in",
}

/// Octets of the longest user name that is asked about.
const USER: usize = 255;
/// Octets of the longest password that is asked about.
const PASSWORD: usize = 4096;
/// Octets of an answer: an account's attributes have 64 KiB at most.
const ANSWER: usize = 128 * 1024;

impl Validate for HttpAuth {
    fn validate() -> Result<(), Vec<String>> {
        let settings = Settings::parse(all())?;
        if let Some(path) = &settings.secret_file {
            files::read_secret(path).map_err(|error| vec![format!("secret-file: {error}")])?;
        }
        Ok(())
    }
}

impl Authenticator for HttpAuth {
    fn authenticate(connection: Connection, credentials: Credentials) -> Result<Account, Denial> {
        let Some((user, password)) = credentials.into_password() else {
            return Err(Denial::Unknown);
        };
        if user.is_empty() || user.len() > USER || user.chars().any(char::is_control) {
            return Err(Denial::Unknown);
        }
        // A service that hands an empty password to a directory server would hear
        // that it is right: an unauthenticated bind (RFC 4513 section 5.1.2).
        if password.expose().is_empty() || password.expose().len() > PASSWORD {
            return Err(Denial::Rejected);
        }
        let settings =
            Settings::parse(all()).map_err(|problems| out_of_order(&problems.join("; ")))?;
        let secret = match &settings.secret_file {
            Some(path) => {
                let secret = files::read_secret(path);
                Some(secret.map_err(|error| out_of_order(&format!("secret-file: {error}")))?)
            }
            None => None,
        };
        let request = request::of(&settings, secret.as_ref(), &connection, &user, &password)?;
        let url = &settings.url;
        let answer = http::send(&request, ANSWER).map_err(|error| match error {
            Error::Denied | Error::Url => out_of_order(&format!("{url}: {error}")),
            error => undecided(&format!("{url}: {error}")),
        })?;
        answer::account(&answer, &user).map_err(|refusal| match refusal {
            answer::Refusal::Rejected => Denial::Rejected,
            answer::Refusal::Unknown => Denial::Unknown,
            answer::Refusal::Failed(why) => undecided(&format!("{url} {why}")),
        })
    }
}

/// The service did not say yes or no.
fn undecided(why: &str) -> Denial {
    log::error!("a password could not be checked: {why}");
    Denial::Failed(Failure::temporary(
        "passwords cannot be checked at the moment",
    ))
}

/// The operator has to act first.
fn out_of_order(why: &str) -> Denial {
    log::error!("a password could not be checked: {why}");
    Denial::Failed(Failure::permanent(
        "password checks are not set up properly",
    ))
}

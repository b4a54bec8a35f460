//! Role `authenticator`: a password is right if the other server takes it.

use restante_guest::authenticator::{Authenticator, Credentials, Denial};
use restante_guest::log;
use restante_guest::settings::all;
use restante_guest::types::{Account, Connection, Failure, Secret};

use crate::Pop3Proxy;
use crate::settings::{Login, Settings};
use crate::upstream::{Trouble, Upstream};

/// The attribute that the password is handed on in. The host shows attributes of
/// such names to stores alone, and writes them nowhere.
pub(crate) const PASSWORD: &str = "secret.password";

/// Octets of a user name and of a password that are sent there.
const NAME: usize = 255;
const SECRET: usize = 512;

impl Authenticator for Pop3Proxy {
    fn authenticate(_: Connection, credentials: Credentials) -> Result<Account, Denial> {
        let Some((user, password)) = credentials.into_password() else {
            return Err(Denial::Unknown);
        };
        let settings = Settings::parse(all()).map_err(|problems| {
            log::error!("{}", problems.join("; "));
            Failure::permanent("logins are not set up properly")
        })?;
        let there = settings.user.there(&user);
        // Nothing of a name or a password may become a command of its own.
        if there.is_empty() || user.len() > NAME || user.chars().any(char::is_control) {
            return Err(Denial::Unknown);
        }
        if settings.login == Login::User && there.contains(' ') {
            return Err(Denial::Unknown);
        }
        let text = password.expose();
        if text.is_empty() || text.len() > SECRET || text.chars().any(char::is_control) {
            return Err(Denial::Rejected);
        }
        try_out(&settings, there, &password)?;
        let mut account = Account::new(user);
        if settings.master.is_none() {
            let attribute = (PASSWORD.to_owned(), password.expose().to_owned());
            account.attributes.push(attribute);
        }
        Ok(account)
    }
}

/// Logs in there and out again, so that the store finds the maildrop free.
fn try_out(settings: &Settings, user: &str, password: &Secret) -> Result<(), Denial> {
    let doing = "a login";
    let mut upstream = Upstream::connect(&settings.server)
        .map_err(|trouble| Denial::Failed(greeted(trouble).into_failure(doing)))?;
    match upstream.log_in(settings.login, user, None, password) {
        Ok(()) => {
            // It was right, whatever becomes of the session.
            if let Err(trouble) = upstream.command("QUIT") {
                log::debug!("a session did not end well: {trouble:?}");
            }
            Ok(())
        }
        Err(trouble @ Trouble::Refused(_)) => match trouble.code() {
            None | Some("AUTH") => Err(Denial::Rejected),
            Some(_) => Err(Denial::Failed(trouble.into_failure(doing))),
        },
        Err(trouble) => Err(Denial::Failed(trouble.into_failure(doing))),
    }
}

/// Who is refused with the greeting has shown no password yet.
fn greeted(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Refused(words) => Trouble::Away(format!("it greets with -ERR {words}")),
        other => other,
    }
}

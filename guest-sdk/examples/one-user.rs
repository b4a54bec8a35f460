//! An authenticator that knows one user, whose name and hash are its settings.

use restante_guest::prelude::*;

struct OneUser;

impl Authenticator for OneUser {
    fn authenticate(_: Connection, credentials: Credentials) -> Result<Account, Denial> {
        let (user, secret) = credentials.into_password().ok_or(Denial::Unknown)?;
        if settings::get("user").as_ref() != Some(&user) {
            return Err(Denial::Unknown);
        }
        let hash = settings::get("hash").unwrap_or_default();
        match passwords::verify(&hash, secret.expose()).map_err(Failure::permanent)? {
            true => Ok(Account::new(user)),
            false => Err(Denial::Rejected),
        }
    }
}

export! { authenticator: OneUser }

//! `pop3-proxy`: the mail of another POP3 server, for those who move from there.
//!
//! As an authenticator it tries a client's password there; as a store it lists,
//! reads and removes what the other server has, under the same unique-ids. Settings,
//! and how a migration goes, are in README.md of this folder.
//!
//! Nothing is removed there before QUIT, and nothing is said to be removed before
//! the other server has said so. Messages pass through in pieces; none is held
//! whole unless it is small.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod account;
mod body;
mod maildrop;
mod settings;
mod sizes;
mod upstream;

#[cfg(test)]
mod tests;

use restante_guest::files;
use restante_guest::settings::{Validate, all};

use crate::settings::Settings;

struct Pop3Proxy;

restante_guest::export! {
    authenticator: Pop3Proxy,
    store: maildrop::Collected,
    settings: Pop3Proxy,
}

restante_guest::describe_settings! {
    "server": "HOST:PORT, to be granted in connect",
    "login": "how passwords are shown there: \"user\" (if it is not set) or \"plain\"",
    "user": "what users are called there: \"full\" (if it is not set) or \"local\"",
    "octets": "what messages weigh: as LIST there says, \"listed\" (if it is not set), or \"counted\"",
    "master-user": "somebody who may read everybody's mail there",
    "master-password-file": "the master's password, inside a granted directory",
}

impl Validate for Pop3Proxy {
    fn validate() -> Result<(), Vec<String>> {
        let settings = Settings::parse(all())?;
        if let Some(master) = &settings.master {
            files::read_secret(&master.password_file)
                .map_err(|error| vec![format!("master-password-file: {error}")])?;
        }
        Ok(())
    }
}

//! `mbox`: mail in one file, as Dovecot, Postfix, procmail and mail programs keep
//! it in a directory that the host grants as `/maildrop`.
//!
//! - A message is a range of the file: the host moves its octets, they never come
//!   in here. Only an mboxrd message with quoted lines is read by the guest.
//! - The unique-id is a digest over what nobody edits of a message (id.rs).
//! - Where the messages are is remembered in an index beside the file (index.rs):
//!   of a file that grew only the end is read. Every use of it is checked against
//!   the file.
//! - The file is read and changed under its dotlock (lock.rs), which is not held
//!   while a session merely lasts: mail may be delivered meanwhile.
//! - Removal is in place, and what it is about to change is on the disk first
//!   (removal.rs): no moment to be killed at loses mail.
//!
//! `README.md` has the settings, and what other programs have to keep to.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod id;
mod index;
mod lock;
mod maildrop;
mod removal;
mod scan;
#[cfg(test)]
mod tests;

use std::time::Duration;

use restante_guest::mbox::Variant;
use restante_guest::prelude::*;
use restante_guest::settings::Span;
use serde::Deserialize;

use crate::maildrop::Mbox;

struct Mail(Mbox);

restante_guest::export! { store: Mail, settings: Mail }

restante_guest::describe_settings! {
    "file": "the mbox in the granted folder, \"mbox\" if it is not set",
    "missing": "what the maildrop is without the file: \"refuse\" fails the login, \"empty\" shows an \
                empty one",
    "quoting": "how lines that begin with From are kept from looking like a message",
    "lock-wait": "how long another program's lock is waited for",
    "stale-lock": "a lock that is older was left behind, and is removed",
}

impl Maildrop for Mail {
    fn open(_: Account) -> Result<Mail, Failure> {
        let settings = Settings::read().map_err(|problems| {
            log::error!("{}", problems.join("; "));
            Failure::permanent("the mail store is not set up")
        })?;
        Ok(Mail(Mbox::new(settings)))
    }

    fn stamp(&mut self) -> Result<Option<String>, Failure> {
        self.0.stamp()
    }

    fn listing(&mut self) -> Result<Listing, Failure> {
        self.0.listing()
    }

    fn content(&mut self, name: &str) -> Result<Content, Failure> {
        self.0.content(name)
    }

    fn remove(&mut self, names: &[String]) -> Result<(), Failure> {
        self.0.remove(names)
    }
}

impl Validate for Mail {
    fn validate() -> Result<(), Vec<String>> {
        Settings::read().map(drop)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    /// The mbox's name in the granted directory.
    file: String,
    /// What the maildrop is where the folder is not empty and has no such file.
    missing: Missing,
    quoting: Quoting,
    /// How long somebody else's lock is waited for.
    lock_wait: Span,
    /// After this time a lock was left behind.
    stale_lock: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Quoting {
    Mboxo,
    Mboxrd,
    Mboxcl2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Missing {
    Refuse,
    Empty,
}

impl Quoting {
    fn variant(self) -> Variant {
        match self {
            Quoting::Mboxo => Variant::Mboxo,
            Quoting::Mboxrd => Variant::Mboxrd,
            Quoting::Mboxcl2 => Variant::Mboxcl2,
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            file: "mbox".into(),
            missing: Missing::Refuse,
            quoting: Quoting::Mboxo,
            lock_wait: Span(Duration::from_secs(10)),
            stale_lock: Span(Duration::from_secs(300)),
        }
    }
}

impl Settings {
    fn read() -> Result<Settings, Vec<String>> {
        let settings: Settings = settings::parse()?;
        let file = &settings.file;
        if file.is_empty() || file.starts_with('.') || file.contains(['/', '\0']) {
            let mend = "must be the name of a file in the granted directory, without \"/\" and not \
                        beginning with \".\"";
            return Err(vec![format!("file: {mend}")]);
        }
        Ok(settings)
    }
}

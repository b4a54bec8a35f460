//! `maildir`: mail as delivery agents write it into a Maildir, which the host
//! grants as `/maildrop`.
//!
//! - Messages are the regular files of `cur` and `new`, oldest first; folders
//!   (`.Name`), `tmp`, and names that begin with a dot are passed over.
//! - The unique-id is the file's name without sizes and flags, so it outlives
//!   a move from `new` to `cur` and every change of flags. Of several files with one
//!   such name each is a message (duplicates.rs).
//! - Octets are measured once for each file and remembered in an index file. Of
//!   a large file they come from `,S=` and `,W=` in its name where those can be
//!   true.
//! - A directory whose modification time is the one in the index is not gone
//!   through; of another one the names are, and only files that are new are
//!   looked at. A file is taken to be written once: a change in its place is found
//!   out when the message is asked for.
//! - A host that remembers a listing is told what came and went.
//! - Other programs may deliver, move and delete at any time. A message that is
//!   not in its place is looked for under its unique-id before it is given up.
//! - What a login and a RETR of an unchanged Maildir need is asked of the host
//!   through [`files`], never of WASI: that would cost a thread for each question.
//!
//! Setting: `create = true` makes `cur`, `new` and `tmp` where they are
//! missing. Without it a missing Maildir is an empty maildrop, and nothing is
//! made.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod census;
mod duplicates;
mod index;
mod maildir;
mod memo;
mod name;
#[cfg(test)]
mod tests;
mod weigh;

use restante_guest::prelude::*;

use crate::census::Granted;
use crate::maildir::Maildir;

struct Mail(Maildir<Granted>);

restante_guest::export! { store: Mail, settings: Mail }

restante_guest::describe_settings! {
    "create": "\"true\" makes cur, new and tmp where they are missing",
}

impl Maildrop for Mail {
    fn open(_: Account) -> Result<Mail, Failure> {
        let settings = Settings::parse(&settings::all()).map_err(|problems| {
            log::error!("{}", problems.join("; "));
            Failure::permanent("the mail store is not set up")
        })?;
        let maildir = Maildir::new(files::root().to_owned(), Granted);
        if settings.create {
            maildir.create();
        }
        Ok(Mail(maildir))
    }

    fn stamp(&mut self) -> Result<Option<String>, Failure> {
        self.0.stamp()
    }

    fn listing(&mut self) -> Result<Listing, Failure> {
        self.0.listing()
    }

    fn changes(&mut self, memo: &str) -> Result<Option<Changes>, Failure> {
        self.0.changes(memo)
    }

    fn content(&mut self, name: &str) -> Result<Content, Failure> {
        self.0.content(name).map(Content::file)
    }

    fn remove(&mut self, names: &[String]) -> Result<(), Failure> {
        self.0.remove(names)
    }
}

impl Validate for Mail {
    fn validate() -> Result<(), Vec<String>> {
        Settings::parse(&settings::all()).map(|_| ())
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Settings {
    create: bool,
}

impl Settings {
    fn parse(all: &[(String, String)]) -> Result<Settings, Vec<String>> {
        let mut settings = Settings::default();
        let mut problems = Vec::new();
        for (key, value) in all {
            match (key.as_str(), value.as_str()) {
                ("create", "true") => settings.create = true,
                ("create", "false") => settings.create = false,
                ("create", _) => problems.push("create: must be true or false".to_owned()),
                _ => problems.push(format!("{key}: unknown setting; there is create")),
            }
        }
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(problems)
        }
    }
}

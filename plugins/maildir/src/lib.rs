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
//! - A file that some program compressed is refused when it is asked for.
//! - What is removed is taken off the quota in `maildirsize`, where there is one.
//!
//! - `new` without `cur`, or `cur` without `new`, fails the login: half of the mail is
//!   away. Neither of them in an empty directory is an empty maildrop: whether that may be
//!   is for the host, which has looked.
//! - A file that is there and cannot be read is listed, and refused when it is asked for.
//!
//! Settings: `create = true` makes `cur`, `new` and `tmp` where all mail would be
//! missing without them. `trust-times = false` goes through the directories at each login. `seen =
//! true` moves each message that is asked for to `cur`, with the flag S.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod create;
mod duplicates;
mod index;
mod maildir;
mod measure;
mod memo;
mod name;
mod removal;
mod scan;
mod seen;
#[cfg(test)]
mod tests;

use restante_guest::prelude::*;

use crate::maildir::Maildir;
use crate::scan::Granted;

struct Mail(Maildir<Granted>);

restante_guest::export! { store: Mail, settings: Mail }

restante_guest::describe_settings! {
    "create": "\"true\" makes cur and new where both are missing, and tmp where it is",
    "trust-times": "\"false\" scans cur and new at each login, for file systems whose times of \
                    change cannot be trusted; \"true\" if it is not set",
    "seen": "\"true\" moves each message that is asked for from new to cur, with the flag S",
}

impl Maildrop for Mail {
    fn open(_: Account) -> Result<Mail, Failure> {
        let settings = Settings::parse(&settings::all()).map_err(|problems| {
            log::error!("{}", problems.join("; "));
            Failure::permanent("the mail store is not set up")
        })?;
        let mut maildir = Maildir::new(files::root().to_owned(), Granted);
        if !settings.trust_times {
            maildir = maildir.without_times();
        }
        if settings.seen {
            maildir = maildir.marking_seen();
        }
        if settings.create {
            create::create(files::root());
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

#[derive(Debug, PartialEq, Eq)]
struct Settings {
    create: bool,
    trust_times: bool,
    seen: bool,
}

impl Settings {
    fn parse(all: &[(String, String)]) -> Result<Settings, Vec<String>> {
        let mut settings = Settings {
            create: false,
            trust_times: true,
            seen: false,
        };
        let mut problems = Vec::new();
        for (key, value) in all {
            let of = match key.as_str() {
                "create" => &mut settings.create,
                "trust-times" => &mut settings.trust_times,
                "seen" => &mut settings.seen,
                _ => {
                    problems.push(format!(
                        "{key}: unknown setting; there are create, trust-times and seen"
                    ));
                    continue;
                }
            };
            match value.parse() {
                Ok(value) => *of = value,
                Err(_) => problems.push(format!("{key}: must be true or false")),
            }
        }
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(problems)
        }
    }
}

//! `spool`: mail that an engine of the operator's keeps. The index says what is in the
//! maildrop; the octets are blobs, which the host moves.
//!
//! - The stamp and the memo are the version of the index: it grows with each change.
//! - The listing is what the index has, oldest first.
//! - A message is called `UNIQUE-ID PATH`. The octets are under the path, and the index
//!   removes by unique-id, so a name is enough for both and outlives the instance.
//! - Nothing is remembered between calls.
//!
//! There are no settings.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(test)]
mod tests;

use restante_guest::mail_index::{self, Entry, MAX_REMOVALS, Problem};
use restante_guest::prelude::*;

/// The maildrop itself, among its folders.
const MAILDROP: &str = "";

struct Spool;

restante_guest::export! { store: Spool, settings: Spool }

impl Maildrop for Spool {
    fn open(_: Account) -> Result<Spool, Failure> {
        Ok(Spool)
    }

    fn stamp(&mut self) -> Result<Option<String>, Failure> {
        let state = mail_index::state(MAILDROP).map_err(unreadable)?;
        Ok(Some(state.version.to_string()))
    }

    fn listing(&mut self) -> Result<Listing, Failure> {
        let entries = mail_index::read(MAILDROP).map_err(unreadable)?;
        Ok(entries.into_listing_named(name))
    }

    fn changes(&mut self, memo: &str) -> Result<Option<Changes>, Failure> {
        let Ok(version) = memo.parse() else {
            return Ok(None);
        };
        let difference = mail_index::changes(MAILDROP, version).map_err(unreadable)?;
        Ok(difference.map(|difference| difference.into_changes_named(name)))
    }

    /// The same answer each time: there is nowhere else to look, and a host that asks again
    /// may have lost the blob, or may want the message once more.
    fn content(&mut self, name: &str) -> Result<Content, Failure> {
        let (_, path) = parsed(name)?;
        Ok(Content::blob(path))
    }

    fn remove(&mut self, names: &[String]) -> Result<(), Failure> {
        let unique_id = |name: &String| Ok(parsed(name)?.0.to_owned());
        let unique_ids: Result<Vec<String>, Failure> = names.iter().map(unique_id).collect();
        let unique_ids = unique_ids?;
        let mut removed = 0;
        for batch in unique_ids.chunks(MAX_REMOVALS) {
            mail_index::remove(MAILDROP, batch).map_err(|problem| {
                let failure = problem.failure(not_removed(&problem));
                let messages = unique_ids.len();
                if removed > 0 {
                    log::warn!("{removed} of these {messages} messages were removed before");
                }
                failure
            })?;
            removed += batch.len();
        }
        Ok(())
    }
}

impl Validate for Spool {
    fn validate() -> Result<(), Vec<String>> {
        let unknown = |(key, _)| format!("{key}: unknown setting; spool has none");
        let problems: Vec<String> = settings::all().into_iter().map(unknown).collect();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems),
        }
    }
}

/// What a message is called. Neither part has a space in it.
fn name(entry: Entry<'_>) -> [&str; 3] {
    [entry.unique_id, " ", entry.path()]
}

/// The unique-id and the path of a name.
fn parsed(name: &str) -> Result<(&str, &str), Failure> {
    name.split_once(' ')
        .ok_or_else(|| Failure::permanent("there is no such message"))
}

fn unreadable(problem: Problem) -> Failure {
    problem.failure("the maildrop cannot be read")
}

/// What a client is told whose messages stay, or may have stayed.
fn not_removed(problem: &Problem) -> &'static str {
    match problem {
        Problem::Lost => "messages were not removed: another server has the maildrop by now",
        Problem::Unknown(_) => {
            "it is not known whether messages were removed: see at the next login"
        }
        Problem::Unavailable(_) | Problem::Invalid(_) => "messages were not removed",
    }
}

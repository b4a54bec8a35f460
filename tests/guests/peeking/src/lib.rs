//! A store that reads the messages of a maildrop in an engine itself, in place of the host. In
//! front of them stands a message of its own, which tells the session's fence. When it opens the
//! maildrop it tries the paths of the setting `reach`, and logs what is there.

use restante_guest::prelude::*;
use restante_guest::{blobs, hold, mail_index};

/// What the message with the fence is called.
const FENCE: &str = "fence";

struct Peeking;

restante_guest::export! { store: Peeking }

impl Maildrop for Peeking {
    fn open(_: Account) -> Result<Peeking, Failure> {
        for path in settings::get("reach").unwrap_or_default().lines() {
            match blobs::read(path, 0, blobs::MAX_OCTETS) {
                Ok(Some(octets)) => log::info!("reached {path}: {} octets", octets.len()),
                Ok(None) => log::info!("reached {path}: nothing"),
                Err(problem) => log::info!("reached {path}: refused, {problem}"),
            }
        }
        Ok(Peeking)
    }

    fn listing(&mut self) -> Result<Listing, Failure> {
        let mut listing = Listing::default();
        listing.push(FENCE, told_fence().len() as u64, 0, FENCE);
        let entries = match mail_index::read("") {
            Ok(entries) => entries,
            // Its maildrop is in no engine.
            Err(mail_index::Problem::Invalid(_)) => return Ok(listing),
            Err(problem) => return Err(problem.failure("the maildrop cannot be read")),
        };
        for entry in entries.iter() {
            listing.push(entry.unique_id, entry.octets, entry.received, entry.path());
        }
        Ok(listing)
    }

    fn content(&mut self, name: &str) -> Result<Content, Failure> {
        if name == FENCE {
            return Ok(Content::Inline(told_fence().into_bytes()));
        }
        let message = blobs::open(name)
            .map_err(|problem| problem.failure("the message cannot be read"))?
            .ok_or_else(|| Failure::temporary("the message is not there"))?;
        Ok(Content::reader(message))
    }

    fn remove(&mut self, _: &[String]) -> Result<(), Failure> {
        Err(Failure::permanent("messages stay"))
    }
}

/// Of the same length whatever it is.
fn told_fence() -> String {
    let fence = match hold::fence() {
        Some(fence) => fence.to_string(),
        None => "none".to_owned(),
    };
    format!("Subject: fence\r\n\r\n{fence:>20}\r\n")
}

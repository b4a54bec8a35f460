//! A store: every `.eml` file of the maildrop's directory is a message, and the
//! name of the file its unique-id.

use std::fs::{self, File};
use std::io::{self, ErrorKind};

use restante_guest::prelude::*;
use restante_guest::store::FileRange;

/// Octets of the longest unique-id (RFC 1939 section 7, UIDL).
const UNIQUE_ID_OCTETS: usize = 70;
const NANOSECONDS: u64 = 1_000_000_000;

struct Directory;

impl Maildrop for Directory {
    fn open(_: Account) -> Result<Directory, Failure> {
        // The host has granted this account's directory as /maildrop, and locked it.
        Ok(Directory)
    }

    fn listing(&mut self) -> Result<Listing, Failure> {
        if files::stat("").map_err(unreadable)?.is_none() {
            // Nothing was ever delivered to this account.
            return Ok(Listing::default());
        }
        let names = files::scan("").map_err(unreadable)?;
        let mut messages = Vec::new();
        for (name, _) in names.iter() {
            let Some(unique_id) = unique_id(name) else {
                continue;
            };
            // A file that is gone by now is no message.
            if let Some(weight) = files::measure(name).map_err(unreadable)? {
                messages.push((weight.status.modified, name, unique_id, weight));
            }
        }
        messages.sort_by_key(|(modified, name, ..)| (*modified, *name));
        let mut listing = Listing::with_capacity(messages.len());
        for (modified, name, unique_id, weight) in messages {
            listing.push(unique_id, weight.octets, modified / NANOSECONDS, name);
            listing.surrogate(weight.surrogate);
        }
        Ok(listing)
    }

    fn content(&mut self, name: &str) -> Result<Content, Failure> {
        // The host opens the file; its octets never come in here.
        Ok(Content::File(FileRange {
            path: name.to_owned(),
            offset: 0,
            length: None,
        }))
    }

    fn remove(&mut self, names: &[String]) -> Result<(), Failure> {
        for name in names {
            match fs::remove_file(files::root().join(name)) {
                Ok(()) => (),
                // Somebody else was faster: it is gone, and that was asked.
                Err(error) if error.kind() == ErrorKind::NotFound => (),
                Err(error) => return Err(not_removed(&error)),
            }
        }
        // It has to last before the client is told.
        File::open(files::root())
            .and_then(|directory| directory.sync_all())
            .map_err(|error| not_removed(&error))
    }
}

/// The unique-id of a file; none: it is no message. Letters that a unique-id cannot
/// have, and names that are too long for one, keep a file out.
fn unique_id(name: &str) -> Option<&str> {
    let unique_id = name.strip_suffix(".eml")?;
    let legal = unique_id.bytes().all(|octet| octet.is_ascii_graphic());
    let fits = (1..=UNIQUE_ID_OCTETS).contains(&unique_id.len());
    if !legal || !fits {
        log::warn!("a file cannot be a message: its name is no unique-id");
        return None;
    }
    Some(unique_id)
}

fn unreadable(why: String) -> Failure {
    log::error!("the maildrop cannot be read: {why}");
    Failure::temporary("the maildrop cannot be read")
}

fn not_removed(error: &io::Error) -> Failure {
    log::error!("messages cannot be removed: {}", files::reason(error));
    // Permanent, if it stays until somebody acts: a read-only file system, for example.
    files::failure(error, "not all messages were removed")
}

export! { store: Directory }

#[cfg(test)]
mod tests {
    use super::*;
    use restante_guest::testing;

    #[test]
    fn files_are_messages_until_they_are_removed() {
        let folder = std::env::temp_dir().join(format!("{{name}}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        testing::set_maildrop(&folder);
        for (name, text) in [
            ("b.eml", "Subject: b\n\nfirst\n"),
            ("a.eml", "Subject: a\n\nsecond\n"),
            ("notes.txt", "no message"),
            ("two words.eml", "Subject: no unique-id\n\n"),
        ] {
            fs::write(folder.join(name), text).expect("a file");
        }
        // Of one age, they stand by their names.
        for name in ["a.eml", "b.eml"] {
            let file = File::options().write(true).open(folder.join(name));
            let file = file.expect("it was just written");
            file.set_modified(std::time::UNIX_EPOCH).expect("its time");
        }

        let mut store = Directory;
        let listing = store.listing().expect("a listing");
        assert_eq!(listing.unique_ids().collect::<Vec<_>>(), ["a", "b"]);
        // Line ends count as CRLF, whatever the file has.
        assert_eq!(listing.octets(), [22, 21]);
        let Ok(Content::File(file)) = store.content("b.eml") else {
            panic!("no file");
        };
        assert_eq!(file.path, "b.eml");

        let gone = ["a.eml".to_owned(), "gone-already.eml".to_owned()];
        store.remove(&gone).expect("it can be removed");
        let listing = store.listing().expect("a listing");
        assert_eq!(listing.unique_ids().collect::<Vec<_>>(), ["b"]);

        fs::remove_dir_all(&folder).expect("it is the test's own");
        assert!(store.listing().expect("an empty maildrop").is_empty());
    }
}

//! The maildrop itself: lists, finds and removes messages below one directory.
//!
//! A message's *name*, which the host hands back, is `SIZE/PATH`, with further
//! files of the same message behind `//`: enough to find it again, wherever
//! another program moved it, without any memory of the listing.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use restante_guest::files::Kind;
use restante_guest::prelude::*;

use crate::census::{Census, Files, Message, Stamp};
use crate::name;
use crate::weigh::{Scales, Weighed};

/// Between the paths of a name; no path has it.
const AND: &str = "//";
/// Times that the maildrop is gone over again because messages moved away
/// while they were measured or removed.
const RETRIES: u32 = 2;

/// A Maildir.
pub(crate) struct Maildir<F> {
    root: PathBuf,
    files: F,
    /// Of the directories as they were listed.
    listed: Option<Stamp>,
    /// What was found when a message was not in its place.
    census: Option<Census>,
    /// The name of the message whose content was asked for last.
    asked: Option<String>,
}

/// A message's name, taken apart.
struct Name<'a> {
    size: u64,
    paths: &'a str,
}

impl<'a> Name<'a> {
    fn parse(name: &'a str) -> Result<Name<'a>, Failure> {
        name.split_once('/')
            .and_then(|(size, paths)| Some((size.parse().ok()?, paths)))
            .map(|(size, paths)| Name { size, paths })
            .ok_or_else(|| Failure::permanent("there is no such message"))
    }

    fn render(message: &Message) -> String {
        let mut name = format!("{}/{}", message.first.size, message.first.path);
        for copy in &message.copies {
            name.push_str(AND);
            name.push_str(copy);
        }
        name
    }

    fn paths(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.paths.split(AND)
    }

    fn unique_id(&self) -> String {
        let first = self.paths().next().unwrap_or_default();
        name::unique_id(first.split_once('/').map_or("", |(_, name)| name))
    }
}

impl<F: Files> Maildir<F> {
    pub(crate) fn new(root: PathBuf, files: F) -> Maildir<F> {
        Maildir {
            root,
            files,
            listed: None,
            census: None,
            asked: None,
        }
    }

    /// Makes the directories that are missing.
    pub(crate) fn create(&self) {
        for directory in ["tmp", "new", "cur"] {
            let path = self.root.join(directory);
            let there =
                matches!(files::stat(&path), Ok(Some(about)) if about.kind == Kind::Directory);
            if there {
                continue;
            }
            if let Err(error) = fs::create_dir_all(path) {
                log::warn!("{directory} cannot be created, going on without: {error}");
                return;
            }
        }
    }

    /// See [`Maildrop::stamp`]. Nothing that changed since it was listed is
    /// vouched for.
    pub(crate) fn stamp(&self, now: SystemTime) -> Result<Option<String>, Failure> {
        let current = Stamp::of(&self.root, now).map_err(unreadable)?;
        Ok(match &self.listed {
            None => current.trusted(),
            Some(listed) if listed.is_same(&current) => listed.trusted(),
            Some(_) => None,
        })
    }

    pub(crate) fn listing(&mut self) -> Result<Listing, Failure> {
        let mut scales = Scales::new(&self.root, &self.files);
        let mut retries = RETRIES;
        let (stamp, messages) = loop {
            let census = Census::take(&self.root, &self.files).map_err(unreadable)?;
            let stamp = census.stamp.clone();
            let mut messages = census.into_messages();
            match scales.weigh_all(&mut messages) {
                // Gone is deleted, or moved: then it has to be looked for.
                Weighed::SomeGone if retries > 0 => retries -= 1,
                Weighed::All | Weighed::SomeGone => break (stamp, messages),
                Weighed::OutOfTime => {
                    log::warn!("measuring the maildrop goes on at the next login");
                    return Err(Failure::temporary(
                        "a large maildrop is opened for the first time, try again soon",
                    ));
                }
            }
        };
        scales.close(&messages);
        self.listed = Some(stamp);
        Ok(oldest_first(messages))
    }

    /// The path of a message's file, for the host to open.
    ///
    /// It is nearly always where it was listed, and the host finds out by itself
    /// whether it is there and can be what was listed: the first answer is given
    /// without a look. If the host asks for the same message once more, it was
    /// not there.
    pub(crate) fn content(&mut self, name: &str) -> Result<String, Failure> {
        if self.asked.as_deref() == Some(name) {
            return self.locate(name);
        }
        let path = Name::parse(name)?.paths().next().unwrap_or_default();
        self.asked = Some(name.to_owned());
        Ok(path.to_owned())
    }

    /// The path of a message's file, as it is now.
    pub(crate) fn locate(&mut self, name: &str) -> Result<String, Failure> {
        let name = Name::parse(name)?;
        let mut changed = false;
        for path in name.paths() {
            if let Ok(Some(about)) = files::stat(self.root.join(path))
                && about.kind == Kind::File
            {
                if about.size == name.size {
                    return Ok(path.to_owned());
                }
                changed = true;
            }
        }
        let unique_id = name.unique_id();
        let census = self.census()?;
        if let Some(found) = census.files_of(&unique_id, name.size).next() {
            return Ok(found.path.clone());
        }
        Err(Failure::temporary(if changed {
            "the message was changed by another program"
        } else {
            "the message is gone: another program has removed it"
        }))
    }

    /// The files as they are now; not looked for again while nothing changed.
    fn census(&mut self) -> Result<&Census, Failure> {
        let now = Stamp::of(&self.root, SystemTime::now()).map_err(unreadable)?;
        let is_current =
            |census: &Census| census.stamp.is_same(&now) && census.stamp.trusted().is_some();
        let census = match self.census.take() {
            Some(census) if is_current(&census) => census,
            _ => Census::take(&self.root, &self.files).map_err(unreadable)?,
        };
        Ok(self.census.insert(census))
    }

    /// Removes what is named, tries everything, and makes it last.
    pub(crate) fn remove(&mut self, names: &[String]) -> Result<(), Failure> {
        let mut removal = Removal::new(&self.root);
        let mut lost = Vec::new();
        for name in names {
            let Ok(name) = Name::parse(name) else {
                removal.fail(io::ErrorKind::InvalidInput.into());
                continue;
            };
            let paths: Vec<&str> = name.paths().collect();
            if !removal.unlink_all(&paths) {
                lost.push((name.unique_id(), name.size));
            }
        }
        for _ in 0..=RETRIES {
            if lost.is_empty() {
                break;
            }
            let census = match Census::take(&self.root, &self.files) {
                Ok(census) => census,
                Err(problem) => {
                    removal.fail(io::Error::other(problem));
                    break;
                }
            };
            // What is not found any more was removed by somebody else.
            lost.retain(|(unique_id, size)| {
                let files = census.files_of(unique_id, *size);
                let paths: Vec<&str> = files.map(|found| found.path.as_str()).collect();
                !paths.is_empty() && !removal.unlink_all(&paths)
            });
        }
        if !lost.is_empty() {
            removal.fail(io::Error::other("a message keeps moving"));
        }
        removal.finish()
    }
}

fn unreadable(problem: String) -> Failure {
    log::error!("the maildrop cannot be read: {problem}");
    Failure::temporary("the maildrop cannot be read")
}

/// Messages come by unique-id, so that messages of one instant keep an order.
fn oldest_first(mut messages: Vec<Message>) -> Listing {
    messages.sort_by_key(|message| message.first.delivered());
    let mut listing = Listing::with_capacity(messages.len());
    for message in messages {
        let (seconds, _) = message.first.delivered();
        let name = Name::render(&message);
        listing.push(
            message.first.unique_id,
            message.weight.octets,
            seconds,
            name,
        );
        listing.surrogate(message.weight.surrogate);
    }
    listing
}

/// The removal of messages, and what went wrong with it.
struct Removal<'a> {
    root: &'a PathBuf,
    touched: [(&'static str, bool); 2],
    failed: usize,
    first: Option<io::Error>,
}

impl<'a> Removal<'a> {
    fn new(root: &'a PathBuf) -> Removal<'a> {
        Removal {
            root,
            touched: [("cur", false), ("new", false)],
            failed: 0,
            first: None,
        }
    }

    /// Unlinks every file of a message. False: one was not there.
    fn unlink_all(&mut self, paths: &[&str]) -> bool {
        let mut all = true;
        for path in paths {
            match fs::remove_file(self.root.join(path)) {
                Ok(()) => self.touch(path),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Perhaps removed by a session that could not make it last.
                    self.touch(path);
                    all = false;
                }
                Err(error) => self.fail(error),
            }
        }
        all
    }

    fn touch(&mut self, path: &str) {
        for (directory, touched) in &mut self.touched {
            *touched |= path.split('/').next() == Some(*directory);
        }
    }

    fn fail(&mut self, error: io::Error) {
        self.failed += 1;
        self.first.get_or_insert(error);
    }

    fn finish(mut self) -> Result<(), Failure> {
        for (directory, touched) in self.touched {
            if !touched {
                continue;
            }
            let synced = File::open(self.root.join(directory)).and_then(|file| file.sync_all());
            match synced {
                Err(error) if error.kind() != io::ErrorKind::NotFound => self.fail(error),
                _ => {}
            }
        }
        let Some(error) = self.first else {
            return Ok(());
        };
        log::error!(
            "{} files could not be removed, the first: {error}",
            self.failed
        );
        let text = "some messages could not be removed";
        Err(match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Failure::permanent(text)
            }
            _ => Failure::temporary(text),
        })
    }
}

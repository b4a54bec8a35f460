//! The maildrop itself: one file of the granted directory.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use restante_guest::files::{Status, reason};
use restante_guest::mbox::{Unquoting, Variant};
use restante_guest::prelude::*;
use restante_guest::store::{FileRange, Reader};

use crate::id::{Name, unique_id};
use crate::index::{Index, Mark, mark};
use crate::lock::{Lock, NoLock};
use crate::removal::{self, Removal};
use crate::scan::{self, Unread};
use crate::{Missing, Settings};

/// Octets of a unique-id and of a name, more or less.
const ID_OCTETS: usize = 41;
const NAME_OCTETS: usize = 100;
/// How often it is begun again, because the file changes under the lock.
const TURNS: usize = 3;

pub(crate) struct Mbox {
    settings: Settings,
    directory: &'static Path,
    path: PathBuf,
    index: PathBuf,
    variant: Variant,
    /// What marked the file when this instance listed it.
    listed: Option<Mark>,
    /// The name of the message whose content was asked for last, and how often by now.
    asked: (String, u32),
    /// The index was taken for wrong because of that.
    has_doubted: bool,
}

impl Mbox {
    pub(crate) fn new(settings: Settings) -> Mbox {
        let directory = files::root();
        Mbox {
            directory,
            path: directory.join(&settings.file),
            index: directory.join(format!(".{}.restante-index", settings.file)),
            variant: settings.quoting.variant(),
            settings,
            listed: None,
            asked: (String::new(), 0),
            has_doubted: false,
        }
    }

    /// See [`Maildrop::stamp`]. A file that was changed without another size or time
    /// is found out when a message is asked for.
    pub(crate) fn stamp(&self) -> Result<Option<String>, Failure> {
        if removal::is_under_way(&self.path) {
            return Ok(None);
        }
        let status = self.status()?;
        Ok(Some(match status.as_ref().map(mark) {
            Some((identity, size, modified)) => format!("{identity}/{size}/{modified}"),
            None => "none".to_owned(),
        }))
    }

    pub(crate) fn listing(&mut self) -> Result<Listing, Failure> {
        let index = self.index(None)?;
        self.listed = Some(index.of);
        let mut positions: Vec<usize> = (0..index.entries.len())
            .filter(|position| !index.entries[*position].is_internal)
            .collect();
        // Mail that was moved here from elsewhere has old From_ lines. What has no date stays
        // after what it follows in the file.
        let dates: Vec<u64> = (index.entries.iter())
            .scan(0, |last, entry| {
                *last = if entry.received == 0 {
                    *last
                } else {
                    entry.received
                };
                Some(*last)
            })
            .collect();
        positions.sort_by_key(|position| dates[*position]);
        let mut listing = Listing::with_capacity(positions.len());
        // To grow would take twice the memory for a moment.
        listing.reserve_text(positions.len() * ID_OCTETS, positions.len() * NAME_OCTETS);
        for position in positions {
            let entry = &index.entries[position];
            let name = Name::of(entry, index.end_of(position));
            let rendered = name.render();
            listing.push(&name.unique_id, entry.octets, entry.received, rendered);
        }
        Ok(listing)
    }

    /// The message's range of the file, if it is where it was. While the file is as
    /// it was listed that is certain; else a look settles it.
    pub(crate) fn content(&mut self, name: &str) -> Result<Content, Failure> {
        let is_doubted = self.is_doubted(name);
        let name = Name::parse(name).ok_or_else(no_such_message)?;
        let status = self.status()?;
        let is_as_listed = status.is_some() && status.as_ref().map(mark) == self.listed;
        if !is_doubted && (is_as_listed || scan::is_there(&self.path, &name) == Some(true)) {
            return Ok(self.range(&name));
        }
        log::info!("another program has changed the mbox: its messages are looked for again");
        // What goes by the old numbers is wrong somewhere.
        self.index_is_wrong();
        let index = self.index(None)?;
        let found = index.entries.iter().enumerate().find(|(_, entry)| {
            !entry.is_internal && unique_id(entry.digest, entry.copy) == name.unique_id
        });
        match found {
            Some((position, entry)) => Ok(self.range(&Name::of(entry, index.end_of(position)))),
            None => Err(Failure::temporary(
                "the message is gone: another program has removed or changed it",
            )),
        }
    }

    /// A host that finds a message other than it was listed asks for it twice more:
    /// a line may have changed in its place, which leaves lengths and header as they
    /// were. A client's TOP and RETR ask for one message too, so it takes more than two.
    fn is_doubted(&mut self, name: &str) -> bool {
        if self.asked.0 == name {
            self.asked.1 += 1;
        } else {
            self.asked = (name.to_owned(), 1);
        }
        let is_doubted = self.asked.1 > 2 && !self.has_doubted;
        self.has_doubted |= is_doubted;
        is_doubted
    }

    fn range(&self, name: &Name) -> Content {
        if name.is_quoted {
            return Content::Reader(Box::new(Unquoted::new(self.path.clone(), name)));
        }
        Content::File(FileRange {
            path: self.settings.file.clone(),
            offset: name.content,
            length: Some(name.content_end - name.content),
        })
    }

    /// Removes what is named and is still there. What is not was removed by somebody
    /// else.
    pub(crate) fn remove(&mut self, names: &[String]) -> Result<(), Failure> {
        let names = names.iter().map(|name| Name::parse(name));
        let names: Option<Vec<Name>> = names.collect();
        let names = names.ok_or_else(no_such_message)?;
        if names.is_empty() {
            return Ok(());
        }
        let mut lock = self.lock()?.map_err(|error| {
            log::error!(
                "no message can be removed without a lock beside {}: {}",
                self.path.display(),
                reason(&error)
            );
            files::failure(&error, "no message can be removed")
        })?;
        let wanted: HashSet<&str> = names.iter().map(|name| &*name.unique_id).collect();
        for _ in 0..TURNS {
            let index = self.index(Some(&mut lock))?;
            let Some(runs) = runs(&index, &wanted) else {
                return Ok(());
            };
            let are_there = runs
                .iter()
                .all(|run| scan::is_run(&self.path, &index, run.start, run.end - 1));
            if !are_there {
                self.index_is_wrong();
                continue;
            }
            let cuts: Vec<Range<u64>> = runs
                .iter()
                .map(|run| index.entries[run.start].start..index.end_of(run.end - 1))
                .collect();
            let removal = Removal::new(self.directory, &self.path, &mut lock);
            removal.cut(&cuts, index.end).map_err(|error| {
                log::error!(
                    "messages cannot be removed from {}: {}",
                    self.path.display(),
                    reason(&error)
                );
                files::failure(&error, "some messages could not be removed")
            })?;
            self.remember(index, &runs);
            return Ok(());
        }
        log::error!("the mbox changes all the time: its writers do not take the dotlock");
        Err(Failure::temporary("the maildrop is being changed"))
    }

    /// The index without these messages, if the file has become what it should be.
    fn remember(&self, index: Index, runs: &[Range<usize>]) {
        let Ok(Some(status)) = self.status() else {
            return;
        };
        let mut left = Vec::with_capacity(index.entries.len());
        let mut cut = 0;
        let mut runs = runs.iter().peekable();
        for (position, entry) in index.entries.iter().enumerate() {
            while runs.next_if(|run| run.end <= position).is_some() {}
            if runs.peek().is_some_and(|run| run.contains(&position)) {
                cut += index.end_of(position) - entry.start;
                continue;
            }
            let mut entry = *entry;
            for offset in [
                &mut entry.start,
                &mut entry.content,
                &mut entry.body,
                &mut entry.content_end,
            ] {
                *offset -= cut;
            }
            left.push(entry);
        }
        let index = Index {
            of: mark(&status),
            end: index.end - cut,
            entries: left,
        };
        if index.is_current(&status) {
            index.save(&self.index, self.variant);
        }
    }

    /// Where the messages are, now. `lock`: is held already.
    fn index(&self, lock: Option<&mut Lock>) -> Result<Index, Failure> {
        let mut known = Index::load(&self.index, self.variant);
        if lock.is_none() && !removal::is_under_way(&self.path) {
            let status = self.status()?;
            let Some(status) = status else {
                return Ok(nothing());
            };
            if let Some(index) = known.take_if(|index| index.is_current(&status)) {
                return Ok(index);
            }
        }
        let mut own = None;
        let lock = match lock {
            Some(lock) => Some(lock),
            None => {
                match self.lock()? {
                    Ok(lock) => own = Some(lock),
                    // Read it all the same: nobody writes half a message for long.
                    Err(error) => log::info!(
                        "going on without a lock beside {}: {}",
                        self.path.display(),
                        reason(&error)
                    ),
                }
                own.as_mut()
            }
        };
        if let Some(lock) = lock {
            let settled = Removal::new(self.directory, &self.path, lock).settle();
            settled.map_err(|error| {
                log::error!(
                    "a removal that was broken off cannot be ended in {}: {}",
                    self.path.display(),
                    reason(&error)
                );
                files::failure(&error, "the maildrop cannot be read now")
            })?;
        } else if removal::is_under_way(&self.path) {
            log::error!("a removal was broken off, and without a lock it cannot be ended");
            return Err(Failure::temporary("the maildrop cannot be read now"));
        }
        self.read(known)
    }

    /// Reads the mbox as far as that is needed.
    fn read(&self, mut known: Option<Index>) -> Result<Index, Failure> {
        for _ in 0..TURNS {
            let Some(status) = self.status()? else {
                return Ok(nothing());
            };
            if let Some(index) = known.take_if(|index| index.is_current(&status)) {
                return Ok(index);
            }
            match scan::bring_up_to_date(&self.path, &self.index, self.variant, known.take()) {
                Ok(index) => known = Some(index),
                Err(Unread::Error(error))
                    if matches!(error.kind(), ErrorKind::ResourceBusy | ErrorKind::NotFound) =>
                {
                    known = Index::load(&self.index, self.variant);
                }
                Err(unread) => return Err(self.unread(unread)),
            }
        }
        log::warn!("the mbox changes all the time: its writers do not take the dotlock");
        Err(Failure::temporary("the maildrop is being changed"))
    }

    /// The next to ask reads all of the mbox.
    fn index_is_wrong(&self) {
        if let Some(index) = Index::load(&self.index, self.variant) {
            // The numbers of copies outlive it.
            let index = Index {
                of: (0, 0, 0),
                ..index
            };
            index.save(&self.index, self.variant);
        }
    }

    fn lock(&self) -> Result<Result<Lock, std::io::Error>, Failure> {
        let Settings {
            lock_wait,
            stale_lock,
            ..
        } = &self.settings;
        match Lock::take(&self.path, lock_wait.0, stale_lock.0) {
            Ok(lock) => Ok(Ok(lock)),
            Err(NoLock::Denied(error)) => Ok(Err(error)),
            Err(NoLock::Busy) => {
                log::warn!("somebody else keeps the lock beside the mbox");
                Err(Failure::in_use("another program is using the maildrop"))
            }
        }
    }

    /// None: there is no mbox, and that is an empty maildrop.
    fn status(&self) -> Result<Option<Status>, Failure> {
        let status = scan::status(&self.path).map_err(|unread| self.unread(unread))?;
        if status.is_none() && self.settings.missing == Missing::Refuse {
            return self.expect_bare();
        }
        Ok(status)
    }

    /// Refuses a folder that something is in, but no mbox. Whether an empty one is an
    /// empty maildrop the operator has told the host. The locks of delivery agents, and
    /// what they make them of, are there before the first mail is.
    fn expect_bare(&self) -> Result<Option<Status>, Failure> {
        let lock = format!("{}.lock", self.settings.file);
        match files::is_bare(self.directory, |name| name.starts_with(&lock)) {
            Ok(true) => Ok(None),
            Ok(false) => {
                // It may be the mbox itself, which has just been made.
                let status = scan::status(&self.path).map_err(|unread| self.unread(unread))?;
                if status.is_some() {
                    return Ok(status);
                }
                log::error!(
                    "there is no {}, though its folder is not empty: bring it back; or, where new \
                     users have none, or a program removes an mbox without messages, set \
                     `missing = \"empty\"` in the plugin's settings",
                    self.path.display()
                );
                Err(Failure::temporary("the maildrop is missing"))
            }
            Err(error) => Err(self.unread(Unread::Error(error))),
        }
    }

    fn unread(&self, unread: Unread) -> Failure {
        let path = self.path.display();
        match unread {
            Unread::OutOfTime => {
                log::warn!("reading the mbox goes on at the next login");
                Failure::temporary("a large maildrop is opened for the first time, try again soon")
            }
            Unread::NoMbox(why) => {
                log::error!("{path}: {why}");
                Failure::permanent("the maildrop cannot be read")
            }
            Unread::Error(error) => {
                log::error!("{path} cannot be read: {}", reason(&error));
                Failure::temporary("the maildrop cannot be read")
            }
        }
    }
}

fn nothing() -> Index {
    Index {
        of: (0, 0, 0),
        end: 0,
        entries: Vec::new(),
    }
}

fn no_such_message() -> Failure {
    Failure::permanent("there is no such message")
}

/// Positions of the messages that are wanted, in runs. None: none is there.
fn runs(index: &Index, wanted: &HashSet<&str>) -> Option<Vec<Range<usize>>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (position, entry) in index.entries.iter().enumerate() {
        let id = unique_id(entry.digest, entry.copy);
        if entry.is_internal || !wanted.contains(&*id) {
            continue;
        }
        match runs.last_mut() {
            Some(last) if last.end == position => last.end += 1,
            _ => runs.push(position..position + 1),
        }
    }
    (!runs.is_empty()).then_some(runs)
}

/// A message whose body has quoted lines.
struct Unquoted {
    path: PathBuf,
    at: u64,
    body: u64,
    end: u64,
    unquoting: Option<Unquoting>,
    /// What was made of the file and not yet taken.
    ready: Vec<u8>,
    taken: usize,
}

/// Octets that are read of the file at once.
const PIECE_OCTETS: u64 = 64 * 1024;

impl Unquoted {
    fn new(path: PathBuf, name: &Name) -> Unquoted {
        Unquoted {
            path,
            at: name.content,
            body: name.body,
            end: name.content_end,
            unquoting: Some(Unquoting::new()),
            ready: Vec::new(),
            taken: 0,
        }
    }

    fn fill(&mut self) -> Result<(), Failure> {
        self.ready.clear();
        self.taken = 0;
        while self.ready.is_empty() {
            // The header as it stands, then the body.
            let until = if self.at < self.body {
                self.body
            } else {
                self.end
            };
            let octets = (until - self.at).min(PIECE_OCTETS) as u32;
            if octets == 0 {
                if let Some(unquoting) = self.unquoting.take() {
                    unquoting.finish(&mut self.ready);
                }
                return Ok(());
            }
            let chunk = files::read(&self.path, self.at, octets);
            let chunk = chunk
                .ok()
                .flatten()
                .filter(|chunk| !chunk.octets.is_empty());
            let chunk = chunk.ok_or_else(|| {
                log::warn!("the mbox ends early, or cannot be read any more");
                Failure::temporary("the message cannot be read")
            })?;
            let unquoting = self.unquoting.as_mut().filter(|_| self.at >= self.body);
            match unquoting {
                Some(unquoting) => unquoting.feed(&chunk.octets, &mut self.ready),
                None => self.ready.extend_from_slice(&chunk.octets),
            }
            self.at += chunk.octets.len() as u64;
        }
        Ok(())
    }
}

impl Reader for Unquoted {
    fn read(&mut self, limit: u32) -> Result<Vec<u8>, Failure> {
        if self.taken == self.ready.len() {
            self.fill()?;
        }
        let end = self.ready.len().min(self.taken + limit as usize);
        let chunk = self.ready[self.taken..end].to_vec();
        self.taken = end;
        Ok(chunk)
    }
}

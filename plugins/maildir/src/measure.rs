//! What each message weighs: from the index, from its name, or measured.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use restante_guest::files::{Kind, Status};
use restante_guest::{files, log};

use crate::index::{self, Entry, Index, Record};
use crate::name::Sizes;
use crate::scan::{Files, Found, Look, Message, Place};

/// While a large maildrop is measured for the first time the index is written
/// this often: the host bounds each call, and the next login is to go on where
/// this one ended.
const SAVE_EVERY: Duration = Duration::from_millis(500);
/// Writing takes at most one part in so many of the time.
const SAVING_PART: u32 = 8;
/// After this time a login is put off: better than to be cut off by the host.
const PATIENCE: Duration = Duration::from_secs(20);
/// The index is written anew once this part of it has changed, or this many
/// octets were measured: a large one is not rewritten for every message.
pub(crate) const CHANGED_PART: usize = 256;
const MEASURED_OCTETS: u64 = 4 * 1024 * 1024;
/// A directory that had to be gone through and has been at rest for so long is
/// worth the writing: the next one who asks can spare that.
const AT_REST: Duration = Duration::from_secs(600);
/// After this time the sizes in the names of large files have to do: whether a
/// part's header needs UTF-8 is not known then.
const NAMED_AFTER: Duration = Duration::from_secs(2);
/// Octets of the smallest of them: for a smaller one it does not pay.
const NAMED_OCTETS: u64 = 128 * 1024;
/// Unreadable messages that are logged one by one.
const LOGGED: usize = 5;

/// Knows or finds out what messages weigh.
pub(crate) struct Scales<'a, F> {
    root: &'a Path,
    files: &'a F,
    /// None: nothing is written.
    index: Option<&'a Index>,
    fresh: BTreeMap<String, Fresh>,
    /// Unique-ids of those whose names had to do.
    guessed: BTreeSet<String>,
    /// Octets that were read for it.
    measured: u64,
    begun: Instant,
    next_save: Instant,
    /// The disk is full or read-only: not tried again.
    cannot_write: bool,
    unreadable: usize,
}

/// A record that the index has not got.
struct Fresh {
    place: Place,
    name: String,
    record: Record,
}

impl Fresh {
    fn entry<'a>(&'a self, unique_id: &'a str) -> Entry<'a> {
        Entry {
            unique_id,
            place: self.place,
            name: &self.name,
            record: self.record,
        }
    }
}

/// What became of a whole maildrop on the scales.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Measured {
    /// Every message has its octets.
    All,
    /// Some were not where they had been found, and were taken out.
    SomeGone,
    /// There was no time for all of them. What was measured is saved.
    OutOfTime,
    /// The file system does not even say that a message is there.
    Failed,
}

enum Weight {
    Record(Record),
    /// What the name says: not remembered, another login may have the time.
    Guess(Record),
    /// It cannot be read now. Likewise.
    Unread(Record),
    Gone,
    OutOfTime,
    Failed,
}

impl<'a, F: Files> Scales<'a, F> {
    /// Scales that keep the index up to date.
    pub(crate) fn new(root: &'a Path, files: &'a F, index: &'a Index) -> Self {
        let mut scales = Scales::for_few(root, files);
        scales.index = Some(index);
        scales
    }

    /// Scales for a few messages, that know nothing and write nothing down.
    pub(crate) fn for_few(root: &'a Path, files: &'a F) -> Self {
        let begun = files.now();
        Scales {
            root,
            files,
            index: None,
            fresh: BTreeMap::new(),
            guessed: BTreeSet::new(),
            measured: 0,
            begun,
            next_save: begun + SAVE_EVERY,
            cannot_write: false,
            unreadable: 0,
        }
    }

    /// Weighs each message, and takes out those that have no weight.
    pub(crate) fn weigh_all(&mut self, messages: &mut Vec<Message<'_>>) -> Measured {
        let mut measured = Measured::All;
        messages.retain_mut(|message| {
            if message.first.is_known {
                return true;
            }
            if matches!(measured, Measured::OutOfTime | Measured::Failed) {
                return false;
            }
            match self.weigh(&message.first) {
                weight @ (Weight::Record(record)
                | Weight::Guess(record)
                | Weight::Unread(record)) => {
                    message.first.record = Some(record);
                    message.first.is_unread = matches!(weight, Weight::Unread(_));
                    if !matches!(weight, Weight::Record(_)) {
                        self.guessed
                            .insert(message.first.unique_id.as_ref().to_owned());
                    }
                    return true;
                }
                Weight::Gone => measured = Measured::SomeGone,
                Weight::OutOfTime => measured = Measured::OutOfTime,
                Weight::Failed => measured = Measured::Failed,
            }
            false
        });
        measured
    }

    fn weigh(&mut self, file: &Found<'_>) -> Weight {
        if let (Some(record), true) = (file.record, file.is_known) {
            return Weight::Record(record);
        }
        let path = file.path();
        let fresh = self.fresh.get(&*file.unique_id).map(|fresh| fresh.record);
        let remembered = fresh.or(file.record);
        let named = match self.elapsed() >= NAMED_AFTER {
            true => Sizes::of(file.name).filter(|sizes| sizes.on_disk() >= NAMED_OCTETS),
            false => None,
        };
        // A look for what may spare the reading.
        if remembered.is_some() || named.is_some() {
            let status = match files::stat(self.root.join(&path)) {
                Ok(Some(status)) if status.kind == Kind::File => status,
                Ok(_) => return Weight::Gone,
                Err(problem) => return Scales::<F>::failed(file, &problem),
            };
            if let Some(record) = remembered.filter(|record| record.is_for(&status)) {
                let identity = file.identity;
                return self.remember(file, Record { identity, ..record });
            }
            if let Some(octets) = named.and_then(|named| self.named_octets(&path, named, &status)) {
                return Weight::Guess(Record {
                    size: status.size,
                    modified: status.modified,
                    octets,
                    surrogate: octets,
                    identity: file.identity,
                });
            }
        }
        if self.elapsed() >= PATIENCE && !self.cannot_write {
            self.save_in_between();
            return Weight::OutOfTime;
        }
        match self.files.measure(&path) {
            Ok(Some(weight)) => {
                self.measured = self.measured.saturating_add(weight.octets);
                let record = Record {
                    size: weight.status.size,
                    modified: weight.status.modified,
                    octets: weight.octets,
                    surrogate: weight.surrogate,
                    identity: file.identity,
                };
                self.remember(file, record)
            }
            Ok(None) => Weight::Gone,
            Err(problem) => self.unread(file, &problem),
        }
    }

    /// What is known of a file that is there and could not be measured. To leave it out
    /// would make clients that leave mail on the server forget that they have it.
    fn unread(&mut self, file: &Found<'_>, problem: &str) -> Weight {
        let path = file.path();
        let status = match files::stat(self.root.join(&path)) {
            Ok(Some(status)) if status.kind == Kind::File => status,
            // A scan finds nothing but regular files: another took its place.
            Ok(_) => return Weight::Gone,
            Err(problem) => return Scales::<F>::failed(file, &problem),
        };
        self.unreadable += 1;
        if self.unreadable <= LOGGED {
            log::error!(
                "{path:?} cannot be read ({problem}): it stays listed, and RETR of it is [SYS/TEMP]; check the mode of the file and the disk"
            );
        }
        let named = Sizes::of(file.name).and_then(|sizes| sizes.octets(status.size));
        let octets = named.unwrap_or(status.size);
        Weight::Unread(Record {
            size: status.size,
            modified: status.modified,
            octets,
            surrogate: octets,
            identity: file.identity,
        })
    }

    /// The file system does not answer for a file that its directory names.
    fn failed(file: &Found<'_>, problem: &str) -> Weight {
        let path = file.path();
        log::error!(
            "{path:?} cannot be looked at ({problem}), and no mail is shown without it: check the disk, or remove the file"
        );
        Weight::Failed
    }

    /// Whether every file that there is was read.
    pub(crate) fn is_all_known(&self) -> bool {
        self.guessed.is_empty()
    }

    /// Writes the index for the messages that there are now, if that pays.
    /// `is_whole`: they are all that was found. `has_new_ids`: it is the index alone that
    /// knows some unique-ids.
    pub(crate) fn close(
        mut self,
        look: &Look,
        messages: &[Message<'_>],
        is_whole: bool,
        has_new_ids: bool,
    ) {
        if self.unreadable > LOGGED {
            log::error!("{} files in all cannot be read", self.unreadable);
        }
        let Some(index) = self.index else {
            return;
        };
        let trusted = match is_whole && self.is_all_known() {
            true => look.stamp.trusted_times(),
            false => [None; 2],
        };
        let known = messages.iter().filter(|message| message.first.is_known);
        let known = known.count();
        let changes = (messages.len() - known) + (index.len().saturating_sub(known));
        let pays = changes * CHANGED_PART >= messages.len() || self.measured >= MEASURED_OCTETS;
        let was_at_rest = Place::ALL.into_iter().any(|place| {
            look.names[place.at()].is_some()
                && trusted[place.at()].is_some()
                && !messages.is_empty()
                && look.stamp.at_rest(place) >= Some(AT_REST)
                && trusted[place.at()] != index.times()[place.at()]
        });
        if (changes > 0 && pays) || was_at_rest || has_new_ids {
            let entries = messages.iter().filter_map(|message| {
                let Found {
                    unique_id,
                    place,
                    name,
                    ..
                } = &message.first;
                if self.guessed.contains(&**unique_id) {
                    return None;
                }
                Some(Entry {
                    unique_id,
                    place: *place,
                    name,
                    record: message.first.record?,
                })
            });
            let file = index::render(&trusted, entries);
            self.save(&file);
        }
    }

    /// Delivery agents count a CR for each LF, but some do not count a last line
    /// end that is missing: the sizes in the name settle it only for a file that
    /// ends in LF. To look for that is dearer than to measure a small file.
    fn named_octets(&self, path: &str, named: Sizes, status: &Status) -> Option<u64> {
        let octets = named.octets(status.size)?;
        ends_in_lf(&self.root.join(path), status.size).then_some(octets)
    }

    fn elapsed(&self) -> Duration {
        self.files.now() - self.begun
    }

    fn remember(&mut self, file: &Found<'_>, record: Record) -> Weight {
        let fresh = Fresh {
            place: file.place,
            name: file.name.to_owned(),
            record,
        };
        self.fresh.insert(file.unique_id.as_ref().to_owned(), fresh);
        let begun = self.files.now();
        if begun >= self.next_save {
            self.save_in_between();
            let saved = self.files.now();
            self.next_save = saved + SAVE_EVERY.max((saved - begun) * SAVING_PART);
        }
        Weight::Record(record)
    }

    /// What was known and what was measured so far; what is gone is found out
    /// at the end.
    fn save_in_between(&mut self) {
        let Some(index) = self.index else {
            return;
        };
        let fresh = std::mem::take(&mut self.fresh);
        let news = fresh.iter().map(|(id, fresh)| fresh.entry(id));
        let file = index::render(&[None; 2], index::merge(index.entries(), news));
        self.save(&file);
        self.fresh = fresh;
    }

    fn save(&mut self, file: &[u8]) {
        if self.cannot_write {
            return;
        }
        if let Err(error) = index::put(self.root, file) {
            self.cannot_write = true;
            log::warn!(
                "{} cannot be written, going on without: {}",
                index::FILE,
                files::reason(&error)
            );
        }
    }
}

fn ends_in_lf(path: &Path, size: u64) -> bool {
    let last = size.checked_sub(1).map(|at| files::read(path, at, 1));
    matches!(last, Some(Ok(Some(last))) if last.octets == b"\n")
}

//! What each message weighs: from the index, from its name, or measured.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use restante_guest::{files, log};

use crate::census::{Files, Found, Message};
use crate::index::{self, Index, Record, Unusable};
use crate::name::Sizes;

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
const CHANGED_PART: usize = 256;
const MEASURED_OCTETS: u64 = 4 * 1024 * 1024;
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
    /// Read when the first message needs it.
    index: Option<Index>,
    fresh: BTreeMap<String, Record>,
    /// Octets that were read for it.
    measured: u64,
    begun: Instant,
    next_save: Instant,
    /// The disk is full or read-only: not tried again.
    cannot_write: bool,
    unreadable: usize,
}

/// What became of a whole maildrop on the scales.
pub(crate) enum Weighed {
    /// Every message that can be read has its octets.
    All,
    /// Some were not where they had been found, and were taken out.
    SomeGone,
    /// There was no time for all of them. What was measured is saved.
    OutOfTime,
}

enum Weight {
    Known(files::Weight),
    Gone,
    Unreadable,
    OutOfTime,
}

impl<'a, F: Files> Scales<'a, F> {
    pub(crate) fn new(root: &'a Path, files: &'a F) -> Self {
        let begun = files.now();
        Scales {
            root,
            files,
            index: None,
            fresh: BTreeMap::new(),
            measured: 0,
            begun,
            next_save: begun + SAVE_EVERY,
            cannot_write: false,
            unreadable: 0,
        }
    }

    /// Weighs each message, and takes out those that have no weight.
    pub(crate) fn weigh_all(&mut self, messages: &mut Vec<Message>) -> Weighed {
        let mut weighed = Weighed::All;
        messages.retain_mut(|message| {
            if matches!(weighed, Weighed::OutOfTime) {
                return false;
            }
            match self.weigh(&message.first) {
                Weight::Known(weight) => {
                    message.weight = weight;
                    return true;
                }
                Weight::Gone => weighed = Weighed::SomeGone,
                Weight::Unreadable => {}
                Weight::OutOfTime => weighed = Weighed::OutOfTime,
            }
            false
        });
        weighed
    }

    fn elapsed(&self) -> Duration {
        self.files.now() - self.begun
    }

    fn weigh(&mut self, file: &Found) -> Weight {
        if let Some(record) = self.recall(file) {
            return Weight::Known(files::Weight {
                octets: record.octets,
                surrogate: record.surrogate,
            });
        }
        if self.elapsed() >= NAMED_AFTER
            && let Some(octets) = self.named_octets(file)
        {
            // Not remembered: another login may have the time.
            return Weight::Known(files::Weight {
                octets,
                surrogate: octets,
            });
        }
        if self.elapsed() >= PATIENCE && !self.cannot_write {
            self.save_in_between();
            return Weight::OutOfTime;
        }
        match self.files.measure(&file.path) {
            Ok(weight) => {
                self.measured = self.measured.saturating_add(weight.octets);
                self.remember(file, &weight);
                Weight::Known(weight)
            }
            Err(problem) => self.explain(file, &problem),
        }
    }

    /// Why a file could not be measured.
    fn explain(&mut self, file: &Found, problem: &str) -> Weight {
        match self.root.join(&file.path).symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Weight::Gone,
            _ => {
                self.unreadable += 1;
                if self.unreadable <= LOGGED {
                    log::error!("{:?} cannot be read, and is left out: {problem}", file.path);
                }
                Weight::Unreadable
            }
        }
    }

    /// Writes the index for the messages that there are now, if that pays.
    pub(crate) fn close(mut self, messages: &[Message]) {
        if self.unreadable > LOGGED {
            log::error!("{} files in all cannot be read", self.unreadable);
        }
        let Some(index) = self.index.take() else {
            return;
        };
        let records: Vec<(&[u8], Record)> = messages
            .iter()
            .filter_map(|message| {
                let fresh = self.fresh.get(&message.first.unique_id).copied();
                let record = fresh.or_else(|| known(&index, &message.first))?;
                Some((message.first.unique_id.as_bytes(), record))
            })
            .collect();
        let kept = records.len().saturating_sub(self.fresh.len());
        let changes = self.fresh.len() + index.len().saturating_sub(kept);
        let pays = changes * CHANGED_PART >= records.len() || self.measured >= MEASURED_OCTETS;
        if changes > 0 && pays {
            self.save(records.into_iter());
        }
    }

    fn recall(&mut self, file: &Found) -> Option<Record> {
        let fresh = self.fresh.get(&file.unique_id).copied();
        if let Some(record) = fresh.filter(|record| is_for(record, file)) {
            return Some(record);
        }
        known(self.index.get_or_insert_with(|| load(self.root)), file)
    }

    /// Delivery agents count a CR for each LF, but some do not count a last line
    /// end that is missing: the sizes in the name settle it only for a file that
    /// ends in LF. To look for that is dearer than to measure a small file.
    fn named_octets(&self, file: &Found) -> Option<u64> {
        if file.size < NAMED_OCTETS {
            return None;
        }
        let octets = Sizes::of(file.name())?.octets(file.size)?;
        ends_in_lf(&self.root.join(&file.path), file.size).then_some(octets)
    }

    fn remember(&mut self, file: &Found, weight: &files::Weight) {
        let record = Record {
            size: file.size,
            modified: file.modified,
            octets: weight.octets,
            surrogate: weight.surrogate,
        };
        self.fresh.insert(file.unique_id.clone(), record);
        let begun = self.files.now();
        if begun >= self.next_save {
            self.save_in_between();
            let saved = self.files.now();
            self.next_save = saved + SAVE_EVERY.max((saved - begun) * SAVING_PART);
        }
    }

    /// What was known and what was measured so far; what is gone is found out
    /// at the end.
    fn save_in_between(&mut self) {
        let index = self.index.take().unwrap_or_default();
        let fresh = std::mem::take(&mut self.fresh);
        self.save(index::merge(
            index.records(),
            fresh.iter().map(|(id, record)| (id.as_bytes(), *record)),
        ));
        self.fresh = fresh;
        self.index = Some(index);
    }

    fn save<'r>(&mut self, records: impl Iterator<Item = (&'r [u8], Record)>) {
        if self.cannot_write {
            return;
        }
        if let Err(error) = index::write(self.root, records) {
            self.cannot_write = true;
            log::warn!(
                "{} cannot be written, going on without: {error}",
                index::FILE
            );
        }
    }
}

fn ends_in_lf(path: &Path, size: u64) -> bool {
    let last = size.checked_sub(1).map(|at| files::read(path, at, 1));
    matches!(last, Some(Ok(Some(last))) if last.octets == b"\n")
}

fn known(index: &Index, file: &Found) -> Option<Record> {
    index
        .find(&file.unique_id)
        .filter(|record| is_for(record, file))
}

fn is_for(record: &Record, file: &Found) -> bool {
    (record.size, record.modified) == (file.size, file.modified)
}

fn load(root: &Path) -> Index {
    Index::load(root).unwrap_or_else(|unusable| {
        match unusable {
            Unusable::Missing => {}
            Unusable::Foreign => log::info!("{} is no index: it is built anew", index::FILE),
            Unusable::Broken => log::info!("{} is broken: it is built anew", index::FILE),
            Unusable::Unreadable(error) => {
                log::info!("{} cannot be read: it is built anew: {error}", index::FILE);
            }
        }
        Index::default()
    })
}

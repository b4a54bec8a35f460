//! What each message weighs: from the index, from its name, or measured.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use restante_guest::log;

use crate::census::{Files, Found, Message};
use crate::index::{self, Index, Record, Unusable};
use crate::name::Sizes;

/// While a large maildrop is measured for the first time the index is written
/// this often: the next login goes on where a cut-off one ended.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// The index is written anew once this part of it has changed, or this many
/// octets were measured: a large one is not rewritten for every message.
const CHANGED_PART: usize = 256;
const MEASURED_OCTETS: u64 = 4 * 1024 * 1024;
/// Octets of the smallest file whose name is asked before it is measured.
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
    saved: Instant,
    /// The disk is full or read-only: not tried again.
    cannot_write: bool,
    unreadable: usize,
}

/// A message's weight, or why there is none.
pub(crate) enum Weight {
    Octets(u64),
    /// It is not where it was found.
    Gone,
    /// It is there, and cannot be read.
    Unreadable,
}

impl<'a, F: Files> Scales<'a, F> {
    pub(crate) fn new(root: &'a Path, files: &'a F) -> Self {
        Scales {
            root,
            files,
            index: None,
            fresh: BTreeMap::new(),
            measured: 0,
            saved: Instant::now(),
            cannot_write: false,
            unreadable: 0,
        }
    }

    pub(crate) fn weigh(&mut self, file: &Found) -> Weight {
        if let Some(record) = self.recall(file) {
            return Weight::Octets(record.octets);
        }
        if let Some(octets) = self.named_octets(file) {
            self.remember(file, octets);
            return Weight::Octets(octets);
        }
        match self.files.measure(&file.path) {
            Ok(octets) => {
                self.measured = self.measured.saturating_add(octets);
                self.remember(file, octets);
                Weight::Octets(octets)
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
        ends_in_lf(&self.root.join(&file.path))
            .ok()?
            .then_some(octets)
    }

    fn remember(&mut self, file: &Found, octets: u64) {
        let record = Record {
            size: file.size,
            modified: file.modified,
            octets,
        };
        self.fresh.insert(file.unique_id.clone(), record);
        if self.saved.elapsed() >= SAVE_EVERY {
            self.save_in_between();
            self.saved = Instant::now();
        }
    }

    /// What was known and what was measured so far; what is gone is found out
    /// at the end.
    fn save_in_between(&mut self) {
        let index = self.index.take().unwrap_or_default();
        let mut all: BTreeMap<&[u8], Record> = index.records().collect();
        let fresh = std::mem::take(&mut self.fresh);
        all.extend(fresh.iter().map(|(id, record)| (id.as_bytes(), *record)));
        self.save(all.into_iter());
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

fn ends_in_lf(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
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

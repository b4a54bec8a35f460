//! Cuts messages out of the mbox so that no moment to be killed at loses mail, and
//! nothing that somebody appends under the dotlock is lost either.
//!
//! The file is changed in its place. A new one renamed over it would be whole at any
//! time, but it would be another file: of another owner and mode, no link any more,
//! and whoever had the old one open when he waited for the lock (Python's `mailbox`
//! does) would deliver into a file that nobody sees.
//!
//! So what is to stand behind the first cut, the *tail*, is put on the disk beside
//! the mbox first, with where it goes, in the journal `.NAME.restante-removal`:
//!
//! 1. The journal is written, synced, renamed to its name, the directory synced.
//!    Until then nothing has happened.
//! 2. The tail is written over the mbox, and synced. The mbox keeps its size; what
//!    is behind the tail now, the *rest*, is still what was there before.
//! 3. The mbox is cut to its new size, and synced. One system call does it whole.
//! 4. The journal is removed.
//!
//! Who finds a journal, under the lock, goes on from there (`settle`):
//!
//! - The rest is there as it was: step 3 has not come. What follows the rest was
//!   appended after a crash, by somebody who broke our lock. It becomes part of
//!   the tail, in a new journal that takes the place of the old one, and steps 2 to 4
//!   are done.
//! - The rest is not there, and the tail is: step 3 is done. So is step 4, then.
//! - Neither: some program has rewritten the mbox since. The journal is left under
//!   another name, for the operator: it holds mail, and we do not know better.
//!
//! If nothing stands behind the first cut, as when all messages go, step 3 alone is
//! the removal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use restante_guest::{files, log};
use sha2::{Digest as _, Sha256};

use crate::lock::Lock;

const MAGIC: &[u8; 24] = b"restante mbox removal 1\n";
/// Magic, offset of the tail, size of the mbox before, octets of the tail, what is
/// told of the rest, checksum.
const HEADER: usize = MAGIC.len() + 3 * 8 + 32 + 4;
/// Octets that are copied at once.
const PIECE_OCTETS: usize = 256 * 1024;
/// Octets at both ends of the rest that tell whether it is there.
const SAMPLE_OCTETS: u64 = 64 * 1024;
/// How often a journal is made longer, because somebody appends without the lock.
const TURNS: usize = 4;

/// A file with a removal that is under way.
pub(crate) struct Removal<'a> {
    mbox: &'a Path,
    journal: PathBuf,
    directory: &'a Path,
    lock: &'a mut Lock,
}

/// What stands in front of a journal's tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    /// Where the tail goes.
    offset: u64,
    /// Octets of the mbox before.
    old_size: u64,
    tail: u64,
    /// What the rest is, from the new size to the old one.
    rest: [u8; 32],
}

impl Plan {
    fn new_size(&self) -> u64 {
        self.offset + self.tail
    }

    fn render(&self) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        for number in [self.offset, self.old_size, self.tail] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header.extend_from_slice(&self.rest);
        let checksum = crc32fast::hash(&header);
        header.extend_from_slice(&checksum.to_le_bytes());
        header
    }

    fn parse(header: &[u8; HEADER]) -> Option<Plan> {
        let (content, checksum) = header.split_last_chunk::<4>()?;
        if crc32fast::hash(content) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let numbers = content.strip_prefix(MAGIC)?;
        let number = |at: usize| Some(u64::from_le_bytes(*numbers.get(at..)?.first_chunk()?));
        let plan = Plan {
            offset: number(0)?,
            old_size: number(8)?,
            tail: number(16)?,
            rest: *numbers.get(24..)?.first_chunk()?,
        };
        let new_size = plan.offset.checked_add(plan.tail)?;
        (new_size <= plan.old_size).then_some(plan)
    }
}

/// What was found of a journal.
enum Journal {
    None,
    /// Not one of ours, or not whole.
    Foreign,
    Whole(Plan),
}

impl<'a> Removal<'a> {
    pub(crate) fn new(directory: &'a Path, mbox: &'a Path, lock: &'a mut Lock) -> Removal<'a> {
        Removal {
            journal: journal_of(mbox),
            mbox,
            directory,
            lock,
        }
    }

    /// Cuts these ranges, rising and apart, out of the mbox, which has so many octets
    /// now.
    pub(crate) fn cut(mut self, cuts: &[Range<u64>], size: u64) -> io::Result<()> {
        let Some(first) = cuts.first() else {
            return Ok(());
        };
        let starts = cuts.iter().skip(1).map(|cut| cut.start).chain([size]);
        let kept = cuts.iter().zip(starts).map(|(cut, next)| cut.end..next);
        let kept: Vec<Range<u64>> = kept.filter(|kept| !kept.is_empty()).collect();
        if kept.is_empty() {
            return self.shorten(size, first.start);
        }
        let mut mbox = File::open(self.mbox)?;
        let tail = kept.iter().map(|kept| kept.end - kept.start).sum();
        let plan = Plan {
            offset: first.start,
            old_size: size,
            tail,
            rest: sample(&mut mbox, first.start + tail..size)?,
        };
        self.write_journal(&plan, |out, removal| {
            for kept in &kept {
                removal.copy(&mut mbox, kept.clone(), out)?;
            }
            Ok(())
        })?;
        self.settle()
    }

    /// Ends a removal that is under way, if there is one.
    pub(crate) fn settle(mut self) -> io::Result<()> {
        for _ in 0..TURNS {
            let plan = match self.read_journal()? {
                Journal::None => return Ok(()),
                Journal::Foreign => return self.put_aside("it cannot be read"),
                Journal::Whole(plan) => plan,
            };
            let mut mbox = match File::open(self.mbox) {
                Ok(mbox) => mbox,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return self.put_aside("the mbox is gone");
                }
                Err(error) => return Err(error),
            };
            let size = mbox.metadata()?.len();
            let rest_is_there = size >= plan.old_size
                && sample(&mut mbox, plan.new_size()..plan.old_size)? == plan.rest;
            if !rest_is_there {
                return match self.has_tail(&mut mbox, &plan, size)? {
                    true => self.end(),
                    false => self.put_aside("another program has rewritten the mbox"),
                };
            }
            if size > plan.old_size {
                self.lengthen(&mut mbox, &plan, size)?;
                continue;
            }
            drop(mbox);
            self.write_tail(&plan)?;
            // Who goes by another lock may have appended meanwhile.
            if fs::metadata(self.mbox)?.len() == plan.old_size {
                self.shorten(plan.old_size, plan.new_size())?;
                return self.end();
            }
        }
        let text = "the mbox grows all the time: its writers do not take the dotlock";
        Err(io::Error::new(ErrorKind::ResourceBusy, text))
    }

    /// A journal is written under another name, and is there at once or not at all.
    fn write_journal(
        &mut self,
        plan: &Plan,
        tail: impl FnOnce(&mut File, &mut Removal<'a>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut next = self.journal.clone().into_os_string();
        next.push(".new");
        let next = PathBuf::from(next);
        remove_if_there(&next)?;
        let made = OpenOptions::new().write(true).create_new(true).open(&next);
        let written = made.and_then(|mut out| {
            let written = out.write_all(&plan.render());
            written.map_err(|error| files::cause(&out, error))?;
            tail(&mut out, self)?;
            out.sync_all()
        });
        let held = written.and_then(|()| self.expect_lock());
        let placed = held.and_then(|()| fs::rename(&next, &self.journal));
        if placed.is_err() {
            // The disk may be full. Nothing has happened to the mbox.
            let _ = fs::remove_file(&next);
        }
        placed.and_then(|()| self.sync_directory())
    }

    fn read_journal(&self) -> io::Result<Journal> {
        let mut file = match File::open(&self.journal) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Journal::None),
            Err(error) => return Err(error),
        };
        let mut header = [0; HEADER];
        match file.read_exact(&mut header) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Journal::Foreign),
            read => read?,
        }
        let size = file.metadata()?.len();
        let plan = Plan::parse(&header).filter(|plan| plan.tail + HEADER as u64 == size);
        Ok(plan.map_or(Journal::Foreign, Journal::Whole))
    }

    /// What was appended behind the rest becomes part of the tail.
    fn lengthen(&mut self, mbox: &mut File, plan: &Plan, size: u64) -> io::Result<()> {
        let tail = plan.tail + (size - plan.old_size);
        let longer = Plan {
            offset: plan.offset,
            old_size: size,
            tail,
            rest: sample(mbox, plan.offset + tail..size)?,
        };
        let mut old = File::open(&self.journal)?;
        let old_tail = HEADER as u64..HEADER as u64 + plan.tail;
        self.write_journal(&longer, |out, removal| {
            removal.copy(&mut old, old_tail, out)?;
            removal.copy(mbox, plan.old_size..size, out)
        })
    }

    fn write_tail(&mut self, plan: &Plan) -> io::Result<()> {
        let mut journal = File::open(&self.journal)?;
        let mut mbox = OpenOptions::new().write(true).open(self.mbox)?;
        mbox.seek(SeekFrom::Start(plan.offset))?;
        let tail = HEADER as u64..HEADER as u64 + plan.tail;
        self.copy(&mut journal, tail, &mut mbox)?;
        mbox.sync_all()
    }

    fn has_tail(&mut self, mbox: &mut File, plan: &Plan, size: u64) -> io::Result<bool> {
        if size < plan.new_size() {
            return Ok(false);
        }
        let mut journal = File::open(&self.journal)?;
        journal.seek(SeekFrom::Start(HEADER as u64))?;
        mbox.seek(SeekFrom::Start(plan.offset))?;
        let (mut one, mut other) = (vec![0; PIECE_OCTETS], vec![0; PIECE_OCTETS]);
        let mut left = plan.tail;
        while left > 0 {
            self.lock.refresh();
            let octets = piece(left);
            journal.read_exact(&mut one[..octets])?;
            mbox.read_exact(&mut other[..octets])?;
            if one[..octets] != other[..octets] {
                return Ok(false);
            }
            left -= octets as u64;
        }
        Ok(true)
    }

    /// Cuts the end of the mbox off.
    fn shorten(&mut self, size: u64, new_size: u64) -> io::Result<()> {
        let mbox = OpenOptions::new().write(true).open(self.mbox)?;
        if mbox.metadata()?.len() != size {
            let text = "the mbox has grown: a writer does not take the dotlock";
            return Err(io::Error::new(ErrorKind::ResourceBusy, text));
        }
        self.expect_lock()?;
        mbox.set_len(new_size)?;
        mbox.sync_all()
    }

    fn expect_lock(&self) -> io::Result<()> {
        match self.lock.is_held() {
            true => Ok(()),
            false => {
                let text = "somebody else has taken our lock";
                Err(io::Error::new(ErrorKind::ResourceBusy, text))
            }
        }
    }

    fn end(&self) -> io::Result<()> {
        remove_if_there(&self.journal)?;
        self.sync_directory()
    }

    /// It holds mail, and may be the only one that does.
    fn put_aside(&self, why: &str) -> io::Result<()> {
        let name = |number: u32| {
            let mut name = self.mbox.to_owned().into_os_string();
            name.push(format!(".restante-rescued-{number}"));
            PathBuf::from(name)
        };
        let free = (1..)
            .map(name)
            .find(|name| matches!(name.try_exists(), Ok(false)));
        let aside = free.ok_or(ErrorKind::AlreadyExists)?;
        fs::rename(&self.journal, &aside)?;
        log::error!(
            "a removal was broken off and cannot be ended: {why}. {} holds the mail that was to \
             stay; look whether any of it is missing",
            aside.display()
        );
        self.sync_directory()
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(self.directory)?.sync_all()
    }

    fn copy(&mut self, from: &mut File, range: Range<u64>, to: &mut File) -> io::Result<()> {
        let mut space = vec![0; PIECE_OCTETS];
        from.seek(SeekFrom::Start(range.start))?;
        let mut left = range.end - range.start;
        while left > 0 {
            self.lock.refresh();
            let octets = piece(left);
            from.read_exact(&mut space[..octets])?;
            let written = to.write_all(&space[..octets]);
            written.map_err(|error| files::cause(to, error))?;
            left -= octets as u64;
        }
        Ok(())
    }
}

/// Whether a removal was broken off, as far as a look tells.
pub(crate) fn is_under_way(mbox: &Path) -> bool {
    !matches!(files::stat(journal_of(mbox)), Ok(None))
}

fn journal_of(mbox: &Path) -> PathBuf {
    let name = mbox.file_name().unwrap_or_default().to_string_lossy();
    mbox.with_file_name(format!(".{name}.restante-removal"))
}

fn piece(left: u64) -> usize {
    usize::try_from(left).map_or(PIECE_OCTETS, |left| left.min(PIECE_OCTETS))
}

/// A digest over the length and both ends of a range.
fn sample(file: &mut File, range: Range<u64>) -> io::Result<[u8; 32]> {
    let octets = range.end - range.start;
    let mut hash = Sha256::new();
    hash.update(octets.to_le_bytes());
    let mut space = Vec::new();
    let last = octets.saturating_sub(SAMPLE_OCTETS);
    for start in [range.start, range.start + last] {
        file.seek(SeekFrom::Start(start))?;
        space.clear();
        Read::by_ref(file)
            .take(octets.min(SAMPLE_OCTETS))
            .read_to_end(&mut space)?;
        hash.update(&space);
    }
    Ok(hash.finalize().into())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;

//! Finds the messages of the mbox: from its index, from its end where it grew, or
//! from its beginning.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::{Duration, Instant};

use restante_guest::files::{self, Kind, Status};
use restante_guest::mbox::{File, Variant, is_from_line, messages};

use crate::id::{Digest, Name};
use crate::index::{Entry, Index, mark};

/// One call reads the file for so long at most; the next login goes on where this
/// one ended. A guest has two seconds of its own for a call, unless the operator
/// says otherwise.
const PATIENCE: Duration = Duration::from_millis(1200);
/// Messages between two looks at the clock.
const LOOK_EVERY: usize = 64;
/// Messages that are looked at to tell a file that grew from one that was
/// rewritten.
const SAMPLES: usize = 8;
/// Octets that a header is looked for in: those of a usual one, and what one read
/// gives at most.
const HEADER_OCTETS: [u32; 2] = [16 << 10, 1 << 20];
/// Octets in which a From_ line is looked for.
const LINE_OCTETS: u32 = 1000;

/// Why there are no messages to tell.
#[derive(Debug)]
pub(crate) enum Unread {
    /// There was no time for all of them. What was found is remembered.
    OutOfTime,
    /// It is not a regular file, or no mbox.
    NoMbox(String),
    Error(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Unread {
        match error.kind() {
            ErrorKind::InvalidData => Unread::NoMbox(error.to_string()),
            _ => Unread::Error(error),
        }
    }
}

/// The mbox as it is now; none: there is no such file.
pub(crate) fn status(path: &Path) -> Result<Option<Status>, Unread> {
    match files::stat(path) {
        Ok(None) => Ok(None),
        Ok(Some(status)) if status.kind == Kind::File => Ok(Some(status)),
        Ok(Some(_)) => Err(Unread::NoMbox("it is not a regular file".into())),
        Err(problem) => Err(Unread::Error(io::Error::other(problem))),
    }
}

/// Brings what is known of the mbox up to date. To be called under the lock: a
/// message that is being delivered would be taken for a whole one.
pub(crate) fn bring_up_to_date(
    path: &Path,
    index_path: &Path,
    variant: Variant,
    known: Option<Index>,
) -> Result<Index, Unread> {
    let file = File::open(path)?;
    let status = *file.status();
    let (mut entries, old) = match known {
        Some(index) if has_grown(path, &index, &status) => (index.entries, Vec::new()),
        Some(index) => (Vec::new(), index.entries),
        None => (Vec::new(), Vec::new()),
    };
    // The last one is read again: what came may belong to it.
    let last = entries.pop();
    let start = last.map_or(0, |last| last.start);
    let mut numbers = Copies::new(&entries, last.as_ref(), old);
    let mut found = messages(file, variant).starting_at(start);
    let begun = Instant::now();
    let mut end = status.size;
    let first = entries.len();
    while let Some(message) = found.next().transpose()? {
        let mut entry = Entry::of(&message);
        entry.copy = numbers.next(entry.digest);
        entries.push(entry);
        let is_time_to_look = (entries.len() - first).is_multiple_of(LOOK_EVERY)
            || message.end - message.start > 1 << 20;
        if is_time_to_look && begun.elapsed() >= PATIENCE && message.end < status.size {
            end = message.end;
            break;
        }
    }
    let index = Index {
        of: mark(&status),
        end,
        entries,
    };
    index.save(index_path, variant);
    match index.end == status.size {
        true => Ok(index),
        false => Err(Unread::OutOfTime),
    }
}

/// Whether what the index knows is still the front of the file. A look at some
/// messages settles it: whoever changes others in their place leaves what goes by
/// the wrong numbers to be found out when it is asked for.
fn has_grown(path: &Path, index: &Index, status: &Status) -> bool {
    let (identity, size, _) = index.of;
    let is_larger = identity == status.identity && size <= status.size;
    // An mbox that was not read to its end has not grown, but is read on.
    let is_more = size < status.size || index.end < size;
    if !is_larger || !is_more || index.entries.is_empty() {
        return false;
    }
    let last = index.entries.len() - 1;
    let step = (last / SAMPLES).max(1);
    let samples = (0..last).step_by(step).chain([last]);
    let mut samples = samples.map(|at| Name::of(&index.entries[at], index.end_of(at)));
    samples.all(|name| {
        // The last one may have had no line end.
        is_there(path, &name) == Some(true)
    })
}

/// Whether a message is where it was. None: the file cannot be read.
pub(crate) fn is_there(path: &Path, name: &Name) -> Option<bool> {
    for octets in HEADER_OCTETS {
        let chunk = files::read(path, name.start, octets).ok()??;
        let is_it = chunk.status.size >= name.content_end && begins_with(&chunk.octets, name);
        if is_it {
            return ends_there(path, name.end);
        }
    }
    Some(false)
}

/// Whether these octets are the beginning of the message.
fn begins_with(octets: &[u8], name: &Name) -> bool {
    // As mboxo: how far the message goes is not the question.
    let Some(Ok(message)) = messages(octets, Variant::Mboxo).next() else {
        return false;
    };
    let digest = Digest::of(&message.from_line, &message.header, name.body_octets);
    message.start == 0 && message.content == name.content - name.start && name.has_digest(digest)
}

/// Whether a message can end there: another one begins, or the file ends. None:
/// the file cannot be read.
fn ends_there(path: &Path, end: u64) -> Option<bool> {
    let next = files::read(path, end, LINE_OCTETS).ok()??;
    let line = next.octets.split(|octet| *octet == b'\n').next();
    let line = line.unwrap_or_default();
    // Behind what was the end of the file more may have come, blank lines first.
    Some(line.trim_ascii().is_empty() || is_from_line(line))
}

/// Whether messages begin and end where the index has it, for whole runs of them
/// that are to be cut out.
pub(crate) fn is_run(path: &Path, index: &Index, first: usize, last: usize) -> bool {
    let name = Name::of(&index.entries[first], index.end_of(first));
    let end = index.end_of(last);
    let ends = match end == index.end {
        true => Some(true),
        false => begins_there(path, end),
    };
    is_there(path, &name) == Some(true) && ends == Some(true)
}

fn begins_there(path: &Path, start: u64) -> Option<bool> {
    let next = files::read(path, start, LINE_OCTETS).ok()??;
    let line = next.octets.split(|octet| *octet == b'\n').next();
    Some(is_from_line(line.unwrap_or_default()))
}

/// Numbers the copies of a message. A copy keeps its number while the index lasts,
/// whichever others are removed by us. Where somebody else removed one of several
/// nobody can tell which, and it does not matter: they are alike.
struct Copies {
    /// Of those that are there, the highest so far.
    highest: BTreeMap<Digest, u32>,
    /// The numbers that the copies had, in their order.
    had: BTreeMap<Digest, Vec<u32>>,
}

impl Copies {
    fn new(kept: &[Entry], again: Option<&Entry>, old: Vec<Entry>) -> Copies {
        let mut highest = BTreeMap::new();
        for entry in kept {
            let number = highest.entry(entry.digest).or_insert(0);
            *number = entry.copy.max(*number);
        }
        let mut had: BTreeMap<Digest, Vec<u32>> = BTreeMap::new();
        for entry in old.iter().chain(again) {
            had.entry(entry.digest).or_default().push(entry.copy);
        }
        Copies { highest, had }
    }

    fn next(&mut self, digest: Digest) -> u32 {
        let highest = self.highest.entry(digest).or_insert(0);
        let had = self.had.get_mut(&digest);
        let next = match had.filter(|had| !had.is_empty()) {
            Some(had) => had.remove(0),
            None => *highest + 1,
        };
        *highest = next.max(*highest);
        next
    }
}

//! Whole-directory and whole-file work over what was granted, done natively.
//!
//! What the kernel has in its caches is done at once; only what may take
//! waiting is handed over to the blocking pool, and so is everything that goes
//! wrong, so that there is one set of words for it. What is done at once takes
//! the event loop's time, and counts against the guest's CPU time.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use cap_std::fs::{Dir, Metadata, MetadataExt};
use cap_std::time::SystemTime;
use restante_pop3::{Scales, Weight as Weighed};

use crate::bindings::restante::plugin::files::{Chunk, Kind, Names, Status, Weight};
use crate::disk::grants::{Granted, MAILDROP, Root};
use crate::disk::opening;
use restante_roles::nowait;
use restante_roles::work::Stop;

use crate::disk::left_out::LeftOut;

/// Most entries that one scan hands over.
const ENTRIES: usize = 1_000_000;
/// Bytes of their names together: room for as many as that of the usual length.
const MAX_NAMES_BYTES: usize = 96 << 20;
/// Octets of a directory read at once.
#[cfg(target_os = "linux")]
const DIRECTORY: usize = 64 << 10;
/// Octets read at once when a file is measured; a larger one is not measured on
/// the event loop.
const CHUNK: usize = 128 << 10;
/// Octets of the largest file that is measured: a sparse one costs nothing on the
/// disk, and to read it may take days.
const MAX_MEASURED_OCTETS: u64 = 1 << 30;
/// Most octets that one `read` hands over.
const READ: u32 = 1 << 20;

pub(crate) fn present<R>(found: io::Result<R>) -> Result<Option<R>, String> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// A granted directory, and the way from there.
pub(crate) struct Place {
    pub(crate) base: Base,
    pub(crate) path: String,
}

/// A granted directory.
#[derive(Clone)]
pub(crate) enum Base {
    Maildrop(Arc<Root>),
    Granted(Arc<[Granted]>, usize),
}

impl Place {
    fn root(&self) -> &Root {
        match &self.base {
            Base::Maildrop(root) => root,
            Base::Granted(granted, at) => &granted[*at].root,
        }
    }

    pub(crate) fn dir(&self) -> &Dir {
        self.root().dir()
    }
}

/// Where a guest's path leads. None: into a maildrop that does not exist.
pub(crate) fn place(
    maildrop: Option<&Arc<Root>>,
    directories: &Arc<[Granted]>,
    path: &str,
) -> Result<Option<Place>, String> {
    let of_maildrop = || maildrop.map(|root| Base::Maildrop(root.clone()));
    let (base, rest) = if !path.starts_with('/') {
        (of_maildrop(), path)
    } else if let Some(rest) = below(MAILDROP, path) {
        (of_maildrop(), rest)
    } else {
        let (at, rest) = directories
            .iter()
            .enumerate()
            .filter_map(|(at, granted)| Some((at, below(&granted.guest, path)?)))
            .max_by_key(|(at, _)| directories[*at].guest.len())
            .ok_or("not inside a granted directory")?;
        (Some(Base::Granted(directories.clone(), at)), rest)
    };
    let rest = if rest.is_empty() { "." } else { rest };
    Ok(base.map(|base| Place {
        base,
        path: rest.to_owned(),
    }))
}

/// The way from a directory to a path below it, both as the guest has them.
fn below<'a>(directory: &str, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(directory.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/'))
}

/// Regular files only, by name, and what was left out. "" is the maildrop itself, as it is
/// for the others.
pub(crate) fn scan(maildrop: &Dir, directory: &str, stop: &Stop) -> io::Result<(Names, LeftOut)> {
    let directory = match directory {
        "" => ".",
        below => below,
    };
    let mut found = Found::default();
    entries(maildrop, directory, &mut found, stop)?;
    Ok(found.sorted())
}

/// Names in one text, as a directory has them.
#[derive(Default)]
struct Found {
    text: String,
    /// Where each one begins, how long it is, and its inode.
    files: Vec<(usize, usize, u64)>,
    left_out: LeftOut,
}

impl Found {
    /// Another file. A name that is not text cannot cross the border.
    fn push(&mut self, name: &[u8], inode: u64) -> io::Result<()> {
        let Ok(name) = str::from_utf8(name) else {
            self.left_out.odd_name(name);
            return Ok(());
        };
        if self.files.len() == ENTRIES {
            return Err(io::Error::other(format!(
                "the directory has more than {ENTRIES} files"
            )));
        }
        if self.text.len() + name.len() > MAX_NAMES_BYTES {
            return Err(io::Error::other(format!(
                "the names of the directory's files have more than {MAX_NAMES_BYTES} octets"
            )));
        }
        self.files.push((self.text.len(), name.len(), inode));
        self.text.push_str(name);
        Ok(())
    }

    fn sorted(mut self) -> (Names, LeftOut) {
        let name = |&(start, length, _): &(usize, usize, u64)| &self.text[start..start + length];
        self.files.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        let mut names = String::with_capacity(self.text.len() + self.files.len());
        for file in &self.files {
            names.push_str(name(file));
            names.push('\0');
        }
        let identities = self.files.iter().map(|(_, _, inode)| *inode).collect();
        (Names { names, identities }, self.left_out)
    }
}

/// The type of a file as the directory tells it: where the file system keeps it
/// there, no file is looked at.
#[cfg(target_os = "linux")]
fn entries(maildrop: &Dir, directory: &str, found: &mut Found, stop: &Stop) -> io::Result<()> {
    use rustix::fs::{AtFlags, FileType, OFlags, RawDir, statat};
    use rustix::io::Errno;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let (directory, _) = opening::open(maildrop, directory, flags)?;
    let mut space = Vec::with_capacity(DIRECTORY);
    let mut entries = RawDir::new(&directory, space.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        stop.check()?;
        let entry = match entry {
            Err(Errno::INTR) => continue,
            entry => entry?,
        };
        let name = entry.file_name();
        if name.to_bytes().starts_with(b".") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(about) => FileType::from_raw_mode(about.st_mode),
                    // What vanishes while it is looked at was never there.
                    Err(Errno::NOENT) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            kind => kind,
        };
        match kind {
            FileType::RegularFile => found.push(name.to_bytes(), entry.ino())?,
            FileType::Symlink => found.left_out.link(name.to_bytes()),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn entries(maildrop: &Dir, directory: &str, found: &mut Found, stop: &Stop) -> io::Result<()> {
    for entry in maildrop.read_dir(directory)? {
        stop.check()?;
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b".") {
            continue;
        }
        match entry.metadata() {
            Ok(about) if about.is_file() => found.push(name, about.ino())?,
            Ok(about) if about.is_symlink() => found.left_out.link(name),
            Ok(_) => {}
            // What vanishes while it is looked at was never there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(crate) fn measure(place: &Place, stop: &Stop) -> io::Result<Weight> {
    let (mut file, about) = opening::open_file(place.dir(), &place.path)?;
    let status = status(&about);
    if status.size > MAX_MEASURED_OCTETS {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!(
                "{} has {} octets, more than the {MAX_MEASURED_OCTETS} that are read to measure a message: move it out of the maildrop",
                place.path, status.size
            ),
        ));
    }
    let mut scales = Scales::new();
    let mut chunk = vec![0; CHUNK];
    let mut left = MAX_MEASURED_OCTETS;
    loop {
        stop.check()?;
        match file.read(&mut chunk) {
            Ok(0) => return Ok(weight(scales.finish(), status)),
            Ok(octets) => {
                // It may grow while it is read.
                left = left
                    .checked_sub(octets as u64)
                    .ok_or(io::ErrorKind::FileTooLarge)?;
                chunk.truncate(octets);
                scales.feed(&mut chunk);
                // Weighing leaves it as long as the surrogate is.
                chunk.resize(CHUNK, 0);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

pub(crate) fn stat(place: &Place) -> io::Result<(Status, Changed)> {
    let about = opening::look(place.dir(), &place.path)?;
    Ok((status(&about), changed(&about)))
}

pub(crate) fn read_waiting(place: &Place, offset: u64, length: u32) -> io::Result<Chunk> {
    let (file, about) = opening::open_file(place.dir(), &place.path)?;
    let status = status(&about);
    let mut octets = space(&status, offset, length);
    let mut filled = 0;
    while filled < octets.len() {
        match file.read_at(&mut octets[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    octets.truncate(filled);
    Ok(Chunk { octets, status })
}

/// Room for what is to be read: nothing behind the end, so that no offset within
/// it overflows.
fn space(status: &Status, offset: u64, length: u32) -> Vec<u8> {
    let rest = status.size.saturating_sub(offset);
    let length = rest.min(length.min(READ).into());
    vec![0; usize::try_from(length).expect("at most READ")]
}

fn status(about: &Metadata) -> Status {
    let kind = if about.is_file() {
        Kind::File
    } else if about.is_dir() {
        Kind::Directory
    } else {
        Kind::Other
    };
    Status {
        kind,
        size: about.len(),
        modified: modified(about),
        created: nanoseconds(about.created()),
        identity: about.ino(),
    }
}

/// When a file's content was modified. Of a directory, when anything of it last changed:
/// stores take a directory that looks unmodified for one without new mail, and backup
/// programs set back the other time.
fn modified(about: &Metadata) -> u64 {
    let modified = nanoseconds(about.modified()).unwrap_or(0);
    if !about.is_dir() {
        return modified;
    }
    let (seconds, nanoseconds) = changed(about);
    let whole = u64::try_from(seconds)
        .unwrap_or(0)
        .saturating_mul(1_000_000_000);
    modified.max(whole.saturating_add(u64::try_from(nanoseconds).unwrap_or(0)))
}

/// When anything of a file was last changed, in seconds and nanoseconds: unlike its
/// other times nobody can set it back. The contract has no word for it.
pub(crate) type Changed = (i64, i64);

fn changed(about: &Metadata) -> Changed {
    (about.ctime(), about.ctime_nsec())
}

/// [`Status`] with equality, which the generated type has not.
type Plain = (u8, u64, u64, Option<u64>, u64);

/// All of a file's status.
pub(crate) fn plain(status: Status) -> Plain {
    let Status {
        kind,
        size,
        modified,
        created,
        identity,
    } = status;
    (kind as u8, size, modified, created, identity)
}

/// Since the Unix epoch; 0 for what lies before it. None: not known.
fn nanoseconds(time: io::Result<SystemTime>) -> Option<u64> {
    let since = time.ok()?.into_std().duration_since(UNIX_EPOCH);
    Some(since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }))
}

/// What is there, opened for reading.
fn look_cached(place: &Place) -> Option<io::Result<(File, Status)>> {
    let opened = place.root().open_at_once(&place.path)?;
    Some(opened.and_then(|file| {
        let status = status(&Metadata::from_file(&file)?);
        Ok((file, status))
    }))
}

/// It is not opened: to open a device may do something.
pub(crate) fn stat_cached(place: &Place) -> Option<io::Result<(Status, Changed)>> {
    let found = place.root().look_at_once(&place.path)?;
    Some(found.map(|about| (status(&about), changed(&about))))
}

/// What is at a path below a maildrop. None: to know that takes waiting, or it cannot
/// be known; Some(None): there is nothing.
pub(crate) fn status_at_once(
    maildrop: &Arc<Root>,
    path: &str,
) -> Option<Option<(Status, Changed)>> {
    let base = Base::Maildrop(maildrop.clone());
    let path = path.to_owned();
    present(stat_cached(&Place { base, path })?).ok()
}

pub(crate) fn read_cached(place: &Place, offset: u64, length: u32) -> Option<io::Result<Chunk>> {
    let (file, status) = match look_cached(place)? {
        Ok((_, status)) if status.kind != Kind::File => return None,
        Ok(looked) => looked,
        Err(error) => return Some(Err(error)),
    };
    let mut octets = space(&status, offset, length);
    let mut filled = 0;
    while filled < octets.len() {
        match nowait::read_at(&file, &mut octets[filled..], offset + filled as u64)? {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) => return Some(Err(error)),
        }
    }
    octets.truncate(filled);
    Some(Ok(Chunk { octets, status }))
}

/// Small files only: measuring is work for the processor too.
pub(crate) fn measure_cached(place: &Place) -> Option<io::Result<Weight>> {
    let chunk = match read_cached(place, 0, CHUNK as u32)? {
        Ok(chunk) if chunk.status.size != chunk.octets.len() as u64 => return None,
        Ok(chunk) => chunk,
        Err(error) => return Some(Err(error)),
    };
    Some(Ok(weight(Scales::weigh(&chunk.octets), chunk.status)))
}

fn weight(weighed: Weighed, status: Status) -> Weight {
    Weight {
        octets: weighed.octets,
        surrogate: weighed.surrogate,
        status,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

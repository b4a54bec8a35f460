//! Gives a user who has logged in with a legacy hash a new one, in a file that other programs
//! read and replace too.
//!
//! The new file is complete before it is renamed over the old one, so a reader has the one or
//! the other. Its name keeps logins apart: only one of them can make it, and it is gone with the
//! rename. Other programs know nothing of that name, so the old file is looked at once more
//! right before the rename; if it is not the one that was read, it stays.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use restante_guest::files::{self, Reader, Status};

use crate::file::{Entry, HashPlace, Rules, hash_place};
use crate::hash::shown_scheme;

/// Octets of the largest file that is rewritten: it is held in memory.
const MAX_FILE_OCTETS: u64 = 16 << 20;
/// A new file that is older was left behind by a login that came to no end: none takes so long.
const STALE: Duration = Duration::from_secs(60);

const CHANGED: &str = "the file was changed by another program";
const UNDER_WAY: &str = "another login is rewriting the file";
const LEFT_BEHIND: &str = "a new file that an earlier login left behind had to be removed";
const OTHER_LINE: &str = "the user has another line by now";

/// A line that has a new hash.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rehashed {
    /// Its number, from 1.
    pub(crate) line: usize,
    /// The scheme of the new hash, in braces.
    pub(crate) scheme: String,
}

/// Why a line is as it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unchanged {
    /// Nothing is wrong, and a later login tries again.
    ForNow(&'static str),
    /// It stays so until somebody does something.
    Failed(String),
}

/// Replaces the hash that the user of `entry` has logged in with by the one that `make` makes.
/// What stands behind it in its field stays, as does each other octet of the file.
///
/// # Errors
/// The file is as it was.
pub(crate) fn rehash(
    path: &Path,
    rules: Rules,
    entry: &Entry,
    make: impl FnOnce() -> Result<String, String>,
) -> Result<Rehashed, Unchanged> {
    check(path).map_err(Unchanged::Failed)?;
    let beside = beside(path)?;
    // Before a hash is computed for nothing.
    if let Some(found) = files::stat(path).map_err(|error| unread(&error))? {
        expect_small(&found)?;
    }
    make_way(&beside)?;
    let hash = make().map_err(Unchanged::Failed)?;
    let next = NewFile::write(path, beside, rules, entry, &hash)?;
    let line = next.replace_old()?;
    let scheme = shown_scheme(&hash).unwrap_or_default().to_owned();
    Ok(Rehashed { line, scheme })
}

/// Whether the file may be replaced, as far as that can be known without changing anything.
///
/// # Errors
/// Why not, in words for the operator.
pub(crate) fn check(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let is_link = fs::symlink_metadata(path).is_ok_and(|about| about.is_symlink());
    if is_link {
        return Err(format!(
            "{shown} is a symbolic link, which a new file would replace: set `file` to the path that it leads to"
        ));
    }
    // The directory decides about a rename. But what the server's user may not write to, nobody
    // expects to be rewritten.
    let opened = OpenOptions::new().write(true).open(path);
    opened.map(drop).map_err(|error| {
        format!(
            "{shown} cannot be written to ({}): grant its directory with access = \"read-write\", and let the server's user write to file and directory",
            files::reason(&error)
        )
    })
}

/// Where the new file is made: in the same directory, which a rename does not leave.
fn beside(path: &Path) -> Result<PathBuf, Unchanged> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Unchanged::Failed("the path names no file".into()))?;
    Ok(path.with_file_name(format!(".{name}.rehash")))
}

/// Nothing may have the new file's name.
fn make_way(path: &Path) -> Result<(), Unchanged> {
    match files::stat(path).map_err(|error| unwritten(path, &error))? {
        None => Ok(()),
        Some(found) if !is_stale(&found) => Err(Unchanged::ForNow(UNDER_WAY)),
        // Others may think so too, at this moment: who removes it does not go on, so nobody
        // writes to a file that another removes.
        Some(_) => match fs::remove_file(path) {
            Ok(()) => Err(Unchanged::ForNow(LEFT_BEHIND)),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Unchanged::ForNow(UNDER_WAY)),
            Err(error) => Err(Unchanged::Failed(format!(
                "{} is in the way, and cannot be removed: {}",
                path.display(),
                files::reason(&error)
            ))),
        },
    }
}

/// By the difference, since clocks of file servers are ahead as often as behind.
fn is_stale(found: &Status) -> bool {
    let modified = UNIX_EPOCH + Duration::from_nanos(found.modified);
    let now = SystemTime::now();
    let age = now.duration_since(modified);
    age.unwrap_or_else(|ahead| ahead.duration()) > STALE
}

/// A file that this login has made, and that it removes if it still has its name in the end.
struct Made {
    path: PathBuf,
    status: Status,
}

impl Made {
    fn new(path: PathBuf) -> Result<(Made, File), Unchanged> {
        let file = File::create_new(&path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Unchanged::ForNow(UNDER_WAY),
            _ => unwritten(&path, &files::reason(&error)),
        })?;
        match files::stat(&path) {
            Ok(Some(status)) => Ok((Made { path, status }, file)),
            Ok(None) => Err(Unchanged::ForNow(UNDER_WAY)),
            Err(error) => {
                let _ = fs::remove_file(&path);
                Err(unwritten(&path, &error))
            }
        }
    }

    /// Whether the name is still this file's: one that is taken for stale is removed.
    fn is_there(&self) -> bool {
        let (identity, created) = (self.status.identity, self.status.created);
        files::stat(&self.path).is_ok_and(|found| {
            found.is_some_and(|found| (found.identity, found.created) == (identity, created))
        })
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.is_there() {
            // The disk may be full: half a file is of no use to anybody.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A file that is to replace another, complete and on the disk.
struct NewFile<'a> {
    made: Made,
    old: &'a Path,
    /// Of the old one, as it was read.
    status: Status,
    line: usize,
}

impl<'a> NewFile<'a> {
    fn write(
        old: &'a Path,
        beside: PathBuf,
        rules: Rules,
        entry: &Entry,
        hash: &str,
    ) -> Result<Self, Unchanged> {
        let (made, mut file) = Made::new(beside)?;
        // Not before: a login that had the name until now may have replaced the file.
        let (octets, status) = read(old)?;
        let place = hash_place(&octets, entry, hash, rules)
            .map_err(|problem| Unchanged::Failed(problem.into_owned()))?;
        let HashPlace { line, octets: hole } = place.ok_or(Unchanged::ForNow(OTHER_LINE))?;
        let parts = [&octets[..hole.start], hash.as_bytes(), &octets[hole.end..]];
        let written = parts.iter().try_for_each(|part| file.write_all(part));
        let written = written.map_err(|error| files::cause(&file, error));
        let on_disk = written.and_then(|()| file.sync_all());
        on_disk.map_err(|error| unwritten(&made.path, &files::reason(&error)))?;
        Ok(NewFile {
            made,
            old,
            status,
            line,
        })
    }

    /// Returns the number of the line that is another now.
    fn replace_old(self) -> Result<usize, Unchanged> {
        if !self.made.is_there() {
            return Err(Unchanged::ForNow(UNDER_WAY));
        }
        let found = files::stat(self.old).map_err(|error| unread(&error))?;
        if found != Some(self.status) {
            return Err(Unchanged::ForNow(CHANGED));
        }
        fs::rename(&self.made.path, self.old)
            .map_err(|error| unwritten(self.old, &files::reason(&error)))?;
        Ok(self.line)
    }
}

/// The whole file, with the status that it had.
fn read(path: &Path) -> Result<(Vec<u8>, Status), Unchanged> {
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ResourceBusy => Unchanged::ForNow(CHANGED),
        _ => unread(&error.to_string()),
    };
    let mut file = Reader::open(path).map_err(failed)?;
    let status = *file.status();
    expect_small(&status)?;
    let mut octets = Vec::with_capacity(status.size as usize);
    file.read_to_end(&mut octets).map_err(failed)?;
    Ok((octets, status))
}

fn expect_small(file: &Status) -> Result<(), Unchanged> {
    match file.size <= MAX_FILE_OCTETS {
        true => Ok(()),
        false => Err(Unchanged::Failed(format!(
            "files of more than {} MiB are not rewritten",
            MAX_FILE_OCTETS >> 20
        ))),
    }
}

fn unread(error: &str) -> Unchanged {
    Unchanged::Failed(format!("the file cannot be read: {error}"))
}

fn unwritten(path: &Path, error: &str) -> Unchanged {
    Unchanged::Failed(format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests;

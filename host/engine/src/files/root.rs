//! The directory, and the way to what is below it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use super::layout::{self, Spot};
use crate::blobs::{BlobPath, Removal};
use crate::problem::Problem;

/// Where files are that are being written. It also tells a directory of blobs from any other.
const TMP: &str = "tmp";
/// What is older there was left by a process that has ended.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);
/// So many of them are looked at when the directory is opened.
const MAX_ABANDONED: usize = 10_000;

/// A directory of blobs.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    directory: File,
    pub(super) tmp: File,
    /// By [`Spot::bucket`]: the directories are on the disk, as far as this process made
    /// sure of it.
    lasting: Vec<AtomicBool>,
}

/// A blob's file.
pub(super) struct Blob {
    pub(super) file: File,
    pub(super) octets: u64,
}

impl Root {
    /// Opens the directory, or makes it in one that is there.
    pub(super) fn open(path: &Path) -> Result<Self, Problem> {
        let cannot = |error: Errno| unusable(path, error);
        let directory = match open_directory(path) {
            Err(Errno::NOENT) => {
                mkdirat(CWD, path, Mode::RWXU).map_err(cannot)?;
                let parent = path
                    .parent()
                    .filter(|parent| !parent.as_os_str().is_empty());
                let parent = open_directory(parent.unwrap_or(Path::new("."))).map_err(cannot)?;
                rustix::fs::fsync(parent).map_err(cannot)?;
                open_directory(path).map_err(cannot)?
            }
            opened => opened.map_err(cannot)?,
        };
        check_mode(path, &directory)?;
        make(&directory, TMP).map_err(cannot)?;
        let tmp = step(&directory, TMP).map_err(cannot)?;
        rustix::fs::fsync(&directory).map_err(cannot)?;
        Ok(Self::of(path, directory, tmp))
    }

    /// Opens one that was made before. Makes nothing.
    pub(super) fn open_existing(path: &Path) -> Result<Self, Problem> {
        let cannot = |error: Errno| match error {
            Errno::NOENT => missing(path),
            error => unusable(path, error),
        };
        let directory = open_directory(path).map_err(cannot)?;
        check_mode(path, &directory)?;
        let tmp = step(&directory, TMP).map_err(cannot)?;
        Ok(Self::of(path, directory, tmp))
    }

    fn of(path: &Path, directory: File, tmp: File) -> Self {
        Root {
            path: path.to_owned(),
            directory,
            tmp,
            lasting: (0..=u16::MAX).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Removes what ended processes have left. What does not work does no harm.
    pub(super) fn clear(&self) {
        let Ok(names) = Dir::read_from(&self.tmp) else {
            return;
        };
        let now = SystemTime::now();
        for name in names.flatten().take(MAX_ABANDONED) {
            let about = rustix::fs::statat(&self.tmp, name.file_name(), AtFlags::SYMLINK_NOFOLLOW);
            let is_old = about.is_ok_and(|about| {
                let changed = Duration::from_secs(u64::try_from(about.st_mtime).unwrap_or(0));
                let is_file = FileType::from_raw_mode(about.st_mode) == FileType::RegularFile;
                let changed = SystemTime::UNIX_EPOCH.checked_add(changed);
                let age = changed.and_then(|changed| now.duration_since(changed).ok());
                is_file && age.is_some_and(|age| age > ABANDONED)
            });
            if is_old {
                let _ = unlinkat(&self.tmp, name.file_name(), AtFlags::empty());
            }
        }
    }

    /// What an error with a blob is to the caller.
    pub(super) fn problem(&self, path: &BlobPath, error: &io::Error) -> Problem {
        let root = self.path.display();
        let remedy = match Errno::from_io_error(error) {
            Some(Errno::NOSPC | Errno::DQUOT) => ": free some space",
            Some(Errno::LOOP | Errno::NOTDIR) => {
                ": a link or a file is in place of a directory, put there by another program"
            }
            Some(Errno::IO) => ": see the kernel's log",
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => {
                ": the server's user needs to write to the directory and all below it"
            }
            _ => "",
        };
        Problem::unavailable(format!("{root}: blob {path:?}: {error}{remedy}"))
    }

    /// The directory of a blob. None: it is not there, and nothing in it.
    pub(super) fn find(&self, spot: &Spot) -> io::Result<Option<File>> {
        let [first, second] = &spot.directories;
        let opened = step(&self.directory, first).and_then(|first| step(&first, second));
        match opened {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The same, made where it is missing. When this returns it lasts, whoever made it.
    pub(super) fn find_or_make(&self, spot: &Spot) -> io::Result<File> {
        let [first, second] = &spot.directories;
        let lasting = &self.lasting[usize::from(spot.bucket)];
        if lasting.load(Ordering::Acquire)
            && let Some(directory) = self.find(spot)?
        {
            return Ok(directory);
        }
        make(&self.directory, first)?;
        let outer = step(&self.directory, first)?;
        make(&outer, second)?;
        let inner = step(&outer, second)?;
        // Another process may have made them, and not have come to this.
        outer.sync_all()?;
        self.directory.sync_all()?;
        lasting.store(true, Ordering::Release);
        Ok(inner)
    }

    /// Opens a blob's file. None: there is none.
    pub(super) fn open_blob(&self, path: &BlobPath) -> Result<Option<Blob>, Problem> {
        let open = || -> io::Result<Option<Blob>> {
            let spot = layout::spot(path);
            let Some(directory) = self.find(&spot)? else {
                return Ok(None);
            };
            // Whatever it is, to open it waits for no other process.
            let flags = OFlags::RDONLY
                | OFlags::NOFOLLOW
                | OFlags::NONBLOCK
                | OFlags::NOCTTY
                | OFlags::CLOEXEC;
            let file = match openat(&directory, &spot.name, flags, Mode::empty()) {
                Ok(file) => File::from(file),
                Err(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let about = fstat(&file)?;
            if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it is no regular file",
                ));
            }
            let octets = u64::try_from(about.st_size).unwrap_or_default();
            Ok(Some(Blob { file, octets }))
        };
        open().map_err(|error| self.problem(path, &error))
    }

    /// Up to `length` bytes of a file; fewer only at its end.
    pub(super) fn read(
        &self,
        file: &File,
        path: &BlobPath,
        offset: u64,
        length: usize,
    ) -> Result<Bytes, Problem> {
        let mut bytes = BytesMut::zeroed(length);
        let mut filled = 0;
        while filled < length {
            match file.read_at(&mut bytes[filled..], offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.problem(path, &error)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes.freeze())
    }

    /// Removes files, and makes that last: else one could come back after a crash, and
    /// nobody would remember that it is garbage.
    pub(super) fn remove(&self, paths: &[BlobPath]) -> Removal {
        let mut removal = Removal::default();
        let mut changed: BTreeMap<u16, (File, Vec<&BlobPath>)> = BTreeMap::new();
        for path in paths {
            let remove = || -> io::Result<Option<(u16, File)>> {
                let spot = layout::spot(path);
                let Some(directory) = self.find(&spot)? else {
                    return Ok(None);
                };
                match unlinkat(&directory, &spot.name, AtFlags::empty()) {
                    // One that is gone may have gone in a turn that was broken off.
                    Ok(()) | Err(Errno::NOENT) => Ok(Some((spot.bucket, directory))),
                    Err(error) => Err(error.into()),
                }
            };
            match remove() {
                Ok(None) => {}
                Ok(Some((bucket, directory))) => {
                    let of_bucket = changed.entry(bucket);
                    let (_, removed) = of_bucket.or_insert_with(|| (directory, Vec::new()));
                    removed.push(path);
                }
                Err(error) => {
                    let problem = self.problem(path, &error);
                    removal.kept.push((path.clone(), problem));
                }
            }
        }
        for (directory, removed) in changed.values() {
            if let Err(error) = directory.sync_all() {
                let kept = removed.iter().map(|path| {
                    let problem = self.problem(path, &error);
                    (BlobPath::clone(path), problem)
                });
                removal.kept.extend(kept);
            }
        }
        removal
    }
}

/// Opens a root. Links on the way to it are the operator's.
fn open_directory(path: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).map(File::from)
}

fn check_mode(path: &Path, directory: &File) -> Result<(), Problem> {
    let about = fstat(directory).map_err(|error| unusable(path, error))?;
    if Mode::from_raw_mode(about.st_mode).contains(Mode::WOTH) {
        return Err(Problem::invalid(format!(
            "{}: everybody may write to it, and could change mail: chmod o-w",
            path.display()
        )));
    }
    Ok(())
}

fn unusable(path: &Path, error: Errno) -> Problem {
    Problem::unavailable(format!(
        "{}: cannot use it as a directory of blobs: {error}: the server's user needs to write to it",
        path.display()
    ))
}

fn missing(path: &Path) -> Problem {
    let path = path.display();
    Problem::unavailable(format!(
        "{path}: the octets of messages were here and are not: bring back the file system or the \
         backup that they are in; if they are lost for good, or no message ever came, make an empty \
         directory with `mkdir -p -m 700 {path} {path}/{TMP}`, owned by the server's user: messages \
         that are listed cannot be fetched then"
    ))
}

/// Makes a directory, if nothing is there: what is shows when it is opened.
fn make(at: &File, name: &str) -> Result<(), Errno> {
    match mkdirat(at, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens the directory of this name, which is none if it is a link.
fn step(at: &File, name: &str) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty()).map(File::from)
}

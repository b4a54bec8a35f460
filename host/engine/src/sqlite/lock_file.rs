//! That a file is this process's own: SQLite's holds are those of one process.
//!
//! The lock is on a file beside it, which is never removed: a lock on a file that another
//! process may replace would be none. It ends with the process, however that ends.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;

use crate::problem::Problem;

/// The lock, while it lives.
#[derive(Debug)]
pub(super) struct LockFile {
    file: File,
}

impl Drop for LockFile {
    /// A process that is being started has all descriptors until it is another program:
    /// to close this one would leave the lock to it for a moment.
    fn drop(&mut self) {
        // If that fails, the lock ends with the last descriptor.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl LockFile {
    /// Locks the file at `path` for this process. May wait for the disk.
    ///
    /// # Errors
    /// [`Problem::Invalid`] if another has it: which, as far as it said.
    pub(super) fn lock(path: &Path) -> Result<Self, Problem> {
        let lock_path = lock_path(path);
        let shown = lock_path.display();
        let cannot = |what: &str, error: Errno| {
            Problem::unavailable(format!("{shown}: cannot {what}: {error}"))
        };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let file: OwnedFd =
            openat(CWD, &lock_path, flags, mode).map_err(|error| cannot("open it", error))?;
        let mut file = File::from(file);
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // What it says is for the words alone.
                let _ = (&file).take(20).read_to_string(&mut holder);
                let holder = match holder.trim().parse::<u32>() {
                    Ok(process) => format!("process {process}"),
                    Err(_) => "another process".to_owned(),
                };
                return Err(Problem::invalid(format!(
                    "{}: {holder} uses it ({shown} is locked), and only one process can: \
                     stop that one, or set another `directory`",
                    path.display()
                )));
            }
            Err(error) => return Err(cannot("lock it", error)),
        }
        let written = file.set_len(0).and_then(|()| file.rewind());
        written
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|error| {
                Problem::unavailable(format!("{shown}: cannot write to it: {error}"))
            })?;
        Ok(LockFile { file })
    }
}

/// Makes the file if it is not there, for nobody but the server's user: SQLite would let
/// others read it, and gives the files that it makes beside it the same rights.
pub(super) fn make_private(path: &Path) -> Result<(), Problem> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let made = openat(CWD, path, flags, Mode::RUSR | Mode::WUSR);
    made.map(drop).map_err(|error| {
        Problem::unavailable(format!(
            "{}: it cannot be opened or made: {error}: the server's user needs to write to it \
             and to its directory, which has to be there",
            path.display()
        ))
    })
}

/// The file's name with ".lock" behind it.
fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_though_another_process_has_its_descriptor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mail");
        let lock = LockFile::lock(&path).unwrap();
        // As in a process that was begun meanwhile.
        let descriptor = lock.file.try_clone().unwrap();
        drop(lock);
        LockFile::lock(&path).unwrap();
        drop(descriptor);
    }
}

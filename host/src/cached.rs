//! Disk work that takes no waiting, told from disk work that does: what the
//! kernel has in its caches is done at once, on the event loop; the rest is
//! left to the blocking pool.
//!
//! A hand-over to another thread costs more than all that a session does on a
//! warm disk, and a worker of the event loop that waits for a disk, or for a
//! network behind it, takes every session with it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// Opens `path` for reading below `dir` if the whole way to it is cached. None:
/// it may take waiting, or the system cannot tell.
///
/// Never leads out of `dir`, nor through magic links of /proc; does not wait
/// for the other end of a FIFO.
///
/// # Errors
/// As the system has them: what is cached may also be that there is no such file.
#[cfg(target_os = "linux")]
pub fn open(dir: impl AsFd, path: impl AsRef<Path>) -> Option<io::Result<File>> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
    use rustix::io::Errno;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::CACHED | ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match openat2(dir, path.as_ref(), flags, Mode::empty(), resolve) {
        Ok(file) => Some(Ok(file.into())),
        // Not cached; not to be told (an old kernel, a sandbox).
        Err(Errno::AGAIN | Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::INTR) => None,
        Err(error) => Some(Err(error.into())),
    }
}

/// Other systems cannot tell what takes waiting.
#[cfg(not(target_os = "linux"))]
pub fn open(_dir: impl AsFd, _path: impl AsRef<Path>) -> Option<io::Result<File>> {
    None
}

/// Whether everything on the way to `path` is cached, so that opening it takes
/// no waiting.
#[cfg(target_os = "linux")]
pub fn knows(path: &Path) -> bool {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).is_ok()
}

/// Other systems cannot tell.
#[cfg(not(target_os = "linux"))]
pub fn knows(_path: &Path) -> bool {
    false
}

/// Reads at `offset` if that takes no waiting. None: it does, or this file's
/// system cannot tell.
///
/// # Errors
/// As the system has them.
#[cfg(target_os = "linux")]
pub fn read_at(file: &File, space: &mut [u8], offset: u64) -> Option<io::Result<usize>> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let space = &mut [io::IoSliceMut::new(space)];
    match preadv2(file, space, offset, ReadWriteFlags::NOWAIT) {
        Ok(read) => Some(Ok(read)),
        Err(Errno::AGAIN | Errno::INTR | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => None,
        Err(error) => Some(Err(error.into())),
    }
}

/// Other systems cannot tell what takes waiting.
#[cfg(not(target_os = "linux"))]
pub fn read_at(_file: &File, _space: &mut [u8], _offset: u64) -> Option<io::Result<usize>> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_just_written_takes_no_waiting() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), b"0123456789").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("out")).unwrap();
        let dir = File::open(root.path()).unwrap();
        // Where the system cannot tell (an old kernel, another system) all of
        // it is None, and there is nothing to test.
        let Some(file) = open(&dir, "file") else {
            assert!(!cfg!(target_os = "linux") || !knows(root.path()));
            return;
        };
        let file = file.unwrap();
        let mut space = [0; 4];
        if let Some(read) = read_at(&file, &mut space, 3) {
            assert_eq!((read.unwrap(), &space), (4, b"3456"));
        }
        assert!(knows(&root.path().join("file")));
        for path in ["out", "../file", "/etc/passwd"] {
            assert!(
                !matches!(open(&dir, path), Some(Ok(_))),
                "{path} was opened"
            );
        }
        let missing = open(&dir, "missing").map(|opened| opened.unwrap_err().kind());
        assert!(matches!(missing, None | Some(io::ErrorKind::NotFound)));
    }
}

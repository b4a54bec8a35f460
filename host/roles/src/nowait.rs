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
/// it may take waiting, or the system cannot tell. `dir` is on a file system of
/// which [`is_local`] is true.
///
/// Never leads out of `dir` or to another file system, nor through magic links
/// of /proc; does not wait for the other end of a FIFO.
///
/// # Errors
/// As the system has them: what is cached may also be that there is no such file.
#[cfg(target_os = "linux")]
pub fn open(dir: impl AsFd, path: impl AsRef<Path>) -> Option<io::Result<File>> {
    use rustix::fs::OFlags;
    open_with(dir, path, OFlags::NONBLOCK | OFlags::NOCTTY)
}

/// The same for what is only looked at, of whatever kind: it is not opened.
///
/// # Errors
/// As for [`open`].
#[cfg(target_os = "linux")]
pub fn find(dir: impl AsFd, path: impl AsRef<Path>) -> Option<io::Result<File>> {
    open_with(dir, path, rustix::fs::OFlags::PATH)
}

#[cfg(target_os = "linux")]
fn open_with(
    dir: impl AsFd,
    path: impl AsRef<Path>,
    flags: rustix::fs::OFlags,
) -> Option<io::Result<File>> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
    use rustix::io::Errno;
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::CACHED
        | ResolveFlags::BENEATH
        | ResolveFlags::NO_XDEV
        | ResolveFlags::NO_MAGICLINKS;
    match openat2(dir, path.as_ref(), flags, Mode::empty(), resolve) {
        Ok(file) => Some(Ok(file.into())),
        // Not cached; elsewhere; not to be told (an old kernel, a sandbox).
        Err(
            Errno::AGAIN | Errno::XDEV | Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::INTR,
        ) => None,
        Err(error) => Some(Err(error.into())),
    }
}

/// Other systems cannot tell what takes waiting.
#[cfg(not(target_os = "linux"))]
pub fn open(_dir: impl AsFd, _path: impl AsRef<Path>) -> Option<io::Result<File>> {
    None
}

/// Other systems cannot tell what takes waiting.
#[cfg(not(target_os = "linux"))]
pub fn find(_dir: impl AsFd, _path: impl AsRef<Path>) -> Option<io::Result<File>> {
    None
}

/// Opens a directory by its path on this machine, if everything on the way is
/// cached and it lies on a local file system that is known. None: it may take
/// waiting, or something is wrong.
#[cfg(target_os = "linux")]
pub fn open_directory(path: &Path) -> Option<File> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let found = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).ok()?;
    linux::is_known_local(&found).then(|| found.into())
}

/// Other systems cannot tell.
#[cfg(not(target_os = "linux"))]
pub fn open_directory(_path: &Path) -> Option<File> {
    None
}

/// A directory that is open, and what the kernel has at hand of it.
#[derive(Debug)]
pub struct FoundDirectory {
    /// For reading.
    pub directory: File,
    /// Number of the device that it is on.
    pub device: u64,
    /// Its inode number there.
    pub inode: u64,
    /// Number of the user that owns it.
    pub owner: u32,
    /// Whether it is certain that something is in it. Where the file system counts no
    /// directories, that is never certain.
    pub has_directories: bool,
}

/// The same for a directory below another, which is taken as
/// [`open_directory`] takes it. The way below leads through links only if
/// `follow_links`, and then out of `prefix` as well. `marker`: what has to be in `prefix`.
#[cfg(target_os = "linux")]
pub fn open_directory_below(
    prefix: &Path,
    marker: Option<&str>,
    rest: &Path,
    follow_links: bool,
) -> Option<FoundDirectory> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, makedev, openat2};
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::CACHED | ResolveFlags::NO_MAGICLINKS;
    let below = match follow_links {
        true => resolve,
        false => resolve | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
    };
    let above = flags | OFlags::PATH;
    let prefix = openat2(CWD, prefix, above, Mode::empty(), ResolveFlags::CACHED).ok()?;
    if let Some(marker) = marker {
        let any = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat2(&prefix, marker, any, Mode::empty(), ResolveFlags::CACHED).ok()?;
    }
    let found = openat2(&prefix, rest, flags, Mode::empty(), below).ok()?;
    let status = linux::status(&found)?;
    linux::is_known(status.device).then(|| FoundDirectory {
        directory: found.into(),
        device: makedev(status.device.0, status.device.1),
        inode: status.inode,
        owner: status.owner,
        // Its own name, its ".", and the ".." of each directory in it.
        has_directories: status.links > 2,
    })
}

/// Other systems cannot tell.
#[cfg(not(target_os = "linux"))]
pub fn open_directory_below(
    _prefix: &Path,
    _marker: Option<&str>,
    _rest: &Path,
    _follow_links: bool,
) -> Option<FoundDirectory> {
    None
}

/// Whether `dir` is on a local file system, which answers without anybody else.
/// Asks it, which may take waiting: for the blocking pool. Remembered for
/// [`open_directory`].
pub fn is_local(dir: impl AsFd) -> bool {
    #[cfg(target_os = "linux")]
    {
        linux::is_local(&dir)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = dir;
        false
    }
}

/// Which file systems answer without anybody else: on the others even what is
/// cached may be asked for anew, of a server far away or of another process.
#[cfg(target_os = "linux")]
mod linux {
    use parking_lot::RwLock;

    use std::collections::HashMap;
    use std::os::fd::AsFd;

    use rustix::fs::{AtFlags, StatxFlags, fstatfs, statx};

    /// Magic numbers of statfs(2): ext2 to ext4, XFS, Btrfs, bcachefs, F2FS, ZFS,
    /// tmpfs, ramfs, overlayfs.
    const LOCAL: [u64; 9] = [
        0xEF53,
        0x5846_5342,
        0x9123_683E,
        0xCA45_1A4E,
        0xF2F5_2010,
        0x2FC1_2FC1,
        0x0102_1994,
        0x8584_58F6,
        0x794C_7630,
    ];

    /// File systems that are remembered; a machine has few.
    const KNOWN: usize = 1024;

    /// Device number → whether its file system is local. One that is unmounted
    /// stays in it: a number is seldom used again, and then mostly alike.
    static DEVICES: RwLock<Option<HashMap<(u32, u32), bool>>> = RwLock::new(None);

    pub(super) fn is_known_local(dir: &impl AsFd) -> bool {
        status(dir).is_some_and(|status| is_known(status.device))
    }

    /// Whether this device is known to have a local file system.
    pub(super) fn is_known(device: (u32, u32)) -> bool {
        let devices = DEVICES.read();
        let known = devices.as_ref().and_then(|devices| devices.get(&device));
        known == Some(&true)
    }

    pub(super) fn is_local(dir: &impl AsFd) -> bool {
        let Some(Status { device, .. }) = status(dir) else {
            return false;
        };
        let known = {
            let devices = DEVICES.read();
            let devices = devices.as_ref();
            devices.and_then(|devices| devices.get(&device).copied())
        };
        if let Some(is_local) = known {
            return is_local;
        }
        let Ok(about) = fstatfs(dir) else {
            return false;
        };
        let kind = u64::try_from(about.f_type).unwrap_or(0) & 0xFFFF_FFFF;
        let is_local = LOCAL.contains(&kind);
        let mut devices = DEVICES.write();
        let devices = devices.get_or_insert_default();
        if devices.len() < KNOWN {
            devices.insert(device, is_local);
        }
        is_local
    }

    /// What the kernel has at hand of a directory.
    pub(super) struct Status {
        /// Major and minor number.
        pub(super) device: (u32, u32),
        pub(super) inode: u64,
        pub(super) owner: u32,
        pub(super) links: u32,
    }

    /// No file system is asked. None: the kernel has not all of it.
    pub(super) fn status(dir: &impl AsFd) -> Option<Status> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let wanted = StatxFlags::INO | StatxFlags::UID | StatxFlags::NLINK;
        let about = statx(dir, c"", flags, wanted).ok()?;
        let has_all = about.stx_mask & wanted.bits() == wanted.bits();
        has_all.then_some(Status {
            device: (about.stx_dev_major, about.stx_dev_minor),
            inode: about.stx_ino,
            owner: about.stx_uid,
            links: about.stx_nlink,
        })
    }
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
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn what_was_just_written_takes_no_waiting() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), b"0123456789").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("out")).unwrap();
        let dir = File::open(root.path()).unwrap();
        // Where the system cannot tell (an old kernel, another system) all of
        // it is None, and there is nothing to test.
        if !is_local(&dir) {
            return;
        }
        let Some(file) = open(&dir, "file") else {
            assert!(open_directory(root.path()).is_none());
            return;
        };
        let file = file.unwrap();
        let mut space = [0; 4];
        if let Some(read) = read_at(&file, &mut space, 3) {
            assert_eq!((read.unwrap(), &space), (4, b"3456"));
        }
        assert!(open_directory(root.path()).is_some());
        assert!(open_directory(&root.path().join("file")).is_none());
        assert!(open_directory(&root.path().join("missing")).is_none());
        for path in ["out", "../file", "/etc/passwd"] {
            assert!(
                !matches!(open(&dir, path), Some(Ok(_))),
                "{path} was opened"
            );
        }
        std::fs::create_dir(root.path().join("below")).unwrap();
        std::os::unix::fs::symlink("below", root.path().join("link")).unwrap();
        let marked = |marker: Option<&str>, path: &str, follow| {
            open_directory_below(root.path(), marker, path.as_ref(), follow)
        };
        let below = |path: &str, follow| marked(None, path, follow);
        let found = below("below", false).unwrap();
        let about = root.path().join("below").metadata().unwrap();
        assert_eq!((found.device, found.inode), (about.dev(), about.ino()));
        assert_eq!(found.owner, about.uid());
        assert!(marked(Some("below"), "below", false).is_some());
        assert!(marked(Some("elsewhere"), "below", false).is_none());
        let through = below("link", true).unwrap();
        assert_eq!(through.inode, found.inode);
        for path in ["link", "file", "missing", "..", "below/../..", "/"] {
            assert!(below(path, false).is_none(), "{path} was opened");
        }
        let missing = open(&dir, "missing").map(|opened| opened.unwrap_err().kind());
        assert!(matches!(missing, None | Some(io::ErrorKind::NotFound)));
    }
}
